//! How many events were handed back because what they need is down, and have not come again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// So many are as much as a worker takes from the queue only to hand it back: each is looked at again with every probe, and
/// counts among the deliveries that the queue has outstanding (`max_ack_pending`, 20,000 for all workers).
pub(crate) const MOST: usize = 1_000;

/// They come again not all at once: so many of them in each [`SPREAD`].
const TOGETHER: usize = 64;
const SPREAD: Duration = Duration::from_millis(200);

/// When each of them comes again.
#[derive(Debug, Default)]
pub(crate) struct Parked(Mutex<BinaryHeap<Reverse<Timestamp>>>);

impl Parked {
    /// One more, for so long at least. Answers for how long, and whether that makes it [`MOST`].
    pub(crate) fn add(&self, now: Timestamp, wait: Duration) -> (Duration, bool) {
        let mut due = self.due(now);
        let before = u32::try_from(due.len() / TOGETHER).unwrap_or(u32::MAX);
        let wait = wait.saturating_add(SPREAD.saturating_mul(before));
        due.push(Reverse(now.checked_add(wait).unwrap_or(now)));
        (wait, due.len() == MOST)
    }

    pub(crate) fn many(&self, now: Timestamp) -> bool {
        self.due(now).len() >= MOST
    }

    /// Those that are not due yet.
    fn due(&self, now: Timestamp) -> MutexGuard<'_, BinaryHeap<Reverse<Timestamp>>> {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while due.peek().is_some_and(|Reverse(at)| *at <= now) {
            due.pop();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due_again_is_parked_no_more_and_not_all_come_at_once() {
        let parked = Parked::default();
        let now = Timestamp::UNIX_EPOCH;
        let second = Duration::from_secs(1);
        assert_eq!(parked.add(now, second), (second, false));
        let waits: Vec<_> = (2..MOST).map(|_| parked.add(now, second)).collect();
        assert!(waits.iter().all(|(wait, many)| !many && *wait >= second && *wait <= 5 * second));
        assert!(!parked.many(now));
        let (longest, many) = parked.add(now, second);
        assert!(many && longest > 3 * second, "{longest:?}");
        assert!(parked.many(now));
        assert!(!parked.many(now + second));
        assert_eq!(parked.add(now + longest, second), (second, false), "none was left");
    }
}
