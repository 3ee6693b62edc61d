//! Whether a service is there at all.

use std::time::Duration;

use domain::breaker::Sign;
use sandbox::Fault;

use super::*;
use crate::Service;

fn hotglue() -> Service {
    Service::Hotglue { env_id: ENV.into() }
}

#[tokio::test]
async fn any_answer_says_that_it_is_there() {
    let stage = Stage::new().await;
    let questions = stage.world.questions();
    for fault in [
        Fault::forbidden(),
        Fault::locked(),
        Fault::lower_case_400("no"),
        Fault::Status(404, "not found".into()),
        Fault::Status(404, r#"{"Code":"NotFoundError","Message":"Resource not found"}"#.into()),
        Fault::Status(401, r#"{"Code":"UnauthorizedError","Message":"Invalid x-api-key"}"#.into()),
        Fault::Status(301, String::new()),
        Fault::Status(200, "<html>".into()),
        Fault::Status(200, "?".into()),
        Fault::EmptyBody(200),
    ] {
        stage.hotglue.next(fault.clone());
        questions[&hotglue()].ask().await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
    for fault in [
        Fault::slack_error("invalid_auth"),
        Fault::slack_error("unknown_method"),
        Fault::Status(404, "not_found".into()),
        Fault::Status(200, "<html>".into()),
        Fault::Status(200, "?".into()),
    ] {
        stage.slack.next(fault.clone());
        questions[&Service::Slack].ask().await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
    questions[&hotglue()].ask().await.unwrap();
    questions[&Service::Slack].ask().await.unwrap();
    assert!(stage.hotglue.calls().iter().all(|call| call.is("GET", "/tenants/dev.hotglue.com")));
    assert!(stage.slack.calls().iter().all(|call| call.is("POST", "/api/auth.test")));
    assert!(stage.slack.messages().is_empty() && stage.hotglue.effects().is_empty(), "nothing is changed");
}

#[tokio::test]
async fn trouble_of_the_service_is_no_answer() {
    let stage = Stage::with("[hotglue]\ntimeout = \"500ms\"").await;
    let questions = stage.world.questions();
    for (fault, sign) in [
        (Fault::text_500(), Sign::Failing),
        (Fault::html_502(), Sign::Failing),
        (Fault::gateway_504(), Sign::Failing),
        (Fault::CutBefore, Sign::Failing),
        (Fault::Delay(Duration::from_secs(60)), Sign::Failing),
        (Fault::too_many_requests(Some(7)), Sign::SlowDown(Some(Duration::from_secs(7)))),
    ] {
        stage.hotglue.next(fault.clone());
        assert_eq!(questions[&hotglue()].ask().await.unwrap_err().sign(), sign, "{fault:?}");
    }
    for (fault, sign) in [
        (Fault::html_502(), Sign::Failing),
        (Fault::slack_error("service_unavailable"), Sign::Failing),
        (Fault::slack_error("fatal_error"), Sign::Failing),
        (Fault::slack_error("ratelimited"), Sign::SlowDown(None)),
        (Fault::slack_rate_limited(9), Sign::SlowDown(Some(Duration::from_secs(9)))),
    ] {
        stage.slack.next(fault.clone());
        assert_eq!(questions[&Service::Slack].ask().await.unwrap_err().sign(), sign, "{fault:?}");
    }
    let Stage { servers, .. } = stage;
    servers.0.stop().await;
    let error = questions[&hotglue()].ask().await.unwrap_err();
    assert_eq!(error.sign(), Sign::Unreachable);
    assert!(!format!("{error} {:?}", questions[&hotglue()]).contains(API_KEY));
}

#[tokio::test]
async fn an_incoming_webhook_can_not_be_asked() {
    let config = Config::parse("[slack]\nwebhook_url = \"env:URL\"").unwrap();
    let resolve = |_: &SecretRef| Ok("http://127.0.0.1:1/services/x".to_owned().into());
    assert!(World::build(&config, Path::new(""), &resolve).unwrap().questions().is_empty());
}
