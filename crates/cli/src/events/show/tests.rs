use domain::action::Action;
use domain::facts::Facts;
use domain::journal::{EventColumns, EventRow};
use domain::names::EventId;
use domain::plan::{Step, StepKey};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn row() -> EventRow {
    EventRow {
        row: 7,
        event: EventColumns {
            id: EventId::from_text("0123456789abcdef0123456789abcdef"),
            kind: "job".to_owned(),
            source: "hotglue".to_owned(),
            endpoint: "hotglue".to_owned(),
            env_id: "dev.hotglue.com".to_owned(),
            flow_id: "JClkCC05S".to_owned(),
            tenant: "acme\u{1b}[2J".to_owned(),
            job_id: "tVN_B".to_owned(),
            job_name: String::new(),
            tap: "exact".to_owned(),
            target: String::new(),
            connector: String::new(),
            status: "JOB_FAILED".to_owned(),
            sync_type: "full_sync".to_owned(),
            error: "Traceback\n\tboom\u{7}".to_owned(),
            occurred_at: at("2026-03-02T11:58:00Z"),
            received_at: at("2026-03-02T11:59:00Z"),
        },
        outcome: Outcome::Dead,
        rules: vec!["job-failed".to_owned()],
        shadow: Vec::new(),
        rulebook: Some("0a1b2c3d4e5f".to_owned()),
        deliveries: 3,
        failures: 2,
        why: Some("rule `job-failed`, slack: no answer\nmore".to_owned()),
        stream_sequence: 42,
    }
}

pub(crate) fn record() -> EventRecord {
    let action = Action::Slack { channel: None, text: "failed\nbadly".to_owned() };
    let id = row().event.id;
    let step = Step {
        key: StepKey::new(&id, LIVE, "job-failed", &action),
        rule: "job-failed".to_owned(),
        place: 0,
        action,
    };
    EventRecord {
        row: row(),
        subject: "hooks.hotglue.job.JOB_FAILED.acme".to_owned(),
        headers: vec![("user-agent".to_owned(), "x\ny".to_owned())],
        body: br#"{"b":1.0,"a":"x"}"#.to_vec(),
        body_redacted: true,
        decisions: vec![Decision {
            event: id,
            run: LIVE.to_owned(),
            rulebook: "0a1b2c3d4e5f".to_owned(),
            decided_at: at("2026-03-02T11:59:01Z"),
            facts: Facts { config_valid: Some(true), schedule: Some(None), ..Facts::default() },
            flow: None,
            verdicts: vec![
                RuleVerdict::new("job-failed", Verdict::Matched { steps: 1 }),
                RuleVerdict::new("link-made", Verdict::OtherKind),
            ],
            steps: vec![step.clone()],
            new_values: vec![],
        }],
        steps: vec![StepRecord {
            step,
            state: StepState::Failed,
            attempts: 2,
            perhaps_twice: false,
            request: Some("chat.postMessage".to_owned()),
            answer: None,
            error: Some("channel_not_found".to_owned()),
            before: None,
            changed_at: at("2026-03-02T11:59:30Z"),
        }],
        attempts: vec![Attempt {
            run: LIVE.to_owned(),
            number: 1,
            worker: "w-1".to_owned(),
            at: at("2026-03-02T11:59:30Z"),
            outcome: Outcome::Dead,
            why: Some("channel_not_found".to_owned()),
            times: 1,
        }],
    }
}

fn shown() -> String {
    let lines = lines(&record(), at("2026-03-02T12:00:00Z"), true);
    anstream::adapter::strip_str(&lines.join("\n")).to_string()
}

#[test]
fn a_person_sees_event_decision_steps_and_attempts() {
    let shown = shown();
    for expected in [
        "Event 0123456789abcdef0123456789abcdef\n",
        "  outcome     dead: rule `job-failed`, slack: no answer\n",
        "  received    2026-03-02 11:59:00Z (1m ago)\n",
        "  deliveries  3, of which failed 2\n",
        "Body (17 bytes; secrets in it were taken out)\n  {\n    \"b\": 1.0,\n    \"a\": \"x\"\n  }\n",
        "    tenant.config_valid = true\n    tenant.schedule = null\n",
        "  ✓ job-failed matched: 1 step\n  - link-made is on other kinds of events\n",
        "  1. job-failed failed Slack: failed\n",
        "       error    channel_not_found\n",
        "  1. 2026-03-02 11:59:30Z (30s ago) dead: channel_not_found run live by w-1",
    ] {
        assert!(shown.contains(expected), "{expected:?} is not in:\n{shown}");
    }
}

#[test]
fn nothing_from_outside_reaches_the_terminal_as_it_is() {
    let shown = shown();
    assert!(
        shown.contains(r"acme\u{1b}[2J") && shown.contains(r"boom\u{7}") && shown.contains(r"x\ny"),
        "{shown}"
    );
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn an_event_without_a_decision_says_where_to_ask() {
    let mut record = record();
    record.decisions.clear();
    record.row.outcome = Outcome::NoRule;
    let lines = lines(&record, at("2026-03-02T12:00:00Z"), false).join("\n");
    assert!(lines.contains("gluehook explain 0123456789abcdef0123456789abcdef"), "{lines}");
}
