use std::collections::BTreeSet;

use tests::program::{PATIENCE, Program};
use tests::stage::secrets;
use tokio::time::{Instant, sleep};

use super::*;

/// Events that failed for good in a worker that is gone now.
async fn with_dead_letters(count: usize) -> (Stage, BTreeSet<String>) {
    let mut stage = stage(false).await;
    stage.slack.only_channels(&["first"]);
    let mut ids = BTreeSet::new();
    for tenant in 0..count {
        ids.insert(stage.post(&failed(tenant)).await);
    }
    for id in &ids {
        stage.settled(id, Outcome::Dead).await;
    }
    let deadline = Instant::now() + PATIENCE;
    while letters(&stage).await != ids {
        assert!(Instant::now() < deadline, "{}", stage.worker().log());
        sleep(Duration::from_millis(20)).await;
    }
    stage.worker().stop().await;
    stage.slack.only_channels(&[]);
    (stage, ids)
}

/// Ids of the events that have a dead letter.
async fn letters(stage: &Stage) -> BTreeSet<String> {
    let letters = json(stage, &["dead", "list", "--limit", "10000"]).await;
    letters.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

/// Ids of the events that wait to be worked on again.
async fn queued(stage: &Stage, run: &str) -> BTreeSet<String> {
    let bus = bus::Bus::connect(&bus::Args::for_url(&stage.nats.url), "test").await.unwrap();
    let queued = bus::replay::runs::queued(&bus, run).await.unwrap();
    queued.into_iter().map(|one| one.id.unwrap().to_string()).collect()
}

#[tokio::test]
async fn dead_letters_of_a_run_that_is_called_off_are_there_again_as_they_were() {
    let (mut stage, ids) = with_dead_letters(4).await;
    let sorted = async || {
        let mut letters = json(&stage, &["dead", "list"]).await.as_array().unwrap().clone();
        letters.sort_by_key(|letter| letter["of_sequence"].as_u64());
        letters
    };
    let before = sorted().await;
    let only_failed = ["replay", "--since", "1h", "--only-failed", "--run", "x", "--yes", "--detach"];
    assert_eq!(json(&stage, &only_failed).await["replayed"], 4);
    assert_eq!(letters(&stage).await, BTreeSet::new(), "they went back to work");
    let off = json(&stage, &["replay", "cancel", "x"]).await;
    assert_eq!(off, json!({"run": "x", "removed": 4, "dead_letters": 4, "settled": 0, "in_hand": 0}));
    let after = sorted().await;
    assert_eq!(after.len(), 4);
    for (one, other) in before.iter().zip(&after) {
        for field in [
            "id",
            "reason",
            "attempts",
            "first_failed_at",
            "last_failed_at",
            "run",
            "worker",
            "of_sequence",
            "subject",
            "body",
        ] {
            assert_eq!(one[field], other[field], "{field}: {after:?}");
        }
    }
    // The same name again, and the letters go once more; or one by one.
    assert_eq!(json(&stage, &only_failed).await["replayed"], 4);
    assert_eq!(json(&stage, &["replay", "cancel", "x"]).await["dead_letters"], 4);
    assert_eq!(letters(&stage).await, ids);
    stage.start_worker().await;
    let retried = json(&stage, &["dead", "retry", "--all", "--yes"]).await;
    assert_eq!((retried["done"].as_array().map(Vec::len), &retried["failed"]), (Some(4), &json!([])));
    for id in &ids {
        stage.settled(id, Outcome::Done).await;
    }
    let texts = stage.slack.texts();
    assert_eq!(texts.len(), 8, "each event's two messages, once: {texts:?}");
}

#[tokio::test]
async fn killed_at_any_instant_neither_sending_back_nor_calling_off_loses_a_dead_letter() {
    let (stage, ids) = with_dead_letters(60).await;
    let run = |args: &[&str]| {
        let mut all = stage.worker_flags();
        all.retain(|flag| !flag.starts_with("--admin-listen") && flag != "--setup");
        all.extend(args.iter().map(ToString::to_string));
        Program::start("gluehook", &all, &secrets())
    };
    let whole = async |what: &str| {
        let (letters, queued) = (letters(&stage).await, queued(&stage, "x").await);
        let lost: Vec<_> = ids.iter().filter(|id| !letters.contains(*id) && !queued.contains(*id)).collect();
        assert!(lost.is_empty(), "{what}: {} of {} are lost", lost.len(), ids.len());
        queued.len() as u64
    };
    let again = ["replay", "--since", "1h", "--only-failed", "--run", "x", "--yes", "--detach"];
    for round in 0..4 {
        let mut replay = run(&again);
        let goal = state(&stage, "HOOKS_REPLAY").await.0 + 1 + round * 10;
        until(&stage, |messages| messages >= goal.min(60)).await;
        replay.kill().await;
        let queued = whole("sent back").await;
        let mut cancel = run(&["replay", "cancel", "x"]);
        until(&stage, |messages| messages < queued.max(1)).await;
        cancel.kill().await;
        whole("called off").await;
    }
    let _rest = stage.gluehook(&["replay", "cancel", "x"]).await;
    assert_eq!(queued(&stage, "x").await.len(), 0);
    assert_eq!(letters(&stage).await, ids);
}

async fn until(stage: &Stage, so: impl Fn(u64) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so(state(stage, "HOOKS_REPLAY").await.0) {
        assert!(Instant::now() < deadline, "{:?}", state(stage, "HOOKS_REPLAY").await);
    }
}

#[tokio::test]
async fn a_run_that_was_called_off_runs_again_under_its_name() {
    let mut stage = stage(true).await;
    for tenant in 0..5 {
        stage.post(&failed(tenant)).await;
    }
    let replay = ["replay", "--since", "1h", "--run", "big", "--yes", "--detach"];
    assert_eq!(json(&stage, &replay).await["replayed"], 5);
    let twice = json(&stage, &replay).await;
    assert_eq!((&twice["replayed"], &twice["replayed_before"]), (&json!(0), &json!(5)));
    for _ in 0..2 {
        assert_eq!(json(&stage, &["replay", "cancel", "big"]).await["removed"], 5);
        assert_eq!(state(&stage, "HOOKS_REPLAY").await.0, 0);
        let again = json(&stage, &replay).await;
        assert_eq!((&again["replayed"], &again["replayed_before"]), (&json!(5), &json!(0)));
        assert_eq!(state(&stage, "HOOKS_REPLAY").await.0, 5, "what is said to be replayed lies there");
    }
    stage.start_worker().await;
    let (code, said, errors) =
        stage.gluehook(&["replay", "--since", "1h", "--run", "big", "--yes", "--wait"]).await;
    assert!(code == 0 && said.contains("run big is over, 5 events settled: 5 done"), "{said}{errors}");
    assert!(
        said.contains("0 events replayed") && errors.contains("5 events had been replayed"),
        "{said}{errors}"
    );
    assert!(stage.slack.until(Duration::from_secs(60), |slack| slack.messages().len() == 20).await);
}

#[tokio::test]
async fn whoever_waits_for_a_run_is_told_when_it_is_called_off() {
    let stage = stage(true).await;
    for tenant in 0..3 {
        stage.post(&failed(tenant)).await;
    }
    let mut flags = stage.worker_flags();
    flags.retain(|flag| !flag.starts_with("--admin-listen") && flag != "--setup");
    flags.extend(["replay", "--since", "1h", "--run", "w", "--yes", "--wait"].map(str::to_owned));
    let mut waiting = Program::start("gluehook", &flags, &secrets());
    until(&stage, |messages| messages == 3).await;
    waiting.line("3 events replayed in run w").await;
    assert_eq!(json(&stage, &["replay", "cancel", "w"]).await["removed"], 3);
    let status = waiting.ended().await;
    waiting.line("3 events called off meanwhile, and not worked on").await;
    assert_eq!(status.code(), Some(1), "{}", waiting.log());
}
