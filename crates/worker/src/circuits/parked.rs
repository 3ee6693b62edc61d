//! How many events were handed back because what they need is down, and have not come again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// So many are as much as a worker takes from the queue only to hand it back: each is looked at again with every probe, and
/// counts among the deliveries that the queue has outstanding (`max_ack_pending`, 20,000 for all workers).
pub(crate) const MOST: usize = 1_000;
/// So many of one tenant count: a few tenants with many events are no reason to take nothing from the others.
pub(crate) const MOST_OF_ONE: usize = 50;

/// And of all of them so many, whoever's they are.
const MOST_OF_ALL: usize = 4 * MOST;

/// They come again not all at once: so many of them in each [`SPREAD`].
const TOGETHER: usize = 64;
const SPREAD: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(crate) struct Parked(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// When each of them comes again, and whose it is.
    due: BinaryHeap<Reverse<(Timestamp, String)>>,
    of: HashMap<String, usize>,
    /// Those that count.
    count: usize,
}

impl Parked {
    /// One more of `tenant`, for so long at least. Answers for how long, and whether that makes it [`MOST`].
    pub(crate) fn add(&self, tenant: &str, now: Timestamp, wait: Duration) -> (Duration, bool) {
        let mut waiting = self.waiting(now);
        let before = u32::try_from(waiting.due.len().min(MOST) / TOGETHER).unwrap_or(0);
        let wait = wait.saturating_add(SPREAD * before);
        waiting.due.push(Reverse((now.checked_add(wait).unwrap_or(now), tenant.to_owned())));
        let of = waiting.of.entry(tenant.to_owned()).or_default();
        *of += 1;
        let counts = *of <= MOST_OF_ONE;
        waiting.count += usize::from(counts);
        (wait, (counts && waiting.count == MOST) || waiting.due.len() == MOST_OF_ALL)
    }

    pub(crate) fn many(&self, now: Timestamp) -> bool {
        let waiting = self.waiting(now);
        waiting.count >= MOST || waiting.due.len() >= MOST_OF_ALL
    }

    /// Those that are not due yet.
    fn waiting(&self, now: Timestamp) -> MutexGuard<'_, Waiting> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Reverse((at, _))) = waiting.due.peek()
            && *at <= now
            && let Some(Reverse((_, tenant))) = waiting.due.pop()
        {
            waiting.comes(&tenant);
        }
        waiting
    }
}

impl Waiting {
    fn comes(&mut self, tenant: &str) {
        let Some(of) = self.of.get_mut(tenant) else { return };
        self.count -= usize::from(*of <= MOST_OF_ONE);
        *of -= 1;
        if *of == 0 {
            self.of.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_is_due_again_is_parked_no_more_and_not_all_come_at_once() {
        let parked = Parked::default();
        let now = Timestamp::UNIX_EPOCH;
        let tenant = |number: usize| (number % 100).to_string();
        assert_eq!(parked.add("0", now, SECOND), (SECOND, false));
        let waits: Vec<_> = (2..MOST).map(|number| parked.add(&tenant(number), now, SECOND)).collect();
        assert!(waits.iter().all(|(wait, many)| !many && *wait >= SECOND && *wait <= 5 * SECOND));
        assert!(!parked.many(now));
        let (longest, many) = parked.add("0", now, SECOND);
        assert!(many && longest > 3 * SECOND, "{longest:?}");
        assert!(parked.many(now));
        assert!(!parked.many(now + SECOND));
        assert_eq!(parked.add("0", now + longest, SECOND), (SECOND, false), "none was left");
        assert_eq!(parked.waiting(now + longest).count, 1);
    }

    #[test]
    fn a_few_tenants_are_many_only_when_they_are_a_flood() {
        let parked = Parked::default();
        let now = Timestamp::UNIX_EPOCH;
        for number in 1..MOST_OF_ALL {
            let (wait, many) = parked.add(["a", "b", "c"][number % 3], now, SECOND);
            assert!(!many && wait < 5 * SECOND);
        }
        assert!(!parked.many(now));
        assert!(parked.add("a", now, SECOND).1 && parked.many(now));
        assert_eq!(parked.waiting(now + 5 * SECOND).count, 0);
    }
}
