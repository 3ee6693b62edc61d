//! A rulebook tried on events of the past: what would have been done otherwise than it was, or than another rulebook
//! would have done it?
//!
//! Facts are those that were recorded; what was never read is unknown. The values that `changed` rules remember are
//! followed from event to event, so each tenant's events must come in their order.

mod limits;
mod report;

use std::collections::HashMap;

use jiff::Timestamp;

pub use self::limits::{Limited, Pausing, Touches};
pub use self::report::{Book, Change, Example, Report, Tally, Unknown, Wrong};
use crate::action::Action;
use crate::event::Event;
use crate::facts::{Facts, Needs};
use crate::journal::scope;
use crate::plan::{Decision, Verdict};
use crate::rulebook::{Case, Outlook, Rule, Rulebook, shadow_memory};

/// What each rule that does anything would do, or did; also rules that can't be evaluated.
pub type Deeds = Vec<(String, Outlook)>;

/// A rulebook with the values that its rules remember.
#[derive(Debug)]
pub struct Side<'b> {
    book: &'b Rulebook,
    /// Rules with `changed`, which are few.
    changed: Vec<&'b Rule>,
    /// By rule and scope.
    last: HashMap<(&'b str, String), Last>,
}

#[derive(Debug)]
struct Last {
    value: String,
    /// Of the event it came from: an older event never replaces the value of a newer one.
    at: Timestamp,
}

impl<'b> Side<'b> {
    #[must_use]
    pub fn new(book: &'b Rulebook) -> Self {
        let changed = book.rules().iter().filter(|rule| rule.changed.is_some());
        Self { book, changed: changed.collect(), last: HashMap::new() }
    }

    #[must_use]
    pub fn rulebook(&self) -> &'b Rulebook {
        self.book
    }

    /// The facts of an event with the values that were last seen in place of those that were recorded. A value that was
    /// recorded counts where none was seen yet.
    #[must_use]
    pub fn facts(&self, event: &Event, recorded: &Facts) -> Facts {
        let mut facts = recorded.clone();
        if !self.changed.is_empty() {
            let scope = scope(event);
            for rule in &self.changed {
                let memory = rule.memory().into_owned();
                let before = facts.last_values.remove(&memory).or_else(|| {
                    // A worker that only observed has it under the name of its own.
                    facts.last_values.get(&shadow_memory(&rule.name)).cloned()
                });
                let before = before.flatten();
                let seen = self.last.get(&(rule.name.as_str(), scope.clone()));
                facts.last_values.insert(memory, seen.map(|last| last.value.clone()).or(before));
            }
        }
        facts
    }

    /// What must be known before everything is. `case.facts` are those of [`Self::facts`], and perhaps more.
    #[must_use]
    pub fn needs(&self, case: &Case<'_>) -> Needs {
        self.book.decide(case).err().unwrap_or_default()
    }

    /// What the rules would do; remembers the new values.
    pub fn see(&mut self, case: &Case<'_>) -> Deeds {
        let mut deeds = Deeds::new();
        for found in self.book.outlooks(case) {
            if let Some(value) = found.new_value {
                let (key, at) = ((found.rule, scope(case.event)), case.event.occurred_at);
                if self.last.get(&key).is_none_or(|last| at >= last.at) {
                    self.last.insert(key, Last { value, at });
                }
            }
            if found.outlook != Outlook::Acts(Vec::new()) {
                deeds.push((found.rule.to_owned(), found.outlook));
            }
        }
        deeds
    }
}

