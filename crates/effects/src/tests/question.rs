//! Whether a service is there at all.

use std::time::Duration;

use domain::breaker::Heard;
use sandbox::Fault;

use super::*;
use crate::Service;

fn hotglue() -> Service {
    Service::Hotglue { env_id: ENV.into() }
}

#[tokio::test]
async fn only_its_own_answer_speaks_for_a_service() {
    let stage = Stage::new().await;
    let questions = stage.world.questions();
    let not_found = r#"{"Code":"NotFoundError","Message":"Resource not found"}"#;
    let wrong_key = r#"{"Code":"UnauthorizedError","Message":"Invalid x-api-key"}"#;
    for (fault, heard) in [
        (Fault::forbidden(), Heard::Somebody),
        (Fault::locked(), Heard::Somebody),
        (Fault::lower_case_400("no"), Heard::Somebody),
        (Fault::Status(404, "not found".into()), Heard::Somebody),
        (Fault::Status(404, "<html>".into()), Heard::Somebody),
        (Fault::Status(404, not_found.into()), Heard::Somebody),
        (Fault::Status(401, wrong_key.into()), Heard::Somebody),
        (Fault::Status(200, "?".into()), Heard::Somebody),
        (Fault::Status(200, r#"{"maintenance":true}"#.into()), Heard::Somebody),
        (Fault::EmptyBody(200), Heard::Somebody),
        (Fault::Status(301, String::new()), Heard::Stranger),
        (Fault::Status(302, "<html>".into()), Heard::Stranger),
        (Fault::Status(200, "<html>".into()), Heard::Stranger),
        (Fault::Status(200, r#"["a"]"#.into()), Heard::Well),
        (Fault::Status(200, "[]".into()), Heard::Well),
    ] {
        stage.hotglue.next(fault.clone());
        let answered = questions[&hotglue()].ask().await;
        assert_eq!(answered.heard, heard, "{fault:?}: {answered:?}");
        assert_eq!(answered.why.is_empty(), heard == Heard::Well, "{answered:?}");
    }
    for (fault, heard) in [
        (Fault::slack_error("invalid_auth"), Heard::Somebody),
        (Fault::slack_error("unknown_method"), Heard::Well),
        (Fault::Status(404, "not_found".into()), Heard::Somebody),
        (Fault::Status(302, String::new()), Heard::Stranger),
        (Fault::Status(200, "<html>".into()), Heard::Stranger),
        (Fault::Status(200, "?".into()), Heard::Somebody),
        (Fault::Status(200, "{}".into()), Heard::Somebody),
    ] {
        stage.slack.next(fault.clone());
        let answered = questions[&Service::Slack].ask().await;
        assert_eq!(answered.heard, heard, "{fault:?}: {answered:?}");
    }
    assert_eq!(questions[&hotglue()].ask().await.heard, Heard::Well);
    assert_eq!(questions[&Service::Slack].ask().await.heard, Heard::Well);
    assert!(stage.hotglue.calls().iter().all(|call| call.is("GET", "/tenants/dev.hotglue.com")));
    assert!(stage.slack.calls().iter().all(|call| call.is("POST", "/api/auth.test")));
    assert!(stage.slack.messages().is_empty() && stage.hotglue.effects().is_empty(), "nothing is changed");
}

#[tokio::test]
async fn trouble_of_the_service_is_no_answer() {
    let stage = Stage::with("[hotglue]\ntimeout = \"500ms\"").await;
    let questions = stage.world.questions();
    for (fault, heard) in [
        (Fault::text_500(), Heard::Trouble),
        (Fault::html_502(), Heard::Trouble),
        (Fault::gateway_504(), Heard::Trouble),
        (Fault::CutBefore, Heard::Trouble),
        (Fault::Delay(Duration::from_secs(60)), Heard::Trouble),
        (Fault::too_many_requests(Some(7)), Heard::SlowDown(Some(Duration::from_secs(7)))),
    ] {
        stage.hotglue.next(fault.clone());
        assert_eq!(questions[&hotglue()].ask().await.heard, heard, "{fault:?}");
    }
    for (fault, heard) in [
        (Fault::html_502(), Heard::Trouble),
        (Fault::slack_error("service_unavailable"), Heard::Trouble),
        (Fault::slack_error("fatal_error"), Heard::Trouble),
        (Fault::slack_error("ratelimited"), Heard::SlowDown(None)),
        (Fault::slack_rate_limited(9), Heard::SlowDown(Some(Duration::from_secs(9)))),
    ] {
        stage.slack.next(fault.clone());
        assert_eq!(questions[&Service::Slack].ask().await.heard, heard, "{fault:?}");
    }
    let Stage { servers, .. } = stage;
    servers.0.stop().await;
    let answered = questions[&hotglue()].ask().await;
    assert_eq!(answered.heard, Heard::Trouble);
    assert!(!format!("{answered:?} {:?}", questions[&hotglue()]).contains(API_KEY));
}

#[tokio::test]
async fn an_incoming_webhook_can_not_be_asked() {
    let config = Config::parse("[slack]\nwebhook_url = \"env:URL\"").unwrap();
    let resolve = |_: &SecretRef| Ok("http://127.0.0.1:1/services/x".to_owned().into());
    assert!(World::build(&config, Path::new(""), &resolve).unwrap().questions().is_empty());
}
