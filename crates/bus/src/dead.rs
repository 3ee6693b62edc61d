//! Dead letters: events that were given up, with all they came with and what went wrong.

use async_nats::HeaderMap;
use async_nats::header::HeaderName;
use bytes::Bytes;
use domain::envelope::Envelope;
use domain::names::{EventId, subject_token};
use domain::plan;
use jiff::Timestamp;

use crate::connect::Bus;
use crate::delivery::{Burial, NOT_BEFORE, REPLAY_OF, REPLAY_RUN, RESUME};
use crate::publisher::{PublishError, Published};
use crate::read::{self, ReadError, Stored};
use crate::replay;
use crate::topology::StreamName;
use crate::wire;

const REASON: HeaderName = HeaderName::from_static("Gluehook-Dead-Reason");
const ATTEMPTS: HeaderName = HeaderName::from_static("Gluehook-Dead-Attempts");
const FIRST_FAILURE: HeaderName = HeaderName::from_static("Gluehook-Dead-First-Failure");
const LAST_FAILURE: HeaderName = HeaderName::from_static("Gluehook-Dead-Last-Failure");
const SEQUENCE: HeaderName = HeaderName::from_static("Gluehook-Dead-Sequence");
const RUN: HeaderName = HeaderName::from_static("Gluehook-Dead-Run");
const WORKER: HeaderName = HeaderName::from_static("Gluehook-Dead-Worker");

/// An event that was given up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its sequence in `HOOKS_DEAD`: what it is called by.
    pub sequence: u64,
    /// `dead.<endpoint>.<kind>.<status>.<tenant>`
    pub subject: String,
    pub buried_at: Timestamp,
    /// One sentence for people.
    pub reason: String,
    pub attempts: u64,
    pub first_failed_at: Option<Timestamp>,
    pub last_failed_at: Option<Timestamp>,
    /// The run in which it died: `live`, or that of a replay.
    pub run: String,
    pub worker: String,
    /// Sequence of the event in `HOOKS`.
    pub of_sequence: u64,
    /// The event; or why its headers can't be read.
    pub envelope: Result<Envelope, String>,
}

impl DeadLetter {
    /// Id of the event; none where its headers can't be read.
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.envelope.as_ref().ok().map(|envelope| &envelope.id)
    }

    /// Endpoint of the event; what the subject says where its headers can't be read.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        match &self.envelope {
            Ok(envelope) => &envelope.endpoint,
            Err(_) => wire::rest(&self.subject).split('.').next().unwrap_or_default(),
        }
    }

    fn read(message: Stored) -> Self {
        let headers = message.headers.unwrap_or_default();
        let text = |name| wire::get(&headers, name).unwrap_or_default();
        Self {
            sequence: message.sequence,
            buried_at: message.stored_at,
            reason: text(&REASON),
            attempts: wire::number(&headers, &ATTEMPTS).unwrap_or(0),
            first_failed_at: wire::timestamp(&headers, &FIRST_FAILURE).ok(),
            last_failed_at: wire::timestamp(&headers, &LAST_FAILURE).ok(),
            run: wire::get(&headers, &RUN).unwrap_or_else(|| plan::LIVE.to_owned()),
            worker: text(&WORKER),
            of_sequence: wire::number(&headers, &SEQUENCE).unwrap_or(0),
            envelope: wire::read(&message.subject, Some(&headers), message.body),
            subject: message.subject,
        }
    }
}

