//! A tenant's events as one story, oldest first. Pure.

use std::collections::BTreeMap;

use domain::action::{Action, Which};
use domain::journal::{EventRecord, Outcome, StepRecord, StepState};
use domain::names::EventId;
use domain::plan::{Decision, LIVE};
use jiff::Timestamp;
use serde::Serialize;

use crate::events;
use crate::output::{ago, bold, clean, count, dim, first_line, green, telling_line};

/// What is told of a tenant.
#[derive(Debug, Serialize)]
pub(crate) struct Timeline {
    tenant: String,
    /// How many events became what.
    outcomes: BTreeMap<&'static str, usize>,
    /// The schedules that these events changed, as the last change left them.
    schedules: Vec<Schedule>,
    timeline: Vec<Moment>,
}

/// A schedule as Gluehook last set it. A person may have changed it at hotglue since.
#[derive(Debug, Serialize)]
struct Schedule {
    env_id: String,
    flow_id: String,
    which: Which,
    enabled: bool,
    at: Timestamp,
    rule: String,
    event: EventId,
}

#[derive(Debug, Serialize)]
struct Moment {
    at: Timestamp,
    event: EventId,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum What {
    Came {
        kind: String,
        status: String,
        env_id: String,
        flow_id: String,
        connector: String,
        outcome: Outcome,
        rules: Vec<String>,
        /// What had gone wrong at the source.
        error: String,
    },
    /// An attempt that did not end well.
    Attempt { run: String, outcome: Outcome, why: String },
    Step {
        run: String,
        rule: String,
        state: StepState,
        summary: String,
        error: Option<String>,
        perhaps_twice: bool,
    },
    /// What a rule in shadow would have done.
    Would { run: String, rule: String, summary: String },
}

impl Timeline {
    /// `records` in any order.
    pub(crate) fn of(tenant: &str, records: &[EventRecord]) -> Self {
        let mut oldest_first: Vec<_> = records.iter().collect();
        oldest_first.sort_by_key(|record| record.row.row);
        let mut outcomes = BTreeMap::new();
        for record in &oldest_first {
            *outcomes.entry(record.row.outcome.as_str()).or_default() += 1;
        }
        let mut timeline: Vec<_> = oldest_first.iter().flat_map(|record| moments(record)).collect();
        // Stable: what happened at one moment stays in the order in which it was gathered.
        timeline.sort_by_key(|moment| moment.at);
        Self { tenant: tenant.to_owned(), outcomes, schedules: schedules(&oldest_first), timeline }
    }

    /// As lines for a person.
    pub(crate) fn lines(&self, now: Timestamp, for_person: bool) -> Vec<String> {
        let mut lines = vec![bold(format!("Tenant {}", clean(&self.tenant)))];
        let field = |name: &str, value: String| format!("  {}{value}", dim(format!("{name:<11}")));
        let outcomes: Vec<_> =
            self.outcomes.iter().map(|(outcome, number)| format!("{number} {outcome}")).collect();
        let all = count(self.outcomes.values().sum(), "event");
        lines.push(field("events", format!("{all}: {}", outcomes.join(", "))));
        for (number, schedule) in self.schedules.iter().enumerate() {
            let name = if number == 0 { "schedules" } else { "" };
            lines.push(field(name, schedule.told(now, for_person)));
        }
        lines.push(String::new());
        let mut told: Option<&EventId> = None;
        for moment in &self.timeline {
            lines.push(moment.told(told == Some(&moment.event)));
            lines.extend(moment.what.error());
            told = Some(&moment.event);
        }
        lines
    }
}

/// To the second, in UTC: a story is read down its left edge.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

impl Schedule {
    fn told(&self, now: Timestamp, for_person: bool) -> String {
        let state = if self.enabled { green("on") } else { dim("off") };
        let age = if for_person { format!(" ({})", ago(self.at, now)) } else { String::new() };
        format!(
            "{} of {} {state} since {}{age}, by {} {}",
            self.which.as_str(),
            clean(&self.flow_id),
            second(self.at),
            clean(&self.rule),
            dim(format!("(event {}; as Gluehook last set it)", events::short(self.event.as_str())))
        )
    }
}

impl Moment {
    /// `again`: the line before is of the same event.
    fn told(&self, again: bool) -> String {
        let id = events::short(self.event.as_str());
        let id =
            if again && !matches!(self.what, What::Came { .. }) { " ".repeat(id.len()) } else { dim(id) };
        format!("{}  {id}  {}", second(self.at), self.what.told())
    }
}

impl What {
    fn told(&self) -> String {
        let of_run =
            |run: &str| if run == LIVE { String::new() } else { dim(format!(" (run {})", clean(run))) };
        match self {
            Self::Came { kind, status, flow_id, connector, outcome, rules, .. } => {
                let words = [status.as_str(), connector, flow_id];
                let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).map(clean).collect();
                let rules =
                    if rules.is_empty() { String::new() } else { format!(" by {}", rules.join(", ")) };
                let outcome = events::outcome(*outcome);
                format!("{} {}: {outcome}{}", bold(kind), words.join(" "), clean(&rules))
            }
            Self::Attempt { run, outcome, why } => {
                format!("  {}: {}{}", events::outcome(*outcome), first_line(why), of_run(run))
            }
            Self::Step { run, rule, state, summary, perhaps_twice, .. } => {
                let twice =
                    if *perhaps_twice { "; an earlier attempt may have had the effect too" } else { "" };
                let state = events::state(*state);
                format!("  {state} {}: {}{twice}{}", clean(rule), first_line(summary), of_run(run))
            }
            Self::Would { run, rule, summary } => {
                let would = dim("would");
                format!("  {would} {}: {}{}", clean(rule), first_line(summary), of_run(run))
            }
        }
    }

