use async_nats::jetstream::stream;
use bus::permissions::Duty;
use bus::topology::expected;
use bus::{CheckError, ConnectError, ConsumeError, SetupError, check};

use super::*;

#[tokio::test]
async fn a_server_without_jetstream_is_a_sentence() {
    let server = NatsServer::start_without_jetstream().await;
    let error = Bus::connect(&Args::for_url(&server.url), "test").await.unwrap_err();
    let url = &server.url;
    assert_eq!(
        error,
        ConnectError::Unfit(format!(
            "JetStream is off at {url}: start nats-server with -js or a `jetstream {{}}` block"
        ))
    );
}

#[tokio::test]
async fn missing_stream_names_setup() {
    let server = NatsServer::start().await;
    let bus = connect(&server).await;
    let sentence = "stream HOOKS is missing: run `gluehook setup`";
    assert_eq!(bus.publisher().publish(&event(1)).await.unwrap_err().to_string(), sentence);
    assert_eq!(bus.consumer(StreamName::Hooks).await.unwrap_err(), ConsumeError::Gone(sentence.to_owned()));
    let CheckError::Differs(differences) = check(&bus, &Jetstream::default()).await.unwrap_err() else {
        panic!("connected")
    };
    assert_eq!(differences.len(), 4);
    assert_eq!(differences[0].to_string(), sentence);
    assert_eq!(
        bus::dead::list(&bus, 1).await.unwrap_err().to_string(),
        sentence.replace("HOOKS", "HOOKS_DEAD")
    );
}

#[tokio::test]
async fn setting_up_twice_changes_nothing() {
    let server = NatsServer::start().await;
    let bus = connect(&server).await;
    let jetstream = Jetstream { max_bytes: Some(1 << 20), ..Jetstream::default() };
    let first = setup(&bus, &jetstream, Existing::MustMatch).await.unwrap();
    let first: Vec<String> = first.iter().map(ToString::to_string).collect();
    assert_eq!(
        first,
        [
            "created stream HOOKS",
            "created consumer worker on HOOKS",
            "created stream HOOKS_REPLAY",
            "created consumer worker-replay on HOOKS_REPLAY",
            "created stream HOOKS_DEAD",
            "created stream HOOKS_REJECTED",
        ]
    );
    for existing in [Existing::MustMatch, Existing::Update] {
        assert_eq!(setup(&bus, &jetstream, existing).await.unwrap(), []);
    }
    check(&bus, &jetstream).await.unwrap();
}

#[tokio::test]
async fn differing_stream_is_named() {
    let server = NatsServer::start().await;
    let (_, config) = expected(&Jetstream::default()).remove(0);
    let config = stream::Config {
        discard: stream::DiscardPolicy::Old,
        max_age: Duration::from_secs(86_400),
        ..config
    };
    raw(&server).await.create_stream(config).await.unwrap();
    let bus = connect(&server).await;
    let told =
        |differences: Vec<bus::Difference>| differences.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected =
        ["stream HOOKS: discard is old, expected new", "stream HOOKS: max_age is 1d, expected 30d"];
    let Err(SetupError::Differs(differences)) = setup(&bus, &Jetstream::default(), Existing::MustMatch).await
    else {
        panic!("it differs")
    };
    assert_eq!(told(differences), expected);
    let Err(CheckError::Differs(differences)) = check(&bus, &Jetstream::default()).await else {
        panic!("it differs")
    };
    assert_eq!(told(differences), expected);
    let changes = setup(&bus, &Jetstream::default(), Existing::Update).await.unwrap();
    assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["updated stream HOOKS"]);
    check(&bus, &Jetstream::default()).await.unwrap();
}

#[tokio::test]
async fn what_nats_does_not_let_change_is_a_sentence() {
    let server = NatsServer::start().await;
    let (_, config) = expected(&Jetstream::default()).remove(0);
    let memory = stream::Config { storage: stream::StorageType::Memory, ..config };
    raw(&server).await.create_stream(memory).await.unwrap();
    let bus = connect(&server).await;
    let error = setup(&bus, &Jetstream::default(), Existing::Update).await.unwrap_err();
    assert!(matches!(error, SetupError::Refused(_)), "{error:?}");
    assert!(error.to_string().starts_with("NATS did not update stream HOOKS"), "{error}");
}

#[tokio::test]
async fn differing_consumer_is_named_and_updated() {
    let (server, bus) = set_up().await;
    shorten_ack_wait(&server, Duration::from_secs(5)).await;
    let error = check(&bus, &Jetstream::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "consumer worker: ack_wait is 5s, expected 30s; `gluehook setup` creates what is missing, and with --update changes what differs"
    );
    let changes = setup(&bus, &Jetstream::default(), Existing::Update).await.unwrap();
    assert_eq!(changes[0].to_string(), "updated consumer worker on HOOKS");
    check(&bus, &Jetstream::default()).await.unwrap();
}

