//! Runs as they lie in `HOOKS_REPLAY`: what is in them, how far the workers are, calling them off.

use std::collections::BTreeMap;

use async_nats::jetstream::consumer;
use async_nats::jetstream::response::Response;
use domain::names::{EventId, subject_token};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::connect::Bus;
use crate::dead;
use crate::delivery::{REPLAY_OF, REPLAY_RUN};
use crate::publisher::missing;
use crate::read::{ReadError, Scan, Start};
use crate::topology::{StreamName, missing_consumer};
use crate::wire;

/// Messages that are taken out at once.
const AT_ONCE: usize = 64;

/// How far the workers are in `HOOKS_REPLAY`, all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Up to this sequence, itself included, everything is settled.
    pub settled: u64,
    /// Up to this sequence everything was handed to a worker at least once.
    pub taken: u64,
    /// Does any worker ask for more?
    pub pulled: bool,
    /// Messages that were handed to workers and are not settled.
    pub under_way: u64,
}

/// One event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its sequence in `HOOKS_REPLAY`.
    pub sequence: u64,
    /// Its sequence in `HOOKS`.
    pub of: u64,
    /// None where its headers can't be read.
    pub id: Option<EventId>,
    /// The run in which it is decided: another one's, where that is gone on with.
    pub decided_in: String,
    pub stored_at: Timestamp,
    /// It was a dead letter, and becomes one again if it is called off.
    pub letter: bool,
}

/// A run in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    pub run: String,
    pub events: u64,
    /// No worker has taken them yet.
    pub waiting: u64,
    /// Taken, and perhaps not settled yet.
    pub in_hand: u64,
}

/// What calling a run off came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalledOff {
    /// Events that no worker had taken, and none will.
    pub removed: u64,
    /// Those of them that are dead letters again.
    pub letters: u64,
    /// Events that were taken before: done, or ending as they would.
    pub taken: u64,
}

/// How far the workers are.
///
/// # Errors
/// The stream or its consumer is missing, or NATS does not answer.
pub async fn reached(bus: &Bus) -> Result<Reached, ReadError> {
    let stream = StreamName::Replay;
    let name = stream.consumer().unwrap_or_default();
    let answer = bus.ask::<consumer::Info>(format!("CONSUMER.INFO.{}.{name}", stream.name())).await;
    let info = answered(bus, answer, || missing_consumer(stream, name))?;
    let taken = info.delivered.stream_sequence;
    let settled = if info.num_ack_pending == 0 { taken } else { info.ack_floor.stream_sequence };
    let under_way = info.num_ack_pending.try_into().unwrap_or(u64::MAX);
    Ok(Reached { settled, taken, pulled: info.num_waiting > 0, under_way })
}

/// The events of a run, in the order in which they are worked on.
///
/// # Errors
/// The stream can't be read.
pub async fn queued(bus: &Bus, run: &str) -> Result<Vec<Queued>, ReadError> {
    let filter = format!("replay.{}.>", subject_token(run));
    let mut scan = Scan::begin_with(bus, StreamName::Replay, &filter, Start::Sequence(1), None, true).await?;
    let mut queued = Vec::new();
    while let Some(message) = scan.next().await? {
        let headers = message.headers.unwrap_or_default();
        queued.push(Queued {
            sequence: message.sequence,
            of: wire::number(&headers, &REPLAY_OF).unwrap_or(0),
            id: wire::id(&headers),
            decided_in: wire::get(&headers, &REPLAY_RUN).unwrap_or_else(|| run.to_owned()),
            stored_at: message.stored_at,
            letter: dead::was_letter(&headers),
        });
    }
    Ok(queued)
}

/// All runs of which something is in the stream, by name.
///
/// # Errors
/// The stream can't be read.
pub async fn list(bus: &Bus) -> Result<Vec<Run>, ReadError> {
    let mut runs = BTreeMap::new();
    let run = |runs: &mut BTreeMap<String, Run>, subject: &str, count: fn(&mut Run) -> &mut u64, by: u64| {
        let token = subject.split('.').nth(1).unwrap_or_default();
        let name = wire::decode(token).unwrap_or_else(|_| token.to_owned());
        let empty = Run { run: name.clone(), events: 0, waiting: 0, in_hand: 0 };
        *count(runs.entry(name).or_insert(empty)) += by;
    };
    for (subject, messages) in subjects(bus).await? {
        run(&mut runs, &subject, |run| &mut run.events, messages);
    }
    let reached = reached(bus).await?;
    let start = Start::Sequence(reached.settled + 1);
    let mut scan =
        Scan::begin_with(bus, StreamName::Replay, StreamName::Replay.subject(), start, None, true).await?;
    while let Some(message) = scan.next().await? {
        if message.sequence > reached.taken {
            run(&mut runs, &message.subject, |run| &mut run.waiting, 1);
        } else {
            run(&mut runs, &message.subject, |run| &mut run.in_hand, 1);
        }
    }
    Ok(runs.into_values().collect())
}

