//! What the message about many says is so.

use std::time::Duration;

use domain::journal::{Outcome, StepState};
use sandbox::Fault;
use serde_json::{Value, json};
use tests::stage::{Setting, Stage};

use super::{
    all_done, alone, calls, failed, gluehook, post_failures, rules, stage, storms, summed_up, until,
};

#[tokio::test]
async fn messages_that_had_to_be_corrected_fold_too_and_the_storm_says_what_is_not_so() {
    const ALL: usize = 30;
    let off = "[[rule.do]]\naction = \"disable_schedule\"\nof = \"source\"\n";
    let rulebook = rules(1, "5s").replacen("[[rule.do]]\n", &format!("{off}[[rule.do]]\n"), 1);
    let stage = Stage::with(Setting { rules: Some(rulebook), ..Setting::default() }).await;
    let mut ids = Vec::new();
    for number in 0..ALL {
        let mut body: Value = serde_json::from_str(&failed(number)).unwrap();
        body["flow_id"] = json!("not-set-up");
        ids.push(stage.post(&body.to_string()).await);
    }
    let told = summed_up(&stage, ALL - 1).await.text;
    all_done(&stage, &ids).await;
    assert_eq!((alone(&stage), storms(&stage).len(), stage.slack.messages().len()), (1, 1, 2));
    let first = stage.slack.texts().into_iter().find(|text| text.starts_with("failed ")).unwrap();
    assert!(first.contains("no source schedule here: nothing was switched off"), "{first}");
    assert!(
        told.contains("29 of these 29: hotglue reports no schedule there, nothing was switched off"),
        "{told}"
    );
    assert!(told.contains("\n> :information_source: hotglue reports no source schedule here"), "{told}");
}

#[tokio::test]
async fn a_first_message_whose_answer_was_lost_is_no_dead_letter() {
    let stage = stage(1, "1h", None).await;
    for _ in 0..2 {
        stage.slack.next_on("POST", "/api/chat.postMessage", Fault::CutAfter);
    }
    let first = post_failures(&stage, 0..1).await;
    let record = stage.settled(&first[0], Outcome::Done).await;
    assert_eq!(record.steps[0].state, StepState::Unknown, "{record:?}");
    let folded = post_failures(&stage, 1..4).await;
    all_done(&stage, &folded).await;
    let told = storms(&stage);
    assert!(told[0].text.contains("The first may not have been posted, or twice."), "{}", told[0].text);
    assert_eq!(gluehook(&stage, &["dead", "list"]).await, json!([]));
}

#[tokio::test]
async fn the_last_word_says_what_became_of_a_first_message_that_was_still_being_posted() {
    let stage = stage(1, "2s", None).await;
    stage.slack.next_on("POST", "/api/chat.postMessage", Fault::Delay(Duration::from_secs(8)));
    let mut ids = post_failures(&stage, 0..1).await;
    until("the first is on its way", || !calls(&stage).is_empty()).await;
    ids.extend(post_failures(&stage, 1..4).await);
    until("they are told", || !storms(&stage).is_empty()).await;
    let told = storms(&stage).remove(0).text;
    assert!(told.contains("The first is being posted on its own."), "{told}");
    let last = summed_up(&stage, 3).await.text;
    assert!(last.contains("The first was posted on its own."), "{last}");
    all_done(&stage, &ids).await;
    assert_eq!((alone(&stage), storms(&stage).len()), (1, 1));
}
