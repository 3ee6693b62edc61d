//! Events that workers may die over are worked on one at a time. In a crash loop everything that was in hand is under suspicion with
//! the one that kills; alone with it, an innocent event is not: it comes to its end, and leaves.

use std::time::Duration;

use domain::names::EventId;
use store::{Store, StoreError};
use tokio::sync::{Mutex, MutexGuard};

/// So many attempts that were begun and never came to an end make an event suspicious: fewer may be chance, and those with fewer
/// are worked on beside it.
const SUSPICIOUS: u32 = 3;

/// Wait of a suspicious event while another is in hand. That one is bounded by the timeouts of its calls.
pub(crate) const NOT_BESIDE: Duration = Duration::from_secs(1);

/// The place for the one suspicious event that this worker has in hand.
#[derive(Debug, Default)]
pub(crate) struct Alone(Mutex<()>);

/// May work on an event begin?
#[derive(Debug)]
#[must_use]
pub(crate) enum May<'a> {
    Begin,
    /// Until this is dropped, no other suspicious one is worked on.
    BeginAlone(#[expect(dead_code, reason = "what counts is that it is held")] MutexGuard<'a, ()>),
    Wait,
}

impl Alone {
    /// To be asked before an attempt is written down as begun: an event that has to wait has begun nothing, and is not counted when the
    /// worker dies. What is `new`, delivered live and for the first time, has no attempts that could count.
    pub(crate) async fn may_begin(
        &self,
        store: &Store,
        event: &EventId,
        new: bool,
    ) -> Result<May<'_>, StoreError> {
        if new || store.unfinished(event).await? < SUSPICIOUS {
            return Ok(May::Begin);
        }
        Ok(self.0.try_lock().map_or(May::Wait, May::BeginAlone))
    }
}
