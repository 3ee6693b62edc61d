//! Whatever workers do in whatever order, and wherever they die: the laws of the ledger hold.

use std::time::Duration;

use domain::action::Action;
use domain::journal::{Claim, StepEnd, StepState, Turn};
use domain::plan::{LIVE, StepKey};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use store::Store;

use super::samples::{at, decided, id, switch_off, tell};

const CASES: u64 = 48;
const WORKERS: usize = 3;
/// Seconds.
const LEASE: i64 = 60;
/// A worker that has said nothing for so many seconds is dead to the others.
const LAPSE: i64 = 30;

/// What happens next.
#[derive(Debug, Clone)]
enum Op {
    /// A worker that has nothing in hand asks for a step.
    Ask(usize, usize),
    /// It makes the call.
    Call(usize, Call),
    /// It writes down how that went.
    Settle(usize),
    /// It dies; another takes its place.
    Die(usize),
    /// It says that it lives.
    Beat(usize),
    /// So many seconds pass.
    Pass(i64),
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Answered,
    /// Done, but the answer was lost.
    Lost,
    /// Not done, and no answer either.
    Vanished,
    /// Certainly not done.
    Refused,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let call = prop_oneof![
        3 => Just(Call::Answered), 2 => Just(Call::Lost), 1 => Just(Call::Vanished), 1 => Just(Call::Refused)
    ];
    let op = prop_oneof![
        4 => (0..WORKERS, 0..STEPS).prop_map(|(worker, step)| Op::Ask(worker, step)),
        4 => (0..WORKERS, call).prop_map(|(worker, call)| Op::Call(worker, call)),
        3 => (0..WORKERS).prop_map(Op::Settle),
        1 => (0..WORKERS).prop_map(Op::Die),
        2 => (0..WORKERS).prop_map(Op::Beat),
        1 => (1..=LEASE).prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 10..60)
}

/// What a worker has in hand.
#[derive(Debug, Clone)]
struct InHand {
    step: usize,
    begun: u32,
    until: i64,
    /// No call is to be made.
    untried: Option<StepEnd>,
    called: Option<Call>,
}

/// A worker, as far as the event log has heard from it.
#[derive(Debug, Clone, Default)]
struct Life {
    /// How many died in its place.
    number: u32,
    heard: i64,
    /// End of the last silence that was too long.
    again: i64,
}

struct Step {
    key: StepKey,
    action: Action,
    turn: Option<Turn>,
    /// Events that took place later have a greater one.
    age: i64,
}

/// Two messages, and three events that switch the schedule of one tenant.
const STEPS: usize = 5;

/// Workers, their steps, and the outside.
struct World {
    store: Store,
    case: u64,
    now: i64,
    steps: Vec<Step>,
    workers: Vec<Option<InHand>>,
    lives: Vec<Life>,
    /// By step, how often it was done.
    done: [u32; STEPS],
    /// The ages of the events that have switched the schedule, in the order in which they did.
    switched: Vec<i64>,
    /// The age of the newest event that has written down that it switched it.
    noted: Option<i64>,
}

impl World {
    async fn of_case(store: &Store, case: u64) -> Self {
        let mut steps = Vec::new();
        for (age, number) in (0..).zip(case * 10..).take(STEPS) {
            let action = if age < 2 { tell("hello") } else { switch_off(&format!("tenant {case}")) };
            let key = decided(store, number, std::slice::from_ref(&action)).await.remove(0);
            let turn = Turn::of(&action, at(age));
            steps.push(Step { key, action, turn, age });
        }
        let mut world = Self {
            store: store.clone(),
            case,
            now: 1000,
            steps,
            workers: vec![None; WORKERS],
            lives: vec![Life { heard: 1000, ..Life::default() }; WORKERS],
            done: [0; STEPS],
            switched: Vec::new(),
            noted: None,
        };
        for worker in 0..WORKERS {
            world.beat(worker).await;
        }
        world
    }

    fn name(&self, worker: usize) -> String {
        format!("case {}, worker {worker}, life {}", self.case, self.lives[worker].number)
    }

    async fn beat(&mut self, worker: usize) {
        self.store.alive(&self.name(worker), at(self.now)).await.unwrap();
        let life = &mut self.lives[worker];
        if self.now >= life.heard + LAPSE {
            life.again = self.now;
        }
        life.heard = self.now;
    }

    /// As the worker sees it: is what it has in hand its own no longer?
    fn is_late(&self, worker: usize, hand: &InHand) -> bool {
        let life = &self.lives[worker];
        self.now >= hand.until || self.now >= life.heard + LAPSE || life.again > hand.until - LEASE
    }

    async fn happen(&mut self, op: &Op) {
        match *op {
            Op::Ask(worker, step) => {
                if self.workers[worker].is_none() {
                    self.ask(worker, step).await;
                }
            }
            Op::Call(worker, call) => self.call(worker, call),
            Op::Settle(worker) => self.settle(worker).await,
            Op::Die(worker) => {
                self.workers[worker] = None;
                self.lives[worker].number += 1;
                self.beat(worker).await;
            }
            Op::Beat(worker) => self.beat(worker).await,
            Op::Pass(seconds) => self.now += seconds,
        }
    }

