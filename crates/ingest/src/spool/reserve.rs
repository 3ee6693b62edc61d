//! Room on the disk that is kept free for sending what lies in the spool: deleting a record writes first, and on a full disk nothing
//! would ever leave.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// More than a few commits that delete take, in bytes.
const SIZE: u64 = 1 << 20;
/// Where no file may be as large as that (`ulimit -f`), as much as it may be, but no less than this.
const LEAST: u64 = 1 << 16;
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

    /// Takes the room, unless it is taken.
    ///
    /// # Errors
    /// It can't be had; nothing is left of the attempt.
    pub(super) fn fill(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= SIZE) {
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
        // Of what is there nothing is given away: others may be waiting for it.
        let mut file = fs::File::options().create(true).append(true).open(&self.path)?;
        // Nothing that a filesystem could make smaller.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block = Vec::with_capacity(1 << 16);
        let mut length = file.metadata()?.len();
        while length < SIZE {
            block.clear();
            while block.len() < 1 << 16 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                block.extend_from_slice(&state.to_le_bytes());
            }
            match file.write_all(&block) {
                Ok(()) => length += block.len() as u64,
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge && length >= LEAST => break,
                Err(error) => return Err(error),
            }
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
        let length = || fs::metadata(directory.path().join(NAME)).map(|metadata| metadata.len()).ok();
        assert!(!reserve.release());
        reserve.fill().unwrap();
        assert_eq!(length(), Some(SIZE));
        reserve.fill().unwrap();
        assert!(reserve.release() && length().is_none());
        // Killed while it was filled.
        fs::write(directory.path().join(NAME), [0; 100]).unwrap();
        reserve.fill().unwrap();
        assert!(length() >= Some(SIZE));
        reserve.release();
        std::os::unix::fs::symlink("/dev/full", directory.path().join(NAME)).unwrap();
        assert_eq!(reserve.fill().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(length(), None);
        assert!(Reserve::of(&directory.path().join("none")).fill().is_err());
    }
}
