//! The spool: events on our own disk, while NATS can't take them (`--durability broker`) or until it surely has them
//! (`--durability journal`). One thread writes: everything that wants to be stored at one time shares one fsync, and
//! is answered after it.
//!
//! Nothing in memory has to survive: after a start everything that lies there is published again, under the same id,
//! and what NATS has already is a duplicate to it.

mod file;
mod index;
mod keeper;
mod record;
mod reserve;
mod untouched;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::envelope::Envelope;
use domain::names::EventId;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use index::Ids;
use keeper::{Append, Keeper};

/// Requests to the thread that wait at one time; more are turned away.
const QUEUED: usize = 8192;
/// Records of one commit, and their bytes.
const TOGETHER: usize = 2048;
const TOGETHER_BYTES: usize = 16 << 20;
/// How long what was settled may wait for a commit that it can share.
const SETTLE_WITHIN: Duration = Duration::from_millis(50);
/// How often the thread looks around when nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// What may lie in the spool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of all records.
    pub(crate) max_bytes: u64,
    /// How long a record stays after NATS has acknowledged it; none deletes it at once.
    pub(crate) keep: Option<Duration>,
}

/// Why the spool can't be used: one sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// What lies there can't be read any more, and is left as it is.
    #[error("{0}")]
    Damaged(String),
    /// Nothing is known against what lies there.
    #[error("{0}")]
    Failed(String),
}

/// An event that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) place: u64,
    /// It lay there before.
    pub(crate) duplicate: bool,
}

/// Why an event was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSpooled {
    /// The limit of the spool is reached.
    #[error("the spool is full: /readyz says of what; raise --spool-max if that is as it should be")]
    Full,
    /// More want to be stored than the disk can follow.
    #[error("more events came at once than the spool can write")]
    Crowded,
    /// The disk did not take it.
    #[error("{0}")]
    Disk(String),
}

/// What became of a record that someone had in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// NATS has acknowledged it; published under this [`Spool::epoch`].
    Stored { place: u64, epoch: u64 },
    /// It is to be published again.
    NotStored(u64),
    /// NATS will not take it as it is now.
    TooLarge(u64),
}

/// How the spool is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Events that NATS has not acknowledged.
    pub(crate) unsent: u64,
    /// Those of them that nobody is publishing.
    pub(crate) waiting: u64,
    /// Those of them that are too large for NATS.
    pub(crate) aside: u64,
    /// Events that NATS has acknowledged and that are kept for a while.
    pub(crate) kept: u64,
    /// Bytes of all of them.
    pub(crate) bytes: u64,
    /// When the oldest that is not acknowledged was received.
    pub(crate) oldest: Option<Timestamp>,
    /// An event was refused for want of room, and there is hardly more room since.
    pub(crate) full: bool,
    /// Why the file takes nothing.
    pub(crate) trouble: Option<String>,
}

/// The spool. Clones are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct Spool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    limits: Limits,
    requests: SyncSender<Request>,
    settled: Arc<Mutex<Vec<Settled>>>,
    ids: Arc<Ids>,
    epoch: Arc<AtomicU64>,
    stats: watch::Receiver<Stats>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Request {
    Append(Append, Reply),
    Take { most: usize, most_bytes: u64, reply: oneshot::Sender<Vec<(u64, Envelope)>> },
    Rewind,
    Alive(Instant),
    Close,
}

type Reply = oneshot::Sender<Result<Appended, NotSpooled>>;

impl Spool {
    /// Opens the spool in `directory`, or makes one. Whatever lies there waits to be published.
    ///
    /// # Errors
    /// The sentence that says why it can't be used, and what to do.
    pub(crate) fn open(directory: &Path, limits: Limits) -> Result<Self, OpenError> {
        let ids = Arc::new(Ids::default());
        let keeper = Keeper::open(directory.to_owned(), limits, Arc::clone(&ids))?;
        let (requests, inbox) = sync_channel(QUEUED);
        let (tell, stats) = watch::channel(keeper.stats());
        let settled = Arc::<Mutex<Vec<Settled>>>::default();
        let epoch = Arc::<AtomicU64>::default();
        let thread = Thread { keeper, inbox, settled: Arc::clone(&settled), tell, epoch: Arc::clone(&epoch) };
        let thread = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| OpenError::Failed(format!("no thread can be started for the spool: {error}")))?;
        let thread = Mutex::new(Some(thread));
        let directory = directory.to_owned();
        Ok(Self(Arc::new(Shared { directory, limits, requests, settled, ids, epoch, stats, thread })))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0.directory
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Whether the event lies here, on the disk.
    pub(crate) fn holds(&self, id: &EventId) -> bool {
        self.0.ids.place(id).is_some()
    }

