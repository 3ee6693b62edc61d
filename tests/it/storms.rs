//! Many Slack messages of one kind are told in one, nothing is swallowed by that, and Slack's limits are kept.

mod honest;

use std::time::Duration;

use domain::journal::{EventRecord, Outcome, StepState};
use sandbox::{Call, Fault, Message, webhook};
use serde_json::{Value, json};
use store::{Access, Store};
use tests::program::PATIENCE;
use tests::stage::{Setting, Stage};

/// A rule that folds, and one that does not.
fn rules(after: u32, per: &str) -> String {
    format!(
        r#"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
fold = {{ after = {after}, per = "{per}" }}
[[rule.do]]
action = "slack"
text = "failed {{{{ event.tenant }}}}"
[[rule]]
name = "done"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "slack"
text = "done {{{{ event.tenant }}}}"
"#
    )
}

async fn stage(after: u32, per: &str, interval: Option<&'static str>) -> Stage {
    let rules = Some(rules(after, per));
    Stage::with(Setting { rules, channel_interval: interval, ..Setting::default() }).await
}

fn failed(number: usize) -> String {
    webhook::job(|job| {
        job["tenant"] = json!(format!("{number}_1"));
        job["job_id"] = json!(format!("job{number}"));
        job["status"] = json!("SYNC_FAILED");
        job["error"] = json!(format!("Tenant {number}_1: read timed out after {number} s"));
    })
}

async fn post_failures(stage: &Stage, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(stage.post(&failed(number)).await);
    }
    ids
}

/// The storm's messages in Slack: neither those posted on their own, nor anything else.
fn storms(stage: &Stage) -> Vec<Message> {
    stage.slack.messages().into_iter().filter(|message| message.text.contains("* of rule `tell`")).collect()
}

fn alone(stage: &Stage) -> usize {
    stage.slack.texts().iter().filter(|text| text.starts_with("failed ")).count()
}

