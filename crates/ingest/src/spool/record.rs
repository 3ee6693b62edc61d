//! How an event lies in the spool: a version, the length of the head, the head as JSON, the body as it came.

use bytes::Bytes;
use domain::envelope::{Envelope, Source};
use domain::names::EventId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// The version and the length of the head.
const FRONT: usize = 5;

/// Everything but the body.
#[derive(Debug, Serialize, Deserialize)]
struct Head<'a> {
    id: EventId,
    endpoint: std::borrow::Cow<'a, str>,
    source: Source,
    received_at: Timestamp,
    subject: std::borrow::Cow<'a, str>,
    headers: std::borrow::Cow<'a, [(String, String)]>,
}

/// What is known of a record without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) id: EventId,
    pub(super) received_at: Timestamp,
}

/// # Errors
/// The head is longer than can be written: more than 4 GiB.
pub(super) fn write(envelope: &Envelope) -> Result<Vec<u8>, String> {
    let head = Head {
        id: envelope.id.clone(),
        endpoint: envelope.endpoint.as_str().into(),
        source: envelope.source,
        received_at: envelope.received_at,
        subject: envelope.subject.as_str().into(),
        headers: envelope.headers.as_slice().into(),
    };
    let head = serde_json::to_vec(&head).map_err(|error| error.to_string())?;
    let length = u32::try_from(head.len()).map_err(|_| "its headers are too long".to_owned())?;
    let mut record = Vec::with_capacity(FRONT + head.len() + envelope.body.len());
    record.push(VERSION);
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&head);
    record.extend_from_slice(&envelope.body);
    Ok(record)
}

/// # Errors
/// What is wrong with the record; the same for [`label`].
pub(super) fn read(record: &[u8]) -> Result<Envelope, String> {
    let (head, body) = split(record)?;
    Ok(Envelope::unsealed_from_queue(
        head.id,
        head.endpoint.into_owned(),
        head.source,
        head.received_at,
        head.subject.into_owned(),
        head.headers.into_owned(),
        Bytes::copy_from_slice(body),
    ))
}

pub(super) fn label(record: &[u8]) -> Result<Label, String> {
    let (head, _) = split(record)?;
    Ok(Label { id: head.id, received_at: head.received_at })
}

fn split(record: &[u8]) -> Result<(Head<'_>, &[u8]), String> {
    let [version, a, b, c, d, rest @ ..] = record else { return Err("it is too short".to_owned()) };
    if *version != VERSION {
        return Err(format!("it has version {version}: another Gluehook wrote it"));
    }
    let length = u32::from_le_bytes([*a, *b, *c, *d]);
    let (head, body) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| "it is cut off".to_owned())?;
    let head = serde_json::from_slice(head).map_err(|error| format!("its head can't be read: {error}"))?;
    Ok((head, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_event_comes_back_as_it_was(
            headers in proptest::collection::vec((any::<String>(), any::<String>()), 0..4),
            texts in any::<(String, String, String)>(),
            micros in -1_000_000_000_000_000i64..4_000_000_000_000_000,
            body in any::<Vec<u8>>(),
        ) {
            let sent = Envelope::unsealed_from_queue(
                EventId::from_text(texts.0),
                texts.1,
                Source::Hotglue,
                Timestamp::from_microsecond(micros).unwrap(),
                texts.2,
                headers,
                Bytes::from(body),
            );
            let record = write(&sent).unwrap();
            let back = read(&record).unwrap();
            prop_assert_eq!(label(&record).unwrap(), Label { id: sent.id.clone(), received_at: sent.received_at });
            prop_assert_eq!((back.id, back.endpoint, back.received_at), (sent.id, sent.endpoint, sent.received_at));
            prop_assert_eq!((back.subject, back.headers, back.body), (sent.subject, sent.headers, sent.body));
        }

        #[test]
        fn reading_never_panics(record in any::<Vec<u8>>()) {
            let _ = read(&record);
            let _ = read(&[&[1, 2, 0, 0, 0], record.as_slice()].concat());
        }
    }

    #[test]
    fn what_another_version_wrote_is_said() {
        assert!(read(&[9, 0, 0, 0, 0]).unwrap_err().contains("version 9"));
        assert_eq!(read(&[1, 9, 0, 0, 0]).unwrap_err(), "it is cut off");
    }
}
