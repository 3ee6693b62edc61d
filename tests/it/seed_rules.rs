//! The rules that ship, one story each: a signed webhook goes in, hotglue and Slack are changed, once.

use domain::journal::Outcome;
use sandbox::hotglue::ScheduleState;
use sandbox::webhook;
use serde_json::json;
use tests::stage::{ENV, FLOW, Stage};

const VALID: fn() -> serde_json::Value = sandbox::hotglue::valid_config;

#[tokio::test]
async fn a_failed_job_is_told_to_slack_once() {
    let stage = Stage::start().await;
    let body = webhook::failed_job("tap crashed: <no field `id`>");
    let id = stage.post(&body).await;
    let (status, again) = stage.answer(&body).await;
    assert_eq!((status, &again["duplicate"], again["id"].as_str()), (200, &json!(true), Some(id.as_str())));

    let record = stage.settled(&id, Outcome::Done).await;

    assert_eq!(record.row.rules, ["job-failed"]);
    let messages = stage.slack.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0].channel, "#hotglue-webhooks");
    assert!(messages[0].text.contains("1414_1") && messages[0].text.contains("tap crashed: &lt;no field"));
    assert!(stage.hotglue.calls().is_empty(), "no fact was asked for: {:?}", stage.hotglue.calls());
}

#[tokio::test]
async fn the_first_good_sync_turns_the_schedule_on_links_the_target_and_starts_the_job() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1").with_config(VALID()).with_null_state();

    let id = stage.post(&webhook::job(|_| {})).await;
    stage.settled(&id, Outcome::Done).await;

    assert_eq!(
        tenant.schedule(None).map(|s| (s.expression, s.state)),
        Some(("cron(0 */4 * * *)".into(), ScheduleState::Enabled))
    );
    assert_eq!(tenant.targets(), ["optiply"]);
    assert_eq!(
        tenant.schedule(Some("optiply")).map(|s| (s.expression, s.state)),
        Some(("cron(30 */4 * * *)".into(), ScheduleState::Enabled))
    );
    assert_eq!(tenant.job_names(), ["wh-JClkCC05S-salesforce-20241007"]);
    assert_eq!(stage.slack.messages().len(), 1, "{:?}", stage.slack.texts());
}

#[tokio::test]
async fn a_tenant_that_has_its_target_gets_the_schedule_only() {
    let stage = Stage::start().await;
    let tenant = stage
        .hotglue
        .tenant(ENV, FLOW, "1414_1")
        .with_config(VALID())
        .with_null_state()
        .with_target("optiply");

    let id = stage.post(&webhook::job(|job| job["sync_type"] = json!("auto_sync"))).await;
    stage.settled(&id, Outcome::Done).await;

    assert!(tenant.schedule(None).is_some_and(|s| s.is_on()));
    assert_eq!((tenant.schedule(Some("optiply")), tenant.jobs().len()), (None, 0));
}

#[tokio::test]
async fn an_incremental_sync_counts_when_its_name_carries_the_marker_and_not_ignore() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1").with_config(VALID()).with_target("optiply");
    let incremental = |name: &str| {
        webhook::job(|job| {
            job["sync_type"] = json!("incremental_sync");
            job["job_name"] = json!(name);
        })
    };

    for unmarked in ["nightly", "62112121925143-971415185", "full sync 971415185"] {
        let id = stage.post(&incremental(unmarked)).await;
        stage.settled(&id, Outcome::NoRule).await;
    }
    assert_eq!(tenant.schedule(None), None);

    let id = stage.post(&incremental("x-62112121925143-y")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.rules, ["marked-incremental"]);
    assert!(tenant.schedule(None).is_some_and(|s| s.is_on()));
}

#[tokio::test]
async fn a_link_starts_the_first_job_and_never_a_second_one() {
    let stage = Stage::start().await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1").with_config(VALID()).with_null_state();
    let link = |event_id: &str| {
        webhook::connection(|link| {
            link["connector"] = json!("salesforce");
            link["event_id"] = json!(event_id);
        })
    };
    for event_id in ["a", "b"] {
        let id = stage.post(&link(event_id)).await;
        stage.settled(&id, Outcome::Done).await;
    }
    assert_eq!(tenant.job_names(), ["wh-JClkCC05S-salesforce-20241007"]);
}

#[tokio::test]
async fn a_link_with_a_state_or_a_bad_config_starts_nothing() {
    let stage = Stage::start().await;
    let full = stage
        .hotglue
        .tenant(ENV, FLOW, "1414_1")
        .with_config(VALID())
        .with_state(json!({"bookmarks": {"a": 1}}));
    let id = stage.post(&webhook::connection(|_| {})).await;
    stage
        .until(&id, "be decided", |record| {
            !record.decisions.is_empty() && record.row.outcome != Outcome::Open
        })
        .await;
    assert!(full.jobs().is_empty());

    let bad = stage.hotglue.tenant(ENV, FLOW, "98").with_config(json!({"x": 1})).with_null_state();
    let id = stage
        .post(&webhook::connection(|link| {
            link["tenant"] = json!("98");
            link["event_id"] = json!("other");
        }))
        .await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.rules, ["config-invalid"]);
    assert!(bad.jobs().is_empty());
}

