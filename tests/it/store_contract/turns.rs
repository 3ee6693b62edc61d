//! What steps of several events change, they change one at a time, and a schedule never backwards in event time.

use std::time::Duration;

use domain::action::{Action, Place, Which};
use domain::journal::{Claim, Outcome, StepEnd, Turn};
use domain::plan::{LIVE, StepKey};
use store::Store;

use super::samples::{at, decided, id, switch_off};

const LEASE: Duration = Duration::from_secs(60);

/// A step of an event that changes something.
struct Change {
    step: StepKey,
    turn: Turn,
}

impl Change {
    /// Event `number`, which took place in that second, and its one step.
    async fn of(store: &Store, number: u64, second: i64, action: &Action) -> Self {
        let step = decided(store, number, std::slice::from_ref(action)).await.remove(0);
        Self { step, turn: Turn::of(action, at(second)).unwrap() }
    }

    async fn claim(&self, store: &Store, second: i64) -> Claim {
        self.claim_by(store, "w", second).await
    }

    async fn claim_by(&self, store: &Store, worker: &str, second: i64) -> Claim {
        store.claim(&self.step, Some(&self.turn), worker, at(second), LEASE).await.unwrap()
    }

    async fn settle(&self, store: &Store, end: StepEnd, second: i64) {
        self.settle_by(store, "w", end, second).await;
    }

    async fn settle_by(&self, store: &Store, worker: &str, end: StepEnd, second: i64) {
        store.settle(&self.step, Some(&self.turn), worker, &end, at(second)).await.unwrap();
    }
}

const MINE: Claim = Claim::Mine { begun: 0 };

fn done() -> StepEnd {
    StepEnd::Done { request: "PUT /x".to_owned(), answer: "200".to_owned() }
}

fn again(uncertain: bool) -> StepEnd {
    StepEnd::Again { why: "503".to_owned(), uncertain }
}

fn place(tenant: &str) -> Place {
    Place { env_id: "dev".to_owned(), flow_id: "flow".to_owned(), tenant: tenant.to_owned() }
}

fn schedule(tenant: &str, which: Which, enabled: bool) -> Action {
    Action::SetSchedule { place: place(tenant), which, connector_id: None, expression: None, enabled }
}

fn job(name: &str) -> Action {
    Action::RunJob { place: place("1414_1"), tap: "exact".to_owned(), name: name.to_owned() }
}

pub(super) async fn an_older_event_never_changes_a_schedule_after_a_newer_one(store: &Store) {
    let off = switch_off("1414_1");
    let newer = Change::of(store, 2, 20, &off).await;
    assert_eq!(newer.claim(store, 100).await, MINE);
    newer.settle(store, done(), 101).await;
    let older = Change::of(store, 1, 10, &off).await;
    assert_eq!(older.claim(store, 102).await, Claim::Newer { event: id(2), same_moment: false });
    older.settle(store, StepEnd::Superseded { why: "late".to_owned() }, 102).await;
    // Of two of the same moment, the greater id stands, and it is not called newer.
    let twin = Change::of(store, 0, 20, &off).await;
    assert_eq!(twin.claim(store, 102).await, Claim::Newer { event: id(2), same_moment: true });
    twin.settle(store, StepEnd::Superseded { why: "late".to_owned() }, 102).await;
    // It left the turn to others.
    let newest = Change::of(store, 3, 30, &off).await;
    assert_eq!(newest.claim(store, 103).await, MINE);
    newest.settle(store, done(), 104).await;

    // Of the same instant, the greater id is the newer.
    let (less, greater) = if id(11) < id(12) { (11, 12) } else { (12, 11) };
    let (less, greater) =
        (Change::of(store, less, 40, &off).await, Change::of(store, greater, 40, &off).await);
    assert_eq!(less.claim(store, 105).await, MINE);
    less.settle(store, done(), 106).await;
    assert_eq!(greater.claim(store, 107).await, MINE);
    greater.settle(store, done(), 108).await;

    // The other schedule of the tenant, and other tenants, are changed by whoever comes first.
    let target = Change::of(store, 4, 5, &schedule("1414_1", Which::Target, true)).await;
    assert_eq!(target.claim(store, 110).await, MINE);
    let other = Change::of(store, 5, 5, &switch_off("1414_2")).await;
    assert_eq!(other.claim(store, 110).await, MINE);
}

pub(super) async fn schedules_of_one_tenant_are_changed_one_at_a_time(store: &Store) {
    let source = Change::of(store, 1, 10, &schedule("1414_1", Which::Source, true)).await;
    let target = Change::of(store, 2, 20, &schedule("1414_1", Which::Target, false)).await;
    assert_eq!(source.claim(store, 100).await, MINE);
    assert_eq!(target.claim(store, 101).await, Claim::Busy { until: at(160) });
    source.settle(store, done(), 102).await;
    assert_eq!(target.claim(store, 103).await, MINE, "being refused the turn is no attempt");
    target.settle(store, again(false), 104).await;
    let third = Change::of(store, 3, 30, &schedule("1414_1", Which::Source, false)).await;
    assert_eq!(third.claim(store, 105).await, MINE, "what certainly did nothing holds nobody up");
}

