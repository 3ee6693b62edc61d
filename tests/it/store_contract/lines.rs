//! All workers share the line of a Slack channel: one has the turn, the others keep their places.

use std::time::Duration;

use domain::journal::{Claim, MayPost, Outcome, Post, StepEnd};
use domain::plan::{LIVE, StepKey};
use domain::storm::pace::{Answer, Pace, Spell};
use jiff::Timestamp;
use store::Store;

use super::samples::{at, id};
use super::storms::message;

const LEASE: Duration = Duration::from_secs(60);

fn pace() -> Pace {
    Pace::new(Duration::from_secs(1), Duration::from_secs(15))
}

async fn ask_in(store: &Store, step: &StepKey, line: &str, replays: bool, second: i64) -> MayPost {
    let post = Post { step, line, pace: pace(), queues: true, replays, fold: None };
    store.may_post(post, at(second)).await.unwrap()
}

async fn ask(store: &Store, step: &StepKey, second: i64) -> MayPost {
    ask_in(store, step, "c", false, second).await
}

async fn messages(store: &Store, number: u64) -> Vec<StepKey> {
    let mut steps = Vec::new();
    for number in 1..=number {
        steps.push(message(store, number, "t").await);
    }
    steps
}

fn spell(may: &MayPost) -> Spell {
    let MayPost::Yes(Some(spell)) = may else { panic!("{may:?}") };
    *spell
}

fn wait(may: &MayPost) -> Timestamp {
    let MayPost::NotBefore(at) = may else { panic!("{may:?}") };
    *at
}

/// The message is posted, or refused for now, and the line left an interval after that.
async fn post(store: &Store, step: &StepKey, spell: Spell, end: StepEnd, second: i64) {
    let claim = store.claim(step, None, "w", at(second), LEASE).await.unwrap();
    assert!(matches!(claim, Claim::Mine { .. }), "{claim:?}");
    store.settle(step, None, "w", &end, at(second)).await.unwrap();
    store.leave_line("c", spell, pace().next(at(second))).await.unwrap();
}

fn done() -> StepEnd {
    StepEnd::Done { request: String::new(), answer: String::new() }
}

fn refused() -> StepEnd {
    StepEnd::Again { why: "429".to_owned(), uncertain: false }
}

pub(super) async fn a_channel_has_one_line_for_all_workers(store: &Store) {
    let steps = messages(store, 20).await;
    let asked = steps.iter().map(|step| ask(store, step, 100));
    let answers = futures_util::future::join_all(asked).await;
    let mut waits: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            MayPost::NotBefore(at) => Some(*at),
            MayPost::Yes(_) | MayPost::No(_) | MayPost::Folded => None,
        })
        .collect();
    waits.sort_unstable();
    let each: Vec<_> = (1..20).map(|second| at(100 + second)).collect();
    assert_eq!(waits, each, "one has the turn, and the others each an instant of their own");
    spell(&ask_in(store, &steps[0], "d", false, 100).await);
}

pub(super) async fn the_next_turn_begins_an_interval_after_the_call_has_ended(store: &Store) {
    let steps = messages(store, 3).await;
    let first = spell(&ask(store, &steps[0], 100).await);
    assert!(wait(&ask(store, &steps[1], 104).await) > at(104), "the call is under way");
    post(store, &steps[0], first, done(), 105).await;
    assert_eq!(wait(&ask(store, &steps[1], 105).await), at(106));
    let second = spell(&ask(store, &steps[1], 106).await);
    // Who had the turn before comes too late with leaving it.
    store.leave_line("c", first, at(1)).await.unwrap();
    assert!(wait(&ask(store, &steps[2], 107).await) > at(107));
    // Who dies with the turn has it no longer than a call may last.
    assert_eq!(second.until, at(106 + 16));
    spell(&ask(store, &steps[2], 106 + 16).await);
}

pub(super) async fn after_a_refusal_all_go_in_the_order_in_which_they_first_asked(store: &Store) {
    let steps = messages(store, 6).await;
    let first = spell(&ask(store, &steps[0], 100).await);
    for step in &steps[1..5] {
        ask(store, step, 100).await;
    }
    store.quiet(at(130)).await.unwrap();
    post(store, &steps[0], first, refused(), 101).await;
    // Those who were told the nearest instants come back in any order; one has never asked before.
    for step in [3, 1, 5, 4, 2, 0] {
        assert!(wait(&ask(store, &steps[step], 110).await) >= at(130), "{step}");
    }
    let mut told = Vec::new();
    for step in &steps {
        told.push(wait(&ask(store, step, 120).await));
    }
    assert_eq!(told, (130..136).map(at).collect::<Vec<_>>());
    for (step, second) in steps.iter().zip(130..) {
        let turn = spell(&ask(store, step, second).await);
        for later in &steps {
            assert!(later == step || !matches!(ask(store, later, second).await, MayPost::Yes(Some(_))));
        }
        post(store, step, turn, done(), second).await;
    }
}

