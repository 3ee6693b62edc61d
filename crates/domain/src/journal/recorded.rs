//! Events as they were recorded and decided, for deciding about them once more.

use jiff::Timestamp;

use crate::event::Kind;
use crate::names::EventId;
use crate::plan::Decision;

/// Which recorded events. Fields that are none do not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// Received since, included.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    pub tenant: Option<String>,
    /// Bodies of other kinds are not read: no rule asks for them.
    pub bodies_of: Vec<Kind>,
}

/// The rows of a [`Span`] as it was when it was asked for; rows that come later are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    pub first: i64,
    pub last: i64,
    pub number: u64,
}

/// A recorded event with what was decided about it when it came in.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub row: i64,
    pub id: EventId,
    pub kind: String,
    pub source: String,
    pub endpoint: String,
    pub env_id: String,
    pub flow_id: String,
    pub tenant: String,
    pub received_at: Timestamp,
    /// The body, secrets taken out; none when it was not asked for.
    pub body: Option<Vec<u8>>,
    /// Version of the rulebook that decided; none when nothing has been decided.
    pub rulebook: Option<String>,
    pub decided_at: Option<Timestamp>,
    /// Of the live run; none when no rule acted at once, or nothing has been decided.
    pub decision: Option<Decision>,
}
