//! Reading what lies in a stream, beside its workers and without touching their place in it.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{self, ConsumerErrorKind, LastRawMessageErrorKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use crate::connect::{Bus, REQUEST_TIMEOUT};
use crate::publisher::missing;
use crate::topology::StreamName;

/// Messages asked for at once.
const BATCH: usize = 500;
/// The server forgets a reader that does not ask for so long.
const READER_IDLE: Duration = Duration::from_secs(60);

/// Why a stream could not be read, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub(crate) String);

/// A message as it lies in a stream.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) body: Bytes,
    pub(crate) stored_at: Timestamp,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Sequence(u64),
    /// At the first message stored then or later.
    Time(Timestamp),
}

/// Messages in the order of the stream, up to what was the last one when reading began.
pub(crate) struct Scan {
    consumer: Option<consumer::Consumer<pull::Config>>,
    ready: VecDeque<Stored>,
    last: u64,
    total: u64,
    /// Sequence that the reader gives its messages: a gap would be a message that got lost on the way.
    taken: u64,
}

impl Scan {
    /// Begins to read. `filter` is a subject with wildcards, `end` the last sequence of interest.
    pub(crate) async fn begin(
        bus: &Bus,
        stream: StreamName,
        filter: &str,
        start: Start,
        end: Option<u64>,
    ) -> Result<Self, ReadError> {
        Self::begin_with(bus, stream, filter, start, end, false).await
    }

    /// As [`Scan::begin`], but the bodies may stay where they are.
    pub(crate) async fn begin_with(
        bus: &Bus,
        stream: StreamName,
        filter: &str,
        start: Start,
        end: Option<u64>,
        headers_only: bool,
    ) -> Result<Self, ReadError> {
        let state = state(bus, stream).await?;
        let last = end.unwrap_or(u64::MAX).min(state.last_sequence);
        let nothing = Self { consumer: None, ready: VecDeque::new(), last, total: 0, taken: 0 };
        let deliver_policy = match start {
            Start::Sequence(first) if first > last => return Ok(nothing),
            Start::Sequence(first) => DeliverPolicy::ByStartSequence { start_sequence: first.max(1) },
            Start::Time(at) => DeliverPolicy::ByStartTime {
                start_time: async_nats::datetime::from_nanos(at.as_nanosecond())
                    .map_err(|_| ReadError(format!("{at} is out of the range that NATS knows")))?,
            },
        };
        if state.messages == 0 {
            return Ok(nothing);
        }
        // With a name of its own, so that permissions can tell readers from the consumers that workers share.
        let inbox = bus.client.new_inbox();
        let name = format!("reader-{}", inbox.rsplit('.').next().unwrap_or_default());
        let config = pull::Config {
            name: Some(name),
            headers_only,
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subject: filter.to_owned(),
            inactive_threshold: READER_IDLE,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let api = format!("$JS.API.CONSUMER.CREATE.{}", stream.name());
        let made =
            bus.unless_denied(&api, bus.jetstream.create_consumer_on_stream(config, stream.name())).await;
        let made = made.map_err(|denied| failed(bus, stream, &denied))?;
        let reader = made.map_err(|error| {
            let gone = matches!(error.kind(), ConsumerErrorKind::JetStream(told) if told.error_code() == ErrorCode::STREAM_NOT_FOUND);
            if gone { ReadError(missing(stream.name())) } else { failed(bus, stream, &error) }
        })?;
        let total = reader.cached_info().num_pending;
        Ok(Self { consumer: Some(reader), total, ..nothing })
    }

    /// How many messages match at most: those that came since reading began are among them.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The next message; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        if self.ready.is_empty() {
            self.fetch().await?;
        }
        match self.ready.pop_front() {
            Some(message) if message.sequence <= self.last => Ok(Some(message)),
            _ => {
                self.consumer = None;
                self.ready.clear();
                Ok(None)
            }
        }
    }

    async fn fetch(&mut self) -> Result<(), ReadError> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let stopped = |why: &str| ReadError(format!("reading stopped half-way: {why}; run it again"));
        let fetched = tokio::time::timeout(REQUEST_TIMEOUT, async {
            let mut batch = consumer.fetch().max_messages(BATCH).messages().await?;
            let mut found = VecDeque::new();
            while let Some(message) = batch.next().await {
                found.push_back(message?);
            }
            Ok::<_, async_nats::Error>(found)
        });
        let messages = match fetched.await {
            Ok(Ok(messages)) => messages,
            Ok(Err(error)) => return Err(stopped(&error.to_string())),
            Err(_) => return Err(stopped("NATS did not answer in time")),
        };
        for message in messages {
            let info = message.info().map_err(|error| stopped(&error.to_string()))?;
            self.taken += 1;
            if info.consumer_sequence != self.taken {
                return Err(stopped("a message got lost on the way"));
            }
            self.ready.push_back(Stored {
                sequence: info.stream_sequence,
                stored_at: moment(info.published.unix_timestamp_nanos()),
                subject: message.subject.to_string(),
                headers: message.headers.clone(),
                body: message.payload.clone(),
            });
        }
        Ok(())
    }
}

