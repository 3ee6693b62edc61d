//! The one who writes: takes what came in since the last time, commits it as one, and answers. No thread and no clock
//! of its own, so that a test can walk it step by step.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::envelope::Envelope;
use domain::names::EventId;
use jiff::Timestamp;

use super::file::{File, FileError, NAME};
use super::index::{Arrival, Ids, Index};
use super::reserve::Reserve;
use super::{Appended, Limits, NotSpooled, OpenError, Settled, Stats, record};

/// How long nothing is written to a disk that was full, unless something was deleted meanwhile.
const AFTER_FULL: Duration = Duration::from_secs(5);
/// How long an unusable file is left alone.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// Kept records that are deleted in one commit.
const EXPIRED_MOST: usize = 4096;
/// A file of so many bytes or less is not made smaller.
const SMALL: u64 = 8 << 20;
/// How often a file that is used in part is made smaller.
const COMPACT_EVERY: Duration = Duration::from_secs(60);

/// A record that wants to be stored.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) id: EventId,
    pub(super) received_at: Timestamp,
    pub(super) record: Vec<u8>,
    pub(super) in_hand: bool,
}

/// What is wrong with the file.
#[derive(Debug, Clone)]
struct Trouble {
    why: String,
    since: Instant,
    /// The disk was full. Anything else may have left pages that only seem to be written: nothing is added to such a
    /// file until someone has looked, while what lies there is still sent.
    no_space: bool,
}

/// The spool without its thread.
pub(super) struct Keeper {
    directory: PathBuf,
    reserve: Reserve,
    limits: Limits,
    ids: Arc<Ids>,
    index: Index,
    file: Option<File>,
    trouble: Option<Trouble>,
    /// The place of the next record. It never goes back while the process runs, so that who settles late can't mean
    /// another record.
    next: u64,
    /// To be deleted with the next commit.
    deletions: Vec<u64>,
    epoch: u64,
    /// When NATS was last known to be the one that had acknowledged what is kept.
    alive: Option<Instant>,
    full: bool,
    /// The room that was kept free is given away.
    released: bool,
    compacted: Option<Instant>,
}