    /// A second line: what went wrong.
    fn error(&self) -> Option<String> {
        let error = match self {
            Self::Came { error, .. } => Some(error.as_str()),
            Self::Step { error, .. } => error.as_deref(),
            Self::Attempt { .. } | Self::Would { .. } => None,
        };
        let error = error.filter(|error| !error.trim().is_empty())?;
        Some(format!("{:>40}{}", "", dim(telling_line(error))))
    }
}

fn moments(record: &EventRecord) -> Vec<Moment> {
    let event = &record.row.event;
    let moment = |at, what| Moment { at, event: event.id.clone(), what };
    let connector = [&event.tap, &event.connector, &event.target].into_iter().find(|name| !name.is_empty());
    let mut moments = vec![moment(
        event.received_at,
        What::Came {
            kind: event.kind.clone(),
            status: event.status.clone(),
            env_id: event.env_id.clone(),
            flow_id: event.flow_id.clone(),
            connector: connector.cloned().unwrap_or_default(),
            outcome: record.row.outcome,
            rules: events::rules(&record.row),
            error: event.error.clone(),
        },
    )];
    for decision in &record.decisions {
        moments.extend(would(decision).map(|what| moment(decision.decided_at, what)));
    }
    for step in &record.steps {
        moments.push(moment(step.changed_at, taken(step, &record.decisions)));
    }
    for attempt in &record.attempts {
        // What went well is told by its steps.
        if matches!(attempt.outcome, Outcome::Retrying | Outcome::Dead | Outcome::Discarded) {
            let why = attempt.why.clone().unwrap_or_default();
            let what = What::Attempt { run: attempt.run.clone(), outcome: attempt.outcome, why };
            moments.push(moment(attempt.at, what));
        }
    }
    moments
}

fn would(decision: &Decision) -> impl Iterator<Item = What> + '_ {
    decision.verdicts.iter().flat_map(|given| {
        let actions = given.verdict.rehearsed().unwrap_or_default();
        actions.iter().map(|action| What::Would {
            run: decision.run.clone(),
            rule: given.rule.clone(),
            summary: action.summary(),
        })
    })
}

fn taken(record: &StepRecord, decisions: &[Decision]) -> What {
    let of = |decision: &&Decision| decision.steps.iter().any(|step| step.key == record.step.key);
    let run = decisions.iter().find(of).map_or(LIVE, |decision| decision.run.as_str());
    What::Step {
        run: run.to_owned(),
        rule: record.step.rule.clone(),
        state: record.state,
        summary: record.step.action.summary(),
        error: record.error.clone(),
        perhaps_twice: record.perhaps_twice,
    }
}

/// As the last change left them: that of the newest event, and of one event the one that ended last.
fn schedules(oldest_first: &[&EventRecord]) -> Vec<Schedule> {
    let mut last = BTreeMap::new();
    for record in oldest_first {
        for step in record.steps.iter().filter(|step| step.state == StepState::Done) {
            let Action::SetSchedule { place, which, enabled, .. } = &step.step.action else { continue };
            let schedule = Schedule {
                env_id: place.env_id.clone(),
                flow_id: place.flow_id.clone(),
                which: *which,
                enabled: *enabled,
                at: step.changed_at,
                rule: step.step.rule.clone(),
                event: record.row.event.id.clone(),
            };
            let scope = (place.env_id.clone(), place.flow_id.clone(), which.as_str());
            let age = |schedule: &Schedule| schedule.at;
            if last.get(&scope).is_none_or(|known| age(known) <= age(&schedule)) {
                last.insert(scope, schedule);
            }
        }
    }
    last.into_values().collect()
}

#[cfg(test)]
mod tests;
