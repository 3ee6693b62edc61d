//! A recorded event, seen again by the rules that decided about it.

use std::collections::BTreeMap;

use anyhow::Result;
use bytes::Bytes;
use domain::config::{Config, FlowSettings};
use domain::envelope::{Envelope, Source};
use domain::facts::Facts;
use domain::journal::{Attempt, EventRecord, Outcome, Span, StepRecord};
use domain::plan::{Decision, LIVE, Verdict};
use domain::rulebook::{Case, Explanation, Rulebook};
use domain::shadow::{Fate, Playing};
use jiff::{SignedDuration, Timestamp};
use store::Store;

use super::{Explained, OtherRun, headline, read, unreadable};
use crate::Misused;
use crate::events::unknown;
use crate::output::{clean, count, first_line};

/// So many times the time of a limit or a fold is looked back: a pause may go on from one to the next.
const PLAYED: u32 = 10;
/// Events that are read at once.
const PAGE: u32 = 2_000;

/// What a person asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) id: &'a str,
    pub(super) run: Option<&'a str>,
    pub(super) with_current: bool,
}

/// The inner error is a sentence: there is no such event or run.
pub(super) async fn explain(
    store: &Store,
    config: &Config,
    current: Result<Rulebook, Misused>,
    wanted: Wanted<'_>,
) -> Result<Result<Explained, String>> {
    let Some(record) = store.event(wanted.id).await? else { return Ok(Err(unknown(wanted.id))) };
    let decision = match choose(&record, wanted.run) {
        Ok(decision) => decision,
        Err(sentence) => return Ok(Err(sentence)),
    };
    let mut notes = Vec::new();
    let current_version = current.as_ref().ok().map(|current| current.version().to_owned());
    let decided_by = decision.map(|decision| decision.rulebook.as_str()).or(record.row.rulebook.as_deref());
    let rulebook = rulebook(store, decided_by, current, wanted.with_current, &mut notes).await?;
    let Some(envelope) = envelope(&record) else {
        return Ok(Err(format!(
            "events of the source {} are not known to this version",
            record.row.event.source
        )));
    };
    let event = read(&envelope, config);
    let facts = decision.map_or_else(Facts::default, |decision| decision.facts.clone());
    let run = decision.map_or(LIVE, |decision| decision.run.as_str());
    let today = config.hotglue.flow(&event.flow_id);
    notes.extend(other_settings(decision, &today));
    let flow = decision.map_or_else(|| today.clone(), |decision| decision.flow_settings(today.clone()));
    let known = facts.as_in_life(&rulebook);
    let case = Case {
        event: &event,
        facts: &known,
        flow: &flow,
        date_format: &config.hotglue.date_format,
        run,
        replayed: run != LIVE,
        now: decision.map_or(record.row.event.received_at, |decision| decision.decided_at),
    };
    let explanation = rulebook.explain(&case);
    if let Some(rule) = decision.and_then(crate::undo::undone) {
        notes.push(format!(
            "a person has undone here what rule {} had changed: no rule decided on it; the rulebook is that of the change",
            clean(rule)
        ));
    } else if decided_by == Some(explanation.rulebook.as_str()) {
        notes.extend(settings(&record, decision, &explanation));
    }
    notes.extend(thrown_away(&record));
    let decided_by = decided_by.map(str::to_owned);
    let flow_of_today = decided_by.is_some() && decision.is_none_or(|decision| decision.flow.is_none());
    Ok(Ok(Explained {
        run: run.to_owned(),
        decided_at: decision.map(|decision| decision.decided_at),
        decided_by,
        current_rulebook: current_version,
        notes,
        unreadable: unreadable(&envelope, config).map(|why| {
            let id = &record.row.event.id;
            match record.row.outcome {
                Outcome::Dead => format!("{why}; it is in the dead letters: gluehook dead show {id}"),
                _ => why,
            }
        }),
        headline: format!("Event {}: {}", record.row.event.id, headline(&event)),
        recorded: decision.map(|decision| decision.verdicts.clone()).unwrap_or_default(),
        rehearsed: fates(store, &record, decision).await?,
        recorded_steps: decision.map(|decision| steps(&record, decision)).unwrap_or_default(),
        other_runs: other_runs(&record, run),
        facts,
        flow_of_today,
        explanation,
    }))
}

