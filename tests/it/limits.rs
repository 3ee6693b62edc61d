//! The hand on the brake: a rule that would touch too many tenants pauses, and a person decides what becomes of the rest.

use std::time::Duration;

use domain::action::Action;
use domain::journal::{EventRecord, Outcome, StepState};
use sandbox::hotglue::ScheduleState;
use sandbox::{Fault, webhook};
use serde_json::{Value, json};
use tests::program::PATIENCE;
use tests::stage::{ENV, FLOW, Setting, Stage};

/// A rule with a limit, and one that has none.
fn rules(tenants: usize) -> String {
    format!(
        r#"
[[rule]]
name = "off"
on = ["job"]
when = ["event.failed"]
limit = {{ tenants = {tenants}, per = "1h" }}
[[rule.do]]
action = "disable_schedule"
of = "source"
[[rule.do]]
action = "slack"
text = "off {{{{ event.tenant }}}}"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "failed {{{{ event.tenant }}}}"
"#
    )
}

async fn stage(tenants: usize, postgres: bool) -> Stage {
    Stage::with(Setting { rules: Some(rules(tenants)), postgres, ..Setting::default() }).await
}

fn failed(tenant: &str, minute: usize) -> String {
    webhook::job(|job| {
        job["tenant"] = json!(tenant);
        job["job_id"] = json!(format!("{tenant}-{minute}"));
        job["status"] = json!("SYNC_FAILED");
        job["last_updated"] = json!(format!("2024-10-07T08:{minute:02}:00+00:00"));
    })
}

