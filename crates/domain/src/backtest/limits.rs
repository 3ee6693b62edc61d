//! When would a rule with a limit have paused? As the event log counts it: tenants that were touched within the time
//! before, one that was touched before adding nothing; once paused, everything is held until a person says otherwise.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use super::Deeds;
use crate::event::Event;
use crate::journal::counted_as;
use crate::names::EventId;
use crate::rulebook::{Limit, Outlook, Rulebook};

/// Names of tenants that are told.
const MOST_NAMES: usize = 20;

/// A rule with a limit acted for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Touch {
    /// When it was decided: the time that is counted.
    at: Timestamp,
    row: i64,
    occurred_at: Timestamp,
    event: EventId,
    tenant: String,
}

/// Whom rules with a limit would touch. Those of parts add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touches(BTreeMap<String, Vec<Touch>>);

/// How a rule fares with its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limited {
    pub rule: String,
    /// So many tenants at most.
    pub tenants: u32,
    /// In so many seconds.
    pub seconds: u64,
    /// The most that it would touch in that time before it pauses.
    pub most: u64,
    pub paused: Option<Pausing>,
}

/// The event for which a rule would pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pausing {
    /// When it was decided about.
    pub at: Timestamp,
    pub occurred_at: Timestamp,
    pub event: EventId,
    /// `<env>/<tenant>`, the one that is one too many.
    pub tenant: String,
    /// Tenants that were touched within the time before, the first of them by name.
    pub touched: Vec<String>,
    /// Events and tenants whose actions would be held from then on, unless a person resumes the rule.
    pub held_events: u64,
    pub held_tenants: u64,
}

impl Touches {
    /// Notes the rules with a limit that act on an event, decided about at a time.
    pub fn note(&mut self, book: &Rulebook, (row, at): (i64, Timestamp), event: &Event, deeds: &Deeds) {
        for (rule, outlook) in deeds {
            let acts = match outlook {
                Outlook::Acts(acts) | Outlook::Broken { acts, .. } => !acts.is_empty(),
                Outlook::Shadow(_) | Outlook::Unknown(_) | Outlook::NotEvaluated { .. } => false,
            };
            if acts && book.rules().iter().any(|one| one.name == *rule && one.limit.is_some()) {
                let (event, occurred_at, tenant) = (event.id.clone(), event.occurred_at, counted_as(event));
                self.0.entry(rule.clone()).or_default().push(Touch { at, row, occurred_at, event, tenant });
            }
        }
    }

    /// Adds those of other events.
    pub fn add(&mut self, other: Self) {
        for (rule, touches) in other.0 {
            self.0.entry(rule).or_default().extend(touches);
        }
    }

    /// Rule by rule of those that have a limit.
    #[must_use]
    pub fn judge(mut self, book: &Rulebook) -> Vec<Limited> {
        let limited = book.rules().iter().filter_map(|rule| Some((rule, rule.limit?)));
        limited
            .map(|(rule, limit)| {
                let mut touches = self.0.remove(&rule.name).unwrap_or_default();
                touches.sort_by_key(|touch| (touch.at, touch.row));
                let (most, paused) = play(&touches, limit);
                let (tenants, seconds) = (limit.tenants, limit.per.as_secs());
                Limited { rule: rule.name.clone(), tenants, seconds, most, paused }
            })
            .collect()
    }
}

fn play(touches: &[Touch], limit: Limit) -> (u64, Option<Pausing>) {
    let mut last: HashMap<&str, Timestamp> = HashMap::new();
    let mut in_time: BTreeSet<(Timestamp, &str)> = BTreeSet::new();
    let mut most = 0;
    for (place, touch) in touches.iter().enumerate() {
        let tenant = touch.tenant.as_str();
        while let Some(&(at, name)) = in_time.first() {
            let Ok(age) = std::time::Duration::try_from(touch.at.duration_since(at)) else { break };
            if age < limit.per {
                break;
            }
            in_time.remove(&(at, name));
            last.remove(name);
        }
        if !last.contains_key(tenant) && in_time.len() as u64 >= u64::from(limit.tenants) {
            let held = &touches[place..];
            let tenants: BTreeSet<_> = held.iter().map(|touch| touch.tenant.as_str()).collect();
            let touched: BTreeSet<_> = last.keys().map(|&name| name.to_owned()).collect();
            let pausing = Pausing {
                at: touch.at,
                occurred_at: touch.occurred_at,
                event: touch.event.clone(),
                tenant: touch.tenant.clone(),
                touched: touched.into_iter().take(MOST_NAMES).collect(),
                held_events: held.len() as u64,
                held_tenants: tenants.len() as u64,
            };
            return (most, Some(pausing));
        }
        if let Some(before) = last.insert(tenant, touch.at) {
            in_time.remove(&(before, tenant));
        }
        in_time.insert((touch.at, tenant));
        most = most.max(in_time.len() as u64);
    }
    (most, None)
}
