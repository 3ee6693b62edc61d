//! Taking events from the queue. Pull requests are made here rather than by `async_nats`' own stream, so that stopping
//! leaves nothing behind: its stream throws away what it had buffered, which nobody gets before `ack_wait` is over.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use async_nats::{Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connect::Bus;
use crate::delivery::Delivery;
use crate::publisher::missing;
use crate::topology::{LiveConsumer, StreamName, missing_consumer};

/// How long the server keeps a pull request that it can't serve.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it still has a pull request.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a word for so long, the pull request is taken for lost.
const SILENCE: Duration = Duration::from_secs(12);
/// Longest wait between two requests that the server refuses.
const MOST_BETWEEN: Duration = Duration::from_secs(1);
/// So many refusals in a row, and the consumer is looked for.
const SUSPICIOUS: u32 = 4;
/// How long draining waits for what is on its way.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// So long without a message, and there is nothing on its way.
const QUIET: Duration = Duration::from_millis(100);

/// One worker's share of the durable consumer of a stream. It outlives restarts of the server and lost connections by
/// itself. Dropped without [`Consumer::drain`], what it had buffered comes back after `ack_wait`.
pub struct Consumer {
    bus: Bus,
    stream: StreamName,
    name: &'static str,
    ack_wait: Duration,
    inbox: Subject,
    subscription: Subscriber,
    /// Messages asked for that did not come yet.
    requested: usize,
    ready: VecDeque<Message>,
    connected: watch::Receiver<bool>,
    /// When the server last gave a sign of life.
    heard: Instant,
    refusals: Refusals,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Not delivered yet.
    pub pending: u64,
    /// Delivered to some worker and not settled, or waiting for the next attempt.
    pub in_flight: u64,
    /// So many may be in flight; then nothing more is delivered. 0 when there is no limit.
    pub most_in_flight: u64,
    /// So many workers are asking for more. One that has just gone away may count for half a minute.
    pub pulls: usize,
    /// Someone has paused the consumer: it gives nothing.
    pub paused: bool,
}

/// Why nothing more can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// The stream or its consumer does not exist (any more): someone must set it up.
    #[error("{0}")]
    Gone(String),
    /// NATS did not answer.
    #[error("{0}")]
    Unavailable(String),
}

impl Bus {
    /// How much there is to do in a stream that workers share.
    ///
    /// # Errors
    /// The stream is gone or not worked on, or NATS did not answer.
    pub async fn pending(&self, stream: StreamName) -> Result<Pending, ConsumeError> {
        match stream.consumer() {
            Some(name) => pending(self, stream, name).await,
            None => Err(ConsumeError::Gone(format!("stream {} is not worked on", stream.name()))),
        }
    }

    /// Binds to the durable consumer of a stream; it is not created.
    ///
    /// # Errors
    /// The consumer is missing, or NATS does not answer.
    pub async fn consumer(&self, stream: StreamName) -> Result<Consumer, ConsumeError> {
        let Some(name) = stream.consumer() else {
            return Err(ConsumeError::Gone(format!("stream {} is not worked on", stream.name())));
        };
        let connected = self.connected();
        let info = info(self, stream, name).await?;
        let inbox = Subject::from(self.client.new_inbox());
        let subscription = subscribe(self, &inbox).await?;
        Ok(Consumer {
            bus: self.clone(),
            stream,
            name,
            ack_wait: info.info.config.ack_wait,
            inbox,
            subscription,
            requested: 0,
            ready: VecDeque::new(),
            connected,
            heard: Instant::now(),
            refusals: Refusals::default(),
        })
    }
}

