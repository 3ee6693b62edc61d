//! Steps are taken once.

use std::time::Duration;

use domain::action::Action;
use domain::journal::{Claim, Outcome, StepEnd, StepState, schedule_scope};
use domain::plan::{LIVE, StepKey};
use store::{Store, StoreError};

use crate::samples::{at, decided, decision, id, one_step, switch_off, tell, verdicts};

const LEASE: Duration = Duration::from_secs(60);

fn done() -> StepEnd {
    StepEnd::Done { request: "POST /x".to_owned(), answer: "200".to_owned() }
}

fn again(uncertain: bool) -> StepEnd {
    StepEnd::Again { why: "503".to_owned(), uncertain }
}

async fn claim(store: &Store, step: &StepKey, second: i64) -> Claim {
    store.claim(step, "w1", at(second), LEASE).await.unwrap()
}

pub(crate) async fn claim_is_exclusive(store: &Store) {
    let step = one_step(store).await;
    assert_eq!(claim(store, &step, 0).await, Claim::Mine { begun: 0 });
    assert_eq!(claim(store, &step, 1).await, Claim::Busy { until: at(60) });
}

pub(crate) async fn of_many_at_once_one_gets_the_claim(store: &Store) {
    let step = one_step(store).await;
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let (store, step) = (store.clone(), step.clone());
            tokio::spawn(async move { store.claim(&step, "w", at(0), LEASE).await })
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

pub(crate) async fn expired_claim_is_taken_over(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    assert_eq!(claim(store, &step, 59).await, Claim::Busy { until: at(60) });
    assert_eq!(claim(store, &step, 60).await, Claim::Mine { begun: 1 });
    assert_eq!(claim(store, &step, 120).await, Claim::Mine { begun: 2 });
}

pub(crate) async fn settled_step_returns_its_state(store: &Store) {
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
        store.settle(&step, end.clone(), at(1)).await.unwrap();
        assert_eq!(claim(store, &step, 100).await, Claim::Settled(state));
        let records = store.steps_of(&id(number), LIVE).await.unwrap();
        assert_eq!((records[0].state, records[0].attempts, records[0].changed_at), (state, 1, at(1)));
        assert_eq!(records[0].perhaps_twice, matches!(end, StepEnd::DonePerhapsTwice { .. }));
        assert_eq!(records[0].error.is_some(), state != StepState::Done);
    }
}

pub(crate) async fn uncertain_attempt_stays_counted(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    store.settle(&step, again(true), at(1)).await.unwrap();
    assert_eq!(claim(store, &step, 2).await, Claim::Mine { begun: 1 });
    store.settle(&step, again(false), at(3)).await.unwrap();
    assert_eq!(claim(store, &step, 4).await, Claim::Mine { begun: 1 });
}

pub(crate) async fn certain_failure_is_taken_back(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    store.settle(&step, again(false), at(1)).await.unwrap();
    let records = store.steps_of(&id(1), LIVE).await.unwrap();
    assert_eq!((records[0].state, records[0].error.as_deref()), (StepState::Pending, Some("503")));
    assert_eq!(claim(store, &step, 2).await, Claim::Mine { begun: 0 });
    assert_eq!(store.steps_of(&id(1), LIVE).await.unwrap()[0].attempts, 2);
}

pub(crate) async fn late_end_changes_nothing(store: &Store) {
    let step = one_step(store).await;
    claim(store, &step, 0).await;
    claim(store, &step, 60).await;
    store.settle(&step, done(), at(61)).await.unwrap();
    store.settle(&step, again(true), at(62)).await.unwrap();
    store.settle(&step, StepEnd::Failed { why: "late".to_owned() }, at(63)).await.unwrap();
    let records = store.steps_of(&id(1), LIVE).await.unwrap();
    assert_eq!((records[0].state, records[0].error.as_deref()), (StepState::Done, None));
}

