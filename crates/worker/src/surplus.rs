//! When very many events wait, where do more of them wait? NATS lets the workers have so many deliveries outstanding at one
//! time (`max_ack_pending`), those that wait to be tried again included; beyond that it delivers nothing new, to nobody. One
//! tenant with a flood, or a long line before Slack, must not get that far: what has to wait then goes to the end of
//! `HOOKS_REPLAY`, and live events of others go on. Before what waits there has filled that consumer too, it goes to the end
//! again, in place of itself, and replays come by.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bus::{Pending, StreamName};
use jiff::Timestamp;

/// Who waits less is hardly there.
const SHORTEST: Duration = Duration::from_secs(2);
/// What was set aside and waits in a crowd again is looked at no more often, and no less.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// One worker may let so large a part of what NATS allows wait, ...
const OF_ONE: u64 = 10;
/// ... and all of them so large a part, what they have in hand included.
const HALF: u64 = 2;
/// Of what was set aside and replays so large a part stays: each time that one goes to the end costs a write.
const MOST_OF: (u64, u64) = (4, 5);

/// Where an event waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it is, for so long.
    Here(Duration),
    /// At the end of `HOOKS_REPLAY`, until then.
    Aside(Timestamp),
}

/// What is known of those that wait.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    live: Crowd,
    replays: Crowd,
    /// Live events that this worker handed back: when each comes again. What was measured is some seconds old.
    mine: Mutex<BinaryHeap<Reverse<Timestamp>>>,
}

#[derive(Debug, Default)]
struct Crowd {
    is_there: AtomicBool,
    /// So many of one worker make one.
    most_of_one: AtomicU64,
}

impl Surplus {
    /// How many deliveries of a stream the workers have outstanding.
    pub(crate) fn measured(&self, stream: StreamName, pending: Pending) {
        let Pending { in_flight, most_in_flight: most, .. } = pending;
        let crowd = self.crowd(stream);
        let (part, of) = MOST_OF;
        let many = if stream == StreamName::Hooks { most / HALF } else { most / of * part };
        crowd.is_there.store(most > 0 && in_flight >= many, Ordering::Relaxed);
        crowd.most_of_one.store(most / OF_ONE, Ordering::Relaxed);
    }

    /// Do very many of this stream wait?
    fn is_crowded(&self, stream: StreamName, now: Timestamp) -> bool {
        let crowd = self.crowd(stream);
        crowd.is_there.load(Ordering::Relaxed) || (stream == StreamName::Hooks && self.many_of_mine(now))
    }

    /// Where a delivery of `stream` waits that can't go on before `wait` is over. `set_aside` before, it was delivered so often.
    pub(crate) fn place(
        &self,
        stream: StreamName,
        again: Option<u64>,
        wait: Duration,
        now: Timestamp,
    ) -> Place {
        let until = now.checked_add(wait).unwrap_or(now);
        if wait < SHORTEST {
            return Place::Here(wait);
        }
        let crowded = self.is_crowded(stream, now);
        match (stream, again) {
            (StreamName::Hooks, _) if crowded => Place::Aside(until),
            (StreamName::Hooks, _) => {
                self.lock().push(Reverse(until));
                Place::Here(wait)
            }
            // It has waited here for a while.
            (_, Some(2..)) if crowded => Place::Aside(until),
            (_, Some(_)) if crowded => Place::Here(LOOK_AGAIN),
            // Replays that a person began keep their places: what is asked of them is told by their places.
            _ => Place::Here(wait),
        }
    }

    fn many_of_mine(&self, now: Timestamp) -> bool {
        let most = self.live.most_of_one.load(Ordering::Relaxed);
        let mut mine = self.lock();
        while mine.peek().is_some_and(|Reverse(due)| *due <= now) {
            mine.pop();
        }
        most > 0 && u64::try_from(mine.len()).unwrap_or(u64::MAX) >= most
    }

    fn crowd(&self, stream: StreamName) -> &Crowd {
        if stream == StreamName::Hooks { &self.live } else { &self.replays }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BinaryHeap<Reverse<Timestamp>>> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn measured(stream: StreamName, in_flight: u64) -> Surplus {
        let surplus = Surplus::default();
        let pending = Pending { pending: 0, in_flight, most_in_flight: 20_000, pulls: 1, paused: false };
        surplus.measured(stream, pending);
        surplus
    }

    #[test]
    fn what_waits_in_a_crowd_is_set_aside_until_its_time_comes() {
        let surplus = measured(StreamName::Hooks, 10_000);
        assert_eq!(surplus.place(StreamName::Hooks, None, 2 * MINUTE, NOW), Place::Aside(NOW + 2 * MINUTE));
        let short = Duration::from_millis(1_999);
        assert_eq!(surplus.place(StreamName::Hooks, None, short, NOW), Place::Here(short));
        let few = measured(StreamName::Hooks, 9_999);
        assert_eq!(few.place(StreamName::Hooks, None, MINUTE, NOW), Place::Here(MINUTE));
    }

    #[test]
    fn a_worker_knows_of_its_own_before_they_are_measured_and_forgets_who_is_due() {
        let surplus = measured(StreamName::Hooks, 0);
        for _ in 0..2_000 {
            assert_eq!(surplus.place(StreamName::Hooks, None, MINUTE, NOW), Place::Here(MINUTE));
        }
        assert_eq!(surplus.place(StreamName::Hooks, None, MINUTE, NOW), Place::Aside(NOW + MINUTE));
        assert_eq!(surplus.place(StreamName::Hooks, None, MINUTE, NOW + MINUTE), Place::Here(MINUTE));
    }

    #[test]
    fn what_was_set_aside_makes_room_for_replays_and_comes_round_once_a_minute() {
        let surplus = measured(StreamName::Replay, 16_000);
        let place = |again| surplus.place(StreamName::Replay, again, 5 * MINUTE, NOW);
        assert_eq!(place(Some(1)), Place::Here(MINUTE));
        let soon = surplus.place(StreamName::Replay, Some(1), SHORTEST, NOW);
        assert_eq!(soon, Place::Here(MINUTE), "a crowd is not looked at all the time");
        assert_eq!(place(Some(2)), Place::Aside(NOW + 5 * MINUTE));
        assert_eq!(place(None), Place::Here(5 * MINUTE), "a run's events keep their places");
        let quiet = measured(StreamName::Replay, 15_999);
        assert_eq!(quiet.place(StreamName::Replay, Some(7), 5 * MINUTE, NOW), Place::Here(5 * MINUTE));
    }

    #[test]
    fn without_a_limit_nobody_makes_room() {
        let surplus = Surplus::default();
        let pending = Pending { pending: 0, in_flight: 90_000, most_in_flight: 0, pulls: 1, paused: false };
        surplus.measured(StreamName::Hooks, pending);
        assert_eq!(surplus.place(StreamName::Hooks, None, MINUTE, NOW), Place::Here(MINUTE));
    }
}