/// What was decided when the event came in.
#[must_use]
pub fn done(decision: &Decision) -> Deeds {
    let mut deeds = Deeds::new();
    for given in &decision.verdicts {
        let acts = || {
            let steps = decision.steps.iter().filter(|step| step.rule == given.rule);
            steps.map(|step| step.action.clone()).collect()
        };
        let outlook = match &given.verdict {
            Verdict::Broken { why, .. } => Outlook::Broken { why: why.clone(), acts: acts() },
            Verdict::Shadow { actions } => Outlook::Shadow(actions.clone()),
            Verdict::Matched { .. } => Outlook::Acts(acts()),
            Verdict::NotHeld { line, why: Some(why) } => {
                Outlook::NotEvaluated { line: *line, why: why.clone() }
            }
            Verdict::Off
            | Verdict::OtherKind
            | Verdict::NotHeld { why: None, .. }
            | Verdict::Unchanged
            | Verdict::Silenced { .. } => continue,
        };
        if outlook != Outlook::Acts(Vec::new()) {
            deeds.push((given.rule.clone(), outlook));
        }
    }
    deeds
}

/// How one rule's deeds differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    Added(Action),
    Dropped(Action),
    Changed {
        before: Action,
        after: Action,
    },
    /// It would be carried out to its end no more.
    Broken(String),
    /// It depends on what is not known.
    Unknown(Needs),
}

/// Rule by rule, what the deeds `after` have otherwise than those `before`.
#[must_use]
pub fn compare(before: &Deeds, after: &Deeds) -> Vec<(String, Difference)> {
    let none = Outlook::Acts(Vec::new());
    let of =
        |deeds: &'_ Deeds, name: &str| deeds.iter().find(|(rule, _)| rule == name).map(|(_, it)| it.clone());
    let only_before = before.iter().filter(|(rule, _)| !after.iter().any(|(other, _)| other == rule));
    let mut differences = Vec::new();
    for (rule, _) in after.iter().chain(only_before) {
        let one = of(before, rule).unwrap_or_else(|| none.clone());
        let two = of(after, rule).unwrap_or_else(|| none.clone());
        for difference in differ(one, two) {
            differences.push((rule.clone(), difference));
        }
    }
    differences
}

fn differ(before: Outlook, after: Outlook) -> Vec<Difference> {
    let actions = |outlook| match outlook {
        Outlook::Acts(actions) | Outlook::Broken { acts: actions, .. } => actions,
        Outlook::Shadow(_) | Outlook::Unknown(_) | Outlook::NotEvaluated { .. } => Vec::new(),
    };
    match (before, after) {
        (Outlook::Unknown(mut needs), Outlook::Unknown(more)) => {
            needs.extend(more);
            vec![Difference::Unknown(needs)]
        }
        (Outlook::Unknown(needs), _) | (_, Outlook::Unknown(needs)) => vec![Difference::Unknown(needs)],
        (before @ Outlook::Broken { .. }, after @ Outlook::Broken { .. }) => {
            differing(&actions(before), actions(after))
        }
        (before, Outlook::Broken { why, acts }) => {
            // What comes before the step that breaks is done all the same.
            let mut differences = differing(&actions(before), acts);
            differences.push(Difference::Broken(why));
            differences
        }
        (before, after) => differing(&actions(before), actions(after)),
    }
}

fn differing(before: &[Action], after: Vec<Action>) -> Vec<Difference> {
    let same = |one: &Action, other: &Action| meaning(one) == meaning(other);
    let mut dropped: Vec<_> =
        before.iter().filter(|action| !after.iter().any(|other| same(action, other))).cloned().collect();
    let added = after.into_iter().filter(|action| !before.iter().any(|other| same(action, other)));
    let mut differences = Vec::new();
    for action in added {
        // Of the same word, it is the same step with other words in it.
        match dropped.iter().position(|other| other.word() == action.word()) {
            Some(at) => differences.push(Difference::Changed { before: dropped.remove(at), after: action }),
            None => differences.push(Difference::Added(action)),
        }
    }
    differences.extend(dropped.into_iter().map(Difference::Dropped));
    differences
}

/// The action without what comes from settings alone.
fn meaning(action: &Action) -> Action {
    let mut action = action.clone();
    if let Action::SetSchedule { expression, .. } = &mut action {
        *expression = None;
    }
    action
}

#[cfg(test)]
mod tests;
