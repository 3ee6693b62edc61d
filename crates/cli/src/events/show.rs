//! One event with everything that is known of it.

use domain::journal::{Attempt, EventRecord, Outcome, StepRecord, StepState};
use domain::plan::{Decision, LIVE, RuleVerdict, Verdict};
use jiff::Timestamp;

use crate::output::{bold, clean, clean_block, dim, first_line, green, pretty_json, red, stamp, yellow};

/// An outcome in its colour.
pub(crate) fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Done => green(outcome.as_str()),
        Outcome::Dead => red(outcome.as_str()),
        Outcome::Open | Outcome::Retrying | Outcome::Held | Outcome::Folded => yellow(outcome.as_str()),
        Outcome::NoRule | Outcome::Discarded | Outcome::Dropped => dim(outcome.as_str()),
    }
}

/// A step's state in its colour.
pub(crate) fn state(state: StepState) -> String {
    match state {
        StepState::Done => green(state.as_str()),
        StepState::Failed => red(state.as_str()),
        StepState::Pending
        | StepState::Claimed
        | StepState::Unknown
        | StepState::Held
        | StepState::Folded => yellow(state.as_str()),
        StepState::Superseded | StepState::Skipped | StepState::Dropped => dim(state.as_str()),
    }
}

/// What a rule said, as mark and words.
pub(crate) fn verdict(verdict: &Verdict) -> (String, String) {
    match verdict {
        Verdict::Off => (dim("-"), "is off".to_owned()),
        Verdict::OtherKind => (dim("-"), "is on other kinds of events".to_owned()),
        Verdict::NotHeld { line, why: None } => (red("✗"), format!("condition {line} did not hold")),
        Verdict::NotHeld { line, why: Some(why) } => {
            (red("✗"), format!("condition {line} could not be worked out: {}", first_line(why)))
        }
        Verdict::Unchanged => (yellow("="), "matched, but what it watches is as it was last time".to_owned()),
        Verdict::Silenced { by } => (yellow("="), format!("matched, but {} tells the same", clean(by))),
        Verdict::Matched { steps } => {
            (green("✓"), format!("matched: {}", crate::output::count(*steps, "step")))
        }
        Verdict::Shadow { actions } => {
            let planned = crate::output::count(actions.len(), "step");
            (green("✓"), format!("matched in shadow mode: {planned} would have been taken"))
        }
        Verdict::Broken { why, steps: 0, .. } => {
            (red("!"), format!("matched, but could not be carried out: {}", first_line(why)))
        }
        Verdict::Broken { why, steps, .. } => {
            let planned = crate::output::count(*steps, "step");
            (red("!"), format!("matched: {planned}, the rest could not be carried out: {}", first_line(why)))
        }
    }
}

/// All of a record as lines for a person.
pub(crate) fn lines(record: &EventRecord, now: Timestamp, for_person: bool) -> Vec<String> {
    let page = Page { now, for_person };
    let mut lines = page.head(record);
    let error = &record.row.event.error;
    if !error.is_empty() {
        lines.extend([String::new(), bold("Error"), clean_block(error, "  ")]);
    }
    lines.extend([String::new(), bold("Headers")]);
    lines.extend(record.headers.iter().map(|(name, value)| format!("  {}: {}", clean(name), clean(value))));
    lines.extend(body(record));
    for decision in &record.decisions {
        lines.extend(page.decision(decision, &record.steps));
    }
    if record.decisions.is_empty() && record.row.outcome == Outcome::NoRule {
        let version = record.row.rulebook.as_deref().unwrap_or("unknown");
        lines.extend([
            String::new(),
            format!("{} by rulebook {}", bold("No rule took it,"), clean(version)),
            dim(format!("  gluehook explain {} tells why not", record.row.event.id)),
        ]);
    }
    if !record.attempts.is_empty() {
        lines.extend([String::new(), bold("Attempts")]);
        lines.extend(record.attempts.iter().map(|attempt| page.attempt(attempt)));
    }
    lines
}

fn body(record: &EventRecord) -> Vec<String> {
    let size = record.body.len();
    let note = if record.body_redacted { "; secrets in it were taken out" } else { "" };
    let heading = format!("{} {}", bold("Body"), dim(format!("({size} bytes{note})")));
    let text = String::from_utf8_lossy(&record.body);
    let pretty = pretty_json(&text);
    let mut lines = vec![String::new(), heading];
    if size > 0 {
        lines.push(clean_block(pretty.as_deref().unwrap_or(&text), "  "));
    }
    lines
}

struct Page {
    now: Timestamp,
    for_person: bool,
}

impl Page {
    fn time(&self, at: Timestamp) -> String {
        stamp(at, self.now, self.for_person)
    }

