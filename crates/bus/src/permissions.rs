//! May this NATS user do what it is here for? Found out by messages that are refused for what is in them, wherever they
//! are allowed at all: none is stored, none changes anything.

use async_nats::{HeaderMap, RequestErrorKind};
use bytes::Bytes;
use domain::names::subject_token;

use crate::connect::{Bus, REQUEST_TIMEOUT};
use crate::denied::Denied;
use crate::topology::StreamName;

/// No stream is called so: a message that expects it is stored nowhere.
const NO_STREAM: &str = "GLUEHOOK_PERMISSION_PROBE";
/// Names no stream, where the subject names one: the API refuses to create or change anything by it. nats-server would log what is no
/// JSON at all as a warning.
const NOTHING: Bytes = Bytes::from_static(b"{}");
/// A message that no stream has ([`NO_SEQUENCE`]).
const NO_MESSAGE: Bytes = Bytes::from_static(b"{\"seq\":999999999999}");
/// No JSON: an empty request, or one that can be read, would be for a message.
const NO_JSON: Bytes = Bytes::from_static(b"{");
/// A sequence that no stream has reached: a worker that says it is still busy with it says nothing.
const NO_SEQUENCE: u64 = 999_999_999_999;

/// What a program does with NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty<'a> {
    /// Store the webhooks of an endpoint.
    Receive { endpoint: &'a str },
    /// Keep the refused requests of an endpoint.
    Quarantine { endpoint: &'a str },
    /// Take events, settle, bury and set them aside.
    Work,
    /// Look at events, dead letters and refused requests.
    Look,
    /// Have events worked on again.
    Replay,
    /// Take messages out of a stream: dead letters, refused requests, replays that were called off.
    Remove(StreamName),
    /// Create streams and consumers, and change them.
    SetUp,
}

/// One message that is harmless and shows whether it is let through.
struct Probe {
    subject: String,
    headers: HeaderMap,
    body: Bytes,
    /// What must be allowed.
    allow: String,
}

/// What this user would need for `duty` and may not.
///
/// # Errors
/// NATS does not answer.
pub async fn missing(bus: &Bus, duty: Duty<'_>) -> Result<Vec<Denied>, String> {
    let silent = || bus.request_failed("permissions can't be looked at", &"no answer");
    let mut missing = Vec::new();
    for probe in probes(duty) {
        let Probe { subject, headers, body, allow } = probe;
        let answer = bus.client.request_with_headers(subject.clone(), headers, body);
        let answer = bus.unless_denied(&subject, tokio::time::timeout(REQUEST_TIMEOUT, answer)).await;
        match answer {
            Ok(Ok(answer)) => match answer.map_err(|error| error.kind()) {
                // It was let through.
                Ok(_) | Err(RequestErrorKind::NoResponders) => {}
                Err(_) => return Err(silent()),
            },
            Ok(Err(_)) => return Err(silent()),
            Err(denied) => missing.push(denied.of(&allow)),
        }
    }
    Ok(missing)
}

fn probes(duty: Duty<'_>) -> Vec<Probe> {
    match duty {
        Duty::Receive { endpoint } => {
            let endpoint = subject_token(endpoint);
            vec![stored(format!("hooks.{endpoint}.unknown._._"), format!("hooks.{endpoint}.>"))]
        }
        Duty::Quarantine { endpoint } => {
            let subject = format!("rejected.{}", subject_token(endpoint));
            vec![stored(subject.clone(), subject)]
        }
        Duty::Work => {
            let mut probes = vec![
                stored("dead._.unknown._._".to_owned(), "dead.>".to_owned()),
                stored("replay.live.unknown._._._".to_owned(), "replay.live.>".to_owned()),
            ];
            for stream in StreamName::ALL {
                let Some(consumer) = stream.consumer() else { continue };
                let consumer = format!("{}.{consumer}", stream.name());
                probes.push(api(format!("$JS.API.CONSUMER.MSG.NEXT.{consumer}"), NO_JSON, None));
                probes.push(Probe {
                    subject: format!("$JS.ACK.{consumer}.1.{NO_SEQUENCE}.1.1.0"),
                    headers: HeaderMap::new(),
                    body: Bytes::from_static(b"+WPI"),
                    allow: format!("$JS.ACK.{consumer}.>"),
                });
            }
            probes
        }
        Duty::Look => StreamName::ALL
            .into_iter()
            .flat_map(|stream| {
                let name = stream.name();
                [
                    api(format!("$JS.API.STREAM.MSG.GET.{name}"), NO_MESSAGE, None),
                    api(
                        format!("$JS.API.CONSUMER.CREATE.{name}.reader-probe.{}", stream.subject()),
                        NOTHING,
                        Some(format!("$JS.API.CONSUMER.CREATE.{name}.>")),
                    ),
                    api(
                        format!("$JS.API.CONSUMER.MSG.NEXT.{name}.reader-probe"),
                        NO_JSON,
                        Some(format!("$JS.API.CONSUMER.MSG.NEXT.{name}.>")),
                    ),
                ]
            })
            .collect(),
        Duty::Replay => vec![stored("replay._._.unknown._._".to_owned(), "replay.>".to_owned())],
        Duty::Remove(stream) => {
            let mut probes =
                vec![api(format!("$JS.API.STREAM.MSG.DELETE.{}", stream.name()), NO_MESSAGE, None)];
            if stream == StreamName::Replay {
                // Of what is called off, dead letters are put back.
                probes.push(stored("dead._.unknown._._".to_owned(), "dead.>".to_owned()));
            }
            probes
        }
        Duty::SetUp => StreamName::ALL
            .into_iter()
            .flat_map(|stream| {
                let name = stream.name();
                let verbs = ["CREATE", "UPDATE"]
                    .map(|verb| api(format!("$JS.API.STREAM.{verb}.{name}"), NOTHING, None));
                let consumer = stream
                    .consumer()
                    .map(|consumer| api(format!("$JS.API.CONSUMER.CREATE.{name}.{consumer}"), NOTHING, None));
                verbs.into_iter().chain(consumer)
            })
            .collect(),
    }
}

/// A message for a stream, which must not take it.
fn stored(subject: String, allow: String) -> Probe {
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_EXPECTED_STREAM, NO_STREAM);
    Probe { subject, headers, body: Bytes::new(), allow }
}

/// A request of the NATS API that comes to nothing.
fn api(subject: String, body: Bytes, allow: Option<String>) -> Probe {
    let allow = allow.unwrap_or_else(|| subject.clone());
    Probe { subject, headers: HeaderMap::new(), body, allow }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_allowed_is_what_is_tried() {
        let duties = [
            Duty::Receive { endpoint: "a.b" },
            Duty::Quarantine { endpoint: "a.b" },
            Duty::Work,
            Duty::Look,
            Duty::Replay,
            Duty::Remove(StreamName::Dead),
            Duty::Remove(StreamName::Replay),
            Duty::SetUp,
        ];
        for Probe { subject, allow, .. } in duties.into_iter().flat_map(probes) {
            let covered =
                allow.strip_suffix('>').map_or(subject == allow, |start| subject.starts_with(start));
            assert!(covered, "{allow} does not cover {subject}");
        }
    }

    #[test]
    fn a_name_with_a_dot_stays_one_token() {
        let probes = probes(Duty::Receive { endpoint: "a.b" });
        assert_eq!(probes[0].subject, "hooks.a%2Eb.unknown._._");
    }
}
