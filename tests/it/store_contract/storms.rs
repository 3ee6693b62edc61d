//! Slack messages of one kind fold into a storm, which one worker at a time tells; and all workers keep a channel's pace.

use std::time::Duration;

use domain::journal::StepState::{Done, Folded, Pending, Unknown};
use domain::journal::{
    Brake, Claim, MayPost, Message, NOTHING_TO_SWITCH_OFF, Outcome, Post, Posted, StepEnd, StepState, Storm,
    StormEnd, StormState, Telling, Verdicts,
};
use domain::plan::{LIVE, StepKey};
use domain::rulebook::{Fold, Limit};
use domain::storm::pace::Pace;
use domain::storm::{Kind, MayFold};
use store::Store;

use super::samples::{arrival, at, decision, id, switch_off, tell, verdicts};

const LEASE: Duration = Duration::from_secs(60);
/// Of every storm here, in seconds.
const PER: i64 = 600;

/// A message of event `number` about a tenant, decided and ready to be posted.
pub(super) async fn message(store: &Store, number: u64, tenant: &str) -> StepKey {
    let mut arrival = arrival(number);
    tenant.clone_into(&mut arrival.event.tenant);
    store.remember(&arrival, LIVE).await.unwrap();
    let decision = decision(number, LIVE, &[tell(tenant)]);
    store.record_decision(verdicts(&decision)).await.unwrap().unwrap();
    decision.steps[0].key.clone()
}

fn may_fold(after: u32, error: &str) -> MayFold {
    let mut event = arrival(1).event;
    error.clone_into(&mut event.error);
    let fold = Fold { after, per: Duration::from_secs(PER.unsigned_abs()) };
    MayFold { kind: Kind::of(&event, LIVE, "rule", None, "text"), fold }
}

fn fast() -> Pace {
    Pace::new(Duration::ZERO, Duration::from_secs(15))
}

async fn ask(store: &Store, step: &StepKey, fold: Option<&MayFold>, second: i64) -> MayPost {
    let post = Post { step, line: "c", pace: fast(), queues: true, replays: false, fold };
    store.may_post(post, at(second)).await.unwrap()
}

/// Messages of events `numbers`, one a second, of which those after the first `after` fold.
async fn storm(store: &Store, numbers: std::ops::Range<u64>, after: u32) -> Vec<StepKey> {
    let fold = may_fold(after, "out of memory");
    let mut steps = Vec::new();
    for number in numbers {
        let step = message(store, number, &format!("t{}", number % 7)).await;
        ask(store, &step, Some(&fold), i64::try_from(number).unwrap()).await;
        steps.push(step);
    }
    steps
}

async fn take(store: &Store, worker: &str, second: i64) -> Option<Telling> {
    store.take_storm(worker, at(second), at(second + 60)).await.unwrap()
}

async fn settle(store: &Store, telling: &Telling, end: StormEnd, second: i64) {
    store.settle_storm(telling, &end, at(second)).await.unwrap();
}

fn told(next: i64) -> StormEnd {
    let message = Message { channel: "C1".to_owned(), ts: "1.2".to_owned() };
    StormEnd::Told {
        message: Some(message),
        request: "POST".to_owned(),
        answer: "200".to_owned(),
        next: at(next),
    }
}

fn failed(uncertain: bool, next: i64) -> StormEnd {
    StormEnd::Failed { why: "no".to_owned(), uncertain, next: at(next) }
}

async fn states(store: &Store, numbers: std::ops::Range<u64>) -> Vec<StepState> {
    let mut states = Vec::new();
    for number in numbers {
        let steps = store.steps_of(&id(number), LIVE).await.unwrap();
        states.extend(steps.iter().map(|step| step.state));
    }
    states
}

async fn only(store: &Store) -> Storm {
    let storms = store.storms(0).await.unwrap();
    assert_eq!(storms.len(), 1, "{storms:?}");
    storms.into_iter().next().unwrap()
}

