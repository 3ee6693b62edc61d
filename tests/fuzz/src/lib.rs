//! What must hold for any bytes whatever. Each function takes what a fuzzer makes up and panics when it does not hold; the
//! same functions see the committed corpus in every run of the tests.

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, HeaderValue};
use bus::wire;
use bytes::Bytes;
use domain::config::{Config, FlowSettings};
use domain::envelope::{Envelope, Source};
use domain::event::{self, Event};
use domain::facts::{Fact, Facts, Need, Schedule};
use domain::names::{letters, subject_token};
use domain::plan::{LIVE, Plan};
use domain::rulebook::{Case, Rulebook};
use domain::signature::{Encoding, Hash, Proof, sign_hotglue, verify};
use jiff::Timestamp;
use secrecy::SecretSlice;

/// What a fuzzer runs.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: [(&str, Target); 7] = [
    ("signature", signature),
    ("envelope", envelope),
    ("wire", wire),
    ("source", source),
    ("subject", subject),
    ("rulebook", rulebook),
    ("config", config),
];

/// A body is taken with its own signature and with no other. The first byte chooses the proof; then a line with the header,
/// a line with the secret, the body.
pub fn signature(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let (given, rest) = line(rest);
    let (secret, body) = line(rest);
    if secret.is_empty() {
        return;
    }
    let secret: SecretSlice<u8> = secret.to_vec().into();
    let secrets = std::slice::from_ref(&secret);
    let proof = Proof::Hmac {
        header: "x".to_owned(),
        hash: if choice & 1 == 0 { Hash::Sha1 } else { Hash::Sha256 },
        encoding: if choice & 2 == 0 { Encoding::Hex } else { Encoding::Base64 },
        prefix: (choice & 4 != 0).then(|| "sha1=".to_owned()),
    };
    let taken = verify(&proof, secrets, Some(given), body).is_ok();
    let signed = sign_hotglue(&secret, body);
    if choice & 7 == 0 {
        assert_eq!(taken, given.trim_ascii().eq_ignore_ascii_case(signed.as_bytes()));
    }
    let verified =
        verify(&Proof::hotglue(), secrets, Some(signed.as_bytes()), body).expect("its own signature");
    assert_eq!(verified.body(), body);
    if let Some(first) = body.first() {
        let mut other = body.to_vec();
        other[0] = first ^ 1;
        assert!(verify(&Proof::hotglue(), secrets, Some(signed.as_bytes()), &other).is_err());
    }
}

/// What is sealed comes out of the queue as it went in, under a subject that NATS takes. Lines of headers, an empty line, the
/// body.
pub fn envelope(data: &[u8]) {
    let (mut headers, body) = head(data);
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    for source in Source::ALL {
        let sent = seal(source, body, headers.clone());
        assert_eq!(seal(source, body, headers.clone()).id, sent.id, "a repeat has the same id");
        let tokens: Vec<_> = sent.subject.split('.').collect();
        assert_eq!(tokens.len(), 5, "{}", sent.subject);
        tokens.iter().for_each(|token| assert_token(token));
        for subject in [sent.subject.clone(), sent.subject.replacen("hooks", "replay.run", 1)] {
            let back =
                wire::read(&subject, Some(&wire::write(&sent)), sent.body.clone()).expect("it is ours");
            assert_eq!(
                (
                    &back.id,
                    &back.endpoint,
                    back.source,
                    back.received_at,
                    &back.subject,
                    &back.headers,
                    &back.body
                ),
                (
                    &sent.id,
                    &sent.endpoint,
                    sent.source,
                    sent.received_at,
                    &sent.subject,
                    &sent.headers,
                    &sent.body
                )
            );
        }
    }
}

/// Whatever headers a message has, reading it says what is wrong. The first line is the subject, then as [`envelope`].
pub fn wire(data: &[u8]) {
    let (subject, rest) = line(data);
    let Ok(subject) = std::str::from_utf8(subject) else { return };
    let (lines, body) = head(rest);
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.append(name, value);
        }
    }
    if let Ok(read) = wire::read(subject, Some(&headers), Bytes::copy_from_slice(body)) {
        assert_eq!(read.body, body);
    }
}

/// Every source reads whatever it is sent, or says why not; what is kept of it holds no more than it did.
pub fn source(data: &[u8]) {
    for source in Source::ALL {
        let sealed = seal(source, data, Vec::new());
        let Ok(event) = event::read(&sealed, &pointers()) else {
            assert!(
                serde_json::from_slice::<serde_json::Value>(data).is_err() || data.is_empty() || deep(data)
            );
            continue;
        };
        assert_eq!(event.id, sealed.id);
        let again = event::read(&sealed, &pointers()).expect("it was read before");
        assert_eq!(serde_json::to_value(&event).ok(), serde_json::to_value(&again).ok());
        let (body, redacted) = event.storable_body(&sealed);
        if redacted {
            let kept = seal(source, &body, Vec::new());
            let kept_event = event::read(&kept, &pointers()).expect("what is kept is JSON");
            assert_eq!((kept_event.tenant, kept_event.status), (event.tenant, event.status));
        } else {
            assert_eq!(body, data, "a body without secrets is kept byte for byte");
        }
    }
}

