//! What `perform` changes at hotglue, and what it doesn't change twice.

use sandbox::{Change, Fault, ScheduleState};
use serde_json::json;

use super::*;
use crate::Leave;

#[tokio::test]
async fn switching_off_sends_the_expression_again() {
    let stage = Stage::new().await;
    let tenant = stage.tenant().with_schedule(None, CRON, ScheduleState::Enabled);
    let receipt = stage.world.perform(&schedule(false, Some(CRON))).await.unwrap();
    let now = tenant.schedule(None).unwrap();
    assert_eq!((now.expression.as_str(), now.state), (CRON, ScheduleState::Disabled));
    assert_eq!(
        receipt.request,
        format!(
            r#"PUT /{ENV}/{FLOW}/{TENANT}/jobs/schedule {{"schedule_expression":"{CRON}","state":"DISABLED"}}"#
        )
    );
    assert_eq!(receipt.answer, "200 {}");
    assert_eq!(stage.hotglue.calls().len(), 1, "a known expression is not read back");
}

#[tokio::test]
async fn an_expression_that_is_not_configured_is_read_back() {
    let stage = Stage::new().await;
    let odd = "cron(17 3 * * 2)";
    let tenant = stage.tenant().with_schedule(Some("optiply"), odd, ScheduleState::Enabled);
    let action = Action::SetSchedule {
        place: place(),
        which: Which::Target,
        connector_id: Some("optiply".into()),
        expression: None,
        enabled: false,
    };
    stage.world.perform(&action).await.unwrap();
    let now = tenant.schedule(Some("optiply")).unwrap();
    assert_eq!((now.expression.as_str(), now.state), (odd, ScheduleState::Disabled));
}

#[tokio::test]
async fn without_any_expression_on_is_refused_and_off_has_nothing_to_do() {
    let stage = Stage::new().await;
    let why = permanent(stage.world.perform(&schedule(true, None)).await);
    assert_eq!(
        why,
        "no schedule is configured for flow `JClkCC05S` and hotglue reports none: set `schedule` in its [[hotglue.flow]]"
    );
    let receipt = stage.world.perform(&schedule(false, None)).await.unwrap();
    assert_eq!(receipt.answer, "nothing to switch off: hotglue reports no schedule");
    stage.hotglue.next_on("GET", "/jobs/schedule", Fault::Status(405, String::new()));
    let why = permanent(stage.world.perform(&schedule(false, None)).await);
    assert!(why.contains("hotglue can't be asked for it"), "{why}");
    assert_eq!(stage.schedule_puts(), 0);
}

