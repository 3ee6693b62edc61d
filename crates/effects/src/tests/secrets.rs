//! No secret leaves, whatever the other side does with it.

use domain::facts::Need;
use sandbox::Fault;
use serde_json::json;

use super::*;

const CUSTOMERS: &str = "hush-secret-of-a-customer";

#[tokio::test]
async fn no_secret_is_in_an_error_a_receipt_or_a_debug_text() {
    let more = format!("[[hotglue.flow]]\nflow_id = \"{FLOW}\"\ntarget_config = {{ pin = \"{CUSTOMERS}\" }}");
    let stage = Stage::with(&more).await;
    stage.tenant().with_config(json!({"password": CUSTOMERS}));
    let mut told = vec![format!("{:?}", stage.world)];
    let echoes = [
        // Cut in the middle of a secret by whoever shortens it.
        format!("{}{API_KEY} {}{TOKEN}", "a".repeat(290), "b".repeat(7_690)),
        format!("{}{TOKEN}", "a ".repeat(145)),
        format!(r#"{{"Code":"UnauthorizedError","Message":"Invalid x-api-key {API_KEY} {TOKEN}"}}"#),
        format!("{API_KEY} {TOKEN} client_secret={CUSTOMERS}"),
        format!("<html><title>{API_KEY} {TOKEN}</title></html>"),
        format!(r#"{{"ok":false,"error":"{TOKEN}","password":"{CUSTOMERS}","x":"{API_KEY}"}}"#),
    ];
    for echo in &echoes {
        for status in [200, 302, 400, 401, 403, 404, 409, 429, 500, 503] {
            for action in
                [schedule(true, None), schedule(true, Some(CRON)), link("optiply"), job("wh"), message("x")]
            {
                stage.hotglue.next(Fault::Status(status, echo.clone()));
                stage.slack.next(Fault::Status(status, echo.clone()));
                told.push(format!("{:?}", stage.world.perform(&action).await));
                stage.hotglue.clear_faults();
                stage.slack.clear_faults();
            }
            for need in [Need::Config, Need::State, Need::LinkedSources, Need::Schedule] {
                stage.hotglue.next(Fault::Status(status, echo.clone()));
                told.push(format!("{:?}", stage.world.observe(&place(), &need).await.map(|_| ())));
            }
            stage.hotglue.next(Fault::Status(status, echo.clone()));
            stage.slack.next(Fault::Status(status, echo.clone()));
            told.push(format!("{:?}", stage.world.check().await));
        }
    }
    for fault in [Fault::CutBefore, Fault::CutAfter] {
        stage.hotglue.next(fault.clone());
        stage.slack.next(fault);
        told.push(format!("{:?}", stage.world.perform(&schedule(true, Some(CRON))).await));
        told.push(format!("{:?}", stage.world.perform(&message("x")).await));
    }
    for text in told {
        assert!(!text.contains("hush"), "{text}");
        assert!(!text.contains("xoxb"), "{text}");
    }
}

#[tokio::test]
async fn a_message_is_posted_without_secrets() {
    let stage = Stage::new().await;
    let text = format!("failed: client_secret={CUSTOMERS}, ours {API_KEY} and {TOKEN}");
    let receipt = stage.world.perform(&message(&text)).await.unwrap();
    let shown = stage.slack.texts().pop().unwrap();
    assert_eq!(shown, "failed: client_secret=[redacted], ours [redacted] and [redacted]");
    assert!(!format!("{receipt:?}").contains("hush"));
}
