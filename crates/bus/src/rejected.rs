//! The quarantine: requests that were refused, the newest of each endpoint.

use async_nats::HeaderMap;
use async_nats::header::HeaderName;
use bytes::Bytes;
use domain::names::subject_token;
use jiff::Timestamp;

use crate::connect::Bus;
use crate::read::{self, ReadError, Stored};
use crate::topology::StreamName;
use crate::wire;

const ENDPOINT: HeaderName = HeaderName::from_static("Gluehook-Endpoint");
const CAUSE: HeaderName = HeaderName::from_static("Gluehook-Rejected-Cause");
const RECEIVED_AT: HeaderName = HeaderName::from_static("Gluehook-Received-At");

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub endpoint: String,
    /// Why it was refused: what the sender is not told.
    pub cause: String,
    pub received_at: Timestamp,
    /// Headers worth keeping, lower-case; those that the proof is in are among them.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// A refused request in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its sequence in `HOOKS_REJECTED`: what it is called by.
    pub sequence: u64,
    pub request: Rejected,
}

/// The newest refused requests, newest first; those of one endpoint if one is given.
///
/// # Errors
/// The stream can't be read.
pub async fn list(bus: &Bus, endpoint: Option<&str>, limit: usize) -> Result<Vec<Quarantined>, ReadError> {
    let filter =
        endpoint.map_or_else(|| "rejected.*".to_owned(), |name| format!("rejected.{}", subject_token(name)));
    let newest = read::newest(bus, StreamName::Rejected, &filter, limit).await?;
    Ok(newest.into_iter().map(read_back).collect())
}

/// One refused request; none where there is none (any more).
///
/// # Errors
/// The stream can't be read.
pub async fn get(bus: &Bus, sequence: u64) -> Result<Option<Quarantined>, ReadError> {
    Ok(read::get(bus, StreamName::Rejected, sequence).await?.map(read_back))
}

/// Throws a refused request away, as when it was released. False where there was none.
///
/// # Errors
/// It may lie there still.
pub async fn discard(bus: &Bus, sequence: u64) -> Result<bool, ReadError> {
    read::delete(bus, StreamName::Rejected, sequence).await
}

pub(crate) fn write(rejected: &Rejected) -> (String, HeaderMap) {
    let mut headers = HeaderMap::new();
    wire::put(&mut headers, ENDPOINT, &rejected.endpoint);
    wire::put(&mut headers, CAUSE, &rejected.cause);
    headers.insert(RECEIVED_AT, wire::time(rejected.received_at));
    wire::put_kept(&mut headers, &rejected.headers);
    (format!("rejected.{}", subject_token(&rejected.endpoint)), headers)
}

/// Nothing here is worth an error: a request that was refused is shown as far as it can be read.
fn read_back(message: Stored) -> Quarantined {
    let headers = message.headers.unwrap_or_default();
    let endpoint = wire::get(&headers, &ENDPOINT);
    let request = Rejected {
        endpoint: endpoint.unwrap_or_else(|| wire::rest(&message.subject).to_owned()),
        cause: wire::get(&headers, &CAUSE).unwrap_or_default(),
        received_at: wire::timestamp(&headers, &RECEIVED_AT).unwrap_or(message.stored_at),
        headers: wire::kept(&headers).unwrap_or_default(),
        body: message.body,
    };
    Quarantined { sequence: message.sequence, request }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_was() {
        let request = Rejected {
            endpoint: "hotglue".into(),
            cause: "signature wrong: 50 % off\n".into(),
            received_at: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
            headers: vec![("content-type".into(), "a".into()), ("x-hub-signature".into(), "é\r\n".into())],
            body: Bytes::from_static(b"\0\xff"),
        };
        let (subject, headers) = write(&request);
        assert_eq!(subject, "rejected.hotglue");
        let stored = Stored {
            sequence: 7,
            subject,
            headers: Some(headers),
            body: request.body.clone(),
            stored_at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(read_back(stored), Quarantined { sequence: 7, request });
    }
}
