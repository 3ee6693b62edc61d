//! Room on the disk that is kept free for sending what lies in the spool: deleting a record writes first, and on a full disk nothing
//! would ever leave.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// More than a few commits that delete take, in bytes.
const SIZE: u64 = 1 << 20;
const NAME: &str = "spool.reserve";

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    directory: PathBuf,
}

impl Reserve {
    pub(super) fn of(directory: &Path) -> Self {
        Self { path: directory.join(NAME), directory: directory.to_owned() }
    }

    /// Is it there as a whole?
    pub(super) fn is_whole(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= SIZE)
    }

    /// Takes the room, unless it is taken.
    ///
    /// # Errors
    /// There is none; nothing is left of the attempt.
    pub(super) fn fill(&self) -> io::Result<()> {
        if self.is_whole() {
            return Ok(());
        }
        let filled = self.write();
        if filled.is_err() {
            self.release();
        }
        filled
    }

    /// Gives the room to whoever writes next. Answers whether there was any.
    pub(super) fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }

    fn write(&self) -> io::Result<()> {
        let mut file = fs::File::create(&self.path)?;
        // Nothing that a filesystem could make smaller.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block = Vec::with_capacity(1 << 16);
        let mut left = SIZE;
        while left > 0 {
            block.clear();
            while block.len() < 1 << 16 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                block.extend_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block)?;
            left = left.saturating_sub(block.len() as u64);
        }
        file.sync_all()?;
        fs::File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(directory.path());
        assert!(!reserve.is_whole() && !reserve.release());
        reserve.fill().unwrap();
        assert!(reserve.is_whole());
        reserve.fill().unwrap();
        assert!(reserve.release() && !reserve.is_whole());
        let nowhere = Reserve::of(&directory.path().join("none"));
        assert!(nowhere.fill().is_err() && !nowhere.is_whole());
    }
}
