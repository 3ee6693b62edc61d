use axum::body::to_bytes;
use axum::http::{StatusCode, header};
use bus::{Args as BusArgs, Bus};
use domain::config::Config;
use domain::signature::sign_hotglue;
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::{Value, json};
use service::metrics::Registry;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tower::ServiceExt;

use super::*;
use crate::queue::Durability;

const JOB: &str = r#"{"job_id":"tVN_B","status":"JOB_COMPLETED","tenant":"1414_1"}"#;

/// A door whose NATS never comes: everything short of storing can be asked of it.
// The test runner always has PATH; setting a variable here would be process-wide state.
async fn door(settings: &str) -> (Router, Arc<Registry>) {
    door_with(settings, Limits::default()).await
}

async fn door_with(settings: &str, limits: Limits) -> (Router, Arc<Registry>) {
    let text = format!(
        "[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\nsecrets = [\"env:PATH\"]\n{settings}"
    );
    let endpoints = Endpoints::open(&Config::parse(&text).unwrap(), Path::new("")).unwrap();
    let bus = Bus::connect_lazily(&BusArgs::for_url("nats://127.0.0.1:1"), "test").await.unwrap();
    let mut registry = Registry::default();
    let metrics = IngestMetrics::register(&mut registry);
    let clock = Clock::fixed(jiff::Timestamp::UNIX_EPOCH);
    let durability = Durability::Broker { spool: None };
    let queue = Queue::new(bus.publisher(), durability, metrics.clone(), clock);
    queue.set_fit(true);
    let door = Door::new(endpoints, queue, metrics, clock, &limits);
    (router(Arc::new(door)), Arc::new(registry))
}

fn signed(body: &str) -> axum::http::request::Builder {
    let secret = service::secrets::resolve_env("PATH").unwrap();
    let secret = SecretSlice::from(secret.expose_secret().as_bytes().to_vec());
    Request::post("/hooks/hotglue").header("x-hub-signature", sign_hotglue(&secret, body.as_bytes()))
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    error: String,
}

async fn ask(router: &Router, request: Request) -> Answer {
    let of_head = request.method() == Method::HEAD;
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers[CONTENT_TYPE], "application/json");
    let body = to_bytes(body, 4096).await.unwrap();
    if of_head {
        assert!(body.is_empty());
        return Answer { status: parts.status, headers: parts.headers, error: String::new() };
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let error = body["error"].as_str().unwrap().to_owned();
    assert_eq!(body, json!({ "error": error }));
    Answer { status: parts.status, headers: parts.headers, error }
}

