//! The outside is down, slow or flooded: nothing is given up for it, and nobody waits who need not.

use std::time::Duration;

use domain::journal::{Outcome, StepState};
use sandbox::{Fault, ScheduleState, webhook};
use serde_json::json;
use tests::stage::{ENV, FLOW, Setting, Stage};

const TELL: &str = r#"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} {{ event.job_id }}"
"#;

const SCHEDULE: &str = r#"
[[rule]]
name = "on"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "enable_schedule"
"#;

const OFF: &str = r#"
[[rule]]
name = "off"
on = ["job"]
when = ["event.error == 'refused'"]
[[rule.do]]
action = "disable_schedule"
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} is off"
"#;

async fn with_rules(rules: &str, worker: &[&str]) -> Stage {
    let worker = worker.iter().map(ToString::to_string).collect();
    Stage::with(Setting { rules: Some(rules.to_owned()), worker, ..Setting::default() }).await
}

fn failed(tenant: usize, job: usize) -> String {
    webhook::job(|body| {
        body["status"] = json!("SYNC_FAILED");
        body["tenant"] = json!(format!("t{tenant}"));
        body["job_id"] = json!(format!("j{job}"));
    })
}

fn failed_as(tenant: &str, error: &str) -> String {
    webhook::job(|body| {
        body["status"] = json!("SYNC_FAILED");
        body["tenant"] = json!(tenant);
        body["error"] = json!(error);
    })
}

fn completed(tenant: &str) -> String {
    webhook::job(|body| body["tenant"] = json!(tenant))
}

#[tokio::test]
async fn an_outage_uses_up_no_attempts_and_the_backlog_goes_out_when_it_is_over() {
    let mut stage = with_rules(TELL, &[]).await;
    stage.slack.every(1, Fault::html_502());
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(stage.post(&failed(number % 20, number)).await);
    }
    let said = stage.worker().line("Slack is down").await;
    assert!(said.contains("502"), "{said}");
    let asked =
        |slack: &sandbox::Slack| slack.calls().iter().filter(|call| call.is("POST", "/auth.test")).count();
    let long = Duration::from_secs(60);
    assert!(stage.slack.until(long, |slack| asked(slack) >= 2).await, "it is asked whether it is back");
    let (questions, calls) = (asked(&stage.slack), stage.slack.calls().len());
    assert!(stage.slack.until(long, |slack| asked(slack) > questions).await);
    assert_eq!(
        asked(&stage.slack) - questions,
        stage.slack.calls().len() - calls,
        "no message is risked to find out"
    );

    stage.slack.clear_faults();
    stage.worker().line("Slack is back").await;
    for id in &ids {
        let record = stage.settled(id, Outcome::Done).await;
        // Only what was under way when it began counts.
        assert!(record.row.failures <= 1, "{:?}", record.attempts);
    }
    assert_eq!(stage.slack.messages().len(), ids.len(), "each once");
    let (_, dead, _) = stage.gluehook(&["--json", "dead", "list"]).await;
    assert_eq!(dead.trim(), "[]", "nothing was given up");
}

#[tokio::test]
async fn what_does_not_need_what_is_down_goes_on() {
    let rules = format!("{TELL}{SCHEDULE}{OFF}");
    let mut stage = with_rules(&rules, &[]).await;
    stage.slack.every(1, Fault::html_502());
    let mut untold = Vec::new();
    for number in 0..10 {
        untold.push(stage.post(&failed(number, number)).await);
    }
    stage.worker().line("Slack is down").await;

    let on = stage.hotglue.tenant(ENV, FLOW, "on");
    let id = stage.post(&completed("on")).await;
    stage.settled(&id, Outcome::Done).await;
    assert!(on.schedule(None).is_some_and(|schedule| schedule.is_on()), "hotglue is asked");
    let id = stage.post(&webhook::job(|job| job["status"] = json!("SYNC_STARTED"))).await;
    stage.settled(&id, Outcome::NoRule).await;
    // Also the steps of an event that can't be told yet, before the telling.
    let off = stage.hotglue.tenant(ENV, FLOW, "off").with_schedule(
        None,
        "cron(0 */4 * * *)",
        ScheduleState::Enabled,
    );
    untold.push(stage.post(&failed_as("off", "refused")).await);
    let long = Duration::from_secs(60);
    assert!(
        stage.hotglue.until(long, |_| off.schedule(None).is_some_and(|schedule| !schedule.is_on())).await
    );

    stage.slack.clear_faults();
    for id in &untold {
        stage.settled(id, Outcome::Done).await;
    }
    assert_eq!(stage.slack.messages().len(), untold.len() + 1, "each once, of the last one two");
}

