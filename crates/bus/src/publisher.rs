//! Publishing: nothing counts as stored before NATS has said so.

use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::connection::State as Link;
use async_nats::jetstream::context::{PublishError as NatsError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use domain::envelope::Envelope;

use crate::connect::Bus;
use crate::rejected::{self, Rejected};
use crate::topology::StreamName;
use crate::wire;

/// Longest wait for an acknowledgement. An event whose publishing ran out of time is often stored all the same:
/// publish it again with the same id.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an acknowledgement is waited for without looking whether it can still come. Short beside any time limit.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Publishes events and refused requests. Cheap to clone; any number of publishes may be under way at once.
#[derive(Debug, Clone)]
pub struct Publisher {
    bus: Bus,
}

/// An acknowledged message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its sequence in the stream; of a duplicate, that of the first.
    pub sequence: u64,
    /// It was there already.
    pub duplicate: bool,
}

/// Why a message was not acknowledged. It may be stored all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue can't take it now.
    #[error("{why}")]
    Unavailable { why: String },
    /// The queue will never take it.
    #[error("{why}")]
    TooLarge { why: String },
}

/// What a message may need beside the body and the kept headers: ours, and those of a dead letter or a replay, which
/// must fit whatever was stored.
const HEADROOM: usize = 8 * 1024;

impl Publisher {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Publishes a sealed event and waits until it is stored. The id of the event makes a repeat a duplicate. Without a
    /// connection it fails at once: what waited in a queue would be sent later, after the sender was told that it
    /// failed.
    ///
    /// # Errors
    /// The event may be stored or not: only the acknowledgement is certain.
    pub async fn publish(&self, envelope: &Envelope) -> Result<Published, PublishError> {
        self.fits(envelope)?;
        let headers = wire::write(envelope);
        let subject = envelope.subject.clone();
        self.bus
            .store(StreamName::Hooks, subject, Some(envelope.id.as_str()), headers, envelope.body.clone())
            .await
    }

    /// Does the server take messages of this size? What it takes is only known once there was a connection: until then
    /// everything fits.
    ///
    /// # Errors
    /// [`PublishError::TooLarge`]
    pub fn fits(&self, envelope: &Envelope) -> Result<(), PublishError> {
        let kept: usize = envelope.headers.iter().map(|(name, value)| name.len() + 3 * value.len()).sum();
        let most = self.bus.max_payload().saturating_sub(HEADROOM + kept);
        if envelope.body.len() > most && self.bus.server_version().is_some() {
            return Err(PublishError::TooLarge {
                why: format!(
                    "with its headers it does not fit into a message of NATS, whose max_payload leaves {most} bytes"
                ),
            });
        }
        Ok(())
    }

    /// Puts a refused request into the quarantine of its endpoint, where the oldest makes room for the newest.
    ///
    /// # Errors
    /// It may be stored or not.
    pub async fn reject(&self, rejected: &Rejected) -> Result<Published, PublishError> {
        let (subject, headers) = rejected::write(rejected);
        self.bus.store(StreamName::Rejected, subject, None, headers, rejected.body.clone()).await
    }
}

impl Bus {
    /// Publishes a message to a stream and waits for the acknowledgement.
    pub(crate) async fn store(
        &self,
        stream: StreamName,
        subject: String,
        message_id: Option<&str>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Published, PublishError> {
        let unavailable = |why: String| PublishError::Unavailable { why };
        // Before the look at the state, so that a loss in between is noticed.
        let mut connected = self.connected();
        if self.client.connection_state() != Link::Connected {
            return Err(unavailable(format!("NATS at {} is not connected", self.url())));
        }
        let mut message =
            PublishMessage::build().payload(body).headers(headers).expected_stream(stream.name());
        if let Some(id) = message_id {
            message = message.message_id(id);
        }
        let denials = self.listen_for_denials();
        let to = subject.clone();
        let mut acknowledged = pin!(async { self.jetstream.send_publish(subject, message).await?.await });
        // Nearly always the answer comes at once: only who waits longer is worth the watching.
        let answer = match tokio::time::timeout(AT_ONCE, &mut acknowledged).await {
            Ok(answer) => answer,
            Err(_) => {
                let lost = async {
                    while connected.changed().await.is_ok() {
                        if !*connected.borrow_and_update() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    biased;
                    answer = &mut acknowledged => answer,
                    denied = denials.denied(&to, self.inbox()) => return Err(unavailable(denied.to_string())),
                    () = lost => return Err(unavailable(
                        "the connection to NATS was lost before the event was acknowledged".to_owned()
                    )),
                    () = tokio::time::sleep(PUBLISH_TIMEOUT - AT_ONCE) => {
                        return Err(unavailable(self.unanswered(NO_ANSWER)));
                    }
                }
            }
        };
        match answer {
            Ok(ack) => Ok(Published { sequence: ack.sequence, duplicate: ack.duplicate }),
            Err(error) => Err(self.publish_failed(stream, &error)),
        }
    }

    fn publish_failed(&self, stream: StreamName, error: &NatsError) -> PublishError {
        let name = stream.name();
        let why = match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                return PublishError::TooLarge {
                    why: format!(
                        "the event is larger than the {} bytes that nats-server takes: raise max_payload in its configuration",
                        self.max_payload()
                    ),
                };
            }
            PublishErrorKind::StreamNotFound => missing(name),
            PublishErrorKind::TimedOut => self.unanswered(NO_ANSWER),
            PublishErrorKind::Other => match error.source().and_then(|source| source.downcast_ref()) {
                Some(told) => return refused(name, told),
                None => format!("NATS did not take the event: {error}"),
            },
            _ => format!("NATS did not take the event: {error}"),
        };
        PublishError::Unavailable { why }
    }
}

const NO_ANSWER: &str = "NATS did not acknowledge the event within 5 s; it may be stored";

/// The sentence for a stream that is not there.
pub(crate) fn missing(stream: &str) -> String {
    format!("stream {stream} is missing: run `gluehook setup`")
}

/// What NATS says when it does not store a message.
fn refused(stream: &str, error: &jetstream::Error) -> PublishError {
    let code = error.error_code();
    let text = error.to_string();
    let why = match code {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            return PublishError::TooLarge {
                why: format!("the event is larger than stream {stream} takes ({text})"),
            };
        }
        ErrorCode::STREAM_STORE_FAILED if text.contains("maximum") => {
            format!("stream {stream} is full ({text}): raise max_bytes, or shorten max_age, in [jetstream]")
        }
        ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => {
            format!("nats-server has no room left for stream {stream} ({text})")
        }
        ErrorCode::STREAM_NOT_MATCH => {
            format!("another stream has taken the subjects of {stream}: run `gluehook doctor`")
        }
        _ => format!("stream {stream} did not take the event: {text}"),
    };
    PublishError::Unavailable { why }
}