#[tokio::test]
async fn every_refusal_has_its_status_and_one_sentence() {
    let (router, registry) = door("max_body = \"100B\"\n").await;
    let long = "x".repeat(101);
    let empty = Body::empty;
    let cases: Vec<(Request, u16)> = vec![
        (Request::post("/hooks/etlworks").body(empty()).unwrap(), 404),
        (Request::post("/hooks/").body(empty()).unwrap(), 404),
        (Request::post("/hooks/hotglue/x").body(empty()).unwrap(), 404),
        (Request::post("/").body(empty()).unwrap(), 404),
        (Request::get("/hooks/etlworks").body(empty()).unwrap(), 404),
        (Request::get("/hooks/hotglue").body(empty()).unwrap(), 405),
        (Request::head("/hooks/hotglue").body(empty()).unwrap(), 405),
        (Request::options("/hooks/hotglue").body(empty()).unwrap(), 405),
        (Request::put("/hooks/hotglue").body(JOB.into()).unwrap(), 405),
        (signed(JOB).header("content-type", "text/plain").body(JOB.into()).unwrap(), 415),
        (signed(JOB).header("content-type", &b"\xff"[..]).body(JOB.into()).unwrap(), 415),
        (signed(&long).header("content-length", "101").body(long.clone().into()).unwrap(), 413),
        (signed(&long).body(long.clone().into()).unwrap(), 413),
        (Request::post("/hooks/hotglue").body(JOB.into()).unwrap(), 401),
        (Request::post("/hooks/hotglue").body(empty()).unwrap(), 401),
        (signed("other").body(JOB.into()).unwrap(), 401),
        (signed("").body(empty()).unwrap(), 400),
        (signed(JOB).body(JOB.into()).unwrap(), 503),
    ];
    for (request, expected) in cases {
        let asked = format!("{request:?}");
        let answer = ask(&router, request).await;
        assert_eq!(answer.status.as_u16(), expected, "{asked}");
        assert_eq!(answer.headers.contains_key(header::ALLOW), expected == 405);
        assert_eq!(answer.headers.contains_key(header::RETRY_AFTER), expected == 503);
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "gluehook_received_total{endpoint=\"_\",outcome=\"not_found\"} 5",
        "gluehook_received_total{endpoint=\"hotglue\",outcome=\"unauthorized\"} 3",
        "gluehook_refused_total{endpoint=\"hotglue\",cause=\"missing\"} 2",
        "gluehook_refused_total{endpoint=\"hotglue\",cause=\"mismatch\"} 1",
        "gluehook_received_total{endpoint=\"hotglue\",outcome=\"unavailable\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn all_causes_of_a_401_are_told_alike() {
    let (router, _) = door("").await;
    let missing = ask(&router, Request::post("/hooks/hotglue").body(JOB.into()).unwrap()).await;
    let wrong = ask(&router, signed("other").body(JOB.into()).unwrap()).await;
    let twice = signed(JOB).header("x-hub-signature", "00").body(JOB.into()).unwrap();
    let twice = ask(&router, twice).await;
    assert_eq!([missing.status, wrong.status, twice.status], [StatusCode::UNAUTHORIZED; 3]);
    assert_eq!((&missing.error, &missing.error), (&wrong.error, &twice.error));
}

#[tokio::test]
async fn over_the_rate_it_is_429_with_retry_after() {
    let (router, _) = door("max_per_second = 1\n").await;
    let unproven = async || ask(&router, Request::post("/hooks/hotglue").body(JOB.into()).unwrap()).await;
    for _ in 0..3 {
        assert_eq!(unproven().await.status, StatusCode::UNAUTHORIZED, "a stranger does not use up the rate");
    }
    let ask_once = async || ask(&router, signed(JOB).body(JOB.into()).unwrap()).await;
    assert_eq!(ask_once().await.status, StatusCode::SERVICE_UNAVAILABLE, "there is no NATS here");
    let answer = ask_once().await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn without_nats_it_is_503_that_names_nothing_of_ours() {
    let (router, _) = door("").await;
    let answer = ask(&router, signed(JOB).body(JOB.into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers[header::RETRY_AFTER], "5");
    assert_eq!(answer.error, "the event can't be stored right now: send it again");
}

#[tokio::test]
async fn without_room_for_its_body_a_request_is_turned_away_for_a_second() {
    let (router, _) = door_with("", Limits { bodies: 10, ..Limits::default() }).await;
    let answer = ask(&router, signed(JOB).body(JOB.into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
}

/// Over a socket, and whatever the answer is, to the end of the connection.
async fn said(router: Router, request: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = service::CancellationToken::new();
    let server =
        tokio::spawn(service::http::serve(listener, router, service::http::Limits::default(), stop.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    // Written to the end before a byte is read, as many clients do.
    client.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"}") {
        let mut bytes = [0; 1024];
        let read =
            timeout(Duration::from_secs(20), client.read(&mut bytes)).await.expect("no answer").unwrap();
        assert_ne!(read, 0, "cut after {:?}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&bytes[..read]);
    }
    drop(client);
    stop.cancel();
    server.await.unwrap();
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut_with_408() {
    let (router, _) =
        door_with("", Limits { body_time: Duration::from_millis(100), ..Limits::default() }).await;
    let said = said(router, b"POST /hooks/hotglue HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("connection: close"), "{said}");
}

#[tokio::test]
async fn a_sender_that_reads_late_still_gets_its_413() {
    let length = 16 << 20;
    for announced in [true, false] {
        let (router, _) = door("").await;
        let mut request = b"POST /hooks/hotglue HTTP/1.1\r\nHost: x\r\n".to_vec();
        if announced {
            request.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
            request.resize(request.len() + length, b'x');
        } else {
            request.extend_from_slice(format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n").as_bytes());
            request.resize(request.len() + length, b'x');
            request.extend_from_slice(b"\r\n0\r\n\r\n");
        }
        let said = said(router, &request).await;
        assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    }
}

#[tokio::test]
async fn a_sender_that_waits_to_be_told_to_go_on_is_told_only_when_it_may() {
    let ask = |length: usize| {
        format!(
            "POST /hooks/hotglue HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let (router, _) = door("").await;
    let said_to_large = said(router.clone(), ask(2 << 20).as_bytes()).await;
    assert!(said_to_large.starts_with("HTTP/1.1 413 "), "{said_to_large}");
    let said_to_small = said(router, format!("{}{{}}", ask(2)).as_bytes()).await;
    assert!(
        said_to_small.starts_with("HTTP/1.1 100 ") && said_to_small.contains("HTTP/1.1 401 "),
        "{said_to_small}"
    );
}