pub(super) async fn messages_beyond_the_first_fold_and_stay_what_they_were(store: &Store) {
    let steps = storm(store, 1..6, 2).await;
    let fold = may_fold(2, "out of memory");
    assert_eq!(states(store, 1..6).await, [Pending, Pending, Folded, Folded, Folded]);
    assert_eq!(
        ask(store, &steps[0], Some(&fold), 10).await,
        MayPost::Yes(None),
        "once on its own, always so"
    );
    assert_eq!(ask(store, &steps[4], Some(&fold), 10).await, MayPost::Folded);
    assert_eq!(ask(store, &steps[4], None, 10).await, MayPost::Folded, "whatever the rulebook says now");
    let claim = store.claim(&steps[4], None, "w", at(11), LEASE).await.unwrap();
    assert_eq!(claim, Claim::Settled(Folded));
    let storm = only(store).await;
    assert_eq!((storm.messages, storm.waiting, storm.alone, storm.tenants), (3, 3, 2, 3));
    assert_eq!(storm.newest, ["t5", "t4", "t3"]);
    assert_eq!((storm.since, storm.last_at), (at(1), at(5)));
    assert_eq!((&storm.example, storm.state), (&id(3), StormState::Open));
    assert!(storm.example_text.is_some_and(|text| text.contains("t3")));
}

pub(super) async fn a_storm_knows_what_became_of_the_first_of_its_kind(store: &Store) {
    let steps = storm(store, 1..7, 4).await;
    let ends = [
        StepEnd::Done { request: String::new(), answer: String::new() },
        StepEnd::Failed { why: "no".to_owned() },
        StepEnd::Unknown { why: "lost".to_owned() },
    ];
    assert_eq!(only(store).await.posted, Posted { alone_waiting: 4, ..Posted::default() });
    for (step, end) in steps.iter().zip(&ends) {
        store.claim(step, None, "w", at(9), LEASE).await.unwrap();
        store.settle(step, None, "w", end, at(9)).await.unwrap();
    }
    let wanted =
        Posted { alone_posted: 1, alone_waiting: 1, alone_failed: 1, alone_unknown: 1, ..Posted::default() };
    assert_eq!(only(store).await.posted, wanted);
    // Those that come after it are none of its own.
    let fold = may_fold(4, "out of memory");
    let step = message(store, 9, "t").await;
    assert_eq!(ask(store, &step, Some(&fold), 6 + PER).await, MayPost::Yes(None));
    assert_eq!(only(store).await.posted, wanted);
}

pub(super) async fn a_storm_knows_of_how_many_messages_a_step_before_turned_out_otherwise(store: &Store) {
    let fold = may_fold(0, "out of memory");
    let idle = StepEnd::Done { request: "GET".to_owned(), answer: NOTHING_TO_SWITCH_OFF.to_owned() };
    let newer = StepEnd::Superseded { why: "a newer event".to_owned() };
    let off = StepEnd::Done { request: "PUT".to_owned(), answer: "200".to_owned() };
    for (number, end) in [(1, idle.clone()), (2, off), (3, newer), (4, idle)] {
        store.remember(&arrival(number), LIVE).await.unwrap();
        let decision = decision(number, LIVE, &[switch_off("t"), tell("it is off")]);
        store.record_decision(verdicts(&decision)).await.unwrap().unwrap();
        let [change, message] = decision.steps.as_slice() else { panic!("two steps") };
        store.claim(&change.key, None, "w", at(5), LEASE).await.unwrap();
        store.settle(&change.key, None, "w", &end, at(5)).await.unwrap();
        assert_eq!(ask(store, &message.key, Some(&fold), 6).await, MayPost::Folded);
    }
    let storm = only(store).await;
    assert_eq!((storm.messages, storm.superseded, storm.nothing_to_switch_off), (4, 1, 2));
    assert_eq!(storm.example_text.as_deref(), Some("it is off"));
    assert_eq!(storm.example_corrections.len(), 1, "{storm:?}");
    assert!(storm.example_corrections[0].contains("no source schedule here"), "{storm:?}");
}