/// A token is one, whatever text it stands for, and different texts have different tokens. Two lines.
pub fn subject(data: &[u8]) {
    let (one, other) = line(data);
    let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    let (first, second) = (subject_token(&one), subject_token(&other));
    assert_token(&first);
    assert_token(&second);
    if one != other {
        assert_ne!(first, second, "{one:?} and {other:?}");
    }
    let _ = letters(&one);
}

/// A rulebook is taken or refused with a place; one that is taken can be asked about any event, and comes to an end.
pub fn rulebook(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let book = match Rulebook::parse(text) {
        Ok(book) => book,
        Err(complaints) => {
            assert!(!complaints.is_empty());
            complaints.iter().for_each(|complaint| assert!(!complaint.to_string().is_empty()));
            return;
        }
    };
    for body in EVENTS {
        let event =
            event::read(&seal(Source::Hotglue, body.as_bytes(), Vec::new()), &pointers()).expect("JSON");
        let plan = decide(&book, &event);
        assert_eq!(plan.verdicts.len(), book.rules().len());
    }
}

/// A configuration is taken or refused with a sentence.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(complaints) = Config::parse(text) {
        assert!(!complaints.is_empty());
        complaints.iter().for_each(|complaint| assert!(!complaint.to_string().is_empty()));
    }
}

const EVENTS: [&str; 3] = [
    r#"{"job_id":"j","status":"JOB_COMPLETED","sync_type":"full_sync","job_name":"a full sync","tenant":"t","tap":"exact","flow_id":"f","last_updated":"2024-10-07T07:50:28Z"}"#,
    r#"{"job_id":"j","status":"SYNC_FAILED","error":{"message":"401 Client Error"},"tenant":"t","flow_id":"f","state":{"bookmarks":{"BuyOrders":[{"success":false}]}}}"#,
    r#"{"event":"LINK","event_id":"e","connector":"salesforce","tenant":"t","flow_id":"f"}"#,
];

/// Asks until all is known, as the worker does.
fn decide(book: &Rulebook, event: &Event) -> Plan {
    let mut facts = Facts::default();
    // As many rounds as there can be things to ask, one by one.
    for _ in 0..6 + book.rules().len() {
        let case = Case {
            event,
            facts: &facts,
            flow: &FlowSettings::default(),
            date_format: "%Y%m%d",
            run: LIVE,
            replayed: false,
            now: Timestamp::UNIX_EPOCH,
        };
        let needs = match book.decide(&case) {
            Ok(plan) => {
                let _ = book.explain(&case);
                return plan;
            }
            Err(needs) => needs,
        };
        assert!(!needs.is_empty(), "it asks for something");
        for need in needs {
            assert!(!facts.knows(&need), "it was told before: {need:?}");
            facts.learn(match need {
                Need::Config => Fact::Config { problems: vec!["/a is missing".to_owned()] },
                Need::State => Fact::State { is_null: true },
                Need::LinkedSources => Fact::LinkedSources(vec!["salesforce".to_owned()]),
                Need::LinkedTargets => Fact::LinkedTargets(Vec::new()),
                Need::Schedule => Fact::Schedule(Some(Schedule::default())),
                Need::LastValue { rule } => Fact::LastValue { rule, value: None },
            });
        }
    }
    panic!("it still asks");
}

fn seal(source: Source, body: &[u8], headers: Vec<(String, String)>) -> Envelope {
    let body = Bytes::copy_from_slice(body);
    let verified = verify(&Proof::None, &[], None, &body).expect("nothing is to be proven");
    Envelope::seal("hotglue", source, verified, body.clone(), headers, Timestamp::UNIX_EPOCH)
}

fn pointers() -> Vec<String> {
    ["/state/bookmarks", "/state/summary", "/metrics"].map(str::to_owned).into()
}

/// What fits between two dots.
fn assert_token(token: &str) {
    assert!(!token.is_empty() && token.len() <= 120, "{token:?}");
    assert!(token.bytes().all(|byte| byte.is_ascii_graphic() && !b".*>".contains(&byte)), "{token:?}");
}

/// Nested deeper than a recursive reader goes.
fn deep(data: &[u8]) -> bool {
    data.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 100
}

fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

fn head(mut data: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let mut headers = Vec::new();
    loop {
        let (one, rest) = line(data);
        data = rest;
        let text = String::from_utf8_lossy(one);
        match text.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => return (headers, data),
        }
    }
}