/// What the limits and folds of rules in shadow would have made of it, counted from the events before.
async fn fates(
    store: &Store,
    record: &EventRecord,
    decision: Option<&Decision>,
) -> Result<BTreeMap<String, Fate>> {
    let Some(decision) = decision.filter(|decision| decision.run == LIVE) else { return Ok(BTreeMap::new()) };
    let terms = decision.verdicts.iter().filter_map(|given| given.terms.as_ref());
    let pers = terms.flat_map(|terms| {
        [terms.limit.map(|limit| limit.per), terms.fold.map(|fold| fold.per)].into_iter().flatten()
    });
    let Some(longest) = pers.max() else { return Ok(BTreeMap::new()) };
    let id = &record.row.event.id;
    let before = SignedDuration::try_from(longest.saturating_mul(PLAYED)).unwrap_or(SignedDuration::MAX);
    let received_at = record.row.event.received_at;
    let span = Span {
        since: Some(received_at.checked_sub(before).unwrap_or(Timestamp::MIN)),
        until: None,
        tenant: None,
        bodies_of: Vec::new(),
    };
    let Some(rows) = store.recorded_rows(&span).await? else { return Ok(BTreeMap::new()) };
    let (mut playing, mut after) = (Playing::default(), rows.first.saturating_sub(1));
    loop {
        let page = store.recorded(&span, rows, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(BTreeMap::new()) };
        after = last.row;
        for decision in page.iter().filter_map(|event| event.decision.as_ref()) {
            let fates = playing.play(decision);
            if decision.event == *id {
                return Ok(fates.into_iter().collect());
            }
        }
    }
}

/// A worker that only observes notes a rule that matches as one in shadow.
pub(super) fn same(then: Option<&Verdict>, now: Option<&Verdict>) -> bool {
    match (then, now) {
        (Some(Verdict::Shadow { actions }), Some(Verdict::Matched { steps })) => actions.len() == *steps,
        (Some(Verdict::Broken { why: then, .. }), Some(Verdict::Broken { why: now, .. })) => then == now,
        (then, now) => then == now,
    }
}

fn thrown_away(record: &EventRecord) -> Option<String> {
    let last = record.attempts.iter().max_by_key(|attempt| (attempt.at, attempt.number))?;
    (last.outcome == Outcome::Discarded).then(|| {
        let at = last.at.strftime("%Y-%m-%dT%H:%M:%SZ");
        format!(
            "it was given up, and a person threw its dead letter away at {at}: nothing more is done about it"
        )
    })
}

/// The settings of its flow that were recorded are read also where they are others today.
fn other_settings(decision: Option<&Decision>, today: &FlowSettings) -> Option<String> {
    let other = decision?.flow.as_ref()?.differing(today);
    (!other.is_empty()).then(|| {
        format!(
            "settings of its flow are other ones in the configuration of today ({}); these are those of then",
            other.join(", ")
        )
    })
}

/// Settings that are not recorded are read as they are today: those of the flow of an event that no rule took, or that an
/// older version decided about, and what is taken for a failed record. Says so where the very rules that decided come to
/// something else with them.
fn settings(record: &EventRecord, decision: Option<&Decision>, explanation: &Explanation) -> Vec<String> {
    let mut notes = Vec::new();
    let differing: Vec<_> = explanation
        .rules
        .iter()
        .filter(|rule| match decision {
            Some(decision) => {
                let then = decision.verdicts.iter().find(|given| given.rule == rule.name);
                !same(then.map(|given| &given.verdict), rule.verdict.as_ref())
            }
            // Nothing but its outcome is recorded of an event that no rule took at once.
            None => {
                record.row.outcome == Outcome::NoRule
                    && !matches!(
                        rule.verdict,
                        Some(
                            Verdict::Off
                                | Verdict::OtherKind
                                | Verdict::NotHeld { .. }
                                | Verdict::Unchanged
                                | Verdict::Silenced { .. }
                        )
                    )
            }
        })
        .map(|rule| clean(&rule.name))
        .collect();
    if !differing.is_empty() {
        notes.push(format!(
            "settings in the configuration have changed since it was decided: with those of today the same rules come to something else ({})",
            differing.join(", ")
        ));
    }
    notes
}