pub(super) async fn only_messages_of_one_kind_fold_together(store: &Store) {
    for (number, error) in [(1, "out of memory"), (2, "disk full"), (3, "out of memory"), (4, "disk full")] {
        let step = message(store, number, "t").await;
        ask(store, &step, Some(&may_fold(1, error)), 1).await;
    }
    let step = message(store, 5, "t").await;
    assert_eq!(ask(store, &step, None, 1).await, MayPost::Yes(None), "a rule without fold");
    assert_eq!(states(store, 1..6).await, [Pending, Pending, Folded, Folded, Pending]);
    assert_eq!(store.storms(0).await.unwrap().len(), 2);
}

pub(super) async fn rare_messages_never_fold(store: &Store) {
    let fold = may_fold(1, "out of memory");
    for number in 1..5 {
        let step = message(store, number, "t").await;
        let second = i64::try_from(number).unwrap() * (PER + 1);
        assert_eq!(ask(store, &step, Some(&fold), second).await, MayPost::Yes(None), "{number}");
    }
}

pub(super) async fn what_slack_took_is_done_and_the_last_word_closes_the_storm(store: &Store) {
    storm(store, 1..5, 1).await;
    for number in 2..5 {
        store.attempted(&id(number), LIVE, "w", Outcome::Folded, Some("folded"), at(5)).await.unwrap();
    }
    assert!(take(store, "w", 2).await.is_none(), "more are on their way: it gathers for a second");
    let telling = take(store, "w", 6).await.unwrap();
    assert_eq!((telling.storm.messages, telling.storm.state), (3, StormState::Open));
    assert!(take(store, "other", 7).await.is_none(), "it is in one worker's hands");
    // One more while the call is under way: it is not in the message.
    storm(store, 5..6, 1).await;
    settle(store, &telling, told(10), 8).await;
    assert_eq!(states(store, 1..6).await, [Pending, Done, Done, Done, Folded]);
    let record = store.event(id(2).as_str()).await.unwrap().unwrap();
    assert_eq!((record.row.outcome, record.row.why), (Outcome::Done, None));
    assert_eq!(record.steps[0].request.as_deref(), Some("POST"));
    assert_eq!(record.steps[0].error, None);

    assert!(take(store, "w", 9).await.is_none(), "not before it was told to");
    let telling = take(store, "w", 10).await.unwrap();
    assert_eq!(telling.storm.message.as_ref().map(|message| message.ts.as_str()), Some("1.2"));
    settle(store, &telling, told(13), 11).await;
    assert_eq!(states(store, 5..6).await, [Done]);
    assert!(take(store, "w", 100).await.is_none(), "there is nothing new to tell");
    let telling = take(store, "w", 5 + PER).await.unwrap();
    assert_eq!((telling.storm.messages, telling.storm.state), (4, StormState::Over));
    settle(store, &telling, told(5 + PER), 6 + PER).await;
    assert!(store.storms(0).await.unwrap().is_empty());
    let closed = &store.storms(10).await.unwrap()[0];
    assert_eq!((closed.state, closed.waiting, closed.messages), (StormState::Closed, 0, 4));
    assert!(take(store, "w", 7 + PER).await.is_none());
}

pub(super) async fn the_whole_call_that_told_a_storm_is_kept_once(store: &Store) {
    storm(store, 1..6, 1).await;
    let telling = take(store, "w", 6).await.unwrap();
    let whole = "é".repeat(2_000);
    let StormEnd::Told { message, answer, next, .. } = told(10) else { panic!() };
    settle(store, &telling, StormEnd::Told { message, request: whole.clone(), answer, next }, 8).await;
    let mut kept = Vec::new();
    for number in 2..6 {
        let record = store.event(id(number).as_str()).await.unwrap().unwrap();
        kept.push(record.steps[0].request.clone().unwrap());
    }
    let short = "é".repeat(200) + "…";
    assert_eq!(kept, [short.clone(), short.clone(), short, whole]);
}