/// Waits until the last word about a storm is there, counting so many.
async fn summed_up(stage: &Stage, messages: usize) -> Message {
    let wanted = [format!("*{messages} message"), format!("*{messages} more message")];
    let is_it = |message: &Message| {
        message.text.contains(":checkered_flag:") && wanted.iter().any(|wanted| message.text.contains(wanted))
    };
    until(&format!("{messages} are summed up: {:#?}", stage.slack.texts()), || {
        storms(stage).iter().any(is_it)
    })
    .await;
    storms(stage).into_iter().find(|message| is_it(message)).unwrap()
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Waits until every event is done; their records.
async fn all_done(stage: &Stage, ids: &[String]) -> Vec<EventRecord> {
    let mut records = Vec::new();
    for id in ids {
        records.push(stage.settled(id, Outcome::Done).await);
    }
    for record in &records {
        assert!(record.steps.iter().all(|step| step.state == StepState::Done), "{:?}", record.steps);
    }
    records
}

/// Calls that reached Slack, whatever it answered.
fn calls(stage: &Stage) -> Vec<Call> {
    stage.slack.calls().into_iter().filter(|call| call.is("POST", "/api/chat.")).collect()
}

/// No two within an interval, as Slack sees them arrive.
fn paced(calls: &[Call], interval: Duration) {
    for pair in calls.windows(2) {
        let between = pair[1].at - pair[0].at;
        assert!(between >= interval, "{between:?} between {:?} and {:?}", pair[0].body, pair[1].body);
    }
}

/// Of the messages that Slack shows, the numbers of their tenants, in the order in which they came.
fn order(stage: &Stage, begin: &str) -> Vec<usize> {
    let texts = stage.slack.texts().into_iter();
    let tenants = texts.filter_map(|text| text.strip_prefix(begin)?.strip_suffix("_1")?.parse().ok());
    tenants.collect()
}

async fn post_done(stage: &Stage, number: usize) -> String {
    let done = webhook::job(|job| {
        job["tenant"] = json!(format!("{number}_1"));
        job["job_id"] = json!(format!("job{number}"));
    });
    stage.post(&done).await
}

async fn gluehook(stage: &Stage, args: &[&str]) -> Value {
    let all: Vec<_> = ["--json"].iter().chain(args).copied().collect();
    let (code, said, errors) = stage.gluehook(&all).await;
    assert_eq!(code, 0, "{args:?}: {said}{errors}");
    serde_json::from_str(&said).unwrap()
}

#[tokio::test]
async fn two_hundred_failures_of_one_kind_are_a_few_messages_and_every_one_is_counted() {
    const ALL: usize = 200;
    let interval = Duration::from_millis(200);
    let stage = stage(3, "3s", Some("200ms")).await;
    let ids = post_failures(&stage, 0..ALL).await;
    let summary = summed_up(&stage, ALL - 3).await;
    let records = all_done(&stage, &ids).await;
    assert_eq!((alone(&stage), storms(&stage).len(), stage.slack.messages().len()), (3, 1, 4));
    assert!(summary.updates > 0, "{summary:?}");
    assert!(summary.text.contains("from 197 tenants, 2"), "{}", summary.text);
    assert!(summary.text.contains("Tenant &lt;tenant&gt;: read timed out after # s"), "{}", summary.text);
    assert!(summary.text.contains("… and 187 more"), "{}", summary.text);
    paced(&calls(&stage), interval);
    let told = records.iter().filter(|record| {
        record.steps[0]
            .request
            .as_deref()
            .is_some_and(|request| request.starts_with("told in one message with "))
    });
    assert_eq!(told.count(), ALL - 3);
    assert!(records.iter().all(|record| !record.steps[0].perhaps_twice));
    assert_eq!(gluehook(&stage, &["storms"]).await, json!([]));
    let closed = gluehook(&stage, &["storms", "--all"]).await;
    assert_eq!((&closed[0]["messages"], &closed[0]["alone"]), (&json!(ALL - 3), &json!(3)), "{closed}");
}

#[tokio::test]
async fn a_backlog_without_fold_keeps_the_pace_and_holds_up_nothing_else() {
    const ALL: usize = 24;
    let stage = stage(3, "1h", Some("300ms")).await;
    let mut ids = Vec::new();
    for number in 0..ALL {
        ids.push(post_done(&stage, number).await);
    }
    // A tenant of whom nothing is told is not behind them.
    let quiet = webhook::job(|job| job["status"] = json!("JOB_CREATED"));
    let quiet = stage.post(&quiet).await;
    stage.settled(&quiet, Outcome::NoRule).await;
    assert!(stage.slack.messages().len() < ALL, "most of them wait");
    let records = all_done(&stage, &ids).await;
    assert_eq!(stage.slack.messages().len(), ALL, "each once");
    assert!(records.iter().all(|record| record.row.failures == 0), "waiting is no failed attempt");
    paced(&calls(&stage), Duration::from_millis(300));
}

#[tokio::test]
async fn when_slack_fails_every_other_time_nothing_is_swallowed() {
    const ALL: usize = 60;
    let stage = stage(3, "3s", None).await;
    stage.slack.every_on(2, "POST", "/api/chat.", Fault::text_500());
    let ids = post_failures(&stage, 0..ALL).await;
    summed_up(&stage, ALL - 3).await;
    all_done(&stage, &ids).await;
    assert_eq!((alone(&stage), storms(&stage).len()), (3, 1));
}

#[tokio::test]
async fn nobody_calls_before_retry_after_is_over() {
    let stage = stage(1, "3s", Some("100ms")).await;
    let limited = Fault::TooManyRequests {
        retry_after: Some(3),
        body: r#"{"ok":false,"error":"ratelimited"}"#.to_owned(),
    };
    stage.slack.next_on("POST", "/api/chat.", limited);
    let first = post_failures(&stage, 0..1).await;
    until("it is told to wait", || calls(&stage).len() == 1).await;
    // One that does not fold, and more that do.
    let mut ids = post_failures(&stage, 1..30).await;
    ids.push(stage.post(&webhook::job(|_| {})).await);
    ids.extend(first);
    summed_up(&stage, 29).await;
    all_done(&stage, &ids).await;
    let calls = calls(&stage);
    assert_eq!(calls[0].status, Some(429));
    let waited = calls[1].at - calls[0].at;
    assert!(waited >= Duration::from_secs(3), "the next call came after {waited:?}");
    assert_eq!(alone(&stage), 1);
}

#[tokio::test]
async fn after_a_refusal_several_workers_post_in_the_order_in_which_the_messages_came() {
    const ALL: usize = 12;
    let setting = Setting {
        rules: Some(rules(99, "1h")),
        channel_interval: Some("150ms"),
        postgres: true,
        ..Setting::default()
    };
    let mut stage = Stage::with(setting).await;
    stage.start_more_workers(2).await;
    let limited = Fault::TooManyRequests {
        retry_after: Some(3),
        body: r#"{"ok":false,"error":"ratelimited"}"#.to_owned(),
    };
    stage.slack.next_on("POST", "/api/chat.", limited);
    let mut ids = vec![post_done(&stage, 0).await];
    until("it is told to wait", || calls(&stage).len() == 1).await;
    for number in 1..ALL {
        let id = post_done(&stage, number).await;
        // Each has its place before the next one comes.
        stage.until(&id, "wait for Slack", |record| record.row.why.is_some()).await;
        ids.push(id);
    }
    let records = all_done(&stage, &ids).await;
    assert_eq!(order(&stage, "done "), (0..ALL).collect::<Vec<_>>());
    assert!(records.iter().all(|record| record.row.failures == 0), "waiting is no failed attempt");
    let calls = calls(&stage);
    assert!(calls[1].at - calls[0].at >= Duration::from_secs(3));
    paced(&calls, Duration::from_millis(150));
}

#[tokio::test]
async fn who_waits_for_slack_holds_up_neither_its_tenant_nor_anybody_else() {
    let act = r#"
[[rule]]
name = "act"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "enable_schedule"
[[rule.do]]
action = "slack"
text = "acted {{ event.tenant }}"
"#;
    let setting = Setting { rules: Some(act.to_owned()), channel_interval: Some("1h"), ..Setting::default() };
    let stage = Stage::with(setting).await;
    let mut ids = Vec::new();
    // More than may be worked on at a time, and several of each tenant.
    for number in 0..80 {
        let done = webhook::job(|job| {
            job["tenant"] = json!(format!("{}_1", number % 20));
            job["job_id"] = json!(format!("job{number}"));
        });
        ids.push(stage.post(&done).await);
    }
    until("the first goes at once", || stage.slack.texts().len() == 1).await;
    let mut states = Vec::new();
    for id in &ids {
        let record = stage
            .until(id, "be told or wait", |record| {
                record.row.outcome == Outcome::Done || record.row.why.is_some()
            })
            .await;
        states.push((record.steps[0].state.settled(), record.steps[1].state));
    }
    let told = states.iter().filter(|state| **state == (true, StepState::Done)).count();
    let waiting = states.iter().filter(|state| **state == (true, StepState::Pending)).count();
    assert_eq!((told, waiting), (1, 79), "what hotglue is asked goes first");
}

#[tokio::test]
async fn a_worker_killed_in_the_storm_leaves_it_to_the_next_with_every_count_right() {
    const ALL: usize = 60;
    let config = "[jetstream]\nack_wait = \"2s\"\n".to_owned();
    let rules = Some(rules(3, "4s"));
    let mut stage = Stage::with(Setting { rules, config, ..Setting::default() }).await;
    // The call is under way when the worker dies: the message is there, and nobody has written that down.
    let ids = post_failures(&stage, 0..ALL / 2).await;
    stage.slack.every_on(1, "POST", "/api/chat.", Fault::Delay(Duration::from_secs(2)));
    until("the storm's message is there", || !storms(&stage).is_empty()).await;
    stage.worker().kill().await;
    stage.slack.clear_faults();
    stage.start_worker().await;
    let ids = [ids, post_failures(&stage, ALL / 2..ALL).await].concat();
    summed_up(&stage, ALL - 3).await;
    let records = all_done(&stage, &ids).await;
    let told = storms(&stage).len();
    let perhaps = records.iter().filter(|record| record.steps[0].perhaps_twice).count();
    assert!(told == 1 || (told == 2 && perhaps > 0), "{told} messages, {perhaps} perhaps twice");
}

#[tokio::test]
async fn two_workers_share_the_storm_and_the_pace() {
    const ALL: usize = 120;
    let setting = Setting {
        rules: Some(rules(3, "4s")),
        channel_interval: Some("200ms"),
        postgres: true,
        ..Setting::default()
    };
    let mut stage = Stage::with(setting).await;
    stage.start_more_workers(1).await;
    let ids = post_failures(&stage, 0..ALL).await;
    summed_up(&stage, ALL - 3).await;
    all_done(&stage, &ids).await;
    assert_eq!((alone(&stage), storms(&stage).len()), (3, 1));
    paced(&calls(&stage), Duration::from_millis(200));
}

#[tokio::test]
async fn what_slack_refuses_for_good_is_shown_and_told_once_it_is_mended() {
    let mut stage = stage(0, "1h", None).await;
    stage.slack.only_channels(&["#other"]);
    let ids = post_failures(&stage, 0..5).await;
    for id in &ids {
        let record = stage.settled(id, Outcome::Folded).await;
        assert_eq!(record.steps[0].state, StepState::Folded, "{record:?}");
    }
    let line = stage.worker().line("admin on http://").await;
    let admin = line.split("admin on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    says(&format!("{admin}/readyz"), "5 Slack messages are waiting to be told").await;
    says(&format!("{admin}/metrics"), "gluehook_storm_messages_waiting 5").await;
    let listed = gluehook(&stage, &["storms"]).await;
    assert_eq!((&listed[0]["waiting"], &listed[0]["rule"]), (&json!(5), &json!("tell")), "{listed}");
    let (_, doctor, _) = stage.gluehook(&["doctor"]).await;
    assert!(
        doctor.contains("5 messages of rule tell not told") && doctor.contains("channel_not_found"),
        "{doctor}"
    );
    let (_, shown, _) = stage.gluehook(&["events", "show", &ids[0]]).await;
    assert!(shown.contains("folded"), "{shown}");

    stage.slack.only_channels(&[]);
    let records = all_done(&stage, &ids).await;
    assert_eq!((alone(&stage), storms(&stage).len()), (0, 1));
    assert!(storms(&stage)[0].text.contains("*5 messages*"), "{:?}", storms(&stage));
    assert!(records.iter().all(|record| !record.steps[0].perhaps_twice));
    says(&format!("{admin}/metrics"), "gluehook_storm_messages_waiting 0").await;
}

#[tokio::test]
async fn the_first_that_slack_refuses_for_good_are_dead_letters_and_the_storm_does_not_swallow_them() {
    let stage = stage(2, "1h", None).await;
    stage.slack.only_channels(&["#other"]);
    let first = post_failures(&stage, 0..2).await;
    for id in &first {
        let record = stage.settled(id, Outcome::Dead).await;
        assert_eq!(record.steps[0].state, StepState::Failed, "{record:?}");
    }
    let folded = post_failures(&stage, 2..5).await;
    for id in &folded {
        stage.settled(id, Outcome::Folded).await;
    }
    let listed = gluehook(&stage, &["dead", "list"]).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    until("the storm's message is refused too", || calls(&stage).len() > 2).await;
    stage.slack.only_channels(&[]);
    all_done(&stage, &folded).await;
    let told = storms(&stage);
    assert_eq!((told.len(), alone(&stage)), (1, 0));
    assert!(told[0].text.contains("*3 more messages*"), "{}", told[0].text);
    assert!(
        told[0].text.contains("The first 2 could not be posted: `gluehook dead list`."),
        "{}",
        told[0].text
    );
    let example = (2..5).any(|number| told[0].text.contains(&format!("\n> failed {number}_1\n")));
    assert!(example, "{}", told[0].text);
    // Sent back by a person, they are told after all.
    let (code, said, errors) = stage.gluehook(&["dead", "retry", "--all", "--yes"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    all_done(&stage, &first).await;
}

#[tokio::test]
async fn a_message_that_someone_deleted_is_posted_anew() {
    let stage = stage(0, "4s", None).await;
    let first = post_failures(&stage, 0..2).await;
    all_done(&stage, &first).await;
    stage.slack.next_on("POST", "chat.update", Fault::slack_error("message_not_found"));
    let more = post_failures(&stage, 2..5).await;
    summed_up(&stage, 5).await;
    all_done(&stage, &more).await;
    assert_eq!(storms(&stage).len(), 2);
}

#[tokio::test]
async fn an_incoming_webhook_gets_the_beginning_and_the_end() {
    let mut stage = stage(2, "3s", None).await;
    stage.worker().kill().await;
    let config = std::fs::read_to_string(stage.path("gluehook.toml")).unwrap();
    let base = config.lines().filter(|line| line.starts_with("base_url")).nth(1).unwrap();
    let base = base.split('"').nth(1).unwrap().to_owned();
    let config = config.replace("token = \"env:SLACK_BOT_TOKEN\"", "webhook_url = \"file:webhook\"");
    std::fs::write(stage.path("gluehook.toml"), config).unwrap();
    std::fs::write(stage.path("webhook"), format!("{base}/services/T0/B0/x")).unwrap();
    stage.start_worker().await;
    let ids = post_failures(&stage, 0..40).await;
    summed_up(&stage, 38).await;
    all_done(&stage, &ids).await;
    let texts: Vec<_> = storms(&stage).into_iter().map(|message| message.text).collect();
    assert!(texts[0].contains(":cyclone:") && texts.len() <= 3, "{texts:#?}");
    assert_eq!(alone(&stage), 2);
}

#[tokio::test]
async fn a_rule_in_shadow_folds_nothing_and_a_replay_is_a_storm_of_its_own() {
    let shadow = rules(0, "1h").replacen("name = \"tell\"", "name = \"shadow\"\nmode = \"shadow\"", 1);
    let setting = Setting { rules: Some(shadow), ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    let ids = post_failures(&stage, 0..3).await;
    for id in &ids {
        stage.settled(id, Outcome::Done).await;
    }
    let log = Store::open(&stage.database_url(), Access::Reader).await.unwrap();
    assert!(log.storms(10).await.unwrap().is_empty());
    log.close().await;
    stage.worker().kill().await;
    std::fs::write(stage.path("rules.toml"), rules(1, "1h")).unwrap();
    stage.start_worker().await;
    let args = ["replay", "--since", "1h", "--yes", "--wait"];
    let (code, said, errors) = stage.gluehook(&args).await;
    assert_eq!(code, 0, "{said}{errors}");
    until("the replay is told", || {
        storms(&stage).iter().any(|message| message.text.contains("(replayed, run"))
    })
    .await;
    all_done(&stage, &ids).await;
    assert_eq!(alone(&stage), 1);
}

/// Waits until what is at a URL has this part.
async fn says(url: &str, part: &str) {
    let client = tests::stage::client();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let said = client.get(url).send().await.unwrap().text().await.unwrap();
        if said.contains(part) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{part}: {said}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
