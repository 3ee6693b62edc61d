//! What came of trying a rulebook on many events. Reports of parts add up to one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Deeds, Difference, meaning};
use crate::action::Action;
use crate::facts::Need;
use crate::names::EventId;
use crate::rulebook::Outlook;

/// Which of the two rulebooks that are held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Book {
    /// The one that is tried.
    New,
    /// The one that it is compared with, or those that decided then.
    Old,
}

/// How an action differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Added,
    Dropped,
    Changed,
    Broken,
}

/// One event in which something differs, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    #[serde(skip)]
    pub row: i64,
    pub event: EventId,
    pub change: Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What would be done, or why it can't be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The differences of one rule for one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub added: u64,
    pub dropped: u64,
    pub changed: u64,
    /// Events for which the rule could not be carried out any more.
    pub broken: u64,
    /// The oldest of them.
    pub examples: Vec<Example>,
}

/// What one rule would have to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unknown {
    pub events: u64,
    pub needs: BTreeSet<&'static str>,
    pub examples: Vec<EventId>,
    #[serde(skip)]
    rows: Vec<i64>,
}

/// Events for which a rule can't be evaluated, or not carried out to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wrong {
    pub events: u64,
    /// Of the oldest of them.
    pub why: String,
    pub examples: Vec<EventId>,
    #[serde(skip)]
    first: i64,
    #[serde(skip)]
    rows: Vec<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Events that were looked at.
    pub events: u64,
    /// Events in which something differs.
    pub differing: u64,
    /// Events of which something is unknown.
    pub unknown_events: u64,
    /// By rule and tenant.
    pub tallies: BTreeMap<(String, String), Tally>,
    /// By rule.
    pub unknown: BTreeMap<String, Unknown>,
    /// By rulebook, rule and line of `when` (from 1); without a line where a step or the value of `changed` is at fault.
    pub wrong: BTreeMap<(Book, String, Option<usize>), Wrong>,
    /// By the rule that drops an action and the one that does the same in its place.
    pub moved: BTreeMap<(String, String), u64>,
    /// By rule: events in which it would act, were it not in shadow.
    pub shadow: BTreeMap<String, u64>,
}

impl Report {
    /// Counts one event. Of each rule and tenant the oldest `most` examples are kept.
    pub fn count(
        &mut self,
        (row, event, tenant): (i64, &EventId, &str),
        (before, after): (&Deeds, &Deeds),
        differences: Vec<(String, Difference)>,
        most: usize,
    ) {
        self.events += 1;
        for (rule, outlook) in after {
            if matches!(outlook, Outlook::Shadow(_)) {
                *self.shadow.entry(rule.clone()).or_default() += 1;
            }
        }
        for (book, deeds) in [(Book::Old, before), (Book::New, after)] {
            for (rule, outlook) in deeds {
                let (line, why) = match outlook {
                    Outlook::NotEvaluated { line, why } => (Some(*line), why),
                    Outlook::Broken { why, .. } => (None, why),
                    Outlook::Acts(_) | Outlook::Shadow(_) | Outlook::Unknown(_) => continue,
                };
                let (rows, examples) =
                    if most > 0 { (vec![row], vec![event.clone()]) } else { Default::default() };
                let one = Wrong { events: 1, why: why.clone(), examples, first: row, rows };
                self.add_wrong((book, rule.clone(), line), one, most);
            }
        }
        self.note_moved(&differences);
        let (mut differs, mut open) = (false, false);
        for (rule, difference) in differences {
            let (change, before, after) = match difference {
                Difference::Unknown(needs) => {
                    let unknown = self.unknown.entry(rule).or_default();
                    unknown.events += 1;
                    unknown.needs.extend(needs.iter().map(fact));
                    if unknown.examples.len() < most {
                        unknown.examples.push(event.clone());
                        unknown.rows.push(row);
                    }
                    open = true;
                    continue;
                }
                Difference::Added(action) => (Change::Added, None, Some(action.summary())),
                Difference::Dropped(action) => (Change::Dropped, Some(action.summary()), None),
                Difference::Changed { before, after } => {
                    let (before, after) = told_apart(&before, &after);
                    (Change::Changed, Some(before), Some(after))
                }
                Difference::Broken(why) => (Change::Broken, None, Some(why)),
            };
            differs = true;
            let tally = self.tallies.entry((rule, tenant.to_owned())).or_default();
            *match change {
                Change::Added => &mut tally.added,
                Change::Dropped => &mut tally.dropped,
                Change::Changed => &mut tally.changed,
                Change::Broken => &mut tally.broken,
            } += 1;
            if tally.examples.len() < most {
                tally.examples.push(Example { row, event: event.clone(), change, before, after });
            }
        }
        self.differing += u64::from(differs);
        self.unknown_events += u64::from(open);
    }

