//! How many bytes of bodies may be in hand at one time, so that a rush of large ones is turned away and does not
//! end the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The room that all bodies in hand share. Clones are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: u64,
    taken: AtomicU64,
}

impl Room {
    /// Room for `most` bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self(Arc::new(Shared { most, taken: AtomicU64::new(0) }))
    }

    /// A share of nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { room: self.clone(), bytes: 0 }
    }
}

/// What one request has taken of the room; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Room,
    bytes: u64,
}

impl Share {
    /// Takes so many bytes more, if there is room for them.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let shared = &self.room.0;
        // Only a count: nothing else is published through it.
        let before = shared.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= shared.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.0.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_room_nothing_is_taken_until_something_is_given_back() {
        let room = Room::new(100);
        let (mut a, mut b) = (room.share(), room.share());
        assert!(a.grow(60));
        assert!(!b.grow(60));
        drop(b);
        assert!(a.grow(40));
        assert!(!room.share().grow(1));
        drop(a);
        assert!(room.share().grow(100));
        assert_eq!(room.0.taken.load(Ordering::Relaxed), 0);
    }
}
