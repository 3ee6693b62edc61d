//! What is told is what was done: doubts are told as doubts, and what can't be done leaves the rest alone.

use domain::journal::{Outcome, StepState};
use domain::plan::Verdict;
use sandbox::hotglue::{Change, ScheduleState};
use sandbox::{Fault, webhook};
use serde_json::json;
use tests::stage::{ENV, FLOW, Setting, Stage};

const RUN_JOB: &str = r#"
[[rule]]
name = "run"
when = ["event.completed"]
[[rule.do]]
action = "run_job"
tap = "{{ event.tap }}"
name = "again-{{ event.job_id }}"
"#;

const OFF_AND_TOLD: &str = r#"
[[rule]]
name = "off"
when = ["event.failed"]
[[rule.do]]
action = "disable_schedule"
of = "source"
[[rule.do]]
action = "slack"
text = "schedules are off"
"#;

const THREE_STEPS: &str = r#"
[[rule]]
name = "three"
when = ["event.completed"]
[[rule.do]]
action = "link_target"
when = "flow.target not in tenant.linked_targets"
[[rule.do]]
action = "slack"
text = "linked at {{ now }}"
[[rule.do]]
action = "run_job"
tap = "TAP"
name = "first"
when = "flow.target not in tenant.linked_targets"
[[rule.do]]
action = "slack"
text = "started"
"#;

async fn with_rules(rules: &str) -> Stage {
    Stage::with(Setting { rules: Some(rules.to_owned()), ..Setting::default() }).await
}

#[tokio::test]
async fn a_job_that_nobody_can_look_up_is_started_once_more_at_most_and_the_ledger_says_so() {
    let stage = with_rules(RUN_JOB).await;
    let starts = || {
        let effects = stage.hotglue.effects();
        effects.iter().filter(|effect| matches!(effect.change, Change::JobStarted { .. })).count()
    };
    stage.hotglue.every_on(1, "GET", "/jobs", Fault::Status(404, String::new()));
    stage.hotglue.next_on("POST", "/jobs", Fault::CutAfter);
    let id = stage.post(&webhook::job(|_| {})).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert!(record.steps[0].perhaps_twice, "{:?}", record.steps);
    assert_eq!(starts(), 2);

    for _ in 0..2 {
        stage.hotglue.next_on("POST", "/jobs", Fault::CutAfter);
    }
    let id = stage.post(&webhook::job(|job| job["job_id"] = json!("other"))).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.steps[0].state, StepState::Unknown, "{:?}", record.steps);
    assert_eq!(starts(), 4);
}

#[tokio::test]
async fn a_message_behind_a_schedule_that_nobody_knows_of_does_not_claim_that_it_is_off() {
    let mut stage = with_rules(OFF_AND_TOLD).await;
    let failed = |flow: &str| {
        webhook::job(|job| {
            job["status"] = json!("SYNC_FAILED");
            job["flow_id"] = json!(flow);
        })
    };
    stage.slack.every(1, Fault::text_500());
    let id = stage.post(&failed("not-set-up")).await;
    stage
        .until(&id, "have its first step done", |record| {
            record.steps.first().is_some_and(|step| step.state == StepState::Done)
        })
        .await;
    stage.worker().kill().await;
    stage.slack.clear_faults();
    stage.start_worker().await;
    stage.settled(&id, Outcome::Done).await;
    let told = stage.slack.texts().pop().unwrap();
    assert!(told.contains("no source schedule here: nothing was switched off"), "{told}");
    assert!(told.contains("set `schedule` of the flow in [[hotglue.flow]]"), "{told}");

    let id = stage.post(&failed(FLOW)).await;
    stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.texts().pop().unwrap(), "schedules are off");
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    assert_eq!(tenant.schedule(None).map(|s| s.state), Some(ScheduleState::Disabled));
}

#[tokio::test]
async fn the_steps_before_one_that_can_not_be_worked_out_are_done_and_not_once_more_when_it_is_mended() {
    let mut stage = with_rules(&THREE_STEPS.replace("TAP", "{{ event.target }}")).await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    let id = stage.post(&webhook::job(|job| job["target"] = json!(null))).await;
    let record = stage.settled(&id, Outcome::Dead).await;
    let why = record.row.why.as_deref().unwrap_or_default();
    assert!(why.contains("step 3 (run_job)") && why.contains("names no tap"), "{why}");
    let verdict = &record.decisions[0].verdicts[0].verdict;
    assert!(matches!(verdict, Verdict::Broken { steps: 2, .. }), "{verdict:?}");
    assert_eq!(tenant.targets(), ["optiply"]);
    assert_eq!(stage.slack.messages().len(), 1);

    let rules = stage.path("rules.toml");
    std::fs::write(rules.with_extension("new"), THREE_STEPS.replace("TAP", "{{ event.tap }}")).unwrap();
    std::fs::rename(rules.with_extension("new"), &rules).unwrap();
    stage.worker().line("is in force").await;
    let (code, _, errors) = stage.gluehook(&["dead", "retry", &id, "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage.settled(&id, Outcome::Done).await;
    assert_eq!(tenant.job_names(), ["first"], "although the target is linked by now");
    let texts = stage.slack.texts();
    assert!(texts.len() == 2 && texts[1] == "started", "{texts:?}");
    let links = stage.hotglue.calls().into_iter().filter(|call| call.is("POST", "/linkedTargets")).count();
    assert_eq!(links, 1);
}

#[tokio::test]
async fn a_link_of_the_flows_target_starts_no_job() {
    let stage = Stage::start().await;
    let tenant = stage
        .hotglue
        .tenant(ENV, FLOW, "1414_1")
        .with_config(sandbox::hotglue::valid_config())
        .with_null_state();
    let id = stage.post(&webhook::connection(|link| link["connector"] = json!("optiply"))).await;
    stage.settled(&id, Outcome::NoRule).await;
    assert!(tenant.job_names().is_empty());
}
