use service::metrics::Registry;

use super::*;

fn at_start() -> Timestamp {
    "2024-10-07T08:00:00Z".parse().unwrap()
}

fn circuits(config: &str, clock: Clock) -> Circuits {
    let config = Config::parse(config).unwrap();
    let metrics = WorkerMetrics::register(&mut Registry::default());
    Circuits::new(&config, BTreeMap::new(), clock, metrics, Readiness::default(), CancellationToken::new())
}

fn hotglue() -> Service {
    Service::Hotglue { env_id: "dev".to_owned() }
}

async fn fail(circuits: &Circuits, service: &Service, times: usize) {
    for number in 0..times {
        let pass = circuits.enter(service, &format!("t{number}")).await.expect("not down yet");
        pass.ended(Sign::Failing, "503");
    }
}

/// As many events as may wait for what is down.
fn park(circuits: &Circuits) {
    for number in 0..parked::MOST {
        let _ = circuits.parks(&number.to_string(), Duration::from_secs(3_600));
    }
}

#[tokio::test]
async fn an_outage_shuts_the_gate_when_many_wait_and_says_so_and_leaves_other_services_alone() {
    let circuits = circuits("", Clock::fixed(at_start()));
    assert_eq!(circuits.gate(), Gate::Open);
    fail(&circuits, &hotglue(), 5).await;
    assert_eq!(circuits.gate(), Gate::Open, "what needs something else goes on");
    park(&circuits);
    assert!(matches!(circuits.gate(), Gate::Shut(_)));
    assert!(circuits.enter(&hotglue(), "new").await.is_err());
    assert!(circuits.enter(&Service::Slack, "new").await.is_ok());
    let told = circuits.readiness.to_json().to_string();
    assert!(told.contains("hotglue (environment `dev`) is down") && told.contains("503"), "{told}");
    assert!(circuits.why_held(&hotglue()).ends_with("is not called right now: 503"), "the cause is kept");
    assert!(circuits.why_held(&Service::Slack).contains("slow down"));
}

#[tokio::test]
async fn while_probing_little_is_taken_and_the_first_answer_opens_the_gate() {
    static LATER: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
    let clock = Clock::from_fn(|| {
        let later = LATER.load(std::sync::atomic::Ordering::SeqCst);
        at_start() + Duration::from_secs(u64::try_from(later).unwrap())
    });
    let circuits = circuits("", clock);
    fail(&circuits, &hotglue(), 5).await;
    park(&circuits);
    LATER.store(2, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(circuits.gate(), Gate::Ajar(domain::breaker::PROBES));
    let probe = circuits.enter(&hotglue(), "a").await.expect("a probe");
    assert!(circuits.enter(&hotglue(), "a").await.is_err(), "one of a tenant at a time");
    probe.ended(Sign::Well, "");
    assert_eq!(circuits.gate(), Gate::Open);
    assert!(!circuits.readiness.to_json().to_string().contains("is down"));
}

#[tokio::test(start_paused = true)]
async fn a_short_request_to_slow_down_is_waited_out_and_a_long_one_is_not() {
    static STARTED: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
    STARTED.get_or_init(tokio::time::Instant::now);
    // The time of the runtime, which stands still until everybody waits.
    let circuits = circuits("", Clock::from_fn(|| at_start() + STARTED.get().expect("set").elapsed()));
    let slow_down = |secs| Sign::SlowDown(Some(Duration::from_secs(secs)));
    circuits.enter(&hotglue(), "a").await.unwrap().ended(slow_down(3), "429");
    let before = tokio::time::Instant::now();
    let pass = circuits.enter(&hotglue(), "b").await.expect("waited");
    assert!(before.elapsed() >= Duration::from_secs(3));
    pass.ended(slow_down(60), "429");
    let wait = circuits.enter(&hotglue(), "c").await.expect_err("too long");
    assert!(wait > LONGEST_IN_PLACE);
    assert_eq!(circuits.gate(), Gate::Open, "what is about other services goes on");
    circuits.enter(&Service::Slack, "a").await.unwrap().ended(slow_down(1), "429");
    circuits
        .enter(&Service::Slack, "b")
        .await
        .expect_err("whoever waited here would lose its turn in the channel");
}

#[tokio::test]
async fn who_is_cut_waits_no_longer() {
    let circuits = circuits("[hotglue]\nmax_per_second = 1\n", Clock::fixed(at_start()));
    circuits.enter(&hotglue(), "a").await.unwrap().ended(Sign::Well, "");
    circuits.cut.cancel();
    assert_eq!(circuits.enter(&hotglue(), "a").await.expect_err("cut"), HANDED_BACK);
}

#[tokio::test]
async fn one_environment_of_two_that_is_down_does_not_stop_the_other() {
    const TWO: &str = r#"
[[hotglue.environment]]
env_id = "dev"
api_key = "env:A"
[[hotglue.environment]]
env_id = "prod"
api_key = "env:B"
"#;
    let circuits = circuits(TWO, Clock::fixed(at_start()));
    fail(&circuits, &hotglue(), 5).await;
    assert_eq!(circuits.gate(), Gate::Open);
    assert!(circuits.enter(&hotglue(), "new").await.is_err());
    let other = Service::Hotglue { env_id: "prod".to_owned() };
    assert!(circuits.enter(&other, "new").await.is_ok());
    park(&circuits);
    assert_eq!(circuits.gate(), Gate::Open);
    fail(&circuits, &other, 5).await;
    assert!(matches!(circuits.gate(), Gate::Shut(_)), "hotglue as a whole");
}
