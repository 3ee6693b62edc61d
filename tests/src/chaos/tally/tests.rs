use domain::names::EventId;
use domain::plan::{Step, StepKey};
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::chaos::load::sent;

/// How a house lies.
type Lie = fn(&mut Seen);

/// An honest house: one event of each kind, all as it must be.
fn honest() -> Seen {
    let mut seen = Seen { waiting: Some(0), ..Seen::default() };
    for (at, kind) in [Kind::Quiet, Kind::Failed, Kind::Start, Kind::Poison].into_iter().enumerate() {
        let mut event = sent(at, kind, "t1".to_owned());
        event.stored = 1;
        let (outcome, steps) = match kind {
            Kind::Quiet => (Outcome::NoRule, vec![]),
            Kind::Poison => (Outcome::Dead, vec![]),
            Kind::Failed => (Outcome::Done, vec![slack("told e1"), schedule(false)]),
            Kind::Completed | Kind::Start => {
                (Outcome::Done, vec![schedule(true), run_job("started-e2"), slack("started e2")])
            }
        };
        seen.log.insert(event.id.clone(), record(&event, outcome, steps));
        if outcome == Outcome::Dead {
            seen.letters.push((event.id.clone(), LIVE.to_owned()));
        }
        seen.sent.push(event);
    }
    seen.texts = vec!["told e1".to_owned(), "started e2".to_owned()];
    seen.jobs = vec!["started-e2".to_owned()];
    seen.schedules.insert("t1".to_owned(), true);
    seen.news.insert("t1".to_owned(), "JOB_COMPLETED".to_owned());
    seen
}

fn slack(text: &str) -> Action {
    Action::Slack { channel: None, text: text.to_owned() }
}

fn action(value: serde_json::Value) -> Action {
    serde_json::from_value(value).unwrap()
}

fn schedule(enabled: bool) -> Action {
    action(json!({
        "action": "set_schedule", "env_id": "e", "flow_id": "f", "tenant": "t1", "which": "source",
        "connector_id": null, "expression": null, "enabled": enabled,
    }))
}

fn run_job(name: &str) -> Action {
    action(json!({
        "action": "run_job", "env_id": "e", "flow_id": "f", "tenant": "t1", "tap": "x", "name": name,
    }))
}

fn record(event: &Sent, outcome: Outcome, actions: Vec<Action>) -> EventRecord {
    let step = |action: Action| StepRecord {
        step: Step {
            key: StepKey::new(&EventId::from_text(&event.id), LIVE, "rule", &action),
            rule: "rule".to_owned(),
            place: 0,
            action,
        },
        state: StepState::Done,
        attempts: 1,
        perhaps_twice: false,
        request: None,
        answer: None,
        error: None,
        before: None,
        changed_at: Timestamp::UNIX_EPOCH,
    };
    let text = String::new;
    let event = domain::journal::EventColumns {
        id: EventId::from_text(&event.id),
        kind: text(),
        source: text(),
        endpoint: text(),
        env_id: text(),
        flow_id: text(),
        tenant: event.tenant.clone(),
        job_id: event.job.clone(),
        job_name: text(),
        tap: text(),
        target: text(),
        connector: text(),
        status: text(),
        sync_type: text(),
        error: text(),
        occurred_at: Timestamp::UNIX_EPOCH,
        received_at: Timestamp::UNIX_EPOCH,
    };
    let row = domain::journal::EventRow {
        row: 1,
        event,
        outcome,
        rules: Vec::new(),
        shadow: Vec::new(),
        rulebook: None,
        deliveries: 1,
        failures: 0,
        why: None,
        stream_sequence: 1,
    };
    EventRecord {
        row,
        subject: text(),
        headers: Vec::new(),
        body: Vec::new(),
        body_redacted: false,
        decisions: Vec::new(),
        steps: actions.into_iter().map(step).collect(),
        attempts: Vec::new(),
    }
}

fn id(seen: &Seen, kind: Kind) -> String {
    seen.sent.iter().find(|sent| sent.kind == kind).unwrap().id.clone()
}

