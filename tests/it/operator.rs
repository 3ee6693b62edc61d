//! The operator's tool against a running Gluehook.

use domain::journal::Outcome;
use sandbox::hotglue::ScheduleState;
use sandbox::webhook;
use serde_json::{Value, json};
use tests::stage::{ENV, FLOW, Stage};

#[tokio::test]
async fn events_are_listed_searched_and_shown() {
    let stage = Stage::start().await;
    let failed = stage.post(&webhook::failed_job("Kaboom in stream orders")).await;
    stage.settled(&failed, Outcome::Done).await;
    let quiet = stage.post(&webhook::discover(|_| {})).await;
    stage.settled(&quiet, Outcome::NoRule).await;

    let (code, listed, errors) = stage.gluehook(&["--json", "events", "list", "--error", "kaboom"]).await;
    assert_eq!(code, 0, "{errors}");
    let rows: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(
        (&rows[0]["id"], &rows[0]["tenant"], &rows[0]["rules"]),
        (&json!(failed), &json!("1414_1"), &json!(["job-failed"]))
    );

    for narrow in [["--outcome", "no_rule"], ["--kind", "discover"], ["--status", "DISCOVER_SUCCESS"]] {
        let (_, listed, errors) = stage.gluehook(&["--json", "events", "list", narrow[0], narrow[1]]).await;
        assert!(listed.contains(&quiet) && !listed.contains(&failed), "{narrow:?}: {listed}{errors}");
    }
    let (code, shown, _) = stage.gluehook(&["events", "show", &failed[..12]]).await;
    assert!(code == 0 && shown.contains("Kaboom") && shown.contains("job-failed"), "{shown}");
    let (code, raw, _) = stage.gluehook(&["events", "show", "--raw", &quiet]).await;
    assert_eq!((code, raw), (0, webhook::discover(|_| {})));
    let (code, _, errors) = stage.gluehook(&["events", "show", "ffffffffffff"]).await;
    assert!(code == 1 && errors.contains("ffffffffffff"), "{errors}");
}

#[tokio::test]
async fn a_tenant_is_told_as_one_story() {
    let stage = Stage::start().await;
    stage.hotglue.tenant(ENV, FLOW, "1414_1").with_target("optiply");
    let synced = stage.post(&webhook::job(|_| {})).await;
    stage.settled(&synced, Outcome::Done).await;
    let failed = stage.post(&webhook::failed_job("Kaboom in stream orders")).await;
    stage.settled(&failed, Outcome::Done).await;

    let (code, told, errors) = stage.gluehook(&["tenant", "1414_1"]).await;
    assert_eq!(code, 0, "{errors}");
    let came = told.find("JOB_COMPLETED").expect("the good sync is told");
    let switched =
        told.find("done first-sync-done: source schedule of 1414_1").expect("what was done is told");
    let kaboom = told.find("Kaboom in stream orders").expect("the failure is told");
    assert!(came < switched && switched < kaboom, "{told}");
    assert!(told.contains(&format!("source of {FLOW} on since")), "{told}");

    let (_, json, _) = stage.gluehook(&["--json", "tenant", "1414_1", "--limit", "1"]).await;
    let story: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&story["timeline"][0]["event"], &story["timeline"][0]["what"]),
        (&json!(failed), &json!("came"))
    );

    let (code, told, errors) = stage.gluehook(&["tenant", "nobody"]).await;
    assert!(code == 1 && told.is_empty() && errors.contains("tenant nobody"), "{told}{errors}");
}

#[tokio::test]
async fn explain_says_why_a_rule_acted_and_why_the_others_did_not() {
    let stage = Stage::start().await;
    let failed = stage.post(&webhook::failed_job("boom")).await;
    stage.settled(&failed, Outcome::Done).await;
    let (code, said, errors) = stage.gluehook(&["explain", &failed]).await;
    assert_eq!(code, 0, "{errors}");
    for part in ["job-failed", "event.failed", "exact-unauthorized", "401 Client Error"] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    let quiet = stage.post(&webhook::discover(|_| {})).await;
    stage.settled(&quiet, Outcome::NoRule).await;
    let (code, said, errors) = stage.gluehook(&["explain", &quiet]).await;
    assert!(code == 0 && said.contains("job-failed"), "{said}{errors}");
}