pub(super) async fn an_attempt_that_is_noted_after_its_message_was_told_leaves_the_event_done(store: &Store) {
    storm(store, 1..2, 0).await;
    let telling = take(store, "w", 5).await.unwrap();
    settle(store, &telling, told(6), 5).await;
    store.attempted(&id(1), LIVE, "w", Outcome::Folded, Some("folded"), at(6)).await.unwrap();
    let record = store.event(id(1).as_str()).await.unwrap().unwrap();
    assert_eq!((record.row.outcome, record.row.why), (Outcome::Done, None));
}

pub(super) async fn what_slack_refused_is_told_by_the_next_that_it_takes(store: &Store) {
    storm(store, 1..4, 1).await;
    let telling = take(store, "w", 5).await.unwrap();
    settle(store, &telling, failed(false, 7), 6).await;
    assert_eq!(states(store, 2..4).await, [Folded; 2], "nothing is swallowed");
    let storm_now = only(store).await;
    assert_eq!((storm_now.failures, storm_now.why.as_deref(), storm_now.waiting), (1, Some("no"), 2));
    assert!(take(store, "w", 6).await.is_none(), "it waits");
    storm(store, 4..5, 1).await;
    let telling = take(store, "w", 8).await.unwrap();
    settle(store, &telling, told(9), 8).await;
    assert_eq!(states(store, 2..5).await, [Done; 3]);
    let storm_now = only(store).await;
    assert_eq!((storm_now.failures, storm_now.why), (0, None));
    let steps = store.steps_of(&id(2), LIVE).await.unwrap();
    assert!(!steps[0].perhaps_twice, "Slack said that it did not take the first");
}

pub(super) async fn a_worker_that_dies_passes_its_storm_on_and_what_comes_late_is_not_kept(store: &Store) {
    storm(store, 1..3, 0).await;
    let lost = take(store, "dead", 5).await.unwrap();
    assert!(take(store, "w", 64).await.is_none());
    let telling = take(store, "w", 66).await.unwrap();
    settle(store, &lost, failed(false, 1_000), 67).await;
    assert_eq!(only(store).await.failures, 0, "it has lost the storm");
    settle(store, &telling, told(70), 68).await;
    for number in 1..3 {
        let steps = store.steps_of(&id(number), LIVE).await.unwrap();
        assert_eq!((steps[0].state, steps[0].perhaps_twice), (Done, true), "it may have been posted");
    }
    settle(store, &lost, StormEnd::Gone, 69).await;
    assert!(only(store).await.message.is_some());
}

pub(super) async fn a_post_whose_answer_was_lost_is_repeated_once_and_the_ledger_says_so(store: &Store) {
    storm(store, 1..3, 0).await;
    for second in [5, 6] {
        let telling = take(store, "w", second).await.unwrap();
        settle(store, &telling, failed(true, second), second).await;
    }
    assert!(take(store, "w", 7).await.is_none(), "no third time");
    assert_eq!(states(store, 1..3).await, [Unknown; 2]);
    // What comes later is told in another message.
    storm(store, 8..9, 0).await;
    let telling = take(store, "w", 9).await.unwrap();
    assert_eq!(telling.storm.messages, 3);
    settle(store, &telling, told(10), 10).await;
    assert_eq!(states(store, 8..9).await, [Done]);
    let steps = store.steps_of(&id(1), LIVE).await.unwrap();
    assert_eq!((steps[0].state, steps[0].perhaps_twice), (Done, true), "this one counts it too");
    let steps = store.steps_of(&id(8), LIVE).await.unwrap();
    assert!(!steps[0].perhaps_twice);
}