impl Consumer {
    /// The next deliveries: at least one, at most `max`. Waits until there is one, however long that takes. What was
    /// asked for and did not come is taken by the next call, so that a worker never holds more than the `max` it had
    /// room for. Can be dropped at any point without losing anything.
    ///
    /// # Errors
    /// Only what waiting does not mend: the stream or the consumer is gone.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, ConsumeError> {
        let max = max.max(1);
        loop {
            while self.ready.len() < max {
                match self.subscription.next().now_or_never() {
                    Some(Some(message)) => self.sort(message)?,
                    Some(None) => self.subscribe_again().await?,
                    None => break,
                }
            }
            if !self.ready.is_empty() {
                let count = self.ready.len().min(max);
                let (bus, stream, ack_wait) = (&self.bus, self.stream, self.ack_wait);
                let deliver = |message| Delivery::new(bus.clone(), stream, ack_wait, message);
                return Ok(self.ready.drain(..count).map(deliver).collect());
            }
            if self.requested < max.div_ceil(2) {
                self.request(max - self.requested).await?;
            }
            self.wait().await?;
        }
    }

    /// How much there is to do, for all workers together.
    ///
    /// # Errors
    /// The consumer is gone, or NATS does not answer.
    pub async fn pending(&self) -> Result<Pending, ConsumeError> {
        pending(&self.bus, self.stream, self.name).await
    }

    /// The stream it takes from.
    #[must_use]
    pub fn stream(&self) -> StreamName {
        self.stream
    }

    /// Stops taking, and gives back at once what came and was not handed out: other workers get it without waiting.
    pub async fn drain(mut self) {
        let collected = tokio::time::timeout(DRAIN_WAIT, async {
            // The client forgets a subscription before the server does, and throws away what comes in between. So what
            // was asked for is waited for while there is anything to come.
            while self.requested > 0 {
                let coming = tokio::time::timeout(QUIET, self.subscription.next()).await;
                let Ok(Some(message)) = coming else { break };
                if self.sort(message).is_err() {
                    break;
                }
            }
            if self.subscription.drain().await.is_ok() {
                while let Some(message) = self.subscription.next().await {
                    if message.status.is_none() {
                        self.ready.push_back(message);
                    }
                }
            }
        });
        if collected.await.is_err() {
            tracing::warn!(
                consumer = self.name,
                "NATS did not confirm the end of pulling: deliveries on their way come back after ack_wait"
            );
        }
        for message in self.ready.drain(..) {
            if let Some(reply) = message.reply {
                // Nothing was tried, so there is nothing to wait for.
                let _ = self.bus.client.publish(reply, Bytes::from_static(b"-NAK")).await;
            }
        }
        let _ = tokio::time::timeout(DRAIN_WAIT, self.bus.client.flush()).await;
    }

    /// Asks for `count` messages, when there is a server to ask.
    async fn request(&mut self, count: usize) -> Result<(), ConsumeError> {
        if !*self.connected.borrow_and_update() {
            tracing::warn!(consumer = self.name, "no connection to NATS: waiting for it");
            let _ = self.connected.wait_for(|connected| *connected).await;
            tracing::info!(consumer = self.name, "connected to NATS: taking events again");
        }
        if let Some(until) = self.refusals.pause_until() {
            tokio::time::sleep_until(until).await;
        }
        if self.refusals.look_for_it() {
            match info(&self.bus, self.stream, self.name).await {
                Err(ConsumeError::Gone(why)) => return Err(ConsumeError::Gone(why)),
                Ok(_) | Err(ConsumeError::Unavailable(_)) => {}
            }
        }
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream.name(), self.name);
        let request = format!(
            r#"{{"batch":{count},"expires":{},"idle_heartbeat":{}}}"#,
            EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos()
        );
        let sent = self.bus.client.publish_with_reply(subject, self.inbox.clone(), request.into()).await;
        sent.map_err(|error| ConsumeError::Unavailable(format!("the NATS client has stopped: {error}")))?;
        self.requested += count;
        self.heard = Instant::now();
        Ok(())
    }

    /// Waits until something happens.
    async fn wait(&mut self) -> Result<(), ConsumeError> {
        tokio::select! {
            message = self.subscription.next() => match message {
                Some(message) => self.sort(message),
                None => self.subscribe_again().await,
            },
            changed = self.connected.changed() => {
                // Requests end with the connection that they were made on.
                self.requested = 0;
                changed.map_err(|_| ConsumeError::Unavailable("the NATS client has stopped".to_owned()))
            }
            () = tokio::time::sleep_until(self.heard + SILENCE) => {
                self.requested = 0;
                self.refusals.another(self.name, &self.bus.unanswered("the server has forgotten our request"));
                Ok(())
            }
        }
    }

    /// Keeps a message, or takes note of what the server says about a request.
    fn sort(&mut self, message: Message) -> Result<(), ConsumeError> {
        self.heard = Instant::now();
        let text = || message.description.clone().unwrap_or_default();
        match message.status {
            None | Some(StatusCode::OK) => {
                self.requested = self.requested.saturating_sub(1);
                self.refusals.none();
                self.ready.push_back(message);
            }
            Some(StatusCode::IDLE_HEARTBEAT) => self.refusals.none(),
            // The request ran out; so many of it were not served.
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                self.requested = self.requested.saturating_sub(unserved(&message));
                self.refusals.none();
            }
            Some(StatusCode::REQUEST_TERMINATED) if text() == "Consumer Deleted" => {
                return Err(ConsumeError::Gone(missing_consumer(self.stream, self.name)));
            }
            Some(StatusCode::NO_RESPONDERS) => {
                self.requested = 0;
                self.refusals.another(self.name, "nobody serves the consumer");
            }
            Some(_) => {
                self.requested = self.requested.saturating_sub(unserved(&message));
                self.refusals.another(self.name, &text());
            }
        }
        Ok(())
    }

    async fn subscribe_again(&mut self) -> Result<(), ConsumeError> {
        self.subscription = subscribe(&self.bus, &self.inbox).await?;
        self.requested = 0;
        Ok(())
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("stream", &self.stream)
            .field("requested", &self.requested)
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

/// Refusals in a row: each makes the next request wait longer, and only some are logged.
#[derive(Debug, Default)]
struct Refusals {
    count: u32,
    last: Option<Instant>,
}

impl Refusals {
    fn another(&mut self, consumer: &str, why: &str) {
        self.count = self.count.saturating_add(1);
        self.last = Some(Instant::now());
        if self.count.is_power_of_two() {
            tracing::warn!(consumer, refusals = self.count, "no events from NATS: {why}; asking again");
        }
    }

    fn none(&mut self) {
        *self = Self::default();
    }

    fn pause_until(&self) -> Option<Instant> {
        let delay = Duration::from_millis(50 << self.count.min(6)).min(MOST_BETWEEN);
        self.last.map(|last| last + delay)
    }

    fn look_for_it(&self) -> bool {
        self.count >= SUSPICIOUS
    }
}

/// How many messages of its request a status message gives up; all when it doesn't say.
fn unserved(message: &Message) -> usize {
    message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Pending-Messages"))
        .and_then(|value| value.as_str().parse().ok())
        .unwrap_or(usize::MAX)
}

async fn subscribe(bus: &Bus, inbox: &Subject) -> Result<Subscriber, ConsumeError> {
    let subscription = bus.client.subscribe(inbox.clone()).await;
    subscription.map_err(|error| ConsumeError::Unavailable(format!("the NATS client has stopped: {error}")))
}

async fn pending(bus: &Bus, stream: StreamName, name: &str) -> Result<Pending, ConsumeError> {
    let LiveConsumer { info, paused, .. } = info(bus, stream, name).await?;
    Ok(Pending {
        pending: info.num_pending,
        in_flight: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
        most_in_flight: u64::try_from(info.config.max_ack_pending).unwrap_or(0),
        pulls: info.num_waiting,
        paused,
    })
}

async fn info(bus: &Bus, stream: StreamName, name: &str) -> Result<LiveConsumer, ConsumeError> {
    let request = format!("CONSUMER.INFO.{}.{name}", stream.name());
    let what = format!("consumer {name} can't be looked at");
    match bus.ask(request).await {
        Ok(Response::Ok(info)) => Ok(info),
        Ok(Response::Err { error }) => Err(match error.error_code() {
            ErrorCode::STREAM_NOT_FOUND => ConsumeError::Gone(missing(stream.name())),
            ErrorCode::CONSUMER_NOT_FOUND => ConsumeError::Gone(missing_consumer(stream, name)),
            _ => ConsumeError::Unavailable(bus.request_failed(&what, &error)),
        }),
        Err(error) => Err(ConsumeError::Unavailable(bus.request_failed(&what, &error))),
    }
}