pub(super) async fn of_many_events_at_once_one_has_the_turn(store: &Store) {
    let mut asking = Vec::new();
    for number in 1..=12 {
        let change = Change::of(store, number, i64::try_from(number).unwrap(), &switch_off("1414_1")).await;
        let store = store.clone();
        asking.push(tokio::spawn(async move { change.claim(&store, 100).await }));
    }
    let mut mine = 0;
    for asked in asking {
        match asked.await.unwrap() {
            Claim::Mine { begun: 0 } => mine += 1,
            other => assert_eq!(other, Claim::Busy { until: at(160) }),
        }
    }
    assert_eq!(mine, 1);
}

pub(super) async fn a_job_of_one_name_is_started_by_one_event_at_a_time(store: &Store) {
    let (one, other) =
        (Change::of(store, 1, 10, &job("wh-1")).await, Change::of(store, 2, 20, &job("wh-1")).await);
    assert_eq!(other.claim(store, 100).await, MINE);
    assert_eq!(one.claim(store, 101).await, Claim::Busy { until: at(160) });
    assert_eq!(Change::of(store, 3, 30, &job("wh-2")).await.claim(store, 101).await, MINE);
    other.settle(store, done(), 102).await;
    assert_eq!(one.claim(store, 103).await, MINE, "jobs have no order: it looks, and finds that one started");
}

pub(super) async fn uncertain_attempt_keeps_the_turn_for_a_while(store: &Store) {
    let off = switch_off("1414_1");
    let (older, newer) = (Change::of(store, 1, 10, &off).await, Change::of(store, 2, 20, &off).await);
    assert_eq!(older.claim(store, 100).await, MINE);
    older.settle(store, again(true), 130).await;
    assert_eq!(newer.claim(store, 131).await, Claim::Busy { until: at(160) }, "it may still be on its way");
    assert_eq!(older.claim(store, 132).await, Claim::Mine { begun: 1 }, "it is tried again itself");
    older.settle(store, again(true), 133).await;
    assert_eq!(newer.claim(store, 162).await, Claim::Busy { until: at(163) });
    assert_eq!(newer.claim(store, 163).await, MINE);
    newer.settle(store, done(), 164).await;
    assert_eq!(older.claim(store, 165).await, Claim::Newer { event: id(2), same_moment: false });
}

pub(super) async fn event_that_is_given_up_holds_others_up_no_longer_than_its_lost_call_may_take(
    store: &Store,
) {
    let off = switch_off("1414_1");
    let (older, newer) = (Change::of(store, 1, 10, &off).await, Change::of(store, 2, 20, &off).await);
    assert_eq!(older.claim(store, 100).await, MINE);
    older.settle(store, again(true), 101).await;
    // Another run of it is given up, which has nothing to do with this one's call.
    store.attempted(&id(1), "replay", "w", Outcome::Dead, Some("given up"), at(101)).await.unwrap();
    store.attempted(&id(1), LIVE, "w", Outcome::Dead, Some("given up"), at(102)).await.unwrap();
    assert_eq!(newer.claim(store, 103).await, Claim::Busy { until: at(131) }, "its call may be on its way");
    assert_eq!(newer.claim(store, 131).await, MINE);
}

pub(super) async fn turn_of_a_dead_worker_is_taken_over(store: &Store) {
    let off = switch_off("1414_1");
    let (older, newer) = (Change::of(store, 1, 10, &off).await, Change::of(store, 2, 20, &off).await);
    assert_eq!(newer.claim(store, 100).await, MINE);
    assert_eq!(older.claim(store, 159).await, Claim::Busy { until: at(160) });
    assert_eq!(older.claim(store, 160).await, MINE);
    older.settle(store, done(), 161).await;
    // Whoever takes the newer one up goes on with it: an older event has not passed it.
    assert_eq!(newer.claim(store, 162).await, Claim::Mine { begun: 1 });
    newer.settle(store, done(), 163).await;
}

pub(super) async fn late_end_of_an_older_change_is_not_noted_over_a_newer_one(store: &Store) {
    let off = switch_off("1414_1");
    let (older, newer) = (Change::of(store, 1, 10, &off).await, Change::of(store, 2, 20, &off).await);
    assert_eq!(older.claim(store, 100).await, MINE);
    assert_eq!(newer.claim(store, 160).await, MINE);
    older.settle(store, done(), 161).await;
    let third = Change::of(store, 3, 30, &off).await;
    assert_eq!(
        third.claim(store, 162).await,
        Claim::Busy { until: at(220) },
        "the turn is no longer its to pass on"
    );
    newer.settle(store, done(), 163).await;
    let between = Change::of(store, 4, 15, &off).await;
    assert_eq!(between.claim(store, 164).await, Claim::Newer { event: id(2), same_moment: false });
}

