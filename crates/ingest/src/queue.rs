//! The way into the queue: an event is stored or it is not, whatever its sender does meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use bus::{PublishError, Publisher, Rejected};
use bytes::Bytes;
use domain::envelope::Envelope;
use domain::names::EventId;
use domain::signature;
use jiff::Timestamp;
use serde::Serialize;
use service::Clock;
use service::metrics::IngestMetrics;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::admit::kept_headers;
use crate::endpoint::Endpoint;
use crate::hush::Hush;
use crate::refusal::Refusal;
use crate::room::Share;

/// Refused requests on their way into the quarantine at one time; more are counted and not kept.
const QUARANTINE_IN_FLIGHT: usize = 64;

/// What the sender is told of a stored event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Stored {
    pub(crate) id: EventId,
    /// It was stored before.
    pub(crate) duplicate: bool,
}

/// Publishes, and waits for the acknowledgement. Clones are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    publisher: Publisher,
    metrics: IngestMetrics,
    clock: Clock,
    /// Whether the server and its streams were found to be what a 2xx needs.
    fit: AtomicBool,
    failures: Hush,
    quarantine: Arc<Semaphore>,
    /// Everything that is on its way: a shutdown waits for it.
    tasks: TaskTracker,
}

impl Queue {
    /// A queue that takes nothing until it is told to be [`fit`](Self::set_fit).
    pub(crate) fn new(publisher: Publisher, metrics: IngestMetrics, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            publisher,
            metrics,
            clock,
            fit: AtomicBool::new(false),
            failures: Hush::default(),
            quarantine: Arc::new(Semaphore::new(QUARANTINE_IN_FLIGHT)),
            tasks: TaskTracker::new(),
        }))
    }

    /// Whether events may be stored: not where the streams are missing or would lose them.
    pub(crate) fn set_fit(&self, fit: bool) {
        self.0.fit.store(fit, Ordering::Relaxed);
    }

    /// Stores the event. It goes on when the caller is dropped because its client went away: half a publish would
    /// leave nobody who knows whether the event is stored.
    pub(crate) async fn store(&self, envelope: Envelope, share: Share) -> Result<Stored, Refusal> {
        if !self.0.fit.load(Ordering::Relaxed) {
            return Err(Refusal::Unavailable("not_ready"));
        }
        let inner = Arc::clone(&self.0);
        let publish = self.0.tasks.spawn(async move {
            let result = inner.publish(envelope).await;
            drop(share);
            result
        });
        // It panicked: the panic was logged, and nobody knows whether the event is stored.
        publish.await.unwrap_or(Err(Refusal::Unavailable("panic")))
    }

    /// Sends a request that was refused for want of proof to the quarantine, in the background. False if too many
    /// are on their way already.
    pub(crate) fn quarantine(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        body: Bytes,
        why: signature::Refusal,
        at: Timestamp,
    ) -> bool {
        if !self.0.fit.load(Ordering::Relaxed) {
            return false;
        }
        let Ok(permit) = Arc::clone(&self.0.quarantine).try_acquire_owned() else { return false };
        let inner = Arc::clone(&self.0);
        let rejected = Rejected {
            endpoint: endpoint.name().to_owned(),
            cause: why.cause().to_owned(),
            received_at: at,
            headers: kept_headers(endpoint, headers),
            body,
        };
        self.0.tasks.spawn(async move {
            if let Err(error) = inner.publisher.reject(&rejected).await
                && let Some(unsaid) = inner.failures.may_say(Instant::now())
            {
                tracing::warn!(
                    endpoint = rejected.endpoint,
                    not_told_before = unsaid,
                    "a refused request could not be put into the quarantine: {error}"
                );
            }
            drop(permit);
        });
        true
    }

    /// Waits until everything that is on its way has arrived or failed, at most `time`.
    pub(crate) async fn drain(&self, time: Duration) {
        self.0.tasks.close();
        if timeout(time, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(
                left = self.0.tasks.len(),
                "the queue did not answer in time for everything sent to it"
            );
        }
    }
}

impl Inner {
    async fn publish(&self, envelope: Envelope) -> Result<Stored, Refusal> {
        let begun = Instant::now();
        let published = self.publisher.publish(&envelope).await;
        self.metrics.published(begun.elapsed());
        match published {
            Ok(published) => {
                self.metrics.last_received(&envelope.endpoint, self.clock.now());
                Ok(Stored { id: envelope.id, duplicate: published.duplicate })
            }
            Err(error) => Err(self.failed(&envelope, &error)),
        }
    }

    fn failed(&self, envelope: &Envelope, error: &PublishError) -> Refusal {
        if let Some(unsaid) = self.failures.may_say(Instant::now()) {
            tracing::warn!(
                event.id = envelope.id.as_str(),
                endpoint = envelope.endpoint,
                not_told_before = unsaid,
                "an event was not stored, and its sender was told so: {error}"
            );
        }
        match error {
            PublishError::Unavailable { .. } => Refusal::Unavailable("queue"),
            PublishError::TooLarge { .. } => Refusal::TooLargeForTheQueue,
        }
    }
}