#[tokio::test]
async fn replay_shows_its_plan_asks_and_then_acts_again_although_deduplicated() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1").with_target("optiply");
    let id = stage.post(&webhook::job(|_| {})).await;
    stage.settled(&id, Outcome::Done).await;
    let tenant = tenant.with_schedule(None, "cron(0 */4 * * *)", ScheduleState::Disabled);

    let (code, plan, errors) = stage.gluehook(&["replay", &id, "--dry-run"]).await;
    assert!(code == 0 && plan.contains("first-sync-done"), "{plan}{errors}");
    let (code, _, errors) = stage.gluehook(&["replay", &id]).await;
    assert_eq!(code, 2, "nobody is there to ask: {errors}");
    assert!(tenant.schedule(None).is_some_and(|s| !s.is_on()));

    let (code, _, errors) =
        stage.gluehook(&["replay", "--tenant", "1414_1", "--status", "JOB_COMPLETED", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    let record = stage
        .until(&id, "have a second run", |record| {
            record.decisions.len() == 2 && record.attempts.len() == 2 && record.row.outcome == Outcome::Done
        })
        .await;
    assert!(tenant.schedule(None).is_some_and(|s| s.is_on()), "{record:?}");
}

#[tokio::test]
async fn a_webhook_is_sent_by_hand() {
    let stage = Stage::start().await;
    let (code, said, errors) = stage.gluehook(&["send", "failed-job", "--url", stage.url()]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains("200"), "{said}");
    assert!(
        stage.slack.until(std::time::Duration::from_secs(20), |slack| !slack.messages().is_empty()).await
    );
}

#[tokio::test]
async fn doctor_finds_nothing_wrong_and_names_what_is() {
    let stage = Stage::start().await;
    let (code, said, errors) = stage.gluehook(&["doctor"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    std::fs::write(stage.path("schema.json"), "{").expect("written");
    let (code, said, errors) = stage.gluehook(&["doctor"]).await;
    assert_eq!(code, 1, "{said}{errors}");
    assert!(said.contains("schema.json") || errors.contains("schema.json"), "{said}{errors}");
}

#[tokio::test]
async fn rules_are_checked_and_their_scenarios_run() {
    let stage = Stage::start().await;
    let rules = stage.path("bad.toml");
    std::fs::write(
        &rules,
        "[[rule]]\nname = \"x\"\nwhen = [\"event.tennant\"]\n[[rule.do]]\naction = \"slak\"\n",
    )
    .expect("written");
    let (code, said, errors) = stage.gluehook(&["rules", "check", rules.to_str().expect("UTF-8")]).await;
    let all = format!("{said}{errors}");
    assert_eq!(code, 1, "{all}");
    assert!(all.contains("event.tenant") && all.contains("`slack`"), "{all}");
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/scenarios");
    let (code, said, errors) = stage.gluehook(&["rules", "test", scenarios]).await;
    assert_eq!(code, 0, "{said}{errors}");
}

#[tokio::test]
async fn the_demo_tells_its_story_and_counts_nothing_lost() {
    let server = tests::nats::program().unwrap();
    let flags = ["demo".to_owned(), format!("--nats-server={}", server.display())];
    let (code, story, errors) = tests::program::run("gluehook", &flags, &[]).await;
    assert_eq!(code, 0, "{story}{errors}");
    for part in
        ["first-sync-done", "target optiply linked", "exact-unauthorized", "DISABLED", "lost 0, repeated 0"]
    {
        assert!(story.contains(part), "{part} is missing:\n{story}");
    }
}
