//! The names that expressions read: `event`, `payload`, `flow`, `tenant`, `now`, `replayed`.
//!
//! Each value is converted once per case, and only when an expression that mentions it is evaluated ([`Reads`] is worked
//! out when the rulebook is read). Reading a fact that nobody asked yet notes the [`Need`] and stops the evaluation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use minijinja::value::{Enumerator, Object, Serde, Value};
use minijinja::{Error, ErrorKind};

use super::Case;
use crate::config::FlowSettings;
use crate::event::Event;
use crate::facts::{Facts, Need, Needs};

/// Names of facts that rules may read as `tenant.…`.
pub(super) const TENANT_FIELDS: &[&str] =
    &["config_valid", "config_problems", "state_is_null", "linked_sources", "linked_targets", "schedule"];
/// Names within `tenant.schedule`.
pub(super) const SCHEDULE_FIELDS: &[&str] = &["expression", "state"];
/// Names without fields of their own that are known beforehand.
const SINGLES: &[&str] = &["payload", "now", "replayed"];
/// Not writable in the language, so no rule can meet it by accident.
pub(super) const DATE_FORMAT: &str = "\0date_format";

/// A name with fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Event,
    Flow,
    Tenant,
}

impl Group {
    pub(super) const ALL: [Self; 3] = [Self::Event, Self::Flow, Self::Tenant];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Flow => "flow",
            Self::Tenant => "tenant",
        }
    }

    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Event => Event::FIELDS,
            Self::Flow => FlowSettings::FIELDS,
            Self::Tenant => TENANT_FIELDS,
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }

    fn first_slot(self) -> usize {
        match self {
            Self::Event => 0,
            Self::Flow => Event::FIELDS.len(),
            Self::Tenant => Event::FIELDS.len() + FlowSettings::FIELDS.len(),
        }
    }

    fn slot(self, field: &str) -> Option<usize> {
        let place = self.fields().iter().position(|known| *known == field)?;
        Some(self.first_slot() + place)
    }
}

const FIRST_SINGLE: usize = Event::FIELDS.len() + FlowSettings::FIELDS.len() + TENANT_FIELDS.len();
const SLOTS: usize = FIRST_SINGLE + SINGLES.len();
const _: () = assert!(SLOTS <= 64, "Reads is a set of 64 bits");

/// All names that stand on their own.
pub(super) fn roots() -> impl Iterator<Item = &'static str> {
    Group::ALL.into_iter().map(Group::name).chain(SINGLES.iter().copied())
}

/// Which names an expression can read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reads(u64);

impl Reads {
    pub(super) fn add_field(&mut self, group: Group, field: &str) {
        if let Some(slot) = group.slot(field) {
            self.0 |= 1 << slot;
        }
    }

    pub(super) fn add_group(&mut self, group: Group) {
        for field in group.fields() {
            self.add_field(group, field);
        }
    }

    pub(super) fn has_single(self, name: &str) -> bool {
        let place = SINGLES.iter().position(|known| *known == name);
        place.is_some_and(|place| self.0 & (1 << (FIRST_SINGLE + place)) != 0)
    }

    pub(super) fn add_single(&mut self, name: &str) {
        if let Some(place) = SINGLES.iter().position(|known| *known == name) {
            self.0 |= 1 << (FIRST_SINGLE + place);
        }
    }
}

enum Slot {
    Known(Value),
    Unknown(Need),
    /// Asked, and refused for good.
    Refused(String),
}

struct Inner {
    slots: [OnceLock<Slot>; SLOTS],
    date_format: Value,
    needs: Mutex<Needs>,
    /// Something that was refused was read.
    refused: AtomicBool,
    /// What was read, for `explain`.
    trace: Option<Mutex<BTreeMap<String, Value>>>,
}

/// The names of one case.
#[derive(Clone)]
pub(super) struct Context(Arc<Inner>);

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the names of a case")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    pub(super) fn new(case: &Case<'_>, traced: bool) -> Self {
        Self(Arc::new(Inner {
            slots: [const { OnceLock::new() }; SLOTS],
            date_format: Value::from(case.date_format),
            needs: Mutex::default(),
            refused: AtomicBool::new(false),
            trace: traced.then(Mutex::default),
        }))
    }

    /// The value to evaluate with, after converting what `reads` may read.
    pub(super) fn ready(&self, case: &Case<'_>, reads: Reads) -> Value {
        let mut left = reads.0;
        while left != 0 {
            let slot = left.trailing_zeros() as usize;
            left &= left - 1;
            self.0.slots[slot].get_or_init(|| convert(case, slot));
        }
        Value::from_object(self.clone())
    }

    /// Takes what evaluations wanted to know since the last time.
    pub(super) fn take_needs(&self) -> Needs {
        std::mem::take(&mut *lock(&self.0.needs))
    }

    /// Did evaluations since the last time read what was refused?
    pub(super) fn take_refused(&self) -> bool {
        self.0.refused.swap(false, Ordering::Relaxed)
    }

    /// Takes what evaluations read since the last time.
    pub(super) fn take_trace(&self) -> BTreeMap<String, Value> {
        self.0.trace.as_ref().map(|trace| std::mem::take(&mut *lock(trace))).unwrap_or_default()
    }

    fn read(&self, slot: usize, name: impl FnOnce() -> String) -> Option<Value> {
        let value = match self.0.slots.get(slot)?.get()? {
            Slot::Known(value) => value.clone(),
            Slot::Unknown(need) => {
                lock(&self.0.needs).insert(need.clone());
                return Some(Value::from(Error::new(ErrorKind::InvalidOperation, "not known yet")));
            }
            Slot::Refused(why) => {
                self.0.refused.store(true, Ordering::Relaxed);
                return Some(Value::from(Error::new(ErrorKind::InvalidOperation, why.clone())));
            }
        };
        if let Some(trace) = &self.0.trace {
            lock(trace).insert(name(), value.clone());
        }
        Some(value)
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if let Some(group) = Group::named(key) {
            return Some(Value::from_object(View { context: (**self).clone(), group }));
        }
        if key == DATE_FORMAT {
            return Some(self.0.date_format.clone());
        }
        let place = SINGLES.iter().position(|known| *known == key)?;
        self.read(FIRST_SINGLE + place, || key.to_owned())
    }
}

