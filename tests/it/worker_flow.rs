//! What the worker does when things go wrong: outside, inside, and with the rules.

use std::time::Duration;

use domain::journal::{Outcome, StepState};
use sandbox::hotglue::ScheduleState;
use sandbox::{Fault, webhook};
use serde_json::json;
use tests::stage::{API_KEY, ENV, FLOW, SLACK_TOKEN, Setting, Stage, WEBHOOK_SECRET};

const SLACK_ONLY: &str = r#"
[[rule]]
name = "tell"
about = "Every failure is told."
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} failed"
"#;

const SCHEDULES: &str = r#"
[[rule]]
name = "on"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "enable_schedule"
[[rule]]
name = "off"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "disable_schedule"
of = "source"
"#;

const RUN_JOB: &str = r#"
[[rule]]
name = "run"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "run_job"
tap = "{{ event.tap }}"
name = "again-{{ event.job_id }}"
"#;

async fn with_rules(rules: &str) -> Stage {
    Stage::with(Setting { rules: Some(rules.to_owned()), ..Setting::default() }).await
}

/// As an editor does: a worker that looks meanwhile sees the old file or the new one, and no half of either.
fn rewrite(path: &std::path::Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(&new, path).expect("renamed");
}

fn at(minute: u32, status: &str) -> String {
    webhook::job(|job| {
        job["status"] = json!(status);
        job["last_updated"] = json!(format!("2024-10-07T08:{minute:02}:00+00:00"));
    })
}

#[tokio::test]
async fn trouble_that_passes_is_tried_again() {
    let stage = with_rules(SCHEDULES).await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    for fault in [Fault::html_502(), Fault::too_many_requests(Some(1)), Fault::locked()] {
        stage.hotglue.next_on("PUT", "/jobs/schedule", fault);
    }
    let id = stage.post(&at(1, "JOB_COMPLETED")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert!(tenant.schedule(None).is_some_and(|s| s.is_on()));
    assert_eq!(record.row.failures, 2, "who is asked to wait has not failed");
    assert_eq!(record.attempts.len(), 4);
    assert!(
        record.attempts[1].why.as_deref().is_some_and(|why| why.contains("429")),
        "{:?}",
        record.attempts
    );
}

#[tokio::test]
async fn what_fails_for_good_is_buried_with_the_reason_and_can_be_sent_back() {
    let stage = with_rules(SCHEDULES).await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    stage.hotglue.next_on("PUT", "/jobs/schedule", Fault::lower_case_400("this tenant is archived"));

    let id = stage.post(&at(1, "JOB_COMPLETED")).await;
    let record = stage.settled(&id, Outcome::Dead).await;
    assert!(
        record.row.why.as_deref().is_some_and(|why| why.contains("this tenant is archived")),
        "{:?}",
        record.row
    );
    assert_eq!(record.steps[0].state, StepState::Failed);

    let (code, listed, errors) = stage.gluehook(&["--json", "dead", "list"]).await;
    assert_eq!(code, 0, "{errors}");
    assert!(listed.contains(&id) && listed.contains("this tenant is archived"), "{listed}");

    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--all", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage.settled(&id, Outcome::Done).await;
    assert!(tenant.schedule(None).is_some_and(|s| s.is_on()));
    let (_, listed, _) = stage.gluehook(&["--json", "dead", "list"]).await;
    assert!(!listed.contains(&id), "{listed}");
}

#[tokio::test]
async fn every_dead_letter_of_one_tenant_goes_on_when_all_are_sent_back() {
    let stage = with_rules(SLACK_ONLY).await;
    stage.slack.every(1, Fault::slack_error("channel_not_found"));
    let mut ids = Vec::new();
    for minute in 0..24 {
        ids.push(stage.post(&at(minute, "SYNC_FAILED")).await);
    }
    for id in &ids {
        stage.settled(id, Outcome::Dead).await;
    }
    stage.slack.clear_faults();
    stage.slack.every(1, Fault::Delay(Duration::from_millis(100)));
    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--all", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    for id in &ids {
        stage.settled(id, Outcome::Done).await;
    }
    assert_eq!(stage.slack.messages().len(), ids.len());
}

