//! A future that its caller may drop, and that comes to its end all the same.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Driven by whoever waits for it, without the detour of a task of its own; given up by them, it goes on as a task of
/// `tasks`, which wait for it in either case. What it has then come to is nobody's any more.
pub(crate) struct Carried<F: Future<Output: Send> + Send + 'static> {
    future: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
    _counted: TaskTrackerToken,
}

impl<F: Future<Output: Send> + Send + 'static> Carried<F> {
    pub(crate) fn new(tasks: &TaskTracker, future: F) -> Self {
        Self { future: Some(Box::pin(future)), tasks: tasks.clone(), _counted: tasks.token() }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Carried<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Polled after its end, it is as pending as any future.
        let Some(future) = &mut self.future else { return Poll::Pending };
        let output = ready!(future.as_mut().poll(cx));
        self.future = None;
        Poll::Ready(output)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Carried<F> {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and nothing can go on.
        if let Some(future) = self.future.take()
            && let Ok(runtime) = Handle::try_current()
        {
            self.tasks.spawn_on(future, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_waits_gets_what_it_came_to() {
        let tasks = TaskTracker::new();
        assert_eq!(Carried::new(&tasks, async { 7 }).await, 7);
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn given_up_it_goes_on_to_its_end_and_is_waited_for() {
        let tasks = TaskTracker::new();
        let (go, gone) = oneshot::channel::<()>();
        let (say, mut said) = oneshot::channel();
        let mut carried = Box::pin(Carried::new(&tasks, async move {
            gone.await.unwrap();
            say.send("done").unwrap();
        }));
        assert!(futures_util::poll!(&mut carried).is_pending());
        drop(carried);
        tasks.close();
        assert_eq!(tasks.len(), 1);
        go.send(()).unwrap();
        tasks.wait().await;
        assert_eq!(said.try_recv(), Ok("done"));
    }

    #[tokio::test]
    async fn a_shutdown_waits_for_what_is_still_driven_by_its_caller() {
        let tasks = TaskTracker::new();
        let carried = Carried::new(&tasks, std::future::ready(()));
        tasks.close();
        assert!(futures_util::poll!(std::pin::pin!(tasks.wait())).is_pending());
        carried.await;
        tasks.wait().await;
    }
}
