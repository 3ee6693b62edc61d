//! Steps are taken once.

use std::time::Duration;

use domain::journal::{Claim, Outcome, StepEnd, StepState};
use domain::plan::{LIVE, StepKey};
use store::{Store, StoreError};

use super::samples::{at, decided, decision, id, one_step, tell, verdicts};

const LEASE: Duration = Duration::from_secs(60);

fn done() -> StepEnd {
    StepEnd::Done { request: "POST /x".to_owned(), answer: "200".to_owned() }
}

fn again(uncertain: bool) -> StepEnd {
    StepEnd::Again { why: "503".to_owned(), uncertain }
}

async fn claim(store: &Store, step: &StepKey, second: i64) -> Claim {
    store.claim(step, None, "w1", at(second), LEASE).await.unwrap()
}

pub(super) async fn claim_is_exclusive(store: &Store) {
    let step = one_step(store).await;
    assert_eq!(claim(store, &step, 0).await, Claim::Mine { begun: 0 });
    assert_eq!(claim(store, &step, 1).await, Claim::Busy { until: at(60) });
}

pub(super) async fn of_many_at_once_one_gets_the_claim(store: &Store) {
    let step = one_step(store).await;
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let (store, step) = (store.clone(), step.clone());
            tokio::spawn(async move { store.claim(&step, None, "w", at(0), LEASE).await })
        })
        .collect();
    let mut mine = 0;
    for asked in asking {
        match asked.await.unwrap().unwrap() {
            Claim::Mine { begun: 0 } => mine += 1,
            other => assert_eq!(other, Claim::Busy { until: at(60) }),
        }
    }
    assert_eq!(mine, 1);
}

pub(super) async fn expired_claim_is_taken_over(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    assert_eq!(claim(store, &step, 59).await, Claim::Busy { until: at(60) });
    assert_eq!(claim(store, &step, 60).await, Claim::Mine { begun: 1 });
    assert_eq!(claim(store, &step, 120).await, Claim::Mine { begun: 2 });
}

pub(super) async fn settled_step_returns_its_state(store: &Store) {
    let why = || "because".to_owned();
    let ends = [
        (done(), StepState::Done),
        (StepEnd::DonePerhapsTwice { request: why(), answer: why() }, StepState::Done),
        (StepEnd::Failed { why: why() }, StepState::Failed),
        (StepEnd::Unknown { why: why() }, StepState::Unknown),
        (StepEnd::Superseded { why: why() }, StepState::Superseded),
        (StepEnd::Skipped { why: why() }, StepState::Skipped),
    ];
    for (number, (end, state)) in (1..).zip(ends) {
        let step = decided(store, number, &[tell("hello")]).await.remove(0);
        claim(store, &step, 0).await;
        store.settle(&step, None, "w1", &end, at(1)).await.unwrap();
        assert_eq!(claim(store, &step, 100).await, Claim::Settled(state));
        let records = store.steps_of(&id(number), LIVE).await.unwrap();
        assert_eq!((records[0].state, records[0].attempts, records[0].changed_at), (state, 1, at(1)));
        assert_eq!(records[0].perhaps_twice, matches!(end, StepEnd::DonePerhapsTwice { .. }));
        assert_eq!(records[0].error.is_some(), state != StepState::Done);
    }
}

pub(super) async fn uncertain_attempt_stays_counted(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    store.settle(&step, None, "w1", &again(true), at(1)).await.unwrap();
    assert_eq!(claim(store, &step, 2).await, Claim::Mine { begun: 1 });
    store.settle(&step, None, "w1", &again(false), at(3)).await.unwrap();
    assert_eq!(claim(store, &step, 4).await, Claim::Mine { begun: 1 });
}

pub(super) async fn certain_failure_is_taken_back(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    store.settle(&step, None, "w1", &again(false), at(1)).await.unwrap();
    let records = store.steps_of(&id(1), LIVE).await.unwrap();
    assert_eq!((records[0].state, records[0].error.as_deref()), (StepState::Pending, Some("503")));
    assert_eq!(claim(store, &step, 2).await, Claim::Mine { begun: 0 });
    assert_eq!(store.steps_of(&id(1), LIVE).await.unwrap()[0].attempts, 2);
}

pub(super) async fn late_end_changes_nothing(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    claim(store, &step, 60).await;
    store.settle(&step, None, "w1", &done(), at(61)).await.unwrap();
    store.settle(&step, None, "w1", &again(true), at(62)).await.unwrap();
    store.settle(&step, None, "w1", &StepEnd::Failed { why: "late".to_owned() }, at(63)).await.unwrap();
    let records = store.steps_of(&id(1), LIVE).await.unwrap();
    assert_eq!((records[0].state, records[0].error.as_deref()), (StepState::Done, None));
}

