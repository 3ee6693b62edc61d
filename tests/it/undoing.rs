//! Before any rule changes a schedule, it is noted how the schedule was; `gluehook undo` puts it back.

use domain::journal::{Before, EventRecord, Outcome};
use sandbox::hotglue::ScheduleState;
use sandbox::{Fault, webhook};
use serde_json::{Value, json};
use tests::stage::{ENV, FLOW, Setting, Stage};

/// No limit: every rule's changes can be undone.
const OFF: &str = r#"
[[rule]]
name = "off"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "disable_schedule"
of = "source"
"#;

const CRON: &str = "cron(5 5 * * *)";
const UNDO: [&str; 5] = ["undo", "--rule", "off", "--since", "1h"];

async fn stage(postgres: bool) -> Stage {
    Stage::with(Setting { rules: Some(OFF.to_owned()), postgres, ..Setting::default() }).await
}

fn failed(tenant: &str) -> String {
    webhook::job(|job| {
        job["tenant"] = json!(tenant);
        job["status"] = json!("SYNC_FAILED");
    })
}

fn with_schedule(stage: &Stage, tenant: &str) -> sandbox::TenantHandle {
    stage.hotglue.tenant(ENV, FLOW, tenant).with_schedule(None, CRON, ScheduleState::Enabled)
}

fn called(stage: &Stage, method: &str) -> usize {
    stage.hotglue.calls().iter().filter(|call| call.is(method, "/jobs/schedule")).count()
}

fn before(record: &EventRecord) -> Option<&Before> {
    record.steps[0].before.as_ref()
}

fn was_on() -> Before {
    Before::Schedule { expression: CRON.to_owned(), state: "ENABLED".to_owned() }
}

async fn undo(stage: &Stage, more: &[&str]) -> Value {
    let (code, said, errors) = stage.gluehook(&[&["--json"][..], &UNDO, more].concat()).await;
    assert_eq!(code, 0, "{said}{errors}");
    serde_json::from_str(&said).unwrap()
}