#[tokio::test]
async fn a_stream_of_somebody_else_that_has_our_subjects_is_named() {
    let server = NatsServer::start().await;
    let other = stream::Config {
        name: "OLD".to_owned(),
        subjects: vec!["hooks.old.>".to_owned()],
        ..stream::Config::default()
    };
    raw(&server).await.create_stream(other).await.unwrap();
    let bus = connect(&server).await;
    let sentence = "stream HOOKS is missing, and can't be created while OLD has subjects that match its own (hooks.>): \
                    give that stream other subjects, or delete it";
    let Err(CheckError::Differs(differences)) = check(&bus, &Jetstream::default()).await else {
        panic!("it is missing")
    };
    assert_eq!((differences.len(), differences[0].to_string().as_str()), (4, sentence));
    let error = setup(&bus, &Jetstream::default(), Existing::Update).await.unwrap_err();
    assert_eq!(error, SetupError::Differs(vec![differences[0].clone()]));
    let old = raw(&server).await.get_stream("OLD").await.unwrap().cached_info().config.clone();
    assert_eq!(old.subjects, ["hooks.old.>"], "what is not ours is left alone");
}

#[tokio::test]
async fn each_setting_of_a_consumer_that_matters_is_compared() {
    let server = NatsServer::start().await;
    let bus = connect(&server).await;
    setup(&bus, &Jetstream::default(), Existing::MustMatch).await.unwrap();
    let raw = raw(&server).await;
    raw.delete_consumer_from_stream("worker", "HOOKS").await.unwrap();
    let wrong = consumer::pull::Config {
        durable_name: Some("worker".to_owned()),
        filter_subject: "hooks.a.>".to_owned(),
        ack_wait: Duration::from_secs(5),
        max_ack_pending: 10,
        max_deliver: 3,
        inactive_threshold: Duration::from_secs(3_600),
        ..consumer::pull::Config::default()
    };
    raw.create_consumer_on_stream(wrong, "HOOKS").await.unwrap();
    let Err(CheckError::Differs(differences)) = check(&bus, &Jetstream::default()).await else {
        panic!("it differs")
    };
    let told: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "consumer worker: ack_wait is 5s, expected 30s",
            "consumer worker: max_deliver is 3, expected unlimited",
            "consumer worker: max_ack_pending is 10, expected 20000",
            "consumer worker: filter is hooks.a.>, expected none",
            "consumer worker: inactive_threshold is 1h, expected none",
        ]
    );
    setup(&bus, &Jetstream::default(), Existing::Update).await.unwrap();
    check(&bus, &Jetstream::default()).await.unwrap();
}

#[tokio::test]
async fn a_paused_consumer_is_named_until_it_goes_on() {
    let (server, bus) = set_up().await;
    let client = async_nats::connect(&server.url).await.unwrap();
    let pause = async |until: &str| {
        let asked = format!("{{\"pause_until\":\"{until}\"}}");
        client.request("$JS.API.CONSUMER.PAUSE.HOOKS.worker", asked.into()).await.unwrap();
    };
    pause("2100-01-01T00:00:00Z").await;
    let Err(CheckError::Differs(differences)) = check(&bus, &Jetstream::default()).await else {
        panic!("it is paused")
    };
    let told = differences[0].to_string();
    assert!(differences.len() == 1 && told.starts_with("consumer worker is paused for "), "{differences:?}");
    assert!(differences[0].is_passing() && differences[0].harm() == bus::Harm::Nothing);
    assert!(bus.pending(StreamName::Hooks).await.unwrap().paused);
    pause("2000-01-01T00:00:00Z").await;
    check(&bus, &Jetstream::default()).await.unwrap();
    assert!(!bus.pending(StreamName::Hooks).await.unwrap().paused);
}

#[tokio::test]
async fn what_was_to_be_changed_is_named_where_nats_refuses() {
    let (_server, bus) = set_up().await;
    let three = Jetstream { replicas: 3, ..Jetstream::default() };
    let error = check(&bus, &three).await.unwrap_err().to_string();
    assert!(error.starts_with("stream HOOKS: replicas is 1, expected 3"), "{error}");
    // A single server can't have three.
    let error = setup(&bus, &three, Existing::Update).await.unwrap_err();
    assert!(matches!(error, SetupError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("(stream HOOKS: replicas is 1, expected 3)"), "{error}");
}

#[tokio::test]
async fn to_try_what_one_may_changes_nothing_and_leaves_no_warning_with_the_server() {
    let (server, bus) = set_up().await;
    let held = |stream: StreamName| {
        let raw = raw(&server);
        async move {
            let mut stream = raw.await.get_stream(stream.name()).await.unwrap();
            let info = stream.info().await.unwrap();
            (info.state.messages, info.state.last_sequence, info.state.consumer_count, info.config.clone())
        }
    };
    raw(&server).await.publish("hooks.a.job.S.t", "{}".into()).await.unwrap().await.unwrap();
    let said = server.log().len();
    let before = futures_util::future::join_all(StreamName::ALL.map(held)).await;
    for duty in [
        Duty::Receive { endpoint: "hotglue" },
        Duty::Quarantine { endpoint: "hotglue" },
        Duty::Work,
        Duty::Look,
        Duty::Replay,
        Duty::SetUp,
    ]
    .into_iter()
    .chain(StreamName::ALL.map(Duty::Remove))
    {
        assert!(bus::permissions::missing(&bus, duty).await.unwrap().is_empty(), "{duty:?}");
    }
    assert_eq!(futures_util::future::join_all(StreamName::ALL.map(held)).await, before);
    let log = server.log().split_off(said);
    assert!(!log.contains("[WRN]") && !log.contains("[ERR]"), "{log}");
}
