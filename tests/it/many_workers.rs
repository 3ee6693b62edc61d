//! Several workers, as processes, share one queue and one event log in Postgres.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::journal::{Outcome, StepState};
use sandbox::hotglue::ScheduleState;
use sandbox::{Fault, webhook};
use serde_json::{Value, json};
use tests::program::PATIENCE;
use tests::stage::{ENV, FLOW, Setting, Stage};

const RULES: &str = r#"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} {{ event.job_id }} failed"
[[rule]]
name = "on"
on = ["job"]
when = ["event.completed"]
[[rule.do]]
action = "enable_schedule"
[[rule.do]]
action = "run_job"
tap = "{{ event.tap }}"
name = "first-{{ event.tenant }}"
[[rule]]
name = "off"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "disable_schedule"
of = "source"
"#;

async fn stage(config: &str) -> Stage {
    Stage::with(Setting {
        rules: Some(RULES.to_owned()),
        config: config.to_owned(),
        postgres: true,
        ..Setting::default()
    })
    .await
}

fn event(flow: &str, tenant: &str, minute: usize, status: &str) -> String {
    webhook::job(|job| {
        job["flow_id"] = json!(flow);
        job["tenant"] = json!(tenant);
        job["job_id"] = json!(format!("{tenant}-{minute}"));
        job["status"] = json!(status);
        job["last_updated"] = json!(format!("2024-10-07T08:{minute:02}:00+00:00"));
    })
}

fn state_of(body: Option<&Value>) -> &str {
    body.and_then(|body| body["state"].as_str()).unwrap_or_default()
}

/// The states that were put for schedules of a tenant, in the order in which hotglue took them.
fn put(stage: &Stage, tenant: &str) -> Vec<String> {
    let calls = stage.hotglue.calls();
    let puts = calls.iter().filter(|call| call.is("PUT", &format!("/{tenant}/jobs/schedule")));
    puts.filter(|call| call.status == Some(200)).map(|call| state_of(call.body.as_ref()).to_owned()).collect()
}

#[tokio::test]
async fn each_effect_is_seen_once_however_often_and_in_whatever_order_events_come() {
    const TENANTS: usize = 5;
    const EACH: usize = 8;
    // Short, so that a repeat is delivered again.
    let mut stage = stage("[jetstream]\nduplicate_window = \"200ms\"").await;
    stage.start_more_workers(2).await;
    stage.hotglue.every(3, Fault::Delay(Duration::from_millis(40)));
    stage.slack.every(2, Fault::Delay(Duration::from_millis(60)));

    let tenants: Vec<_> = (0..TENANTS).map(|number| format!("tenant{number}")).collect();
    let doubles: Vec<_> = tenants.iter().map(|tenant| stage.hotglue.tenant(ENV, FLOW, tenant)).collect();
    // Of every tenant, the last event of all and each second before it is a failure.
    let status = |minute: usize| if minute % 2 == 1 { "SYNC_FAILED" } else { "JOB_COMPLETED" };
    let mut bodies: Vec<_> = (0..TENANTS * EACH)
        .map(|number| event(FLOW, &tenants[number % TENANTS], number / TENANTS, status(number / TENANTS)))
        .collect();
    // Shuffled, the same in every run: 7 and the number of events have no factor in common, and so on.
    let count = bodies.len();
    for place in 0..count {
        bodies.swap(place, (place * 7 + 3) % count);
    }
    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while stored.len() < count || stored.values().any(|times| *times < 3) {
        assert!(tokio::time::Instant::now() < deadline, "every event is stored three times: {stored:?}");
        for body in &bodies {
            let (code, answer) = stage.answer(body).await;
            assert_eq!(code, 200, "{answer}");
            let times = stored.entry(answer["id"].as_str().unwrap().to_owned()).or_default();
            *times += usize::from(answer["duplicate"] == json!(false));
        }
    }

    let mut hands = BTreeSet::new();
    for (id, times) in &stored {
        let record = stage
            .until(id, "be done as often as it was stored", |record| {
                record.row.outcome == Outcome::Done
                    && usize::try_from(record.row.deliveries).unwrap() >= *times
            })
            .await;
        assert_eq!(record.decisions.len(), 1);
        for step in &record.steps {
            assert!(matches!(step.state, StepState::Done | StepState::Superseded), "{step:?}");
            assert!(!step.perhaps_twice, "{step:?}");
        }
        hands.extend(record.attempts.into_iter().map(|attempt| attempt.worker));
    }
    assert!(hands.len() > 1, "several workers had a hand in it: {hands:?}");

    let mut told = stage.slack.texts();
    told.sort();
    let mut failed: Vec<_> = tenants
        .iter()
        .flat_map(|tenant| {
            (0..EACH).filter(|n| n % 2 == 1).map(move |n| format!("{tenant} {tenant}-{n} failed"))
        })
        .collect();
    failed.sort();
    assert_eq!(told, failed);
    for (tenant, double) in tenants.iter().zip(&doubles) {
        assert_eq!(double.job_names(), [format!("first-{tenant}")], "of many events, one started the job");
        let state = double.schedule(None).map(|schedule| schedule.state);
        assert_eq!(state, Some(ScheduleState::Disabled), "{tenant}: its last event switched it off");
    }
}