    fn head(&self, record: &EventRecord) -> Vec<String> {
        let row = &record.row;
        let event = &row.event;
        let mut lines = vec![bold(format!("Event {}", clean(event.id.as_str())))];
        let mut field = |name: &str, value: String| {
            if !value.is_empty() {
                lines.push(format!("  {}{value}", dim(format!("{name:<12}"))));
            }
        };
        let mut outcome = outcome(row.outcome);
        if let Some(why) = &row.why {
            outcome = format!("{outcome}: {}", first_line(why));
        }
        field("outcome", outcome);
        field("rules", clean(&super::list::rules(row).join(", ")).into_owned());
        field("kind", event.kind.clone());
        for (name, value) in [
            ("status", &event.status),
            ("tenant", &event.tenant),
            ("flow", &event.flow_id),
            ("environment", &event.env_id),
            ("tap", &event.tap),
            ("target", &event.target),
            ("connector", &event.connector),
            ("job", &event.job_id),
            ("job name", &event.job_name),
            ("sync type", &event.sync_type),
        ] {
            field(name, clean(value).into_owned());
        }
        field("occurred", self.time(event.occurred_at));
        field("received", self.time(event.received_at));
        field("endpoint", format!("{} ({})", clean(&event.endpoint), clean(&event.source)));
        field("subject", clean(&record.subject).into_owned());
        field("sequence", row.stream_sequence.to_string());
        field("deliveries", format!("{}, of which failed {}", row.deliveries, row.failures));
        lines
    }

    fn decision(&self, decision: &Decision, steps: &[StepRecord]) -> Vec<String> {
        let run = if decision.run == LIVE { "Decision" } else { "Decision of replay" };
        let name = if decision.run == LIVE { String::new() } else { format!(" {}", clean(&decision.run)) };
        let when = format!("{}, rulebook {}", self.time(decision.decided_at), clean(&decision.rulebook));
        let mut lines = vec![String::new(), format!("{}{name} {}", bold(run), dim(when))];
        lines.extend(facts(&decision.facts));
        lines.extend(decision.verdicts.iter().map(rule));
        lines.extend(self.steps(&decision.run, decision, steps));
        lines
    }

    fn steps(&self, run: &str, decision: &Decision, records: &[StepRecord]) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, step) in decision.steps.iter().enumerate() {
            let summary = first_line(&step.action.summary()).into_owned();
            let head = format!("  {}. {} ", number + 1, clean(&step.rule));
            match records.iter().find(|record| record.step.key == step.key) {
                Some(record) => {
                    lines.push(format!("{head}{} {summary}", state(record.state)));
                    lines.extend(self.went(record));
                }
                None => lines.push(format!("{head}{} {summary}", dim("not begun"))),
            }
        }
        if !lines.is_empty() {
            lines.insert(0, format!("  {}", dim(format!("steps of run {}", clean(run)))));
        }
        lines
    }

    fn went(&self, record: &StepRecord) -> Vec<String> {
        let mut lines = Vec::new();
        let mut field = |name: &str, value: &str| {
            lines.push(format!("       {}{}", dim(format!("{name:<9}")), first_line(value)));
        };
        for (name, value) in
            [("asked", &record.request), ("answer", &record.answer), ("error", &record.error)]
        {
            if let Some(value) = value {
                field(name, value);
            }
        }
        if let Some(before) = &record.before {
            field("before", &before.summary());
        }
        if record.perhaps_twice {
            field("note", "an earlier attempt may have had the effect too");
        }
        field("begun", &crate::output::count(usize::try_from(record.attempts).unwrap_or(usize::MAX), "time"));
        field("changed", &self.time(record.changed_at));
        lines
    }

    fn attempt(&self, attempt: &Attempt) -> String {
        let why = attempt.why.as_deref().map(|why| format!(": {}", first_line(why))).unwrap_or_default();
        let by = dim(format!("run {} by {}", clean(&attempt.run), clean(&attempt.worker)));
        let times = if attempt.times > 1 { format!(" ({} times)", attempt.times) } else { String::new() };
        let (number, outcome) = (attempt.number, outcome(attempt.outcome));
        format!("  {number}. {} {outcome}{why}{times} {by}", self.time(attempt.at))
    }
}

/// The facts that were read, one per line.
pub(crate) fn facts(facts: &domain::facts::Facts) -> Vec<String> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(facts) else { return Vec::new() };
    let mut lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| {
            let name = if name == "last_values" { name.clone() } else { format!("tenant.{name}") };
            format!("    {name} = {}", clean(&value.to_string()))
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, format!("  {}", dim("facts that were read")));
    }
    lines
}

fn rule(RuleVerdict { rule, verdict: said, .. }: &RuleVerdict) -> String {
    let (mark, words) = verdict(said);
    format!("  {mark} {} {words}", clean(rule))
}

#[cfg(test)]
pub(crate) mod tests;