pub(crate) async fn step_of_no_decision_is_a_bug(store: &Store) {
    let step = StepKey("nothing/live/rule/slack/00".to_owned());
    assert!(matches!(store.claim(&step, "w1", at(0), LEASE).await, Err(StoreError::Bug(_))));
    assert!(matches!(store.settle(&step, done(), at(0)).await, Err(StoreError::Bug(_))));
}

pub(crate) async fn reopened_steps_can_be_claimed_again(store: &Store) {
    let actions = [tell("a"), tell("b"), tell("c"), tell("d")];
    let steps = decided(store, 1, &actions).await;
    let why = || "because".to_owned();
    store.settle(&steps[0], done(), at(1)).await.unwrap();
    store.settle(&steps[1], StepEnd::Failed { why: why() }, at(1)).await.unwrap();
    claim(store, &steps[2], 0).await;
    store.settle(&steps[2], StepEnd::Unknown { why: why() }, at(1)).await.unwrap();
    store.settle(&steps[3], StepEnd::Skipped { why: why() }, at(1)).await.unwrap();
    store.attempted(&id(1), LIVE, "w1", Outcome::Dead, Some("gone"), at(2)).await.unwrap();

    assert_eq!(store.reopen(&id(1), LIVE, at(3)).await.unwrap(), 3);
    assert_eq!(claim(store, &steps[0], 4).await, Claim::Settled(StepState::Done));
    for step in &steps[1..] {
        assert_eq!(claim(store, step, 4).await, Claim::Mine { begun: 0 });
    }
    store.settle(&steps[2], done(), at(5)).await.unwrap();
    let records = store.steps_of(&id(1), LIVE).await.unwrap();
    assert!(records[2].perhaps_twice, "it may have happened before it was reopened");
    assert!(!records[1].perhaps_twice);
}

pub(crate) async fn runs_have_steps_of_their_own(store: &Store) {
    let live = one_step(store).await;
    let replayed = decision(1, "replay-1", &[tell("hello")]);
    store.record_decision(verdicts(&replayed)).await.unwrap();
    claim(store, &live, 0).await;
    store.settle(&live, done(), at(1)).await.unwrap();
    assert_eq!(claim(store, &replayed.steps[0].key, 2).await, Claim::Mine { begun: 0 });
    assert_eq!(store.steps_of(&id(1), "replay-1").await.unwrap()[0].state, StepState::Claimed);
    assert_eq!(store.steps_of(&id(1), LIVE).await.unwrap()[0].state, StepState::Done);
}

pub(crate) async fn an_older_event_sees_that_a_newer_was_applied(store: &Store) {
    let action = switch_off("1414_1");
    let scope = schedule_scope(&action).unwrap();
    let step = |number: u64, action: &Action| StepKey::new(&id(number), LIVE, "rule", action);
    let after = |second, number| {
        let (scope, step) = (scope.clone(), step(number, &action));
        async move { store.applied_after(&scope, at(second), &step).await.unwrap() }
    };
    assert_eq!(after(10, 1).await, None);
    store.mark_applied(&scope, at(20), &id(2), at(20)).await.unwrap();
    assert_eq!(after(10, 1).await, Some(id(2)));
    assert_eq!(after(30, 3).await, None);
    assert_eq!(after(20, 2).await, None, "an event is not newer than itself");
    // An older one noted late changes nothing.
    store.mark_applied(&scope, at(10), &id(1), at(10)).await.unwrap();
    assert_eq!(after(15, 3).await, Some(id(2)));
    // Of the same instant, the greater id is the newer.
    let (less, greater) = if id(1) < id(2) { (1, 2) } else { (2, 1) };
    store.mark_applied(&scope, at(40), &id(less), at(40)).await.unwrap();
    assert_eq!(after(40, greater).await, None);
    store.mark_applied(&scope, at(40), &id(greater), at(40)).await.unwrap();
    assert_eq!(after(40, less).await, Some(id(greater)));
    let other = schedule_scope(&switch_off("1414_2")).unwrap();
    assert_eq!(store.applied_after(&other, at(0), &step(1, &action)).await.unwrap(), None);
}
