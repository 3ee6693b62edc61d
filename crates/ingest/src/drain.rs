//! Sends what lies in the spool to NATS: in order, few at a time, and each until NATS has acknowledged it.

use std::time::Duration;

use bus::PublishError;
use futures_util::future::join_all;
use service::CancellationToken;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::queue::Queue;
use crate::spool::{Settled, Spool};

/// Publishes under way at one time, and their bytes.
const WINDOW: usize = 64;
const WINDOW_BYTES: u64 = 4 << 20;
/// Pause after a failure; doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is looked whether something waits, beside being told.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Empties the spool until `stop`.
pub(crate) async fn drain(
    queue: Queue,
    spool: Spool,
    mut connected: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut changes = spool.changes();
    let mut pause = FIRST_PAUSE;
    loop {
        let (empty, away) = (spool.stats().waiting == 0, !*connected.borrow() || !queue.is_fit());
        let idle = empty || away;
        if empty && !away && queue.circuit().is_open() {
            // Nothing waits that could show that NATS is back: the next event shows it. So a spool that takes nothing (a broken
            // disk) does not keep events from a NATS that does.
            queue.circuit().close();
        }
        if idle {
            tokio::select! {
                () = stop.cancelled() => return,
                // With an error the writer has ended, and telling so is its own business.
                _ = timeout(LOOK_EVERY, changes.changed()) => {}
                Ok(()) = connected.changed() => pause = FIRST_PAUSE,
            }
            // An ended writer would have us turn without a rest.
            if changes.has_changed().is_err() {
                sleep(LOOK_EVERY).await;
            }
            if stop.is_cancelled() {
                return;
            }
            continue;
        }
        match window(&queue, &spool).await {
            Window::Sent => pause = FIRST_PAUSE,
            Window::Nothing => sleep(Duration::from_millis(20)).await,
            Window::Stopped(why) => {
                queue.circuit().trip(&why);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(pause) => {}
                    // It may be another server, or the same one after a rest.
                    Ok(()) = connected.changed() => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if stop.is_cancelled() {
            return;
        }
    }
}

enum Window {
    /// All of it was acknowledged.
    Sent,
    /// There was nothing to send.
    Nothing,
    /// NATS did not take something: one sentence.
    Stopped(String),
}

async fn window(queue: &Queue, spool: &Spool) -> Window {
    let epoch = spool.epoch();
    let events = spool.take(WINDOW, WINDOW_BYTES).await;
    if events.is_empty() {
        return Window::Nothing;
    }
    // They leave in the order in which they are polled first, which is that of the list.
    let results = join_all(events.iter().map(|(_, envelope)| queue.publisher().publish(envelope))).await;
    let mut stopped = None;
    for ((place, envelope), result) in events.iter().zip(results) {
        let place = *place;
        spool.settle(match result {
            Ok(published) => {
                queue.acknowledged(published.sequence);
                queue.metrics().drained.inc();
                queue.circuit().close();
                Settled::Stored { place, epoch }
            }
            Err(PublishError::Unavailable { why }) => {
                stopped.get_or_insert(why);
                Settled::NotStored(place)
            }
            Err(PublishError::TooLarge { why }) => {
                tracing::error!(
                    event.id = envelope.id.as_str(),
                    endpoint = envelope.endpoint,
                    bytes = envelope.body.len(),
                    "an event in the spool is too large for NATS and stays there until NATS takes it: {why}"
                );
                Settled::TooLarge(place)
            }
        });
    }
    stopped.map_or(Window::Sent, Window::Stopped)
}