pub(super) async fn a_last_word_that_may_have_arrived_is_the_last(store: &Store) {
    storm(store, 1..2, 0).await;
    let over = 2 + PER;
    for second in [over, over + 1] {
        let telling = take(store, "w", second).await.unwrap();
        assert_eq!(telling.storm.state, StormState::Over);
        settle(store, &telling, failed(true, second), second).await;
    }
    assert!(take(store, "w", over + 2).await.is_none());
    assert_eq!(states(store, 1..2).await, [Unknown]);
    assert!(store.storms(0).await.unwrap().is_empty());
}

pub(super) async fn an_update_is_repeated_for_ever_and_a_message_that_is_gone_is_posted_anew(store: &Store) {
    storm(store, 1..2, 0).await;
    let telling = take(store, "w", 5).await.unwrap();
    settle(store, &telling, told(5), 5).await;
    storm(store, 6..7, 0).await;
    for second in 7..12 {
        let telling = take(store, "w", second).await.unwrap();
        settle(store, &telling, failed(true, second), second).await;
    }
    assert_eq!(states(store, 6..7).await, [Folded]);
    let telling = take(store, "w", 12).await.unwrap();
    settle(store, &telling, StormEnd::Gone, 12).await;
    let telling = take(store, "w", 12).await.unwrap();
    assert_eq!(telling.storm.message, None);
    settle(store, &telling, told(13), 12).await;
    let steps = store.steps_of(&id(6), LIVE).await.unwrap();
    assert_eq!((steps[0].state, steps[0].perhaps_twice), (Done, false));
}

pub(super) async fn without_updates_a_storm_is_told_again_only_while_it_rages(store: &Store) {
    let posted = |next| StormEnd::Told {
        message: None,
        request: "POST".to_owned(),
        answer: "ok".to_owned(),
        next: at(next),
    };
    storm(store, 1..2, 0).await;
    let telling = take(store, "w", 5).await.unwrap();
    settle(store, &telling, posted(5 + PER), 5).await;
    storm(store, 6..7, 0).await;
    assert!(take(store, "w", 5 + PER).await.is_none(), "its end is near and tells all");
    let telling = take(store, "w", 6 + PER).await.unwrap();
    assert_eq!((telling.storm.state, telling.storm.messages), (StormState::Over, 2));
}

pub(super) async fn nothing_new_is_hidden_in_a_storm_that_is_over(store: &Store) {
    storm(store, 1..4, 1).await;
    let step = message(store, 9, "t").await;
    let fold = may_fold(1, "out of memory");
    assert_eq!(ask(store, &step, Some(&fold), 3 + PER).await, MayPost::Yes(None));
    let storm = only(store).await;
    assert_eq!((storm.state, storm.messages), (StormState::Over, 2));
    // And one more begins beside it.
    let step = message(store, 10, "t").await;
    assert_eq!(ask(store, &step, Some(&fold), 4 + PER).await, MayPost::Folded);
    assert_eq!(store.storms(0).await.unwrap().len(), 2);
}

pub(super) async fn what_is_settled_held_or_in_other_hands_neither_folds_nor_takes_a_turn(store: &Store) {
    let fold = may_fold(0, "out of memory");
    let done = message(store, 1, "a").await;
    store.claim(&done, None, "w", at(1), LEASE).await.unwrap();
    let end = StepEnd::Done { request: String::new(), answer: String::new() };
    store.settle(&done, None, "w", &end, at(1)).await.unwrap();
    assert_eq!(ask(store, &done, Some(&fold), 2).await, MayPost::No(Claim::Settled(Done)));
    let claimed = message(store, 2, "b").await;
    store.claim(&claimed, None, "w", at(2), LEASE).await.unwrap();
    assert_eq!(ask(store, &claimed, Some(&fold), 3).await, MayPost::No(Claim::Busy { until: at(2) + LEASE }));
    assert_eq!(states(store, 1..3).await, [Done, StepState::Claimed]);
    // Begun and never settled: it may have been posted, so that it is not told once more in a storm.
    assert_eq!(ask(store, &claimed, Some(&fold), 2 + 61).await, MayPost::Yes(None));
    assert!(store.storms(0).await.unwrap().is_empty());
}

