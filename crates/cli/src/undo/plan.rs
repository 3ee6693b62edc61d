//! What is to become of each schedule that a rule has changed. Pure: the present schedule is given.

use std::collections::BTreeMap;

use domain::action::{Action, Place, Which};
use domain::journal::{Before, ScheduleChange, schedule_scope};
use domain::names::EventId;
use jiff::Timestamp;
use serde::Serialize;

/// All changes of one schedule that were not undone before, in the order in which they were carried out. Never empty.
#[derive(Debug)]
pub(super) struct Wave {
    changes: Vec<ScheduleChange>,
    /// All of them were undone before, and then they are here to be told of.
    undone: bool,
}

impl Wave {
    /// That of the newest event: what it set is what stands.
    pub(super) fn last(&self) -> &ScheduleChange {
        let newest = self.changes.iter().max_by_key(|change| (change.occurred_at, change.event.as_str()));
        newest.unwrap_or(&self.changes[0])
    }
}

/// The changes by schedule. `undone`: what was put back, the last time for each schedule counts.
pub(super) fn waves(changes: Vec<ScheduleChange>, undone: &[ScheduleChange]) -> Vec<Wave> {
    let mut waves = BTreeMap::<_, Vec<_>>::new();
    for change in changes {
        if let Some(scope) = schedule_scope(&change.action) {
            waves.entry(scope).or_default().push(change);
        }
    }
    let undone_at = |scope: &str| {
        let of = |change: &&ScheduleChange| schedule_scope(&change.action).as_deref() == Some(scope);
        undone.iter().filter(of).map(|change| change.done_at).max()
    };
    let left = |(scope, changes): (String, Vec<ScheduleChange>)| {
        let undone_at = undone_at(&scope);
        let is_left = |change: &ScheduleChange| undone_at.is_none_or(|at| change.done_at > at);
        let left: Vec<_> = changes.iter().filter(|change| is_left(change)).cloned().collect();
        if left.is_empty() { Wave { changes, undone: true } } else { Wave { changes: left, undone: false } }
    };
    waves.into_iter().map(left).collect()
}

pub(super) fn place(action: &Action) -> Option<&Place> {
    match action {
        Action::SetSchedule { place, .. } => Some(place),
        Action::Slack { .. } | Action::LinkTarget { .. } | Action::RunJob { .. } => None,
    }
}

/// One schedule of the plan.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub(super) tenant: String,
    pub(super) flow_id: String,
    pub(super) which: Which,
    /// The newest event whose change is undone.
    pub(super) event: EventId,
    #[serde(skip)]
    pub(super) occurred_at: Timestamp,
    /// How it is, where hotglue says so: what differs from that when it is to be put back was changed meanwhile.
    #[serde(skip)]
    pub(super) present: Option<Before>,
    /// Version of the rulebook that had decided on it.
    pub(super) rulebook: Option<String>,
    /// For people.
    pub(super) now: String,
    pub(super) then: Then,
    /// What came of it.
    pub(super) result: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "then", rename_all = "snake_case")]
pub(super) enum Then {
    PutBack {
        action: Action,
    },
    AlreadySo,
    /// How it was is not in the ledger.
    Unknown {
        why: String,
    },
    Left {
        why: String,
    },
    /// How it is now could not be read, and so not whether someone has changed it since.
    Unread {
        why: String,
    },
}

impl Then {
    pub(super) fn action(&self) -> Option<&Action> {
        match self {
            Self::PutBack { action } => Some(action),
            Self::AlreadySo | Self::Unknown { .. } | Self::Left { .. } | Self::Unread { .. } => None,
        }
    }

    pub(super) fn said(&self) -> String {
        match self {
            Self::PutBack { action: Action::SetSchedule { enabled, expression, .. } } => {
                let state = if *enabled { "ENABLED" } else { "DISABLED" }.to_owned();
                Before::Schedule { expression: expression.clone().unwrap_or_default(), state }.summary()
            }
            Self::PutBack { action } => action.summary(),
            Self::AlreadySo => "is so already".to_owned(),
            Self::Unknown { why } => format!("can't be restored: {why}"),
            Self::Left { why } => format!("left: {why}"),
            Self::Unread { why } => {
                format!("not now: how it is can't be read, and someone may have changed it since ({why})")
            }
        }
    }
}

