//! Tasks that a process can't do without: when one of them ends by itself, be it in a panic, the process stops as a whole,
//! so that whoever runs it starts another. A process that goes on without one would look well and be none.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::Shutdown;

/// The vital tasks of one process. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct Vital {
    lost: Arc<OnceLock<&'static str>>,
    shutdown: Shutdown,
}

impl Vital {
    pub fn new(shutdown: &Shutdown) -> Self {
        Self { lost: Arc::default(), shutdown: shutdown.clone() }
    }

    /// To be held by a task that must not end before `told` is cancelled. `task` says what it does: "takes events".
    pub fn guard(&self, task: &'static str, told: &CancellationToken) -> Guard {
        Guard { task, told: told.clone(), vital: self.clone() }
    }

    /// A sentence about the task that was lost, if one was.
    pub fn lost(&self) -> Option<String> {
        self.lost.get().map(|task| format!("the task that {task} ended by itself: see the log"))
    }
}

/// Dropped before its task was told to end, it begins the shutdown.
#[derive(Debug)]
#[must_use = "the task that holds it is watched"]
pub struct Guard {
    task: &'static str,
    told: CancellationToken,
    vital: Vital,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.told.is_cancelled() {
            tracing::error!("the task that {} ended by itself; the process stops", self.task);
            let _first = self.vital.lost.set(self.task);
            self.vital.shutdown.trigger();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_in_a_panic_stops_the_process_with_a_sentence() {
        let shutdown = Shutdown::manual();
        let vital = Vital::new(&shutdown);
        let guard = vital.guard("sweeps", &shutdown.token());
        let task = tokio::spawn(async move {
            let _guard = guard;
            panic!("a bug");
        });
        assert!(task.await.unwrap_err().is_panic());
        shutdown.begun().await;
        assert_eq!(vital.lost().as_deref(), Some("the task that sweeps ended by itself: see the log"));
    }

    #[tokio::test]
    async fn a_task_that_ends_because_it_was_told_to_is_not_lost() {
        let shutdown = Shutdown::manual();
        let (vital, told) = (Vital::new(&shutdown), CancellationToken::new());
        let guard = vital.guard("sweeps", &told);
        told.cancel();
        drop(guard);
        assert!(vital.lost().is_none() && !shutdown.token().is_cancelled());
    }
}
