//! What can go wrong, classified once.

use domain::journal::StoreError;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// What goes wrong inside, before it is known of which event log.
#[derive(Debug)]
pub(crate) enum Trouble {
    Sqlx(sqlx::Error),
    Refused(String),
    Corrupt(String),
    Bug(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl Trouble {
    pub(crate) fn unreadable(what: &str, error: impl std::fmt::Display) -> Self {
        Self::Corrupt(format!("{what} can't be read back: {error}"))
    }

    /// As told of the event log `name`.
    pub(crate) fn of(self, name: &str) -> StoreError {
        match self {
            Self::Sqlx(error) => classify(&error, name),
            Self::Refused(why) => StoreError::Refused(why),
            Self::Corrupt(why) => StoreError::Corrupt(format!("the event log {name} is damaged: {why}")),
            Self::Bug(why) => StoreError::Bug(why),
        }
    }

    /// As [`Self::of`], while opening: what can't be opened now won't open by waiting.
    pub(crate) fn of_opening(self, name: &str) -> StoreError {
        match self.of(name) {
            StoreError::Unavailable(why) if why.contains(CANT_OPEN) => StoreError::Refused(why),
            other => other,
        }
    }
}

const CANT_OPEN: &str = "can't be opened";

fn classify(error: &sqlx::Error, name: &str) -> StoreError {
    match error {
        sqlx::Error::Database(error) => by_code(error.as_ref(), name),
        sqlx::Error::PoolTimedOut => {
            StoreError::Unavailable(format!("the event log {name} is busy: nothing came free in time"))
        }
        sqlx::Error::PoolClosed => StoreError::Unavailable(format!("the event log {name} is closed")),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            StoreError::Unavailable(format!("the event log {name} is out of reach: {error}"))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Protocol(_) => {
            StoreError::Corrupt(format!("the event log {name} is damaged: {error}"))
        }
        sqlx::Error::Migrate(error) => migrating(error, name),
        _ => StoreError::Bug(format!("the event log {name} was asked wrongly: {error}")),
    }
}

/// By `SQLite`'s result codes (<https://www.sqlite.org/rescode.html>); the low byte is the primary code.
fn by_code(error: &dyn DatabaseError, name: &str) -> StoreError {
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    let message = error.message();
    match code & 0xff {
        5 | 6 => StoreError::Unavailable(format!("the event log {name} is locked by another program")),
        13 => StoreError::Unavailable(format!("the disk that holds the event log {name} is full: make room")),
        14 => StoreError::Unavailable(format!(
            "the event log {name} {CANT_OPEN}: may its directory be written, and are there file handles left?"
        )),
        4 | 7 | 9 | 10 | 15 => {
            StoreError::Unavailable(format!("the event log {name} is out of reach: {message}"))
        }
        3 | 8 | 23 => StoreError::Refused(format!(
            "the event log {name} can't be written: it is read-only; give this user the right to write it"
        )),
        26 => StoreError::Refused(format!("{name} is no SQLite database: is --database-url right?")),
        11 => StoreError::Corrupt(format!("the event log {name} is damaged: {message}")),
        _ => StoreError::Bug(format!("the event log {name} was asked wrongly: {message} (SQLite {code})")),
    }
}

fn migrating(error: &MigrateError, name: &str) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => classify(error, name),
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => newer(name),
        other => StoreError::Refused(format!("the event log {name} can't be brought up to date: {other}")),
    }
}

pub(crate) fn newer(name: &str) -> StoreError {
    StoreError::Refused(format!(
        "the event log {name} was written by a newer gluehook: use that one, or another --database-url"
    ))
}