#[tokio::test]
async fn a_rule_that_can_not_be_carried_out_does_not_make_the_others_act_twice() {
    const BOTH: &str = r#"
[[rule]]
name = "fine"
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "fine, {{ now }}"
[[rule]]
name = "broken"
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ payload.nowhere.near }}"
"#;
    let mut stage = with_rules(BOTH).await;
    let id = stage.post(&at(1, "SYNC_FAILED")).await;
    stage.settled(&id, Outcome::Dead).await;
    assert_eq!(stage.slack.messages().len(), 1);
    rewrite(&stage.path("rules.toml"), &BOTH.replace("{{ payload.nowhere.near }}", "mended"));
    stage.worker().line("is in force").await;
    let (code, _, errors) = stage.gluehook(&["dead", "retry", &id, "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage.settled(&id, Outcome::Done).await;
    let texts = stage.slack.texts();
    assert_eq!((texts.len(), texts[1].as_str()), (2, "mended"), "{texts:?}");
}

#[tokio::test]
async fn trouble_that_does_not_pass_ends_in_the_dead_letters() {
    let stage = with_rules(SLACK_ONLY).await;
    // Slack answers what has no effect: it is not down.
    stage.slack.every_on(1, "POST", "chat.postMessage", Fault::text_500());
    let id = stage.post(&at(1, "SYNC_FAILED")).await;
    let record = stage.settled(&id, Outcome::Dead).await;
    assert!(record.row.why.as_deref().is_some_and(|why| why.contains("5 attempts")), "{:?}", record.row.why);
}

#[tokio::test]
async fn a_slack_message_whose_answer_was_lost_is_sent_once_more_at_most_and_says_so() {
    let stage = with_rules(SLACK_ONLY).await;
    stage.slack.next(Fault::CutAfter);
    let id = stage.post(&at(1, "SYNC_FAILED")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.messages().len(), 2);
    assert!(record.steps[0].perhaps_twice, "{:?}", record.steps);

    stage.slack.every(1, Fault::CutAfter);
    let id = stage.post(&at(2, "SYNC_FAILED")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.steps[0].state, StepState::Unknown, "{:?}", record.steps);
    assert_eq!(stage.slack.messages().len(), 4);
    let (_, listed, _) =
        stage.gluehook(&["--json", "events", "list", "--why", "may not have been posted"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["id"], json!(id));
}

#[tokio::test]
async fn our_own_keys_and_labelled_passwords_are_not_written_down() {
    let stage = with_rules(SLACK_ONLY).await;
    let error = format!(
        "sent {API_KEY} with {WEBHOOK_SECRET}; {{'password': 'Ab1;xyz9999'}} ghp_0123456789abcdefghij"
    );
    let id = stage.post(&webhook::failed_job(error.as_str())).await;
    let record = stage.settled(&id, Outcome::Done).await;
    let (_, shown, _) = stage.gluehook(&["--json", "events", "show", &id]).await;
    let stored = format!("{record:?} {shown} {}", String::from_utf8_lossy(&record.body));
    assert!(record.body_redacted && record.row.event.error.contains("[redacted]"), "{:?}", record.row);
    for secret in [API_KEY, WEBHOOK_SECRET, "xyz9999", "ghp_0123"] {
        assert!(!stored.contains(secret), "{secret}: {stored}");
    }
    let unreadable = stage.post(&format!("no JSON, but {API_KEY}")).await;
    let record = stage.settled(&unreadable, Outcome::Dead).await;
    assert!(record.body_redacted && !String::from_utf8_lossy(&record.body).contains(API_KEY));
}

#[tokio::test]
async fn a_job_whose_answer_was_lost_is_not_started_again() {
    let stage = with_rules(RUN_JOB).await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    stage.hotglue.next_on("POST", "/jobs", Fault::CutAfter);
    let id = stage.post(&at(1, "JOB_COMPLETED")).await;
    stage.settled(&id, Outcome::Done).await;
    assert_eq!(tenant.job_names(), ["again-tVN_B"]);
}

#[tokio::test]
async fn an_older_event_never_undoes_a_newer_one() {
    let stage = with_rules(SCHEDULES).await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    let newer = stage.post(&at(30, "SYNC_FAILED")).await;
    stage.settled(&newer, Outcome::Done).await;
    let older = stage.post(&at(10, "JOB_COMPLETED")).await;
    let record = stage.settled(&older, Outcome::Done).await;
    assert_eq!(record.steps[0].state, StepState::Superseded, "{:?}", record.steps);
    assert_eq!(tenant.schedule(None).map(|s| s.state), Some(ScheduleState::Disabled));
}

#[tokio::test]
async fn a_message_after_a_change_that_was_not_made_says_so() {
    let rules = format!(
        "{SCHEDULES}[[rule]]\nname = 'on-and-told'\non = ['job']\nwhen = ['event.completed']\n[[rule.do]]\naction = 'enable_schedule'\n[[rule.do]]\naction = 'slack'\ntext = 'the schedule is on'\n"
    );
    let stage = with_rules(&rules).await;
    let newer = stage.post(&at(30, "SYNC_FAILED")).await;
    stage.settled(&newer, Outcome::Done).await;
    let older = stage.post(&at(10, "JOB_COMPLETED")).await;
    stage.settled(&older, Outcome::Done).await;
    let texts = stage.slack.texts();
    assert!(texts[0].starts_with("the schedule is on\n") && texts[0].contains("Not so"), "{texts:?}");
    let newest = stage.post(&at(50, "JOB_COMPLETED")).await;
    stage.settled(&newest, Outcome::Done).await;
    assert_eq!(stage.slack.texts()[1], "the schedule is on");
}

#[tokio::test]
async fn a_worker_killed_while_it_acts_leaves_a_single_effect() {
    let mut stage = with_rules(RUN_JOB).await;
    let tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1");
    stage.hotglue.next_on("POST", "/jobs", Fault::Delay(Duration::from_secs(20)));
    let id = stage.post(&at(1, "JOB_COMPLETED")).await;
    assert!(stage.hotglue.until(Duration::from_secs(20), |hotglue| !hotglue.effects().is_empty()).await);
    stage.worker().kill().await;

    stage.start_worker().await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.decisions.len(), 1, "the decision is resumed, not remade");
    assert_eq!(tenant.job_names(), ["again-tVN_B"]);
}

#[tokio::test]
async fn an_event_that_every_worker_dies_over_ends_in_the_dead_letters_with_the_number_of_attempts() {
    let setting = Setting {
        rules: Some(SCHEDULES.to_owned()),
        config: "[jetstream]\nack_wait = \"1s\"\n".to_owned(),
        without_worker: true,
        ..Setting::default()
    };
    let mut stage = Stage::with(setting).await;
    stage.hotglue.every_on(1, "PUT", "/jobs/schedule", Fault::Delay(Duration::from_secs(600)));
    let id = stage.post(&at(1, "JOB_COMPLETED")).await;
    let called = |hotglue: &sandbox::Hotglue, method: &str| {
        hotglue.calls().iter().filter(|call| call.is(method, "/jobs/schedule")).count()
    };
    for death in 1..=10 {
        stage.start_worker().await;
        let at_work = Duration::from_secs(60);
        assert!(stage.hotglue.until(at_work, |hotglue| called(hotglue, "PUT") >= death).await);
        stage.worker().kill().await;
    }
    stage.start_worker().await;
    let record = stage.settled(&id, Outcome::Dead).await;
    let why = record.row.why.unwrap_or_default();
    assert!(why.contains("begun 10 times"), "{why}");
    let (_, letters, _) = stage.gluehook(&["--json", "dead", "list"]).await;
    let letters: serde_json::Value = serde_json::from_str(&letters).unwrap();
    assert_eq!(letters[0]["attempts"], 11, "{letters}");
    assert_eq!(called(&stage.hotglue, "PUT"), 10, "the one that gave up made no call");
    assert_eq!(called(&stage.hotglue, "GET"), 1, "what the first has noted is not read again");
}

#[tokio::test]
async fn a_slow_tenant_does_not_hold_up_another() {
    let stage = with_rules(SCHEDULES).await;
    let other = stage.hotglue.tenant(ENV, FLOW, "2");
    stage.hotglue.next_on("PUT", "/1414_1/", Fault::Delay(Duration::from_secs(25)));
    stage.post(&at(1, "JOB_COMPLETED")).await;
    let id = stage.post(&webhook::job(|job| job["tenant"] = json!("2"))).await;
    stage.settled(&id, Outcome::Done).await;
    assert!(other.schedule(None).is_some_and(|s| s.is_on()));
}

const ON_AND_OFF: &str = r#"
[[rule]]
name = "torn"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "enable_schedule"
of = "source"
[[rule.do]]
action = "disable_schedule"
of = "source"
"#;

#[tokio::test]
async fn a_changed_rulebook_is_taken_and_a_bad_one_keeps_the_old() {
    let mut stage = with_rules(SLACK_ONLY).await;
    let rules = stage.path("rules.toml");

    rewrite(&rules, &SLACK_ONLY.replace("event.tenant", "event.tennant"));
    let said = stage.worker().line("the old rules stay in force").await;
    assert!(said.contains("event.tennant") && said.contains("event.tenant"), "{said}");
    let id = stage.post(&at(1, "SYNC_FAILED")).await;
    stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.texts(), ["1414_1 failed"]);

    // Nor one that can be read, and can't be meant.
    rewrite(&rules, &format!("{SLACK_ONLY}{ON_AND_OFF}"));
    stage.worker().line("`torn`").await;
    assert!(!stage.worker().log().contains("is in force"));

    rewrite(&rules, &SLACK_ONLY.replace(" failed\"", " is down\""));
    stage.worker().line("is in force").await;
    let id = stage.post(&at(2, "SYNC_FAILED")).await;
    let after = stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.texts()[1], "1414_1 is down");
    assert_ne!(after.row.rulebook, None);
}