#[tokio::test]
async fn a_target_is_linked_once_and_with_the_flows_config() {
    let more = format!(
        "[[hotglue.flow]]\nflow_id = \"{FLOW}\"\ntarget = \"optiply\"\ntarget_config = {{ mode = \"pull\", since = 2024-01-02 }}"
    );
    let stage = Stage::with(&more).await;
    let receipt = stage.world.perform(&link("optiply")).await.unwrap();
    assert!(receipt.request.ends_with(r#"{"target":{"target":"optiply","config":{…}}}"#), "{receipt:?}");
    let posted = stage.hotglue.calls().into_iter().find(|call| call.method == "POST").unwrap();
    let expected =
        json!({"target": {"target": "optiply", "config": {"mode": "pull", "since": "2024-01-02"}}});
    assert_eq!(posted.body, Some(expected));
    let receipt = stage.world.perform(&link("optiply")).await.unwrap();
    assert_eq!(receipt.answer, "already there: target optiply is linked");
    assert_eq!(stage.tenant().targets(), ["optiply"]);

    stage.world.perform(&link("other")).await.unwrap();
    let posted = stage.hotglue.calls().into_iter().rfind(|call| call.method == "POST").unwrap();
    let expected = json!({"target": {"target": "other", "config": {}}});
    assert_eq!(posted.body, Some(expected), "the config of one target is never sent to another");
    assert_eq!(stage.hotglue.effects().len(), 2);
}

#[tokio::test]
async fn a_target_that_hotglue_says_is_there_is_there() {
    let stage = Stage::new().await;
    for fault in [Fault::Status(409, String::new()), Fault::lower_case_400("Target is Already linked")] {
        stage.hotglue.next_on("POST", "/linkedTargets", fault);
        let receipt = stage.world.perform(&link("optiply")).await.unwrap();
        assert!(receipt.answer.starts_with("already there"), "{receipt:?}");
    }
    stage.hotglue.next_on("POST", "/linkedTargets", Fault::lower_case_400("unknown target"));
    assert!(permanent(stage.world.perform(&link("optiply")).await).ends_with("unknown target"));
}

#[tokio::test]
async fn a_job_is_started_once_whatever_happens_to_the_answer() {
    let stage = Stage::new().await;
    let faults = [Fault::CutAfter, Fault::gateway_504_after()];
    for (i, fault) in faults.into_iter().enumerate() {
        let name = format!("wh-{FLOW}-salesforce-2024100{i} \"é\" 🧪\n");
        stage.hotglue.next_on("POST", "/jobs", fault);
        let first = stage.world.perform(&job(&name)).await;
        assert!(is_transient(&first, true), "{first:?}");
        let second = stage.world.perform(&job(&name)).await.unwrap();
        assert!(second.answer.starts_with("already there: job "), "{second:?}");
        assert_eq!(stage.tenant().job_names().iter().filter(|listed| **listed == name).count(), 1);
    }
    let started = stage.hotglue.effects();
    assert_eq!(started.iter().filter(|effect| matches!(effect.change, Change::JobStarted { .. })).count(), 2);
}

#[tokio::test]
async fn a_job_whose_start_never_arrived_is_started_by_the_next_attempt() {
    let stage = Stage::new().await;
    stage.hotglue.next_on("POST", "/jobs", Fault::CutBefore);
    let first = stage.world.perform(&job("wh")).await;
    assert!(is_transient(&first, true), "{first:?}");
    let second = stage.world.perform(&job("wh")).await.unwrap();
    assert!(second.answer.starts_with("job "), "{second:?}");
    assert_eq!(stage.tenant().job_names(), ["wh"]);
}

#[tokio::test]
async fn a_job_is_not_started_while_the_list_cannot_be_read() {
    let stage = Stage::new().await;
    for fault in [Fault::text_500(), Fault::CutBefore, Fault::Status(200, "{\"x\":1}".into())] {
        stage.hotglue.next_on("GET", "/jobs", fault);
        let result = stage.world.perform(&job("wh")).await;
        assert!(is_transient(&result, false), "{result:?}");
    }
    assert!(stage.tenant().job_names().is_empty());
    stage.hotglue.next_on("GET", "/jobs", Fault::Status(404, String::new()));
    stage.hotglue.next_on("POST", "/jobs", Fault::JobIdOnly);
    let receipt = stage.world.perform(&job("wh")).await.unwrap();
    assert!(receipt.answer.contains("200 {\"job_id\":"), "{receipt:?}");
    let posted = stage.hotglue.calls().pop().unwrap();
    assert_eq!(posted.body, Some(json!({"tap": "salesforce", "job_name": "wh"})));
}

#[tokio::test]
async fn a_job_that_may_run_is_started_once_more_at_most_where_nobody_can_look() {
    for status in [400, 404, 405] {
        let stage = Stage::new().await;
        stage.hotglue.every_on(1, "GET", "/jobs", Fault::Status(status, String::new()));
        let receipt = stage.world.perform(&job("first")).await.unwrap();
        assert!(!receipt.perhaps_twice, "a list that can't be read stops no first attempt: {receipt:?}");
        let receipt = stage.world.perform_after(1, &job("wh"), None, &Leave::default()).await.unwrap();
        assert!(receipt.perhaps_twice && receipt.answer.starts_with("job "), "{receipt:?}");
        let never_more = stage.world.perform_after(2, &job("wh"), None, &Leave::default()).await;
        let Err(EffectError::Unknown { why }) = never_more else { panic!("{never_more:?}") };
        assert!(why.contains("once, twice or not at all"), "{why}");
        assert_eq!(stage.tenant().job_names(), ["first", "wh"], "{status}");
    }
}

#[tokio::test]
async fn a_list_that_can_be_read_says_whether_a_lost_start_took_place() {
    let stage = Stage::new().await;
    let receipt = stage.world.perform_after(2, &job("wh"), None, &Leave::default()).await.unwrap();
    assert!(!receipt.perhaps_twice, "{receipt:?}");
    let receipt = stage.world.perform_after(3, &job("wh"), None, &Leave::default()).await.unwrap();
    assert!(receipt.answer.starts_with("already there: ") && !receipt.perhaps_twice, "{receipt:?}");
}

#[tokio::test]
async fn an_html_page_is_no_answer_to_a_change() {
    let stage = Stage::new().await;
    for page in ["<html>Sign in</html>", "\u{feff}\n <!doctype html><p>x"] {
        for (action, method, uncertain) in [
            (schedule(true, Some(CRON)), "PUT", false),
            (link("optiply"), "POST", true),
            (job("wh"), "POST", true),
        ] {
            stage.hotglue.next_on(method, "", Fault::Status(200, page.to_owned()));
            let result = stage.world.perform(&action).await;
            assert!(is_transient(&result, uncertain), "{result:?}");
            let why = result.unwrap_err().why().to_owned();
            assert!(why.ends_with("an HTML page instead of an answer: is base_url right?"), "{why}");
        }
    }
    assert!(stage.hotglue.effects().is_empty());
}

#[tokio::test]
async fn any_tenant_is_reached_at_its_own_path_only() {
    let stage = Stage::new().await;
    let tenants =
        ["a/b", "a b", "🦀 & ☃", "../1414_1", "x/../../1414_1", "a?b#c", "%2e%2e", "a\\b", "a;b=c", "é\n"];
    for name in tenants {
        let action = Action::RunJob { place: of(name), tap: "t".into(), name: "wh".into() };
        stage.world.perform(&action).await.unwrap();
        assert_eq!(stage.hotglue.tenant(ENV, FLOW, name).job_names(), ["wh"], "{name:?}");
    }
    assert_eq!(stage.hotglue.effects().len(), tenants.len());
    let long = "é".repeat(400);
    let action = Action::RunJob { place: of(&long), tap: "t".into(), name: "wh".into() };
    let receipt = stage.world.perform(&action).await.unwrap();
    assert!(receipt.request.len() < 400, "{receipt:?}");
    assert_eq!(stage.hotglue.tenant(ENV, FLOW, &long).job_names(), ["wh"]);

    let calls = stage.hotglue.calls().len();
    for name in ["", ".", ".."] {
        let action = Action::RunJob { place: of(name), tap: "t".into(), name: "wh".into() };
        permanent(stage.world.perform(&action).await);
    }
    assert_eq!(stage.hotglue.calls().len(), calls, "what no URL can address is not sent");
}

#[tokio::test]
async fn once_its_leave_is_withdrawn_an_action_makes_no_further_call_and_hears_the_one_under_way() {
    let stage = Stage::new().await;
    let delayed = Fault::Delay(std::time::Duration::from_millis(300));
    let begun = async |calls: usize, leave: &Leave| {
        let limit = std::time::Duration::from_secs(20);
        assert!(stage.hotglue.until(limit, |hotglue| hotglue.calls().len() == calls).await);
        leave.withdraw();
    };
    let (leave, action) = (Leave::default(), schedule(true, Some(CRON)));
    stage.hotglue.next_on("PUT", "/jobs/schedule", delayed.clone());
    let (done, ()) = tokio::join!(stage.world.perform_after(0, &action, None, &leave), begun(1, &leave));
    assert!(done.unwrap().answer.starts_with("200"), "the answer came late, and came");

    let (leave, action) = (Leave::default(), link("optiply"));
    stage.hotglue.next_on("GET", "/linkedTargets", delayed);
    let (linked, ()) = tokio::join!(stage.world.perform_after(0, &action, None, &leave), begun(2, &leave));
    assert!(is_transient(&linked, false) && leave.is_withdrawn());
    assert!(
        linked
            .unwrap_err()
            .why()
            .contains("POST /dev.hotglue.com/JClkCC05S/1414_1/linkedTargets was not sent")
    );
    assert_eq!(stage.hotglue.calls().len(), 2);
}
