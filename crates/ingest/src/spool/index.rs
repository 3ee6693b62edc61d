//! What lies in the spool, in memory: in which order, in whose hand, how large. The records themselves are in the file.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::EventId;
use jiff::Timestamp;

/// How a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be published.
    Waiting,
    /// Someone is publishing it.
    InHand,
    /// Too large for NATS: it waits for a NATS that takes it.
    Aside,
    /// Acknowledged, and kept until NATS has surely written it to its disk.
    Kept(Instant),
}

#[derive(Debug)]
struct Entry {
    id: Option<Id>,
    bytes: u64,
    received_at: Timestamp,
    state: State,
}

/// An event id as a number: 32 hex digits. One that is none is not looked for.
type Id = u128;

fn number(id: &EventId) -> Option<Id> {
    let text = id.as_str();
    if text.len() == 32 { Id::from_str_radix(text, 16).ok() } else { None }
}

/// The ids in the spool, for those who must know whether an event is a repeat.
#[derive(Debug, Default)]
pub(super) struct Ids(Mutex<HashMap<Id, u64>>);

impl Ids {
    pub(super) fn place(&self, id: &EventId) -> Option<u64> {
        number(id).and_then(|id| self.lock().get(&id).copied())
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, u64>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What lies in the spool.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<u64, Entry>,
    /// Those that are not kept: NATS has not acknowledged them.
    unsent: BTreeSet<u64>,
    /// In the order in which they were acknowledged; one that was taken back since is skipped.
    kept: VecDeque<(Instant, u64)>,
    waiting: usize,
    aside: usize,
    bytes: u64,
}

/// A record that came to lie in the spool.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) place: u64,
    /// None where the record can't be read: it is set aside.
    pub(super) label: Option<(&'a EventId, Timestamp)>,
    pub(super) bytes: u64,
    /// Someone is publishing it already.
    pub(super) in_hand: bool,
}

impl Index {
    pub(super) fn add(&mut self, ids: &Ids, arrival: &Arrival<'_>) {
        let id = arrival.label.and_then(|(id, _)| number(id));
        let state = match arrival.label {
            None => State::Aside,
            Some(_) if arrival.in_hand => State::InHand,
            Some(_) => State::Waiting,
        };
        let received_at = arrival.label.map_or(Timestamp::UNIX_EPOCH, |(_, at)| at);
        self.entries.insert(arrival.place, Entry { id, bytes: arrival.bytes, received_at, state });
        self.unsent.insert(arrival.place);
        self.bytes += arrival.bytes;
        self.count(state, 1);
        if let Some(id) = id {
            ids.lock().insert(id, arrival.place);
        }
    }

    pub(super) fn remove(&mut self, ids: &Ids, place: u64) {
        let Some(entry) = self.entries.remove(&place) else { return };
        self.unsent.remove(&place);
        self.bytes -= entry.bytes;
        self.count(entry.state, -1);
        if let Some(id) = entry.id {
            let mut ids = ids.lock();
            if ids.get(&id) == Some(&place) {
                ids.remove(&id);
            }
        }
    }

    /// Takes up to `most` waiting records of up to `most_bytes` in hand, the oldest first.
    pub(super) fn take(&mut self, most: usize, most_bytes: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        if self.waiting > 0 {
            for place in &self.unsent {
                let Some(entry) = self.entries.get(place).filter(|entry| entry.state == State::Waiting)
                else {
                    continue;
                };
                bytes += entry.bytes;
                if taken.len() == most || (bytes > most_bytes && !taken.is_empty()) {
                    break;
                }
                taken.push(*place);
            }
        }
        for place in &taken {
            self.set(*place, State::InHand);
        }
        taken
    }

    /// It was not published: it waits again.
    pub(super) fn put_back(&mut self, place: u64) {
        if self.state(place) == Some(State::InHand) {
            self.set(place, State::Waiting);
        }
    }

    pub(super) fn set_aside(&mut self, place: u64) {
        if self.state(place).is_some_and(|state| matches!(state, State::InHand | State::Waiting)) {
            self.set(place, State::Aside);
        }
    }

    /// It was acknowledged, and stays for a while.
    pub(super) fn keep(&mut self, place: u64, now: Instant) {
        if self.state(place).is_some_and(|state| !matches!(state, State::Kept(_))) {
            self.set(place, State::Kept(now));
            self.unsent.remove(&place);
            self.kept.push_back((now, place));
        }
    }

    /// Records that were acknowledged `keep` before `alive` or earlier, at most `most`.
    pub(super) fn expired(&mut self, keep: Duration, alive: Instant, most: usize) -> Vec<u64> {
        let mut expired = Vec::new();
        while expired.len() < most
            && let Some((since, place)) = self.kept.front().copied()
            && since.checked_add(keep).is_some_and(|until| until <= alive)
        {
            self.kept.pop_front();
            if self.state(place) == Some(State::Kept(since)) {
                expired.push(place);
            }
        }
        expired
    }

    /// Everything that is kept or set aside is to be published again.
    pub(super) fn rewind(&mut self) -> usize {
        let places: Vec<u64> = self
            .entries
            .iter()
            // What can't be read has no time, and nobody can publish it.
            .filter(|(_, entry)| matches!(entry.state, State::Kept(_) | State::Aside) && entry.id.is_some())
            .map(|(place, _)| *place)
            .collect();
        for place in &places {
            self.set(*place, State::Waiting);
            self.unsent.insert(*place);
        }
        self.kept.clear();
        places.len()
    }

    /// Those to be published, in hand or set aside.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Those that nobody has in hand yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn aside(&self) -> usize {
        self.aside
    }

    pub(super) fn in_hand(&self) -> usize {
        self.unsent.len() - self.waiting - self.aside
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all records, kept ones included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest that NATS has not acknowledged was received.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.unsent.first().and_then(|place| self.entries.get(place)).map(|entry| entry.received_at)
    }

    /// The place after the last.
    pub(super) fn end(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(place, _)| place + 1)
    }

    fn state(&self, place: u64) -> Option<State> {
        self.entries.get(&place).map(|entry| entry.state)
    }

    fn set(&mut self, place: u64, state: State) {
        let Some(entry) = self.entries.get_mut(&place) else { return };
        let before = std::mem::replace(&mut entry.state, state);
        self.count(before, -1);
        self.count(state, 1);
    }

    fn count(&mut self, state: State, change: isize) {
        match state {
            State::Waiting => self.waiting = self.waiting.saturating_add_signed(change),
            State::Aside => self.aside = self.aside.saturating_add_signed(change),
            State::InHand | State::Kept(_) => {}
        }
    }
}