/// Why a dead letter was not revived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviveError {
    #[error("there is no dead letter {0}")]
    NotFound(u64),
    /// It lies where it lay.
    #[error("dead letter {0} was not revived: {1}")]
    NotPublished(u64, PublishError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The newest dead letters, newest first.
///
/// # Errors
/// The stream can't be read.
pub async fn list(bus: &Bus, limit: usize) -> Result<Vec<DeadLetter>, ReadError> {
    let newest = read::newest(bus, StreamName::Dead, "dead.>", limit).await?;
    Ok(newest.into_iter().map(DeadLetter::read).collect())
}

/// One dead letter; none where there is none (any more).
///
/// # Errors
/// The stream can't be read.
pub async fn get(bus: &Bus, sequence: u64) -> Result<Option<DeadLetter>, ReadError> {
    Ok(read::get(bus, StreamName::Dead, sequence).await?.map(DeadLetter::read))
}

/// Throws a dead letter away. False where there was none.
///
/// # Errors
/// It may lie there still.
pub async fn discard(bus: &Bus, sequence: u64) -> Result<bool, ReadError> {
    read::delete(bus, StreamName::Dead, sequence).await
}

/// Puts a dead letter back to work: it goes on in the run in which it died, where it stopped. Doing it twice, also
/// after a crash in between, does it once.
///
/// # Errors
/// What prevented it; the letter is never lost.
pub async fn revive(bus: &Bus, sequence: u64) -> Result<Published, ReviveError> {
    send_back(bus, None, sequence).await
}

/// As [`revive`], but it has its place in the queue among the events of `run`, and is called off with them.
///
/// # Errors
/// What prevented it; the letter is never lost.
pub async fn revive_in(bus: &Bus, run: &str, sequence: u64) -> Result<Published, ReviveError> {
    send_back(bus, Some(run), sequence).await
}

async fn send_back(bus: &Bus, run: Option<&str>, sequence: u64) -> Result<Published, ReviveError> {
    let message = read::get(bus, StreamName::Dead, sequence).await?.ok_or(ReviveError::NotFound(sequence))?;
    let letter = DeadLetter::read(message.clone());
    // What makes it a letter travels with it, so that it can be put back as it was.
    let mut headers = wire::copy(message.headers.as_ref());
    wire::put(&mut headers, REPLAY_RUN, &letter.run);
    headers.insert(REPLAY_OF, letter.of_sequence.to_string());
    headers.insert(RESUME, "true");
    let run = subject_token(run.unwrap_or(&letter.run));
    let subject = format!("replay.{run}.{}", wire::rest(&message.subject));
    // With the time, so that a stream that was made anew and counts from 1 again can't be taken for the old one.
    let id = format!("revive:{sequence}:{}", message.stored_at.as_nanosecond());
    let published = replay::queue(bus, subject, id, headers, message.body)
        .await
        .map_err(|error| ReviveError::NotPublished(sequence, error))?;
    discard(bus, sequence).await?;
    Ok(published)
}

/// Was this message a dead letter before it went back to work?
pub(crate) fn was_letter(headers: &HeaderMap) -> bool {
    headers.get(REASON).is_some()
}

/// Makes a message of `HOOKS_REPLAY` the dead letter again that it was. Doing it twice does it once. The message stays: it
/// may only leave when this is done, or a crash between the two would lose both.
///
/// # Errors
/// It may be in `HOOKS_DEAD` or not.
pub(crate) async fn put_back(bus: &Bus, sequence: u64) -> Result<(), ReadError> {
    let Some(message) = read::get(bus, StreamName::Replay, sequence).await? else { return Ok(()) };
    let headers = wire::copy_without(message.headers.as_ref(), &[REPLAY_RUN, REPLAY_OF, RESUME]);
    let subject = format!("dead.{}", wire::rest(&message.subject));
    let id = format!("back:{sequence}:{}", message.stored_at.as_nanosecond());
    let stored = bus.store(StreamName::Dead, subject, Some(&id), headers, message.body).await;
    stored.map(|_| ()).map_err(|error| {
        ReadError(format!("a dead letter could not be put back, so it stays in its run: {error}"))
    })
}

/// A delivery on its way to the dead letters.
pub(crate) struct Letter<'a> {
    pub(crate) stream: StreamName,
    pub(crate) sequence: u64,
    pub(crate) stored_at: Timestamp,
    pub(crate) hooks_sequence: u64,
    pub(crate) run: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) headers: Option<&'a HeaderMap>,
    pub(crate) body: &'a Bytes,
}

/// Longest reason in a header, in characters; the event log has it whole.
const REASON_MOST: usize = 700;

pub(crate) async fn publish(bus: &Bus, letter: &Letter<'_>, why: &Burial) -> Result<Published, PublishError> {
    // Its wait was over.
    let mut headers = wire::copy_without(letter.headers, &[NOT_BEFORE]);
    let reason: String = why.reason.chars().take(REASON_MOST).collect();
    wire::put(&mut headers, REASON, &reason);
    headers.insert(ATTEMPTS, why.attempts.to_string());
    headers.insert(FIRST_FAILURE, wire::time(why.first_failed_at));
    headers.insert(LAST_FAILURE, wire::time(why.last_failed_at));
    headers.insert(SEQUENCE, letter.hooks_sequence.to_string());
    wire::put(&mut headers, RUN, letter.run);
    wire::put(&mut headers, WORKER, &why.worker);
    let subject = format!("dead.{}", wire::rest(letter.subject));
    // The same for every attempt to bury this message; with the time, so that a stream that was made anew and counts
    // from 1 again can't be taken for the old one.
    let id =
        format!("dead:{}:{}:{}", letter.stream.name(), letter.sequence, letter.stored_at.as_nanosecond());
    bus.store(StreamName::Dead, subject, Some(&id), headers, letter.body.clone()).await
}
