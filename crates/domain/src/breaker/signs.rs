//! What a breaker is told, and what it says.

use std::time::Duration;

/// What one call said about the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answered, be it with a refusal.
    Well,
    /// It failed; that may be the service, or only what this call was about.
    Failing,
    /// Nobody answered the door: no tenant can cause that.
    Unreachable,
    /// It refuses our key or token, whatever we ask: nothing works until a person has mended that.
    Refused,
    /// It asks us to slow down, for so long where it says so.
    SlowDown(Option<Duration>),
}

/// What came of the neutral question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The service itself has answered, and as it must.
    Well,
    /// Somebody has answered, with a refusal or with what nobody can read: the calls find out what that means.
    Somebody,
    /// Somebody has answered who is not the service: with a page for people, or by sending us elsewhere.
    Stranger,
    /// It is in trouble, or nobody answers.
    Trouble,
    /// It asks us to slow down, for so long where it says so.
    SlowDown(Option<Duration>),
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    Yes,
    /// Not now; ask again after so long.
    No(Duration),
}

/// How much to take on, as far as this service is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Free,
    /// So many: the next calls are probes.
    Probing(usize),
    /// Nothing, for so long.
    Stopped(Duration),
}