/// The newest messages whose subject matches, newest first.
pub(crate) async fn newest(
    bus: &Bus,
    stream: StreamName,
    filter: &str,
    limit: usize,
) -> Result<Vec<Stored>, ReadError> {
    let state = state(bus, stream).await?;
    let mut window = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
    // Deleted messages leave gaps and others may not match: look further back until there are enough.
    loop {
        let first = state.last_sequence.saturating_add(1).saturating_sub(window).max(1);
        let mut scan =
            Scan::begin(bus, stream, filter, Start::Sequence(first), Some(state.last_sequence)).await?;
        let mut found = VecDeque::new();
        while let Some(message) = scan.next().await? {
            found.push_front(message);
            found.truncate(limit);
        }
        if found.len() >= limit || first <= state.first_sequence.max(1) {
            return Ok(found.into());
        }
        window = window.saturating_mul(8);
    }
}

/// The message at a sequence; none where there is none (any more).
pub(crate) async fn get(bus: &Bus, stream: StreamName, sequence: u64) -> Result<Option<Stored>, ReadError> {
    let handle = handle(bus, stream).await?;
    let api = format!("$JS.API.STREAM.MSG.GET.{}", stream.name());
    let got = bus.unless_denied(&api, handle.get_raw_message(sequence)).await;
    match got.map_err(|denied| failed(bus, stream, &denied))? {
        Ok(StreamMessage { subject, sequence, headers, payload, time }) => Ok(Some(Stored {
            sequence,
            subject: subject.to_string(),
            headers: Some(headers),
            body: payload,
            stored_at: moment(time.unix_timestamp_nanos()),
        })),
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Ok(None),
            LastRawMessageErrorKind::JetStream(told) if told.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Err(ReadError(missing(stream.name())))
            }
            _ => Err(failed(bus, stream, &error)),
        },
    }
}

/// Deletes the message at a sequence. False where there was none.
pub(crate) async fn delete(bus: &Bus, stream: StreamName, sequence: u64) -> Result<bool, ReadError> {
    if get(bus, stream, sequence).await?.is_none() {
        return Ok(false);
    }
    let handle = handle(bus, stream).await?;
    let api = format!("$JS.API.STREAM.MSG.DELETE.{}", stream.name());
    let deleted = bus.unless_denied(&api, handle.delete_message(sequence)).await;
    match deleted.map_err(|denied| ReadError(denied.to_string()))? {
        Ok(deleted) => Ok(deleted),
        Err(error) => Err(failed(bus, stream, &error)),
    }
}

async fn handle(bus: &Bus, stream: StreamName) -> Result<stream::Stream<()>, ReadError> {
    bus.jetstream.get_stream_no_info(stream.name()).await.map_err(|error| failed(bus, stream, &error))
}

async fn state(bus: &Bus, stream: StreamName) -> Result<stream::State, ReadError> {
    let request = format!("STREAM.INFO.{}", stream.name());
    let answer: Result<Response<stream::Info>, _> = bus.ask(request).await;
    match answer {
        Ok(Response::Ok(info)) => Ok(info.state),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Err(ReadError(missing(stream.name())))
        }
        Ok(Response::Err { error }) => Err(failed(bus, stream, &error)),
        Err(error) => Err(failed(bus, stream, &error)),
    }
}

fn failed(bus: &Bus, stream: StreamName, error: &dyn std::fmt::Display) -> ReadError {
    ReadError(bus.request_failed(&format!("stream {} can't be read", stream.name()), error))
}

/// A time of the server.
fn moment(nanos: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::UNIX_EPOCH)
}