    /// Stores the event; it is on the disk when this returns. With `in_hand`, the caller publishes it and must
    /// [`settle`](Self::settle) it then.
    ///
    /// # Errors
    /// It may lie on the disk or not.
    pub(crate) async fn append(&self, envelope: &Envelope, in_hand: bool) -> Result<Appended, NotSpooled> {
        let record = record::write(envelope).map_err(NotSpooled::Disk)?;
        let append = Append { id: envelope.id.clone(), received_at: envelope.received_at, record, in_hand };
        let (reply, answer) = oneshot::channel();
        match self.0.requests.try_send(Request::Append(append, reply)) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(ended())),
            Err(TrySendError::Full(_)) => Err(NotSpooled::Crowded),
            Err(TrySendError::Disconnected(_)) => Err(ended()),
        }
    }

    /// Takes the oldest waiting events in hand: at most `most`, of about `most_bytes`. Each is to be
    /// [`settled`](Self::settle).
    pub(crate) async fn take(&self, most: usize, most_bytes: u64) -> Vec<(u64, Envelope)> {
        let (reply, answer) = oneshot::channel();
        match self.0.requests.try_send(Request::Take { most, most_bytes, reply }) {
            Ok(()) => answer.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Says what became of a record that was in hand.
    pub(crate) fn settle(&self, settled: Settled) {
        self.0.settled.lock().unwrap_or_else(PoisonError::into_inner).push(settled);
    }

    /// What NATS has acknowledged so far is published again, as far as it is kept, and so is what was too large. False
    /// if the thread is too busy to be told.
    pub(crate) fn rewind(&self) -> bool {
        self.0.requests.try_send(Request::Rewind).is_ok()
    }

    /// Says that at this moment NATS was there, and was the server, with the stream, that had acknowledged what is kept:
    /// only that lets the time of what is kept pass.
    pub(crate) fn alive(&self, at: Instant) {
        // If the thread is too busy, the next look tells it.
        let _told = self.0.requests.try_send(Request::Alive(at));
    }

    /// Goes up with every [`rewind`](Self::rewind): to be read before something is published.
    pub(crate) fn epoch(&self) -> u64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.0.stats.borrow().clone();
        if self.0.stats.has_changed().is_err() {
            stats.trouble.get_or_insert_with(|| ended().to_string());
        }
        stats
    }

    /// Changes with every commit.
    pub(crate) fn changes(&self) -> watch::Receiver<Stats> {
        self.0.stats.clone()
    }

    /// Writes what is settled and closes the file. Nothing is taken afterwards. What is not acknowledged stays for the
    /// next start.
    pub(crate) async fn close(&self) {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let requests = self.0.requests.clone();
        let closing = tokio::task::spawn_blocking(move || {
            // It has ended already if it can't be told.
            drop(requests.send(Request::Close));
            thread.map(JoinHandle::join)
        });
        if let Ok(Some(Err(_panic))) = closing.await {
            tracing::error!("the thread of the spool had panicked");
        }
    }
}

fn ended() -> NotSpooled {
    NotSpooled::Disk("the thread that writes the spool has ended: start ingest again".to_owned())
}

struct Thread {
    keeper: Keeper,
    inbox: Receiver<Request>,
    settled: Arc<Mutex<Vec<Settled>>>,
    tell: watch::Sender<Stats>,
    epoch: Arc<AtomicU64>,
}

impl Thread {
    fn run(mut self) {
        let mut open = true;
        while open {
            let busy = self.keeper.busy();
            let first = match self.inbox.recv_timeout(if busy { SETTLE_WITHIN } else { IDLE }) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut appends = Vec::new();
            let mut replies = Vec::new();
            let mut takes = Vec::new();
            let mut bytes = 0;
            let mut next = first;
            while let Some(request) = next {
                match request {
                    Request::Append(append, reply) => {
                        bytes += append.record.len();
                        appends.push(append);
                        replies.push(reply);
                    }
                    Request::Take { most, most_bytes, reply } => takes.push((most, most_bytes, reply)),
                    Request::Rewind => {
                        let again = self.keeper.rewind();
                        self.epoch.store(self.keeper.epoch(), Ordering::Release);
                        if again > 0 {
                            tracing::info!("{again} events of the spool are published again");
                        }
                    }
                    Request::Alive(at) => self.keeper.alive(at),
                    Request::Close => open = false,
                }
                let more = open && appends.len() < TOGETHER && bytes < TOGETHER_BYTES;
                next = if more { self.inbox.try_recv().ok() } else { None };
            }
            let now = Instant::now();
            let settled = std::mem::take(&mut *self.settled.lock().unwrap_or_else(PoisonError::into_inner));
            let outcomes = self.keeper.turn(appends, settled, now);
            let taken: Vec<_> =
                takes.iter().map(|(most, most_bytes, _)| self.keeper.take(*most, *most_bytes, now)).collect();
            // Before the answers: who was answered finds it in the figures.
            self.tell.send_replace(self.keeper.stats());
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                // Whoever asked may have gone; the event stays.
                drop(reply.send(outcome));
            }
            for ((_, _, reply), events) in takes.into_iter().zip(taken) {
                if let Err(events) = reply.send(events) {
                    let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
                    settled.extend(events.iter().map(|(place, _)| Settled::NotStored(*place)));
                }
            }
        }
    }
}
