//! Workers that die, and what they die over.

use std::time::Duration;

use bus::{Bus, StreamName};
use domain::journal::{Outcome, StepState};
use domain::names::EventId;
use sandbox::{Fault, webhook};
use serde_json::{Value, json};
use service::Clock;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use store::{Access, Store};
use tests::program::PATIENCE;
use tests::stage::{Setting, Stage};

const TELL: &str = r#"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} failed"
"#;

const SCHEDULE: &str = r#"
[[rule]]
name = "on"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "enable_schedule"
"#;

fn failed() -> String {
    webhook::job(|job| job["status"] = json!("SYNC_FAILED"))
}

/// Takes what is in the queue as a worker does that dies with it.
async fn taken_and_never_settled(stage: &Stage) {
    let bus = Bus::connect(&bus::Args::for_url(&stage.nats.url), "test").await.unwrap();
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    for _ in 0..2 {
        for delivery in consumer.next_batch(1).await.unwrap() {
            delivery.again_in(Duration::from_millis(1)).await.unwrap();
        }
    }
    bus.drain().await;
}

#[tokio::test]
async fn an_event_that_every_worker_dies_over_reading_ends_in_the_dead_letters_with_the_number_of_attempts() {
    let setting = Setting { rules: Some(TELL.to_owned()), ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    assert!(stage.worker().stop().await.success());
    let id = stage.post(&failed()).await;
    taken_and_never_settled(&stage).await;
    // Ten workers have begun to read it, and none could say how that ended.
    let log = Store::open(&stage.database_url(), Access::Worker { worker: "died".to_owned() }).await.unwrap();
    for _ in 0..10 {
        log.reading(&EventId::from_text(&id), Clock::system().now()).await.unwrap();
    }
    log.close().await;
    drop(log);

    stage.start_worker().await;
    let record = stage.settled(&id, Outcome::Dead).await;
    let why = record.row.why.unwrap_or_default();
    assert!(why.contains("reading this event was begun 10 times"), "{why}");
    assert!(record.body.is_empty(), "nobody looked into it");
    let (_, letters, _) = stage.gluehook(&["--json", "dead", "list"]).await;
    let letters: Value = serde_json::from_str(&letters).unwrap();
    assert_eq!(letters[0]["attempts"], 11, "{letters}");

    // Gluehook was mended, and a person sends it back: its body was in the letter.
    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--all", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.texts(), ["1414_1 failed"]);
}

/// Writing down that an event was read takes for ever: a worker that is killed meanwhile died over reading it, for all that anybody knows.
const READS_FOR_EVER: &str = "CREATE TRIGGER reads_for_ever BEFORE DELETE ON readings BEGIN
    SELECT count(*) FROM (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c);
    END";

async fn event_log(stage: &Stage) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(stage.path("gluehook.db")).busy_timeout(PATIENCE);
    options.connect().await.unwrap()
}

