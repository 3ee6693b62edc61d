//! What rules in shadow would have done, held against what was done about the same event.

mod play;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

pub use self::play::{Fate, HeldBack, Playing, Terms};
use crate::action::Action;
use crate::names::EventId;
use crate::plan::{Decision, StepKey, Verdict};
use crate::would::Would;

/// Examples kept of each rule.
const EXAMPLES: usize = 5;

/// What is compared with what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The rule in shadow; every one unless given.
    pub rule: Option<String>,
    /// The live rule that it is to replace. Without one, what all live rules did counts, and what they did beyond the shadow
    /// is no difference: it was never the shadow's to do.
    pub against: Option<String>,
}

/// How a rule in shadow compares, over many events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Events about which the rule, or the one it is to replace, had something to say.
    pub events: u64,
    /// Events about which both did the same.
    pub same: u64,
    /// Events about which the one to be replaced acted, decided by rulebooks in which the rule was not, or not in shadow: it
    /// was not asked, so they are compared with nothing.
    pub left_out: u64,
    /// Events about which the shadow would have been held back by its own limit: nothing of it counts as what it would have done.
    pub would_hold: u64,
    /// So often its limit would have paused it.
    pub would_pause: u64,
    /// Messages of the shadow that would have been told in one with earlier ones.
    pub would_fold: u64,
    /// Actions of live rules that were planned and are not done, by their word: they are held, a person has dropped them, or they failed.
    pub not_done: BTreeMap<String, u64>,
    /// Actions that only the shadow would have taken, by their word.
    pub would_add: BTreeMap<String, u64>,
    /// Actions that were taken and that the shadow would have left out, by their word.
    pub would_leave_out: BTreeMap<String, u64>,
    /// The first few events that differ.
    pub examples: Vec<Example>,
}

impl Comparison {
    #[must_use]
    pub fn differs(&self) -> bool {
        self.same < self.events
    }
}

/// An event about which the shadow differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    pub event: EventId,
    /// In words.
    pub would_add: Vec<String>,
    pub would_leave_out: Vec<String>,
}

/// Which of the rules that are asked about no decision knows: a typing error, most likely.
#[must_use]
pub fn unknown<'q>(question: &'q Question, known: &BTreeSet<String>) -> Option<&'q str> {
    let mut asked = question.rule.iter().chain(&question.against).map(String::as_str);
    asked.find(|rule| !known.is_empty() && !known.contains(*rule))
}

/// Adds what was decided about one event. `undone`: steps that were planned and are not done; `fates`: what would have become of what
/// the rules in shadow would have done ([`Playing::play`]).
pub fn compare(
    found: &mut BTreeMap<String, Comparison>,
    question: &Question,
    decision: &Decision,
    undone: &HashSet<StepKey>,
    fates: &HashMap<String, Fate>,
) {
    let counts = |rule: &str| question.against.as_deref().is_none_or(|against| against == rule);
    let planned = decision.steps.iter().filter(|step| counts(&step.rule));
    let (not_done, done): (Vec<_>, Vec<_>) = planned.partition(|step| undone.contains(&step.key));
    let not_done: Vec<&Action> = not_done.into_iter().map(|step| &step.action).collect();
    let done: Vec<&Action> = done.into_iter().map(|step| &step.action).collect();
    let mut spoke = false;
    for given in &decision.verdicts {
        let wanted = question.rule.as_deref().is_none_or(|rule| rule == given.rule);
        let Some(actions) = given.verdict.rehearsed() else { continue };
        if !wanted {
            continue;
        }
        spoke = true;
        let fate = fates.get(&given.rule);
        let held = fate.and_then(|fate| fate.held);
        let would = if held.is_some() { Vec::new() } else { come_to(actions, &given.would) };
        let left_out = if question.against.is_some() { without(&done, &would) } else { Vec::new() };
        note(found, &given.rule, &decision.event, &without(&would, &done), &left_out);
        let comparison = found.entry(given.rule.clone()).or_default();
        comparison.would_hold += u64::from(held.is_some());
        comparison.would_pause += u64::from(held.is_some_and(|held| held.pauses));
        comparison.would_fold += fate.map_or(0, |fate| fate.folds.len() as u64);
        comparison.leave(&not_done);
    }
    // The live rule acted, and its replacement kept silent, or was not there.
    if let (Some(rule), Some(_), false) = (&question.rule, &question.against, spoke) {
        if was_asked(decision, rule) {
            if !done.is_empty() {
                note(found, rule, &decision.event, &[], &done);
            }
            if !not_done.is_empty() {
                found.entry(rule.clone()).or_default().leave(&not_done);
            }
        } else if !done.is_empty() {
            found.entry(rule.clone()).or_default().left_out += 1;
        }
    }
}

/// Those that would have come to a call: what follows one that would have failed would have been skipped.
fn come_to<'a>(actions: &'a [Action], would: &[Would]) -> Vec<&'a Action> {
    let fails = would.iter().position(|would| matches!(would, Would::Fail { .. }));
    let taken = actions.iter().enumerate().take(fails.unwrap_or(actions.len()));
    taken
        .filter(|(place, _)| !matches!(would.get(*place), Some(Would::Nothing { .. })))
        .map(|(_, action)| action)
        .collect()
}

impl Comparison {
    fn leave(&mut self, not_done: &[&Action]) {
        for action in not_done {
            *self.not_done.entry(action.word().to_owned()).or_default() += 1;
        }
    }
}

/// Every rule of a rulebook has a verdict in what it decides.
fn was_asked(decision: &Decision, rule: &str) -> bool {
    let verdict = decision.verdicts.iter().find(|given| given.rule == rule).map(|given| &given.verdict);
    match verdict {
        None | Some(Verdict::Off | Verdict::Matched { .. } | Verdict::Broken { shadow: false, .. }) => false,
        Some(
            Verdict::OtherKind
            | Verdict::NotHeld { .. }
            | Verdict::Unchanged
            | Verdict::Silenced { .. }
            | Verdict::Shadow { .. }
            | Verdict::Broken { shadow: true, .. },
        ) => true,
    }
}

fn note(
    found: &mut BTreeMap<String, Comparison>,
    rule: &str,
    event: &EventId,
    would_add: &[&Action],
    would_leave_out: &[&Action],
) {
    let comparison = found.entry(rule.to_owned()).or_default();
    comparison.events += 1;
    if would_add.is_empty() && would_leave_out.is_empty() {
        comparison.same += 1;
        return;
    }
    for (actions, counts) in
        [(would_add, &mut comparison.would_add), (would_leave_out, &mut comparison.would_leave_out)]
    {
        for action in actions {
            *counts.entry(action.word().to_owned()).or_default() += 1;
        }
    }
    if comparison.examples.len() < EXAMPLES {
        let words = |actions: &[&Action]| actions.iter().map(|action| action.summary()).collect();
        let (would_add, would_leave_out) = (words(would_add), words(would_leave_out));
        comparison.examples.push(Example { event: event.clone(), would_add, would_leave_out });
    }
}

/// Those of `these` that are not among `those`, by what they mean.
fn without<'a>(these: &[&'a Action], those: &[&Action]) -> Vec<&'a Action> {
    these.iter().filter(|action| !found_in(those, action)).copied().collect()
}

fn found_in(those: &[&Action], action: &Action) -> bool {
    those.iter().any(|other| other.word() == action.word() && other.fingerprint() == action.fingerprint())
}

#[cfg(test)]
mod tests;
