//! When do those come again that found their tenant's lane full? One after the other: if all of them came at one time, the
//! lane would take a few and stand empty until the next time.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Class;

/// Soonest: what is before them takes a moment.
pub(super) const SOONEST: Duration = Duration::from_secs(2);
/// Latest: beyond that they come closer together. A tenant with thousands waiting must not keep the queue busy with handing
/// them back and forth.
pub(super) const LATEST: Duration = Duration::from_secs(60);
/// Between two of one tenant: rather sooner than a call of hotglue takes.
const APART: Duration = Duration::from_millis(25);
/// Tenants that are remembered before those are forgotten whose last one has come.
const MANY: usize = 1_000;

/// When the last one of each tenant comes again.
#[derive(Debug, Default)]
pub(super) struct Line(HashMap<(String, Class), Timestamp>);

impl Line {
    /// How long the next one waits.
    pub(super) fn wait(&mut self, key: &str, class: Class, now: Timestamp) -> Duration {
        if self.0.len() >= MANY {
            self.0.retain(|_, last| *last > now);
        }
        let last = self.0.entry((key.to_owned(), class)).or_insert(Timestamp::MIN);
        let after = Duration::try_from(last.duration_since(now)).unwrap_or_default();
        let wait = (after + APART).clamp(SOONEST, LATEST);
        *last = now.checked_add(wait).unwrap_or(now);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn those_of_one_tenant_come_one_after_the_other_and_none_later_than_a_minute() {
        let mut line = Line::default();
        let mut wait = |key: &str, now| line.wait(key, Class::Live, now);
        assert_eq!(wait("a", NOW), SOONEST);
        assert_eq!(wait("a", NOW), SOONEST + APART);
        assert_eq!(wait("b", NOW), SOONEST, "another tenant's have a line of their own");
        let waits: Vec<_> = (0..5_000).map(|_| wait("a", NOW)).collect();
        assert!(waits.is_sorted() && waits[2_000] > waits[0] + APART * 1_999);
        assert_eq!(waits[4_999], LATEST);
        assert_eq!(wait("a", NOW + LATEST), SOONEST, "the line is over");
    }

    #[test]
    fn replays_do_not_lengthen_the_line_of_live_events() {
        let mut line = Line::default();
        for _ in 0..100 {
            line.wait("a", Class::Replay, NOW);
        }
        assert_eq!(line.wait("a", Class::Live, NOW), SOONEST);
    }

    #[test]
    fn tenants_whose_line_is_over_are_forgotten() {
        let mut line = Line::default();
        for number in 0..MANY {
            line.wait(&number.to_string(), Class::Live, NOW);
        }
        line.wait("another", Class::Live, NOW + LATEST);
        assert_eq!(line.0.len(), 1);
    }
}
