//! How rules fare with an event, and what is planned.

use minijinja::value::Value;

use super::context::Context;
use super::language::Evaluated;
use super::read::Compiled;
use super::steps::{self, Planned};
use super::{Case, Mode, Rule, Rulebook};
use crate::action::{Action, Which};
use crate::facts::{Need, Needs};
use crate::journal::schedule_scope;
use crate::plan::{NewValue, Plan, RuleVerdict, Step, StepKey, Verdict};

/// How one rule fares.
#[derive(Debug)]
pub(super) enum Fate {
    Settled {
        verdict: Verdict,
        actions: Vec<Action>,
        new_value: Option<String>,
    },
    /// Something must be known first.
    Asks(Needs),
    /// A rule that asks may yet silence this one; its steps are not worked out.
    Waits {
        for_rule: String,
    },
}

impl Fate {
    fn plain(verdict: Verdict) -> Self {
        Self::Settled { verdict, actions: Vec::new(), new_value: None }
    }
}

pub(super) fn decide(book: &Rulebook, case: &Case<'_>) -> Result<Plan, Needs> {
    let fates = fates(book, case, &Context::new(case, false));
    // Those of rules in shadow come last, so that whatever becomes of them, live rules have what they need.
    let live = asked_by(book, &fates, false);
    let needs = if live.is_empty() { asked_by(book, &fates, true) } else { live };
    if needs.is_empty() { Ok(plan(book, case, fates)) } else { Err(needs) }
}

pub(super) fn asks_in_vain(book: &Rulebook, case: &Case<'_>) -> bool {
    asked_by(book, &fates(book, case, &Context::new(case, false)), false).is_empty()
}

fn asked_by(book: &Rulebook, fates: &[Fate], shadow: bool) -> Needs {
    let rules = book.rules.iter().zip(fates).filter(|(rule, _)| (rule.mode == Mode::Shadow) == shadow);
    let asked = rules.filter_map(|(_, fate)| match fate {
        Fate::Asks(asked) => Some(asked),
        Fate::Settled { .. } | Fate::Waits { .. } => None,
    });
    asked.flatten().cloned().collect()
}

/// What can be said of a rule by its conditions alone.
enum Match {
    No(Verdict),
    Asks(Needs),
    /// All lines hold, but the value of `changed` does not call for action.
    Unchanged {
        new_value: Option<String>,
    },
    Yes {
        new_value: Option<String>,
    },
}

pub(super) fn fates(book: &Rulebook, case: &Case<'_>, context: &Context) -> Vec<Fate> {
    let mut fates = apart(book, case, context);
    contradictions(book, &mut fates);
    fates
}

/// How each rule fares as far as no other wants the opposite.
pub(super) fn apart(book: &Rulebook, case: &Case<'_>, context: &Context) -> Vec<Fate> {
    let rules = || book.rules.iter().zip(&book.compiled);
    let matches: Vec<_> = rules().map(|(rule, compiled)| matched(rule, compiled, case, context)).collect();
    let by = |name: &str, open: bool| {
        rules().zip(&matches).find_map(|((rule, _), found)| {
            let right = matches!((found, open), (Match::Yes { .. }, false) | (Match::Asks(_), true));
            let silences = rule.mode == Mode::Live && rule.instead_of.iter().any(|other| other == name);
            (right && silences).then(|| rule.name.clone())
        })
    };
    let work_out = |rule: &Rule, compiled: &Compiled, found: &Match| match found {
        Match::No(verdict) => Fate::plain(verdict.clone()),
        Match::Asks(needs) => Fate::Asks(needs.clone()),
        Match::Unchanged { new_value } => {
            Fate::Settled { verdict: Verdict::Unchanged, actions: Vec::new(), new_value: new_value.clone() }
        }
        Match::Yes { new_value } => {
            if let Some(by) = by(&rule.name, false) {
                return Fate::plain(Verdict::Silenced { by });
            }
            if let Some(for_rule) = by(&rule.name, true) {
                return Fate::Waits { for_rule };
            }
            match steps::plan(book, rule, &compiled.steps, case, context) {
                Planned::Asks(needs) => Fate::Asks(needs),
                Planned::Broken { why, before } if rule.mode == Mode::Shadow => {
                    let before = distinct(before);
                    Fate::plain(Verdict::Broken { why, steps: 0, shadow: true, before })
                }
                Planned::Broken { why, before } => {
                    let actions = distinct(before);
                    let verdict =
                        Verdict::Broken { why, steps: actions.len(), shadow: false, before: Vec::new() };
                    // The value of `changed` is not remembered: sent back by a person, the rule has to match again.
                    Fate::Settled { verdict, actions, new_value: None }
                }
                // It remembers what it would have told, as it would in life.
                Planned::Actions(actions) if rule.mode == Mode::Shadow => Fate::Settled {
                    verdict: Verdict::Shadow { actions },
                    actions: Vec::new(),
                    new_value: new_value.clone(),
                },
                Planned::Actions(actions) => {
                    let actions = distinct(actions);
                    let verdict = Verdict::Matched { steps: actions.len() };
                    Fate::Settled { verdict, actions, new_value: new_value.clone() }
                }
            }
        }
    };
    rules().zip(&matches).map(|((rule, compiled), found)| work_out(rule, compiled, found)).collect()
}

