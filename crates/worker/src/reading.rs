//! From what the queue delivers to what enters the event log. Reading is pure: what ends in a panic once ends in one every
//! time, and what a process dies over is not read for ever.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use domain::envelope::Envelope;
use domain::event::{Event, Unreadable};
use domain::journal::Arrival;
use domain::names::EventId;
use domain::redact::Known;

/// A message delivered so often without being settled may be what workers die over. One that was only in a worker's hands
/// when it was killed comes twice.
const SUSPICIOUS: u64 = 3;
/// Events remembered as harmless; with more, all are forgotten and looked at again.
const MOST_KNOWN: usize = 10_000;
/// What is told of a panic: its message is in the log, and may hold what must not leave.
const PANIC: &str = "reading it ended in a panic, which is a defect of Gluehook: the worker's log says where";

/// An event that can't be read, as it is shown, and why.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) arrival: Arrival,
    pub(crate) why: String,
}

/// Reads an envelope by `parse`, and takes our own `secrets` out of it.
///
/// # Errors
/// It is to be buried at once.
pub(crate) fn read(
    envelope: &Envelope,
    stream_sequence: u64,
    secrets: &Known,
    parse: impl FnOnce(&Envelope) -> Result<Event, Unreadable>,
) -> Result<Arrival, Box<Refused>> {
    let clean = || {
        let mut event = parse(envelope)?;
        secrets.take_out_of(&mut event, &envelope.body);
        Ok(arrival(envelope, stream_sequence, secrets, event))
    };
    let why = match caught(clean) {
        Some(Ok(arrival)) => return Ok(arrival),
        Some(Err(why)) => why,
        None => Unreadable(PANIC.to_owned()),
    };
    let shown = caught(|| arrival(envelope, stream_sequence, secrets, Event::unreadable(envelope, &why)));
    let why = why.to_string();
    Err(match shown {
        Some(arrival) => Box::new(Refused { arrival, why }),
        None => untouched(envelope, stream_sequence, why),
    })
}

/// An event that is buried without being read: nobody looks into its body, which stays in the queue and in the dead letter.
pub(crate) fn untouched(envelope: &Envelope, stream_sequence: u64, why: String) -> Box<Refused> {
    let arrival = Arrival {
        stream_sequence,
        subject: envelope.subject.clone(),
        headers: envelope.headers.clone(),
        body: Vec::new(),
        body_redacted: true,
        event: Event::unreadable(envelope, &Unreadable(why.clone())),
    };
    Box::new(Refused { arrival, why })
}

/// What `work` came to; none when it ended in a panic.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn arrival(envelope: &Envelope, stream_sequence: u64, secrets: &Known, event: Event) -> Arrival {
    let (mut body, mut body_redacted) = event.storable_body(envelope);
    // What is no JSON was not looked through yet.
    if event.payload.is_null()
        && let Cow::Owned(clean) = secrets.bytes(&body)
    {
        (body, body_redacted) = (clean, true);
    }
    Arrival {
        stream_sequence,
        subject: envelope.subject.clone(),
        headers: envelope.headers.clone(),
        body,
        body_redacted,
        event,
    }
}

/// Which events this worker has read and lived.
#[derive(Debug, Default)]
pub(crate) struct Harmless(Mutex<HashSet<EventId>>);

impl Harmless {
    /// Is it written down before this event is read, so that whoever comes after us knows what we died over?
    pub(crate) fn is_suspicious(&self, event: &EventId, deliveries: u64) -> bool {
        deliveries >= SUSPICIOUS && !self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(event)
    }

    pub(crate) fn was_read(&self, event: EventId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(event);
    }
}

#[cfg(test)]
mod tests {
    use domain::envelope::Source;
    use jiff::Timestamp;

    use super::*;

    fn envelope() -> Envelope {
        Envelope::unsealed_from_queue(
            EventId::from_text("abc"),
            "hotglue".to_owned(),
            Source::Hotglue,
            Timestamp::UNIX_EPOCH,
            "hooks.hotglue.job._._".to_owned(),
            Vec::new(),
            br#"{"token":"s3cret"}"#.to_vec().into(),
        )
    }

    #[test]
    fn an_event_that_is_read_with_a_panic_is_refused_at_once_with_the_reason() {
        let refused = read(&envelope(), 7, &Known::default(), |_| panic!("at byte 3 of s3cret")).unwrap_err();
        assert!(refused.why.contains("panic") && !refused.why.contains("s3cret"), "{}", refused.why);
        assert_eq!((refused.arrival.stream_sequence, refused.arrival.event.id.as_str()), (7, "abc"));
        assert!(!String::from_utf8_lossy(&refused.arrival.body).contains("s3cret"));
    }

    #[test]
    fn an_event_that_kills_is_buried_without_a_look_into_its_body() {
        let refused = untouched(&envelope(), 7, "begun 10 times".to_owned());
        assert!(refused.arrival.body.is_empty() && refused.arrival.body_redacted);
        assert!(refused.arrival.event.error.contains("begun 10 times"));
    }

    #[test]
    fn only_what_comes_again_and_again_is_suspicious_until_it_was_read() {
        let (harmless, event) = (Harmless::default(), EventId::from_text("abc"));
        assert!(!harmless.is_suspicious(&event, 2) && harmless.is_suspicious(&event, 3));
        harmless.was_read(event.clone());
        assert!(!harmless.is_suspicious(&event, 4));
    }
}
