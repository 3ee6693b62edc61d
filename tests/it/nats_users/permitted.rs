use bus::StreamName;
use bus::permissions::{Duty, missing};
use domain::envelope::{Envelope, Source};
use domain::names::EventId;

use super::*;

/// Publishes as a user and says whether the server took it: a permission that is missing is complained of.
async fn lets(house: &House, user: &str, subject: &str) -> bool {
    let complaints = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = complaints.clone();
    let args = house.args(user);
    let seed = std::fs::read_to_string(house.path(user)).unwrap();
    let client = ConnectOptions::with_nkey(seed)
        .add_root_certificates(tls("ca.pem"))
        .require_tls(true)
        .custom_inbox_prefix(args.nats_inbox_prefix.unwrap())
        .event_callback(move |event| {
            told.lock().unwrap().push(event.to_string());
            std::future::ready(())
        })
        .connect(&house.nats.url)
        .await
        .unwrap();
    let answer = client.request(subject.to_owned(), "{".into());
    // What is let through is answered, if only by "nobody is there".
    tokio::select! {
        answer = answer => { let _answered = answer; true }
        () = async {
            loop {
                if complaints.lock().unwrap().iter().any(|text| text.contains("Permissions Violation")) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => false,
    }
}

#[tokio::test]
async fn no_user_does_what_is_anothers() {
    let house = House::start().await;
    let operator = house.bus("OPERATOR").await;
    bus::setup(&operator, &domain::config::Jetstream::default(), bus::Existing::MustMatch).await.unwrap();
    for (user, may, may_not) in [
        (
            "INGEST",
            vec!["hooks.a.job.S.t", "rejected.a"],
            vec![
                "dead.x",
                "replay.x",
                "$JS.API.STREAM.CREATE.HOOKS",
                "$JS.API.STREAM.MSG.GET.HOOKS",
                "$JS.API.DIRECT.GET.HOOKS",
                "$JS.API.CONSUMER.CREATE.HOOKS.x",
                "$JS.API.CONSUMER.MSG.NEXT.HOOKS.worker",
                "$JS.API.STREAM.DELETE.HOOKS",
                "$JS.API.STREAM.PURGE.HOOKS",
                "$JS.ACK.HOOKS.worker.1.1.1.1.1",
            ],
        ),
        (
            "WORKER",
            vec![
                "dead.x",
                "replay.live.x",
                "$JS.API.STREAM.MSG.DELETE.HOOKS_REPLAY",
                "$JS.API.CONSUMER.MSG.NEXT.HOOKS.worker",
                "$JS.API.CONSUMER.INFO.HOOKS.worker",
                "gluehook.acting",
            ],
            vec![
                "hooks.a.job.S.t",
                "replay.x",
                "rejected.a",
                "$JS.API.STREAM.CREATE.HOOKS",
                "$JS.API.STREAM.DELETE.HOOKS",
                "$JS.API.CONSUMER.DELETE.HOOKS.worker",
                "$JS.API.STREAM.MSG.DELETE.HOOKS",
                "$JS.API.STREAM.PURGE.HOOKS",
                "$JS.API.CONSUMER.CREATE.HOOKS.worker",
            ],
        ),
        (
            "OPERATOR",
            vec![
                "replay.x",
                "hooks.x",
                "dead.x",
                "$JS.API.STREAM.MSG.DELETE.HOOKS_DEAD",
                "$JS.API.STREAM.UPDATE.HOOKS",
            ],
            vec![
                "rejected.a",
                "$JS.API.STREAM.DELETE.HOOKS",
                "$JS.API.STREAM.PURGE.HOOKS",
                "$JS.API.STREAM.MSG.DELETE.HOOKS",
                "$JS.API.CONSUMER.DELETE.HOOKS.worker",
                "$JS.API.CONSUMER.MSG.NEXT.HOOKS.worker",
                "$JS.ACK.HOOKS.worker.1.1.1.1.1",
            ],
        ),
        (
            "DEVELOPER",
            vec!["$JS.API.STREAM.MSG.GET.HOOKS", "$JS.API.CONSUMER.CREATE.HOOKS.reader-x.hooks.>"],
            vec![
                "hooks.a.job.S.t",
                "replay.x",
                "dead.x",
                "rejected.a",
                "$JS.API.STREAM.DELETE.HOOKS",
                "$JS.API.STREAM.UPDATE.HOOKS",
                "$JS.API.STREAM.PURGE.HOOKS",
                "$JS.API.STREAM.MSG.DELETE.HOOKS_DEAD",
                "$JS.API.CONSUMER.DELETE.HOOKS.worker",
                "$JS.API.CONSUMER.CREATE.HOOKS.worker",
                "$JS.API.CONSUMER.CREATE.HOOKS.worker.hooks.>",
                "$JS.API.CONSUMER.MSG.NEXT.HOOKS.worker",
                "$JS.API.CONSUMER.DURABLE.CREATE.HOOKS.worker",
                "$JS.API.CONSUMER.CREATE.HOOKS",
                "$JS.ACK.HOOKS.worker.1.1.1.1.1",
                "$JS.ACK._.x.HOOKS.worker.1.1.1.1.1.x",
            ],
        ),
    ] {
        for subject in may {
            assert!(lets(&house, user, subject).await, "{user} may {subject}");
        }
        for subject in may_not {
            assert!(!lets(&house, user, subject).await, "{user} may not {subject}");
        }
    }
}

#[tokio::test]
async fn looking_for_permissions_leaves_no_trace_and_finds_what_is_missing() {
    let house = House::start().await;
    let operator = house.bus("OPERATOR").await;
    let before = bus::setup(&operator, &domain::config::Jetstream::default(), bus::Existing::MustMatch).await;
    before.unwrap();
    let all = [
        Duty::Receive { endpoint: "hotglue" },
        Duty::Quarantine { endpoint: "hotglue" },
        Duty::Work,
        Duty::Look,
        Duty::Replay,
        Duty::Remove(StreamName::Dead),
        Duty::SetUp,
    ];
    for (user, expected) in [
        ("INGEST", [true, true, false, false, false, false, false]),
        ("WORKER", [false, false, true, false, false, false, false]),
        ("OPERATOR", [true, false, false, true, true, true, true]),
        ("DEVELOPER", [false, false, false, true, false, false, false]),
    ] {
        let bus = house.bus(user).await;
        for (duty, may) in all.into_iter().zip(expected) {
            let missing = missing(&bus, duty).await.unwrap();
            assert_eq!(missing.is_empty(), may, "{user} {duty:?}: {missing:?}");
        }
    }
    let context = house.raw("OPERATOR").await;
    for stream in StreamName::ALL {
        let stream = context.get_stream(stream.name()).await.unwrap();
        let info = stream.cached_info();
        let consumers = usize::from(info.config.name == "HOOKS" || info.config.name == "HOOKS_REPLAY");
        assert_eq!(
            (info.state.last_sequence, info.state.consumer_count),
            (0, consumers),
            "{}",
            info.config.name
        );
    }
}

#[tokio::test]
async fn a_consumer_of_a_developers_own_feeds_no_worker_wherever_it_delivers() {
    let house = House::start().await;
    let operator = house.bus("OPERATOR").await;
    bus::setup(&operator, &domain::config::Jetstream::default(), bus::Existing::MustMatch).await.unwrap();
    let body = bytes::Bytes::from_static(b"{}");
    let envelope = Envelope::unsealed_from_queue(
        EventId::from_text("x"),
        "hotglue".to_owned(),
        Source::Hotglue,
        "2026-03-02T12:00:00Z".parse().unwrap(),
        "hooks.hotglue.job.S.t".to_owned(),
        Vec::new(),
        body,
    );
    house.bus("INGEST").await.publisher().publish(&envelope).await.unwrap();
    let developer = house.raw("DEVELOPER").await;
    for (name, place) in [("a", "replay.mine.hotglue.job.S.t"), ("b", "$JS.API.STREAM.PURGE.HOOKS")] {
        let config = jetstream::consumer::push::Config {
            name: Some(name.to_owned()),
            deliver_subject: place.to_owned(),
            ack_policy: jetstream::consumer::AckPolicy::None,
            inactive_threshold: Duration::from_secs(1),
            ..Default::default()
        };
        developer.create_consumer_on_stream(config, "HOOKS").await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stream = developer.get_stream_no_info("HOOKS").await.unwrap();
            // Where the server sees nobody who listens, it delivers nothing and forgets the consumer.
            let Ok(info) = stream.consumer_info(name).await else { break };
            if info.delivered.stream_sequence == 1 {
                break;
            }
            assert!(Instant::now() < deadline, "{info:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let kept = bus::replay::get(&operator, 1).await.unwrap().expect("nothing was purged");
    assert_eq!(
        bus::replay::publish(&operator, "r1", &kept).await.unwrap().sequence,
        1,
        "it is the first replay"
    );
}