/// Every other run of the event, oldest first: also one in which nothing was decided, because no attempt got so far.
fn other_runs(record: &EventRecord, shown: &str) -> Vec<OtherRun> {
    let mut runs: Vec<&str> = record.decisions.iter().map(|decision| decision.run.as_str()).collect();
    for attempt in &record.attempts {
        if !runs.contains(&attempt.run.as_str()) {
            runs.push(&attempt.run);
        }
    }
    runs.retain(|run| *run != shown);
    let mut others: Vec<_> = runs.into_iter().filter_map(|run| other_run(record, run)).collect();
    let live = record.decisions.iter().any(|decision| decision.run == LIVE);
    if let (false, false, Some(_)) = (shown == LIVE, live, &record.row.rulebook) {
        // No decision is kept of an event that no rule took at once.
        others.push(OtherRun {
            run: LIVE.to_owned(),
            at: record.row.event.received_at,
            decided_at: None,
            outcome: Some(Outcome::NoRule),
            became: "no rule took it when it came in".to_owned(),
            undid: None,
            command: format!("gluehook explain {} --run {LIVE}", record.row.event.id),
        });
    }
    others.sort_by_key(|other| other.at);
    others
}

fn other_run(record: &EventRecord, run: &str) -> Option<OtherRun> {
    let id = &record.row.event.id;
    let decision = record.decisions.iter().find(|decision| decision.run == run);
    let attempts = record.attempts.iter().filter(|attempt| attempt.run == run);
    let last = attempts.max_by_key(|attempt| (attempt.at, attempt.number));
    let decided_at = decision.map(|decision| decision.decided_at);
    let undid = decision.and_then(crate::undo::undone).map(str::to_owned);
    let command = match (&undid, decision) {
        (None, Some(_)) => format!("gluehook explain {id} --run {run}"),
        (Some(_), _) | (None, None) => format!("gluehook events show {id}"),
    };
    Some(OtherRun {
        run: run.to_owned(),
        at: decided_at.or(last.map(|attempt| attempt.at))?,
        decided_at,
        outcome: last.map(|attempt| attempt.outcome),
        became: became(record, decision, last),
        undid,
        command,
    })
}

/// What became of a run, in words: its end, what rules in shadow would have done, and how its steps ended.
fn became(record: &EventRecord, decision: Option<&Decision>, last: Option<&Attempt>) -> String {
    let mut told: Vec<String> = Vec::new();
    if let Some(last) = last {
        let why = last.why.as_deref().map(|why| format!(" ({})", first_line(why))).unwrap_or_default();
        told.push(format!("{}{why}", last.outcome.as_str()));
    }
    let verdicts = decision.map_or(&[][..], |decision| &decision.verdicts);
    let in_shadow = verdicts.iter().filter(|given| given.verdict.is_shadow()).count();
    if in_shadow > 0 {
        told.push(format!("{} in shadow", count(in_shadow, "rule")));
    }
    let mut states: Vec<(&str, usize)> = Vec::new();
    for step in decision.map(|decision| steps(record, decision)).unwrap_or_default() {
        match states.iter_mut().find(|(state, _)| *state == step.state.as_str()) {
            Some((_, number)) => *number += 1,
            None => states.push((step.state.as_str(), 1)),
        }
    }
    told.extend(states.into_iter().map(|(state, number)| format!("{} {state}", count(number, "step"))));
    if told.is_empty() { "nothing was to be done".to_owned() } else { told.join(", ") }
}