#[tokio::test]
async fn one_tenant_whose_calls_fail_is_no_outage() {
    let stage = with_rules(SCHEDULE, &[]).await;
    stage.hotglue.every_on(1, "PUT", "/broken/", Fault::text_500());
    let mut broken = Vec::new();
    for number in 0..8 {
        let body = webhook::job(|job| {
            job["tenant"] = json!("broken");
            job["job_id"] = json!(format!("b{number}"));
        });
        broken.push(stage.post(&body).await);
    }
    for id in &broken {
        stage.settled(id, Outcome::Dead).await;
    }
    let fine = stage.hotglue.tenant(ENV, FLOW, "fine");
    let id = stage.post(&completed("fine")).await;
    stage.settled(&id, Outcome::Done).await;
    assert!(fine.schedule(None).is_some_and(|schedule| schedule.is_on()));
    assert!(!stage.worker.as_ref().unwrap().log().contains("is down"));
}

#[tokio::test]
async fn an_outage_that_only_one_tenant_meets_buries_none_of_its_events() {
    let mut stage = with_rules(SCHEDULE, &[]).await;
    stage.hotglue.every(1, Fault::text_500());
    let mut ids = Vec::new();
    for number in 0..3 {
        let body = webhook::job(|job| {
            job["tenant"] = json!("night");
            job["job_id"] = json!(format!("n{number}"));
        });
        ids.push(stage.post(&body).await);
    }
    stage.worker().line("is down").await;
    let asked = |hotglue: &sandbox::Hotglue| {
        hotglue.calls().iter().filter(|call| call.is("GET", "/tenants/")).count()
    };
    let long = Duration::from_secs(60);
    assert!(stage.hotglue.until(long, |hotglue| asked(hotglue) >= 4).await, "it lasts");
    stage.hotglue.clear_faults();
    stage.worker().line("is back").await;
    for id in &ids {
        let record = stage.settled(id, Outcome::Done).await;
        assert!(record.row.failures < 5, "{:?}", record.attempts);
    }
    let all_well = stage.hotglue.calls().len();
    let id = stage.post(&completed("day")).await;
    stage.settled(&id, Outcome::Done).await;
    let calls = stage.hotglue.calls().split_off(all_well);
    assert!(
        !calls.iter().any(|call| call.is("GET", "/tenants/")),
        "nothing is asked while all is well: {calls:?}"
    );
}

/// That they are given up in the end though nobody else is there either takes minutes, and is a law of the breaker.
#[tokio::test]
async fn two_tenants_whose_calls_fail_are_no_outage_even_when_nobody_else_is_there() {
    let mut stage = with_rules(SCHEDULE, &[]).await;
    let mut broken = Vec::new();
    for tenant in ["broken1", "broken2"] {
        stage.hotglue.every_on(1, "PUT", &format!("/{tenant}/"), Fault::text_500());
        for number in 0..5 {
            let body = webhook::job(|job| {
                job["tenant"] = json!(tenant);
                job["job_id"] = json!(format!("{tenant}-{number}"));
            });
            broken.push(stage.post(&body).await);
        }
    }
    // As long as it may be an outage, nothing is given up.
    stage.worker().line("is down").await;
    let probed = |hotglue: &sandbox::Hotglue| {
        hotglue.calls().iter().filter(|call| call.is("GET", "/tenants/")).count()
    };
    assert!(stage.hotglue.until(Duration::from_secs(60), |hotglue| probed(hotglue) >= 2).await);
    for id in &broken {
        stage.until(id, "be recorded and not given up", |record| record.row.outcome != Outcome::Dead).await;
    }
    // One that is answered shows that it is theirs, and is held up by neither.
    let fine = stage.hotglue.tenant(ENV, FLOW, "fine");
    let id = stage.post(&completed("fine")).await;
    stage.settled(&id, Outcome::Done).await;
    assert!(fine.schedule(None).is_some_and(|schedule| schedule.is_on()));
    for id in &broken {
        stage.settled(id, Outcome::Dead).await;
    }
}

/// At night two tenants have events, and somebody else answers for hotglue.
#[tokio::test]
async fn a_page_about_maintenance_buries_no_event_of_two_tenants() {
    let mut stage = with_rules(SCHEDULE, &[]).await;
    stage.hotglue.every(1, Fault::Status(200, "<html>We are back soon".to_owned()));
    let (mut ids, mut tenants) = (Vec::new(), Vec::new());
    for tenant in ["night1", "night2"] {
        tenants.push(stage.hotglue.tenant(ENV, FLOW, tenant));
        for number in 0..5 {
            let body = webhook::job(|job| {
                job["tenant"] = json!(tenant);
                job["job_id"] = json!(format!("{tenant}-{number}"));
            });
            ids.push(stage.post(&body).await);
        }
    }
    stage.worker().line("is down").await;
    let asked = |hotglue: &sandbox::Hotglue| {
        hotglue.calls().iter().filter(|call| call.is("GET", "/tenants/")).count()
    };
    assert!(
        stage.hotglue.until(Duration::from_secs(90), |hotglue| asked(hotglue) >= 2).await,
        "a round of probes failed"
    );
    stage.hotglue.clear_faults();
    for id in &ids {
        let record = stage.settled(id, Outcome::Done).await;
        assert!(record.row.failures < 5, "{:?}", record.attempts);
    }
    assert!(tenants.iter().all(|tenant| tenant.schedule(None).is_some_and(|schedule| schedule.is_on())));
}

