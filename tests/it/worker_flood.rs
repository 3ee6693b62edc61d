//! A flood of one tenant, larger than what NATS lets the workers hold: the others don't notice, and nothing of it is lost.

use std::time::Duration;

use async_nats::jetstream::{self, consumer};
use domain::journal::Outcome;
use sandbox::{Fault, webhook};
use serde_json::json;
use tests::program::PATIENCE;
use tests::stage::{Setting, Stage, client};
use tokio::time::{Instant, sleep};

const RULES: &str = r#"
[[rule]]
name = "on"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "enable_schedule"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }}"
"#;

fn completed(tenant: &str, job: usize) -> String {
    webhook::job(|body| {
        body["tenant"] = json!(tenant);
        body["job_id"] = json!(format!("{tenant}-{job}"));
    })
}

fn failed(tenant: &str) -> String {
    webhook::job(|body| {
        body["tenant"] = json!(tenant);
        body["status"] = json!("SYNC_FAILED");
    })
}

/// Lets the workers hold so many of the live stream at one time, and returns when they know.
async fn allow(stage: &mut Stage, most: i64) {
    let raw = jetstream::new(async_nats::connect(&stage.nats.url).await.unwrap());
    let live: consumer::PullConsumer = raw.get_consumer_from_stream("worker", "HOOKS").await.unwrap();
    let config = consumer::Config { max_ack_pending: most, ..live.cached_info().config.clone() };
    let config: consumer::pull::Config = consumer::FromConsumer::try_from_consumer_config(config).unwrap();
    raw.create_consumer_on_stream(config, "HOOKS").await.unwrap();
    until(stage, &format!("gluehook_queue_in_flight_max {most}")).await;
}

/// Reads the worker's metrics until one of their lines begins so; returns the line.
async fn until(stage: &mut Stage, start: &str) -> String {
    let started = stage.worker().line("admin on http://").await;
    let admin = started.split("admin on ").nth(1).unwrap().split_whitespace().next().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = client().get(format!("{admin}/metrics")).send().await.unwrap().text().await.unwrap();
        if let Some(line) = metrics.lines().find(|line| line.starts_with(start)) {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "no line `{start}` in\n{metrics}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_tenant_with_more_events_than_may_wait_holds_up_nobody_and_loses_none() {
    const FLOOD: usize = 200;
    const HANGS: Duration = Duration::from_secs(10);
    let worker = vec!["--concurrency=4".to_owned()];
    let setting = Setting { rules: Some(RULES.to_owned()), worker, ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    allow(&mut stage, 100).await;
    stage.hotglue.every_on(1, "PUT", "/slow/", Fault::Delay(HANGS));
    let begun = Instant::now();
    let mut flood = Vec::new();
    for number in 0..FLOOD {
        flood.push(stage.post(&completed("slow", number)).await);
    }
    for number in 0..20 {
        let id = stage.post(&completed(&format!("quick{number}"), 0)).await;
        stage.settled(&id, Outcome::Done).await;
    }
    let slow = stage.hotglue.calls().iter().filter(|call| call.is("PUT", "/slow/")).count();
    let most = begun.elapsed().as_secs() / HANGS.as_secs() + 2;
    assert!(u64::try_from(slow).unwrap() <= most, "its calls go out one by one: {slow}, {most} at most");
    let said = until(&mut stage, "gluehook_set_aside_total ").await;
    let set_aside: usize = said.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(set_aside >= FLOOD - 100, "{said}");

    stage.hotglue.clear_faults();
    for id in &flood {
        let record = stage.settled(id, Outcome::Done).await;
        // Those of the same moment are done or superseded.
        assert!(record.steps.iter().all(|step| step.state.settled()), "{:?}", record.steps);
        assert_eq!(record.row.failures, 0, "{:?}", record.attempts);
    }
    let (_, dead, _) = stage.gluehook(&["--json", "dead", "list"]).await;
    assert_eq!(dead.trim(), "[]", "nothing was given up");
}

#[tokio::test]
async fn a_long_line_before_slack_holds_up_nothing_else_and_each_message_is_told_once() {
    const LINE: usize = 120;
    let setting =
        Setting { rules: Some(RULES.to_owned()), channel_interval: Some("250ms"), ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    allow(&mut stage, 40).await;
    for number in 0..LINE {
        stage.post(&failed(&format!("t{number}"))).await;
    }
    for number in 0..10 {
        let id = stage.post(&completed(&format!("quick{number}"), 0)).await;
        stage.settled(&id, Outcome::Done).await;
    }
    assert!(stage.slack.messages().len() < LINE, "the line is still there");
    let all = Duration::from_secs(120);
    assert!(stage.slack.until(all, |slack| slack.messages().len() >= LINE).await, "all are told");
    let told: std::collections::BTreeSet<_> = stage.slack.texts().into_iter().collect();
    assert_eq!((told.len(), stage.slack.messages().len()), (LINE, LINE), "each once");
}
