//! Events that are worked on again: found in `HOOKS`, copied to `HOOKS_REPLAY`.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use domain::envelope::Envelope;
use domain::names::{EventId, subject_token};
use jiff::Timestamp;

use crate::connect::Bus;
use crate::delivery::{REPLAY_OF, REPLAY_RUN, RESUME};
use crate::publisher::{PublishError, Published};
use crate::read::{self, ReadError, Scan, Start, Stored};
use crate::topology::StreamName;
use crate::wire;

pub mod runs;

/// How far the clocks of ingest and nats-server may be apart: an event is stored after it was received, but by
/// another clock.
const CLOCKS: Duration = Duration::from_secs(300);

/// Which events. What is none or empty does not narrow; texts are as in the event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    pub ids: Vec<EventId>,
    /// Received then or later.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    pub from_sequence: Option<u64>,
    /// This one included.
    pub to_sequence: Option<u64>,
    pub endpoint: Option<String>,
    pub tenant: Option<String>,
    pub status: Option<String>,
    pub kind: Option<String>,
}

impl Selection {
    /// The subject that only what is selected has.
    fn filter(&self) -> String {
        let parts = [&self.endpoint, &self.kind, &self.status, &self.tenant];
        if parts.iter().all(|part| part.is_none()) {
            return "hooks.>".to_owned();
        }
        let tokens = parts.map(|part| part.as_deref().map_or_else(|| "*".to_owned(), subject_token));
        format!("hooks.{}", tokens.join("."))
    }

    /// What the subject does not say.
    fn takes(&self, envelope: &Envelope) -> bool {
        (self.ids.is_empty() || self.ids.contains(&envelope.id))
            && self.since.is_none_or(|since| envelope.received_at >= since)
            && self.until.is_none_or(|until| envelope.received_at < until)
    }
}

/// An event that was selected.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Its sequence in `HOOKS`.
    pub sequence: u64,
    pub stored_at: Timestamp,
    pub envelope: Envelope,
}

impl Selected {
    fn read(message: Stored) -> Result<Self, String> {
        let envelope = wire::read(&message.subject, message.headers.as_ref(), message.body)?;
        Ok(Self { sequence: message.sequence, stored_at: message.stored_at, envelope })
    }
}

/// Selected events, in the order of the stream, up to what was the newest when the selection was made.
pub struct Selecting {
    scan: Scan,
    selection: Selection,
    looked_at: u64,
    unreadable: u64,
}

impl std::fmt::Debug for Selecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selecting")
            .field("selection", &self.selection)
            .field("looked_at", &self.looked_at)
            .finish_non_exhaustive()
    }
}

impl Selecting {
    /// How many messages will be looked at, at most: the full length of a progress bar.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.scan.total()
    }

    /// How many messages were looked at so far.
    #[must_use]
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// How many of them could not be read, and were left out.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The next one; none at the end.
    ///
    /// # Errors
    /// The stream can't be read (any more).
    pub async fn next(&mut self) -> Result<Option<Selected>, ReadError> {
        while let Some(message) = self.scan.next().await? {
            self.looked_at += 1;
            match Selected::read(message) {
                Ok(found) if self.selection.takes(&found.envelope) => return Ok(Some(found)),
                Ok(_) => {}
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(None)
    }
}

/// Selects events of `HOOKS`. Nothing is changed.
///
/// # Errors
/// The stream can't be read.
pub async fn select(bus: &Bus, selection: &Selection) -> Result<Selecting, ReadError> {
    let start = match (selection.from_sequence, selection.since) {
        (Some(sequence), _) => Start::Sequence(sequence),
        (None, Some(since)) => Start::Time(since.checked_sub(CLOCKS).unwrap_or(since)),
        (None, None) => Start::Sequence(1),
    };
    let scan = Scan::begin(bus, StreamName::Hooks, &selection.filter(), start, selection.to_sequence).await?;
    Ok(Selecting { scan, selection: selection.clone(), looked_at: 0, unreadable: 0 })
}

/// The event at a sequence of `HOOKS`; none where there is none (any more), or none that Gluehook wrote.
///
/// # Errors
/// The stream can't be read.
pub async fn get(bus: &Bus, sequence: u64) -> Result<Option<Selected>, ReadError> {
    let message = read::get(bus, StreamName::Hooks, sequence).await?;
    Ok(message.and_then(|message| Selected::read(message).ok()))
}

/// Has an event worked on again, as part of `run`: everything is decided anew. Publishing it twice in one run does it
/// once, unless the run was called off in between.
///
/// # Errors
/// It may be published or not.
pub async fn publish(bus: &Bus, run: &str, selected: &Selected) -> Result<Published, PublishError> {
    put(bus, run, run, false, selected).await
}

/// Has work on an event gone on with, as part of `run`: what was decided in the run `decided_in` stays decided, what is
/// done there stays done, and what failed is tried again. Publishing it twice in one run does it once, unless the run was
/// called off in between. An event that has a dead letter goes on with [`crate::dead::revive_in`] instead.
///
/// # Errors
/// It may be published or not.
pub async fn resume(
    bus: &Bus,
    run: &str,
    decided_in: &str,
    selected: &Selected,
) -> Result<Published, PublishError> {
    put(bus, run, decided_in, true, selected).await
}

async fn put(
    bus: &Bus,
    run: &str,
    decided_in: &str,
    resume: bool,
    selected: &Selected,
) -> Result<Published, PublishError> {
    let envelope = &selected.envelope;
    let mut headers = wire::write(envelope);
    wire::put(&mut headers, REPLAY_RUN, decided_in);
    headers.insert(REPLAY_OF, selected.sequence.to_string());
    if resume {
        headers.insert(RESUME, "true");
    }
    let run = subject_token(run);
    let subject = format!("replay.{run}.{}", wire::rest(&envelope.subject));
    // Not the event's own: that would be a duplicate within the window.
    let id = format!("replay:{run}:{}", selected.sequence);
    queue(bus, subject, id, headers, envelope.body.clone()).await
}

/// Puts a message into the queue, unless that of this id lies there. One that was taken out again is no reason to leave
/// it out: NATS remembers its id, and would tell of a duplicate that nobody has.
pub(crate) async fn queue(
    bus: &Bus,
    subject: String,
    first_id: String,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Published, PublishError> {
    let mut id = first_id.clone();
    loop {
        let published =
            bus.store(StreamName::Replay, subject.clone(), Some(&id), headers.clone(), body.clone()).await?;
        if !published.duplicate {
            return Ok(published);
        }
        let there = read::get(bus, StreamName::Replay, published.sequence).await;
        if there.map_err(|error| PublishError::Unavailable { why: error.to_string() })?.is_some() {
            return Ok(published);
        }
        // The same for whoever comes to the same end.
        id = format!("{first_id}:after:{}", published.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_says_what_the_subject_can() {
        assert_eq!(Selection::default().filter(), "hooks.>");
        let selection = Selection {
            tenant: Some("a.b".into()),
            kind: Some("job".into()),
            ids: vec![EventId::from_text("x")],
            ..Selection::default()
        };
        assert_eq!(selection.filter(), "hooks.*.job.*.a%2Eb");
        let empty = Selection { status: Some(String::new()), ..Selection::default() };
        assert_eq!(empty.filter(), "hooks.*.*._.*");
    }
}
