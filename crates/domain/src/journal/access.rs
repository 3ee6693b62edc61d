//! How an event log is opened, and what can go wrong with it; the same words for every database.

/// What one opens an event log for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Process events. Makes the log if there is none and brings its schema up to date. A log that serves one worker
    /// keeps others out until the store is dropped.
    Worker { worker: String },
    /// Look, as a command does.
    Reader,
    /// Mend something beside running workers, as a command does.
    Writer,
}

/// Why the event log did not do what was asked; the text is one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Locked, busy, disk full, input or output failed, server away: worth trying again.
    #[error("{0}")]
    Unavailable(String),
    /// A wrong URL or password, a read-only log, a second worker, a newer schema: a person must mend it.
    #[error("{0}")]
    Refused(String),
    /// What is stored can't be read back.
    #[error("{0}")]
    Corrupt(String),
    /// The program asked for something that can't be.
    #[error("{0}")]
    Bug(String),
}
