//! How an envelope looks on the wire: the body as it is, everything else in headers.
//!
//! A header line of NATS is ASCII in one line, and clients trim it; so every value is written with `%XX` for what would
//! not survive. Headers of different names lose their order (no meaning hangs on it); those of one name keep it.

use std::borrow::Cow;

use async_nats::HeaderMap;
use async_nats::header::HeaderName;
use bytes::Bytes;
use domain::envelope::{Envelope, Source};
use domain::names::EventId;
use jiff::Timestamp;

const VERSION: HeaderName = HeaderName::from_static("Gluehook-Envelope");
const ID: HeaderName = HeaderName::from_static("Gluehook-Id");
const ENDPOINT: HeaderName = HeaderName::from_static("Gluehook-Endpoint");
const SOURCE: HeaderName = HeaderName::from_static("Gluehook-Source");
const RECEIVED_AT: HeaderName = HeaderName::from_static("Gluehook-Received-At");
const KEPT: &str = "Gluehook-Header-";

/// The headers of an envelope, without those that steer NATS.
#[must_use]
pub fn write(envelope: &Envelope) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(VERSION, "1");
    put(&mut headers, ID, envelope.id.as_str());
    put(&mut headers, ENDPOINT, &envelope.endpoint);
    put(&mut headers, SOURCE, envelope.source.as_str());
    headers.insert(RECEIVED_AT, time(envelope.received_at));
    put_kept(&mut headers, &envelope.headers);
    headers
}

/// Reads back what [`write`] wrote. `subject` is that of any stream the envelope passes through.
///
/// # Errors
/// What is missing or can't be read, in one sentence: nobody can work on such a message.
pub fn read(subject: &str, headers: Option<&HeaderMap>, body: Bytes) -> Result<Envelope, String> {
    let headers = headers.ok_or("the message has no headers: Gluehook did not write it")?;
    match required(headers, &VERSION)?.as_ref() {
        "1" => {}
        other => return Err(format!("the envelope has version {other}: a newer Gluehook wrote it")),
    }
    let id = EventId::from_text(required(headers, &ID)?);
    let endpoint = required(headers, &ENDPOINT)?;
    let source = required(headers, &SOURCE)?;
    let source =
        Source::from_text(&source).ok_or_else(|| format!("the source `{source}` is not known here"))?;
    let received_at = timestamp(headers, &RECEIVED_AT)?;
    let subject = original_subject(subject);
    Ok(Envelope::unsealed_from_queue(id, endpoint, source, received_at, subject, kept(headers)?, body))
}

/// Writes request headers that are worth keeping.
pub(crate) fn put_kept(headers: &mut HeaderMap, kept: &[(String, String)]) {
    for (name, value) in kept {
        let name = format!("{KEPT}{}", encode(name, b":"));
        headers.append(name, encode(value, b"").as_ref());
    }
}

/// The kept request headers, by name.
pub(crate) fn kept(headers: &HeaderMap) -> Result<Vec<(String, String)>, String> {
    let mut kept = Vec::new();
    for (name, values) in headers.iter() {
        let name: &str = name.as_ref();
        let Some(name) = name.strip_prefix(KEPT) else { continue };
        let name = decode(name)?;
        for value in values {
            kept.push((name.clone(), decode(value.as_str())?));
        }
    }
    // A map gives them in any order.
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(kept)
}

/// Writes one header so that any text survives.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.insert(name, encode(value, b"").as_ref());
}

/// One header; none where it is missing or can't be read.
pub(crate) fn get(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name.clone()).and_then(|value| decode(value.as_str()).ok())
}

/// The id of the event.
pub(crate) fn id(headers: &HeaderMap) -> Option<EventId> {
    get(headers, &ID).map(EventId::from_text)
}

/// A number in a header.
pub(crate) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name.clone()).and_then(|value| value.as_str().parse().ok())
}

/// A moment in a header.
pub(crate) fn timestamp(headers: &HeaderMap, name: &HeaderName) -> Result<Timestamp, String> {
    let text = required(headers, name)?;
    text.parse().map_err(|_| format!("the header {} is no moment: `{text}`", name.as_ref() as &str))
}

/// RFC 3339 with microseconds.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Copies the headers of a message for another stream, without those that steered NATS.
pub(crate) fn copy(from: Option<&HeaderMap>) -> HeaderMap {
    copy_without(from, &[])
}

