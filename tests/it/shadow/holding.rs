//! What its own limit and fold would have made of what a rule in shadow would have done.

use serde_json::json;

use super::*;

fn rule(mode: &str) -> String {
    format!(
        r#"
[[rule]]
name = "off"
mode = "{mode}"
on = ["job"]
when = ["event.failed"]
limit = {{ tenants = 3, per = "1h" }}
fold = {{ after = 1, per = "1h" }}
[[rule.do]]
action = "disable_schedule"
of = "source"
[[rule.do]]
action = "slack"
text = "off"
"#
    )
}

fn failed(tenant: &str) -> String {
    webhook::job(|job| {
        job["tenant"] = tenant.into();
        job["job_id"] = tenant.into();
        job["status"] = "SYNC_FAILED".into();
    })
}

/// `observed`: the rule is live, and the worker only observes.
async fn shadow_shows_what_would_be_held_and_what_would_fold(postgres: bool, observed: bool) {
    let (mode, worker) =
        if observed { ("live", vec!["--observe".to_owned()]) } else { ("shadow", Vec::new()) };
    let setting = Setting { rules: Some(rule(mode)), postgres, worker, ..Setting::default() };
    let stage = Stage::with(setting).await;
    let mut ids = Vec::new();
    for tenant in ["t0", "t1", "t2", "t3", "t0"] {
        let mut body: serde_json::Value = serde_json::from_str(&failed(tenant)).unwrap();
        body["job_id"] = format!("{tenant}-{}", ids.len()).into();
        let id = stage.post(&body.to_string()).await;
        stage.settled(&id, Outcome::Done).await;
        ids.push(id);
    }
    let explained = async |id: &str| {
        let (code, told, errors) = stage.gluehook(&["explain", id]).await;
        assert_eq!(code, 0, "{errors}");
        told
    };
    let first = explained(&ids[0]).await;
    assert!(!first.contains("would have been held") && !first.contains("would fold"), "{first}");
    let second = explained(&ids[1]).await;
    assert!(second.contains("would fold: told in one message") && !second.contains("held"), "{second}");
    let too_many = explained(&ids[3]).await;
    let held = "would have been held: more than 3 tenants in 3600 s, the rule would have paused here";
    assert!(too_many.contains(held), "{too_many}");
    let after = explained(&ids[4]).await;
    assert!(after.contains("would have been paused since an earlier event"), "{after}");
    let (_, told, _) = stage.gluehook(&["--json", "explain", &ids[3]]).await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["rehearsed"]["off"]["held"], json!({"tenants": 3, "seconds": 3600, "pauses": true}));

    let (code, told, errors) = stage.gluehook(&["rules", "diff-shadow"]).await;
    assert_eq!(code, 1, "{errors}");
    for part in [
        "off: 5 events",
        "would have been held by its limit: 2 events; the rule would have paused 1 time",
        "would have folded into earlier messages: 2 Slack messages",
        "would add: 3 × disable_schedule, 3 × slack",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let (_, narrowed, _) = stage.gluehook(&["--json", "rules", "diff-shadow", "--tenant", "t3"]).await;
    let narrowed: serde_json::Value = serde_json::from_str(&narrowed).unwrap();
    assert_eq!(
        (&narrowed["rules"]["off"]["events"], &narrowed["rules"]["off"]["would_pause"]),
        (&json!(1), &json!(1))
    );

    let (_, paused, _) = stage.gluehook(&["--json", "rules", "paused"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&paused).unwrap(), json!([]), "nothing is paused");
    assert!(stage.slack.texts().is_empty() && stage.hotglue.effects().is_empty(), "nobody is told");
}

#[tokio::test]
async fn a_rule_in_shadow_shows_what_would_be_held_and_what_would_fold() {
    shadow_shows_what_would_be_held_and_what_would_fold(false, false).await;
}

#[tokio::test]
async fn a_worker_that_only_observes_shows_what_would_be_held_and_what_would_fold_in_postgres() {
    shadow_shows_what_would_be_held_and_what_would_fold(true, true).await;
}

