//! Opening: whose file it is, with which settings, and who may write it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::journal::{Access, StoreError};
use sqlx::ConnectOptions as _;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};

use crate::error::{Trouble, newer};
use crate::{SqliteStore, ledger};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// `application_id` in the header of our files: "Ghk1".
const OURS: i64 = 0x4768_6B31;

/// How long one waits for another program's lock unless told otherwise.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one waits for a connection of our own.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where an event log is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Memory,
    File(PathBuf),
}

impl Place {
    /// Reads what follows `sqlite:`. The path is taken as it is, without escapes.
    fn of(url: &str) -> Result<Self, StoreError> {
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return Err(StoreError::Refused(
                "a URL of SQLite begins with sqlite: (sqlite://PATH)".to_owned(),
            ));
        };
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            ":memory:" => Ok(Self::Memory),
            "" => Err(StoreError::Refused(
                "the database URL names no file: write sqlite://PATH (sqlite://gluehook.db)".to_owned(),
            )),
            _ if path.contains('?') => Err(StoreError::Refused(
                "the database URL takes no settings: write sqlite://PATH without what follows the `?`"
                    .to_owned(),
            )),
            _ => Ok(Self::File(PathBuf::from(path))),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Memory => ":memory:".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

pub(crate) async fn open(
    url: &str,
    access: &Access,
    busy_timeout: Duration,
) -> Result<SqliteStore, StoreError> {
    let place = Place::of(url)?;
    let name = place.name();
    let opened = match (&place, access) {
        (Place::Memory, Access::Worker { .. }) => in_memory().await,
        (Place::Memory, _) => Err(Trouble::Refused(
            "an event log in memory belongs to its worker alone: there is none to open".to_owned(),
        )),
        (Place::File(path), Access::Worker { worker }) => for_worker(path, worker, busy_timeout).await,
        (Place::File(path), Access::Writer) => for_repair(path, busy_timeout).await,
        (Place::File(path), Access::Reader) => for_reading(path, busy_timeout).await,
    };
    opened
        .map(|Opened { readers, writer, lock }| SqliteStore {
            readers,
            writer,
            name: name.as_str().into(),
            _lock: lock.map(Arc::new),
        })
        .map_err(|trouble| trouble.of_opening(&name))
}

struct Opened {
    readers: SqlitePool,
    writer: Option<SqlitePool>,
    lock: Option<File>,
}

async fn in_memory() -> Result<Opened, Trouble> {
    let options = common(BUSY_TIMEOUT).in_memory(true);
    // Another connection would be another database.
    let only = one_connection().connect_with(options).await?;
    migrate(&only, ":memory:").await?;
    Ok(Opened { readers: only.clone(), writer: Some(only), lock: None })
}

async fn for_worker(path: &Path, worker: &str, busy: Duration) -> Result<Opened, Trouble> {
    let path = writable(path, true)?;
    let lock = lock(&path, worker)?;
    let writer = writer(&path, busy).await?;
    migrate(&writer, &path.display().to_string()).await?;
    // The lock says that no other worker is alive: whoever held these claims is dead.
    ledger::end_leases(&mut *writer.acquire().await?).await?;
    Ok(Opened { readers: readers(&path, busy).await?, writer: Some(writer), lock: Some(lock) })
}

async fn for_repair(path: &Path, busy: Duration) -> Result<Opened, Trouble> {
    exists(path)?;
    let path = writable(path, false)?;
    let writer = writer(&path, busy).await?;
    is_current(&mut *writer.acquire().await?, &path.display().to_string()).await?;
    Ok(Opened { readers: readers(&path, busy).await?, writer: Some(writer), lock: None })
}

async fn for_reading(path: &Path, busy: Duration) -> Result<Opened, Trouble> {
    exists(path)?;
    let readers = readers(path, busy).await?;
    is_current(&mut *readers.acquire().await?, &path.display().to_string()).await?;
    Ok(Opened { readers, writer: None, lock: None })
}

fn common(busy: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .busy_timeout(busy)
        .foreign_keys(true)
        .pragma("cache_size", "-16000")
        .pragma("temp_store", "MEMORY")
        // SQLite's own memory mapping has amplified corruption; it stays off whatever it was compiled with.
        .pragma("mmap_size", "0")
        .disable_statement_logging()
}

fn one_connection() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// The one connection that writes. `synchronous = FULL`: what is committed outlives a power cut.
async fn writer(path: &Path, busy: Duration) -> Result<SqlitePool, Trouble> {
    let options = common(busy)
        .filename(path)
        // Only heeded before the first table.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", "67108864")
        // Pages; 64 MB too: a page that is written often goes into the database once.
        .pragma("wal_autocheckpoint", "16000")
        .optimize_on_close(true, 400);
    let pool = one_connection().connect_with(options).await?;
    // SQLite opens a file that it may not write as a file to read, and says so at the first write only.
    pool.begin_with("BEGIN IMMEDIATE").await?.rollback().await?;
    Ok(pool)
}

async fn readers(path: &Path, busy: Duration) -> Result<SqlitePool, Trouble> {
    let options = common(busy).filename(path).read_only(true);
    Ok(one_connection().max_connections(4).connect_with(options).await?)
}

fn exists(path: &Path) -> Result<(), Trouble> {
    match path.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Trouble::Refused(format!(
            "there is no event log at {}: is --database-url right?",
            path.display()
        ))),
        Err(error) => Err(unwritable(path, &error)),
    }
}

