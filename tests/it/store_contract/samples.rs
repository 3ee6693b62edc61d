//! Values to tell stories with.

use std::collections::BTreeMap;

use domain::action::{Action, Place, Which};
use domain::config::FlowSettings;
use domain::envelope::Source;
use domain::event::{Event, Kind};
use domain::facts::Facts;
use domain::journal::{Arrival, Brake, Quiet, Verdicts};
use domain::names::{EventId, Identity};
use domain::plan::{Decision, LIVE, NewValue, RecordedFlow, RuleVerdict, Step, StepKey, Verdict};
use jiff::{Timestamp, ToSpan as _};
use store::Store;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap().checked_add(second.seconds()).unwrap()
}

pub(super) fn id(number: u64) -> EventId {
    EventId::derive("hotglue", Identity::Given(&number.to_string()))
}

/// The event of that number, received in that second.
pub(super) fn arrival(number: u64) -> Arrival {
    let second = i64::try_from(number).unwrap();
    Arrival {
        event: Event {
            id: id(number),
            kind: Kind::Job,
            source: Source::Hotglue,
            endpoint: "hotglue".to_owned(),
            env_id: "dev.hotglue.com".to_owned(),
            flow_id: "JClkCC05S".to_owned(),
            tenant: "1414_1".to_owned(),
            job_id: format!("job{number}"),
            job_name: "nightly".to_owned(),
            tap: "exact".to_owned(),
            target: "optiply".to_owned(),
            connector: String::new(),
            status: "JOB_FAILED".to_owned(),
            completed: false,
            failed: true,
            sync_type: "incremental_sync".to_owned(),
            error: "401 Client Error: Unauthorized".to_owned(),
            failed_records: BTreeMap::new(),
            first_link: None,
            occurred_at: at(second),
            received_at: at(second),
            payload: serde_json::Value::Null,
            redacted: false,
        },
        stream_sequence: number,
        subject: "hooks.hotglue.job.JOB_FAILED.1414_1".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: b"{\"job_id\":1}".to_vec(),
        body_redacted: false,
    }
}

pub(super) fn quiet(number: u64) -> Quiet {
    let arrival = arrival(number);
    let decided_at = arrival.event.received_at;
    Quiet { arrival, run: LIVE.to_owned(), rulebook: "r1".to_owned(), decided_at }
}

pub(super) fn switch_off(tenant: &str) -> Action {
    Action::SetSchedule {
        place: Place {
            env_id: "dev.hotglue.com".to_owned(),
            flow_id: "JClkCC05S".to_owned(),
            tenant: tenant.to_owned(),
        },
        which: Which::Source,
        connector_id: None,
        expression: None,
        enabled: false,
    }
}

pub(super) fn tell(text: &str) -> Action {
    Action::Slack { channel: None, text: text.to_owned() }
}

/// A decision of the rule `rule` to take these actions.
pub(super) fn decision(number: u64, run: &str, actions: &[Action]) -> Decision {
    let event = id(number);
    let steps: Vec<Step> = actions
        .iter()
        .enumerate()
        .map(|(place, action)| Step {
            key: StepKey::new(&event, run, "rule", action),
            rule: "rule".to_owned(),
            place,
            action: action.clone(),
        })
        .collect();
    Decision {
        event,
        run: run.to_owned(),
        rulebook: "r1".to_owned(),
        decided_at: at(i64::try_from(number).unwrap()),
        facts: Facts { state_is_null: Some(true), schedule: Some(None), ..Facts::default() },
        flow: Some(RecordedFlow::from(&FlowSettings {
            target: Some("optiply".to_owned()),
            ..FlowSettings::default()
        })),
        verdicts: vec![verdict("rule", Verdict::Matched { steps: steps.len() })],
        steps,
        new_values: Vec::new(),
    }
}

pub(super) fn verdict(rule: &str, verdict: Verdict) -> RuleVerdict {
    RuleVerdict::new(rule, verdict)
}

pub(super) fn value(rule: &str, value: &str) -> NewValue {
    NewValue { rule: rule.to_owned(), value: value.to_owned() }
}

pub(super) fn verdicts(decision: &Decision) -> Verdicts<'_> {
    Verdicts {
        decision,
        scope: "env/flow/tenant",
        occurred_at: decision.decided_at,
        brake: Brake::On { tenant: "env/tenant", limits: &[] },
    }
}

/// Remembers the event and decides it; its steps are then in the ledger.
pub(super) async fn decided(store: &Store, number: u64, actions: &[Action]) -> Vec<StepKey> {
    store.remember(&arrival(number), LIVE).await.unwrap();
    let decision = decision(number, LIVE, actions);
    store.record_decision(verdicts(&decision)).await.unwrap();
    decision.steps.into_iter().map(|step| step.key).collect()
}

/// One event with one step.
pub(super) async fn one_step(store: &Store) -> StepKey {
    decided(store, 1, &[tell("hello")]).await.remove(0)
}
