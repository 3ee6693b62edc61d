//! The way into the queue: an event is stored or it is not, whatever its sender does meanwhile.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use bus::{PublishError, Published, Publisher, Rejected};
use bytes::Bytes;
use domain::envelope::Envelope;
use domain::names::EventId;
use domain::signature;
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::Serialize;
use service::Clock;
use service::metrics::IngestMetrics;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::admit::kept_headers;
use crate::circuit::Circuit;
use crate::endpoint::Endpoint;
use crate::hush::Hush;
use crate::refusal::Refusal;
use crate::room::Share;
use crate::spool::{Appended, NotSpooled, Settled, Spool};

mod carried;
mod durability;

use carried::Carried;
pub(crate) use durability::Durability;

/// How long an acknowledgement is waited for before the event goes to the spool. Without a spool it is waited for as
/// long as [`bus::PUBLISH_TIMEOUT`].
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an event that is in the journal waits to learn from NATS whether it is a repeat.
const PATIENCE_FOR_THE_WORD: Duration = Duration::from_millis(250);

/// Refused requests on their way into the quarantine at one time; more are counted and not kept.
const QUARANTINE_IN_FLIGHT: usize = 64;

/// What the sender is told of a stored event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Stored {
    pub(crate) id: EventId,
    /// It was stored before.
    pub(crate) duplicate: bool,
}