#[tokio::test]
async fn what_a_person_has_dropped_was_not_done() {
    let rules = rule("live").replace("tenants = 3", "tenants = 1")
        + &rule("shadow")
            .replace("\"off\"", "\"new\"")
            .replace("limit =", "#")
            .replace("text = \"new\"", "text = \"off\"");
    let stage = Stage::with(Setting { rules: Some(rules), ..Setting::default() }).await;
    let id = stage.post(&failed("t0")).await;
    stage.settled(&id, Outcome::Done).await;
    let held = stage.post(&failed("t1")).await;
    stage.settled(&held, Outcome::Held).await;
    let compared = async || {
        let (code, told, errors) = stage.gluehook(&["rules", "diff-shadow", "new", "--against", "off"]).await;
        assert_eq!(code, 1, "{told}{errors}");
        told
    };
    for _ in 0..2 {
        let told = compared().await;
        for part in [
            "new: 2 events, the same about 1",
            "would add: 1 × disable_schedule, 1 × slack",
            "planned and not done: held, dropped by a person, or failed: 1 × disable_schedule, 1 × slack",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        stage.gluehook(&["rules", "drop", "off", "--yes"]).await;
    }
    let record = stage.settled(&held, Outcome::Dropped).await;
    assert!(record.row.why.is_some_and(|why| why.starts_with("dropped by")));
    for listing in [&["events", "list", "--outcome", "dropped"][..], &["events", "show", &held]] {
        let (code, told, errors) = stage.gluehook(listing).await;
        assert!(code == 0 && told.contains("dropped by"), "{told}{errors}");
    }
    let (_, told, _) = stage.gluehook(&["--json", "events", "list", "--outcome", "dropped"]).await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told[0]["id"].as_str(), told[0]["outcome"].as_str()), (Some(held.as_str()), Some("dropped")));
}

/// A flow of which nothing is configured: hotglue alone knows its expression.
#[tokio::test]
async fn an_expression_that_only_hotglue_knows_is_read_for_the_shadow_too() {
    const ELSEWHERE: &str = "nowhere";
    let rules = rule("shadow").replace("limit =", "#").replace("fold =", "#");
    let stage = Stage::with(Setting { rules: Some(rules), ..Setting::default() }).await;
    let tenant = stage.hotglue.tenant(tests::stage::ENV, ELSEWHERE, "t0");
    let _there = tenant.with_schedule(None, "cron(7 3 * * *)", sandbox::hotglue::ScheduleState::Enabled);
    let failed = |minute: u32| {
        webhook::job(|job| {
            job["tenant"] = "t0".into();
            job["flow_id"] = ELSEWHERE.into();
            job["flow"] = ELSEWHERE.into();
            job["status"] = "SYNC_FAILED".into();
            job["last_updated"] = format!("2024-10-07T08:{minute:02}:00+00:00").into();
        })
    };
    let would = async |body: &str| {
        let id = stage.post(body).await;
        let record = stage.settled(&id, Outcome::Done).await;
        let verdicts = &record.decisions[0].verdicts;
        let given = verdicts.iter().find(|given| given.rule == "off").unwrap();
        match given.would.first() {
            Some(Would::Call(call)) => (call.body.clone(), call.condition.clone()),
            other => panic!("{other:?} {verdicts:?}"),
        }
    };
    let read = would(&failed(1)).await;
    assert_eq!(read, (json!({"schedule_expression": "cron(7 3 * * *)", "state": "DISABLED"}), None));
    stage.hotglue.every_on(1, "GET", "/jobs/schedule", Fault::text_500());
    let (body, condition) = would(&failed(2)).await;
    assert_eq!(body, json!({"schedule_expression": null, "state": "DISABLED"}));
    assert!(condition.is_some_and(|told| told.contains("not known") && told.contains("500")));
    assert!(stage.hotglue.effects().is_empty());
}
