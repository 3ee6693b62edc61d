//! Each class of failure, met over real HTTP.

use std::time::Duration;

use domain::breaker::Sign;
use domain::facts::Need;
use sandbox::Fault;

use super::*;

#[tokio::test]
async fn what_may_help_later_is_transient_and_says_whether_it_took_place() {
    let stage = Stage::new().await;
    for (fault, uncertain) in [
        (Fault::too_many_requests(None), false),
        (Fault::locked(), false),
        (Fault::text_500(), false),
        (Fault::html_502(), false),
        (Fault::Status(503, String::new()), false),
        (Fault::gateway_504(), true),
        (Fault::gateway_504_after(), true),
        (Fault::CutBefore, true),
        (Fault::CutAfter, true),
    ] {
        stage.hotglue.next(fault.clone());
        let result = stage.world.perform(&schedule(true, Some(CRON))).await;
        assert!(is_transient(&result, uncertain), "{fault:?}: {result:?}");
        stage.hotglue.next(fault.clone());
        let result = stage.world.observe(&place(), &Need::State).await;
        let certain = matches!(result, Err(EffectError::Transient { uncertain: false, .. }));
        assert!(certain, "reading has no effect: {fault:?}: {result:?}");
    }
}

#[tokio::test]
async fn what_cannot_help_is_permanent_and_says_what_hotglue_said() {
    let stage = Stage::new().await;
    for (status, body, told) in [
        (400, r#"{"Code":"BadRequestError","Message":"no such tap"}"#, ": BadRequestError: no such tap"),
        (
            404,
            r#"{"code":"NotFoundError","message":"Resource not found"}"#,
            ": NotFoundError: Resource not found",
        ),
        (409, r#"["conflict"]"#, r#": ["conflict"]"#),
        (422, "<html><h1>x</h1></html>", ": an HTML page"),
        (400, "", "with 400"),
    ] {
        stage.hotglue.next(Fault::Status(status, body.into()));
        let why = permanent(stage.world.perform(&schedule(true, Some(CRON))).await);
        assert!(why.starts_with("hotglue (environment `dev.hotglue.com`) refuses PUT /"), "{why}");
        assert!(why.ends_with(told), "{why}");
    }
    let long = "x".repeat(5_000);
    stage.hotglue.next(Fault::lower_case_400(&long));
    assert!(permanent(stage.world.perform(&schedule(true, Some(CRON))).await).len() < 600);
}

#[tokio::test]
async fn retry_after_is_handed_on() {
    let stage = Stage::new().await;
    stage.hotglue.next(Fault::too_many_requests(Some(17)));
    stage.slack.next(Fault::slack_rate_limited(23));
    let after = async |action| match stage.world.perform(&action).await {
        Err(EffectError::Transient { after, uncertain: false, .. }) => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(after(schedule(true, Some(CRON))).await, Some(Duration::from_secs(17)));
    assert_eq!(after(message("hello")).await, Some(Duration::from_secs(23)));
}

#[tokio::test]
async fn a_refused_key_is_for_a_person_to_mend() {
    let stage = Stage::new().await;
    for (status, body) in [
        (401, r#"{"Code":"UnauthorizedError","Message":"Invalid x-api-key"}"#),
        (403, r#"{"message":"Forbidden"}"#),
    ] {
        let refused = |why: &str| {
            assert!(why.starts_with("hotglue refuses the API key of environment `dev.hotglue.com`"), "{why}");
        };
        stage.hotglue.next(Fault::Status(status, body.into()));
        match stage.world.perform(&schedule(true, Some(CRON))).await {
            Err(EffectError::Permanent { why }) => refused(&why),
            other => panic!("only this call is refused: {other:?}"),
        }
        stage.hotglue.every(1, Fault::Status(status, body.into()));
        match stage.world.perform(&schedule(true, Some(CRON))).await {
            Err(EffectError::Transient { why, uncertain: false, sign: Sign::Refused, .. }) => refused(&why),
            other => panic!("the key is refused: {other:?}"),
        }
        stage.hotglue.clear_faults();
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stage = Stage::new().await;
    stage.hotglue.next(Fault::Status(301, String::new()));
    let result = stage.world.perform(&schedule(true, Some(CRON))).await;
    assert!(is_transient(&result, false), "{result:?}");
    assert!(result.unwrap_err().why().contains("base_url"));
    assert_eq!(stage.hotglue.calls().len(), 1);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_leaves_the_outcome_open() {
    let stage = Stage::with("[hotglue]\ntimeout = \"500ms\"").await;
    stage.hotglue.next(Fault::Delay(Duration::from_secs(60)));
    let result = stage.world.perform(&schedule(true, Some(CRON))).await;
    assert!(is_transient(&result, true), "{result:?}");
    assert!(result.unwrap_err().why().contains("did not answer within 0.5 s"));
    assert!(stage.tenant().schedule(None).is_some(), "it did take place");
}

#[tokio::test]
async fn a_service_that_is_not_there_was_not_reached() {
    let Stage { servers, world, .. } = Stage::new().await;
    servers.0.stop().await;
    servers.1.stop().await;
    for action in [schedule(true, Some(CRON)), link("optiply"), job("wh"), message("hello")] {
        let result = world.perform(&action).await;
        assert!(is_transient(&result, false), "{result:?}");
        let why = result.unwrap_err().why().to_owned();
        assert!(why.contains("can't be reached: Connection refused"), "{why}");
    }
}