impl Keeper {
    /// # Errors
    /// The sentence that says why the spool can't be used, and what to do.
    pub(super) fn open(directory: PathBuf, limits: Limits, ids: Arc<Ids>) -> Result<Self, OpenError> {
        use std::os::unix::fs::DirBuilderExt as _;
        // Bodies are nobody else's business.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(|error| {
            OpenError::Failed(format!(
                "the directory {} (--spool) can't be made: {error}",
                directory.display()
            ))
        })?;
        let reserve = Reserve::of(&directory);
        let file = match File::open(&directory, true) {
            // Verifying wants to write, and so may opening. What lies there must get out all the more.
            Err(FileError::NoSpace(_)) => match File::open(&directory, false) {
                Err(FileError::NoSpace(_)) if reserve.release() => File::open(&directory, false),
                opened => opened,
            },
            opened => opened,
        };
        let file = file.map_err(|error| unusable(&directory, &error))?;
        let mut keeper = Self {
            directory,
            reserve,
            limits,
            ids,
            index: Index::default(),
            file: None,
            trouble: None,
            next: 0,
            deletions: Vec::new(),
            epoch: 0,
            alive: None,
            full: false,
            released: false,
            compacted: None,
        };
        keeper.load(file).map_err(|error| unusable(&keeper.directory, &error))?;
        if let Err(error) = keeper.reserve.fill() {
            tracing::warn!(
                "no room can be kept free beside the spool {} for the time when its disk is full: {error}",
                keeper.directory.display()
            );
            keeper.without_reserve(&FileError::from(error));
        }
        Ok(keeper)
    }

    /// A full disk without a reserve: most likely it was given away for sending, before a restart. What is left of it is for what lies
    /// there, and nothing is added meanwhile.
    fn without_reserve(&mut self, error: &FileError) {
        if let FileError::NoSpace(_) = error
            && !self.index.is_empty()
        {
            let path = self.directory.join(NAME);
            let why = format!(
                "the spool file {} can't grow: the disk is full ({error}), and what room is left is for sending what lies there",
                path.display()
            );
            self.trouble = Some(Trouble { why, since: Instant::now(), no_space: true });
            self.released = true;
        }
    }

    fn load(&mut self, file: File) -> Result<(), FileError> {
        let mut index = Index::default();
        let ids = Arc::clone(&self.ids);
        ids.clear();
        file.scan(|place, bytes| {
            let label = record::label(bytes);
            if let Err(why) = &label {
                tracing::error!(
                    "record {place} of the spool {} is set aside: {why}",
                    self.directory.display()
                );
            }
            let label = label.as_ref().ok().map(|label| (&label.id, label.received_at));
            index.add(&ids, &Arrival { place, label, bytes: bytes.len() as u64, in_hand: false });
        })?;
        self.next = self.next.max(index.end());
        self.index = index;
        self.file = Some(file);
        Ok(())
    }

    /// Stores all of `appends` with one fsync, together with what was settled since, and says what became of each.
    pub(super) fn turn(
        &mut self,
        appends: Vec<Append>,
        settled: Vec<Settled>,
        now: Instant,
    ) -> Vec<Result<Appended, NotSpooled>> {
        for one in settled {
            self.settle(one, now);
        }
        // A server that is not seen may have lost what it had acknowledged: its time does not pass.
        if let (Some(keep), Some(alive)) = (self.limits.keep, self.alive) {
            self.deletions.extend(self.index.expired(keep, alive, EXPIRED_MOST));
        }
        self.mend(now);
        let mut put = Vec::new();
        let mut outcomes = Vec::with_capacity(appends.len());
        let mut bytes = self.index.bytes();
        // Of this turn, by id: a repeat within it is one record, and answered after the same fsync.
        let mut new: HashMap<EventId, u64> = HashMap::new();
        for append in appends {
            let known = self.ids.place(&append.id).or_else(|| new.get(&append.id).copied());
            outcomes.push(if let Some(place) = known {
                Ok(Appended { place, duplicate: true })
            } else if let Err(why) = self.takes() {
                Err(why)
            } else if bytes + append.record.len() as u64 > self.limits.max_bytes {
                self.full = true;
                Err(NotSpooled::Full)
            } else {
                let place = self.next;
                self.next += 1;
                bytes += append.record.len() as u64;
                new.insert(append.id.clone(), place);
                put.push((place, append));
                Ok(Appended { place, duplicate: false })
            });
        }
        if let Err(why) = self.commit(put, now) {
            for outcome in &mut outcomes {
                if outcome.as_ref().is_ok_and(|appended| new.values().any(|place| *place == appended.place)) {
                    *outcome = Err(NotSpooled::Disk(why.clone()));
                }
            }
        }
        if self.index.bytes() <= self.limits.max_bytes / 20 * 19 {
            self.full = false;
        }
        self.shrink(now);
        outcomes
    }

    /// Up to `most` events of about `most_bytes`, the oldest first, for whoever publishes them.
    pub(super) fn take(&mut self, most: usize, most_bytes: u64, now: Instant) -> Vec<(u64, Envelope)> {
        let Some(file) = &self.file else { return Vec::new() };
        let places = self.index.take(most, most_bytes);
        let records = match file.read(&places) {
            Ok(records) => records,
            Err(error) => {
                self.failed(&error, now);
                return Vec::new();
            }
        };
        let mut events = Vec::with_capacity(records.len());
        for (place, bytes) in records {
            match record::read(&bytes) {
                Ok(envelope) => events.push((place, envelope)),
                Err(why) => {
                    tracing::error!(
                        "record {place} of the spool {} is set aside: {why}",
                        self.directory.display()
                    );
                    self.index.set_aside(place);
                }
            }
        }
        events
    }

    /// At this moment NATS was there, and still the one that had acknowledged what is kept.
    pub(super) fn alive(&mut self, at: Instant) {
        self.alive = Some(at);
    }

    /// What was acknowledged or set aside before is to be published again, and what is acknowledged under an older
    /// epoch does not count.
    pub(super) fn rewind(&mut self) -> usize {
        self.epoch += 1;
        self.index.rewind()
    }

    /// Whether something is under way that wants to be settled, or to be deleted soon.
    pub(super) fn busy(&self) -> bool {
        self.index.in_hand() > 0 || !self.deletions.is_empty()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            unsent: self.index.unsent() as u64,
            waiting: self.index.waiting() as u64,
            aside: self.index.aside() as u64,
            kept: (self.index.len() - self.index.unsent()) as u64,
            bytes: self.index.bytes(),
            oldest: self.index.oldest(),
            full: self.full,
            trouble: self.trouble.as_ref().map(|trouble| trouble.why.clone()),
        }
    }

    fn settle(&mut self, settled: Settled, now: Instant) {
        match settled {
            Settled::Stored { place, epoch } if self.limits.keep.is_some() => {
                if epoch == self.epoch {
                    self.index.keep(place, now);
                } else {
                    self.index.put_back(place);
                }
            }
            Settled::Stored { place, .. } => self.deletions.push(place),
            Settled::NotStored(place) => self.index.put_back(place),
            Settled::TooLarge(place) => self.index.set_aside(place),
        }
    }

    fn takes(&self) -> Result<(), NotSpooled> {
        match &self.trouble {
            Some(trouble) => Err(NotSpooled::Disk(trouble.why.clone())),
            None => Ok(()),
        }
    }

    fn commit(&mut self, put: Vec<(u64, Append)>, now: Instant) -> Result<(), String> {
        if put.is_empty() && self.deletions.is_empty() {
            return Ok(());
        }
        let Some(file) = &self.file else { return Err("its file can't be opened".to_owned()) };
        let (labels, records): (Vec<_>, Vec<_>) = put
            .into_iter()
            .map(|(place, append)| {
                let bytes = append.record.len() as u64;
                ((append.id, append.received_at, bytes, append.in_hand), (place, append.record))
            })
            .unzip();
        if let Err(error) = file.commit(&records, &self.deletions) {
            return Err(self.failed(&error, now));
        }
        for place in std::mem::take(&mut self.deletions) {
            self.index.remove(&self.ids, place);
            // There is room again, unless it is that which was kept free for this.
            let spare = !self.released;
            self.trouble.take_if(|trouble| trouble.no_space && spare);
        }
        for ((id, received_at, bytes, in_hand), (place, _)) in labels.iter().zip(&records) {
            let label = Some((id, *received_at));
            self.index.add(&self.ids, &Arrival { place: *place, label, bytes: *bytes, in_hand: *in_hand });
        }
        Ok(())
    }

    /// The file is of no use any more: it is closed, and opened again later. What was not committed may be there all
    /// the same: it is sent then, once more at most.
    fn failed(&mut self, error: &FileError, now: Instant) -> String {
        let opened = self.file.take().is_some();
        let no_space = matches!(error, FileError::NoSpace(_));
        // What lies there goes out with the room that was kept for it, and nothing is added meanwhile.
        if no_space && (!opened || !self.deletions.is_empty()) && self.reserve.release() {
            self.released = true;
        }
        let path = self.directory.join(NAME);
        let why = if no_space {
            format!("the spool file {} can't grow: {error}", path.display())
        } else {
            format!(
                "the spool file {} failed: {error}; nothing is added to it until ingest is started again on a disk that works",
                path.display()
            )
        };
        tracing::error!("{why}");
        self.trouble = Some(Trouble { why: why.clone(), since: now, no_space });
        why
    }

    /// Opens the file again after trouble, and forgets that a disk was full after a while.
    fn mend(&mut self, now: Instant) {
        let Some(trouble) = self.trouble.clone() else { return };
        let passed = now.saturating_duration_since(trouble.since);
        if self.file.is_none() && (trouble.no_space || passed >= REOPEN_AFTER) {
            let opened = File::open(&self.directory, false).and_then(|file| self.load(file));
            if let Err(error) = opened {
                self.failed(&error, now);
                return;
            }
        }
        if trouble.no_space && passed >= AFTER_FULL && self.has_reserve(now) {
            self.trouble = None;
        }
    }

    /// Whether there is room again to be kept free. Of an empty spool the file is made small before.
    fn has_reserve(&mut self, now: Instant) -> bool {
        if !self.released {
            return true;
        }
        let empty = self.index.is_empty();
        if empty
            && let Some(file) = &mut self.file
            && let Err(error) = file.compact()
        {
            self.failed(&error, now);
            return false;
        }
        // An empty spool whose disk is full all the same can only be tried.
        if self.reserve.fill().is_ok() || empty {
            self.released = false;
        } else if let Some(trouble) = &mut self.trouble {
            trouble.since = now;
        }
        !self.released
    }

    /// Gives back to the disk what an outage took, once it is drained.
    fn shrink(&mut self, now: Instant) {
        let Some(file) = &mut self.file else { return };
        let used = self.index.bytes();
        let due = self.compacted.is_none_or(|at| now.saturating_duration_since(at) >= COMPACT_EVERY);
        if !(due && (self.index.is_empty() || self.limits.keep.is_some())) {
            return;
        }
        self.compacted = Some(now);
        let length = file.length();
        if length > SMALL
            && length / 4 > used
            && let Err(error) = file.compact()
        {
            self.failed(&error, now);
        }
    }
}

/// The sentence for a spool that can't be opened at the start.
fn unusable(directory: &Path, error: &FileError) -> OpenError {
    let path = directory.join(NAME);
    let path = path.display();
    match error {
        FileError::Damaged(_) => OpenError::Damaged(format!(
            "the spool file {path}: {error}. It may hold events that were acknowledged and are not in NATS yet, so that it is not replaced: restore it from a copy, or move it away and keep it (mv {path} {path}.damaged), and start ingest again, which then begins a new one"
        )),
        FileError::InUse => OpenError::Failed(format!(
            "the spool file {path}: {error}; give each ingest a directory of its own with --spool"
        )),
        FileError::NoSpace(_) | FileError::Failed(_) => {
            OpenError::Failed(format!("the spool file {path} can't be opened: {error}"))
        }
    }
}

#[cfg(test)]
mod tests;