#[tokio::test]
async fn a_tenant_with_a_hundred_events_that_hang_holds_up_nobody_else() {
    let stage = with_rules(SCHEDULE, &["--concurrency=4"]).await;
    stage.hotglue.every_on(1, "PUT", "/slow/", Fault::Delay(Duration::from_secs(25)));
    for number in 0..100 {
        let body = webhook::job(|job| {
            job["tenant"] = json!("slow");
            job["job_id"] = json!(format!("s{number}"));
        });
        stage.post(&body).await;
    }
    for number in 0..10 {
        let id = stage.post(&completed(&format!("quick{number}"))).await;
        stage.settled(&id, Outcome::Done).await;
    }
    let slow = stage.hotglue.calls().iter().filter(|call| call.is("PUT", "/slow/")).count();
    assert_eq!(slow, 1, "the slow tenant is still at its first event");
}

#[tokio::test]
async fn a_live_event_does_not_wait_for_a_bulk_replay() {
    let stage = with_rules(TELL, &["--concurrency=4"]).await;
    let mut ids = Vec::new();
    for number in 0..60 {
        ids.push(stage.post(&failed(number, number)).await);
    }
    for id in &ids {
        stage.settled(id, Outcome::Done).await;
    }
    stage.slack.every(1, Fault::Delay(Duration::from_millis(500)));
    let before = stage.slack.messages().len();
    let (code, _, errors) = stage.gluehook(&["replay", "--since=1h", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    let replaying = Duration::from_secs(30);
    assert!(stage.slack.until(replaying, |slack| slack.messages().len() > before).await, "it has begun");

    let live = stage.post(&failed(7, 1_000)).await;
    stage.settled(&live, Outcome::Done).await;
    let replayed = stage.slack.messages().len() - before - 1;
    assert!(replayed < ids.len(), "all {replayed} went first");
}

#[tokio::test]
async fn who_is_asked_to_slow_down_waits_and_gives_nothing_up() {
    let stage = with_rules(TELL, &[]).await;
    for _ in 0..8 {
        stage.slack.next(Fault::slack_rate_limited(1));
    }
    let id = stage.post(&failed(1, 1)).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.failures, 0, "{:?}", record.attempts);
    assert_eq!(stage.slack.messages().len(), 1);
}

#[tokio::test]
async fn an_event_is_not_given_up_while_another_of_its_rules_only_waits() {
    const BOTH: &str = r#"
[[rule]]
name = "on"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "enable_schedule"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} is done"
"#;
    let stage = with_rules(BOTH, &[]).await;
    stage.hotglue.every_on(1, "PUT", "/jobs/schedule", Fault::text_500());
    stage.slack.next(Fault::slack_rate_limited(10));
    let id = stage.post(&completed("t1")).await;
    let record = stage.settled(&id, Outcome::Dead).await;
    // The schedule had failed for good long before Slack took the message.
    let waited = |attempt: &domain::journal::Attempt| {
        attempt.outcome == Outcome::Open && attempt.why.as_deref().unwrap_or_default().contains("rule `on`")
    };
    assert!(record.attempts.iter().any(waited), "{:?}", record.attempts);
    assert_eq!(stage.slack.texts(), ["t1 is done"]);
    assert!(record.row.why.unwrap_or_default().contains("rule `on`"));
}

#[tokio::test]
async fn a_quiet_of_hours_that_slack_asks_for_is_kept() {
    let mut stage = with_rules(TELL, &[]).await;
    stage.slack.next(Fault::slack_rate_limited(2 * 3_600));
    let asked_at = service::Clock::system().now();
    let id = stage.post(&failed(1, 1)).await;
    assert!(stage.slack.until(Duration::from_secs(20), |slack| slack.calls().len() == 1).await);
    let waits = |record: &domain::journal::EventRecord| record.row.why.is_some();
    let record = stage.until(&id, "wait", waits).await;
    assert_eq!((record.row.outcome, record.row.failures), (Outcome::Open, 0));
    assert!(stage.worker().stop().await.success());
    let log = format!("sqlite://{}", stage.path("gluehook.db").display());
    let mut log = <sqlx::SqliteConnection as sqlx::Connection>::connect(&log).await.unwrap();
    let until: i64 = sqlx::query_scalar("SELECT until FROM slack_quiet").fetch_one(&mut log).await.unwrap();
    assert!(until >= (asked_at + Duration::from_secs(2 * 3_600)).as_microsecond(), "{until}");
}

