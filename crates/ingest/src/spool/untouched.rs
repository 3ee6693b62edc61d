//! A file as redb sees it, of which nothing is changed: what redb writes while it opens and verifies stays in memory. So a
//! file that turns out to be damaged is afterwards what it was before, for whoever wants to save what can be saved.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

const BLOCK: usize = 4096;

#[derive(Debug)]
pub(super) struct Untouched {
    file: FileBackend,
    over: Mutex<Over>,
}

/// What the file would be.
#[derive(Debug)]
struct Over {
    length: u64,
    /// So much of the file itself still counts.
    of_file: u64,
    /// Blocks that were written to, by their number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Untouched {
    /// # Errors
    /// The file can't be looked at.
    pub(super) fn new(file: fs::File) -> Result<Self, DatabaseError> {
        let file = FileBackend::new(file)?;
        let length = file.len().map_err(redb::StorageError::from)?;
        Ok(Self { file, over: Mutex::new(Over { length, of_file: length, blocks: BTreeMap::new() }) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it would be.
    fn block(&self, over: &Over, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = over.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK];
        let start = number * BLOCK as u64;
        let there = usize::try_from(over.of_file.saturating_sub(start)).unwrap_or(BLOCK).min(BLOCK);
        if there > 0 {
            self.file.read(start, &mut block[..there])?;
        }
        Ok(block)
    }
}

/// The blocks that a range touches: number, where in the block, and where in the range.
fn touched(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == length {
            return None;
        }
        let place = offset + at as u64;
        let within = usize::try_from(place % BLOCK as u64).unwrap_or(0);
        let end = length.min(at + BLOCK - within);
        let part = at..end;
        at = end;
        Some((place / BLOCK as u64, within, part))
    })
}

impl StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > over.length) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if over.blocks.is_empty() && offset + out.len() as u64 <= over.of_file {
            return self.file.read(offset, out);
        }
        for (number, within, part) in touched(offset, out.len()) {
            let block = self.block(&over, number)?;
            let length = part.len();
            out[part].copy_from_slice(&block[within..within + length]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        if len < over.length {
            let (last, kept) = (len / BLOCK as u64, usize::try_from(len % BLOCK as u64).unwrap_or(0));
            over.blocks.retain(|number, _| *number <= last);
            if let Some(block) = over.blocks.get_mut(&last) {
                block[kept..].fill(0);
            }
        }
        over.of_file = over.of_file.min(len);
        over.length = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        for (number, within, part) in touched(offset, data.len()) {
            let mut block = self.block(&over, number)?;
            block[within..within + part.len()].copy_from_slice(&data[part]);
            over.blocks.insert(number, block);
        }
        over.length = over.length.max(offset + data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_the_file_stays_what_it_was() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let before: Vec<u8> = (0..10_000u32).map(|number| (number % 251) as u8).collect();
        fs::write(&path, &before).unwrap();
        let file = Untouched::new(fs::File::options().read(true).write(true).open(&path).unwrap()).unwrap();
        let mut expected = before.clone();
        let read = |offset: u64, length: usize| {
            let mut out = vec![0; length];
            file.read(offset, &mut out).map(|()| out)
        };
        assert_eq!(read(0, 10_000).unwrap(), expected);
        file.write(4_000, &[7; 5_000]).unwrap();
        expected[4_000..9_000].fill(7);
        assert_eq!(read(0, 10_000).unwrap(), expected);
        assert_eq!(read(9_999, 2).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        // Made shorter and longer again, it is zero where it was cut.
        for length in [6_000, 12_000] {
            file.set_len(length).unwrap();
            expected.resize(usize::try_from(length).unwrap(), 0);
            assert_eq!(read(0, expected.len()).unwrap(), expected);
        }
        file.write(11_999, &[1, 2]).unwrap();
        assert_eq!((file.len().unwrap(), read(11_998, 3).unwrap()), (12_001, vec![0, 1, 2]));
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}
