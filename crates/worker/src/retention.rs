//! The sweep that keeps the event log to its age: short transactions with pauses, so that it never holds the worker up.

use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::Deps;

const EVERY: Duration = Duration::from_secs(600);
const BATCH: u32 = 500;
/// Between two batches the writer is free for the events.
const PAUSE: Duration = Duration::from_millis(50);

/// Deletes what is older than `[event_log] keep`, at start and every ten minutes, until `stop`.
pub(crate) async fn sweep(deps: &Deps, stop: CancellationToken) {
    let keep = SignedDuration::try_from(deps.config.event_log.keep).unwrap_or(SignedDuration::MAX);
    let mut rounds = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(rounds.tick()).await.is_some() {
        let Ok(cutoff) = deps.clock.now().checked_sub(keep) else { continue };
        let mut deleted = 0;
        loop {
            match deps.store.forget_before(cutoff, BATCH).await {
                Ok(0) => break,
                Ok(some) => deleted += some,
                Err(error) => {
                    tracing::warn!(%error, "old events could not be deleted; the next sweep tries again");
                    break;
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                break;
            }
        }
        if deleted > 0 {
            deps.metrics.retention_deleted.inc_by(deleted);
            tracing::info!(deleted, %cutoff, "what is older than the event log keeps was deleted; rows count, not events alone");
        }
    }
}
