//! How fast messages follow one another in one Slack channel, for all workers together. Arithmetic only: where the line
//! stands comes in as a value and goes out as one; the event log keeps it.
//!
//! Slack takes about one message a second and channel, and lets short bursts pass. So does this: after a quiet time
//! [`BURST`] messages may go at once, then one in each interval. Who has to wait is told when to come back, each at an
//! instant of its own, so that a backlog does not come back all at once; who comes back too early gets a new one.

use std::time::Duration;

use jiff::Timestamp;

/// Messages that may follow one another at once after a quiet time.
pub const BURST: u32 = 5;

/// A line that was not used for so many bursts has nobody waiting in it who would come back.
const DESERTED: i64 = 2;

/// Longest wait in place, in microseconds.
const NEAR: i64 = 10_000_000;
/// The same, as a length of time.
pub const LONGEST_IN_PLACE: Duration = Duration::from_secs(10);

/// How fast messages may follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    interval: Duration,
}

/// Where a channel's line stands; instants in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// When everything that was let through would have gone, one in each interval.
    pub free_at: i64,
    /// When the last of those that wait was told to come back.
    pub queue_until: i64,
}

/// May a message go?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Now,
    /// At that instant, which is near: its turn is taken, and it waits for it in place.
    At(Timestamp),
    /// Nothing was taken.
    NotBefore(Timestamp),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// It waits behind those that asked before; when it was told to come back, if it was.
    Queues { told: Option<Timestamp> },
    /// It has the next turn, whoever waits: it tells what many others would tell one by one, or what a person must know.
    First,
}

impl Pace {
    /// With an interval of zero, everything goes at once unless Slack has asked for quiet.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval }
    }

    /// May a message go now? With [`Answer::Now`] and [`Answer::At`] it counts as gone. Nothing goes before `blocked`.
    #[must_use]
    pub fn ask(self, line: Line, blocked: i64, who: Who, now: Timestamp) -> (Line, Answer) {
        let (interval, now) = (self.micros(), now.as_microsecond());
        let spare = self.spare();
        let free_at = line.free_at.max(now);
        let earliest = free_at.saturating_sub(spare).max(blocked);
        let deserted = line.free_at.saturating_add(spare.max(interval).saturating_mul(DESERTED)) < now;
        let queue_until = if deserted { line.queue_until.min(now) } else { line.queue_until };
        let told = match who {
            Who::Queues { told } => told.map(Timestamp::as_microsecond),
            Who::First => {
                let taken = Line { free_at: free_at.saturating_add(interval), queue_until };
                return if earliest <= now {
                    (taken, Answer::Now)
                } else if blocked > now || earliest.saturating_sub(now) > NEAR {
                    (line, not_before(earliest, now))
                } else {
                    (taken, Answer::At(instant(earliest)))
                };
            }
        };
        let its_turn = told.is_some_and(|told| told <= now) || queue_until <= now;
        if earliest <= now && its_turn {
            return (Line { free_at: free_at.saturating_add(interval), queue_until }, Answer::Now);
        }
        if let Some(told) = told
            && told > now
            && told >= earliest
        {
            return (Line { queue_until, ..line }, not_before(told, now));
        }
        let turn = earliest.max(queue_until.saturating_add(interval)).max(now.saturating_add(1));
        (Line { queue_until: turn, ..line }, not_before(turn, now))
    }

    /// The line once Slack has asked for quiet until then: no burst follows.
    #[must_use]
    pub fn blocked(self, line: Line, until: i64) -> Line {
        Line { free_at: line.free_at.max(until.saturating_add(self.spare())), ..line }
    }

    fn micros(self) -> i64 {
        i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX)
    }

    fn spare(self) -> i64 {
        self.micros().saturating_mul(i64::from(BURST - 1))
    }
}

fn not_before(at: i64, now: i64) -> Answer {
    Answer::NotBefore(instant(at.max(now)))
}

/// A wait that no calendar holds is as good as one that ends.
fn instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}
