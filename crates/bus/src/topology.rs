//! The streams and consumers: what they must look like, and whether they do.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, pull};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{ErrorCode, stream};
use domain::config::Jetstream;
use serde::de::DeserializeOwned;

use crate::connect::{AskError, Bus, ConnectError};
use crate::publisher::missing;

mod compare;

pub use compare::Harm;

/// Deliveries under way to all workers together, those waiting for their next attempt included: far more than run at
/// once, so that waiting ones don't hold up the rest.
const MAX_ACK_PENDING: i64 = 20_000;
/// Refused requests kept per endpoint.
const REJECTED_PER_ENDPOINT: i64 = 1_000;
const REJECTED_MAX_AGE: Duration = Duration::from_secs(30 * 86_400);
const REJECTED_WINDOW: Duration = Duration::from_secs(120);

/// The streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamName {
    /// Every sealed event.
    Hooks,
    /// Events to be worked on again.
    Replay,
    /// What could not be worked on.
    Dead,
    /// Refused requests.
    Rejected,
}

impl StreamName {
    pub const ALL: [Self; 4] = [Self::Hooks, Self::Replay, Self::Dead, Self::Rejected];

    /// Its name in NATS.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hooks => "HOOKS",
            Self::Replay => "HOOKS_REPLAY",
            Self::Dead => "HOOKS_DEAD",
            Self::Rejected => "HOOKS_REJECTED",
        }
    }

    /// The subjects of its messages.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            Self::Hooks => "hooks.>",
            Self::Replay => "replay.>",
            Self::Dead => "dead.>",
            Self::Rejected => "rejected.*",
        }
    }

    /// The durable consumer that all workers share; none where nobody works on the stream.
    #[must_use]
    pub fn consumer(self) -> Option<&'static str> {
        match self {
            Self::Hooks => Some("worker"),
            Self::Replay => Some("worker-replay"),
            Self::Dead | Self::Rejected => None,
        }
    }
}

/// One thing that is not as it must be; shown as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    harm: Harm,
    passing: bool,
    text: String,
}

impl Difference {
    /// Does it end by itself, at a time that someone has set?
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// What it means to the events that are being received.
    #[must_use]
    pub fn harm(&self) -> Harm {
        self.harm
    }