/// Publishes, and waits for the acknowledgement, or stores in the spool. Clones are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    publisher: Publisher,
    durability: Durability,
    circuit: Circuit,
    /// Highest sequence that NATS has acknowledged.
    acknowledged: AtomicU64,
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
    /// A queue that sends nothing to NATS until it is told to be [`fit`](Self::set_fit).
    pub(crate) fn new(
        publisher: Publisher,
        durability: Durability,
        metrics: IngestMetrics,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            publisher,
            durability,
            circuit: Circuit::default(),
            acknowledged: AtomicU64::new(0),
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

    pub(crate) fn is_fit(&self) -> bool {
        self.0.fit.load(Ordering::Relaxed)
    }

    pub(crate) fn durability(&self) -> &Durability {
        &self.0.durability
    }

    pub(crate) fn circuit(&self) -> &Circuit {
        &self.0.circuit
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.0.publisher
    }

    pub(crate) fn metrics(&self) -> &IngestMetrics {
        &self.0.metrics
    }

    /// Notes that NATS has acknowledged an event at this sequence.
    pub(crate) fn acknowledged(&self, sequence: u64) {
        self.0.acknowledged.fetch_max(sequence, Ordering::Relaxed);
    }

    /// The highest sequence that NATS has acknowledged since [`Queue::forget`].
    pub(crate) fn highest(&self) -> u64 {
        self.0.acknowledged.load(Ordering::Relaxed)
    }

    /// What was acknowledged says nothing any more: the stream is another one.
    pub(crate) fn forget(&self) {
        self.0.acknowledged.store(0, Ordering::Relaxed);
    }

    /// Stores the event. It goes on when the caller is dropped because its client went away: half a publish would
    /// leave nobody who knows whether the event is stored.
    pub(crate) async fn store(&self, envelope: Envelope, share: Share) -> Result<Stored, Refusal> {
        let inner = Arc::clone(&self.0);
        match &self.0.durability {
            Durability::Broker { spool } => {
                if spool.is_none() && !self.is_fit() {
                    return Err(Refusal::Unavailable("not_ready"));
                }
                let publish = AssertUnwindSafe(async move {
                    let result = inner.publish(envelope).await;
                    drop(share);
                    result
                });
                // If it panics, the panic is logged, and nobody knows whether the event is stored.
                let publish = Carried::new(&self.0.tasks, publish.catch_unwind());
                publish.await.unwrap_or(Err(Refusal::Unavailable("panic")))
            }
            Durability::Journal { spool } => {
                let (reply, answer) = oneshot::channel();
                let spool = spool.clone();
                self.0.tasks.spawn(async move {
                    inner.journal(&spool, &envelope, reply).await;
                    drop(share);
                });
                answer.await.unwrap_or(Err(Refusal::Unavailable("panic")))
            }
        }
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
        let Durability::Broker { spool: Some(spool) } = &self.durability else {
            return match self.acknowledge(&envelope).await {
                Ok(published) => Ok(self.stored(&envelope, published.duplicate)),
                Err(error) => Err(self.failed(&envelope, &error)),
            };
        };
        if spool.holds(&envelope.id) {
            return Ok(self.stored(&envelope, true));
        }
        if let Err(error) = self.publisher.fits(&envelope) {
            return Err(self.failed(&envelope, &error));
        }
        if !self.tries() {
            return self.spool(spool, &envelope).await;
        }
        match self.acknowledge_soon(&envelope).await {
            Ok(published) => Ok(self.stored(&envelope, published.duplicate)),
            Err(error @ PublishError::TooLarge { .. }) => Err(self.failed(&envelope, &error)),
            // It may be stored all the same: then the copy in the spool is a duplicate to NATS.
            Err(PublishError::Unavailable { .. }) => self.spool(spool, &envelope).await,
        }
    }

    async fn spool(&self, spool: &Spool, envelope: &Envelope) -> Result<Stored, Refusal> {
        match spool.append(envelope, false).await {
            Ok(appended) => Ok(self.spooled(envelope, appended)),
            Err(why) => Err(self.not_spooled(envelope, &why)),
        }
    }

    /// Writes the event to the journal and publishes it at the same time. It is stored when it is in the journal; NATS
    /// is waited for a moment only, to learn whether the event is a repeat of one that left the journal long ago.
    async fn journal(
        &self,
        spool: &Spool,
        envelope: &Envelope,
        reply: oneshot::Sender<Result<Stored, Refusal>>,
    ) {
        // Whoever asked may have gone; the event stays.
        let answer = |result| drop(reply.send(result));
        if spool.holds(&envelope.id) {
            return answer(Ok(self.stored(envelope, true)));
        }
        if let Err(error) = self.publisher.fits(envelope) {
            return answer(Err(self.failed(envelope, &error)));
        }
        if !self.tries() {
            return answer(self.spool(spool, envelope).await);
        }
        let epoch = spool.epoch();
        let mut publishing = std::pin::pin!(self.acknowledge_soon(envelope));
        let mut published = None;
        let mut appending = std::pin::pin!(spool.append(envelope, true));
        let appended = loop {
            tokio::select! {
                biased;
                appended = &mut appending => break appended,
                done = &mut publishing, if published.is_none() => published = Some(done),
            }
        };
        let place = match appended {
            Ok(Appended { duplicate: true, .. }) => return answer(Ok(self.stored(envelope, true))),
            Ok(Appended { place, .. }) => place,
            Err(why) => return answer(Err(self.not_spooled(envelope, &why))),
        };
        if published.is_none() {
            published = timeout(PATIENCE_FOR_THE_WORD, &mut publishing).await.ok();
        }
        let duplicate = matches!(&published, Some(Ok(Published { duplicate: true, .. })));
        answer(match &published {
            Some(Err(error @ PublishError::TooLarge { .. })) => Err(self.failed(envelope, error)),
            _ => Ok(self.spooled(envelope, Appended { place, duplicate })),
        });
        let published = match published {
            Some(published) => published,
            None => publishing.await,
        };
        spool.settle(match published {
            Ok(_) => Settled::Stored { place, epoch },
            Err(PublishError::Unavailable { .. }) => Settled::NotStored(place),
            Err(PublishError::TooLarge { .. }) => Settled::TooLarge(place),
        });
    }

    /// Whether it is worth asking NATS.
    fn tries(&self) -> bool {
        self.fit.load(Ordering::Relaxed) && !self.circuit.is_open()
    }

    async fn acknowledge(&self, envelope: &Envelope) -> Result<Published, PublishError> {
        let begun = Instant::now();
        let published = self.publisher.publish(envelope).await;
        self.metrics.published(begun.elapsed());
        if let Ok(published) = &published {
            self.acknowledged.fetch_max(published.sequence, Ordering::Relaxed);
        }
        published
    }

    /// As [`Inner::acknowledge`], but no longer than [`PATIENCE`], nor than it is known that NATS does not answer.
    async fn acknowledge_soon(&self, envelope: &Envelope) -> Result<Published, PublishError> {
        let unavailable = |why: String| PublishError::Unavailable { why };
        let published = tokio::select! {
            biased;
            published = timeout(PATIENCE, self.acknowledge(envelope)) => published.unwrap_or_else(|_| {
                Err(unavailable(format!("NATS did not acknowledge an event within {} s", PATIENCE.as_secs())))
            }),
            () = self.circuit.opened() => {
                return Err(unavailable(self.circuit.open().unwrap_or_default()));
            }
        };
        if let Err(PublishError::Unavailable { why }) = &published {
            self.circuit.trip(why);
        }
        published
    }

    fn stored(&self, envelope: &Envelope, duplicate: bool) -> Stored {
        self.metrics.last_received(&envelope.endpoint, self.clock.now());
        Stored { id: envelope.id.clone(), duplicate }
    }

    fn spooled(&self, envelope: &Envelope, appended: Appended) -> Stored {
        if !appended.duplicate {
            self.metrics.spooled.inc();
        }
        self.stored(envelope, appended.duplicate)
    }

    fn not_spooled(&self, envelope: &Envelope, why: &NotSpooled) -> Refusal {
        self.tell(envelope, why);
        match why {
            NotSpooled::Full => Refusal::Unavailable("spool_full"),
            NotSpooled::Crowded => Refusal::Crowded,
            NotSpooled::Disk(_) => {
                self.metrics.spool_errors.inc();
                Refusal::Unavailable("spool_disk")
            }
        }
    }

    fn failed(&self, envelope: &Envelope, error: &PublishError) -> Refusal {
        self.tell(envelope, error);
        match error {
            PublishError::Unavailable { .. } => Refusal::Unavailable("queue"),
            PublishError::TooLarge { .. } => Refusal::TooLargeForTheQueue,
        }
    }

    fn tell(&self, envelope: &Envelope, why: &dyn std::fmt::Display) {
        if let Some(unsaid) = self.failures.may_say(Instant::now()) {
            tracing::warn!(
                event.id = envelope.id.as_str(),
                endpoint = envelope.endpoint,
                not_told_before = unsaid,
                "an event was not stored, and its sender was told so: {why}"
            );
        }
    }
}