/// The decision of the run that was asked for; unless one was, the live one, else the latest.
fn choose<'a>(record: &'a EventRecord, run: Option<&str>) -> Result<Option<&'a Decision>, String> {
    let of = |run: &str| record.decisions.iter().find(|decision| decision.run == run);
    let Some(run) = run else { return Ok(of(LIVE).or(record.decisions.last())) };
    if let Some(decision) = of(run) {
        return Ok(Some(decision));
    }
    let runs: Vec<_> = record.decisions.iter().map(|decision| clean(&decision.run)).collect();
    if run == LIVE {
        return Ok(None);
    }
    if let Some(said) = crate::undo::shortened(run) {
        return Err(said);
    }
    let there_are = if runs.is_empty() {
        "no decision is recorded for it".to_owned()
    } else {
        format!("it was decided in: {}", runs.join(", "))
    };
    Err(format!("event {} has no decision of run {}; {there_are}", record.row.event.id, clean(run)))
}

/// The rules that decided, as they were; else those of today, with a note that says so.
async fn rulebook(
    store: &Store,
    decided_by: Option<&str>,
    current: Result<Rulebook, Misused>,
    with_current: bool,
    notes: &mut Vec<String>,
) -> Result<Rulebook> {
    let current = match current {
        Ok(current) => current,
        Err(misused) if with_current => return Err(misused.into()),
        Err(misused) => return as_decided(store, decided_by, misused, notes).await,
    };
    let Some(version) = decided_by else {
        notes.push("nothing has been decided about it yet; these are the rules of today".to_owned());
        return Ok(current);
    };
    if version == current.version() {
        return Ok(current);
    }
    if with_current {
        notes.push(format!(
            "rulebook {} decided; this is what the rules of today, {}, say",
            clean(version),
            current.version()
        ));
        return Ok(current);
    }
    match store.rulebook(version).await?.map(|text| Rulebook::parse(&text)) {
        Some(Ok(decided)) => {
            notes.push(format!(
                "the rules of today, {}, differ from those that decided: --current evaluates them",
                current.version()
            ));
            Ok(decided)
        }
        Some(Err(_)) => {
            notes.push(format!(
                "rulebook {} decided, and this version of Gluehook can't read it any more; these are the rules of today",
                clean(version)
            ));
            Ok(current)
        }
        None => {
            notes.push(format!(
                "rulebook {} decided, and its text is not in the event log; these are the rules of today",
                clean(version)
            ));
            Ok(current)
        }
    }
}

/// The rules of today can't be read: what is stored is shown all the same, and not compared with them.
async fn as_decided(
    store: &Store,
    decided_by: Option<&str>,
    misused: Misused,
    notes: &mut Vec<String>,
) -> Result<Rulebook> {
    if let Some(version) = decided_by
        && let Some(Ok(decided)) = store.rulebook(version).await?.map(|text| Rulebook::parse(&text))
    {
        notes.push(format!(
            "the rules of today can't be read, so it is not said whether they differ: {}",
            first_line(&misused.0)
        ));
        return Ok(decided);
    }
    Err(misused.into())
}

/// The event as it came out of the queue, secrets taken out.
pub(super) fn envelope(record: &EventRecord) -> Option<Envelope> {
    let event = &record.row.event;
    Some(Envelope::unsealed_from_queue(
        event.id.clone(),
        event.endpoint.clone(),
        Source::from_text(&event.source)?,
        event.received_at,
        record.subject.clone(),
        record.headers.clone(),
        Bytes::from(record.body.clone()),
    ))
}

fn steps(record: &EventRecord, decision: &Decision) -> Vec<StepRecord> {
    let of_decision = |step: &&StepRecord| decision.steps.iter().any(|planned| planned.key == step.step.key);
    record.steps.iter().filter(of_decision).cloned().collect()
}