/// As [`copy`], and without these.
pub(crate) fn copy_without(from: Option<&HeaderMap>, names: &[HeaderName]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in from.into_iter().flat_map(HeaderMap::iter) {
        let text: &str = name.as_ref();
        let steers = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"));
        if !steers && !names.contains(name) {
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    headers
}

/// What follows `hooks.`, `dead.` or `replay.<run>.` in a subject.
pub(crate) fn rest(subject: &str) -> &str {
    let after = |subject| str::split_once(subject, '.').map_or("_", |(_, rest)| rest);
    match subject.split_once('.') {
        Some(("replay", tail)) => after(tail),
        _ => after(subject),
    }
}

fn original_subject(subject: &str) -> String {
    format!("hooks.{}", rest(subject))
}

fn required(headers: &HeaderMap, name: &HeaderName) -> Result<String, String> {
    let value = headers
        .get(name.clone())
        .ok_or_else(|| format!("the header {} is missing", name.as_ref() as &str))?;
    decode(value.as_str())
}

/// Writes every byte as `%XX` that is not visible ASCII, and those of `%` and `also`; a space stays if text is on
/// both sides of it.
fn encode<'a>(text: &'a str, also: &[u8]) -> Cow<'a, str> {
    let last = text.len().saturating_sub(1);
    let plain = |i: usize, byte: u8| match byte {
        b' ' => i != 0 && i != last && also.is_empty(),
        b'%' => false,
        _ => byte.is_ascii_graphic() && !also.contains(&byte),
    };
    if text.bytes().enumerate().all(|(i, byte)| plain(i, byte)) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for (i, byte) in text.bytes().enumerate() {
        if plain(i, byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(encoded)
}

/// The text that was written with `%XX`.
pub(crate) fn decode(text: &str) -> Result<String, String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let wrong = || format!("a header has a broken escape: `{text}`");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        if *byte == b'%' {
            let [high, low, after @ ..] = after else { return Err(wrong()) };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(wrong()) };
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(headers: Vec<(String, String)>, endpoint: &str, at: i64) -> Envelope {
        Envelope::unsealed_from_queue(
            EventId::from_text("0123456789abcdef0123456789abcdef"),
            endpoint.to_owned(),
            Source::Hotglue,
            Timestamp::from_microsecond(at).unwrap(),
            "hooks.hotglue.job.JOB_COMPLETED.1414_1".to_owned(),
            headers,
            Bytes::from_static(b"{\"a\": 1}\r\n\0"),
        )
    }

    #[test]
    fn the_subject_of_any_stream_leads_back_to_that_of_the_event() {
        for subject in ["hooks.e.job.S.t", "dead.e.job.S.t", "replay.r1.e.job.S.t"] {
            assert_eq!(original_subject(subject), "hooks.e.job.S.t");
        }
        assert_eq!(original_subject("hooks"), "hooks._");
        assert_eq!(original_subject("replay.r1"), "hooks._");
    }

    #[test]
    fn a_time_has_microseconds() {
        assert_eq!(
            time(Timestamp::from_microsecond(1_700_000_000_000_001).unwrap()),
            "2023-11-14T22:13:20.000001Z"
        );
        assert_eq!(time(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn what_gluehook_did_not_write_is_said() {
        let told = |headers: Option<&HeaderMap>| read("hooks.x", headers, Bytes::new()).unwrap_err();
        assert!(told(None).contains("no headers"));
        let mut headers = HeaderMap::new();
        assert!(told(Some(&headers)).contains("Gluehook-Envelope is missing"));
        headers.insert(VERSION, "2");
        assert!(told(Some(&headers)).contains("newer Gluehook"));
        let mut headers = write(&envelope(vec![], "e", 0));
        headers.insert(SOURCE, "carrier-pigeon");
        assert!(told(Some(&headers)).contains("carrier-pigeon"));
        headers.insert(SOURCE, "%G1");
        assert!(told(Some(&headers)).contains("broken escape"));
    }

    #[test]
    fn a_copy_is_not_steered_by_the_original() {
        let mut headers = write(&envelope(vec![("a".into(), "b".into())], "e", 0));
        headers.insert("Nats-Msg-Id", "x");
        headers.insert("nats-rollup", "all");
        let copied = copy(Some(&headers));
        assert!(copied.iter().all(|(name, _)| !name.to_string().to_lowercase().starts_with("nats-")));
        assert_eq!(copied.len(), headers.len() - 2);
    }

    proptest! {
        #[test]
        fn headers_survive(
            mut headers in proptest::collection::vec((any::<String>(), any::<String>()), 0..6),
            endpoint in any::<String>(),
            at in -1_000_000_000_000_000i64..4_000_000_000_000_000,
        ) {
            headers.sort_by(|a, b| a.0.cmp(&b.0));
            let sent = envelope(headers, &endpoint, at);
            let map = write(&sent);
            for (name, values) in map.iter() {
                let name: &str = name.as_ref();
                prop_assert!(name.bytes().all(|b| b.is_ascii_graphic() && b != b':'), "{name:?}");
                for value in values {
                    let value = value.as_str();
                    prop_assert!(value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{value:?}");
                    prop_assert_eq!(value.trim(), value);
                }
            }
            let back = read(&sent.subject, Some(&map), sent.body.clone()).unwrap();
            prop_assert_eq!(back.headers, sent.headers);
            prop_assert_eq!(back.endpoint, sent.endpoint);
            prop_assert_eq!(back.received_at, sent.received_at);
            prop_assert_eq!((back.id, back.subject, back.body), (sent.id, sent.subject, sent.body));
        }

        #[test]
        fn reading_never_panics(value in "[ -~]{0,40}") {
            let _ = decode(&value);
        }
    }
}
