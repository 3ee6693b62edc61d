//! What can go wrong, classified once.

use std::time::Duration;

use domain::journal::StoreError;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// What goes wrong inside, before it is known of which event log.
#[derive(Debug)]
pub(crate) enum Trouble {
    Sqlx(sqlx::Error),
    Refused(String),
    Unavailable(String),
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

    /// Did Postgres end the transaction because of another one? Begun anew it may well pass.
    pub(crate) fn is_of_another_transaction(&self) -> bool {
        let Self::Sqlx(sqlx::Error::Database(error)) = self else { return false };
        // Serialization failure, deadlock.
        matches!(error.code().as_deref(), Some("40001" | "40P01"))
    }

    /// As told of the event log `name`.
    pub(crate) fn of(self, name: &str) -> StoreError {
        match self {
            Self::Sqlx(error) => classify(&error, name),
            Self::Refused(why) => StoreError::Refused(why),
            Self::Unavailable(why) => StoreError::Unavailable(why),
            Self::Corrupt(why) => StoreError::Corrupt(format!("the event log {name} is damaged: {why}")),
            Self::Bug(why) => StoreError::Bug(why),
        }
    }
}

pub(crate) fn no_answer(name: &str, waited: Duration) -> StoreError {
    StoreError::Unavailable(format!(
        "the event log {name} gave no answer within {} s: is Postgres up, and the network?",
        waited.as_secs()
    ))
}

fn classify(error: &sqlx::Error, name: &str) -> StoreError {
    match error {
        sqlx::Error::Database(error) => by_code(error.as_ref(), name),
        sqlx::Error::PoolTimedOut => StoreError::Unavailable(format!(
            "the event log {name} gave no connection in time: is Postgres up, and not overloaded?"
        )),
        sqlx::Error::PoolClosed => StoreError::Unavailable(format!("the event log {name} is closed")),
        sqlx::Error::Io(error) if is_certificate(error) => no_encryption(name, error),
        sqlx::Error::Io(error) => StoreError::Unavailable(format!(
            "the event log {name} can't be reached ({error}): is Postgres up, and --database-url right?"
        )),
        sqlx::Error::Tls(error) => no_encryption(name, error),
        sqlx::Error::Configuration(error) => {
            StoreError::Refused(format!("the database URL can't be used: {error}"))
        }
        sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed | sqlx::Error::Protocol(_) => {
            StoreError::Unavailable(format!("the event log {name} is out of reach: {error}"))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            StoreError::Corrupt(format!("the event log {name} is damaged: {error}"))
        }
        sqlx::Error::Migrate(error) => migrating(error, name),
        _ => StoreError::Bug(format!("the event log {name} was asked wrongly: {error}")),
    }
}

/// A certificate that is not trusted ends the handshake, and so comes as trouble of the connection. No waiting mends it.
fn is_certificate(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData && error.to_string().contains("certificate")
}

fn no_encryption(name: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Refused(format!(
        "no encrypted connection to the event log {name}: {error}; see sslmode and sslrootcert in --database-url"
    ))
}

/// By SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>); its first two letters are the class.
fn by_code(error: &dyn DatabaseError, name: &str) -> StoreError {
    let code = error.code().unwrap_or_default();
    let message = error.message();
    match &*code {
        "28P01" | "28000" => StoreError::Refused(format!(
            "Postgres lets this user not into the event log {name} ({message}): mend user and password in --database-url"
        )),
        "3D000" => StoreError::Refused(format!(
            "Postgres has no database for the event log {name} ({message}): create it, or mend --database-url"
        )),
        "25006" => StoreError::Refused(format!(
            "the event log {name} can't be written: Postgres is read-only there; --database-url must name the primary"
        )),
        // 3F000: no schema in which it may create tables.
        "42501" | "3F000" => StoreError::Refused(format!(
            "this user may not do that in the event log {name} ({message}): make it the owner of a schema or database"
        )),
        "55P03" => {
            StoreError::Unavailable(format!("the event log {name} is locked by another program ({message})"))
        }
        "57014" => StoreError::Unavailable(format!("the event log {name} took too long ({message})")),
        "53100" => StoreError::Unavailable(format!(
            "the disk that holds the event log {name} is full ({message}): make room"
        )),
        "53300" => StoreError::Unavailable(format!(
            "Postgres has no connection left for the event log {name} ({message}): raise max_connections, or run fewer workers"
        )),
        _ => match code.get(..2).unwrap_or_default() {
            // Connections, resources, intervention of an operator, the system, transactions that clash.
            "08" | "53" | "57" | "58" | "40" => {
                StoreError::Unavailable(format!("the event log {name} is out of reach: {message}"))
            }
            "XX" => StoreError::Corrupt(format!("the event log {name} is damaged: {message}")),
            _ => StoreError::Bug(format!(
                "the event log {name} was asked wrongly: {message} (SQLSTATE {code})"
            )),
        },
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