/// The older event is taken, passes every check, and hangs in its call, while another worker gets the newer ones.
#[tokio::test]
async fn an_older_event_that_hangs_in_its_call_does_not_undo_a_newer_one() {
    // hotglue is asked for the schedule of a flow that we know nothing of, and then told: two calls.
    const OTHER: &str = "otherFlow";
    let mut stage = stage("").await;
    let tenant = stage.hotglue.tenant(ENV, OTHER, "1414_1").with_schedule(
        None,
        "cron(0 */4 * * *)",
        ScheduleState::Enabled,
    );
    stage.hotglue.next_on("GET", "/jobs/schedule", Fault::Delay(Duration::from_secs(4)));
    let older = stage.post(&event(OTHER, "1414_1", 0, "JOB_COMPLETED")).await;
    let asked =
        |hotglue: &sandbox::Hotglue| hotglue.calls().iter().any(|call| call.is("GET", "/jobs/schedule"));
    assert!(stage.hotglue.until(PATIENCE, asked).await);
    stage.start_more_workers(2).await;
    let mut newer = Vec::new();
    for minute in 1..9 {
        newer.push(stage.post(&event(OTHER, "1414_1", minute, "SYNC_FAILED")).await);
    }
    let record = stage.settled(&older, Outcome::Done).await;
    assert!(record.steps.iter().all(|step| step.state == StepState::Done), "{:?}", record.steps);
    for id in &newer {
        let record = stage.settled(id, Outcome::Done).await;
        assert_eq!(record.row.failures, 0, "waiting is no failure: {:?}", record.attempts);
    }
    assert_eq!(tenant.schedule(None).map(|schedule| schedule.state), Some(ScheduleState::Disabled));
    let put = put(&stage, "1414_1");
    assert_eq!(put.first().map(String::as_str), Some("ENABLED"), "{put:?}");
    assert!(put.len() > 1 && put[1..].iter().all(|state| state == "DISABLED"), "{put:?}");
}

#[tokio::test]
async fn commands_read_and_mend_an_event_log_in_postgres() {
    let stage = stage("").await;
    stage.slack.next(Fault::slack_error("channel_not_found"));
    let id = stage.post(&event(FLOW, "1414_1", 1, "SYNC_FAILED")).await;
    stage.settled(&id, Outcome::Dead).await;
    for (args, part) in [
        (&["events", "list", "--tenant", "1414_1"][..], &id[..8]),
        (&["events", "show", &id], "channel_not_found"),
        (&["explain", &id], "event.failed"),
        (&["dead", "list"], "channel_not_found"),
        (&["replay", &id, "--dry-run"], "tell"),
        (&["doctor"], "event log"),
    ] {
        let (code, said, errors) = stage.gluehook(args).await;
        assert!(code == 0 && said.contains(part), "{args:?}: {said}{errors}");
    }
    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--all", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.texts(), ["1414_1 1414_1-1 failed"]);
}

#[tokio::test]
async fn a_worker_on_another_sqlite_file_is_told_of_by_both() {
    let mut stage = Stage::start().await;
    let mut flags = stage.worker_flags();
    flags.retain(|flag| !flag.starts_with("--database-url"));
    flags.push(format!("--database-url=sqlite://{}", stage.path("other.db").display()));
    let other = tests::program::Program::start("gluehook-worker", &flags, &tests::stage::secrets());
    for worker in [&other, &*stage.worker()] {
        let said = worker.line("does not share this event log").await;
        assert!(said.contains("one Postgres"), "{said}");
    }
}
