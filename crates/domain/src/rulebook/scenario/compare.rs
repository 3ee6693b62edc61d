//! What was expected of a case, and what came.

use std::collections::BTreeMap;

use super::ScenarioCase;
use crate::action::Action;
use crate::config::nearest;
use crate::plan::{Plan, Step, Verdict};
use crate::rulebook::Rulebook;
use crate::rulebook::explain::in_words;

pub(super) fn takes(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Matched { .. } | Verdict::Shadow { .. })
}

pub(super) type IsOf = fn(&Verdict) -> bool;

pub(super) fn names(plan: &Plan, of: IsOf) -> Vec<String> {
    plan.verdicts.iter().filter(|v| of(&v.verdict)).map(|v| v.rule.clone()).collect()
}

pub(super) fn compare(case: &ScenarioCase, book: &Rulebook, plan: &Plan) -> Result<(), String> {
    if let Some((_, why)) = plan.broken() {
        return Err(why.to_owned());
    }
    let lists: [(&str, &Option<Vec<String>>, IsOf); 3] = [
        ("matches", &case.matches, takes),
        ("silenced", &case.silenced, |verdict| matches!(verdict, Verdict::Silenced { .. })),
        ("unchanged", &case.unchanged, |verdict| matches!(verdict, Verdict::Unchanged)),
    ];
    if case.plan.is_none() && lists.iter().all(|(_, list, _)| list.is_none()) {
        return Err("it expects nothing: say matches or plan".to_owned());
    }
    let verdicts: BTreeMap<_, _> = plan.verdicts.iter().map(|v| (v.rule.as_str(), &v.verdict)).collect();
    for (word, expected, of) in lists {
        let Some(expected) = expected else { continue };
        if let Some(unknown) = expected.iter().find(|name| !has(book, name)) {
            return Err(no_rule(book, word, unknown));
        }
        let found = names(plan, of);
        let (mut one, mut other) = (expected.clone(), found.clone());
        one.sort();
        other.sort();
        if one != other {
            let verdict = |name: &String| {
                let words = verdicts.get(name.as_str()).map(|verdict| in_words(verdict));
                format!("`{name}` {}", words.unwrap_or_else(|| "was not asked".to_owned()))
            };
            let differing = one
                .iter()
                .filter(|name| !other.contains(name))
                .chain(other.iter().filter(|name| !one.contains(name)));
            let differing: Vec<_> = differing.map(verdict).collect();
            return Err(format!(
                "{word}: expected {}, found {} ({})",
                listed(expected),
                listed(&found),
                differing.join("; ")
            ));
        }
    }
    let Some(expected) = &case.plan else { return Ok(()) };
    let named = |line: &String| line.split(':').next().map(|name| name.trim().to_owned());
    if let Some(unknown) = expected.iter().filter_map(named).find(|name| !has(book, name)) {
        return Err(no_rule(book, "plan", &unknown));
    }
    let found: Vec<_> = plan.steps.iter().map(describe).collect();
    for at in 0..expected.len().max(found.len()) {
        match (expected.get(at), found.get(at)) {
            (Some(expected), Some(found)) => fits(expected, found)
                .map_err(|why| format!("step {}: expected `{expected}`, found `{found}` ({why})", at + 1))?,
            (Some(expected), None) => {
                return Err(format!("step {}: expected `{expected}`, found none", at + 1));
            }
            (None, Some(found)) => return Err(format!("step {}: expected none, found `{found}`", at + 1)),
            (None, None) => {}
        }
    }
    Ok(())
}

fn has(book: &Rulebook, name: &str) -> bool {
    book.rules().iter().any(|rule| rule.name == name)
}

fn no_rule(book: &Rulebook, word: &str, unknown: &str) -> String {
    let near = nearest(unknown, book.rules().iter().map(|rule| rule.name.as_str()));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("{word}: there is no rule `{unknown}`{hint}")
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Lines of a message that are expected.
const MOST_LINES: usize = 12;

/// A step as scenarios write it: `rule: word what`.
#[must_use]
pub fn describe(step: &Step) -> String {
    let what = match &step.action {
        Action::Slack { channel, text } => match channel {
            Some(channel) => format!("{channel} {text}"),
            None => text.clone(),
        },
        Action::SetSchedule { place, which, connector_id, expression, .. } => format!(
            "{} of {} in {} at {}, {}",
            which.as_str(),
            place.tenant,
            place.flow_id,
            connector_id.as_deref().unwrap_or("the flow"),
            expression.as_deref().unwrap_or("expression unknown")
        ),
        Action::LinkTarget { place, target } => format!("{target} for {} in {}", place.tenant, place.flow_id),
        Action::RunJob { place, tap, name } => {
            format!("{name} of {tap} for {} in {}", place.tenant, place.flow_id)
        }
    };
    format!("{}: {} {what}", step.rule, step.action.word())
}

/// A step as it is expected: a message by its lines, anything else whole.
pub(super) fn expectation(step: &Step) -> String {
    let Action::Slack { channel, text } = &step.action else { return describe(step) };
    let channel = channel.as_deref().map(|channel| format!(" {channel}")).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // What would be taken for a mark can't be a part.
    let parts =
        lines.filter(|line| !line.contains(" ~ ") && !line.contains(" !~ ") && !line.starts_with("~ "));
    let parts: String = parts.take(MOST_LINES).map(|line| format!(" ~ {line}")).collect();
    format!("{}: slack{channel}{parts}", step.rule)
}

fn fits(expected: &str, found: &str) -> Result<(), String> {
    let mut rest = expected;
    let (mut wanted, mut part) = (None, String::new());
    let mut parts = Vec::new();
    loop {
        let next = [(" !~ ", false), (" ~ ", true)]
            .into_iter()
            .filter_map(|(mark, holds)| rest.find(mark).map(|at| (at, mark.len(), holds)))
            .min_by_key(|(at, ..)| *at);
        let end = next.map_or(rest.len(), |(at, ..)| at);
        part.push_str(&rest[..end]);
        parts.push((wanted, std::mem::take(&mut part)));
        let Some((at, length, holds)) = next else { break };
        wanted = Some(holds);
        rest = &rest[at + length..];
    }
    for (wanted, part) in parts {
        match wanted {
            None if !found
                .strip_prefix(part.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')) =>
            {
                return Err(format!("it does not begin with `{part}`"));
            }
            Some(true) if !found.contains(&part) => return Err(format!("it does not contain `{part}`")),
            Some(false) if found.contains(&part) => return Err(format!("it contains `{part}`")),
            _ => {}
        }
    }
    Ok(())
}
