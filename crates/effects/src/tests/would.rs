//! What a rule in shadow notes is what a live one sends.

use domain::journal::Before;
use domain::would::{Call, Would};
use sandbox::Fault;
use serde_json::{Value, json};

use super::*;

fn call(would: Would) -> Call {
    match would {
        Would::Call(call) => call,
        Would::Nothing { why } | Would::Fail { why } => panic!("{why}"),
    }
}

/// What is sent for an action, and by whom it was received: method, path and body.
async fn sent(stage: &Stage, action: &Action) -> (String, String, Option<Value>) {
    stage.world.perform(action).await.expect("it is done");
    let (calls, base) = match action {
        Action::Slack { .. } => (stage.slack.calls(), stage.servers.1.url()),
        _ => (stage.hotglue.calls(), stage.servers.0.url()),
    };
    let last = calls.into_iter().rfind(|call| call.method != "GET").expect("it was sent");
    (last.method, format!("{base}{}", last.path), last.body)
}

#[tokio::test]
async fn what_would_be_called_is_what_is_called_for_every_action() {
    let stage = Stage::new().await;
    let scoped = Action::SetSchedule {
        place: of("a/b é"),
        which: Which::Target,
        connector_id: Some("optiply".into()),
        expression: Some(CRON.into()),
        enabled: true,
    };
    let long = format!("{}\nsecond line", "é".repeat(50_000));
    let secret = format!("first\nhush {API_KEY} password=hunter22");
    for action in [
        schedule(true, Some(CRON)),
        schedule(false, Some(CRON)),
        scoped,
        link("optiply"),
        job("wh \"é\"\n"),
        Action::RunJob { place: place(), tap: String::new(), name: "no tap".into() },
        message("*two*\nlines"),
        message(&long),
        message(&secret),
        Action::Slack { channel: Some("#other".into()), text: "x".into() },
    ] {
        let would = call(stage.world.would(&action, None));
        let (method, url, body) = sent(&stage, &action).await;
        assert_eq!((would.method, would.url, Some(would.body)), (method, url, body), "{}", action.summary());
    }
}

#[tokio::test]
async fn what_an_answer_decides_is_told_as_a_condition_and_nobody_is_called() {
    let stage = Stage::new().await;
    for (action, part) in [
        (link("optiply"), "unless the target is linked already"),
        (job("wh"), "unless a job of this name is listed"),
        (schedule(false, None), "could not be read: it was not asked for"),
    ] {
        let would = call(stage.world.would(&action, None));
        assert!(would.condition.as_deref().is_some_and(|told| told.contains(part)), "{would:?}");
    }
    let why = "hotglue was away".to_owned();
    let unread = call(stage.world.would(&schedule(true, None), Some(&Before::No { why })));
    assert_eq!(unread.body, json!({"schedule_expression": null, "state": "ENABLED"}), "nothing is made up");
    assert!(
        unread.condition.is_some_and(|told| told.contains("not known") && told.contains("hotglue was away"))
    );
    assert_eq!(call(stage.world.would(&schedule(true, Some(CRON)), None)).condition, None);
    assert!(stage.hotglue.calls().is_empty() && stage.slack.calls().is_empty());
}

#[tokio::test]
async fn an_expression_that_only_hotglue_knows_is_read_and_the_call_is_the_one_that_is_made() {
    let stage = Stage::new().await;
    let said = r#"{"schedule_expression": "cron(7 3 * * *)", "state": "ENABLED"}"#;
    for enabled in [true, false] {
        let action = schedule(enabled, None);
        stage.hotglue.next_on("GET", "/jobs/schedule", Fault::Status(200, said.to_owned()));
        let before = stage.world.schedule_before(&action).await.unwrap();
        let would = call(stage.world.would(&action, Some(&before)));
        assert_eq!(would.condition, None);
        assert_eq!(would.body["schedule_expression"], json!("cron(7 3 * * *)"));
        stage.hotglue.next_on("GET", "/jobs/schedule", Fault::Status(200, said.to_owned()));
        let (method, url, body) = sent(&stage, &action).await;
        assert_eq!((would.method, would.url, Some(would.body)), (method, url, body));
    }
    // Where there is none, the one does nothing and the other fails, as it does live.
    let nothing = stage.world.would(&schedule(false, None), Some(&Before::Absent));
    assert!(
        matches!(&nothing, Would::Nothing { why } if why.contains("nothing to switch off")),
        "{nothing:?}"
    );
    let fails = stage.world.would(&schedule(true, None), Some(&Before::Absent));
    assert!(matches!(&fails, Would::Fail { why } if why.contains("hotglue reports none")), "{fails:?}");
}

#[tokio::test]
async fn what_the_ledger_keeps_of_a_message_is_all_that_went_out() {
    let stage = Stage::new().await;
    let long = format!("first\n{}", "é".repeat(2_000));
    for action in
        [message("x"), message(&long), Action::Slack { channel: Some("#other".into()), text: "y".into() }]
    {
        let receipt = stage.world.perform(&action).await.unwrap();
        let kept = receipt.request.strip_prefix("POST chat.postMessage ").expect("the call");
        let (_, _, sent) = sent(&stage, &action).await;
        assert_eq!(Some(serde_json::from_str::<Value>(kept).unwrap()), sent);
    }
}

#[tokio::test]
async fn neither_a_targets_config_nor_a_webhooks_address_is_told() {
    let more = format!(
        "[[hotglue.flow]]\nflow_id = \"{FLOW}\"\ntarget = \"optiply\"\ntarget_config = {{ key = \"hush-hush\" }}"
    );
    let stage = Stage::with(&more).await;
    let would = call(stage.world.would(&link("optiply"), None));
    assert_eq!(would.body, json!({"target": {"target": "optiply", "config": {"key": "[redacted]"}}}));

    let text = r#"
        [slack]
        webhook_url = "env:URL""#;
    let config = Config::parse(text).expect("a configuration");
    let url = |_: &SecretRef| Ok(SecretString::from("https://hooks.slack.com/services/hush/hush"));
    let world = World::build(&config, Path::new(""), &url).expect("the configuration is right");
    let would = call(world.would(&message("x\ny"), None));
    assert_eq!((would.url.as_str(), would.body), ("the incoming webhook", json!({"text": "x\ny"})));
}

#[tokio::test]
async fn what_could_not_be_called_says_why() {
    let stage = Stage::new().await;
    let elsewhere = Action::RunJob {
        place: Place { env_id: "prod".into(), ..place() },
        tap: String::new(),
        name: "x".into(),
    };
    for (action, part) in [
        (elsewhere, "no [[hotglue.environment]] has env_id `prod`"),
        (Action::Slack { channel: Some(String::new()), text: "x".into() }, "no channel"),
    ] {
        let would = stage.world.would(&action, None);
        assert!(matches!(&would, Would::Fail { why } if why.contains(part)), "{would:?}");
        assert_eq!(
            permanent(stage.world.perform(&action).await),
            match would {
                Would::Fail { why } => why,
                would => panic!("{would:?}"),
            }
        );
    }
}
