//! Nobody is too early, everybody gets through, and in order.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const START: i64 = 1_700_000_000 * SECOND;

fn pace() -> Pace {
    Pace::new(Duration::from_secs(1), Duration::from_secs(15))
}

fn queued(ahead: u32) -> Who {
    Who::Queues { ahead }
}

fn start() -> Timestamp {
    instant(START)
}

fn later(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// The line of several workers, as the event log keeps it: who waits, where, and when each was told to come.
#[derive(Default)]
struct World {
    line: Line,
    blocked: i64,
    waiting: BTreeMap<i64, i64>,
}

impl World {
    /// Asks for the message with that place.
    fn ask(&mut self, place: i64, now: i64) -> Answer {
        let missing = missing_since(self.blocked, now);
        let ahead = self.waiting.range(..place).filter(|(_, told)| **told > missing).count();
        let (line, answer) =
            pace().ask(self.line, self.blocked, queued(u32::try_from(ahead).unwrap()), instant(now));
        self.line = line;
        match answer {
            Answer::Now(_) => self.waiting.remove(&place),
            Answer::NotBefore(at) => self.waiting.insert(place, at.as_microsecond()),
        };
        answer
    }

    fn leave(&mut self, spell: Spell, ended: i64) {
        if self.line.held_until == spell.until.as_microsecond() {
            let free_at = pace().next(instant(ended)).as_microsecond();
            self.line = Line { free_at, held_until: 0, ..self.line };
        }
    }
}

enum Next {
    Ask(i64),
    Ends(Spell),
}

proptest! {
    /// Whoever asks and comes back when told, however late its call arrives and ends: no two calls arrive within the interval,
    /// none in the quiet time, and every message gets through.
    #[test]
    fn no_two_calls_arrive_within_the_interval_and_all_get_through(
        arrivals in prop::collection::vec(0i64..20 * SECOND, 1..40),
        late in prop::collection::vec(0i64..300_000, 41),
        calls in prop::collection::vec((0i64..2 * SECOND, 0i64..SECOND), 37),
        quiet in prop::option::of(0i64..20 * SECOND),
    ) {
        let mut world = World::default();
        let mut todo: Vec<(i64, Next)> =
            arrivals.iter().enumerate().map(|(number, at)| (START + at, Next::Ask(i64::try_from(number).unwrap()))).collect();
        let (mut arrived, mut asked) = (Vec::new(), 0);
        let blocked = quiet.map(|from| (START + from, START + from + 5 * SECOND));
        while !todo.is_empty() {
            todo.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            let (now, next) = todo.pop().unwrap();
            if let Some((from, until)) = blocked && now >= from {
                world.blocked = until;
            }
            match next {
                Next::Ends(spell) => world.leave(spell, now),
                Next::Ask(place) => {
                    asked += 1;
                    match world.ask(place, now) {
                        Answer::Now(spell) => {
                            let (way, rest) = calls[asked % calls.len()];
                            arrived.push((now, now + way));
                            todo.push((now + way + rest, Next::Ends(spell.unwrap())));
                        }
                        Answer::NotBefore(at) => {
                            let at = at.as_microsecond();
                            prop_assert!(at > now);
                            todo.push((at + late[asked % late.len()], Next::Ask(place)));
                        }
                    }
                }
            }
            prop_assert!(asked < arrivals.len() * 60, "they come back too often");
        }
        prop_assert_eq!(arrived.len(), arrivals.len());
        for pair in arrived.windows(2) {
            prop_assert!(pair[1].1 - pair[0].1 >= SECOND, "{:?}", pair);
        }
        if let Some((from, until)) = blocked {
            prop_assert!(arrived.iter().all(|(begun, _)| *begun < from || *begun >= until), "in the quiet time");
        }
    }
}

#[test]
fn the_first_goes_at_once_and_no_burst_follows() {
    let (line, first) = pace().ask(Line::default(), 0, queued(0), start());
    let Answer::Now(Some(spell)) = first else { panic!("{first:?}") };
    assert_eq!((spell.from, spell.until), (start(), later(16)));
    for second in 1..16 {
        let (_, answer) = pace().ask(line, 0, queued(0), later(second));
        assert!(matches!(answer, Answer::NotBefore(_)), "its call is under way: {answer:?}");
    }
    let (_, answer) = pace().ask(line, 0, queued(0), later(16));
    assert!(matches!(answer, Answer::Now(_)), "who died with the turn has lost it: {answer:?}");
    let left = Line { held_until: 0, free_at: pace().next(later(2)).as_microsecond(), ..line };
    assert_eq!(pace().ask(left, 0, queued(0), later(2)).1, Answer::NotBefore(later(3)));
    assert!(matches!(pace().ask(left, 0, queued(0), later(3)).1, Answer::Now(_)));
    assert!(matches!(pace().ask(left, 0, queued(0), later(3_600)).1, Answer::Now(_)));
}

#[test]
fn a_backlog_is_told_to_come_one_in_each_interval() {
    let mut world = World::default();
    let answers: Vec<_> = (0..30).map(|place| world.ask(place, START)).collect();
    assert!(matches!(answers[0], Answer::Now(_)));
    // While the first call is under way, its end is taken for near.
    let waits = (1..30).map(|place| Answer::NotBefore(later(place)));
    assert!(answers[1..].iter().copied().eq(waits), "{answers:?}");
}

#[test]
fn after_a_quiet_time_they_go_in_the_order_in_which_they_first_asked() {
    let mut world = World::default();
    let Answer::Now(Some(spell)) = world.ask(0, START) else { panic!() };
    for place in 1..6 {
        world.ask(place, START);
    }
    // The first was refused: it keeps its place, and Slack asks for 30 seconds.
    world.blocked = START + 30 * SECOND;
    world.leave(spell, START + SECOND / 2);
    world.waiting.insert(0, START);
    // Those told the nearest instants come back first, and in the end all stand as before.
    for place in (0..6).rev() {
        world.ask(place, START + 5 * SECOND);
    }
    let told: Vec<_> = world.waiting.values().copied().collect();
    let wanted: Vec<_> = (30..36).map(|second| START + second * SECOND).collect();
    assert_eq!(told, wanted);
    assert!(matches!(world.ask(9, START + 30 * SECOND), Answer::NotBefore(_)), "others are before it");
    assert!(matches!(world.ask(0, START + 30 * SECOND), Answer::Now(_)));
}

#[test]
fn who_was_told_to_come_back_and_never_did_holds_nobody_up_for_long() {
    let mut world = World::default();
    world.waiting.insert(1, START);
    assert_eq!(world.ask(2, START + SECOND), Answer::NotBefore(later(2)));
    assert!(matches!(world.ask(2, START + 2 * SECOND), Answer::Now(_)));
}

#[test]
fn who_goes_first_has_the_next_turn_before_all_that_wait() {
    let mut world = World::default();
    let Answer::Now(Some(spell)) = world.ask(0, START) else { panic!() };
    for place in 1..5 {
        world.ask(place, START);
    }
    let (line, answer) = pace().ask(world.line, 0, Who::First, start());
    assert_eq!(answer, Answer::NotBefore(later(1)));
    world.line = line;
    world.leave(spell, START);
    assert!(matches!(world.ask(1, START + SECOND), Answer::NotBefore(at) if at == later(2)));
    let (line, answer) = pace().ask(world.line, 0, Who::First, later(1));
    assert!(matches!(answer, Answer::Now(_)));
    assert_eq!(line.first_at, 0, "then it is the turn of the others");
    // One that never comes is not waited for.
    world.line.first_at = START;
    assert!(matches!(world.ask(1, START + 4 * SECOND), Answer::Now(_)));
}

#[test]
fn without_a_pace_only_the_quiet_time_counts() {
    let pace = Pace::new(Duration::ZERO, Duration::from_secs(15));
    for who in [Who::First, queued(7)] {
        assert_eq!(pace.ask(Line::default(), 0, who, start()).1, Answer::Now(None));
        let quiet = START + 2 * SECOND;
        assert_eq!(pace.ask(Line::default(), quiet, who, start()).1, Answer::NotBefore(later(2)));
    }
}

#[test]
fn places_follow_one_another_and_replays_are_behind_all_others() {
    let first = place(false, None, start());
    let second = place(false, Some(first), start());
    let replay = place(true, None, start());
    assert!(first < second && second < place(false, None, later(10_000_000)));
    assert!(place(false, None, later(100_000_000)) < replay && replay < place(true, Some(replay), start()));
    let (from, before) = places(false);
    assert!((from..before).contains(&first) && !(from..before).contains(&replay));
    let (from, before) = places(true);
    assert!(!(from..before).contains(&second) && (from..before).contains(&replay));
}
