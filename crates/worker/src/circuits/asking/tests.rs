use std::cell::Cell;
use std::path::Path;

use domain::breaker::{FIRST_PAUSE, Sign, TRIP};
use domain::config::Config;
use jiff::Timestamp;
use sandbox::{Fault, Hotglue, Server, Slack};
use service::metrics::{Registry, WorkerMetrics};
use service::{Clock, probe::Readiness};

use super::*;

const ENV: &str = "dev.hotglue.com";

thread_local! {
    /// Of each test its own: its runtime has this one thread.
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Both doubles, and what stands between them and the worker.
struct Stage {
    hotglue: Hotglue,
    slack: Slack,
    circuits: Circuits,
    _servers: [Server; 2],
}

impl Stage {
    async fn new() -> Self {
        let (hotglue, slack) = (Hotglue::new("key"), Slack::new("key"));
        let servers = [hotglue.start().await, slack.start().await];
        let config = format!(
            "[[hotglue.environment]]\nenv_id = \"{ENV}\"\nbase_url = \"{}\"\napi_key = \"env:K\"\n[slack]\ntoken = \"env:K\"\nbase_url = \"{}\"\nchannel = \"#x\"\n",
            servers[0].url(),
            servers[1].url()
        );
        let config = Config::parse(&config).unwrap();
        let world = effects::World::build(&config, Path::new(""), &|_| Ok("key".to_owned().into())).unwrap();
        let clock = Clock::from_fn(|| Timestamp::UNIX_EPOCH + PASSED.get());
        let metrics = WorkerMetrics::register(&mut Registry::default());
        let (ready, cut) = (Readiness::default(), CancellationToken::new());
        let circuits = Circuits::new(&config, world.questions(), clock, metrics, ready, cut);
        Self { hotglue, slack, circuits, _servers: servers }
    }

    /// A call fails, and whoever asks the questions has had time to; is the service taken for down?
    async fn fails(&self, service: &Service, tenant: &str) -> bool {
        let pass = self.circuits.enter(service, tenant).await.expect("a call may be made");
        pass.ended(Sign::Failing, "503");
        self.asked(service).await
    }

    async fn asked(&self, service: &Service) -> bool {
        self.circuits.ask(service).await;
        self.circuits.is_down(service)
    }
}

fn pass(time: Duration) {
    PASSED.set(PASSED.get() + time);
}

fn hotglue() -> Service {
    Service::Hotglue { env_id: ENV.to_owned() }
}

#[tokio::test]
async fn an_outage_that_only_one_tenant_meets_is_one_and_over_once_the_question_is_answered() {
    let stage = Stage::new().await;
    stage.hotglue.every(1, Fault::html_502());
    for _ in 1..TRIP {
        assert!(!stage.fails(&hotglue(), "only").await);
    }
    assert!(stage.hotglue.calls().is_empty(), "a few failures are no reason to ask");
    assert!(stage.fails(&hotglue(), "only").await);
    assert_eq!(stage.hotglue.calls().len(), 1);
    assert!(stage.circuits.enter(&hotglue(), "only").await.is_err());
    let told = stage.circuits.readiness.to_json().to_string();
    assert!(told.contains("is down") && told.contains("502 to GET /tenants/dev.hotglue.com"), "{told}");

    pass(FIRST_PAUSE);
    assert!(stage.asked(&hotglue()).await, "still down");
    stage.hotglue.clear_faults();
    assert!(stage.asked(&hotglue()).await, "asked no sooner than after the next pause");
    assert_eq!(stage.hotglue.calls().len(), 2);
    pass(FIRST_PAUSE * 2);
    assert!(!stage.asked(&hotglue()).await);
    stage.circuits.enter(&hotglue(), "only").await.unwrap().ended(Sign::Well, "");
    assert!(!stage.circuits.readiness.to_json().to_string().contains("is down"));
}

#[tokio::test]
async fn one_tenants_own_trouble_stays_its_own() {
    let stage = Stage::new().await;
    for _ in 0..TRIP * 4 {
        assert!(!stage.fails(&hotglue(), "broken").await);
    }
    assert_eq!(stage.hotglue.calls().len(), 4, "asked once for so many failures");
    assert!(stage.circuits.enter(&hotglue(), "other").await.is_ok());
}

#[tokio::test]
async fn while_slack_is_down_no_message_is_risked_to_find_out() {
    let stage = Stage::new().await;
    stage.slack.every(1, Fault::Hang(Duration::from_millis(10)));
    for message in 1..TRIP {
        assert!(!stage.fails(&Service::Slack, &message.to_string()).await);
    }
    assert!(stage.fails(&Service::Slack, "last").await);
    for _ in 0..5 {
        pass(Duration::from_secs(31));
        assert!(stage.circuits.enter(&Service::Slack, "new").await.is_err());
        assert!(stage.asked(&Service::Slack).await);
    }
    assert!(stage.slack.calls().iter().all(|call| call.is("POST", "/api/auth.test")));
    assert_eq!(stage.slack.calls().len(), 5);

    stage.slack.clear_faults();
    pass(Duration::from_secs(31));
    stage.circuits.ask(&Service::Slack).await;
    stage.circuits.enter(&Service::Slack, "new").await.expect("a message").ended(Sign::Well, "");
    assert!(!stage.circuits.is_down(&Service::Slack));
}

#[tokio::test]
async fn a_question_that_is_dropped_can_be_asked_again_and_who_is_cut_asks_nothing() {
    let stage = Stage::new().await;
    stage.hotglue.every(1, Fault::Delay(Duration::from_secs(600)));
    for tenant in 0..TRIP {
        stage.fails(&hotglue(), &tenant.to_string()).await;
    }
    pass(FIRST_PAUSE);
    let service = hotglue();
    let stop = CancellationToken::new();
    let asked = async {
        assert!(stage.hotglue.until(Duration::from_secs(20), |hotglue| hotglue.calls().len() == 1).await);
        stop.cancel();
    };
    tokio::join!(stage.circuits.keep_asking(&stop), asked);
    stage.hotglue.clear_faults();
    stage.circuits.cut.cancel();
    assert!(stage.asked(&service).await, "not asked, and so not back");
    assert!(stage.circuits.with(&service, |breaker| breaker.asks(stage.circuits.clock.now())));
}

#[tokio::test]
async fn a_page_in_place_of_an_answer_speaks_for_nobody_however_long_two_tenants_fail() {
    for fault in [Fault::Status(200, "<html>".into()), Fault::Status(302, String::new())] {
        let stage = Stage::new().await;
        stage.hotglue.every(1, fault);
        for tenant in ["a", "b", "a", "b", "a"] {
            stage.fails(&hotglue(), tenant).await;
        }
        assert!(stage.circuits.is_down(&hotglue()));
        // Ten minutes of probes.
        for _ in 0..600 {
            pass(Duration::from_secs(1));
            for tenant in ["a", "b"] {
                if let Ok(probe) = stage.circuits.enter(&hotglue(), tenant).await {
                    assert!(probe.ended(Sign::Failing, "page"), "no attempt counts");
                }
            }
            assert!(stage.asked(&hotglue()).await);
        }
        assert!(stage.hotglue.calls().len() > 5, "it is asked all the while");
    }
}
