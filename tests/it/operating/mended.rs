use super::*;

#[tokio::test]
async fn a_letter_whose_event_has_ended_well_in_a_replay_is_retried_by_name_alone() {
    let stage = stage(false).await;
    stage.slack.only_channels(&["first"]);
    let mended = stage.post(&failed(1)).await;
    stage.settled(&mended, Outcome::Dead).await;
    stage.slack.only_channels(&[]);
    let listed = json(&stage, &["dead", "list"]).await;
    assert_eq!((&listed[0]["id"], &listed[0]["ended_well_in"]), (&json!(mended), &json!(null)));
    let replayed = json(&stage, &["replay", &mended, "--run", "whole", "--yes", "--wait"]).await;
    assert_eq!(replayed["replayed"], 1);
    stage.settled(&mended, Outcome::Done).await;
    let told = stage.slack.messages().len();
    assert_eq!(told, 3, "the first of the live run, and both of the replay");

    let listed = json(&stage, &["dead", "list"]).await;
    assert_eq!(listed[0]["ended_well_in"], json!("whole"), "{listed}");
    let sequence = listed[0]["sequence"].to_string();
    let (_, shown, _) = stage.gluehook(&["dead", "list"]).await;
    assert!(shown.contains("ended well since, in run whole"), "{shown}");
    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--all", "--yes"]).await;
    assert!(code == 1 && errors.contains("left out: 1 dead letter whose event has ended well"), "{errors}");
    for way in ["retry", "discard"] {
        assert!(errors.contains(&format!("gluehook dead {way} {sequence}")), "{errors}");
    }

    // Another one goes back to work without it.
    stage.slack.only_channels(&["first"]);
    let dead = stage.post(&failed(2)).await;
    stage.settled(&dead, Outcome::Dead).await;
    stage.slack.only_channels(&[]);
    let retried = json(&stage, &["dead", "retry", "--all", "--yes"]).await;
    assert_eq!(
        (retried["done"].as_array().map(Vec::len), retried["left_out"][0].to_string()),
        (Some(1), sequence.clone())
    );
    stage.settled(&dead, Outcome::Done).await;
    assert_eq!(stage.slack.messages().len(), told + 2);

    // By name it is retried, and the plan says what that does.
    let (code, plan, errors) = stage.gluehook(&["dead", "retry", &sequence, "--dry-run"]).await;
    assert!(code == 0 && plan.contains("in run whole") && errors.contains("a second time"), "{plan}{errors}");
    let (code, _, errors) = stage.gluehook(&["dead", "retry", &sequence, "--yes"]).await;
    assert!(code == 0 && errors.contains("a second time"), "{errors}");
    assert!(stage.slack.until(Duration::from_secs(60), |slack| slack.messages().len() == told + 3).await);
    assert_eq!(json(&stage, &["dead", "list"]).await, json!([]));
}
