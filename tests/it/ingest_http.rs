//! The door over real HTTP, in front of a real nats-server: what is answered, and what is stored.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream;
use bytes::Bytes;
use tests::ingest::{Ingest, NEXT_SECRET, SECRET, Setting, answer, flags, request, secrets, sign};
use tests::nats::NatsServer;
use tests::program::{self, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const JOB: &[u8] = br#"{"job_id":"tVN_B","job_name":"sync","status":"JOB_COMPLETED","tenant":"1414_1"}"#;

struct Stored {
    subject: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Everything in a stream, oldest first.
async fn stored(nats: &NatsServer, stream: &str) -> Vec<Stored> {
    let client = async_nats::connect(&nats.url).await.expect("NATS is there");
    let mut stream = jetstream::new(client).get_stream(stream).await.expect("the stream is there");
    let state = stream.info().await.expect("it is told").state.clone();
    let mut all = Vec::new();
    // An empty stream begins at 0, where nothing is.
    for sequence in state.first_sequence.max(1)..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("nothing was deleted");
        let (subject, headers, body) = (message.subject.to_string(), message.headers, message.payload);
        all.push(Stored { subject, headers, body });
    }
    all
}

#[tokio::test]
async fn a_signed_event_is_stored_unchanged_under_its_id() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let signature = sign(SECRET, JOB);
    let headers = [
        ("X-Hub-Signature", signature.as_str()),
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer not-for-others"),
    ];
    let (id, duplicate) = ingest.post_with(&headers, JOB).await.stored();
    assert!(!duplicate);
    let all = stored(&nats, "HOOKS").await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].subject, "hooks.hotglue.job.JOB_COMPLETED.1414_1");
    assert_eq!(all[0].body, JOB);
    assert_eq!(all[0].headers.get("Nats-Msg-Id").unwrap().as_str(), id);
    let headers = format!("{:?}", all[0].headers);
    assert!(headers.contains(&signature) && !headers.contains("not-for-others"), "{headers}");
    let metrics = ingest.metrics().await;
    assert!(
        metrics.contains("gluehook_received_total{endpoint=\"hotglue\",outcome=\"stored\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("gluehook_last_received_seconds{endpoint=\"hotglue\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_repeat_has_the_same_id_and_is_stored_once() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let (first, duplicate) = ingest.post(JOB).await.stored();
    assert!(!duplicate);
    // Signed with the other secret: the event is the same one.
    let signature = sign(NEXT_SECRET, JOB);
    let (again, duplicate) = ingest.post_with(&[("x-hub-signature", &signature)], JOB).await.stored();
    assert!(duplicate);
    assert_eq!(first, again);
    assert_eq!(stored(&nats, "HOOKS").await.len(), 1);
}

#[tokio::test]
async fn either_secret_with_or_without_prefix_in_either_case_is_believed() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    for secret in [SECRET, NEXT_SECRET] {
        let digits = sign(secret, JOB);
        let upper = digits.to_uppercase();
        for given in [digits.clone(), upper.clone(), format!("sha1={digits}"), format!("SHA1={upper}")] {
            assert_eq!(ingest.post_with(&[("x-hub-signature", &given)], JOB).await.status, 200, "{given}");
        }
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_signature_it_is_the_same_401_and_nothing_is_published() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let (good, wrong) = (sign(SECRET, JOB), sign("another", JOB));
    let missing = ingest.post_with(&[], JOB).await;
    assert_eq!(missing.status, 401);
    let cases: [&[(&str, &str)]; 6] = [
        &[("x-hub-signature", &wrong)],
        &[("x-hub-signature", "")],
        &[("x-hub-signature", "zzz")],
        &[("x-hub-signature", "é\u{85}")],
        &[("x-hub-signature", &good), ("x-hub-signature", &good)],
        &[("x-signature", &good)],
    ];
    for headers in cases {
        let answer = ingest.post_with(headers, JOB).await;
        assert_eq!((answer.status, answer.body), (401, missing.body.clone()), "{headers:?}");
    }
    let other_body = ingest.post_with(&[("x-hub-signature", &good)], b"{}").await;
    assert_eq!((other_body.status, other_body.body), (401, missing.body));
    assert_eq!(stored(&nats, "HOOKS").await.len(), 0);
}

#[tokio::test]
async fn refused_requests_lie_in_the_quarantine_with_their_cause() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let wrong = sign("another", JOB);
    let headers = [("x-hub-signature", wrong.as_str()), ("authorization", "Bearer not-for-others")];
    assert_eq!(ingest.post_with(&headers, JOB).await.status, 401);
    let deadline = Instant::now() + PATIENCE;
    let all = loop {
        let all = stored(&nats, "HOOKS_REJECTED").await;
        if !all.is_empty() {
            break all;
        }
        assert!(Instant::now() < deadline, "{}", ingest.program.log());
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((all.len(), all[0].subject.as_str()), (1, "rejected.hotglue"));
    assert_eq!(all[0].body, JOB);
    let headers = format!("{:?}", all[0].headers);
    assert!(headers.contains("mismatch") && headers.contains(&wrong), "{headers}");
    assert!(!headers.contains("not-for-others"), "{headers}");
    let log = ingest.program.log();
    assert!(log.contains("mismatch") && !log.contains(SECRET) && !log.contains(&wrong), "{log}");
}

#[tokio::test]
async fn method_path_type_and_emptiness_have_their_answers() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let signature = sign(SECRET, JOB);
    let signed = [("x-hub-signature", signature.as_str())];
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = ingest.ask(&request(method, "/hooks/hotglue", &signed, b"")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
        assert!(answer.error().contains("POST"));
    }
    for path in
        ["/", "/hooks", "/hooks/", "/hooks/other", "/hooks/hotglue/", "/hooks/HOTGLUE", "/hooks/%00", "//"]
    {
        let answer = ingest.ask(&request("POST", path, &signed, JOB)).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.error().contains("/hooks/<endpoint>"));
    }
    let form =
        [("x-hub-signature", signature.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let answer = ingest.post_with(&form, JOB).await;
    assert_eq!(answer.status, 415);
    assert!(answer.error().contains("application/json"));
    let empty = ingest.post(b"").await;
    assert_eq!((empty.status, empty.error().as_str()), (400, "an empty body can't be an event"));
    assert_eq!(ingest.post_with(&[], b"").await.status, 401);
    assert_eq!(stored(&nats, "HOOKS").await.len(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_stored() {
    let nats = NatsServer::start_with("max_payload: 2MB").await;
    let ingest = Ingest::start(&nats.url).await;
    let mut body = vec![b'x'; 1 << 20];
    assert_eq!(ingest.post(&body).await.status, 200);
    body.push(b'x');
    let answer = ingest.post(&body).await;
    assert_eq!(answer.status, 413);
    assert!(answer.error().contains("1048576"), "{answer:?}");
    assert_eq!(stored(&nats, "HOOKS").await.len(), 1);
}

#[tokio::test]
async fn what_only_the_broker_finds_too_large_is_our_trouble_and_readyz_warns_of_it() {
    let nats = NatsServer::start_with("max_payload: 64KB").await;
    let ingest = Ingest::start(&nats.url).await;
    let answer = ingest.post(&vec![b'x'; 100_000]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let ready = ingest.until_ready(true).await;
    assert!(ready["warnings"][0].as_str().unwrap().contains("max_payload"), "{ready}");
}

#[tokio::test]
async fn odd_bodies_are_stored_byte_for_byte() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let deep = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
    let bodies: Vec<&[u8]> = vec![
        b"not json",
        b"\xff\xfe\x00\x80",
        b"{\"job_id\":\"a\\u0000b\",\"tenant\":\"\0\"}",
        br#"{"job_id":"j","status":"JOB_FAILED","tenant":"\ud800"}"#,
        "{\"job_id\":\"q\",\"job_name\":\"\\\"quoted\\\"\\n\u{1f980}\u{2028}\",\"status\":\"JOB_COMPLETED\"}"
            .as_bytes(),
        b"null",
        b" \r\n",
        &deep,
    ];
    for body in &bodies {
        let (_, duplicate) = ingest.post(body).await.stored();
        assert!(!duplicate);
    }
    let all = stored(&nats, "HOOKS").await;
    assert_eq!(all.iter().map(|stored| stored.body.as_ref()).collect::<Vec<_>>(), bodies);
}

#[tokio::test]
async fn no_tenant_and_no_status_can_break_out_of_the_subject() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let long = "t".repeat(400);
    let other_long = format!("{long}2");
    let tenants = ["a.b *>", long.as_str(), other_long.as_str(), "", "_", ">", "\r\nPUB x 0", "\u{1f980}"];
    for tenant in tenants {
        let body = serde_json::json!({ "job_id": "j", "status": tenant, "tenant": tenant });
        assert_eq!(ingest.post(body.to_string().as_bytes()).await.status, 200, "{tenant}");
    }
    let mut subjects: Vec<String> =
        stored(&nats, "HOOKS").await.into_iter().map(|stored| stored.subject).collect();
    assert_eq!(subjects[0], "hooks.hotglue.job.a%2Eb%20%2A%3E.a%2Eb%20%2A%3E");
    for subject in &subjects {
        assert_eq!(subject.split('.').count(), 5, "{subject}");
        assert!(
            subject.bytes().all(|byte| byte.is_ascii_graphic()) && !subject.contains(['*', '>']),
            "{subject}"
        );
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), tenants.len());
}

#[tokio::test]
async fn chunked_and_expecting_senders_are_understood() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let signature = sign(SECRET, JOB);
    let (a, b) = JOB.split_at(10);
    let head = format!("POST /hooks/hotglue HTTP/1.1\r\nhost: t\r\nx-hub-signature: {signature}\r\n");
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for piece in [a, b, &[]] {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    let (id, duplicate) = ingest.ask(&chunked).await.stored();
    assert!(!duplicate);

    let mut stream = TcpStream::connect(ingest.address).await.unwrap();
    let expecting = format!("{head}expect: 100-continue\r\ncontent-length: {}\r\n\r\n", JOB.len());
    stream.write_all(expecting.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(JOB).await.unwrap();
    assert_eq!(answer(&mut stream).await.stored(), (id, true));
}

#[tokio::test]
async fn over_the_configured_rate_it_is_429_with_retry_after() {
    let nats = NatsServer::start().await;
    let setting = Setting { more: "max_per_second = 2\n", ..Setting::default() };
    let ingest = Ingest::with(&nats.url, setting).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let answer = ingest.post(JOB).await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        statuses.push(answer.status);
    }
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn without_nats_it_is_503_and_when_nats_comes_it_is_stored() {
    let mut nats = NatsServer::start().await;
    nats.kill().await;
    let ingest = Ingest::listening(&nats.url, Setting::default()).await;
    let away = ingest.post(JOB).await;
    assert_eq!((away.status, away.header("retry-after")), (503, Some("5")));
    assert_eq!(away.error(), "the event can't be stored right now: send it again");
    let ready = ingest.until_ready(false).await;
    assert!(ready["checks"]["nats"].as_str().unwrap().contains("does not answer"), "{ready}");
    assert!(ingest.program.log().contains("until then every webhook is answered 503"));
    // A wrong signature is wrong whatever the queue does.
    assert_eq!(ingest.post_with(&[], JOB).await.status, 401);

    nats.start_again().await;
    ingest.until_ready(true).await;
    assert!(!ingest.post(JOB).await.stored().1);

    nats.kill().await;
    ingest.until_ready(false).await;
    assert_eq!(ingest.post(b"{}").await.status, 503);
    nats.start_again().await;
    ingest.until_ready(true).await;
    assert!(ingest.post(JOB).await.stored().1, "what was stored before is known");
    assert!(!ingest.post(b"{}").await.stored().1);
}

#[tokio::test]
async fn a_full_stream_is_503_and_what_was_stored_stays() {
    let nats = NatsServer::start().await;
    let setting = Setting { more: "[jetstream]\nmax_bytes = \"32KiB\"\n", ..Setting::default() };
    let ingest = Ingest::with(&nats.url, setting).await;
    let mut stored_ids = 0;
    let full = loop {
        let answer =
            ingest.post(format!("{{\"n\":{stored_ids},\"x\":\"{}\"}}", "x".repeat(4000)).as_bytes()).await;
        if answer.status != 200 {
            break answer;
        }
        stored_ids += 1;
        assert!(stored_ids < 20, "the stream never gets full");
    };
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
    assert_eq!(full.error(), "the event can't be stored right now: send it again");
    assert_eq!(stored(&nats, "HOOKS").await.len(), stored_ids);
    ingest.program.line("is full").await;
    let ready = ingest.until_ready(false).await;
    let why = ready["checks"]["streams"].as_str().unwrap_or_default();
    assert!(why.contains("is full") && why.contains("raise max_bytes"), "{ready}");
}

#[tokio::test]
async fn a_signal_lets_requests_in_hand_finish_and_the_process_end_well() {
    let nats = NatsServer::start().await;
    let mut ingest = Ingest::start(&nats.url).await;
    let whole = request("POST", "/hooks/hotglue", &[("x-hub-signature", &sign(SECRET, JOB))], JOB);
    let (begin, rest) = whole.split_at(whole.len() - 20);
    let mut stream = TcpStream::connect(ingest.address).await.unwrap();
    stream.write_all(begin).await.unwrap();
    // The request is in hand once another one, sent after it, was answered.
    assert_eq!(ingest.post(b"{}").await.status, 200);
    ingest.program.signal("TERM").await;
    let ready = ingest.until_ready(false).await;
    assert_eq!(ready["checks"]["running"], "ingest is stopping");
    stream.write_all(rest).await.unwrap();
    assert!(!answer(&mut stream).await.stored().1);
    assert!(ingest.program.ended().await.success(), "{}", ingest.program.log());
    assert_eq!(stored(&nats, "HOOKS").await.len(), 2);
}

#[tokio::test]
async fn clients_that_go_away_leave_the_door_open_and_store_nothing_twice() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let whole = request("POST", "/hooks/hotglue", &[("x-hub-signature", &sign(SECRET, JOB))], JOB);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(ingest.address).await.unwrap();
        stream.write_all(&whole).await.unwrap();
    }
    assert_eq!(ingest.post(b"{}").await.status, 200);
    // Who leaves before the answer was promised nothing: its event may be stored, but never twice.
    let stored = stored(&nats, "HOOKS").await.len();
    assert!((1..=2).contains(&stored), "{stored}");
    assert!(!ingest.program.log().contains("panicked"), "{}", ingest.program.log());
}

#[tokio::test]
async fn an_unverified_endpoint_is_warned_of_wherever_people_look() {
    let nats = NatsServer::start().await;
    let more = "[[endpoint]]\nname = \"open\"\nsource = \"hotglue\"\nproof = \"none\"\n";
    let ingest = Ingest::with(&nats.url, Setting { more, ..Setting::default() }).await;
    let ready = ingest.until_ready(true).await;
    assert!(ready["warnings"].to_string().contains("endpoint `open` verifies nothing"), "{ready}");
    let log = ingest.program.log();
    assert!(log.contains("hotglue: HMAC-SHA1 in x-hub-signature, 2 secrets"), "{log}");
    assert!(log.contains("open: NOT VERIFIED"), "{log}");
    assert_eq!(ingest.ask(&request("POST", "/hooks/open", &[], JOB)).await.status, 200);
    assert_eq!(ingest.ask(&request("POST", "/hooks/open", &[], b"")).await.status, 400);
}

/// Starts it with this configuration, from which it must not come up: exit code and what it said.
async fn refuses(config: &str, nats: &str, setup: bool) -> (i32, String) {
    let home = tempfile::tempdir().expect("a directory");
    let (code, _, said) =
        program::run("gluehook-ingest", &flags(&home, config, nats, setup), &secrets()).await;
    assert!(!said.contains(SECRET), "{said}");
    (code, said)
}

const NOWHERE: &str = "nats://127.0.0.1:1";

#[tokio::test]
async fn a_wrong_configuration_ends_with_2_and_one_sentence() {
    let endpoint = "[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\n";
    let cases = [
        (
            format!("{endpoint}secrets = [\"env:NOT_THERE\"]\n"),
            "the environment variable NOT_THERE is not set",
        ),
        (format!("{endpoint}secret = [\"env:SECRET\"]\n"), "did you mean `secrets`?"),
        (format!("{endpoint}secrets = [\"{SECRET}\"]\n"), "write \"env:NAME\" or \"file:PATH\""),
        (endpoint.to_owned(), "has no secrets"),
        (String::new(), "no endpoint is configured"),
    ];
    for (config, sentence) in cases {
        let (code, said) = refuses(&config, NOWHERE, false).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(sentence) && said.lines().count() == 1, "{said}");
    }
    let config = format!("{endpoint}secrets = [\"env:SECRET\"]\n");
    let (code, said) = refuses(&config, "http://nats", false).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--nats-url"), "{said}");
}

#[tokio::test]
async fn a_broker_that_will_not_do_ends_it_with_1_and_a_sentence() {
    let config = "[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\nsecrets = [\"env:SECRET\"]\n";
    let nats = NatsServer::start().await;
    let (code, said) = refuses(config, &nats.url, false).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("stream HOOKS is missing") && said.contains("gluehook setup"), "{said}");
    let bare = NatsServer::start_without_jetstream().await;
    let (code, said) = refuses(config, &bare.url, true).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("JetStream is off"), "{said}");
}

