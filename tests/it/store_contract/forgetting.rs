//! What is older than the event log keeps goes; what is in use stays.

use super::events::remember_value;
use super::samples::{arrival, at, decided, decision, id, quiet, switch_off, tell, verdict, verdicts};
use domain::journal::{Claim, Filter, Outcome, Seen, StepEnd, Turn, Verdicts};
use domain::plan::{Decision, LIVE, Verdict};
use jiff::Timestamp;
use std::time::Duration;
use store::Store;

pub(super) async fn forget_before_leaves_what_is_worked_on(store: &Store) {
    for (number, outcome) in [(1, Outcome::Retrying), (2, Outcome::Done)] {
        decided(store, number, &[tell("hello")]).await;
        store.attempted(&id(number), LIVE, "w1", outcome, None, at(2)).await.unwrap();
    }
    // Replayed of late, however old.
    decided(store, 3, &[tell("hello")]).await;
    store.attempted(&id(3), "replay-1", "w1", Outcome::Done, None, at(9)).await.unwrap();
    while store.forget_before(at(5), 10).await.unwrap() > 0 {}
    let kept: Vec<_> =
        store.events(&Filter::default(), 10).await.unwrap().into_iter().map(|row| row.event.id).collect();
    assert_eq!(kept, [id(3), id(1)]);
}

pub(super) async fn forget_before_leaves_the_rest(store: &Store) {
    for number in 1..=5 {
        decided(store, number, &[tell("hello")]).await;
        let then = at(number.try_into().unwrap());
        store.attempted(&id(number), LIVE, "w1", Outcome::Done, None, then).await.unwrap();
    }
    // Of two schedules, one was changed long ago, if by an event of a late time.
    change_schedule(store, 6, "old", at(9), at(1)).await;
    change_schedule(store, 7, "new", at(1), at(9)).await;
    let before = store.events(&Filter::default(), 10).await.unwrap();
    assert_eq!(store.forget_before(at(4), 2).await.unwrap(), 2, "no more than asked for at a time");
    let mut gone = 2;
    loop {
        match store.forget_before(at(4), 2).await.unwrap() {
            0 => break,
            some => gone += some,
        }
    }
    assert_eq!(gone, 4, "three events and an applied change");
    assert_eq!(store.events(&Filter::default(), 10).await.unwrap(), before[..4]);
    for number in 1..=3 {
        assert!(store.event(id(number).as_str()).await.unwrap().is_none());
        assert_eq!(store.decision(&id(number), LIVE).await.unwrap(), None);
        assert!(store.steps_of(&id(number), LIVE).await.unwrap().is_empty());
        assert_eq!(store.failures(&id(number), LIVE).await.unwrap(), 0);
    }
    let kept = store.event(id(4).as_str()).await.unwrap().unwrap();
    assert_eq!((kept.decisions.len(), kept.steps.len(), kept.attempts.len()), (1, 1, 1));
    assert_eq!(change_schedule(store, 8, "old", at(0), at(10)).await, Claim::Mine { begun: 0 });
    assert_eq!(
        change_schedule(store, 9, "new", at(0), at(10)).await,
        Claim::Newer { event: id(7), same_moment: false }
    );
    // What is forgotten may come again, as something new.
    assert_eq!(store.remember(&arrival(1), LIVE).await.unwrap(), Seen::First);
}

/// Event `number`, of the time `occurred_at`, switches the schedule of a tenant off; what it got when it asked.
async fn change_schedule(
    store: &Store,
    number: u64,
    tenant: &str,
    occurred_at: Timestamp,
    now: Timestamp,
) -> Claim {
    let action = switch_off(tenant);
    let step = decided(store, number, std::slice::from_ref(&action)).await.remove(0);
    let turn = Turn::of(&action, occurred_at);
    let claim = store.claim(&step, turn.as_ref(), "w1", now, Duration::from_secs(60)).await.unwrap();
    if let Claim::Mine { .. } = claim {
        let end = StepEnd::Done { request: String::new(), answer: String::new() };
        store.settle(&step, turn.as_ref(), "w1", &end, now).await.unwrap();
    }
    claim
}

async fn forget_all_before(store: &Store, second: i64) {
    while store.forget_before(at(second), 10).await.unwrap() > 0 {}
}

pub(super) async fn remembered_value_in_use_is_not_forgotten(store: &Store) {
    remember_value(store, 1, "same").await;
    store.remember(&arrival(50), LIVE).await.unwrap();
    let met = Decision { verdicts: vec![verdict("changed", Verdict::Unchanged)], ..decision(50, LIVE, &[]) };
    store.record_decision(Verdicts { scope: "e/f/t", ..verdicts(&met) }).await.unwrap();
    forget_all_before(store, 40).await;
    assert_eq!(store.last_value("changed", "e/f/t").await.unwrap().as_deref(), Some("same"));
    forget_all_before(store, 60).await;
    assert_eq!(store.last_value("changed", "e/f/t").await.unwrap(), None);
}

pub(super) async fn rulebook_in_use_is_not_forgotten(store: &Store) {
    for version in ["r0", "r1", "r2"] {
        store.rulebook_seen(version, &format!("# {version}"), at(1)).await.unwrap();
    }
    store.record_quiet(&[quiet(50)]).await.unwrap();
    store.remember(&arrival(60), LIVE).await.unwrap();
    let decision = Decision { rulebook: "r2".to_owned(), ..decision(60, LIVE, &[]) };
    store.record_decision(verdicts(&decision)).await.unwrap();
    forget_all_before(store, 40).await;
    assert_eq!(store.rulebook("r0").await.unwrap(), None);
    assert_eq!(store.rulebook("r1").await.unwrap().as_deref(), Some("# r1"));
    assert_eq!(store.rulebook("r2").await.unwrap().as_deref(), Some("# r2"));
    forget_all_before(store, 999).await;
    assert_eq!(store.rulebook("r1").await.unwrap(), None);
    assert_eq!(store.rulebook("r2").await.unwrap().as_deref(), Some("# r2"), "it decides next");
}