/// Takes out of the stream what no worker has taken yet, the newest first, so that workers and this meet once at most.
/// What a worker has in hand is left to it: taken away, its retries would end without a word. What was a dead letter is one
/// again before it leaves. `tell` is told after each bite how many are out.
///
/// # Errors
/// A stream can't be read or changed; what was removed stays removed, and nothing is lost.
pub async fn call_off(bus: &Bus, run: &str, tell: impl Fn(u64)) -> Result<CalledOff, ReadError> {
    let (mut removed, mut letters) = (0, 0);
    loop {
        let queued = queued(bus, run).await?;
        let mut reach = reached(bus).await?;
        let mut waiting: Vec<_> = queued.iter().map(|one| (one.sequence, one.letter)).collect();
        waiting.retain(|(sequence, _)| *sequence > reach.taken);
        let taken = (queued.len() - waiting.len()).try_into().unwrap_or(u64::MAX);
        if waiting.is_empty() {
            return Ok(CalledOff { removed, letters, taken });
        }
        for bite in waiting.rchunks(AT_ONCE) {
            let deleted = stream::iter(bite.iter().copied().filter(|(sequence, _)| *sequence > reach.taken))
                .map(|(sequence, letter)| async move {
                    if letter {
                        dead::put_back(bus, sequence).await?;
                    }
                    Ok((delete(bus, sequence).await?, letter))
                })
                .buffer_unordered(AT_ONCE);
            let deleted: Vec<(bool, bool)> = deleted.try_collect().await?;
            for (_, letter) in deleted.into_iter().filter(|(deleted, _)| *deleted) {
                removed += 1;
                letters += u64::from(letter);
            }
            tell(removed);
            reach = reached(bus).await?;
        }
        // Whoever publishes the run may be at it still.
    }
}

/// Takes a message out; false where there is none.
pub(crate) async fn delete(bus: &Bus, sequence: u64) -> Result<bool, ReadError> {
    #[derive(Serialize)]
    struct Which {
        seq: u64,
        no_erase: bool,
    }
    #[derive(Deserialize)]
    struct Deleted {
        success: bool,
    }
    let api = format!("STREAM.MSG.DELETE.{}", StreamName::Replay.name());
    match bus.ask_for::<Deleted, _>(api, &Which { seq: sequence, no_erase: true }).await {
        Ok(Response::Ok(deleted)) => Ok(deleted.success),
        // It left by itself, or someone else calls the run off too.
        Ok(Response::Err { error }) if gone(&error.to_string()) => Ok(false),
        Ok(Response::Err { error }) => {
            Err(ReadError(bus.request_failed("a replay can't be taken out of the queue", &error)))
        }
        Err(error) => Err(ReadError(bus.request_failed("a replay can't be taken out of the queue", &error))),
    }
}

/// The server has one code for all that can go wrong with deleting, and words for this.
fn gone(error: &str) -> bool {
    error.contains("no message found") || error.contains("deleted message")
}

/// Every subject in the stream with how many messages it has.
async fn subjects(bus: &Bus) -> Result<BTreeMap<String, u64>, ReadError> {
    #[derive(Serialize)]
    struct Wanted {
        subjects_filter: &'static str,
        offset: usize,
    }
    #[derive(Deserialize)]
    struct Info {
        state: State,
        #[serde(default)]
        total: usize,
    }
    #[derive(Deserialize)]
    struct State {
        #[serde(default)]
        subjects: Option<BTreeMap<String, u64>>,
    }
    let stream = StreamName::Replay;
    let mut all = BTreeMap::new();
    loop {
        let wanted = Wanted { subjects_filter: stream.subject(), offset: all.len() };
        let answer = bus.ask_for::<Info, _>(format!("STREAM.INFO.{}", stream.name()), &wanted).await;
        let info = answered(bus, answer, || missing(stream.name()))?;
        let page = info.state.subjects.unwrap_or_default();
        let last = page.is_empty();
        all.extend(page);
        if last || all.len() >= info.total {
            return Ok(all);
        }
    }
}

fn answered<T>(
    bus: &Bus,
    answer: Result<Response<T>, crate::connect::AskError>,
    missing: impl FnOnce() -> String,
) -> Result<T, ReadError> {
    let what = format!("stream {} can't be looked at", StreamName::Replay.name());
    match answer {
        Ok(Response::Ok(info)) => Ok(info),
        Ok(Response::Err { error }) if error.code() == 404 => Err(ReadError(missing())),
        Ok(Response::Err { error }) => Err(ReadError(bus.request_failed(&what, &error))),
        Err(error) => Err(ReadError(bus.request_failed(&what, &error))),
    }
}