#[tokio::test]
async fn streams_that_others_set_up_are_used_and_a_changed_one_is_refused() {
    let nats = NatsServer::start().await;
    drop(Ingest::start(&nats.url).await);
    let setting = Setting { without_setup: true, ..Setting::default() };
    let ingest = Ingest::with(&nats.url, setting).await;
    assert!(!ingest.post(JOB).await.stored().1);

    let context = jetstream::new(async_nats::connect(&nats.url).await.unwrap());
    let mut config = context.get_stream("HOOKS").await.unwrap().cached_info().config.clone();
    config.discard = jetstream::stream::DiscardPolicy::Old;
    context.update_stream(config).await.unwrap();
    let ready = ingest.until_ready(false).await;
    assert!(ready["checks"]["streams"].as_str().unwrap().contains("discard"), "{ready}");
    assert_eq!(ingest.post(b"{}").await.status, 503);
}

#[tokio::test]
async fn what_an_operator_changes_and_does_no_harm_to_events_is_a_warning_and_they_are_stored_as_before() {
    let nats = NatsServer::start().await;
    let ingest = Ingest::start(&nats.url).await;
    let context = jetstream::new(async_nats::connect(&nats.url).await.unwrap());
    let mut config = context.get_stream("HOOKS").await.unwrap().cached_info().config.clone();
    config.max_bytes = 300 << 20;
    context.update_stream(config).await.unwrap();
    let worker: jetstream::consumer::PullConsumer =
        context.get_consumer_from_stream("worker", "HOOKS").await.unwrap();
    let slow = jetstream::consumer::Config {
        ack_wait: Duration::from_secs(60),
        ..worker.cached_info().config.clone()
    };
    let slow: jetstream::consumer::pull::Config =
        jetstream::consumer::FromConsumer::try_from_consumer_config(slow).unwrap();
    context.create_consumer_on_stream(slow, "HOOKS").await.unwrap();
    context.delete_stream("HOOKS_REJECTED").await.unwrap();
    // The look that finds it comes in its time; what is posted meanwhile and then is stored.
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    let ready = loop {
        number += 1;
        assert_eq!(ingest.post(format!("{{\"job_id\":\"{number}\"}}").as_bytes()).await.status, 200);
        let ready = ingest.readyz().await;
        assert_eq!(ready.status, 200, "{ready:?}");
        if ready.body.contains("max_bytes") {
            break ready.body;
        }
        assert!(Instant::now() < deadline, "{}", ingest.program.log());
        sleep(Duration::from_millis(100)).await;
    };
    for part in [
        "stream HOOKS: max_bytes is 314572800, expected unlimited",
        "consumer worker: ack_wait is 1m, expected 30s",
        "stream HOOKS_REJECTED is missing",
    ] {
        assert!(ready.contains(part), "{part}: {ready}");
    }
    assert_eq!(ingest.post(JOB).await.status, 200);
}
