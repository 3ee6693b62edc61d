//! How fast messages follow one another in one Slack channel, for all workers together. Arithmetic only: where the line
//! stands comes in as a value and goes out as one; the event log keeps it.
//!
//! Slack takes one message a second and channel (docs.slack.dev/apis/web-api/rate-limits: "generally allows posting one message
//! per second per channel"; bursts beyond are "allowed", with "no guarantee that messages will be stored or displayed"). So
//! there is no burst: whoever has the turn holds the line until the call has ended, and the next turn comes an interval after that,
//! because a call may be slow on its way and the next one not. An update (`chat.update`, documented with 50 and more a minute for
//! the workspace) takes a turn too: which of the two limits counts is not documented.
//!
//! Who has to wait gets a place in the line, which it keeps until it is posted, and is told when to come back, each at an
//! instant of its own, so that a backlog does not come back all at once. Who comes too early is told again.

use std::time::Duration;

use jiff::Timestamp;

/// Who was told to come back and has not come for so long holds nobody up any more, in microseconds.
const GRACE: i64 = 2_000_000;
/// Places of replays begin here, behind all others.
const REPLAYS: i64 = 1 << 62;
/// While a call is under way, its end is looked for no more often than that, and no less, in microseconds.
const SOONEST: i64 = 50_000;
const LATEST: i64 = 1_000_000;

/// How fast messages may follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    interval: Duration,
    call: Duration,
}

/// Where a channel's line stands; instants in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// No turn begins before.
    pub free_at: i64,
    /// Somebody has the turn, until then unless it says sooner that its call has ended.
    pub held_until: i64,
    /// When somebody that goes first was told to come back; 0 when nobody was.
    pub first_at: i64,
}

/// The turn in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    pub from: Timestamp,
    /// The line is held so long, unless it is left before. No other spell of this line ends at the same instant.
    pub until: Timestamp,
}

/// May a message go?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// None: there is no line to be held.
    Now(Option<Spell>),
    /// Nothing was taken.
    NotBefore(Timestamp),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// It has a place in the line, behind so many that are waited for.
    Queues { ahead: u32 },
    /// It has the next turn, whoever waits: it tells what many others would tell one by one, or what a person must know.
    First,
}

impl Pace {
    /// An interval of zero means no line at all: everything goes at once unless Slack has asked for quiet. `call`: the longest
    /// that may pass from the beginning of a turn to the end of its call.
    #[must_use]
    pub fn new(interval: Duration, call: Duration) -> Self {
        Self { interval, call }
    }

    /// Is there a line to wait in?
    #[must_use]
    pub fn lines_up(self) -> bool {
        !self.interval.is_zero()
    }

    /// May a message go now? Nothing goes before `blocked`.
    #[must_use]
    pub fn ask(self, line: Line, blocked: i64, who: Who, now: Timestamp) -> (Line, Answer) {
        let (interval, now) = (micros(self.interval), now.as_microsecond());
        if !self.lines_up() {
            return (line, if blocked <= now { Answer::Now(None) } else { not_before(blocked) });
        }
        let is_held = line.held_until > now;
        let soon = if is_held { now.saturating_add((interval / 4).clamp(SOONEST, LATEST)) } else { now };
        let earliest = line.free_at.max(blocked).max(soon);
        let ahead = match who {
            Who::First => 0,
            Who::Queues { ahead } => {
                let first = line.first_at != 0 && line.first_at > missing_since(blocked, now);
                i64::from(ahead) + i64::from(first)
            }
        };
        if earliest <= now && ahead == 0 {
            let until = now.saturating_add(interval).saturating_add(micros(self.call));
            let first_at = if who == Who::First { 0 } else { line.first_at };
            let line = Line { free_at: now.saturating_add(interval), held_until: until, first_at };
            return (line, Answer::Now(Some(Spell { from: instant(now), until: instant(until) })));
        }
        let at = earliest.saturating_add(ahead.saturating_mul(interval));
        let first_at = if who == Who::First { at } else { line.first_at };
        (Line { first_at, ..line }, not_before(at))
    }

    /// When the next turn may begin, once a call has ended.
    #[must_use]
    pub fn next(self, ended: Timestamp) -> Timestamp {
        instant(ended.as_microsecond().saturating_add(micros(self.interval)))
    }
}

/// Who was told to come back at that instant or before it, and has not come, is waited for no longer.
#[must_use]
pub fn missing_since(blocked: i64, now: i64) -> i64 {
    // Before the quiet is over nobody need come.
    if blocked.saturating_add(GRACE) > now { i64::MIN } else { now.saturating_sub(GRACE) }
}

/// A new place in a line: behind `last`, the last one of its kind.
#[must_use]
pub fn place(replays: bool, last: Option<i64>, now: Timestamp) -> i64 {
    let begin = if replays { REPLAYS } else { 0 };
    let new = begin.saturating_add(now.as_microsecond());
    last.map_or(new, |last| new.max(last.saturating_add(1)))
}

/// The places among which one of its kind is the last: from, and before.
#[must_use]
pub fn places(replays: bool) -> (i64, i64) {
    if replays { (REPLAYS, i64::MAX) } else { (i64::MIN, REPLAYS) }
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

fn not_before(at: i64) -> Answer {
    Answer::NotBefore(instant(at))
}

/// A wait that no calendar holds is as good as one that ends.
fn instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
