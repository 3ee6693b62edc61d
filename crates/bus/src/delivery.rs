//! One event in a worker's hands. It is settled by value: what was settled can't be settled again, and what is dropped
//! comes back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use async_nats::header::HeaderName;
use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use domain::envelope::Envelope;
use domain::names::subject_token;
use domain::plan;
use jiff::Timestamp;

use crate::connect::{Bus, REQUEST_TIMEOUT};
use crate::dead;
use crate::replay::runs;
use crate::topology::StreamName;
use crate::wire;

pub(crate) const REPLAY_RUN: HeaderName = HeaderName::from_static("Gluehook-Replay-Run");
pub(crate) const REPLAY_OF: HeaderName = HeaderName::from_static("Gluehook-Replay-Of");
pub(crate) const RESUME: HeaderName = HeaderName::from_static("Gluehook-Resume");
pub(crate) const NOT_BEFORE: HeaderName = HeaderName::from_static("Gluehook-Not-Before");

/// An event as it was delivered. Dropped without being settled, it is delivered again after `ack_wait`.
#[derive(Debug)]
#[must_use = "a delivery that is not settled is delivered again"]
pub struct Delivery {
    bus: Bus,
    stream: StreamName,
    ack_wait: Duration,
    reply: Option<Subject>,
    place: Place,
    subject: Subject,
    headers: Option<HeaderMap>,
    body: Bytes,
    envelope: Result<Envelope, String>,
    replay: Option<Replay>,
}

/// A delivery that is not the first work on its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Name of the run that it belongs to.
    pub run: String,
    /// Sequence of the event in `HOOKS`.
    pub of: u64,
    /// It goes on where the run stopped: what was decided stays decided. Otherwise everything is decided anew.
    pub resume: bool,
}

/// Why an event is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burial {
    /// One sentence for people.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u64,
    pub first_failed_at: Timestamp,
    pub last_failed_at: Timestamp,
    /// Name of the worker that gave it up.
    pub worker: String,
}

/// Why a delivery could not be settled: it will be delivered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SettleError {
    pub why: String,
}