    /// True when the step is settled.
    async fn ask(&mut self, worker: usize, step: usize) -> bool {
        let Step { key, turn, .. } = &self.steps[step];
        let lease = Duration::from_secs(LEASE.unsigned_abs());
        let claim =
            self.store.claim(key, turn.as_ref(), &self.name(worker), at(self.now), lease).await.unwrap();
        match claim {
            Claim::Mine { begun } => {
                let end = StepEnd::untried(self.steps[step].action.repeatable(), begun);
                let until = self.now + LEASE;
                self.workers[worker] = Some(InHand { step, begun, until, untried: end, called: None });
            }
            Claim::Newer { .. } => {
                let end = StepEnd::Superseded { why: "late".to_owned() };
                self.store.settle(key, None, &self.name(worker), &end, at(self.now)).await.unwrap();
            }
            Claim::Busy { .. } => {}
            Claim::Held => panic!("nothing is held here"),
            Claim::Settled(_) => return true,
        }
        false
    }

    /// A call ends before the lease does: that is how long leases are. Who may be dead to the others makes none.
    fn call(&mut self, worker: usize, call: Call) {
        let is_late = self.workers[worker].as_ref().is_some_and(|hand| self.is_late(worker, hand));
        let Some(hand) = &mut self.workers[worker] else { return };
        if hand.untried.is_some() || hand.called.is_some() || is_late {
            return;
        }
        let Step { action, age, .. } = &self.steps[hand.step];
        if matches!(call, Call::Answered | Call::Lost) {
            self.done[hand.step] += 1;
            if action.repeatable() {
                assert!(self.noted.is_none_or(|noted| noted <= *age), "an older event undid a newer one");
                self.switched.push(*age);
            }
        }
        hand.called = Some(call);
    }

    /// As the worker does: what is settled after the lease counts as a second attempt, because another may have made the
    /// call too.
    fn end(&self, worker: usize, hand: &InHand) -> Option<StepEnd> {
        let (repeatable, said) = (self.steps[hand.step].action.repeatable(), String::new);
        let begun = hand.begun + u32::from(self.is_late(worker, hand));
        match (&hand.untried, hand.called) {
            (Some(end), _) => Some(end.clone()),
            (None, None) => None,
            (None, Some(Call::Answered)) => Some(StepEnd::of_success(repeatable, begun, said(), said())),
            (None, Some(Call::Lost | Call::Vanished)) => {
                Some(StepEnd::of_trouble(repeatable, begun, said(), true))
            }
            (None, Some(Call::Refused)) => Some(StepEnd::of_trouble(repeatable, begun, said(), false)),
        }
    }

    async fn settle(&mut self, worker: usize) {
        let Some((step, end)) =
            self.workers[worker].as_ref().and_then(|hand| Some((hand.step, self.end(worker, hand)?)))
        else {
            return;
        };
        self.workers[worker] = None;
        let Step { key, turn, age, .. } = &self.steps[step];
        self.store.settle(key, turn.as_ref(), &self.name(worker), &end, at(self.now)).await.unwrap();
        if turn.is_some() && matches!(end, StepEnd::Done { .. }) {
            self.noted = self.noted.max(Some(*age));
        }
    }

    /// Redeliveries go on until everything is settled.
    async fn drain(&mut self) {
        self.workers.fill(None);
        for life in &mut self.lives {
            life.number += 1;
        }
        for round in 0.. {
            assert!(round < 50, "it comes to an end");
            let mut settled = true;
            for step in 0..STEPS {
                self.beat(0).await;
                settled &= self.ask(0, step).await;
                self.call(0, Call::Answered);
                self.settle(0).await;
            }
            if settled {
                return;
            }
            self.now += LEASE;
        }
    }

    async fn laws_hold(&self, case: u64) {
        for (place, step) in self.steps.iter().enumerate() {
            let number = case * 10 + u64::try_from(place).unwrap();
            let record = self.store.steps_of(&id(number), LIVE).await.unwrap().remove(0);
            let done = self.done[place];
            if step.action.repeatable() {
                assert!(
                    record.state == StepState::Superseded || (record.state == StepState::Done && done > 0),
                    "{record:?}, done {done} times"
                );
            } else {
                match record.state {
                    StepState::Done if record.perhaps_twice => {
                        assert!((1..=2).contains(&done), "done {done} times")
                    }
                    StepState::Done => assert_eq!(done, 1),
                    StepState::Unknown => assert!(done <= 2, "done {done} times"),
                    other => panic!("{other:?} is no end"),
                }
            }
        }
        let newest = self.steps.iter().map(|step| step.age).max();
        assert_eq!(self.switched.last().copied(), newest, "the newest event has the last word");
    }
}

/// A worker that slept over its lease writes down its call after another has made the same.
fn a_late_end() -> Vec<Op> {
    let (called, slept) = (|worker| Op::Call(worker, Call::Answered), Op::Pass(LEASE));
    vec![Op::Ask(0, 0), called(0), slept, Op::Ask(1, 0), called(1), Op::Settle(0), Op::Settle(1)]
}

pub(super) async fn every_step_ends_applied_once_or_says_that_it_may_not_have(store: &Store) {
    let mut runner = TestRunner::deterministic();
    for case in 1..=CASES {
        let ops = if case == 1 { a_late_end() } else { ops().new_tree(&mut runner).unwrap().current() };
        // Told only when the case fails.
        println!("case {case}: {ops:?}");
        let mut world = World::of_case(store, case).await;
        for op in &ops {
            world.happen(op).await;
        }
        world.drain().await;
        world.laws_hold(case).await;
    }
}
