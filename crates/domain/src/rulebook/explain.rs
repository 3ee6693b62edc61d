//! Every line of every rule: did it hold, and what did it read? For people; asks nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::context::Context;
use super::decide::{Fate, fates};
use super::language::{Condition, Evaluated};
use super::{Case, Mode, Rule, Rulebook, steps};
use crate::action::Action;
use crate::facts::{Need, Needs};
use crate::names::EventId;
use crate::plan::Verdict;

/// Longest value shown, in characters.
const LONGEST_VALUE: usize = 200;

/// How a rulebook sees an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    pub event: EventId,
    /// Version of the rulebook.
    pub rulebook: String,
    pub rules: Vec<RuleExplanation>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleExplanation {
    pub name: String,
    pub about: String,
    pub mode: Mode,
    /// The verdict in words.
    pub says: String,
    /// None when something must be known first.
    pub verdict: Option<Verdict>,
    /// What would be asked next.
    pub would_ask: Needs,
    /// All lines of `when`, also those behind the first that does not hold. Of a rule that is off or about other kinds of
    /// events none is looked at: `why` says so.
    pub lines: Vec<LineExplanation>,
    pub changed: Option<LineExplanation>,
    /// Only of rules that match.
    pub steps: Vec<StepExplanation>,
}

/// One expression.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineExplanation {
    pub text: String,
    /// None when it can't be said; then `why`.
    pub held: Option<bool>,
    pub why: Option<String>,
    /// The names it read, such as `event.status`, with their values, the long ones cut.
    pub read: BTreeMap<String, serde_json::Value>,
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepExplanation {
    pub action: &'static str,
    pub when: Vec<LineExplanation>,
    /// What would be done, in words; empty when the step's condition does not hold.
    pub would: Vec<String>,
    /// The same, whole.
    pub actions: Vec<Action>,
    pub why: Option<String>,
}

pub(super) fn explain(book: &Rulebook, case: &Case<'_>) -> Explanation {
    let context = Context::new(case, true);
    let fates = fates(book, case, &context);
    let rules = book.rules.iter().zip(&book.compiled).zip(fates).map(|((rule, compiled), fate)| {
        let ignored = ignored(rule, case);
        let line = |condition: &Condition| match &ignored {
            Some(why) => not_looked_at(condition, why),
            None => line(condition, case, &context),
        };
        let lines: Vec<_> = compiled.when.iter().map(line).collect();
        let took = match &fate {
            Fate::Settled { verdict, .. } => !matches!(
                verdict,
                Verdict::Off | Verdict::OtherKind | Verdict::NotHeld { .. } | Verdict::Unchanged
            ),
            Fate::Asks(_) | Fate::Waits { .. } => lines.iter().all(|line| line.held == Some(true)),
        };
        let mut broken = false;
        let steps = rule.steps.iter().zip(&compiled.steps).filter(|_| took).map(|(step, compiled)| {
            let when = compiled.when.iter().map(line).collect();
            let (actions, why) = match steps::work_out(book, compiled, case, &context) {
                _ if broken => {
                    (Vec::new(), Some("left out: a step before it can't be worked out".to_owned()))
                }
                Evaluated::Value(actions) => (actions, None),
                Evaluated::Asks(needs) => (Vec::new(), Some(would_ask(&needs))),
                Evaluated::Wrong(why) => {
                    broken = true;
                    (Vec::new(), Some(why))
                }
            };
            let would = actions.iter().map(Action::summary).collect();
            StepExplanation { action: step.action.word(), when, would, actions, why }
        });
        RuleExplanation {
            name: rule.name.clone(),
            about: rule.about.clone(),
            mode: rule.mode,
            says: says(&fate),
            steps: steps.collect(),
            changed: compiled.changed.as_ref().map(line),
            lines,
            would_ask: if let Fate::Asks(needs) = &fate { needs.clone() } else { Needs::new() },
            verdict: if let Fate::Settled { verdict, .. } = fate { Some(verdict) } else { None },
        }
    });
    Explanation { event: case.event.id.clone(), rulebook: book.version.clone(), rules: rules.collect() }
}