impl Delivery {
    pub(crate) fn new(bus: Bus, stream: StreamName, ack_wait: Duration, message: Message) -> Self {
        let Message { subject, reply, payload: body, headers, .. } = message;
        let place = reply.as_deref().and_then(Place::read).unwrap_or_default();
        // Whoever takes many must not die over one of them.
        let read = || wire::read(&subject, headers.as_ref(), body.clone());
        let envelope = catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Err("reading its headers ended in a panic, a defect of Gluehook".to_owned()));
        let replay = headers.as_ref().and_then(|headers| {
            Some(Replay {
                run: wire::get(headers, &REPLAY_RUN)?,
                of: wire::number(headers, &REPLAY_OF).unwrap_or(0),
                resume: headers.get(RESUME).is_some(),
            })
        });
        Self { bus, stream, ack_wait, reply, place, subject, headers, body, envelope, replay }
    }

    /// The event.
    ///
    /// # Errors
    /// Why its headers can't be read: nobody can work on it, so it should be buried.
    pub fn envelope(&self) -> Result<&Envelope, &str> {
        self.envelope.as_ref().map_err(String::as_str)
    }

    /// How often it was delivered, this time included. Not how often it failed: restarts and lost connections count.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        self.place.delivered
    }

    /// Its sequence in [`Delivery::stream`].
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.place.sequence
    }

    /// Its sequence in `HOOKS`, also for a replay.
    #[must_use]
    pub fn hooks_sequence(&self) -> u64 {
        self.replay.as_ref().map_or(self.place.sequence, |replay| replay.of)
    }

    /// The stream it came from.
    #[must_use]
    pub fn stream(&self) -> StreamName {
        self.stream
    }

    /// When the stream stored it.
    #[must_use]
    pub fn stored_at(&self) -> Timestamp {
        self.place.stored_at
    }

    /// The replay that it belongs to.
    #[must_use]
    pub fn replay(&self) -> Option<&Replay> {
        self.replay.as_ref()
    }

    /// Name of the run: that of the replay, or `live`.
    #[must_use]
    pub fn run(&self) -> &str {
        self.replay.as_ref().map_or(plan::LIVE, |replay| &replay.run)
    }

    /// When its wait is over, for what was set aside while it waited.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        wire::timestamp(self.headers.as_ref()?, &NOT_BEFORE).ok()
    }

    /// It is finished. Not waited for: should the acknowledgement get lost, it is delivered once more.
    ///
    /// # Errors
    /// It could not be sent.
    pub async fn done(self) -> Result<(), SettleError> {
        self.say(Bytes::from_static(b"+ACK")).await
    }

    /// It is finished, and the server has confirmed that it knows.
    ///
    /// # Errors
    /// No confirmation came.
    pub async fn done_sure(self) -> Result<(), SettleError> {
        self.ask(Bytes::from_static(b"+ACK")).await
    }

    /// Not now: it is delivered again after `delay`, to any worker.
    ///
    /// # Errors
    /// It could not be sent; it is delivered again after `ack_wait`.
    pub async fn again_in(self, delay: Duration) -> Result<(), SettleError> {
        // Zero nanoseconds would be a plain NAK: hundreds of attempts a second.
        let nanos = delay.max(Duration::from_millis(1)).as_nanos();
        self.say(format!("-NAK {{\"delay\":{nanos}}}").into()).await
    }

    /// Not now, and too many wait already: it goes to the end of `HOOKS_REPLAY`, as what it is, and counts no longer among those
    /// that this stream's consumer may have outstanding. Whoever takes it from there leaves it until `not_before`. Meant for the live
    /// run: a worker need not be allowed to put events into other ones.
    ///
    /// # Errors
    /// It is delivered again; perhaps from there too.
    pub async fn set_aside(self, not_before: Timestamp) -> Result<(), SettleError> {
        let Place { delivered, sequence, stored_at } = self.place;
        let run = subject_token(self.run());
        let mut headers = wire::copy(self.headers.as_ref());
        wire::put(&mut headers, REPLAY_RUN, self.run());
        headers.insert(REPLAY_OF, self.hooks_sequence().to_string());
        headers.insert(NOT_BEFORE, wire::time(not_before));
        let subject = format!("replay.{run}.{}", wire::rest(&self.subject));
        // Of this delivery alone: an earlier one may have been set aside, worked on and set aside again.
        let id = format!("aside:{}:{sequence}:{}:{delivered}", self.stream.name(), stored_at.as_nanosecond());
        let stored = self.bus.store(StreamName::Replay, subject, Some(&id), headers, self.body.clone()).await;
        stored.map_err(|error| SettleError { why: format!("not set aside: {error}") })?;
        let (bus, replaced) = (self.bus.clone(), self.stream == StreamName::Replay);
        self.ask(Bytes::from_static(b"+ACK")).await?;
        // `HOOKS` keeps what came in; of what goes round here, one is enough.
        if replaced && let Err(error) = runs::delete(&bus, sequence).await {
            tracing::debug!(%error, "a message that was set aside again stays in HOOKS_REPLAY beside itself");
        }
        Ok(())
    }

    /// Gives it up: it goes to `HOOKS_DEAD` with all it came with, and leaves the work stream's consumer.
    ///
    /// # Errors
    /// It is not in `HOOKS_DEAD`, or perhaps it is but the server did not confirm the rest. Either way it is delivered
    /// again, and buried only once.
    pub async fn bury(self, why: &Burial) -> Result<(), SettleError> {
        let letter = dead::Letter {
            stream: self.stream,
            sequence: self.place.sequence,
            stored_at: self.place.stored_at,
            hooks_sequence: self.hooks_sequence(),
            run: self.run(),
            subject: &self.subject,
            headers: self.headers.as_ref(),
            body: &self.body,
        };
        dead::publish(&self.bus, &letter, why)
            .await
            .map_err(|error| SettleError { why: format!("not buried: {error}") })?;
        self.ask(Bytes::from_static(b"+TERM")).await
    }

    /// Tells the server that it is being worked on, until the guard is dropped.
    pub fn keep_alive(&self) -> KeepAlive {
        let client = self.bus.client.clone();
        let every = (self.ack_wait / 3).max(Duration::from_millis(10));
        let Some(reply) = self.reply.clone() else { return KeepAlive(None) };
        KeepAlive(Some(tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                if client.publish(reply.clone(), Bytes::from_static(b"+WPI")).await.is_err() {
                    return;
                }
            }
        })))
    }

    async fn say(&self, word: Bytes) -> Result<(), SettleError> {
        let reply = self.reply()?;
        // While NATS is away the word waits in a queue; when that is full, it is lost.
        match tokio::time::timeout(REQUEST_TIMEOUT, self.bus.client.publish(reply, word)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SettleError { why: format!("not settled: {error}") }),
            Err(_) => Err(SettleError { why: "not settled: NATS is not reachable".to_owned() }),
        }
    }

    async fn ask(&self, word: Bytes) -> Result<(), SettleError> {
        let reply = self.reply()?;
        let to = reply.to_string();
        let answer = self.bus.unless_denied(&to, self.bus.client.request(reply, word));
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Err(denied)) => Err(SettleError { why: format!("the server was not told: {denied}") }),
            Ok(Ok(Err(error))) => {
                Err(SettleError { why: self.bus.request_failed("the server did not confirm", &error) })
            }
            Err(_) => Err(SettleError { why: self.bus.unanswered("the server did not confirm in time") }),
        }
    }

    fn reply(&self) -> Result<Subject, SettleError> {
        self.reply.clone().ok_or_else(|| SettleError {
            why: "the message came without an address for the answer".to_owned(),
        })
    }
}

