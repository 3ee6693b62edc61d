//! Messages.

use domain::breaker::Sign;
use domain::config::{Config, SecretRef};
use sandbox::Fault;
use serde_json::json;

use super::*;
use crate::Told;

#[tokio::test]
async fn a_message_goes_to_its_channel_or_the_configured_one() {
    let stage = Stage::new().await;
    let receipt = stage.world.perform(&message("*1414_1* hé 🧪\nsecond")).await.unwrap();
    assert!(receipt.answer.starts_with("200 {"), "{receipt:?}");
    assert!(
        receipt.request.starts_with("POST chat.postMessage {\"channel\":\"#hotglue-webhooks\""),
        "{receipt:?}"
    );
    let elsewhere = Action::Slack { channel: Some("#on-call".into()), text: "x".into() };
    stage.world.perform(&elsewhere).await.unwrap();
    let shown: Vec<_> = stage.slack.messages().into_iter().map(|m| (m.channel, m.text)).collect();
    assert_eq!(shown[0], ("#hotglue-webhooks".into(), "*1414_1* hé 🧪\nsecond".into()));
    assert_eq!(shown[1], ("#on-call".into(), "x".into()));
    let call = &stage.slack.calls()[0];
    assert_eq!(call.path, "/api/chat.postMessage");
    assert_eq!(call.body.as_ref().unwrap()["unfurl_links"], json!(false));
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_is_uncertain() {
    let stage = Stage::new().await;
    for fault in [Fault::CutAfter, Fault::CutBefore, Fault::gateway_504(), Fault::slack_error("fatal_error")]
    {
        stage.slack.next(fault.clone());
        let result = stage.world.perform(&message("x")).await;
        assert!(is_transient(&result, true), "{fault:?}: {result:?}");
    }
    assert_eq!(stage.slack.messages().len(), 1, "the one of CutAfter");
}

#[tokio::test]
async fn what_slack_will_never_take_is_permanent_and_says_what_to_do() {
    let stage = Stage::new().await;
    stage.slack.only_channels(&["#other"]);
    let why = permanent(stage.world.perform(&message("x")).await);
    assert!(why.starts_with("Slack answers channel_not_found: ") && why.contains("invite"), "{why}");
    let why = permanent(stage.world.perform(&message("")).await);
    assert!(why.starts_with("Slack answers"), "{why}");
    stage.slack.next(Fault::slack_error("ratelimited"));
    assert!(is_transient(&stage.world.perform(&message("x")).await, false));
}

#[tokio::test]
async fn a_very_long_text_is_cut() {
    let stage = Stage::new().await;
    stage.world.perform(&message(&"é".repeat(45_000))).await.unwrap();
    let shown = stage.slack.texts().pop().unwrap();
    assert!(shown.chars().count() < 40_000 && shown.ends_with("6000 characters more)"));
}

#[tokio::test]
async fn an_incoming_webhook_will_do() {
    let slack = Slack::new(TOKEN);
    let server = slack.start().await;
    let config = Config::parse("[slack]\nwebhook_url = \"env:URL\"").unwrap();
    let url = format!("{}/services/T000/B000/hush-webhook-path", server.url());
    let resolve = |_: &SecretRef| Ok(url.clone().into());
    let world = World::build(&config, Path::new(""), &resolve).unwrap();
    let receipt =
        world.perform(&Action::Slack { channel: Some("#x".into()), text: "hi".into() }).await.unwrap();
    assert_eq!(receipt.request, r#"POST incoming webhook {"text":"hi"}"#);
    assert_eq!(receipt.answer, "200 ok");
    assert_eq!(slack.texts(), ["hi"]);

    slack.next(Fault::Status(404, "no_service".into()));
    let why = permanent(world.perform(&message("x")).await);
    assert!(why.starts_with("Slack answers no_service: "), "{why}");
    slack.next(Fault::Status(200, "<html>Sign in</html>".into()));
    assert!(is_transient(&world.perform(&message("x")).await, true), "a page is no `ok`");
    slack.next(Fault::CutAfter);
    let cut = world.perform(&message("x")).await;
    assert!(is_transient(&cut, true));
    server.stop().await;
    let gone = world.perform(&message("x")).await;
    assert!(is_transient(&gone, false));
    for told in [format!("{world:?} {:?}", world.check().await), format!("{cut:?}"), format!("{gone:?}")] {
        assert!(!told.contains("hush-webhook-path"), "{told}");
    }
}

#[tokio::test]
async fn a_message_without_a_way_out_is_permanent() {
    let nothing = World::build(&Config::default(), Path::new(""), &secret).unwrap();
    assert!(permanent(nothing.perform(&message("x")).await).contains("[slack]"));
    let stage = Stage::new().await;
    let action = Action::Slack { channel: Some(String::new()), text: "x".into() };
    assert!(permanent(stage.world.perform(&action).await).contains("channel"));
}

#[tokio::test]
async fn a_message_is_told_again_in_its_place_and_anew_when_it_is_gone() {
    let stage = Stage::new().await;
    let posted = stage.world.tell(Some("#on-call"), None, "one").await.unwrap();
    let Told::Posted { message: Some(message), .. } = posted else { panic!("{posted:?}") };
    let updated = stage.world.tell(Some("#on-call"), Some(&message), "two").await.unwrap();
    let Told::Updated(receipt) = updated else { panic!("{updated:?}") };
    assert!(receipt.request.starts_with("POST chat.update {"), "{receipt:?}");
    assert_eq!(stage.slack.texts(), ["two"]);
    for error in
        ["message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "is_archived"]
    {
        stage.slack.next(Fault::slack_error(error));
        let told = stage.world.tell(None, Some(&message), "three").await.unwrap();
        assert!(matches!(&told, Told::Gone { why } if why.contains(error)), "{told:?}");
    }
    stage.slack.next(Fault::slack_error("invalid_auth"));
    let refused = stage.world.tell(None, Some(&message), "three").await;
    assert_eq!(refused.unwrap_err().sign(), Sign::Refused);
    stage.slack.next(Fault::CutBefore);
    let lost = stage.world.tell(None, Some(&message), "three").await;
    assert!(matches!(&lost, Err(EffectError::Transient { uncertain: true, .. })), "{lost:?}");
    assert_eq!(stage.slack.texts(), ["two"]);
}