#[tokio::test]
async fn a_text_that_never_ends_buries_the_event_and_nothing_else() {
    let endless = SLACK_ONLY.replace(
        "{{ event.tenant }} failed",
        "{% for i in range(100000) %}{% for j in range(100000) %}{{ i }}{% endfor %}{% endfor %}",
    );
    let stage = with_rules(&endless).await;
    let id = stage.post(&at(1, "SYNC_FAILED")).await;
    let record = stage.settled(&id, Outcome::Dead).await;
    assert!(record.row.why.as_deref().is_some_and(|why| why.contains("`tell`")), "{:?}", record.row.why);
    let fine = stage.post(&at(2, "SYNC_SUCCESS")).await;
    stage.settled(&fine, Outcome::NoRule).await;
}

#[tokio::test]
async fn an_event_that_a_broken_rule_buried_is_decided_anew_when_it_is_sent_back() {
    let broken = SLACK_ONLY.replace("{{ event.tenant }} failed", "{{ payload.nowhere.near }}");
    let mut stage = with_rules(&broken).await;
    let id = stage.post(&at(1, "SYNC_FAILED")).await;
    stage.settled(&id, Outcome::Dead).await;

    rewrite(&stage.path("rules.toml"), SLACK_ONLY);
    stage.worker().line("is in force").await;
    let (code, _, errors) = stage.gluehook(&["dead", "retry", &id, "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.texts(), ["1414_1 failed"]);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_kept_and_buried() {
    let stage = Stage::start().await;
    let id = stage.post("this is not JSON").await;
    let record = stage.settled(&id, Outcome::Dead).await;
    assert!(record.row.why.as_deref().is_some_and(|why| why.contains("not JSON")), "{:?}", record.row);
    assert_eq!(record.body, b"this is not JSON");
}

#[tokio::test]
async fn odd_names_and_odd_texts_go_all_the_way() {
    let stage = with_rules(SCHEDULES).await;
    let long = "x".repeat(400);
    for tenant in ["a.b *>", "../../admin", "a/b?c#d%20", "näme \u{1F600}", "_", long.as_str()] {
        let double = stage.hotglue.tenant(ENV, FLOW, tenant);
        let body = webhook::job(|job| {
            job["tenant"] = json!(tenant);
            job["job_name"] = json!("it's \"quoted\"\nand\t\u{1F984} \u{0000}");
        });
        let id = stage.post(&body).await;
        stage.settled(&id, Outcome::Done).await;
        assert!(double.schedule(None).is_some_and(|s| s.is_on()), "{tenant}");
    }
}

#[tokio::test]
async fn lone_surrogates_deep_nesting_and_bad_utf8_still_reach_the_rule() {
    let stage = with_rules(SLACK_ONLY).await;
    let deep = format!("{}1{}", "[".repeat(3_000), "]".repeat(3_000));
    for body in [
        r#"{"job_id":"a","status":"SYNC_FAILED","tenant":"lone\ud800"}"#.to_owned(),
        format!(r#"{{"job_id":"b","status":"SYNC_FAILED","tenant":"deep","state":{deep}}}"#),
    ] {
        let id = stage.post(&body).await;
        stage.settled(&id, Outcome::Done).await;
    }
    assert_eq!(stage.slack.texts(), ["lone\u{FFFD} failed", "deep failed"]);
}

#[tokio::test]
async fn no_secret_is_stored_logged_or_posted() {
    let mut stage = Stage::start().await;
    stage
        .hotglue
        .tenant(ENV, FLOW, "1414_1")
        .with_config(json!({"importCredentials": {"password": "s3cret-of-a-tenant"}}));
    let body =
        webhook::vary(&webhook::failed_job("login refused: refresh_token=s3cret-refresh-token"), |job| {
            job["override_source_config"] =
                json!({"client_secret": "s3cret-override", "site": "s3cret-site"});
        });
    let id = stage.post(&body).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert!(record.body_redacted);
    let linked = stage.post(&webhook::connection(|_| {})).await;
    stage.until(&linked, "be settled", |record| record.row.outcome != Outcome::Open).await;
    let (_, shown, errors) = stage.gluehook(&["events", "show", &id]).await;
    stage.worker().stop().await;

    let mut seen =
        vec![stage.slack.texts().join("\n"), stage.ingest.log(), stage.worker().log(), shown, errors];
    for file in ["gluehook.db", "gluehook.db-wal"] {
        seen.extend(
            std::fs::read(stage.path(file)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        );
    }
    for secret in [
        "s3cret-refresh",
        "s3cret-override",
        "s3cret-site",
        "s3cret-of-a-tenant",
        WEBHOOK_SECRET,
        API_KEY,
        SLACK_TOKEN,
    ] {
        for place in &seen {
            assert!(!place.contains(secret), "{secret} was seen");
        }
    }
}

#[tokio::test]
async fn a_second_worker_on_one_sqlite_file_is_refused_and_pointed_to_postgres() {
    let stage = Stage::start().await;
    let (code, _, errors) =
        tests::program::run("gluehook-worker", &stage.worker_flags(), &tests::stage::secrets()).await;
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("Postgres"), "{errors}");
}

#[tokio::test]
async fn a_worker_that_stops_hands_its_events_back_and_ends_well() {
    let mut stage = with_rules(SCHEDULES).await;
    stage.hotglue.next_on("PUT", "/jobs/schedule", Fault::Delay(Duration::from_secs(2)));
    let mut ids = Vec::new();
    for minute in 1..=6 {
        ids.push(stage.post(&at(minute, "JOB_COMPLETED")).await);
    }
    assert!(stage.hotglue.until(Duration::from_secs(20), |hotglue| !hotglue.effects().is_empty()).await);
    assert!(stage.worker().stop().await.success());

    let begun = std::time::Instant::now();
    stage.start_worker().await;
    for id in &ids {
        let record = stage.settled(id, Outcome::Done).await;
        assert_eq!(record.row.failures, 0, "{:?}", record.attempts);
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "none waited until the queue missed its worker");
}
