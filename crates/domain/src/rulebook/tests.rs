mod deciding;
mod exporting;
mod language;
mod linting;

use serde_json::json;

use super::scenario::{describe, read_event};
use super::*;
use crate::facts::{Fact, Need};
use crate::plan::{LIVE, Verdict};

fn event(payload: &serde_json::Value) -> Event {
    read_event(payload.to_string().as_bytes()).expect("JSON")
}

fn failed_job() -> Event {
    event(&json!({
        "job_id": "j1", "env_id": "e", "flow_id": "f", "tenant": "1414_1", "tap": "salesforce", "job_name": "nightly",
        "status": "SYNC_FAILED", "error": "boom <!channel> & more",
    }))
}

fn case<'a>(event: &'a Event, facts: &'a Facts, flow: &'a FlowSettings) -> Case<'a> {
    let now = "2024-10-07T08:00:00Z".parse().expect("a time");
    Case { event, facts, flow, date_format: "%Y%m%d", run: LIVE, replayed: false, now }
}

fn flow() -> FlowSettings {
    FlowSettings {
        schedule: Some("cron(0 */4 * * *)".to_owned()),
        target: Some("optiply".to_owned()),
        target_schedule: Some("cron(30 */4 * * *)".to_owned()),
        ..FlowSettings::default()
    }
}

fn book(text: &str) -> Rulebook {
    Rulebook::parse(text).unwrap_or_else(|complaints| panic!("{complaints:?}"))
}

fn refused(text: &str) -> String {
    let complaints = Rulebook::parse(text).expect_err("refused");
    complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn decided(book: &Rulebook, event: &Event, facts: &Facts) -> Plan {
    book.decide(&case(event, facts, &flow())).expect("nothing to ask")
}

fn only_verdict(book: &Rulebook, event: &Event, facts: &Facts) -> Verdict {
    decided(book, event, facts).verdicts[0].verdict.clone()
}

fn slack(text: &str) -> String {
    format!("[[rule]]\nname = \"r\"\n[[rule.do]]\naction = \"slack\"\ntext = '''{text}'''\n")
}

/// What a Slack text comes out as.
fn told(text: &str) -> String {
    let plan = decided(&book(&slack(text)), &failed_job(), &Facts::default());
    match plan.steps.first().map(|step| &step.action) {
        Some(crate::action::Action::Slack { text, .. }) => text.clone(),
        other => panic!("{other:?}, {:?}", plan.verdicts),
    }
}

fn broken(text: &str) -> String {
    match only_verdict(&book(&slack(text)), &failed_job(), &Facts::default()) {
        Verdict::Broken { why, steps: 0, .. } => why,
        other => panic!("{other:?}"),
    }
}
