use axum::http::{HeaderName, HeaderValue};
use domain::config::{self, SecretRef};
use domain::envelope::Source;
use domain::signature::Refusal as Unproven;
use domain::signature::sign_hotglue;
use secrecy::{SecretSlice, SecretString};
use std::path::Path;

use super::*;

const JOB: &[u8] = br#"{"job_id":"tVN_B","status":"JOB_COMPLETED","tenant":"1414_1"}"#;

/// One header as it was sent.
type Given<'a> = (&'static str, &'a [u8]);

// The test runner always has PATH; setting a variable here would be process-wide state.
fn endpoint() -> Endpoint {
    let endpoint = config::Endpoint {
        name: "hotglue".to_owned(),
        source: Source::Hotglue,
        secrets: vec![SecretRef::Env("PATH".to_owned())],
        proof: None,
        max_body: 1 << 20,
        max_per_second: None,
    };
    Endpoint::open(&endpoint, Path::new("")).unwrap()
}

fn signature(body: &[u8]) -> String {
    use secrecy::ExposeSecret;
    let secret: SecretString = service::secrets::resolve_env("PATH").unwrap();
    sign_hotglue(&SecretSlice::from(secret.expose_secret().as_bytes().to_vec()), body)
}

fn headers(given: &[Given<'_>]) -> HeaderMap {
    given
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()))
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

fn ask(given: &[Given<'_>], body: &'static [u8]) -> Result<Envelope, Refusal> {
    admit(&endpoint(), &headers(given), &Bytes::from_static(body), Timestamp::UNIX_EPOCH)
}

#[test]
fn a_signed_event_is_sealed_with_the_bytes_and_headers_as_they_came() {
    let tag = signature(JOB);
    let given: &[Given<'_>] = &[
        ("x-hub-signature", tag.as_bytes()),
        ("content-type", b"application/json"),
        ("user-agent", b"hotglue/\xff"),
        ("authorization", b"Bearer s3cret"),
        ("cookie", b"s3cret"),
    ];
    let envelope = ask(given, JOB).unwrap();
    assert_eq!(envelope.subject, "hooks.hotglue.job.JOB_COMPLETED.1414_1");
    assert_eq!(envelope.body, JOB);
    let expected: Vec<(String, String)> =
        [("content-type", "application/json"), ("user-agent", "hotglue/\u{fffd}"), ("x-hub-signature", &tag)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    assert_eq!(envelope.headers, expected);
}

#[test]
fn without_proof_nothing_is_sealed() {
    let tag = signature(JOB);
    let other = signature(b"{}");
    let twice = [("x-hub-signature", tag.as_bytes()), ("x-hub-signature", tag.as_bytes())];
    let cases: &[(&[Given<'_>], Unproven)] = &[
        (&[], Unproven::Missing),
        (&[("x-hub-signature", b"")], Unproven::Missing),
        (&[("x-hub-signature", b"\xff\xfe")], Unproven::Malformed),
        (&[("x-hub-signature", other.as_bytes())], Unproven::Mismatch),
        (&twice, Unproven::Malformed),
    ];
    for (given, expected) in cases {
        assert_eq!(ask(given, JOB).err(), Some(Refusal::Unproven(*expected)), "{given:?}");
    }
}

#[test]
fn an_empty_body_is_refused_only_after_its_proof() {
    let tag = signature(b"");
    assert_eq!(ask(&[("x-hub-signature", tag.as_bytes())], b"").err(), Some(Refusal::Empty));
    assert_eq!(ask(&[], b"").err(), Some(Refusal::Unproven(Unproven::Missing)));
}

#[test]
fn what_is_signed_is_never_refused_for_its_shape() {
    let bodies: &[&'static [u8]] =
        &[b"not json", b"\xff\xfe", b"{\"tenant\":\"\\ud800\"}", b"\0", b"[[[[[[[[", b"null", b" "];
    for body in bodies {
        let tag = signature(body);
        let envelope = ask(&[("x-hub-signature", tag.as_bytes())], body).unwrap();
        assert_eq!(envelope.body, *body);
        assert!(envelope.subject.starts_with("hooks.hotglue.unknown."), "{}", envelope.subject);
    }
}
