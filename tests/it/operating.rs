//! Repeating and mending: replays that can be watched and called off, to a developer's machine too, and the quarantine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use domain::journal::Outcome;
use sandbox::{Fault, webhook};
use serde_json::{Value, json};
use tests::stage::{Setting, Stage, WEBHOOK_SECRET};

/// Runs that are called off: what becomes of their events, and of the name.
mod calling_off;
/// Dead letters whose event has ended well since.
mod mended;
/// A queue that someone has paused.
mod pausing;

const SLACK_ONLY: &str = r#"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
channel = "first"
text = "{{ event.tenant }} failed"
[[rule.do]]
action = "slack"
channel = "second"
text = "{{ event.tenant }} failed again"
"#;

async fn stage(without_worker: bool) -> Stage {
    Stage::with(Setting { rules: Some(SLACK_ONLY.to_owned()), without_worker, ..Setting::default() }).await
}

fn failed(tenant: usize) -> String {
    webhook::job(|job| {
        job["status"] = json!("SYNC_FAILED");
        job["tenant"] = json!(format!("t{tenant}"));
    })
}

/// Runs a command that must succeed; what it printed as JSON.
async fn json(stage: &Stage, args: &[&str]) -> Value {
    let (code, said, errors) = stage.gluehook(&[&["--json"], args].concat()).await;
    assert_eq!(code, 0, "{args:?}: {said}{errors}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

async fn raw(stage: &Stage) -> jetstream::Context {
    jetstream::new(async_nats::connect(&stage.nats.url).await.unwrap())
}

/// How many messages a stream holds, and its last sequence.
async fn state(stage: &Stage, stream: &str) -> (u64, u64) {
    let mut stream = raw(stage).await.get_stream(stream).await.unwrap();
    let state = &stream.info().await.unwrap().state;
    (state.messages, state.last_sequence)
}

#[tokio::test]
async fn a_run_is_seen_and_called_off_before_any_worker_takes_it() {
    let mut stage = stage(true).await;
    for tenant in 0..5 {
        stage.post(&failed(tenant)).await;
    }
    let replayed = json(&stage, &["replay", "--since", "1h", "--run", "r1", "--yes"]).await;
    assert_eq!((&replayed["run"], &replayed["replayed"]), (&json!("r1"), &json!(5)));
    let runs = json(&stage, &["replay", "list"]).await;
    let status = json(&stage, &["replay", "status", "r1"]).await;
    let started = &status["started"];
    assert!(started.is_string(), "{status}");
    let listed =
        json!([{"run": "r1", "started": started, "events": 5, "settled": 0, "waiting": 5, "in_hand": 0}]);
    assert_eq!(runs, listed);
    // Listed by when they were begun, not by name.
    json(&stage, &["replay", "--since", "1h", "--run", "a2", "--yes"]).await;
    let runs = json(&stage, &["replay", "list"]).await;
    assert_eq!((&runs[0]["run"], &runs[1]["run"]), (&json!("a2"), &json!("r1")), "{runs}");
    let (_, table, _) = stage.gluehook(&["replay", "list"]).await;
    assert!(table.starts_with("RUN") && table.contains("STARTED"), "{table}");
    json(&stage, &["replay", "cancel", "a2"]).await;
    assert_eq!(status["progress"], json!({"events": 5, "settled": 0, "in_hand": 0, "waiting": 5}));

    let off = json(&stage, &["replay", "cancel", "r1"]).await;
    assert_eq!(off, json!({"run": "r1", "removed": 5, "dead_letters": 0, "settled": 0, "in_hand": 0}));
    assert_eq!(state(&stage, "HOOKS_REPLAY").await.0, 0);
    let (code, _, errors) = stage.gluehook(&["replay", "cancel", "r1"]).await;
    assert!(code == 1 && errors.contains("there is no run r1"), "{errors}");

    // Only the live ones are worked on.
    stage.start_worker().await;
    assert!(stage.slack.until(Duration::from_secs(60), |slack| slack.messages().len() >= 10).await);
    let again = json(&stage, &["replay", "--since", "1h", "--run", "r2", "--yes", "--wait"]).await;
    assert_eq!(again["replayed"], 5);
    assert_eq!(
        stage.slack.messages().len(),
        20,
        "five live events and five replayed ones, of two steps each"
    );
    let status = json(&stage, &["replay", "status", "r2"]).await;
    assert_eq!(status["progress"], json!({"events": 5, "settled": 5, "in_hand": 0, "waiting": 0}));
    assert_eq!(status["outcomes"], json!({"done": 5}));
}

#[tokio::test]
async fn a_plan_names_the_rules_that_the_replay_would_pause() {
    let limited =
        SLACK_ONLY.replace("name = \"tell\"", "name = \"tell\"\nlimit = { tenants = 2, per = \"10m\" }");
    let setting = Setting { rules: Some(limited), without_worker: true, ..Setting::default() };
    let stage = Stage::with(setting).await;
    for tenant in [0, 1, 1] {
        stage.post(&failed(tenant)).await;
    }
    let dry_run = ["replay", "--since", "1h", "--dry-run"];
    assert_eq!(json(&stage, &dry_run).await["would_pause"], json!([]));
    stage.post(&failed(2)).await;
    let pause = json!([{"rule": "tell", "tenants": 3, "limit_tenants": 2, "limit_seconds": 600}]);
    assert_eq!(json(&stage, &dry_run).await["would_pause"], pause);
    let (code, _, errors) = stage.gluehook(&dry_run).await;
    assert!(
        code == 0 && errors.contains("this replay pauses the rule tell") && errors.contains("3 tenants"),
        "{errors}"
    );
}

#[tokio::test]
async fn calling_off_leaves_to_workers_what_they_have_in_hand() {
    let stage = stage(false).await;
    for tenant in 0..40 {
        stage.post(&failed(tenant)).await;
    }
    assert!(stage.slack.until(Duration::from_secs(60), |slack| slack.messages().len() == 80).await);
    stage.slack.every(1, Fault::Delay(Duration::from_millis(500)));
    // One tenant's events go one by one, so that most of them wait.
    let replayed = json(&stage, &["replay", "--since", "1h", "--run", "slow", "--yes"]).await;
    assert_eq!(replayed["replayed"], 40);
    let off = json(&stage, &["replay", "cancel", "slow"]).await;
    let removed = off["removed"].as_u64().unwrap();
    stage.slack.clear_faults();
    let (code, said, errors) = stage.gluehook(&["replay", "status", "slow", "--follow"]).await;
    // Nothing is left of a run that was called off as a whole before a worker came to it.
    assert!(code == 0 || (removed == 40 && code == 1), "{said}{errors}");
    let kept = 40 - removed;
    assert_eq!(state(&stage, "HOOKS_REPLAY").await.0, kept);
    let all = usize::try_from(80 + 2 * kept).unwrap();
    assert!(stage.slack.until(Duration::from_secs(60), |slack| slack.messages().len() >= all).await);
    assert_eq!(stage.slack.messages().len(), all, "removed {removed}");
}

#[tokio::test]
async fn only_what_failed_is_gone_on_with_and_what_is_done_stays_done() {
    let stage = stage(false).await;
    let fine = stage.post(&failed(1)).await;
    stage.settled(&fine, Outcome::Done).await;
    stage.slack.only_channels(&["first"]);
    let dead = stage.post(&failed(2)).await;
    stage.settled(&dead, Outcome::Dead).await;
    stage.slack.only_channels(&[]);
    let before = stage.slack.texts();
    assert_eq!(before.len(), 3, "{before:?}");

    let (code, plan, errors) =
        stage.gluehook(&["replay", "--since", "1h", "--only-failed", "--dry-run"]).await;
    assert!(code == 0 && plan.contains("1 step done already, and not done again"), "{plan}{errors}");
    let replayed =
        json(&stage, &["replay", "--since", "1h", "--only-failed", "--run", "mend", "--yes", "--wait"]).await;
    assert_eq!(replayed["replayed"], 1);
    stage.settled(&dead, Outcome::Done).await;
    let texts = stage.slack.texts();
    assert_eq!(texts[3..], ["t2 failed again".to_owned()], "{texts:?}");
    let letters = json(&stage, &["dead", "list"]).await;
    assert_eq!(letters, json!([]), "the letter went back to work with its event");
    let (code, _, errors) = stage.gluehook(&["replay", &dead, "--only-failed", "--yes"]).await;
    assert!(code == 1 && errors.contains("of which nothing failed"), "{errors}");
}

/// What a developer's service got.
#[derive(Debug, Clone, Default)]
struct Service(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

async fn take(State(service): State<Service>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut got = service.0.lock().unwrap();
    got.push((headers, body));
    if got.len() == 2 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT }
}

impl Service {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }
}

#[tokio::test]
async fn events_are_posted_to_a_developer_and_production_does_not_notice() {
    let stage = stage(true).await;
    let bodies: Vec<_> = (0..3).map(failed).collect();
    for body in &bodies {
        stage.post(body).await;
    }
    let before = (state(&stage, "HOOKS").await, state(&stage, "HOOKS_REPLAY").await);
    let service = Service::default();
    let url = service.start().await;
    let (code, said, errors) = stage.gluehook(&["replay", "--since", "1h", "--to", &url]).await;
    assert_eq!(code, 1, "one answer was a 500: {said}{errors}");
    assert!(said.contains("204 2×") && said.contains("500 1×"), "{said}");
    let got = service.0.lock().unwrap().clone();
    for ((headers, body), sent) in got.iter().zip(&bodies) {
        assert_eq!(body, sent.as_bytes());
        assert_eq!(headers["x-hub-signature"], webhook::sign_sha1_hex(WEBHOOK_SECRET, sent));
        assert_eq!(headers["content-type"], "application/json");
    }
    assert_eq!(got.len(), 3);

    std::fs::write(stage.path("mine"), "my-own-secret").unwrap();
    let secret = format!("file:{}", stage.path("mine").display());
    let posted =
        json(&stage, &["replay", "--since", "1h", "--to", &url, "--secret", &secret, "--rate", "50"]).await;
    assert_eq!((&posted["posted"], &posted["statuses"]), (&json!(3), &json!({"204": 3})));
    let got = service.0.lock().unwrap().clone();
    assert_eq!(got[3].0["x-hub-signature"], webhook::sign_sha1_hex("my-own-secret", &bodies[0]));

    assert_eq!((state(&stage, "HOOKS").await, state(&stage, "HOOKS_REPLAY").await), before);
    let raw = raw(&stage).await;
    for (consumer, stream, pending) in [("worker", "HOOKS", 3), ("worker-replay", "HOOKS_REPLAY", 0)] {
        let mut consumer: jetstream::consumer::PullConsumer =
            raw.get_consumer_from_stream(consumer, stream).await.unwrap();
        let info = consumer.info().await.unwrap();
        assert_eq!((info.num_pending, info.num_ack_pending, info.delivered.stream_sequence), (pending, 0, 0));
    }
    assert!(!stage.path("gluehook.db").exists(), "no event log came to be");
}

#[tokio::test]
async fn a_developer_who_does_not_listen_stops_the_replay_at_once() {
    let stage = stage(true).await;
    for tenant in 0..3 {
        stage.post(&failed(tenant)).await;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (code, said, errors) = stage.gluehook(&["replay", "--since", "1h", "--to", &url]).await;
    assert_eq!(code, 1, "{said}{errors}");
    for part in ["stopped after 0 of 3 events", "--from-seq 1", "/hooks/hotglue does not answer"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let (code, _, errors) = stage.gluehook(&["replay", "--since", "1h", "--to", "http://192.0.2.1/x"]).await;
    assert_eq!(code, 2, "elsewhere is asked for: {errors}");
}

#[tokio::test]
async fn what_a_wrong_secret_refused_is_released_when_it_is_mended() {
    let stage = stage(false).await;
    let body = failed(1);
    let http = tests::stage::client();
    let post = async |secret: &str, body: &str| {
        let request = http
            .post(format!("{}/hooks/hotglue", stage.url()))
            .header("content-type", "application/json")
            .header("x-hub-signature", webhook::sign_sha1_hex(secret, body))
            .body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("the-new-secret", &body).await, 401);
    assert_eq!(post("a-stranger", &failed(2)).await, 401);
    let deadline = tokio::time::Instant::now() + tests::program::PATIENCE;
    while state(&stage, "HOOKS_REJECTED").await.0 < 2 {
        assert!(tokio::time::Instant::now() < deadline, "{}", stage.ingest.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let counts = json(&stage, &["rejected", "list", "--count"]).await;
    assert_eq!(
        (&counts["count"], &counts["by"][0]["cause"], &counts["by"][0]["endpoint"]),
        (&json!(2), &json!("mismatch"), &json!("hotglue"))
    );
    let (code, shown, errors) = stage.gluehook(&["rejected", "list"]).await;
    assert!(code == 0 && shown.contains("mismatch"), "{shown}{errors}");
    let (code, _, errors) = stage.gluehook(&["rejected", "release", "--all", "--yes"]).await;
    assert_eq!(code, 1, "nothing is proven yet: {errors}");
    assert_eq!((state(&stage, "HOOKS_REJECTED").await.0, state(&stage, "HOOKS").await.0), (2, 0));

    // The secret is mended where `gluehook` runs.
    std::fs::write(stage.path("mended"), "the-new-secret\n").unwrap();
    let config = std::fs::read_to_string(stage.path("gluehook.toml")).unwrap();
    let config = config.replace("env:HOTGLUE_WEBHOOK_SECRET", "file:mended");
    std::fs::write(stage.path("gluehook.toml"), config).unwrap();
    let all = json(&stage, &["rejected", "list"]).await;
    let request = all.as_array().unwrap().iter().find(|one| one["proven_now"] == true).unwrap();
    let sequence = request["sequence"].to_string();
    let (code, shown, errors) = stage.gluehook(&["rejected", "show", &sequence]).await;
    assert!(code == 0 && shown.contains("SYNC_FAILED") && shown.contains("proven"), "{shown}{errors}");
    assert!(!shown.contains("the-new-secret"), "{shown}");
    let (code, raw_body, _) = stage.gluehook(&["rejected", "show", &sequence, "--raw"]).await;
    assert_eq!((code, raw_body.as_str()), (0, body.as_str()));

    let would = json(&stage, &["rejected", "release", "--endpoint", "hotglue", "--dry-run"]).await;
    assert_eq!(would["would"].as_array().map(Vec::len), Some(1));
    let (code, _, _) = stage.gluehook(&["rejected", "release", "--all"]).await;
    assert_eq!(code, 2, "nobody is there to be asked");
    let released = json(&stage, &["rejected", "release", "--endpoint", "hotglue", "--yes"]).await;
    assert_eq!(released["released"].as_array().map(Vec::len), Some(1), "{released}");
    assert!(released["stay"][0]["cause"].as_str().unwrap().contains("does not match"), "{released}");
    let id = released["released"][0]["id"].as_str().unwrap();
    let record = stage.settled(id, Outcome::Done).await;
    assert_eq!(json!(record.row.event.received_at), request["received_at"], "received when it came");
    assert_eq!(state(&stage, "HOOKS_REJECTED").await.0, 1, "the stranger's stays");

    // Sent again by its sender, it is the same event.
    assert_eq!(post(WEBHOOK_SECRET, &body).await, 200);
    assert_eq!(state(&stage, "HOOKS").await.0, 1);
}

#[tokio::test]
async fn dead_letters_are_counted_and_chosen_by_what_they_are() {
    let stage = stage(false).await;
    let (code, said, errors) = stage.gluehook(&["dead", "list"]).await;
    assert!(code == 0 && said.is_empty() && errors.contains("there are no dead letters"), "{said}{errors}");
    stage.slack.only_channels(&["first"]);
    for tenant in 1..=3 {
        let id = stage.post(&failed(tenant)).await;
        stage.settled(&id, Outcome::Dead).await;
    }
    stage.slack.only_channels(&[]);
    let counts = json(&stage, &["dead", "list", "--count"]).await;
    assert_eq!((&counts["count"], &counts["by"][0]["endpoint"]), (&json!(3), &json!("hotglue")));
    for narrow in
        [["--tenant", "t2"], ["--rule", "tell"], ["--reason", "CHANNEL_NOT_FOUND"], ["--since", "1h"]]
    {
        let listed = json(&stage, &["dead", "list", narrow[0], narrow[1]]).await;
        let expected = if narrow[0] == "--tenant" { 1 } else { 3 };
        assert_eq!(listed.as_array().map(Vec::len), Some(expected), "{narrow:?}: {listed}");
    }
    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--tenant", "t9", "--yes"]).await;
    assert!(code == 1 && errors.contains("no dead letter is like that"), "{errors}");
    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--yes"]).await;
    assert!(code == 2 && errors.contains("--all"), "{errors}");
    let done = json(&stage, &["dead", "discard", "--tenant", "t2", "--yes"]).await;
    assert_eq!((done["done"].as_array().map(Vec::len), &done["failed"]), (Some(1), &json!([])));
    // A person has decided: it fails no longer.
    let thrown_away = json(&stage, &["events", "list", "--outcome", "discarded"]).await;
    let id = thrown_away[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((thrown_away.as_array().map(Vec::len), &thrown_away[0]["tenant"]), (Some(1), &json!("t2")));
    let (_, shown, _) = stage.gluehook(&["events", "show", &id]).await;
    assert!(
        shown.contains("a person threw its dead letter away") && shown.contains("gluehook dead discard"),
        "{shown}"
    );
    let (_, explained, _) = stage.gluehook(&["explain", &id]).await;
    assert!(explained.contains("a person threw its dead letter away at 20"), "{explained}");
    let (_, planned, _) = stage.gluehook(&["replay", "--since=1h", "--only-failed", "--dry-run"]).await;
    assert!(planned.contains("t1") && planned.contains("t3") && !planned.contains("t2"), "{planned}");
    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--rule", "tell", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    assert!(stage.slack.until(Duration::from_secs(60), |slack| slack.messages().len() == 5).await);
    assert_eq!(json(&stage, &["dead", "list"]).await, json!([]));
}

#[tokio::test]
async fn a_dead_letter_is_thrown_away_also_where_no_event_log_is_at_hand() {
    let mut stage = stage(false).await;
    stage.slack.only_channels(&["first"]);
    let id = stage.post(&failed(1)).await;
    stage.settled(&id, Outcome::Dead).await;
    assert!(stage.worker().stop().await.success());
    std::fs::rename(stage.path("gluehook.db"), stage.path("elsewhere.db")).unwrap();
    let (code, _, errors) = stage.gluehook(&["dead", "discard", &id, "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    let told = ["1 dead letter thrown away", "the event log was not told"];
    assert!(told.iter().all(|said| errors.contains(said)), "{errors}");
    assert_eq!(json(&stage, &["dead", "list"]).await, json!([]));
    std::fs::rename(stage.path("elsewhere.db"), stage.path("gluehook.db")).unwrap();
    assert_eq!(json(&stage, &["events", "list", "--outcome", "dead"]).await[0]["id"], json!(id));
}