/// Finds out by opening it whether we may write the file, and what it is really called.
fn writable(path: &Path, create: bool) -> Result<PathBuf, Trouble> {
    let mut options = OpenOptions::new();
    options.append(true).create(create);
    options.open(path).and_then(|_file| std::fs::canonicalize(path)).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Trouble {
    let path = path.display();
    Trouble::Refused(match error.kind() {
        ErrorKind::NotFound => {
            format!(
                "the event log {path} can't be made: its directory is missing; make it, or mend --database-url"
            )
        }
        ErrorKind::IsADirectory => {
            format!("the event log {path} can't be opened: it is a directory; name a file in --database-url")
        }
        _ => format!("the event log {path} can't be written: {error}"),
    })
}

/// `SQLite` serves one worker. The lock is the operating system's: it ends with the process, however that ends.
fn lock(path: &Path, worker: &str) -> Result<File, Trouble> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".worker-lock");
    let lock_path = PathBuf::from(lock_path);
    let trouble = |error: &std::io::Error| {
        Trouble::Refused(format!("{} can't be locked: {error}", lock_path.display()))
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(|error| trouble(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The name is a courtesy.
            let _ = file.read_to_string(&mut holder);
            return Err(Trouble::Refused(format!(
                "a worker{} already works on the event log {}: SQLite serves one worker; for several, use Postgres (--database-url postgres://…)",
                if holder.is_empty() { String::new() } else { format!(" ({holder})") },
                path.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(trouble(&error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(worker.as_bytes()))
        .map_err(|error| trouble(&error))?;
    Ok(file)
}

fn known_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

async fn migrate(pool: &SqlitePool, name: &str) -> Result<(), Trouble> {
    let found = version(&mut *pool.acquire().await?, name).await?;
    if found > known_version() {
        return Err(newer_schema(name));
    }
    MIGRATIONS.run(pool).await.map_err(|error| Trouble::Sqlx(error.into()))
}

/// A command does not migrate: that is for the worker, which has the log to itself.
async fn is_current(connection: &mut SqliteConnection, name: &str) -> Result<(), Trouble> {
    let (found, known) = (version(connection, name).await?, known_version());
    if found > known {
        return Err(newer_schema(name));
    }
    if found < known {
        return Err(Trouble::Refused(format!(
            "the event log {name} is of an older gluehook: start the worker once, which brings it up to date"
        )));
    }
    Ok(())
}

fn newer_schema(name: &str) -> Trouble {
    Trouble::Refused(newer(name).to_string())
}

/// Version of the schema; 0 when nothing is there yet.
async fn version(connection: &mut SqliteConnection, name: &str) -> Result<i64, Trouble> {
    let header = sqlx::query!(
        r#"SELECT application_id + 0 AS "owner!: i64", user_version + 0 AS "version!: i64",
             (SELECT count(*) FROM sqlite_schema) AS "objects!: i64"
           FROM pragma_application_id, pragma_user_version"#
    )
    .fetch_one(connection)
    .await?;
    if header.owner != OURS && header.objects > 0 {
        return Err(Trouble::Refused(format!(
            "{name} is a database of something else, no event log: is --database-url right?"
        )));
    }
    Ok(header.version)
}

/// Reads the file's header.
pub(crate) async fn ping(connection: &mut SqliteConnection) -> Result<(), Trouble> {
    sqlx::query_scalar!(r#"SELECT user_version + 0 AS "version!: i64" FROM pragma_user_version"#)
        .fetch_one(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_names_a_file_in_either_form() {
        for (url, path) in [
            ("sqlite://gluehook.db", "gluehook.db"),
            ("sqlite:gluehook.db", "gluehook.db"),
            ("sqlite:///var/lib/log.db", "/var/lib/log.db"),
            ("sqlite:/var/lib/a b.db", "/var/lib/a b.db"),
        ] {
            assert_eq!(Place::of(url), Ok(Place::File(PathBuf::from(path))), "{url}");
        }
        assert_eq!(Place::of("sqlite::memory:"), Ok(Place::Memory));
        assert_eq!(Place::of("sqlite://:memory:"), Ok(Place::Memory));
    }

    #[test]
    fn url_without_a_file_or_with_settings_is_refused() {
        for url in ["sqlite:", "sqlite://", "sqlite://x.db?mode=rwc", "file:x.db"] {
            assert!(matches!(Place::of(url), Err(StoreError::Refused(_))), "{url}");
        }
    }

    #[test]
    fn every_migration_ends_by_saying_its_number() {
        for migration in MIGRATIONS.iter() {
            let wanted = format!("PRAGMA user_version = {};", migration.version);
            assert!(migration.sql.as_str().trim_end().ends_with(&wanted), "{}", migration.version);
        }
    }
}
