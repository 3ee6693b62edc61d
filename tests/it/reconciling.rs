//! Webhooks that never came, found in hotglue's list of jobs.

use domain::journal::Outcome;
use jiff::SignedDuration;
use sandbox::{Fault, webhook};
use serde_json::{Value, json};
use service::Clock;
use tests::stage::{ENV, FLOW, Stage};

fn ago(minutes: i64) -> String {
    (Clock::system().now() - SignedDuration::from_mins(minutes)).to_string()
}

fn job(id: &str, status: &str, minutes_ago: i64) -> Value {
    json!({
        "job_id": id, "status": status, "last_updated": ago(minutes_ago), "tap": "salesforce",
        "sync_type": "incremental_sync", "error": "KeyError: 'supplier'",
    })
}

#[tokio::test]
async fn a_job_that_ended_without_a_word_becomes_an_event_once() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    let known = stage
        .post(&webhook::job(|sent| {
            sent["job_id"] = json!("told");
            sent["status"] = json!("SYNC_FAILED");
            sent["last_updated"] = json!(ago(60));
        }))
        .await;
    stage.settled(&known, Outcome::Done).await;
    let touched = stage
        .post(&webhook::job(|sent| {
            sent["job_id"] = json!("touched");
            sent["status"] = json!("SYNC_FAILED");
            sent["last_updated"] = json!(ago(600));
        }))
        .await;
    stage.settled(&touched, Outcome::Done).await;
    tenant
        .with_job(job("touched", "SYNC_FAILED", 50))
        .with_job(job("told", "SYNC_FAILED", 60))
        .with_job(job("untold", "SYNC_FAILED", 40))
        .with_job(job("running", "SYNC_STARTED", 30))
        .with_job(job("just-now", "SYNC_FAILED", 1));
    let messages = stage.slack.messages().len();

    let (code, shown, errors) = stage.gluehook(&["reconcile", "--dry-run"]).await;
    assert_eq!(code, 1, "what is missing is no success: {shown}{errors}");
    assert!(shown.contains("untold") && shown.contains("3 jobs ended"), "{shown}{errors}");
    assert!(!shown.contains("just-now") && !shown.contains("running"), "{shown}");
    let (code, _, errors) = stage.gluehook(&["reconcile"]).await;
    assert_eq!(code, 2, "nobody is there to be asked: {errors}");
    assert_eq!(stage.slack.messages().len(), messages, "looking does nothing");

    let (code, said, errors) = stage.gluehook(&["--json", "reconcile", "--yes"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&report["ended"], &report["stored"][0]["job_id"]), (&json!(3), &json!("untold")));
    let id = report["stored"][0]["id"].as_str().expect("an id").to_owned();
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.rules, ["job-failed"]);
    assert_eq!(stage.slack.messages().len(), messages + 1);

    let (code, said, errors) = stage.gluehook(&["reconcile", "--yes"]).await;
    assert!(code == 0 && said.contains("the end of each was received"), "{said}{errors}");
    assert_eq!(stage.slack.messages().len(), messages + 1, "once");
}

#[tokio::test]
async fn a_look_with_holes_is_no_success_and_names_them() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    let known = stage.post(&webhook::failed_job("boom")).await;
    stage.settled(&known, Outcome::Done).await;
    tenant.with_job(job("a", "SYNC_STARTED", 40)).with_job(job("b", "SYNC_STARTED", 30));
    let (code, said, errors) = stage.gluehook(&["reconcile", "--jobs", "2"]).await;
    assert!(code == 1 && errors.contains("raise --jobs"), "{said}{errors}");

    stage.hotglue.every(1, Fault::forbidden());
    let (code, said, errors) = stage.gluehook(&["reconcile"]).await;
    assert!(code == 1 && errors.contains("no answer about 1414_1"), "{said}{errors}");
    let (code, _, errors) = stage.gluehook(&["reconcile", "--tenant", "nobody"]).await;
    assert!(code == 1 && errors.contains("nobody to ask about"), "{errors}");
}