pub(super) async fn of_a_claim_that_was_lost_only_a_success_counts(store: &Store) {
    let lost = |number| async move {
        let step = decided(store, number, &[tell("hello")]).await.remove(0);
        claim(store, &step, 0).await;
        assert_eq!(store.claim(&step, None, "w2", at(60), LEASE).await.unwrap(), Claim::Mine { begun: 1 });
        step
    };
    let why = || "late".to_owned();
    let ends = [
        again(false),
        again(true),
        StepEnd::Failed { why: why() },
        StepEnd::Unknown { why: why() },
        StepEnd::Skipped { why: why() },
    ];
    for (number, end) in (1..).zip(ends) {
        let step = lost(number).await;
        store.settle(&step, None, "w1", &end, at(61)).await.unwrap();
        assert_eq!(
            store.claim(&step, None, "w3", at(62), LEASE).await.unwrap(),
            Claim::Busy { until: at(120) },
            "{end:?} leaves the step to whoever has it"
        );
        store.settle(&step, None, "w2", &again(false), at(63)).await.unwrap();
        assert_eq!(claim(store, &step, 64).await, Claim::Mine { begun: 1 }, "the first may have done it");
    }
    let step = lost(11).await;
    store.settle(&step, None, "w1", &done(), at(61)).await.unwrap();
    assert_eq!(claim(store, &step, 62).await, Claim::Settled(StepState::Done));
    let twice = StepEnd::DonePerhapsTwice { request: why(), answer: why() };
    store.settle(&step, None, "w2", &twice, at(63)).await.unwrap();
    let records = store.steps_of(&id(11), LIVE).await.unwrap();
    assert_eq!((records[0].state, records[0].changed_at), (StepState::Done, at(61)));
    assert!(records[0].perhaps_twice, "that both did it is not silent");
}

pub(super) async fn claim_of_a_worker_that_says_nothing_any_more_is_taken_over(store: &Store) {
    let step = one_step(store).await;
    store.alive("w1", at(0)).await.unwrap();
    assert_eq!(claim(store, &step, 1).await, Claim::Mine { begun: 0 });
    let other = |second| store.claim(&step, None, "w2", at(second), LEASE);
    assert_eq!(other(29).await.unwrap(), Claim::Busy { until: at(30) });
    // It hangs in a call, and lives.
    store.alive("w1", at(25)).await.unwrap();
    assert_eq!(other(31).await.unwrap(), Claim::Busy { until: at(55) });
    store.alive("w1", at(20)).await.unwrap();
    assert_eq!(other(54).await.unwrap(), Claim::Busy { until: at(55) }, "what was said late changes nothing");
    assert_eq!(other(55).await.unwrap(), Claim::Mine { begun: 1 });
}

pub(super) async fn step_of_no_decision_is_a_bug(store: &Store) {
    let step = StepKey("nothing/live/rule/slack/00".to_owned());
    assert!(matches!(store.claim(&step, None, "w1", at(0), LEASE).await, Err(StoreError::Bug(_))));
    assert!(matches!(store.settle(&step, None, "w1", &done(), at(0)).await, Err(StoreError::Bug(_))));
}

pub(super) async fn reopened_steps_can_be_claimed_again(store: &Store) {
    let actions = [tell("a"), tell("b"), tell("c"), tell("d")];
    let steps = decided(store, 1, &actions).await;
    let why = || "because".to_owned();
    store.settle(&steps[0], None, "w1", &done(), at(1)).await.unwrap();
    store.settle(&steps[1], None, "w1", &StepEnd::Failed { why: why() }, at(1)).await.unwrap();
    claim(store, &steps[2], 0).await;
    store.settle(&steps[2], None, "w1", &StepEnd::Unknown { why: why() }, at(1)).await.unwrap();
    store.settle(&steps[3], None, "w1", &StepEnd::Skipped { why: why() }, at(1)).await.unwrap();
    store.attempted(&id(1), LIVE, "w1", Outcome::Dead, Some("gone"), at(2)).await.unwrap();

    assert_eq!(store.reopen(&id(1), LIVE, at(3)).await.unwrap(), 3);
    assert_eq!(claim(store, &steps[0], 4).await, Claim::Settled(StepState::Done));
    for step in &steps[1..] {
        assert_eq!(claim(store, step, 4).await, Claim::Mine { begun: 0 });
    }
    store.settle(&steps[2], None, "w1", &done(), at(5)).await.unwrap();
    let records = store.steps_of(&id(1), LIVE).await.unwrap();
    assert!(records[2].perhaps_twice, "it may have happened before it was reopened");
    assert!(!records[1].perhaps_twice);
}

pub(super) async fn failed_step_that_is_reopened_remembers_a_lost_answer(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    store.settle(&step, None, "w1", &again(true), at(1)).await.unwrap();
    claim(store, &step, 2).await;
    store
        .settle(&step, None, "w1", &StepEnd::Failed { why: "no such channel".to_owned() }, at(3))
        .await
        .unwrap();
    store.attempted(&id(1), LIVE, "w1", Outcome::Dead, Some("gone"), at(4)).await.unwrap();

    assert_eq!(store.reopen(&id(1), LIVE, at(5)).await.unwrap(), 1);
    assert_eq!(
        claim(store, &step, 6).await,
        Claim::Mine { begun: 1 },
        "the first attempt may have had its effect"
    );
}

pub(super) async fn runs_have_steps_of_their_own(store: &Store) {
    let live = one_step(store).await;
    let replayed = decision(1, "replay-1", &[tell("hello")]);
    store.record_decision(verdicts(&replayed)).await.unwrap();
    claim(store, &live, 0).await;
    store.settle(&live, None, "w1", &done(), at(1)).await.unwrap();
    assert_eq!(claim(store, &replayed.steps[0].key, 2).await, Claim::Mine { begun: 0 });
    assert_eq!(store.steps_of(&id(1), "replay-1").await.unwrap()[0].state, StepState::Claimed);
    assert_eq!(store.steps_of(&id(1), LIVE).await.unwrap()[0].state, StepState::Done);
}
