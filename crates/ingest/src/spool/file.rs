//! The file of the spool: a redb database with one table, from the place in the order to the record. A commit is one
//! fsync; what was committed is there after a crash at any instant, and what was not is not.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use redb::{
    Builder, CommitError, CompactionError, Database, DatabaseError, ReadableDatabase as _,
    ReadableTable as _, StorageError, TableDefinition, TableError, TransactionError,
};

use super::untouched::Untouched;

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
/// Pages of the file kept in memory, in bytes: the newest records are read soon after they were written.
const CACHE: usize = 16 << 20;

/// Name of the file in the directory of the spool.
pub(super) const NAME: &str = "spool.redb";

/// Why the file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileError {
    /// The disk is full, or a quota is.
    #[error("there is no space left for it ({0})")]
    NoSpace(String),
    /// Another process has it open.
    #[error("another process has it open")]
    InUse,
    /// It is not what was written.
    #[error("it is damaged ({0})")]
    Damaged(String),
    /// Something else that the disk or the operating system refused.
    #[error("{0}")]
    Failed(String),
}

/// An open file. Dropping it closes it.
pub(super) struct File {
    db: Database,
    path: PathBuf,
}

impl File {
    /// Opens the file in `directory`, or makes one. `verify` reads all of it and compares the checksums: damage that
    /// the disk did is found before anything is built on it.
    pub(super) fn open(directory: &Path, verify: bool) -> Result<Self, FileError> {
        let path = directory.join(NAME);
        if !path.try_exists()? {
            create(directory, &path)?;
        } else if fs::metadata(&path)?.len() == 0 {
            // One is never left empty under this name, so that this was done to it.
            return Err(FileError::Damaged("it is empty".to_owned()));
        }
        if verify {
            // Opening writes, also to a file that turns out to be damaged: so first where it leaves no trace.
            let file = fs::File::options().read(true).write(true).open(&path)?;
            builder(true).create_with_backend(Untouched::new(file)?)?.close()?;
        }
        let db = builder(false).open(&path)?;
        Ok(Self { db, path })
    }

    /// Hands every record to `each`, in order.
    pub(super) fn scan(&self, mut each: impl FnMut(u64, &[u8])) -> Result<(), FileError> {
        let events = self.db.begin_read()?.open_table(EVENTS)?;
        for entry in events.iter()? {
            let (place, record) = entry?;
            each(place.value(), record.value());
        }
        Ok(())
    }

    /// Writes and deletes in one transaction, and returns when that is on the disk.
    pub(super) fn commit(&self, put: &[(u64, Vec<u8>)], delete: &[u64]) -> Result<(), FileError> {
        let transaction = self.db.begin_write()?;
        {
            let mut events = transaction.open_table(EVENTS)?;
            for place in delete {
                events.remove(place)?;
            }
            for (place, record) in put {
                events.insert(place, record.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// The records at these places; one that is not there is left out.
    pub(super) fn read(&self, places: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, FileError> {
        let events = self.db.begin_read()?.open_table(EVENTS)?;
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            if let Some(record) = events.get(place)? {
                found.push((*place, record.value().to_vec()));
            }
        }
        Ok(found)
    }

    /// Gives back to the disk what is not used.
    pub(super) fn compact(&mut self) -> Result<(), FileError> {
        self.db.compact()?;
        Ok(())
    }

    /// Bytes that the file takes.
    pub(super) fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }
}

fn builder(verify: bool) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(verify);
    builder
}

/// Makes an empty one beside and moves it to its place: under its own name there is never half a file.
fn create(directory: &Path, path: &Path) -> Result<(), FileError> {
    let new = directory.join(format!("{NAME}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let db = builder(false).create(&new)?;
    let transaction = db.begin_write()?;
    drop(transaction.open_table(EVENTS)?);
    transaction.commit()?;
    db.close()?;
    fs::rename(&new, path)?;
    // The new name is only sure once the directory is on the disk.
    Ok(fs::File::open(directory)?.sync_all()?)
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::NoSpace(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<StorageError> for FileError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Io(error) if error.kind() == ErrorKind::InvalidData => {
                Self::Damaged(error.to_string())
            }
            StorageError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Self::Damaged("it is shorter than it was".to_owned())
            }
            StorageError::Io(error) => error.into(),
            StorageError::Corrupted(why) => Self::Damaged(why),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<DatabaseError> for FileError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            DatabaseError::Storage(error) => error.into(),
            DatabaseError::UpgradeRequired(version) => {
                Self::Failed(format!("it was written in format {version} by another version of Gluehook"))
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<TableError> for FileError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            // The table is made together with the file.
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<TransactionError> for FileError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<CommitError> for FileError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<CompactionError> for FileError {
    fn from(error: CompactionError) -> Self {
        match error {
            CompactionError::Storage(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}