pub(super) async fn nobody_has_a_turn_before_the_quiet_time_is_over(store: &Store) {
    let steps = messages(store, 2).await;
    store.quiet(at(130)).await.unwrap();
    store.quiet(at(110)).await.unwrap();
    for line in ["c", "d", "e"] {
        let told = store.reserve(line, pace(), at(129)).await.unwrap();
        assert_eq!(told, Answer::NotBefore(at(130)), "Slack has asked for quiet, whoever heard it");
    }
    let without = Pace::new(Duration::ZERO, Duration::ZERO);
    assert_eq!(store.reserve("c", without, at(129)).await.unwrap(), Answer::NotBefore(at(130)));
    assert_eq!(store.reserve("c", without, at(130)).await.unwrap(), Answer::Now(None));
    assert!(matches!(store.reserve("c", pace(), at(130)).await.unwrap(), Answer::Now(Some(_))));
    assert!(wait(&ask(store, &steps[0], 130).await) > at(130), "no burst follows");
}

pub(super) async fn who_goes_first_has_the_next_turn(store: &Store) {
    let steps = messages(store, 4).await;
    let first = spell(&ask(store, &steps[0], 100).await);
    for step in &steps[1..] {
        ask(store, step, 100).await;
    }
    assert_eq!(store.reserve("c", pace(), at(100)).await.unwrap(), Answer::NotBefore(at(101)));
    post(store, &steps[0], first, done(), 100).await;
    assert_eq!(wait(&ask(store, &steps[1], 101).await), at(102), "nobody else has it");
    let Answer::Now(Some(turn)) = store.reserve("c", pace(), at(101)).await.unwrap() else { panic!() };
    store.leave_line("c", turn, pace().next(at(101))).await.unwrap();
    spell(&ask(store, &steps[1], 102).await);
}

pub(super) async fn replays_wait_behind_all_others_and_hold_up_none(store: &Store) {
    let steps = messages(store, 107).await;
    let first = spell(&ask_in(store, &steps[0], "c", true, 100).await);
    for step in &steps[1..100] {
        ask_in(store, step, "c", true, 100).await;
    }
    assert_eq!(wait(&ask(store, &steps[100], 100).await), at(101), "behind the call, not behind them");
    assert_eq!(wait(&ask(store, &steps[101], 100).await), at(102));
    assert!(wait(&ask_in(store, &steps[102], "c", true, 100).await) > at(190));
    post(store, &steps[0], first, done(), 100).await;
    // All have one pace.
    assert!(wait(&ask_in(store, &steps[1], "c", true, 101).await) > at(101));
    spell(&ask(store, &steps[100], 101).await);
}

pub(super) async fn a_message_that_a_dead_worker_had_claimed_waits_for_its_turn_too(store: &Store) {
    let step = message(store, 1, "a").await;
    store.alive("dead", at(100)).await.unwrap();
    store.claim(&step, None, "dead", at(100), LEASE * 10).await.unwrap();
    store.quiet(at(200)).await.unwrap();
    let until = at(100) + domain::journal::LAPSES;
    assert_eq!(ask(store, &step, 129).await, MayPost::No(Claim::Busy { until }), "no turn, no claim");
    assert_eq!(wait(&ask(store, &step, 130).await), at(200));
}

pub(super) async fn who_was_given_up_stands_in_nobodys_way(store: &Store) {
    let steps = messages(store, 6).await;
    let first = spell(&ask(store, &steps[0], 100).await);
    for step in &steps[1..] {
        ask(store, step, 100).await;
    }
    post(store, &steps[0], first, done(), 101).await;
    for number in 2..=5 {
        store.attempted(&id(number), LIVE, "w", Outcome::Dead, None, at(102)).await.unwrap();
    }
    store.quiet(at(130)).await.unwrap();
    assert_eq!(wait(&ask(store, &steps[5], 110).await), at(130), "nobody is before it");
}
