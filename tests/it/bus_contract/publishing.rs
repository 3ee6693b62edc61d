use bus::{PublishError, check};

use super::*;

#[tokio::test]
async fn an_event_arrives_as_it_was_sealed() {
    let (_server, bus) = set_up().await;
    let mut sent = event(1);
    sent.headers = vec![
        ("empty".to_owned(), String::new()),
        ("odd".to_owned(), " 100 % näïve\r\nNats-Msg-Id: other\t".to_owned()),
        ("odd".to_owned(), "second".to_owned()),
    ];
    bus.publisher().publish(&sent).await.unwrap();
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    let delivery = next(&mut consumer).await;
    let got = delivery.envelope().unwrap();
    assert_eq!((&got.id, &got.endpoint, &got.subject), (&sent.id, &sent.endpoint, &sent.subject));
    assert_eq!((&got.headers, &got.body, got.received_at), (&sent.headers, &sent.body, sent.received_at));
    assert_eq!((delivery.attempt(), delivery.sequence(), delivery.run()), (1, 1, "live"));
    delivery.done_sure().await.unwrap();
    nothing_left(&bus).await;
}

#[tokio::test]
async fn publish_twice_is_one_message() {
    let (_server, bus) = set_up().await;
    let first = bus.publisher().publish(&event(1)).await.unwrap();
    let second = bus.publisher().publish(&event(1)).await.unwrap();
    assert!(!first.duplicate && second.duplicate);
    assert_eq!(first.sequence, second.sequence);
    let consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    assert_eq!(consumer.pending().await.unwrap().pending, 1);
}

#[tokio::test]
async fn full_stream_refuses_and_says_so() {
    let server = NatsServer::start().await;
    let bus = connect(&server).await;
    let small = Jetstream { max_bytes: Some(8_192), ..Jetstream::default() };
    setup(&bus, &small, Existing::MustMatch).await.unwrap();
    let mut stored = 0;
    let error = loop {
        match bus.publisher().publish(&event(stored)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(stored > 5, "{stored}");
    assert!(matches!(&error, PublishError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("stream HOOKS is full ("), "{error}");
    // What was acknowledged is there: the old did not make room for the new.
    let consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    assert_eq!(consumer.pending().await.unwrap().pending, stored);
}

#[tokio::test]
async fn an_event_that_no_server_takes_is_too_large() {
    let server = NatsServer::start_with("max_payload: 16384").await;
    let bus = connect(&server).await;
    setup(&bus, &Jetstream::default(), Existing::MustMatch).await.unwrap();
    let mut large = event(1);
    large.body = Bytes::from(vec![b'x'; 16_000]);
    let error = bus.publisher().publish(&large).await.unwrap_err();
    assert!(matches!(&error, PublishError::TooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains("max_payload"), "{error}");
}

#[tokio::test]
async fn without_a_server_publishing_fails_at_once_and_works_when_it_comes() {
    let (mut server, bus) = set_up().await;
    server.kill().await;
    let lazy = Bus::connect_lazily(&Args::for_url(&server.url), "test").await.unwrap();
    timeout(LONG, bus.connected().wait_for(|connected| !connected)).await.unwrap().unwrap();
    for bus in [&bus, &lazy] {
        assert!(!bus.state().connected);
        let asked = Instant::now();
        let error = bus.publisher().publish(&event(1)).await.unwrap_err();
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
        assert!(error.to_string().ends_with("is not connected"), "{error}");
        assert!(check(bus, &Jetstream::default()).await.is_err());
    }
    server.start_again().await;
    for bus in [&bus, &lazy] {
        timeout(LONG, bus.connected().wait_for(|connected| *connected)).await.unwrap().unwrap();
        bus.publisher().publish(&event(1)).await.unwrap();
        check(bus, &Jetstream::default()).await.unwrap();
    }
    // What was refused was not sent later.
    let consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    assert_eq!(consumer.pending().await.unwrap().pending, 1);
}

#[tokio::test]
async fn a_server_that_dies_while_publishing_is_noticed_before_the_time_is_up() {
    let (mut server, bus) = set_up().await;
    let publishing = tokio::spawn({
        let publisher = bus.publisher();
        async move {
            let mut number = 0;
            loop {
                let asked = Instant::now();
                match publisher.publish(&event(number)).await {
                    Ok(_) => number += 1,
                    Err(error) => return (number, error, asked.elapsed()),
                }
            }
        }
    });
    let consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    while consumer.pending().await.unwrap().pending < 20 {}
    server.kill().await;
    let (acknowledged, error, waited) = timeout(LONG, publishing).await.unwrap().unwrap();
    assert!(waited < Duration::from_secs(2), "{waited:?}: {error}");
    server.start_again().await;
    timeout(LONG, bus.connected().wait_for(|connected| *connected)).await.unwrap().unwrap();
    // The one that failed may be there or not; all others are.
    let stored = consumer.pending().await.unwrap().pending;
    assert!(stored == acknowledged || stored == acknowledged + 1, "{stored} of {acknowledged}");
}

#[tokio::test]
async fn a_denied_publish_says_what_the_server_said() {
    let server = NatsServer::start_with(
        r#"accounts { A { jetstream: enabled, users: [
            { user: admin, password: a }
            { user: ingest, password: s3cret, permissions: { publish: ["hooks.other.>"], subscribe: ["_INBOX.>"] } }
        ] } }"#,
    )
    .await;
    let as_user = |user: &str| Args::for_url(server.url.replace("://", &format!("://{user}@")));
    let admin = Bus::connect(&as_user("admin:a"), "test").await.unwrap();
    setup(&admin, &Jetstream::default(), Existing::MustMatch).await.unwrap();
    let ingest = Bus::connect(&as_user("ingest:s3cret"), "test").await.unwrap();
    let error = ingest.publisher().publish(&event(1)).await.unwrap_err().to_string();
    assert!(error.contains("Permissions Violation") && error.contains("hooks.hotglue"), "{error}");
    assert!(ingest.state().trouble.is_some());
    let wrong = Bus::connect(&as_user("ingest:wrong"), "test").await.unwrap_err().to_string();
    assert!(wrong.contains("refuses us") && !wrong.contains("wrong"), "{wrong}");
}