async fn a_change_is_noted_and_undone(postgres: bool) {
    let stage = stage(postgres).await;
    let tenant = with_schedule(&stage, "t0");
    let id = stage.post(&failed("t0")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(before(&record), Some(&was_on()));
    assert!(tenant.schedule(None).is_some_and(|schedule| !schedule.is_on()));
    let (_, shown, _) = stage.gluehook(&["explain", &id]).await;
    assert!(shown.contains("before") && shown.contains(&format!("on, {CRON}")), "{shown}");
    assert_eq!(undo(&stage, &["--yes"]).await["done"], json!(1));
    let back = tenant.schedule(None).unwrap();
    assert_eq!((back.expression.as_str(), back.state), (CRON, ScheduleState::Enabled));

    let (code, _, errors) = stage.gluehook(&["replay", &id, "--run", "again", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage
        .until(&id, "be decided anew", |record| {
            record.decisions.iter().any(|decision| decision.run == "again")
        })
        .await;
    let (_, told, _) = stage.gluehook(&["explain", &id]).await;
    let line = |part: &str| told.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{told}"));
    assert!(line("a change of off was undone").ends_with(&format!("gluehook events show {id}")), "{told}");
    assert!(line("it was decided anew").ends_with(&format!("gluehook explain {id} --run again")), "{told}");
    let (_, told, _) = stage.gluehook(&["--json", "explain", &id]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["other_runs"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(told["other_runs"][0]["undid"], json!("off"));
    assert_eq!(told["other_runs"][0]["became"], json!("1 step done"), "{told}");
    assert!(told["other_runs"][1]["at"].is_string() && told["other_runs"][1]["became"].is_string(), "{told}");
    let undone = told["other_runs"][0]["run"].as_str().unwrap();
    let record = stage.until(&id, "be there", |_| true).await;
    let version = |run: &str| {
        let decision = record.decisions.iter().find(|decision| decision.run == run);
        decision.map(|decision| decision.rulebook.clone()).unwrap()
    };
    assert_eq!(version(undone), version("live"), "that of the change which is undone");
    let (code, shown, errors) = stage.gluehook(&["explain", &id, "--run", undone]).await;
    assert!(
        code == 0 && shown.contains("a person has undone here what rule off had changed"),
        "{shown}{errors}"
    );
    let (code, _, said) = stage.gluehook(&["explain", &id, "--run", "undo-17…"]).await;
    assert!(code == 1 && said.contains("was shortened where it was shown"), "{said}");
    let (code, _, said) = stage.gluehook(&["explain", &id, "--facts", "facts.toml"]).await;
    assert!(code == 2 && said.contains("--facts goes with --payload"), "{said}");
}

#[tokio::test]
async fn what_a_rule_without_a_limit_changes_is_noted_and_undone() {
    a_change_is_noted_and_undone(false).await;
}

#[tokio::test]
async fn what_a_rule_without_a_limit_changes_is_noted_and_undone_in_postgres() {
    a_change_is_noted_and_undone(true).await;
}

#[tokio::test]
async fn while_a_schedule_can_not_be_read_it_is_not_changed_and_both_are_tried_again() {
    let stage = stage(false).await;
    with_schedule(&stage, "t0");
    stage.hotglue.next_on("GET", "/jobs/schedule", Fault::text_500());
    let id = stage.post(&failed("t0")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!((record.row.failures, before(&record)), (1, Some(&was_on())), "{:?}", record.attempts);
    assert_eq!((called(&stage, "GET"), called(&stage, "PUT")), (2, 1));

    stage.hotglue.next_on("GET", "/jobs/schedule", Fault::too_many_requests(Some(1)));
    let id = stage.post(&failed("t1")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.failures, 0, "a 429 is waited out and uses up no attempt: {:?}", record.attempts);
    assert_eq!((called(&stage, "GET"), called(&stage, "PUT")), (4, 2));
}

#[tokio::test]
async fn a_read_that_is_refused_stops_no_change_and_undo_says_that_it_can_not_be_restored() {
    for fault in [Fault::forbidden(), Fault::Status(404, "not here".to_owned())] {
        let stage = stage(false).await;
        let tenant = with_schedule(&stage, "t0");
        stage.hotglue.every_on(1, "GET", "/jobs/schedule", fault);
        let id = stage.post(&failed("t0")).await;
        let record = stage.settled(&id, Outcome::Done).await;
        assert!(tenant.schedule(None).is_some_and(|schedule| !schedule.is_on()), "it is switched off");
        assert!(matches!(before(&record), Some(Before::No { .. })), "{:?}", record.steps);
        stage.hotglue.clear_faults();
        let (code, plan, said) = stage.gluehook(&[&UNDO[..], &["--dry-run"]].concat()).await;
        assert_eq!(code, 0, "{plan}{said}");
        assert!(plan.contains("can't be restored: before-value unknown"), "{plan}");
        assert!(said.contains("1 can't be: its before-value is unknown"), "{said}");
        let done = undo(&stage, &["--yes"]).await;
        assert_eq!(done["plan"][0]["then"]["then"], json!("unknown"), "{done}");
        assert!(tenant.schedule(None).is_some_and(|schedule| !schedule.is_on()), "nothing was guessed");
        assert_eq!(undo(&stage, &["--yes", "--opposite"]).await["done"], json!(1));
    }
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_not_taken_for_how_the_schedule_was() {
    let stage = stage(false).await;
    with_schedule(&stage, "t0");
    stage.hotglue.next_on("PUT", "/jobs/schedule", Fault::CutAfter);
    let id = stage.post(&failed("t0")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(before(&record), Some(&was_on()), "{:?}", record.steps);
    assert_eq!((called(&stage, "GET"), called(&stage, "PUT")), (1, 2), "read once, before the first change");
    // The turn is the event's for a while, so that this is a plan only.
    let plan = undo(&stage, &["--dry-run"]).await;
    assert_eq!(plan["plan"][0]["then"]["action"]["expression"], json!(CRON), "{plan}");
}

#[tokio::test]
async fn a_flow_without_settings_is_asked_once_for_what_is_noted_and_what_is_sent_again() {
    const OTHER: &str = "otherFlow";
    let stage = stage(false).await;
    let tenant = stage.hotglue.tenant(ENV, OTHER, "t0").with_schedule(None, CRON, ScheduleState::Enabled);
    let body = webhook::job(|job| {
        job["tenant"] = json!("t0");
        job["flow_id"] = json!(OTHER);
        job["status"] = json!("SYNC_FAILED");
    });
    let id = stage.post(&body).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(before(&record), Some(&was_on()));
    let now = tenant.schedule(None).unwrap();
    assert_eq!((now.expression.as_str(), now.state), (CRON, ScheduleState::Disabled));
    assert_eq!((called(&stage, "GET"), called(&stage, "PUT")), (1, 1));
}

#[tokio::test]
async fn a_name_that_a_table_cut_short_is_told_as_such() {
    let stage = stage(false).await;
    let (code, _, said) = stage.gluehook(&["undo", "--rule", "exact-unauth…", "--since", "1h"]).await;
    assert!(code == 1 && said.contains("was shortened where it was shown"), "{said}");
}

#[tokio::test]
async fn a_schedule_that_can_not_be_read_for_long_is_changed_all_the_same_and_undo_says_so() {
    let stage = stage(false).await;
    let tenant = with_schedule(&stage, "t0");
    stage.hotglue.every_on(1, "GET", "/t0/jobs/schedule", Fault::text_500());
    let id = stage.post(&failed("t0")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.failures, 1, "{:?}", record.attempts);
    assert_eq!((called(&stage, "GET"), called(&stage, "PUT")), (2, 1));
    assert!(tenant.schedule(None).is_some_and(|schedule| !schedule.is_on()));
    let Some(Before::No { why }) = before(&record) else { panic!("{record:?}") };
    assert!(why.contains("500"), "{why}");
    let plan = undo(&stage, &["--dry-run"]).await;
    assert!(plan.to_string().contains("\"unknown\""), "{plan}");
}

#[tokio::test]
async fn that_no_schedule_can_be_read_stops_the_changes_of_no_tenant() {
    let stage = stage(false).await;
    let mut ids = Vec::new();
    stage.hotglue.every_on(1, "GET", "/jobs/schedule", Fault::html_502());
    for number in 0..8 {
        with_schedule(&stage, &format!("t{number}"));
        ids.push(stage.post(&failed(&format!("t{number}"))).await);
    }
    for id in &ids {
        let record = stage.settled(id, Outcome::Done).await;
        assert!(matches!(before(&record), Some(Before::No { .. })), "{record:?}");
    }
    let log = stage.worker.as_ref().unwrap().log();
    assert!(!log.contains("is down"), "{log}");
}

async fn what_people_have_changed_since_is_not_trampled(postgres: bool) {
    const OTHER: &str = "cron(9 9 * * *)";
    let stage = stage(postgres).await;
    for tenant in ["moved", "deleted", "unread", "undone", "plain"] {
        with_schedule(&stage, tenant);
        let id = stage.post(&failed(tenant)).await;
        stage.settled(&id, Outcome::Done).await;
    }
    let tenant = |name: &str| stage.hotglue.tenant(ENV, FLOW, name);
    let of = |plan: &Value, name: &str| {
        let all = plan["plan"].as_array().unwrap();
        all.iter().find(|item| item["tenant"] == json!(name)).unwrap()["then"].clone()
    };
    // It is put back, and then a person switches it off.
    assert_eq!(undo(&stage, &["--yes", "--tenant", "undone"]).await["done"], json!(1));
    tenant("undone").with_schedule(None, CRON, ScheduleState::Disabled);
    tenant("moved").with_schedule(None, OTHER, ScheduleState::Disabled);
    tenant("deleted").without_schedule(None);
    stage.hotglue.every_on(1, "GET", "/unread/jobs/schedule", Fault::text_500());

    let (code, said, errors) = stage.gluehook(&[&["--json"][..], &UNDO, &["--yes"]].concat()).await;
    let done: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &done["done"]), (1, &json!(1)), "one could not be read: {said}{errors}");
    for (name, then, part) in [
        ("moved", "left", "by hand"),
        ("deleted", "left", "deleted since"),
        ("undone", "left", "undone before"),
        ("unread", "unread", "500"),
    ] {
        let told = of(&done, name);
        assert_eq!(told["then"], json!(then), "{name}: {told}");
        assert!(told["why"].as_str().is_some_and(|why| why.contains(part)), "{name}: {told}");
    }
    assert_eq!(tenant("moved").schedule(None).unwrap().expression, OTHER);
    assert_eq!(tenant("deleted").schedule(None), None);
    assert!(tenant("undone").schedule(None).is_some_and(|schedule| !schedule.is_on()));
    assert!(tenant("plain").schedule(None).is_some_and(|schedule| schedule.is_on()));
    assert!(tenant("unread").schedule(None).is_some_and(|schedule| !schedule.is_on()));
    stage.hotglue.clear_faults();
    assert_eq!(undo(&stage, &["--yes"]).await["done"], json!(1), "the same command tries again");
    assert!(tenant("unread").schedule(None).is_some_and(|schedule| schedule.is_on()));
}

#[tokio::test]
async fn undo_tramples_nothing_that_people_have_changed_since() {
    what_people_have_changed_since_is_not_trampled(false).await;
}

#[tokio::test]
async fn undo_tramples_nothing_that_people_have_changed_since_in_postgres() {
    what_people_have_changed_since_is_not_trampled(true).await;
}

#[tokio::test]
async fn what_changes_while_a_plan_is_being_carried_out_is_left() {
    let stage = stage(false).await;
    let tenant = with_schedule(&stage, "t0");
    let id = stage.post(&failed("t0")).await;
    stage.settled(&id, Outcome::Done).await;
    // What the plan is made of is on its way for a while.
    stage.hotglue.next_on("GET", "/t0/jobs/schedule", Fault::Delay(std::time::Duration::from_secs(3)));
    let read = called(&stage, "GET");
    let person = async {
        let asked = |hotglue: &sandbox::Hotglue| {
            hotglue.calls().iter().filter(|call| call.is("GET", "/jobs/schedule")).count() == read + 1
        };
        assert!(stage.hotglue.until(std::time::Duration::from_secs(30), asked).await, "it is read");
        tenant.clone().with_schedule(None, "cron(9 9 * * *)", ScheduleState::Disabled);
    };
    let args = [&["--json"][..], &UNDO, &["--yes"]].concat();
    let ((code, said, errors), ()) = tokio::join!(stage.gluehook(&args), person);
    assert_eq!(code, 1, "{said}{errors}");
    assert!(errors.contains("changed since the plan was made"), "{errors}");
    assert_eq!(tenant.schedule(None).unwrap().expression, "cron(9 9 * * *)");
}