/// `event`, `flow` or `tenant`.
struct View {
    context: Context,
    group: Group,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.group.name())
    }
}

impl Object for View {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.context.read(self.group.slot(key)?, || format!("{}.{key}", self.group.name()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(self.group.fields())
    }
}

fn convert(case: &Case<'_>, slot: usize) -> Slot {
    if slot >= FIRST_SINGLE {
        return Slot::Known(match SINGLES[slot - FIRST_SINGLE] {
            "payload" => Value::from(Serde(&case.event.payload)),
            "now" => Value::from(case.now.to_string()),
            _ => Value::from(case.replayed),
        });
    }
    let tenant = Group::Tenant.first_slot();
    if slot >= tenant {
        return fact(case.facts, TENANT_FIELDS[slot - tenant]);
    }
    let flow = Group::Flow.first_slot();
    Slot::Known(if slot >= flow {
        setting(case, FlowSettings::FIELDS[slot - flow])
    } else {
        field(case.event, Event::FIELDS[slot])
    })
}

fn field(event: &Event, name: &str) -> Value {
    let text = |text: &str| Value::from(text);
    match name {
        "id" => text(event.id.as_str()),
        "kind" => text(event.kind.as_str()),
        "source" => text(event.source.as_str()),
        "endpoint" => text(&event.endpoint),
        "env_id" => text(&event.env_id),
        "flow_id" => text(&event.flow_id),
        "tenant" => text(&event.tenant),
        "job_id" => text(&event.job_id),
        "job_name" => text(&event.job_name),
        "tap" => text(&event.tap),
        "target" => text(&event.target),
        "connector" => text(&event.connector),
        "status" => text(&event.status),
        "completed" => Value::from(event.completed),
        "failed" => Value::from(event.failed),
        "sync_type" => text(&event.sync_type),
        "error" => text(&event.error),
        "failed_records" => Value::from(Serde(&event.failed_records)),
        "first_link" => event.first_link.map_or(Value::from(()), Value::from),
        "occurred_at" => Value::from(event.occurred_at.to_string()),
        "received_at" => Value::from(event.received_at.to_string()),
        _ => Value::UNDEFINED,
    }
}

fn setting(case: &Case<'_>, name: &str) -> Value {
    let text = |text: &Option<String>| text.as_deref().map_or(Value::from(()), Value::from);
    match name {
        "flow_id" => Value::from(case.event.flow_id.as_str()),
        "name" => text(&case.flow.name),
        "schedule" => text(&case.flow.schedule),
        "target" => text(&case.flow.target),
        "target_schedule" => text(&case.flow.target_schedule),
        "config_schema" => case
            .flow
            .config_schema
            .as_ref()
            .map_or(Value::from(()), |path| Value::from(path.display().to_string())),
        _ => Value::UNDEFINED,
    }
}

fn fact(facts: &Facts, name: &str) -> Slot {
    let list = |list: &Option<Vec<String>>| list.as_ref().map(|names| Value::from(Serde(names)));
    let (value, need) = match name {
        // Either answers both, so that what is known is never asked again.
        "config_valid" => {
            let of_problems = || facts.config_problems.as_ref().map(Vec::is_empty);
            (facts.config_valid.or_else(of_problems).map(Value::from), Need::Config)
        }
        "config_problems" => {
            let of_valid = || {
                let problems = if facts.config_valid? { vec![] } else { vec!["it is not valid"] };
                Some(Value::from(problems))
            };
            (list(&facts.config_problems).or_else(of_valid), Need::Config)
        }
        "state_is_null" => (facts.state_is_null.map(Value::from), Need::State),
        "linked_sources" => (list(&facts.linked_sources), Need::LinkedSources),
        "linked_targets" => (list(&facts.linked_targets), Need::LinkedTargets),
        _ => (facts.schedule.as_ref().map(|schedule| Value::from(Serde(schedule))), Need::Schedule),
    };
    let unknown = |need: Need| match facts.refusal(&need) {
        Some(why) => Slot::Refused(why.to_owned()),
        None => Slot::Unknown(need),
    };
    value.map_or_else(|| unknown(need), Slot::Known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_rules_may_read_has_a_value() {
        let event = crate::rulebook::scenario::read_event(b"{}").expect("JSON");
        let (facts, flow) = (Facts::default(), FlowSettings::default());
        let case = Case {
            event: &event,
            facts: &facts,
            flow: &flow,
            date_format: "%Y",
            run: "live",
            replayed: false,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        for name in Event::FIELDS {
            assert!(!field(&event, name).is_undefined(), "event.{name}");
        }
        for name in FlowSettings::FIELDS {
            assert!(!setting(&case, name).is_undefined(), "flow.{name}");
        }
    }
}