#[tokio::test]
async fn processes_that_are_killed_while_they_read_an_event_are_counted_until_it_is_buried() {
    let config = "[jetstream]\nack_wait = \"1s\"\n".to_owned();
    let setting = Setting { rules: Some(TELL.to_owned()), config, ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    assert!(stage.worker().stop().await.success());
    let id = stage.post(&failed()).await;
    taken_and_never_settled(&stage).await;
    let mut log = event_log(&stage).await;
    sqlx::raw_sql(READS_FOR_EVER).execute(&mut log).await.unwrap();
    for death in 1..=10_i64 {
        stage.start_worker().await;
        let reading = async {
            loop {
                let begun: Option<i64> =
                    sqlx::query_scalar("SELECT begun FROM readings").fetch_optional(&mut log).await.unwrap();
                if begun == Some(death) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a worker begins to read it");
        stage.worker().kill().await;
    }
    sqlx::raw_sql("DROP TRIGGER reads_for_ever").execute(&mut log).await.unwrap();
    log.close().await.unwrap();
    stage.start_worker().await;
    let record = stage.settled(&id, Outcome::Dead).await;
    let why = record.row.why.unwrap_or_default();
    assert!(why.contains("reading this event was begun 10 times"), "{why}");
    let (_, letters, _) = stage.gluehook(&["--json", "dead", "list"]).await;
    let letters: Value = serde_json::from_str(&letters).unwrap();
    assert_eq!(letters[0]["attempts"], 11, "{letters}");
    assert!(stage.slack.texts().is_empty());
}

#[tokio::test]
async fn in_a_crash_loop_only_the_event_that_kills_is_buried_and_those_beside_it_come_to_their_end() {
    const ASKS: &str = r#"
[[rule]]
name = "asks"
on = ["job"]
when = ["event.failed", "not tenant.config_valid"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} told"
"#;
    let config = "[jetstream]\nack_wait = \"1s\"\n".to_owned();
    let setting = Setting { rules: Some(ASKS.to_owned()), config, ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    // hotglue is slow: all are in hand when a worker dies, which it does as soon as it asks about the one.
    stage.hotglue.every_on(1, "GET", "/poison/config", Fault::Hang(Duration::from_secs(600)));
    stage.hotglue.every_on(1, "GET", "/config", Fault::Delay(Duration::from_secs(2)));
    let of = |tenant: &str| {
        webhook::job(|job| {
            job["status"] = json!("SYNC_FAILED");
            job["tenant"] = json!(tenant);
        })
    };
    let mut innocent = Vec::new();
    for number in 1..=3 {
        innocent.push(stage.post(&of(&format!("innocent{number}"))).await);
    }
    let poison = stage.post(&of("poison")).await;
    let asked = |hotglue: &sandbox::Hotglue| {
        hotglue.calls().iter().filter(|call| call.is("GET", "/poison/config")).count()
    };
    for death in 1..=10 {
        assert!(stage.hotglue.until(PATIENCE, |hotglue| asked(hotglue) >= death).await, "death {death}");
        stage.worker().kill().await;
        stage.start_worker().await;
    }
    let record = stage.settled(&poison, Outcome::Dead).await;
    let why = record.row.why.unwrap_or_default();
    assert!(why.contains("was begun 10 times and never came to an end"), "{why}");
    for id in &innocent {
        stage.settled(id, Outcome::Done).await;
    }
    let (_, letters, _) = stage.gluehook(&["--json", "dead", "list"]).await;
    let letters: Value = serde_json::from_str(&letters).unwrap();
    assert_eq!(
        (letters.as_array().map(Vec::len), &letters[0]["attempts"]),
        (Some(1), &json!(11)),
        "{letters}"
    );
    assert_eq!((asked(&stage.hotglue), stage.slack.texts().len()), (10, 3));
}

#[tokio::test]
async fn an_event_that_only_came_often_is_read_and_leaves_no_mark() {
    let setting = Setting { rules: Some(TELL.to_owned()), ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    assert!(stage.worker().stop().await.success());
    let id = stage.post(&failed()).await;
    taken_and_never_settled(&stage).await;
    stage.start_worker().await;
    stage.settled(&id, Outcome::Done).await;
    assert!(stage.worker().stop().await.success());
    let log = Store::open(&stage.database_url(), Access::Worker { worker: "test".to_owned() }).await.unwrap();
    assert_eq!(log.reading(&EventId::from_text(&id), Clock::system().now()).await.unwrap(), 1);
}

/// The lease of its claim is nearly three minutes: longer than this test waits.
#[tokio::test]
async fn what_a_killed_worker_had_claimed_is_taken_over_long_before_its_lease_ends() {
    let mut stage = Stage::with(Setting {
        rules: Some(SCHEDULE.to_owned()),
        config: "[jetstream]\nack_wait = \"1s\"\n".to_owned(),
        postgres: true,
        ..Setting::default()
    })
    .await;
    stage.hotglue.next_on("PUT", "/jobs/schedule", Fault::Hang(Duration::from_secs(600)));
    let id = stage.post(&webhook::job(|_| {})).await;
    let called = |hotglue: &sandbox::Hotglue| hotglue.calls().iter().any(|call| call.is("PUT", "/schedule"));
    assert!(stage.hotglue.until(PATIENCE, called).await);
    stage.start_more_workers(1).await;
    stage.worker().kill().await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!((record.steps[0].state, record.steps[0].attempts), (StepState::Done, 2));
}

/// The event log, with nobody else able to write.
async fn locked(stage: &Stage) -> SqliteConnection {
    let mut connection = event_log(stage).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn what_slack_has_answered_is_not_forgotten_while_the_event_log_is_away() {
    let setting = Setting { rules: Some(TELL.to_owned()), ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    stage.slack.every(1, Fault::Delay(Duration::from_secs(1)));
    let id = stage.post(&failed()).await;
    assert!(stage.slack.until(PATIENCE, |slack| slack.messages().len() == 1).await);
    let lock = locked(&stage).await;
    stage.worker().line("the end of a step can't be written down").await;
    lock.close().await.unwrap();
    let record = stage.settled(&id, Outcome::Done).await;
    let step = &record.steps[0];
    assert_eq!((step.state, step.perhaps_twice), (StepState::Done, false), "{step:?}");
    assert_eq!(stage.slack.messages().len(), 1);
}

#[tokio::test]
async fn that_a_storm_was_told_is_not_forgotten_while_the_event_log_is_away() {
    let fold = TELL.replacen("[[rule.do]]", "fold = { after = 0, per = \"1h\" }\n[[rule.do]]", 1);
    let setting = Setting { rules: Some(fold), ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    stage.slack.every(1, Fault::Delay(Duration::from_secs(1)));
    let id = stage.post(&failed()).await;
    assert!(stage.slack.until(PATIENCE, |slack| slack.messages().len() == 1).await);
    let lock = locked(&stage).await;
    stage.worker().line("how telling a storm ended can't be written down").await;
    lock.close().await.unwrap();
    let record = stage.settled(&id, Outcome::Done).await;
    let step = &record.steps[0];
    assert_eq!((step.state, step.perhaps_twice), (StepState::Done, false), "{step:?}");
    assert_eq!(stage.slack.messages().len(), 1);
}

#[tokio::test]
async fn readiness_says_that_another_process_holds_the_event_log_locked() {
    let mut stage = Stage::with(Setting { rules: Some(TELL.to_owned()), ..Setting::default() }).await;
    let started = stage.worker().line("admin on http://").await;
    let admin = started.split("admin on ").nth(1).unwrap().split_whitespace().next().unwrap();
    let url = format!("{admin}/readyz");
    let until = async |status: u16, part: &str| {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = tests::stage::client().get(&url).send().await.unwrap();
            let (code, said) = (answer.status().as_u16(), answer.text().await.unwrap());
            if code == status && said.contains(part) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{status} {part}: {code} {said}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    until(200, "\"event-log\":\"ok\"").await;
    let lock = locked(&stage).await;
    stage.worker.as_ref().unwrap().line("has not taken a write for").await;
    until(503, "\"event-log\":").await;
    lock.close().await.unwrap();
    until(200, "\"event-log\":\"ok\"").await;
}

#[tokio::test]
async fn an_event_log_that_is_away_costs_a_warning_for_many_events_and_not_for_each() {
    let stage = Stage::with(Setting { rules: Some(TELL.to_owned()), ..Setting::default() }).await;
    let lock = locked(&stage).await;
    let mut ids = Vec::new();
    for number in 0..200 {
        let body = webhook::job(|job| {
            job["job_id"] = json!(format!("j{number}"));
            job["tenant"] = json!(format!("t{number}"));
            // Every fifth is one on which a rule acts.
            job["status"] = json!(if number % 5 == 0 { "SYNC_FAILED" } else { "JOB_COMPLETED" });
        });
        ids.push(stage.post(&body).await);
    }
    let worker = stage.worker.as_ref().unwrap();
    worker.line("the event log can't be written; the events wait in the queue").await;
    lock.close().await.unwrap();
    for (number, id) in ids.iter().enumerate() {
        let outcome = if number % 5 == 0 { Outcome::Done } else { Outcome::NoRule };
        assert_eq!(stage.settled(id, outcome).await.row.failures, 0);
    }
    let warnings: Vec<_> = worker.lines().into_iter().filter(|line| line.contains("WARN")).collect();
    assert!(!warnings.is_empty() && warnings.len() < ids.len() / 5, "{warnings:#?}");
}