fn matched(rule: &Rule, compiled: &Compiled, case: &Case<'_>, context: &Context) -> Match {
    if rule.mode == Mode::Off {
        return Match::No(Verdict::Off);
    }
    if !rule.on.contains(&case.event.kind) {
        return Match::No(Verdict::OtherKind);
    }
    for (place, condition) in compiled.when.iter().enumerate() {
        let not_held = |why| Match::No(Verdict::NotHeld { line: place + 1, why });
        match condition.holds(case, context) {
            Evaluated::Value(true) => {}
            Evaluated::Value(false) => return not_held(None),
            Evaluated::Asks(needs) => return Match::Asks(needs),
            // What hotglue refuses is not the rule's fault: a person mends it, and the rule is decided anew.
            Evaluated::Wrong(why) if context.take_refused() => {
                let why = format!("rule `{}`, `{}`: {why}", rule.name, condition.source());
                return Match::No(broken(why));
            }
            Evaluated::Wrong(why) => return not_held(Some(why)),
        }
    }
    let Some(changed) = &compiled.changed else { return Match::Yes { new_value: None } };
    let memory = rule.memory();
    // What was recorded before rules in shadow had a memory of their own, or is given in a scenario, has the rule's name.
    let last = case.facts.last_values.get(&*memory).or_else(|| case.facts.last_values.get(&rule.name));
    let mut needs = Needs::new();
    if last.is_none() {
        needs.insert(Need::LastValue { rule: memory.into_owned() });
    }
    let value = match changed.value(case, context) {
        Evaluated::Value(value) => value,
        Evaluated::Asks(more) => {
            needs.extend(more);
            return Match::Asks(needs);
        }
        Evaluated::Wrong(why) => {
            let why = format!("rule `{}`, changed: {why}", rule.name);
            return Match::No(broken(why));
        }
    };
    let Some(last) = last else { return Match::Asks(needs) };
    let text = json(&value);
    match last {
        Some(last) if *last == text => Match::Unchanged { new_value: None },
        // Nothing was seen before, and there is nothing to tell.
        None if !value.is_true() => Match::Unchanged { new_value: Some(text) },
        _ => Match::Yes { new_value: Some(text) },
    }
}

/// Nothing of it is done.
fn broken(why: String) -> Verdict {
    Verdict::Broken { why, steps: 0, shadow: false, before: Vec::new() }
}

/// A value as canonical JSON text: the same value is always the same text.
fn json(value: &Value) -> String {
    serde_json::to_value(value).unwrap_or_default().to_string()
}

/// Equal actions have one effect: the ledger would see one step.
fn distinct(actions: Vec<Action>) -> Vec<Action> {
    let mut seen = std::collections::HashSet::new();
    actions.into_iter().filter(|action| seen.insert((action.word(), action.fingerprint()))).collect()
}

/// Rules that want the same schedule on and off: none of them is taken, and each names one that it contradicts.
fn contradictions(book: &Rulebook, fates: &mut [Fate]) {
    let name = |rule: usize| book.rules.get(rule).map_or("", |rule| rule.name.as_str());
    for Opposite { rule, other, which, tenant } in opposites(fates) {
        let which = which.as_str();
        let why = if rule == other {
            format!("rule `{}` turns the {which} schedule of {tenant} on and off at once", name(rule))
        } else {
            let (one, two) = (name(rule.min(other)), name(rule.max(other)));
            format!("rules `{one}` and `{two}` want the opposite of the {which} schedule of {tenant}")
        };
        fates[rule] = Fate::plain(broken(why));
    }
}

/// A rule and one that wants the opposite of one schedule, by their places in the rulebook.
#[derive(Debug)]
pub(super) struct Opposite {
    pub(super) rule: usize,
    pub(super) other: usize,
    which: Which,
    tenant: String,
}

/// Every rule that wants a schedule on or off while another, or itself, wants the opposite.
pub(super) fn opposites(fates: &[Fate]) -> Vec<Opposite> {
    let wanted: Vec<_> = fates
        .iter()
        .enumerate()
        .flat_map(|(rule, fate)| {
            match fate {
                Fate::Settled { actions, .. } => actions.as_slice(),
                _ => &[],
            }
            .iter()
            .filter_map(move |action| match action {
                Action::SetSchedule { which, enabled, place, .. } => {
                    Some((rule, schedule_scope(action)?, *enabled, *which, place.tenant.clone()))
                }
                _ => None,
            })
        })
        .collect();
    let mut found = Vec::new();
    for (at, (rule, scope, enabled, which, tenant)) in wanted.iter().enumerate() {
        // The first that wants the opposite is named, whoever else does.
        let opposite = wanted[at + 1..]
            .iter()
            .chain(&wanted[..at])
            .find(|(_, other, on, ..)| other == scope && on != enabled);
        if let Some((other, ..)) = opposite {
            found.push(Opposite { rule: *rule, other: *other, which: *which, tenant: tenant.clone() });
        }
    }
    found
}

fn plan(book: &Rulebook, case: &Case<'_>, fates: Vec<Fate>) -> Plan {
    let mut plan = Plan::default();
    for (rule, fate) in book.rules.iter().zip(fates) {
        let Fate::Settled { mut verdict, actions, new_value } = fate else { continue };
        if let Verdict::Broken { shadow, .. } = &mut verdict {
            *shadow = rule.mode == Mode::Shadow;
        }
        let steps = actions.into_iter().enumerate().map(|(place, action)| Step {
            key: StepKey::new(&case.event.id, case.run, &rule.name, &action),
            rule: rule.name.clone(),
            place,
            action,
        });
        plan.steps.extend(steps);
        plan.new_values.extend(new_value.map(|value| NewValue { rule: rule.memory().into_owned(), value }));
        plan.verdicts.push(RuleVerdict::new(&rule.name, verdict));
    }
    plan
}
