//! hotglue's three webhooks (job lifecycle, discover, connection) in both documented generations.
//!
//! Nothing in a request names the subscription; the shape tells them apart (inferred from the documented samples):
//! `job_id` → job, `event` with `event_id` or `connector_type` → connection, `connector` with a `DISCOVER_…` status →
//! discover. Nearly every field is optional, and unknown fields, statuses and event names are kept.

mod failed_records;
mod lenient;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use self::failed_records::DEFAULT_POINTERS;
use super::{Event, Kind, Unreadable};
use crate::envelope::{Address, Envelope};
use crate::redact;

/// The documented statuses of jobs and discovers, and events of connections; hotglue may send others. (`JOB_FAILED` is
/// not documented, but seen in a client; `UNLINK` is inferred from `LINK`.)
pub const STATUSES: &[&str] = &[
    "JOB_CREATED",
    "DISCOVER_STARTED",
    "DISCOVER_SUCCESS",
    "DISCOVER_FAILED",
    "SYNC_STARTED",
    "SYNC_SUCCESS",
    "SYNC_FAILED",
    "ETL_STARTED",
    "ETL_SUCCESS",
    "ETL_FAILED",
    "EXPORT_STARTED",
    "EXPORT_FAILED",
    "JOB_COMPLETED",
    "JOB_FAILED",
    "LINK",
    "UNLINK",
];

/// The documented kinds of syncs; hotglue may send others.
pub const SYNC_TYPES: &[&str] = &["full_sync", "incremental_sync", "auto_sync"];

/// May an event of this kind have this status, as far as hotglue documents it? A status that it doesn't document may come
/// with any kind, and whatever is of unknown kind may have any.
pub(crate) fn comes_with(status: &str, kind: Kind) -> bool {
    if kind == Kind::Unknown || !STATUSES.contains(&status) {
        return true;
    }
    match status {
        "LINK" | "UNLINK" => kind == Kind::Connection,
        "DISCOVER_STARTED" | "DISCOVER_FAILED" | "DISCOVER_SUCCESS" => {
            matches!(kind, Kind::Discover | Kind::Job)
        }
        _ => kind == Kind::Job,
    }
}

/// What the door must know of a body: where it goes, and whether the vendor names the event.
#[derive(Debug)]
pub struct Glance<'a> {
    pub address: Address,
    pub event_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
struct Shape<'a> {
    #[serde(borrow, default)]
    job_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    connector: Option<&'a RawValue>,
    #[serde(borrow, default)]
    connector_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tenant: Option<&'a RawValue>,
}

/// Reads no more than the subject and the identity need; never fails: what can't be read is of unknown kind.
#[must_use]
pub fn glance(body: &[u8]) -> Glance<'_> {
    let Ok(shape) = serde_json::from_slice::<Shape<'_>>(body) else {
        // A worker reads bytes that are no UTF-8 as if they were: the subject says what the event log will say.
        if let text @ Cow::Owned(_) = String::from_utf8_lossy(body)
            && let Ok(shape) = serde_json::from_str::<Shape<'_>>(&text)
        {
            return of_shape(&shape);
        }
        let unknown = Address { kind: Kind::Unknown, status: String::new(), tenant: String::new() };
        return Glance { address: unknown, event_id: None };
    };
    of_shape(&shape)
}