/// Keeps a delivery from being given to another worker, until dropped.
#[derive(Debug)]
#[must_use = "dropped at once, it keeps nothing alive"]
pub struct KeepAlive(Option<tokio::task::JoinHandle<()>>);

impl Drop for KeepAlive {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What NATS writes into the reply subject of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    delivered: u64,
    sequence: u64,
    stored_at: Timestamp,
}

impl Default for Place {
    fn default() -> Self {
        Self { delivered: 1, sequence: 0, stored_at: Timestamp::UNIX_EPOCH }
    }
}

impl Place {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<nanoseconds>.<pending>`, and since
    /// ADR-15 also with domain and account before the stream and perhaps something after the last.
    fn read(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.split('.').collect();
        let at = match tokens.len() {
            9 => 4,
            11.. => 6,
            _ => return None,
        };
        Some(Self {
            delivered: tokens[at].parse().ok()?,
            sequence: tokens[at + 1].parse().ok()?,
            stored_at: Timestamp::from_nanosecond(tokens[at + 3].parse().ok()?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_reply_subject_are_read() {
        let expected = Place {
            delivered: 3,
            sequence: 17,
            stored_at: Timestamp::from_nanosecond(1_700_000_000_000_000_005).unwrap(),
        };
        for reply in [
            "$JS.ACK.HOOKS.worker.3.17.20.1700000000000000005.4",
            "$JS.ACK._.acchash.HOOKS.worker.3.17.20.1700000000000000005.4",
            "$JS.ACK.hub.acchash.HOOKS.worker.3.17.20.1700000000000000005.4.token",
        ] {
            assert_eq!(Place::read(reply), Some(expected), "{reply}");
        }
        for other in ["", "_INBOX.x", "$JS.ACK.HOOKS.worker.x.17.20.1700000000000000005.4"] {
            assert_eq!(Place::read(other), None, "{other}");
        }
    }
}