pub(super) async fn what_was_held_may_fold_once_it_is_released(store: &Store) {
    let (fold, limits) =
        (may_fold(0, "out of memory"), [("rule".to_owned(), Limit { tenants: 1, per: LEASE })]);
    let mut steps = Vec::new();
    for (number, tenant) in [(1, "a"), (2, "b")] {
        store.remember(&arrival(number), LIVE).await.unwrap();
        let decision = decision(number, LIVE, &[tell(tenant)]);
        let brake = Brake::On { tenant, limits: &limits };
        store.record_decision(Verdicts { brake, ..verdicts(&decision) }).await.unwrap().unwrap();
        steps.push(decision.steps[0].key.clone());
    }
    assert_eq!(
        ask(store, &steps[1], Some(&fold), 3).await,
        MayPost::No(Claim::Held),
        "no claim that follows a release without a new question has a turn"
    );
    assert_eq!(store.claim(&steps[1], None, "w", at(3), LEASE).await.unwrap(), Claim::Held);
    assert_eq!(store.release("rule", at(4)).await.unwrap(), 1);
    assert_eq!(ask(store, &steps[1], Some(&fold), 5).await, MayPost::Folded);
    assert_eq!(only(store).await.messages, 1);
}

pub(super) async fn a_step_that_a_person_sends_back_may_fold(store: &Store) {
    storm(store, 1..2, 0).await;
    for second in [5, 6, 7] {
        if let Some(telling) = take(store, "w", second).await {
            settle(store, &telling, failed(true, second), second).await;
        }
    }
    assert_eq!(states(store, 1..2).await, [Unknown]);
    assert_eq!(store.reopen(&id(1), LIVE, at(8)).await.unwrap(), 1);
    let step = store.steps_of(&id(1), LIVE).await.unwrap()[0].step.key.clone();
    let fold = may_fold(0, "out of memory");
    assert_eq!(ask(store, &step, Some(&fold), 9).await, MayPost::Folded);
    let telling = take(store, "w", 10).await.unwrap();
    settle(store, &telling, told(11), 10).await;
    assert_eq!(states(store, 1..2).await, [Done]);
}

pub(super) async fn retention_leaves_what_a_storm_is_yet_to_tell(store: &Store) {
    storm(store, 1..3, 0).await;
    for number in 1..3 {
        store.attempted(&id(number), LIVE, "w", Outcome::Done, None, at(3)).await.unwrap();
    }
    let forget = async |second| store.forget_before(at(second), 100).await.unwrap();
    assert_eq!(forget(100_000).await, 0);
    let telling = take(store, "w", 100_000).await.unwrap();
    settle(store, &telling, told(100_001), 100_001).await;
    assert_eq!(forget(100_000).await, 2);
    assert!(forget(100_000).await > 0, "the storm too");
    assert!(store.storms(10).await.unwrap().is_empty());
}

pub(super) async fn many_workers_at_once_agree_on_what_folds(store: &Store) {
    let fold = may_fold(3, "out of memory");
    let mut steps = Vec::new();
    for number in 1..41 {
        steps.push(message(store, number, &format!("t{number}")).await);
    }
    let asked = steps.iter().map(|step| ask(store, step, Some(&fold), 50));
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| **answer == MayPost::Yes(None)).count(), 3);
    let storm = only(store).await;
    assert_eq!((storm.messages, storm.tenants, storm.newest.len()), (37, 37, 10));
    let takes = (0..8).map(|_| take(store, "w", 60));
    let taken = futures_util::future::join_all(takes).await;
    assert_eq!(taken.iter().flatten().count(), 1, "one of them has it");
}