fn step<'a>(seen: &'a mut Seen, word: &str) -> &'a mut StepRecord {
    let steps = seen.log.values_mut().flat_map(|record| &mut record.steps);
    steps.into_iter().find(|step| step.step.action.word() == word).unwrap()
}

#[test]
fn an_honest_house_broke_no_promise() {
    let tally = tally(&honest());
    assert_eq!(tally.violations, Vec::<String>::new());
    let figures = (tally.posted, tally.answered, tally.logged, tally.steps, tally.dead);
    assert_eq!(figures, (4, 4, 4, 5, 1));
}

#[test]
fn whatever_is_lost_is_found() {
    let lies: [(&str, Lie); 9] = [
        ("an event", |seen| {
            let id = id(seen, Kind::Quiet);
            seen.log.remove(&id);
        }),
        ("an end", |seen| {
            let id = id(seen, Kind::Failed);
            seen.log.get_mut(&id).unwrap().row.outcome = Outcome::Retrying;
        }),
        ("a message", |seen| {
            seen.texts.pop();
        }),
        ("a job", |seen| seen.jobs.clear()),
        ("a step", |seen| {
            let id = id(seen, Kind::Start);
            seen.log.get_mut(&id).unwrap().steps.remove(1);
        }),
        ("a step's end", |seen| step(seen, "run_job").state = StepState::Claimed),
        ("a dead letter", |seen| seen.letters.clear()),
        ("the log of a dead letter", |seen| seen.letters.push(("unknown".to_owned(), LIVE.to_owned()))),
        ("half of what may be there twice", |seen| {
            step(seen, "slack").perhaps_twice = true;
            seen.texts.clear();
        }),
    ];
    for (what, lie) in lies {
        let mut seen = honest();
        lie(&mut seen);
        let tally = tally(&seen);
        assert!(tally.lost > 0, "{what}: {:?}", tally.violations);
    }
}

#[test]
fn whatever_is_repeated_is_found_unless_its_step_says_so() {
    let mut twice = honest();
    twice.texts.extend(honest().texts);
    assert_eq!(tally(&twice).repeated, 2);
    let mut job = honest();
    job.jobs.extend(honest().jobs);
    assert_eq!(tally(&job).repeated, 1);
    step(&mut job, "run_job").perhaps_twice = true;
    assert_eq!(tally(&job).repeated, 1, "a job is never started twice");

    let mut said = honest();
    for record in said.log.values_mut() {
        record.steps.iter_mut().for_each(|step| step.perhaps_twice = true);
    }
    said.texts.extend(honest().texts);
    assert_eq!(tally(&said).repeated, 0, "one repeat is allowed");
    said.texts.extend(honest().texts);
    assert_eq!(tally(&said).repeated, 2, "two are not");
}

#[test]
fn whatever_else_is_wrong_is_found() {
    let lies: [(&str, Lie); 8] = [
        ("an older event's schedule", |seen| {
            seen.schedules.insert("t1".to_owned(), false);
        }),
        ("an older event's value", |seen| {
            seen.news.insert("t1".to_owned(), "SYNC_FAILED".to_owned());
        }),
        ("a queue that is not empty", |seen| seen.waiting = Some(1)),
        ("a queue that says nothing", |seen| seen.waiting = None),
        ("a message from nowhere", |seen| seen.texts.push("hello".to_owned())),
        ("an event from nowhere", |seen| seen.sent.truncate(3)),
        ("a good event that was given up", |seen| {
            let id = id(seen, Kind::Failed);
            seen.log.get_mut(&id).unwrap().row.outcome = Outcome::Dead;
            seen.letters.push((id, LIVE.to_owned()));
        }),
        ("an answer that blames the sender", |seen| seen.sent[0].complaints.push("400".to_owned())),
    ];
    for (what, lie) in lies {
        let mut seen = honest();
        lie(&mut seen);
        assert!(!tally(&seen).violations.is_empty(), "{what}");
    }
}