fn of_shape(shape: &Shape<'_>) -> Glance<'static> {
    let text = |raw: Option<&RawValue>| raw.map(lenient::scalar).unwrap_or_default();
    let status = text(shape.status);
    let event = text(shape.event);
    let kind = kind_of(
        !text(shape.job_id).is_empty(),
        &event,
        shape.event_id.is_some() || shape.connector_type.is_some(),
        shape.connector.is_some(),
        &status,
    );
    let status = if kind == Kind::Connection || status.is_empty() { event } else { status };
    let event_id = match (kind, shape.event_id) {
        (Kind::Connection, Some(raw)) => {
            Some(lenient::scalar(raw)).filter(|id| !id.is_empty()).map(Cow::Owned)
        }
        _ => None,
    };
    Glance { address: Address { kind, status, tenant: text(shape.tenant) }, event_id }
}

fn kind_of(has_job_id: bool, event: &str, names_connection: bool, has_connector: bool, status: &str) -> Kind {
    if has_job_id {
        Kind::Job
    } else if !event.is_empty() && names_connection {
        Kind::Connection
    } else if has_connector && status.starts_with("DISCOVER_") {
        Kind::Discover
    } else {
        Kind::Unknown
    }
}

pub(super) fn read(envelope: &Envelope, count_at: &[String]) -> Result<Event, Unreadable> {
    let mut payload = lenient::parse(&envelope.body).map_err(Unreadable)?;
    let redacted = redact::value(&mut payload);
    let empty = Map::new();
    let fields = payload.as_object().unwrap_or(&empty);
    let text = |name: &str| scalar_text(fields.get(name));

    let status = text("status");
    let event = text("event");
    let kind = kind_of(
        !text("job_id").is_empty(),
        &event,
        fields.contains_key("event_id") || fields.contains_key("connector_type"),
        fields.contains_key("connector"),
        &status,
    );
    let status = if kind == Kind::Connection || status.is_empty() { event } else { status };
    let (mut tap, mut target) = (text("tap"), text("target"));
    let connector = match (text("connector"), text("connector_id")) {
        (connector, id) if connector.is_empty() => id,
        (connector, _) => connector,
    };
    if kind == Kind::Connection && tap.is_empty() && target.is_empty() {
        // `connector_type` is `connector` in the documented sample; `target` for targets is inferred.
        if text("connector_type").to_ascii_lowercase().contains("target") {
            target.clone_from(&connector);
        } else {
            tap.clone_from(&connector);
        }
    }
    Ok(Event {
        id: envelope.id.clone(),
        kind,
        source: envelope.source,
        endpoint: envelope.endpoint.clone(),
        env_id: text("env_id"),
        flow_id: text("flow_id"),
        tenant: text("tenant"),
        job_id: text("job_id"),
        job_name: text("job_name"),
        tap,
        target,
        connector,
        completed: kind == Kind::Job && status == "JOB_COMPLETED",
        failed: status.ends_with("_FAILED"),
        sync_type: text("sync_type"),
        error: error_text(fields),
        failed_records: failed_records::count(&payload, count_at),
        first_link: fields.get("first_link").and_then(Value::as_bool),
        occurred_at: occurred_at(fields, &status)
            .map_or(envelope.received_at, |at| at.min(latest(envelope.received_at))),
        received_at: envelope.received_at,
        status,
        payload,
        redacted,
    })
}

/// Texts as they are; numbers and booleans as written; anything else is not a name of something.
fn scalar_text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(truth)) => truth.to_string(),
        _ => String::new(),
    }
}

/// `error` may be any JSON (seen by a client of the jobs API); `message` is hotglue's best guess at the cause
/// (documented). Both, once each.
fn error_text(fields: &Map<String, Value>) -> String {
    let flat = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let (error, message) = (flat("error"), flat("message"));
    if message.is_empty() || error.contains(&message) {
        error
    } else if error.is_empty() {
        message
    } else {
        format!("{error}\n{message}")
    }
}

/// A clock at the source that is far ahead must not make its event the newest for years, or no later one could ever
/// change a schedule again.
fn latest(received_at: Timestamp) -> Timestamp {
    received_at.saturating_add(jiff::SignedDuration::from_mins(5)).unwrap_or(received_at)
}

fn occurred_at(fields: &Map<String, Value>, status: &str) -> Option<Timestamp> {
    let of_status = || fields.get("status_timestamp").and_then(|stamps| stamps.get(status));
    ["last_updated", "timestamp"]
        .into_iter()
        .filter_map(|name| fields.get(name))
        .chain(of_status())
        .chain(fields.get("start_time"))
        .find_map(instant)
}

/// ISO 8601 with offset (documented), without (taken as UTC), or epoch milliseconds (`status_timestamp`, documented).
fn instant(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.trim().parse::<Timestamp>().ok().or_else(|| {
            let civil: jiff::civil::DateTime = text.trim().parse().ok()?;
            civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        }),
        // Below 10^11, milliseconds would be before 1973: these are seconds.
        Value::Number(number) => match number.as_i64()? {
            seconds @ ..100_000_000_000 => Timestamp::from_second(seconds).ok(),
            millis => Timestamp::from_millisecond(millis).ok(),
        },
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests;