/// `present`: the schedule as hotglue reports it now, or why it does not. `opposite`: what is not known is turned round.
pub(super) fn item(wave: &Wave, present: Result<Before, String>, opposite: bool) -> Item {
    let last = wave.last();
    let now = match &present {
        Ok(Before::No { .. }) | Err(_) => "?".to_owned(),
        Ok(known) => known.summary(),
    };
    let (tenant, flow_id) =
        place(&last.action).map(|place| (place.tenant.clone(), place.flow_id.clone())).unwrap_or_default();
    let which = match last.action {
        Action::SetSchedule { which, .. } => which,
        _ => Which::Source,
    };
    let then = then(wave, &present, opposite);
    Item {
        tenant,
        flow_id,
        which,
        event: last.event.clone(),
        occurred_at: last.occurred_at,
        present: present.ok(),
        rulebook: last.rulebook.clone(),
        now,
        then,
        result: None,
    }
}

fn then(wave: &Wave, present: &Result<Before, String>, opposite: bool) -> Then {
    let last = wave.last();
    let left = |why: String| Then::Left { why };
    if wave.undone {
        return left("it was undone before".to_owned());
    }
    let Action::SetSchedule { place, which, connector_id, expression: set, enabled: was_set } = &last.action
    else {
        return left("it is no schedule".to_owned());
    };
    if let Some(newest) = last.newest.as_ref().filter(|newest| **newest != last.event) {
        return left(format!("event {newest} has changed it since"));
    }
    let back = |expression: Option<String>, enabled| Action::SetSchedule {
        place: place.clone(),
        which: *which,
        connector_id: connector_id.clone(),
        expression,
        enabled,
    };
    // As it was before the first of them.
    let before = wave.changes.first().and_then(|change| change.before.as_ref());
    let is_absent = matches!(present, Ok(Before::Absent));
    if is_absent && matches!(before, Some(Before::Schedule { .. })) {
        return left("it has been deleted since".to_owned());
    }
    let (expression, enabled) = match before {
        Some(Before::Schedule { expression, state }) if !state.is_empty() => {
            (Some(expression.clone()).filter(|expression| !expression.is_empty()), state == "ENABLED")
        }
        // What had not been there can't be taken away again, but it can be switched off.
        // With an expression it was put, and is there: who says that there is none can't be asked.
        Some(Before::Absent) if is_absent && set.is_none() => return Then::AlreadySo,
        Some(Before::Absent) if !is_absent => (set.clone(), false),
        _ if opposite => (set.clone(), !was_set),
        before => return unknown(before),
    };
    match present {
        Ok(Before::Schedule { expression: present_expression, state }) if !state.is_empty() => {
            let is_on = state == "ENABLED";
            if is_on == enabled && expression.as_ref().is_none_or(|wanted| wanted == present_expression) {
                return Then::AlreadySo;
            }
            // What the rule left behind: where it set no expression, it kept the one that was there.
            let kept = match &last.before {
                Some(Before::Schedule { expression, .. }) => Some(expression),
                Some(Before::Absent | Before::No { .. }) | None => None,
            };
            let expected = set.as_ref().or(kept).filter(|expression| !expression.is_empty());
            if is_on != *was_set || expected.is_some_and(|expected| !is_same(expected, present_expression)) {
                return left("someone has changed it by hand since".to_owned());
            }
        }
        Ok(Before::Schedule { .. } | Before::Absent) => {}
        _ if opposite => {}
        Ok(Before::No { why }) | Err(why) => return Then::Unread { why: why.clone() },
    }
    Then::PutBack { action: back(expression, enabled) }
}

/// hotglue may write an expression in its own way, and hand a sixth field (the year) on that it was not given.
fn is_same(expression: &str, other: &str) -> bool {
    let fields = |text: &str| {
        let text = text.trim();
        let cron = text.strip_prefix("cron(").and_then(|cron| cron.strip_suffix(')'));
        let fields = cron.unwrap_or(text).replace('?', "*");
        (cron.is_some(), fields.split_whitespace().take(5).map(str::to_owned).collect::<Vec<_>>())
    };
    fields(expression) == fields(other)
}

fn unknown(before: Option<&Before>) -> Then {
    let why = match before {
        Some(Before::Schedule { .. }) => "hotglue did not say whether it was on".to_owned(),
        Some(Before::No { why }) => why.clone(),
        Some(Before::Absent) => "hotglue reported none, and reports none now either".to_owned(),
        None => "it was not read".to_owned(),
    };
    Then::Unknown { why: format!("before-value unknown ({why}); --opposite turns it round") }
}

#[cfg(test)]
mod tests;