#[tokio::test]
async fn an_exact_401_turns_both_schedules_off_with_their_expressions_and_is_told_once() {
    let stage = Stage::start().await;
    let tenant = stage
        .hotglue
        .tenant(ENV, FLOW, webhook::EXACT_TENANT)
        .with_config(VALID())
        .with_target("optiply")
        .with_schedule(None, "cron(0 */4 * * *)", ScheduleState::Enabled)
        .with_schedule(Some("optiply"), "cron(30 */4 * * *)", ScheduleState::Enabled);

    let id = stage.post(&webhook::exact_401_job()).await;
    let record = stage.settled(&id, Outcome::Done).await;

    assert!(record.row.rules.contains(&"exact-unauthorized".to_owned()), "{:?}", record.row.rules);
    for (scope, expression) in [(None, "cron(0 */4 * * *)"), (Some("optiply"), "cron(30 */4 * * *)")] {
        let schedule = tenant.schedule(scope).expect("there");
        assert_eq!((schedule.expression.as_str(), schedule.is_on()), (expression, false));
    }
    assert_eq!(stage.slack.messages().len(), 1, "one failure is told once: {:?}", stage.slack.texts());
}

#[tokio::test]
async fn failed_buy_orders_are_counted_even_when_the_job_completed() {
    let stage = Stage::start().await;
    stage.hotglue.tenant(ENV, FLOW, webhook::BUY_ORDER_TENANT).with_config(VALID()).with_target("optiply");

    let id = stage.post(&webhook::buy_order_failures(3)).await;
    let record = stage.settled(&id, Outcome::Done).await;

    assert!(record.row.rules.contains(&"exact-buy-orders".to_owned()), "{:?}", record.row.rules);
    let told: Vec<_> = stage.slack.texts().into_iter().filter(|text| text.contains('3')).collect();
    assert_eq!(told.len(), 1, "{:?}", stage.slack.texts());
}

#[tokio::test]
async fn a_count_that_is_not_reported_is_not_invented() {
    let stage = Stage::start().await;
    let body = webhook::vary(
        &webhook::failed_job(
            "Error sending BuyOrders to Exact: 400 Client Error: Bad Request for path: /purchaseorder/PurchaseOrders",
        ),
        |job| {
            job["status"] = json!("EXPORT_FAILED");
            job["target"] = json!("exact");
        },
    );
    let id = stage.post(&body).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.rules, ["exact-buy-orders"], "{:?}", record.row);
    let texts = stage.slack.texts();
    assert!(texts.len() == 1 && texts[0].contains("count not reported"), "{texts:?}");
}

#[tokio::test]
async fn an_invalid_config_is_told_once_until_it_changes() {
    let stage = Stage::start().await;
    let tenant =
        stage.hotglue.tenant(ENV, FLOW, "98").with_config(json!({"other": 1})).with_target("optiply");
    let sync = |minute: u32| {
        webhook::job(|job| {
            job["tenant"] = json!("98");
            job["sync_type"] = json!("incremental_sync");
            job["last_updated"] = json!(format!("2024-10-07T08:{minute:02}:00+00:00"));
        })
    };
    let told = || stage.slack.texts().len();

    let first = stage.post(&sync(1)).await;
    stage.settled(&first, Outcome::Done).await;
    let second = stage.post(&sync(2)).await;
    stage.settled(&second, Outcome::NoRule).await;
    assert_eq!(told(), 1, "{:?}", stage.slack.texts());
    assert!(stage.slack.texts()[0].contains("importCredentials"));

    let tenant = tenant.with_config(VALID());
    let third = stage.post(&sync(3)).await;
    stage.settled(&third, Outcome::Done).await;
    assert_eq!(told(), 1);

    let _tenant = tenant.with_config(json!({"other": 1}));
    let fourth = stage.post(&sync(4)).await;
    stage.settled(&fourth, Outcome::Done).await;
    assert_eq!(told(), 2);
}

#[tokio::test]
async fn every_documented_webhook_is_kept_and_what_no_rule_takes_says_so() {
    let stage = Stage::start().await;
    let quiet = [
        webhook::discover(|_| {}),
        webhook::job(|job| job["status"] = json!("SYNC_STARTED")),
        webhook::job(|job| job["status"] = json!("JOB_TELEPORTED")),
        webhook::connection(|link| link["event"] = json!("UNLINK")),
        r#"{"hello":"world"}"#.to_owned(),
    ];
    for body in quiet {
        let id = stage.post(&body).await;
        let record = stage.settled(&id, Outcome::NoRule).await;
        assert_eq!(record.body, body.as_bytes(), "kept byte for byte");
        assert!(record.steps.is_empty());
    }
    let id = stage.post(&webhook::job_gen1(|_| {})).await;
    let record = stage.settled(&id, Outcome::NoRule).await;
    assert_eq!(
        record.row.event.flow_id, "l8odS2mce",
        "a generation that names no kind of sync is no first sync"
    );
}