    /// Adds what came of other events.
    pub fn add(&mut self, other: Self, most: usize) {
        self.events += other.events;
        self.differing += other.differing;
        self.unknown_events += other.unknown_events;
        for (key, more) in other.tallies {
            let tally = self.tallies.entry(key).or_default();
            tally.added += more.added;
            tally.dropped += more.dropped;
            tally.changed += more.changed;
            tally.broken += more.broken;
            tally.examples.extend(more.examples);
            tally.examples.sort_by_key(|example| example.row);
            tally.examples.truncate(most);
        }
        for (rule, more) in other.unknown {
            let unknown = self.unknown.entry(rule).or_default();
            unknown.events += more.events;
            unknown.needs.extend(more.needs);
            oldest((&mut unknown.rows, &mut unknown.examples), (more.rows, more.examples), most);
        }
        for (key, more) in other.wrong {
            self.add_wrong(key, more, most);
        }
        for (rules, actions) in other.moved {
            *self.moved.entry(rules).or_default() += actions;
        }
        for (rule, events) in other.shadow {
            *self.shadow.entry(rule).or_default() += events;
        }
    }

    /// What one rule drops and another adds is the same to the outside: a rule was renamed, or split.
    fn note_moved(&mut self, differences: &[(String, Difference)]) {
        let mut added: Vec<_> = differences
            .iter()
            .filter_map(|(rule, difference)| match difference {
                Difference::Added(action) => Some((rule, meaning(action))),
                _ => None,
            })
            .collect();
        if added.is_empty() {
            return;
        }
        for (rule, difference) in differences {
            if let Difference::Dropped(action) = difference
                && let Some(at) = added.iter().position(|(_, other)| *other == meaning(action))
            {
                let (to, _) = added.swap_remove(at);
                *self.moved.entry((rule.clone(), to.clone())).or_default() += 1;
            }
        }
    }

    fn add_wrong(&mut self, key: (Book, String, Option<usize>), more: Wrong, most: usize) {
        match self.wrong.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(more);
            }
            Entry::Occupied(entry) => {
                let known = entry.into_mut();
                known.events += more.events;
                if more.first < known.first {
                    (known.first, known.why) = (more.first, more.why);
                }
                oldest((&mut known.rows, &mut known.examples), (more.rows, more.examples), most);
            }
        }
    }

    /// Is there anything that the rulebook that is tried can't evaluate or carry out?
    #[must_use]
    pub fn errs(&self) -> bool {
        self.wrong.keys().any(|(book, ..)| *book == Book::New)
    }

    /// Would anything be done otherwise?
    #[must_use]
    pub fn differs(&self) -> bool {
        self.differing > 0
    }
}

/// Adds examples; the oldest `most` stay.
fn oldest(known: (&mut Vec<i64>, &mut Vec<EventId>), more: (Vec<i64>, Vec<EventId>), most: usize) {
    let (rows, examples) = known;
    if rows.len() >= most && rows.last() <= more.0.first() {
        return;
    }
    let both = rows.drain(..).zip(examples.drain(..));
    let mut all: Vec<_> = both.chain(more.0.into_iter().zip(more.1)).collect();
    all.sort();
    all.truncate(most);
    (*rows, *examples) = all.into_iter().unzip();
}

/// Both in one line: where their summaries are alike, by the first line of their texts that differs, else whole.
fn told_apart(before: &Action, after: &Action) -> (String, String) {
    let (one, two) = (before.summary(), after.summary());
    if one != two {
        return (one, two);
    }
    if let (Action::Slack { text: before, .. }, Action::Slack { text: after, .. }) = (before, after) {
        let most = before.lines().count().max(after.lines().count());
        let lines = before.lines().map(Some).chain(std::iter::repeat(None));
        let others = after.lines().map(Some).chain(std::iter::repeat(None));
        let differing = lines.zip(others).take(most).enumerate().find(|(_, (one, other))| one != other);
        if let Some((place, (one, other))) = differing {
            let told =
                |line: Option<&str>| format!("Slack, line {}: {}", place + 1, line.unwrap_or("(none)"));
            return (told(one), told(other));
        }
    }
    let whole = |action: &Action| serde_json::to_string(action).unwrap_or_default();
    (whole(before), whole(after))
}

/// The name under which rules and facts files know what is needed.
fn fact(need: &Need) -> &'static str {
    match need {
        Need::Config => "config_valid",
        Need::State => "state_is_null",
        Need::LinkedSources => "linked_sources",
        Need::LinkedTargets => "linked_targets",
        Need::Schedule => "schedule",
        Need::LastValue { .. } => "last_values",
    }
}
