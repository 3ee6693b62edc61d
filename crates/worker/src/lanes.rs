//! Events of one tenant one by one, tenants side by side, and live events before replayed ones.

mod line;

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use line::Line;

/// Events of one tenant that may wait behind one another in memory; further ones go back to the queue for a moment, so
/// that one slow tenant can't fill the worker.
const PER_TENANT: usize = 16;
/// Live events of all tenants in memory; with this many, nothing more is taken from the queue.
const LIVE_ROOM: usize = 1_000;
/// Replayed events in memory: few, because they wait for one another anyhow.
const REPLAY_ROOM: usize = 64;

/// Which stream an event came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    Live,
    /// A bulk replay takes what live events leave: of each tenant the turns, of the worker a quarter of the slots.
    Replay,
}

type Job = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// What waits for one key, with the place in memory that it takes.
#[derive(Default)]
struct Lane {
    live: VecDeque<(Job, OwnedSemaphorePermit)>,
    replays: VecDeque<(Job, OwnedSemaphorePermit)>,
    live_came: Arc<Notify>,
}

impl Lane {
    fn of(&mut self, class: Class) -> &mut VecDeque<(Job, OwnedSemaphorePermit)> {
        match class {
            Class::Live => &mut self.live,
            Class::Replay => &mut self.replays,
        }
    }
}

/// Runs jobs: at most so many at a time, and never two with the same key at once.
#[derive(Clone)]
pub(crate) struct Lanes(Arc<Inner>);

struct Inner {
    waiting: Mutex<HashMap<String, Lane>>,
    line: Mutex<Line>,
    slots: Semaphore,
    replay_slots: Semaphore,
    live_room: Arc<Semaphore>,
    replay_room: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("keys", &self.0.lock().len()).finish_non_exhaustive()
    }
}

impl Lanes {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self(Arc::new(Inner {
            waiting: Mutex::default(),
            line: Mutex::default(),
            slots: Semaphore::new(concurrency),
            replay_slots: Semaphore::new((concurrency / 4).max(1)),
            live_room: Arc::new(Semaphore::new(LIVE_ROOM)),
            replay_room: Arc::new(Semaphore::new(REPLAY_ROOM)),
            tasks: TaskTracker::new(),
        }))
    }

    /// How many more jobs of this class may be pushed now.
    pub(crate) fn room(&self, class: Class) -> usize {
        self.0.room(class).available_permits()
    }

    /// Returns once there is room for a job of this class.
    pub(crate) async fn some_room(&self, class: Class) {
        drop(self.0.room(class).acquire().await);
    }

    /// Is there room for another event of this tenant? A replay behind live events of its tenant would only take the place of
    /// another's.
    pub(crate) fn has_room(&self, key: &str, class: Class) -> bool {
        self.room(class) > 0
            && self.0.lock().get_mut(key).is_none_or(|lane| {
                lane.of(class).len() < PER_TENANT && (class == Class::Live || lane.live.is_empty())
            })
    }

    /// How long an event stays away that found no room.
    pub(crate) fn comes_again_in(&self, key: &str, class: Class, now: Timestamp) -> Duration {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner).wait(key, class, now)
    }

    /// Runs `job` after all earlier jobs of the same key and class. Without room it is dropped, and with it its delivery,
    /// which comes back: ask [`Lanes::has_room`] first.
    pub(crate) fn push(&self, key: String, class: Class, job: impl Future<Output = ()> + Send + 'static) {
        let Ok(place) = self.0.room(class).clone().try_acquire_owned() else {
            tracing::error!("an event was taken without room for it; it will be delivered again");
            return;
        };
        let is_new = {
            let mut waiting = self.0.lock();
            let is_new = !waiting.contains_key(&key);
            let lane = waiting.entry(key.clone()).or_default();
            lane.of(class).push_back((Box::pin(job), place));
            if class == Class::Live {
                lane.live_came.notify_one();
            }
            is_new
        };
        if is_new {
            let inner = self.0.clone();
            self.0.tasks.spawn(async move { inner.follow(key).await });
        }
    }

    /// The worker stops: what has not begun waits for nothing any more. Its jobs know that they are to hand back.
    pub(crate) fn let_go(&self) {
        let mut jobs = Vec::new();
        for lane in self.0.lock().values_mut() {
            jobs.extend(lane.live.drain(..));
            jobs.extend(lane.replays.drain(..));
        }
        for (job, place) in jobs {
            self.0.tasks.spawn(async move {
                run(job).await;
                drop(place);
            });
        }
    }

    /// Returns once every job has ended.
    pub(crate) async fn idle(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    /// Works one key off, then forgets it. A slot is held for one job only, so that a long queue of one tenant takes
    /// turns with the others.
    async fn follow(&self, key: String) {
        while let Some(live_came) = self.next_of(&key) {
            let replay_slot = match live_came {
                None => None,
                // Only replays wait here. A live event that comes meanwhile does not wait for their turn.
                Some(live_came) => tokio::select! {
                    biased;
                    () = live_came.notified() => continue,
                    slot = self.replay_slots.acquire() => slot.ok(),
                },
            };
            let slot = self.slots.acquire().await;
            let job = self
                .lock()
                .get_mut(&key)
                .and_then(|lane| lane.live.pop_front().or_else(|| lane.replays.pop_front()));
            let Some((job, place)) = job else { continue };
            run(job).await;
            drop((place, slot, replay_slot));
        }
    }

    /// What waits for this key: nothing (it is forgotten then), a live event (`Some(None)`), or replays only, with what
    /// tells of a live one.
    fn next_of(&self, key: &str) -> Option<Option<Arc<Notify>>> {
        let mut waiting = self.lock();
        let lane = waiting.get(key)?;
        if !lane.live.is_empty() {
            return Some(None);
        }
        if !lane.replays.is_empty() {
            return Some(Some(lane.live_came.clone()));
        }
        waiting.remove(key);
        None
    }

    fn room(&self, class: Class) -> &Arc<Semaphore> {
        match class {
            Class::Live => &self.live_room,
            Class::Replay => &self.replay_room,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A panic ends the job alone: its delivery was dropped with it, and so it comes back.
async fn run(job: Job) {
    if AssertUnwindSafe(job).catch_unwind().await.is_err() {
        tracing::error!("work on an event ended in a panic; the event will be delivered again");
    }
}

#[cfg(test)]
mod tests;
