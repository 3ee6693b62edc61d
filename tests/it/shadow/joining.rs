//! A worker that acts comes beside one that only observes: no event of which it could have had the better is lost to the other.

use super::*;

const RULE: &str = r#"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "failed {{ event.job_id }}"
"#;

fn failed(name: &str, number: usize) -> String {
    webhook::job(|job| {
        job["tenant"] = format!("{name}{number}").into();
        job["job_id"] = format!("{name}-{number}").into();
        job["status"] = "SYNC_FAILED".into();
    })
}

/// `shared`: both have one event log.
async fn whoever_acts_gets_every_event_from_its_start_on(postgres: bool, shared: bool) {
    const BEFORE: usize = 200;
    const AFTER: usize = 60;
    let setting = Setting {
        rules: Some(RULE.to_owned()),
        postgres,
        worker: vec!["--observe".to_owned()],
        ..Setting::default()
    };
    let mut stage = Stage::with(setting).await;
    let mut flags = stage.worker_flags();
    flags.retain(|flag| flag != "--observe");
    if !shared {
        flags.retain(|flag| !flag.starts_with("--database-url"));
        flags.push(format!("--database-url=sqlite://{}", stage.path("other.db").display()));
    }
    // Busy: it has its hands full when the other comes.
    let posting = async {
        for number in 0..BEFORE {
            stage.post(&failed("before", number)).await;
        }
    };
    let acting = tests::program::Program::start("gluehook-worker", &flags, &tests::stage::secrets());
    let ((), _) = tokio::join!(posting, acting.line("taking events"));
    let mut wanted = Vec::new();
    for number in 0..AFTER {
        stage.post(&failed("after", number)).await;
        wanted.push(format!("failed after-{number}"));
    }
    let told = |slack: &sandbox::Slack| {
        let texts = slack.texts();
        wanted.iter().all(|text| texts.contains(text))
    };
    let all = stage.slack.until(tests::program::PATIENCE, told).await;
    assert!(!stage.worker().ended().await.success(), "it can't go on observing");
    stage.worker().line("another worker takes events").await;
    let mut texts = stage.slack.texts();
    let missing: Vec<_> = wanted.iter().filter(|text| !texts.contains(text)).collect();
    assert!(all, "only observed: {missing:?}\n{}\n{}", stage.worker().log(), acting.log());
    let number = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), number, "none is acted on twice");
}

#[tokio::test]
async fn whoever_acts_gets_every_event_from_its_start_on_with_an_event_log_of_its_own() {
    whoever_acts_gets_every_event_from_its_start_on(false, false).await;
}

#[tokio::test]
async fn whoever_acts_gets_every_event_from_its_start_on_in_one_postgres() {
    whoever_acts_gets_every_event_from_its_start_on(true, true).await;
}

#[tokio::test]
async fn whoever_acts_says_so_until_it_ends() {
    let mut stage = Stage::start().await;
    let args = bus::Args::for_url(stage.nats.url.clone());
    let bus = bus::Bus::connect(&args, "gluehook").await.unwrap();
    assert_eq!(bus.is_anyone_acting().await, Ok(true));
    stage.worker().stop().await;
    assert_eq!(bus.is_anyone_acting().await, Ok(false));
    bus.drain().await;
}
