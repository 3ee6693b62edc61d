//! What an event means, in one form for all sources.

pub mod hotglue;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, Source};
use crate::names::EventId;

/// What moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Job,
    Discover,
    Connection,
    /// A shape we do not know: kept and recorded, no rule of a known kind acts on it.
    Unknown,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Job, Self::Discover, Self::Connection, Self::Unknown];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Discover => "discover",
            Self::Connection => "connection",
            Self::Unknown => "unknown",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A normalised event: the names that rules know as `event.…`. Texts that were not sent are empty. Secrets are already
/// redacted, in `error` and in `payload` alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub kind: Kind,
    pub source: Source,
    pub endpoint: String,
    pub env_id: String,
    pub flow_id: String,
    pub tenant: String,
    pub job_id: String,
    pub job_name: String,
    pub tap: String,
    pub target: String,
    pub connector: String,
    /// As sent; for connections the `event` (`LINK`, …).
    pub status: String,
    pub completed: bool,
    pub failed: bool,
    pub sync_type: String,
    /// Always text, whatever JSON was sent, with `message` joined.
    pub error: String,
    /// Stream to number of failed records, where counts are reported; never an invented number.
    pub failed_records: BTreeMap<String, u64>,
    pub first_link: Option<bool>,
    /// When it happened at the source; the time of receipt where the source does not say.
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
    /// The JSON as sent, redacted. Known to rules as `payload`.
    #[serde(skip)]
    pub payload: serde_json::Value,
    /// Something secret was taken out of `payload`.
    #[serde(skip)]
    pub redacted: bool,
}

impl Event {
    /// Names that rules may read of an event.
    pub const FIELDS: &[&str] = &[
        "id",
        "kind",
        "source",
        "endpoint",
        "env_id",
        "flow_id",
        "tenant",
        "job_id",
        "job_name",
        "tap",
        "target",
        "connector",
        "status",
        "completed",
        "failed",
        "sync_type",
        "error",
        "failed_records",
        "first_link",
        "occurred_at",
        "received_at",
    ];
}

impl Event {
    /// Stands in the log for a verified body that can't be read.
    #[must_use]
    pub fn unreadable(envelope: &Envelope, why: &Unreadable) -> Self {
        Self {
            id: envelope.id.clone(),
            kind: Kind::Unknown,
            source: envelope.source,
            endpoint: envelope.endpoint.clone(),
            env_id: String::new(),
            flow_id: String::new(),
            tenant: String::new(),
            job_id: String::new(),
            job_name: String::new(),
            tap: String::new(),
            target: String::new(),
            connector: String::new(),
            status: String::new(),
            completed: false,
            failed: false,
            sync_type: String::new(),
            error: why.to_string(),
            failed_records: BTreeMap::new(),
            first_link: None,
            occurred_at: envelope.received_at,
            received_at: envelope.received_at,
            payload: serde_json::Value::Null,
            redacted: false,
        }
    }

    /// The body as it may be stored: the very bytes, or a redacted text of them where there was a secret.
    #[must_use]
    pub fn storable_body(&self, envelope: &Envelope) -> (Vec<u8>, bool) {
        if self.redacted || (!self.payload.is_null() && crate::redact::hidden_in(&envelope.body)) {
            return (self.payload.to_string().into_bytes(), true);
        }
        if self.payload.is_null() {
            let body = crate::redact::body(&envelope.body);
            let redacted = matches!(body, std::borrow::Cow::Owned(_));
            return (body.into_owned(), redacted);
        }
        (envelope.body.to_vec(), false)
    }
}

/// A verified body that is no event of its source at all. It is buried, so that a person sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body can't be read: {0}")]
pub struct Unreadable(pub String);

/// Reads an envelope. `count_at` are the JSON pointers under which failed records are looked for.
///
/// # Errors
/// [`Unreadable`] when the body is not JSON.
pub fn read(envelope: &Envelope, count_at: &[String]) -> Result<Event, Unreadable> {
    match envelope.source {
        Source::Hotglue => hotglue::read(envelope, count_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_rules_know_are_the_fields_of_an_event() {
        let event = hotglue::tests::read(br#"{"job_id":"a","status":"JOB_COMPLETED"}"#);
        let value = serde_json::to_value(&event).expect("an event is plain data");
        let mut fields: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut names = Event::FIELDS.to_vec();
        fields.sort_unstable();
        names.sort_unstable();
        assert_eq!(fields, names);
    }
}