/// Why the lines of a rule are not looked at.
fn ignored(rule: &Rule, case: &Case<'_>) -> Option<String> {
    if rule.mode == Mode::Off {
        return Some("not looked at: the rule is off".to_owned());
    }
    let kind = case.event.kind;
    (!rule.on.contains(&kind)).then(|| {
        let on: Vec<_> = rule.on.iter().map(|kind| kind.as_str()).collect();
        format!(
            "not looked at: the rule is on {}, and this event is of the kind {}",
            on.join(", "),
            kind.as_str()
        )
    })
}

fn not_looked_at(condition: &Condition, why: &str) -> LineExplanation {
    let (text, why) = (condition.source().to_owned(), Some(why.to_owned()));
    LineExplanation { text, held: None, why, read: BTreeMap::new() }
}

fn line(condition: &Condition, case: &Case<'_>, context: &Context) -> LineExplanation {
    context.take_trace();
    let (held, why) = match condition.holds(case, context) {
        Evaluated::Value(held) => (Some(held), None),
        Evaluated::Asks(needs) => (None, Some(would_ask(&needs))),
        Evaluated::Wrong(why) => (None, Some(why)),
    };
    let read = context.take_trace().into_iter().map(|(name, value)| {
        let mut value = serde_json::to_value(&value).unwrap_or_default();
        shorten(&mut value);
        (name, value)
    });
    LineExplanation { text: condition.source().to_owned(), held, why, read: read.collect() }
}

/// A long text is cut; a long list or table becomes its text, cut.
fn shorten(value: &mut serde_json::Value) {
    let text = match *value {
        serde_json::Value::String(ref text) => text.clone(),
        ref other => other.to_string(),
    };
    if let Some((end, _)) = text.char_indices().nth(LONGEST_VALUE) {
        *value = serde_json::Value::String(format!("{}…", &text[..end]));
    }
}

fn would_ask(needs: &Needs) -> String {
    let names: Vec<_> = needs
        .iter()
        .map(|need| match need {
            Need::Config => "whether the tenant's config is valid".to_owned(),
            Need::State => "whether the tenant's state is null".to_owned(),
            Need::LinkedSources => "the tenant's linked sources".to_owned(),
            Need::LinkedTargets => "the tenant's linked targets".to_owned(),
            Need::Schedule => "the tenant's schedule".to_owned(),
            Need::LastValue { rule } => format!("the last value seen by `{rule}`"),
        })
        .collect();
    format!("would ask: {}", names.join(", "))
}

fn says(fate: &Fate) -> String {
    match fate {
        Fate::Asks(needs) => would_ask(needs),
        Fate::Waits { for_rule } => format!("matches, unless `{for_rule}` matches too"),
        Fate::Settled { verdict, .. } => in_words(verdict),
    }
}

/// A verdict as it is told to people.
pub(super) fn in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Off => "is off".to_owned(),
        Verdict::OtherKind => "is about other kinds of events".to_owned(),
        Verdict::NotHeld { line, why: None } => format!("line {line} does not hold"),
        Verdict::NotHeld { line, why: Some(why) } => format!("line {line} can't be evaluated: {why}"),
        Verdict::Unchanged => "matches, but nothing has changed since the last time".to_owned(),
        Verdict::Silenced { by } => format!("matches, but `{by}` tells it"),
        Verdict::Matched { steps: 1 } => "matches: 1 step".to_owned(),
        Verdict::Matched { steps } => format!("matches: {steps} steps"),
        Verdict::Shadow { actions } if actions.len() == 1 => {
            "matches in shadow: 1 step would be taken".to_owned()
        }
        Verdict::Shadow { actions } => format!("matches in shadow: {} steps would be taken", actions.len()),
        Verdict::Broken { why, steps: 0, .. } => format!("can't be worked out: {why}"),
        Verdict::Broken { why, steps, .. } => {
            let s = if *steps == 1 { "" } else { "s" };
            format!("takes {steps} step{s}, then can't be worked out: {why}")
        }
    }
}
