//! Webhooks that never came, found in hotglue's list of jobs.

use bus::Bus;
use domain::envelope::{Envelope, Source};
use domain::journal::Outcome;
use domain::signature::{Proof, verify};
use jiff::SignedDuration;
use sandbox::{Fault, webhook};
use serde_json::{Value, json};
use service::Clock;
use tests::program::PATIENCE;
use tests::stage::{ENV, FLOW, Stage, client};

fn ago(minutes: i64) -> String {
    (Clock::system().now() - SignedDuration::from_mins(minutes)).to_string()
}

fn job(id: &str, status: &str, minutes_ago: i64) -> Value {
    json!({
        "job_id": id, "status": status, "last_updated": ago(minutes_ago), "tap": "salesforce",
        "sync_type": "incremental_sync", "error": "KeyError: 'supplier'",
    })
}

/// An event of a tenant that was received so long ago.
async fn received(stage: &Stage, job_id: &str, minutes_ago: i64) {
    let bus = Bus::connect(&bus::Args::for_url(stage.nats.url.as_str()), "test").await.expect("NATS");
    let body = webhook::job(|sent| {
        sent["job_id"] = json!(job_id);
        sent["status"] = json!("SYNC_FAILED");
        sent["last_updated"] = json!(ago(minutes_ago));
    });
    let body = bytes::Bytes::from(body);
    let verified = verify(&Proof::None, &[], None, &body).expect("nothing to prove");
    let at = Clock::system().now() - SignedDuration::from_mins(minutes_ago);
    let envelope = Envelope::seal("hotglue", Source::Hotglue, verified, body.clone(), vec![], at);
    bus.publisher().publish(&envelope).await.expect("stored");
    stage.settled(envelope.id.as_str(), Outcome::Done).await;
}

#[tokio::test]
async fn a_job_that_ended_without_a_word_becomes_an_event_once() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    // Received long before the time that is looked at; hotglue touches the job again.
    received(&stage, "touched", 2_000).await;
    let known = stage
        .post(&webhook::job(|sent| {
            sent["job_id"] = json!("told");
            sent["status"] = json!("SYNC_FAILED");
            sent["last_updated"] = json!(ago(60));
        }))
        .await;
    stage.settled(&known, Outcome::Done).await;
    let refused = webhook::job(|sent| {
        sent["job_id"] = json!("refused");
        sent["status"] = json!("SYNC_FAILED");
    });
    let answer = client().post(format!("{}/hooks/hotglue", stage.url())).body(refused);
    let answer = answer.header("content-type", "application/json").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    // It is put there beside the answer.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while stage.gluehook(&["--json", "rejected", "list"]).await.1.trim() == "[]" {
        assert!(tokio::time::Instant::now() < deadline, "it comes into the quarantine");
    }
    tenant
        .with_job(job("touched", "SYNC_FAILED", 50))
        .with_job(job("refused", "SYNC_FAILED", 45))
        .with_job(job("told", "JOB_FAILED", 60))
        .with_job(job("untold", "SYNC_FAILED", 40))
        .with_job(job("running", "SYNC_STARTED", 30))
        .with_job(job("just-now", "SYNC_FAILED", 1));
    let messages = stage.slack.messages().len();

    let (code, shown, errors) = stage.gluehook(&["reconcile", "--dry-run"]).await;
    assert_eq!(code, 1, "what is missing is no success: {shown}{errors}");
    assert!(shown.contains("untold") && shown.contains("4 jobs ended"), "{shown}{errors}");
    assert!(["just-now", "running", "touched", "refused"].iter().all(|job| !shown.contains(job)), "{shown}");
    assert!(errors.contains("1 more webhook was refused"), "{errors}");
    let (code, _, errors) = stage.gluehook(&["reconcile"]).await;
    assert_eq!(code, 2, "nobody is there to be asked: {errors}");
    assert_eq!(stage.slack.messages().len(), messages, "looking does nothing");

    let (code, said, errors) = stage.gluehook(&["--json", "reconcile", "--yes"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&report["ended"], &report["stored"][0]["job_id"]), (&json!(4), &json!("untold")));
    let id = report["stored"][0]["id"].as_str().expect("an id").to_owned();
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.rules, ["job-failed"]);
    assert_eq!(stage.slack.messages().len(), messages + 1);

    let (code, said, errors) = stage.gluehook(&["reconcile", "--yes"]).await;
    assert!(code == 0 && !said.contains("never received"), "{said}{errors}");
    assert_eq!(stage.slack.messages().len(), messages + 1, "once");
}

#[tokio::test]
async fn a_look_with_holes_is_no_success_and_names_them() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    received(&stage, "first", 120).await;
    tenant.with_job(job("a", "SYNC_STARTED", 40)).with_job(job("b", "SYNC_STARTED", 30));
    let (code, said, errors) = stage.gluehook(&["reconcile", "--jobs", "2"]).await;
    assert!(code == 1 && errors.contains("raise --jobs"), "{said}{errors}");

    stage.hotglue.every(1, Fault::forbidden());
    let (code, said, errors) = stage.gluehook(&["reconcile"]).await;
    assert!(code == 1 && errors.contains("no answer about 1414_1"), "{said}{errors}");
    let (code, _, errors) = stage.gluehook(&["reconcile", "--tenant", "nobody"]).await;
    assert!(code == 1 && errors.contains("nobody to ask about"), "{errors}");
}

#[tokio::test]
async fn what_ended_before_anything_was_received_is_nobodys_loss() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1").with_job(job("before", "SYNC_FAILED", 300));
    received(&stage, "first", 120).await;
    let (code, said, errors) = stage.gluehook(&["reconcile", "--yes"]).await;
    assert!(code == 0 && said.contains("no job ended"), "{said}{errors}");
    assert!(errors.contains("jobs that ended before are left alone"), "{errors}");
    tenant.with_job(job("after", "SYNC_FAILED", 100));
    let (code, said, errors) = stage.gluehook(&["reconcile", "--dry-run"]).await;
    assert!(code == 1 && said.contains("after") && !said.contains("before  "), "{said}{errors}");
}