/// Told of `off`: what it did, and of pauses.
fn told(stage: &Stage, part: &str) -> Vec<String> {
    stage.slack.texts().into_iter().filter(|text| text.contains(part)).collect()
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Where the worker's probes are.
async fn admin(stage: &mut Stage) -> String {
    let line = stage.worker().line("admin on http://").await;
    let address = line.split("admin on ").nth(1).unwrap();
    address.split_whitespace().next().unwrap().to_owned()
}

/// Waits until what is at a URL has this part.
async fn says(url: &str, part: &str) {
    let client = tests::stage::client();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let said = client.get(url).send().await.unwrap().text().await.unwrap();
        if said.contains(part) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{part}: {said}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Waits until the ledger says that the pause was told.
async fn until_told(stage: &Stage) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while gluehook(stage, &["rules", "paused"]).await[0]["alert"] != json!("done") {
        assert!(tokio::time::Instant::now() < deadline, "the pause is told");
    }
}

fn switched_off(stage: &Stage, tenants: &[String]) -> usize {
    let off = |tenant: &&String| {
        let schedule = stage.hotglue.tenant(ENV, FLOW, tenant).schedule(None);
        schedule.is_some_and(|schedule| schedule.state == ScheduleState::Disabled)
    };
    tenants.iter().filter(off).count()
}

fn with_schedules(stage: &Stage, count: usize) -> Vec<String> {
    let tenants: Vec<_> = (0..count).map(|number| format!("t{number}")).collect();
    for tenant in &tenants {
        stage.hotglue.tenant(ENV, FLOW, tenant).with_schedule(
            None,
            "cron(5 5 * * *)",
            ScheduleState::Enabled,
        );
    }
    tenants
}

async fn settled(stage: &Stage, id: &str) -> EventRecord {
    stage
        .until(id, "be done or held", |record| matches!(record.row.outcome, Outcome::Done | Outcome::Held))
        .await
}

async fn gluehook(stage: &Stage, args: &[&str]) -> Value {
    let all: Vec<_> = ["--json"].iter().chain(args).copied().collect();
    let (code, said, errors) = stage.gluehook(&all).await;
    assert_eq!(code, 0, "{args:?}: {said}{errors}");
    serde_json::from_str(&said).unwrap()
}

#[tokio::test]
async fn the_eleventh_tenant_pauses_the_rule_and_resume_has_what_is_held_done_once() {
    let mut stage = stage(10, false).await;
    let tenants = with_schedules(&stage, 11);
    let mut ids = Vec::new();
    for tenant in &tenants {
        let id = stage.post(&failed(tenant, 1)).await;
        settled(&stage, &id).await;
        ids.push(id);
    }
    assert_eq!(switched_off(&stage, &tenants), 10);
    let record = stage.settled(&ids[10], Outcome::Held).await;
    assert!(record.row.why.as_deref().is_some_and(|why| why.contains("`off` is paused")), "{:?}", record.row);
    assert_eq!(told(&stage, "failed t10").len(), 1, "the other rule acts meanwhile");
    until("one alert", || told(&stage, "`off` is paused").len() == 1).await;
    let admin = admin(&mut stage).await;
    says(&format!("{admin}/readyz"), "rule `off` is paused").await;
    says(&format!("{admin}/metrics"), "gluehook_rule_paused{rule=\"off\"} 1").await;
    // Also for a tenant that was touched before.
    let again = stage.post(&failed("t0", 2)).await;
    stage.settled(&again, Outcome::Held).await;

    let paused = gluehook(&stage, &["rules", "paused"]).await;
    assert_eq!((&paused[0]["rule"], &paused[0]["held_events"]), (&json!("off"), &json!(2)), "{paused}");
    let listed = gluehook(&stage, &["events", "list", "--outcome", "held"]).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let (_, doctor, _) = stage.gluehook(&["doctor"]).await;
    assert!(doctor.contains("rule off") && doctor.contains("4 actions of 2 events held"), "{doctor}");
    let (code, _, said) = stage.gluehook(&["rules", "resume", "off", "--dry-run"]).await;
    assert!(code == 0 && said.contains("4 actions of 2 events, for 2 tenants"), "{said}");
    let (code, _, said) = stage.gluehook(&["rules", "resume", "off"]).await;
    assert!(code == 2 && said.contains("--yes"), "nobody is there to be asked: {said}");
    assert_eq!(gluehook(&stage, &["rules", "paused"]).await[0]["held_events"], json!(2));

    assert_eq!(gluehook(&stage, &["rules", "resume", "off", "--yes"]).await["sent"], json!(2));
    for id in [&ids[10], &again] {
        let record = stage.settled(id, Outcome::Done).await;
        let planned = record.steps.iter().filter(|step| step.step.rule == "off");
        assert!(planned.clone().all(|step| step.state == StepState::Done), "{:?}", record.steps);
    }
    assert_eq!(switched_off(&stage, &tenants), 11);
    assert_eq!(told(&stage, "off t10").len(), 1);
    assert_eq!(told(&stage, "failed t10").len(), 1, "what was done stays done");
    assert_eq!(told(&stage, "is paused").len(), 1, "what was held trips it no more");
    assert_eq!(gluehook(&stage, &["rules", "paused"]).await, json!([]));
    says(&format!("{admin}/metrics"), "gluehook_rule_paused{rule=\"off\"} 0").await;
    let (code, _, said) = stage.gluehook(&["rules", "resume", "off", "--yes"]).await;
    assert!(code == 1 && said.contains("not paused"), "{said}");
}

#[tokio::test]
async fn dropped_actions_are_never_done_and_a_pause_outlives_worker_and_rule() {
    let mut stage = stage(1, false).await;
    let tenants = with_schedules(&stage, 4);
    stage.slack.every_on(1, "POST", "chat.postMessage", Fault::slack_error("channel_not_found"));
    let first = stage.post(&failed("t0", 1)).await;
    stage.settled(&first, Outcome::Dead).await;
    let held = stage.post(&failed("t1", 1)).await;
    stage
        .until(&held, "have held steps", |record| {
            record.steps.iter().any(|step| step.state == StepState::Held)
        })
        .await;
    stage.worker().kill().await;
    stage.slack.clear_faults();
    // The rule is gone from the rulebook; what is held of it is not.
    let without = rules(1).replace("name = \"off\"", "name = \"renamed\"");
    std::fs::write(stage.path("rules.toml"), without).unwrap();
    stage.start_worker().await;
    until("the alert is sent by the next worker, when Slack takes it", || {
        told(&stage, "`off` is paused").len() == 1
    })
    .await;
    assert_eq!(gluehook(&stage, &["rules", "paused"]).await[0]["held_steps"], json!(2));
    assert_eq!(gluehook(&stage, &["rules", "drop", "off", "--yes"]).await["dropped"], json!(2));
    let record = stage
        .until(&held, "be dropped", |record| record.steps.iter().any(|step| step.state == StepState::Dropped))
        .await;
    let dropped = record.steps.iter().find(|step| step.state == StepState::Dropped).unwrap();
    assert!(dropped.error.as_deref().is_some_and(|error| error.starts_with("dropped by")), "{dropped:?}");
    assert_eq!(gluehook(&stage, &["rules", "paused"]).await, json!([]));
    let (code, _, errors) = stage.gluehook(&["dead", "retry", "--all", "--yes"]).await;
    assert_eq!(code, 0, "{errors}");
    stage.settled(&held, Outcome::Dropped).await;
    assert_eq!(switched_off(&stage, &tenants), 1, "sent back to work, it is not done either");
    assert!(told(&stage, "off t1").is_empty());
}

#[tokio::test]
async fn three_workers_never_exceed_the_limit_and_tell_it_once() {
    const TENANTS: usize = 24;
    let mut stage = stage(10, true).await;
    stage.start_more_workers(2).await;
    let tenants = with_schedules(&stage, TENANTS);
    stage.hotglue.every(3, Fault::Delay(Duration::from_millis(40)));
    stage.slack.every(2, Fault::Delay(Duration::from_millis(60)));
    let mut ids = Vec::new();
    for tenant in &tenants {
        ids.push(stage.post(&failed(tenant, 1)).await);
    }
    let mut held = 0;
    for id in &ids {
        held += usize::from(settled(&stage, id).await.row.outcome == Outcome::Held);
    }
    assert_eq!((held, switched_off(&stage, &tenants)), (TENANTS - 10, 10));
    until("one alert", || told(&stage, "`off` is paused").len() == 1).await;

    // What is held is in nobody's hands: others go on with it.
    stage.worker().kill().await;
    assert_eq!(gluehook(&stage, &["rules", "resume", "off", "--yes"]).await["sent"], json!(TENANTS - 10));
    for id in &ids {
        stage.settled(id, Outcome::Done).await;
    }
    assert_eq!(switched_off(&stage, &tenants), TENANTS);
    assert_eq!(told(&stage, "`off` is paused").len(), 1);
}

#[tokio::test]
async fn a_worker_that_dies_in_the_wave_does_not_make_the_limit_larger() {
    let mut stage = stage(5, false).await;
    let tenants = with_schedules(&stage, 12);
    stage.hotglue.every_on(1, "PUT", "/jobs/schedule", Fault::Delay(Duration::from_millis(300)));
    let mut ids = Vec::new();
    for tenant in &tenants {
        ids.push(stage.post(&failed(tenant, 1)).await);
    }
    until("it is in the midst of it", || {
        stage.hotglue.calls().iter().any(|call| call.is("GET", "/jobs/schedule"))
    })
    .await;
    stage.worker().kill().await;
    stage.start_worker().await;
    let mut held = 0;
    for id in &ids {
        held += usize::from(settled(&stage, id).await.row.outcome == Outcome::Held);
    }
    assert_eq!((held, switched_off(&stage, &tenants)), (7, 5));
    until("an alert", || !told(&stage, "`off` is paused").is_empty()).await;
    until_told(&stage).await;
    // Whoever dies while it is being sent leaves it to be sent once more, and the ledger says so.
    let paused = gluehook(&stage, &["rules", "paused"]).await;
    assert_eq!((&paused[0]["alert"], paused.as_array().map(Vec::len)), (&json!("done"), Some(1)), "{paused}");
    let mut perhaps_twice = false;
    for id in &ids {
        let record = settled(&stage, id).await;
        let alerts = record.steps.iter().filter(|step| step.step.action.summary().contains("is paused"));
        perhaps_twice |= alerts.clone().any(|step| step.perhaps_twice);
    }
    let alerts = told(&stage, "`off` is paused").len();
    assert!(alerts == 1 || (alerts == 2 && perhaps_twice), "{alerts} {perhaps_twice}");
}

#[tokio::test]
async fn what_is_resumed_late_does_not_undo_what_a_newer_event_has_set() {
    const ON: &str = "[[rule]]\nname = \"on\"\non = [\"job\"]\nwhen = [\"event.completed\"]\n[[rule.do]]\naction = \"enable_schedule\"\n";
    let rules = rules(1) + ON;
    let stage = Stage::with(Setting { rules: Some(rules), ..Setting::default() }).await;
    let tenants = with_schedules(&stage, 2);
    for tenant in &tenants {
        let id = stage.post(&failed(tenant, 1)).await;
        settled(&stage, &id).await;
    }
    let newer = webhook::job(|job| {
        job["tenant"] = json!("t1");
        job["last_updated"] = json!("2024-10-07T09:00:00+00:00");
    });
    let newer = stage.post(&newer).await;
    stage.settled(&newer, Outcome::Done).await;
    assert_eq!(gluehook(&stage, &["rules", "resume", "off", "--yes"]).await["sent"], json!(1));
    until("the message that follows", || !told(&stage, "off t1").is_empty()).await;
    assert_eq!(switched_off(&stage, &tenants), 1, "t1 stays on");
    assert!(told(&stage, "off t1")[0].contains("a newer event"), "{:?}", told(&stage, "off t1"));
}

#[tokio::test]
async fn a_wave_is_undone_from_how_schedules_were_and_what_changed_since_is_left() {
    let stage = stage(10, false).await;
    let tenants = with_schedules(&stage, 3);
    let was_off = stage.hotglue.tenant(ENV, FLOW, "t2");
    let was_off = was_off.with_schedule(None, "cron(7 7 * * *)", ScheduleState::Disabled);
    for tenant in &tenants {
        let id = stage.post(&failed(tenant, 1)).await;
        let record = stage.settled(&id, Outcome::Done).await;
        assert!(record.steps.iter().any(|step| step.before.is_some()), "{:?}", record.steps);
    }
    assert_eq!(switched_off(&stage, &tenants), 3);
    // Someone links t1 again.
    let by_hand = stage.hotglue.tenant(ENV, FLOW, "t1");
    let by_hand = by_hand.with_schedule(None, "cron(9 9 * * *)", ScheduleState::Enabled);

    let undo = ["undo", "--rule", "off", "--since", "1h"];
    let (code, plan, said) = stage.gluehook(&[&undo[..], &["--dry-run"]].concat()).await;
    assert!(code == 0 && plan.contains("by hand"), "{plan}{said}");
    assert_eq!(switched_off(&stage, &tenants), 2, "a plan changes nothing");
    let done = gluehook(&stage, &[&undo[..], &["--yes"]].concat()).await;
    assert_eq!((&done["done"], &done["failed"]), (&json!(2), &json!(0)), "{done}");
    let back = stage.hotglue.tenant(ENV, FLOW, "t0").schedule(None).unwrap();
    assert_eq!((back.expression.as_str(), back.state), ("cron(5 5 * * *)", ScheduleState::Enabled));
    let back = was_off.schedule(None).unwrap();
    assert_eq!((back.expression.as_str(), back.state), ("cron(7 7 * * *)", ScheduleState::Disabled));
    assert_eq!(by_hand.schedule(None).unwrap().expression, "cron(9 9 * * *)");
    let done = gluehook(&stage, &[&undo[..], &["--yes"]].concat()).await;
    assert!(done["plan"].as_array().unwrap().iter().all(|item| item["then"]["then"] != "put_back"), "{done}");
    let (code, _, said) = stage.gluehook(&["undo", "--rule", "nobody", "--since", "1h", "--yes"]).await;
    assert!(code == 1 && said.contains("there is no rule `nobody`"), "{said}");
}

#[tokio::test]
async fn a_schedule_that_could_not_be_read_is_turned_round_only_when_asked() {
    let stage = stage(10, false).await;
    stage.hotglue.schedules_readable(false);
    let tenant = stage.hotglue.tenant(ENV, FLOW, "t0");
    let id = stage.post(&failed("t0", 1)).await;
    stage.settled(&id, Outcome::Done).await;
    let undo = ["undo", "--rule", "off", "--since", "1h", "--yes"];
    let left = gluehook(&stage, &undo).await;
    assert!(left["plan"][0]["then"]["why"].as_str().is_some_and(|why| why.contains("--opposite")), "{left}");
    assert!(tenant.schedule(None).is_some_and(|schedule| !schedule.is_on()));
    let done = gluehook(&stage, &[&undo[..], &["--opposite"]].concat()).await;
    assert_eq!(done["done"], json!(1), "{done}");
    assert!(tenant.schedule(None).is_some_and(|schedule| schedule.is_on()));
}

/// People decide again and again while the wave goes on.
async fn resumed_and_dropped_in_the_midst_of_it(postgres: bool) {
    let mut stage = stage(2, postgres).await;
    if postgres {
        stage.start_more_workers(2).await;
    }
    let tenants = with_schedules(&stage, 40);
    let mut ids = Vec::new();
    for (number, tenant) in tenants.iter().enumerate() {
        ids.push(stage.post(&failed(tenant, 1)).await);
        let decided = match number % 8 {
            3 => "resume",
            7 => "drop",
            _ => continue,
        };
        let (code, _, said) = stage.gluehook(&["rules", decided, "off", "--yes"]).await;
        assert!(code == 0 || said.contains("is not paused"), "{said}");
    }
    // Every event is decided on before the last word.
    for id in &ids {
        stage.until(id, "be decided on", |record| !record.decisions.is_empty()).await;
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while gluehook(&stage, &["rules", "paused"]).await != json!([]) {
        assert!(tokio::time::Instant::now() < deadline, "what is released is taken up");
        let (code, _, said) = stage.gluehook(&["rules", "resume", "off", "--yes"]).await;
        assert!(code == 0 || said.contains("is not paused"), "{said}");
    }
    let mut alerts = 0;
    for (tenant, id) in tenants.iter().zip(&ids) {
        let ended = |record: &EventRecord| matches!(record.row.outcome, Outcome::Done | Outcome::Dropped);
        let record = stage.until(id, "come to its end", ended).await;
        assert_eq!(record.row.failures, 0, "{:?}", record.attempts);
        let is_off = stage.hotglue.tenant(ENV, FLOW, tenant).schedule(None).is_some_and(|s| !s.is_on());
        let said =
            told(&stage, &format!("off {tenant}")).iter().filter(|text| text.ends_with(tenant)).count();
        for step in record.steps.iter().filter(|step| step.step.rule == "off") {
            let (is_done, is_dropped) = (step.state == StepState::Done, step.state == StepState::Dropped);
            assert!(is_done != is_dropped, "{step:?}");
            match &step.step.action {
                Action::Slack { text, .. } if text.contains("is paused") => alerts += usize::from(is_done),
                Action::Slack { .. } => assert_eq!(said, usize::from(is_done), "{step:?}"),
                _ => assert_eq!(is_off, is_done, "{step:?}"),
            }
        }
    }
    assert!(alerts > 0, "it has paused");
    assert_eq!(
        told(&stage, "`off` is paused").len(),
        alerts,
        "each pause is told once, as the ledger has it"
    );
    assert_eq!(told(&stage, "failed t").len(), tenants.len(), "the other rule acts all the while");
}

#[tokio::test]
async fn what_is_decided_in_the_midst_of_a_wave_leaves_nothing_half_done() {
    resumed_and_dropped_in_the_midst_of_it(false).await;
}

#[tokio::test]
async fn what_is_decided_in_the_midst_of_a_wave_leaves_nothing_half_done_with_three_workers() {
    resumed_and_dropped_in_the_midst_of_it(true).await;
}

async fn what_is_replayed_while_it_is_held_is_done_once(postgres: bool) {
    let stage = stage(1, postgres).await;
    let tenants = with_schedules(&stage, 2);
    let first = stage.post(&failed("t0", 1)).await;
    stage.settled(&first, Outcome::Done).await;
    let held = stage.post(&failed("t1", 1)).await;
    stage.settled(&held, Outcome::Held).await;

    let (code, plan, errors) = stage.gluehook(&["replay", &held, "--dry-run"]).await;
    assert!(code == 0 && plan.contains("what is held of off gives way to this"), "{plan}{errors}");
    let (code, said, errors) = stage.gluehook(&["replay", &held, "--yes", "--wait"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    let superseded = |record: &EventRecord| {
        let mut steps = record.steps.iter().filter(|step| step.state == StepState::Superseded);
        steps.clone().count() == 2
            && steps.all(|step| step.error.as_deref().is_some_and(|why| why.contains("anew")))
    };
    stage.until(&held, "give way", superseded).await;
    assert_eq!(gluehook(&stage, &["rules", "paused"]).await[0]["held_steps"], json!(2), "not twice as much");
    let (_, said, _) = stage.gluehook(&["explain", &held, "--run", "live"]).await;
    assert!(
        said.contains("superseded") && said.contains("its rule has decided about this event anew"),
        "{said}"
    );

    assert_eq!(gluehook(&stage, &["rules", "resume", "off", "--yes"]).await["sent"], json!(1));
    until("it is told", || !told(&stage, "off t1").is_empty()).await;
    stage.settled(&held, Outcome::Done).await;
    assert_eq!((told(&stage, "off t1").len(), switched_off(&stage, &tenants)), (1, 2));
    let puts = stage.hotglue.effects();
    assert_eq!(puts.len(), 2, "one change for each tenant");
}

#[tokio::test]
async fn what_is_replayed_while_it_is_held_is_done_once_in_sqlite() {
    what_is_replayed_while_it_is_held_is_done_once(false).await;
}

#[tokio::test]
async fn what_is_replayed_while_it_is_held_is_done_once_in_postgres() {
    what_is_replayed_while_it_is_held_is_done_once(true).await;
}