    /// A stream is not there. Without `HOOKS` no event has a place to go to.
    fn missing(name: StreamName, text: String) -> Self {
        let harm = if name == StreamName::Hooks { Harm::Events } else { Harm::Nothing };
        Self { harm, passing: false, text }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Something that [`setup`] did; shown as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change(String);

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the streams can't be used as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// NATS does not answer, or will not do.
    #[error(transparent)]
    Connection(#[from] ConnectError),
    #[error("{}; `gluehook setup` creates what is missing, and with --update changes what differs", sentences(.0))]
    Differs(Vec<Difference>),
}

/// Why the streams were not set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// NATS does not answer, or will not do.
    #[error(transparent)]
    Connection(#[from] ConnectError),
    /// Live streams or consumers are not as they must be, and were left alone.
    #[error("{}; `gluehook setup --update` changes what NATS lets change, or say it in [jetstream]", sentences(.0))]
    Differs(Vec<Difference>),
    /// NATS did not do what was asked.
    #[error("{0}")]
    Refused(String),
}

fn sentences(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What [`setup`] does with a stream or consumer that is there and differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is an error.
    MustMatch,
    /// It is changed, where NATS allows that.
    Update,
}

/// What the streams must look like.
#[must_use]
pub fn expected(jetstream: &Jetstream) -> Vec<(StreamName, stream::Config)> {
    let base = |name: StreamName| stream::Config {
        name: name.name().to_owned(),
        subjects: vec![name.subject().to_owned()],
        retention: stream::RetentionPolicy::Limits,
        storage: stream::StorageType::File,
        discard: stream::DiscardPolicy::New,
        max_age: jetstream.max_age,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_message_size: -1,
        max_consumers: -1,
        duplicate_window: jetstream.duplicate_window,
        num_replicas: jetstream.replicas,
        allow_direct: true,
        ..Default::default()
    };
    let max_bytes = jetstream.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let about = |text: &str| Some(text.to_owned());
    vec![
        (
            StreamName::Hooks,
            stream::Config {
                description: about("Gluehook: every sealed event"),
                max_bytes,
                ..base(StreamName::Hooks)
            },
        ),
        (
            StreamName::Replay,
            stream::Config {
                description: about("Gluehook: events to be worked on again"),
                ..base(StreamName::Replay)
            },
        ),
        (
            StreamName::Dead,
            stream::Config {
                description: about("Gluehook: events that could not be worked on"),
                ..base(StreamName::Dead)
            },
        ),
        (
            StreamName::Rejected,
            stream::Config {
                description: about("Gluehook: refused requests, the newest of each endpoint"),
                discard: stream::DiscardPolicy::Old,
                max_messages_per_subject: REJECTED_PER_ENDPOINT,
                max_age: REJECTED_MAX_AGE,
                duplicate_window: REJECTED_WINDOW,
                ..base(StreamName::Rejected)
            },
        ),
    ]
}

/// What the consumer `name` must look like.
fn expected_consumer(name: &str, jetstream: &Jetstream) -> pull::Config {
    pull::Config {
        durable_name: Some(name.to_owned()),
        description: Some("Gluehook: shared by all workers".to_owned()),
        deliver_policy: consumer::DeliverPolicy::All,
        ack_policy: consumer::AckPolicy::Explicit,
        ack_wait: jetstream.ack_wait,
        // The worker buries by its own count; here a limit would make a message vanish without a word.
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
        ..Default::default()
    }
}

/// Creates what is missing, leaves what is as it must be, and does what `existing` says with the rest.
///
/// # Errors
/// What differs, or what NATS refused.
pub async fn setup(bus: &Bus, jetstream: &Jetstream, existing: Existing) -> Result<Vec<Change>, SetupError> {
    bus.fit().await?;
    let mut changes = Vec::new();
    let mut differences = Vec::new();
    for (name, expected) in expected(jetstream) {
        let live = live_stream(bus, name).await?;
        if live.is_none()
            && let Some(taken) = taken(bus, name).await
        {
            differences.push(taken);
            continue;
        }
        let differs = match live {
            None => {
                let api = format!("$JS.API.STREAM.CREATE.{}", name.name());
                let created = bus.unless_denied(&api, bus.jetstream.create_stream(expected.clone())).await;
                let created =
                    created.map_err(|denied| refused(bus, "create stream", name.name(), &denied))?;
                let created = created.map_err(|error| refused(bus, "create stream", name.name(), &error))?;
                changes.push(Change(format!("created stream {}", name.name())));
                // A server drops what it doesn't know without a word.
                compare::streams(name, &created.cached_info().config, &expected)
            }
            Some(live) => {
                let differs = compare::streams(name, &live, &expected);
                if differs.is_empty() || existing == Existing::MustMatch {
                    differs
                } else {
                    let api = format!("$JS.API.STREAM.UPDATE.{}", name.name());
                    let merged = compare::merged(live, &expected);
                    let updated = bus.unless_denied(&api, bus.jetstream.update_stream(merged)).await;
                    let updated =
                        updated.map_err(|denied| refused(bus, "update stream", name.name(), &denied))?;
                    let updated = updated
                        .map_err(|error| unchanged(bus, "update stream", name.name(), &error, &differs))?;
                    changes.push(Change(format!("updated stream {}", name.name())));
                    compare::streams(name, &updated.config, &expected)
                }
            }
        };
        differences.extend(differs);
        let Some(consumer) = name.consumer() else { continue };
        differences.extend(setup_consumer(bus, name, consumer, jetstream, existing, &mut changes).await?);
    }
    if differences.is_empty() { Ok(changes) } else { Err(SetupError::Differs(differences)) }
}

async fn setup_consumer(
    bus: &Bus,
    stream: StreamName,
    name: &str,
    jetstream: &Jetstream,
    existing: Existing,
    changes: &mut Vec<Change>,
) -> Result<Vec<Difference>, SetupError> {
    let expected = expected_consumer(name, jetstream);
    let mut before = Vec::new();
    let verb = match live_consumer(bus, stream, name).await? {
        None => "create",
        Some(live) => {
            let differs = compare::consumers(name, &live.info.config, &expected);
            if differs.is_empty() || existing == Existing::MustMatch {
                return Ok(differs);
            }
            before = differs;
            "update"
        }
    };
    let what = format!("{verb} consumer");
    let api = format!("$JS.API.CONSUMER.CREATE.{}.{name}", stream.name());
    let made =
        bus.unless_denied(&api, bus.jetstream.create_consumer_on_stream(expected.clone(), stream.name()));
    let made = made.await.map_err(|denied| refused(bus, &what, name, &denied))?;
    let made = made.map_err(|error| unchanged(bus, &what, name, &error, &before))?;
    changes.push(Change(format!("{verb}d consumer {name} on {}", stream.name())));
    Ok(compare::consumers(name, &made.cached_info().config, &expected))
}

/// Is everything there and as it must be? Nothing is changed.
///
/// # Errors
/// What is missing or differs.
pub async fn check(bus: &Bus, jetstream: &Jetstream) -> Result<(), CheckError> {
    bus.fit().await?;
    let mut differences = Vec::new();
    for (name, expected) in expected(jetstream) {
        let Some(live) = live_stream(bus, name).await? else {
            let gone = || Difference::missing(name, missing(name.name()));
            differences.push(taken(bus, name).await.unwrap_or_else(gone));
            continue;
        };
        differences.extend(compare::streams(name, &live, &expected));
        let Some(consumer) = name.consumer() else { continue };
        match live_consumer(bus, name, consumer).await? {
            // Made anew, it begins with the oldest event.
            None => differences.push(Difference {
                harm: Harm::Nothing,
                passing: false,
                text: missing_consumer(name, consumer),
            }),
            Some(LiveConsumer { info, paused, pause_remaining }) => {
                let expected = expected_consumer(consumer, jetstream);
                differences.extend(compare::consumers(consumer, &info.config, &expected));
                let remaining = paused.then(|| Duration::from_nanos(pause_remaining));
                differences.extend(compare::paused(consumer, remaining));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(CheckError::Differs(differences)) }
}

pub(crate) fn missing_consumer(stream: StreamName, consumer: &str) -> String {
    format!("consumer {consumer} of stream {} is missing: run `gluehook setup`", stream.name())
}

async fn live_stream(bus: &Bus, name: StreamName) -> Result<Option<stream::Config>, ConnectError> {
    let request = format!("STREAM.INFO.{}", name.name());
    let what = format!("stream {} can't be looked at", name.name());
    let info: Option<stream::Info> = look(bus, request, &what).await?;
    Ok(info.map(|info| info.config))
}

/// A consumer, and since nats-server 2.11 whether it is paused.
#[derive(serde::Deserialize)]
pub(crate) struct LiveConsumer {
    #[serde(flatten)]
    pub(crate) info: consumer::Info,
    #[serde(default)]
    pub(crate) paused: bool,
    /// In nanoseconds.
    #[serde(default)]
    pub(crate) pause_remaining: u64,
}

async fn live_consumer(
    bus: &Bus,
    stream: StreamName,
    name: &str,
) -> Result<Option<LiveConsumer>, ConnectError> {
    let request = format!("CONSUMER.INFO.{}.{name}", stream.name());
    let what = format!("consumer {name} of stream {} can't be looked at", stream.name());
    look(bus, request, &what).await
}

/// Asks the NATS API; none where there is no such stream or consumer.
async fn look<T: DeserializeOwned>(
    bus: &Bus,
    request: String,
    what: &str,
) -> Result<Option<T>, ConnectError> {
    match bus.ask(request).await {
        Ok(Response::Ok(info)) => Ok(Some(info)),
        Ok(Response::Err { error }) => match error.error_code() {
            ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND => Ok(None),
            _ => Err(ConnectError::Unfit(bus.request_failed(what, &error))),
        },
        Err(AskError::Denied(denied)) => Err(ConnectError::Unfit(format!("{what}: {denied}"))),
        // No answer says nothing of the stream: the server may be busy, or electing a leader.
        Err(error) => Err(ConnectError::Unreachable(bus.request_failed(what, &error))),
    }
}

/// The stream of somebody else that has the subjects of one of ours, which can't be created beside it.
async fn taken(bus: &Bus, name: StreamName) -> Option<Difference> {
    #[derive(serde::Serialize)]
    struct Overlapping {
        subject: &'static str,
    }
    #[derive(serde::Deserialize)]
    struct Names {
        streams: Option<Vec<String>>,
    }
    // Whoever may not ask does without the name.
    let answer: Result<Response<Names>, _> =
        bus.ask_for("STREAM.NAMES".to_owned(), &Overlapping { subject: name.subject() }).await;
    let Ok(Response::Ok(Names { streams: Some(streams) })) = answer else { return None };
    let others: Vec<_> = streams.into_iter().filter(|other| other != name.name()).collect();
    (!others.is_empty()).then(|| {
        let text = format!(
            "stream {} is missing, and can't be created while {} has subjects that match its own ({}): give that \
             stream other subjects, or delete it",
            name.name(),
            others.join(", "),
            name.subject()
        );
        Difference::missing(name, text)
    })
}

fn refused(bus: &Bus, what: &str, name: &str, error: &dyn fmt::Display) -> SetupError {
    SetupError::Refused(bus.request_failed(&format!("NATS did not {what} {name}"), error))
}

/// As [`refused`], with what was to be changed: NATS does not always say which of it can't be.
fn unchanged(
    bus: &Bus,
    what: &str,
    name: &str,
    error: &dyn fmt::Display,
    differences: &[Difference],
) -> SetupError {
    match refused(bus, what, name, error) {
        SetupError::Refused(why) if !differences.is_empty() => {
            SetupError::Refused(format!("{why} ({})", sentences(differences)))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_expected_once_and_loses_nothing_silently() {
        let all = expected(&Jetstream::default());
        assert_eq!(all.iter().map(|(name, _)| *name).collect::<Vec<_>>(), StreamName::ALL);
        for (name, config) in all {
            assert_eq!(config.name, name.name());
            let may_drop = name == StreamName::Rejected;
            assert_eq!(config.discard == stream::DiscardPolicy::Old, may_drop, "{name:?}");
            assert!(config.duplicate_window <= config.max_age);
        }
    }
}