#[tokio::test]
async fn what_hotglue_refuses_to_tell_holds_up_only_the_rule_that_asked() {
    const BOTH: &str = r#"
[[rule]]
name = "asks"
when = ["event.failed", "tenant.config_valid"]
[[rule.do]]
action = "slack"
text = "asked"
[[rule]]
name = "does-not"
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "told"
"#;
    let stage = with_rules(BOTH, &[]).await;
    stage.hotglue.tenant(ENV, FLOW, "t1").with_config(json!({"importCredentials": {}}));
    stage.hotglue.every_on(1, "GET", "/t1/config", Fault::forbidden());
    let id = stage.post(&failed(1, 1)).await;
    let record = stage.settled(&id, Outcome::Dead).await;
    assert_eq!(stage.slack.texts(), ["told"]);
    let why = record.row.why.as_deref().unwrap_or_default();
    assert!(why.contains("`asks`") && why.contains("API key"), "{why}");

    stage.hotglue.clear_faults();
    let (code, _, errors) = stage.gluehook(&["dead", "retry", &id, "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.texts(), ["told", "asked"], "what was done is not done again");
}

#[tokio::test]
async fn a_worker_that_must_stop_cuts_a_call_that_hangs_and_another_goes_on_at_once() {
    let mut stage = with_rules(SCHEDULE, &["--drain-seconds=0"]).await;
    stage.hotglue.next_on("PUT", "/jobs/schedule", Fault::Delay(Duration::from_secs(600)));
    let id = stage.post(&completed("t1")).await;
    let begun = Duration::from_secs(20);
    assert!(stage.hotglue.until(begun, |hotglue| !hotglue.effects().is_empty()).await);
    assert!(stage.worker().stop().await.success());
    stage.start_worker().await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.steps[0].state, StepState::Done);
    assert_eq!(record.row.failures, 0, "{:?}", record.attempts);
    let why = record.attempts[0].why.as_deref().unwrap_or_default();
    assert!(why.contains("was stopped"), "{:?}", record.attempts);
}

#[tokio::test]
async fn a_key_that_hotglue_refuses_gives_nothing_up_and_readiness_says_what_to_mend() {
    let mut stage = with_rules(SCHEDULE, &[]).await;
    stage.hotglue.every(1, Fault::forbidden());
    let mut ids = Vec::new();
    for tenant in ["t1", "t2", "t3"] {
        ids.push(stage.post(&completed(tenant)).await);
    }
    let said = stage.worker().line("refuses our key or token").await;
    assert!(said.contains(ENV) && said.contains("api_key"), "{said}");
    let started = stage.worker().line("admin on http://").await;
    let admin = started.split("admin on ").nth(1).unwrap().split_whitespace().next().unwrap();
    let ready = tests::stage::client().get(format!("{admin}/readyz")).send().await.unwrap();
    let ready = ready.text().await.unwrap();
    assert!(ready.contains("refuses the API key") && ready.contains("and restart"), "{ready}");
    // Also those that come now and are not tried say what is wrong, and not only that they wait.
    for tenant in ["t4", "t5", "t6", "t7", "t8"] {
        ids.push(stage.post(&completed(tenant)).await);
    }
    for id in &ids {
        let record = stage.until(id, "say why it waits", |record| record.row.why.is_some()).await;
        let why = record.row.why.unwrap_or_default();
        assert!(why.contains("refuses the API key"), "{why}");
    }

    stage.hotglue.clear_faults();
    stage.worker().line("is back").await;
    for id in &ids {
        let record = stage.settled(id, Outcome::Done).await;
        assert_eq!(record.row.failures, 0, "{:?}", record.attempts);
    }
    let (_, dead, _) = stage.gluehook(&["--json", "dead", "list"]).await;
    assert_eq!(dead.trim(), "[]", "nothing was given up");
}

#[tokio::test]
async fn a_token_that_slack_refuses_gives_nothing_up() {
    let mut stage = with_rules(TELL, &[]).await;
    stage.slack.every(1, Fault::slack_error("token_revoked"));
    let id = stage.post(&failed(1, 1)).await;
    let said = stage.worker().line("refuses our key or token").await;
    assert!(said.contains("token_revoked"), "{said}");
    stage.slack.clear_faults();
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!((record.row.failures, stage.slack.texts().len()), (0, 1), "{:?}", record.attempts);
    assert!(!record.steps[0].perhaps_twice);
}
