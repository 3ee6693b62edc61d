//! Events of one tenant one by one, tenants side by side.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Events of one tenant that may wait behind one another in memory; further ones go back to the queue for a moment, so
/// that one slow tenant can't fill the worker.
const PER_TENANT: usize = 16;

type Job = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs jobs: at most so many at a time, and never two with the same key at once.
#[derive(Clone)]
pub(crate) struct Lanes {
    waiting: Arc<Mutex<HashMap<String, VecDeque<Job>>>>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("keys", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Lanes {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            waiting: Arc::default(),
            slots: Arc::new(Semaphore::new(concurrency)),
            tasks: TaskTracker::new(),
        }
    }

    /// Is there room for another event of this tenant?
    pub(crate) fn has_room(&self, key: &str) -> bool {
        self.lock().get(key).is_none_or(|queue| queue.len() < PER_TENANT)
    }

    /// Runs `job` after all earlier jobs of the same key.
    pub(crate) fn push(&self, key: String, job: impl Future<Output = ()> + Send + 'static) {
        let job: Job = Box::pin(job);
        let first = {
            let mut waiting = self.lock();
            match waiting.get_mut(&key) {
                Some(queue) => {
                    queue.push_back(job);
                    None
                }
                None => {
                    waiting.insert(key.clone(), VecDeque::new());
                    Some(job)
                }
            }
        };
        if let Some(job) = first {
            let lanes = self.clone();
            self.tasks.spawn(async move { lanes.follow(key, job).await });
        }
    }

    /// Works one key off, then forgets it. A slot is held for one job only, so that a long queue of one tenant takes
    /// turns with the others.
    async fn follow(self, key: String, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            if let Ok(_slot) = self.slots.acquire().await {
                // The lane goes on; the delivery was dropped with the job, and so it comes back.
                if AssertUnwindSafe(job).catch_unwind().await.is_err() {
                    tracing::error!("work on an event ended in a panic; the event will be delivered again");
                }
            }
            let mut waiting = self.lock();
            next = waiting.get_mut(&key).and_then(VecDeque::pop_front);
            if next.is_none() {
                waiting.remove(&key);
            }
        }
    }

    /// Returns once every job has ended.
    pub(crate) async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Job>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn jobs_of_one_key_run_in_order_and_never_together() {
        let lanes = Lanes::new(8);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let running = Arc::new(AtomicUsize::new(0));
        for number in 0..10 {
            let (seen, running) = (seen.clone(), running.clone());
            lanes.push("t".to_owned(), async move {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                seen.lock().unwrap().push(number);
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        lanes.idle().await;
        assert_eq!(*seen.lock().unwrap(), (0..10).collect::<Vec<_>>());
        assert!(lanes.lock().is_empty(), "a key is forgotten when its last job has ended");
    }

    #[tokio::test]
    async fn different_keys_run_side_by_side() {
        let lanes = Lanes::new(8);
        let together = Arc::new(Barrier::new(3));
        for key in ["a", "b", "c"] {
            let together = together.clone();
            lanes.push(key.to_owned(), async move {
                together.wait().await;
            });
        }
        lanes.idle().await;
    }

    #[tokio::test]
    async fn a_job_that_panics_does_not_end_its_lane() {
        let lanes = Lanes::new(8);
        let done = Arc::new(AtomicUsize::new(0));
        lanes.push("t".to_owned(), async { panic!("on purpose") });
        let after = done.clone();
        lanes.push("t".to_owned(), async move {
            after.fetch_add(1, Ordering::SeqCst);
        });
        lanes.idle().await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn one_tenant_cannot_fill_the_worker() {
        let lanes = Lanes::new(8);
        for _ in 0..=PER_TENANT {
            lanes.push("slow".to_owned(), std::future::pending());
        }
        assert!(!lanes.has_room("slow"));
        assert!(lanes.has_room("other"));
    }
}
