//! The fast path: events on which no rule acts are written many to a transaction, and acknowledged after the commit.

use bus::Delivery;
use domain::journal::{Outcome, Quiet};
use tokio::sync::mpsc;

use crate::{Shared, process};

/// Events in one transaction, at most.
const MOST: usize = 2_000;

pub(crate) type Batch = Vec<(Quiet, Delivery)>;

/// Writes batches until the sender is gone. Batches that queued up while one was written go together.
pub(crate) async fn write(deps: Shared, mut batches: mpsc::Receiver<Batch>) {
    while let Some(mut batch) = batches.recv().await {
        while batch.len() < MOST {
            let Ok(more) = batches.try_recv() else { break };
            batch.extend(more);
        }
        let (quiets, deliveries): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match deps.store.record_quiet(&quiets).await {
            Ok(_) => {
                deps.readiness.set("event-log", Ok(()));
                deps.metrics.processed(Outcome::NoRule.as_str(), quiets.len() as u64);
                deps.metrics.no_rule.inc_by(quiets.len() as u64);
                for delivery in deliveries {
                    if let Err(error) = delivery.done().await {
                        tracing::debug!(%error, "an event that is recorded will be delivered again");
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, events = quiets.len(), "the event log can't be written; the events wait in the queue");
                let after = process::store_pause(&deps, &error);
                for delivery in deliveries {
                    if let Err(error) = delivery.again_in(after).await {
                        tracing::debug!(%error, "the queue will deliver the event again by itself");
                    }
                }
            }
        }
    }
}