pub(super) async fn who_lost_a_step_does_not_pass_its_turn_on(store: &Store) {
    let off = switch_off("1414_1");
    let (older, newer) = (Change::of(store, 1, 10, &off).await, Change::of(store, 2, 20, &off).await);
    assert_eq!(older.claim_by(store, "slept", 100).await, MINE);
    assert_eq!(older.claim_by(store, "took over", 160).await, Claim::Mine { begun: 1 });
    older.settle_by(store, "slept", again(false), 161).await;
    assert_eq!(newer.claim(store, 162).await, Claim::Busy { until: at(220) }, "one is at it");
    // Also when the one that slept has done it: the other's call may land any time.
    older.settle_by(store, "slept", done(), 163).await;
    assert_eq!(newer.claim(store, 164).await, Claim::Busy { until: at(220) });
    older.settle_by(store, "took over", done(), 165).await;
    assert_eq!(
        newer.claim(store, 166).await,
        Claim::Busy { until: at(195) },
        "one of the calls may still land"
    );
    assert_eq!(newer.claim(store, 195).await, MINE);
}

pub(super) async fn turn_of_a_worker_that_says_nothing_any_more_passes_on_when_its_calls_are_over(
    store: &Store,
) {
    let off = switch_off("1414_1");
    let (older, newer) = (Change::of(store, 1, 10, &off).await, Change::of(store, 2, 20, &off).await);
    store.alive("dead", at(100)).await.unwrap();
    let long = Duration::from_secs(600);
    let claim = store.claim(&older.step, Some(&older.turn), "dead", at(101), long).await.unwrap();
    assert_eq!(claim, MINE);
    assert_eq!(newer.claim(store, 131).await, Claim::Busy { until: at(160) }, "its call may be on its way");
    assert_eq!(older.claim(store, 131).await, Claim::Mine { begun: 1 }, "another goes on with the same");
    older.settle(store, again(false), 132).await;
    assert_eq!(
        newer.claim(store, 133).await,
        Claim::Busy { until: at(162) },
        "that of the dead one may still land"
    );
    assert_eq!(newer.claim(store, 162).await, MINE);
    newer.settle(store, done(), 163).await;
    store.alive("dead", at(164)).await.unwrap();

    let third = Change::of(store, 3, 30, &off).await;
    let fourth = Change::of(store, 4, 40, &off).await;
    store.claim(&third.step, Some(&third.turn), "dead", at(165), long).await.unwrap();
    assert_eq!(fourth.claim(store, 223).await, Claim::Busy { until: at(224) });
    assert_eq!(fourth.claim(store, 224).await, MINE);
}

pub(super) async fn overtaken_step_of_a_dead_worker_is_settled_by_whoever_finds_it(store: &Store) {
    let off = switch_off("1414_1");
    let (older, newer) = (Change::of(store, 1, 10, &off).await, Change::of(store, 2, 20, &off).await);
    assert_eq!(older.claim_by(store, "dead", 100).await, MINE);
    assert_eq!(newer.claim(store, 160).await, MINE);
    newer.settle(store, done(), 161).await;
    assert_eq!(older.claim(store, 162).await, Claim::Newer { event: id(2), same_moment: false });
    older.settle(store, StepEnd::Superseded { why: "late".to_owned() }, 163).await;
    let settled = Claim::Settled(domain::journal::StepState::Superseded);
    assert_eq!(older.claim(store, 164).await, settled);
}

pub(super) async fn settled_step_leaves_the_turn_alone(store: &Store) {
    let off = switch_off("1414_1");
    let (one, other) = (Change::of(store, 1, 10, &off).await, Change::of(store, 2, 20, &off).await);
    assert_eq!(one.claim(store, 100).await, MINE);
    one.settle(store, done(), 101).await;
    assert_eq!(one.claim(store, 102).await, Claim::Settled(domain::journal::StepState::Done));
    assert_eq!(other.claim(store, 102).await, MINE);
}

pub(super) async fn after_a_lost_answer_the_turn_stays_though_a_later_attempt_is_answered(store: &Store) {
    let older = Change::of(store, 1, 10, &schedule("1414_1", Which::Source, true)).await;
    assert_eq!(older.claim(store, 100).await, MINE);
    older.settle(store, again(true), 101).await;
    assert_eq!(older.claim(store, 102).await, Claim::Mine { begun: 1 });
    older.settle(store, again(false), 103).await;
    let newer = Change::of(store, 2, 20, &schedule("1414_1", Which::Source, false)).await;
    assert!(matches!(newer.claim(store, 104).await, Claim::Busy { .. }), "the first may still land");
    assert_eq!(older.claim(store, 105).await, Claim::Mine { begun: 1 });
    older.settle(store, done(), 106).await;
    assert_eq!(newer.claim(store, 107).await, Claim::Busy { until: at(136) });
    assert_eq!(newer.claim(store, 136).await, MINE);
    // Without a lost answer nobody waits.
    newer.settle(store, again(false), 137).await;
    assert_eq!(newer.claim(store, 138).await, MINE);
    newer.settle(store, done(), 139).await;
    let newest = Change::of(store, 3, 30, &schedule("1414_1", Which::Source, false)).await;
    assert_eq!(newest.claim(store, 140).await, MINE);
    newest.settle(store, done(), 141).await;
}
