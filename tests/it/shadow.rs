//! Rules in shadow, and a worker that only observes: everything is decided and recorded, nothing is done.

mod holding;
mod joining;

use domain::journal::Outcome;
use domain::plan::Verdict;
use domain::would::Would;
use sandbox::{Fault, webhook};
use tests::stage::{Setting, Stage};

const LIVE_AND_SHADOW: &str = r#"
[[rule]]
name = "live"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} failed"

[[rule]]
name = "new"
mode = "shadow"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ event.tenant }} failed"
[[rule.do]]
action = "disable_schedule"
of = "source"
"#;

fn shadow(verdicts: &[domain::plan::RuleVerdict], rule: &str) -> Vec<String> {
    let verdict = verdicts.iter().find(|verdict| verdict.rule == rule).map(|verdict| &verdict.verdict);
    match verdict {
        Some(Verdict::Shadow { actions }) => actions.iter().map(|action| action.summary()).collect(),
        other => panic!("{rule} is {other:?}"),
    }
}

#[tokio::test]
async fn a_rule_in_shadow_with_changed_would_tell_once_as_it_would_in_life() {
    let rule = |name: &str, mode: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nmode = \"{mode}\"\non = [\"job\"]\nchanged = \"event.status\"\n[[rule.do]]\naction = \"slack\"\ntext = \"{name}\"\n"
        )
    };
    let rules = Some(rule("told", "live") + &rule("would", "shadow"));
    let stage = Stage::with(Setting { rules, ..Setting::default() }).await;
    let mut verdicts = Vec::new();
    for minute in 1..4 {
        let failed = webhook::job(|job| {
            job["status"] = "SYNC_FAILED".into();
            job["last_updated"] = format!("2024-10-07T08:{minute:02}:00+00:00").into();
        });
        let id = stage.post(&failed).await;
        let ended = |outcome| matches!(outcome, Outcome::Done | Outcome::NoRule);
        let record = stage.until(&id, "end", |record| ended(record.row.outcome)).await;
        verdicts.push(record.decisions[0].verdicts.clone());
    }
    let of = |rule: &str| -> Vec<_> {
        let all = verdicts.iter().flatten().filter(|given| given.rule == rule);
        all.map(|given| given.verdict == Verdict::Unchanged).collect()
    };
    assert_eq!(of("told"), [false, true, true]);
    assert_eq!(of("would"), [false, true, true]);
    assert_eq!(stage.slack.texts(), ["told"]);
}

#[tokio::test]
async fn a_rule_in_shadow_records_what_it_would_do_and_is_held_against_the_live_one() {
    let rules = Some(LIVE_AND_SHADOW.to_owned());
    let stage = Stage::with(Setting { rules, ..Setting::default() }).await;
    let id = stage.post(&webhook::failed_job("boom")).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(stage.slack.texts(), ["1414_1 failed"]);
    assert!(stage.hotglue.effects().is_empty(), "the shadow touches nothing");
    let would = shadow(&record.decisions[0].verdicts, "new");
    assert!(would[0].contains("1414_1 failed") && would[1].contains("off"), "{would:?}");

    let (_, listed, _) = stage.gluehook(&["events", "list"]).await;
    assert!(listed.contains("live,new (shadow)"), "{listed}");
    let (_, listed, _) = stage.gluehook(&["--json", "events", "list"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["shadow"], serde_json::json!(["new"]));

    let (code, told, errors) = stage.gluehook(&["rules", "diff-shadow", "new", "--against", "live"]).await;
    assert_eq!(code, 1, "{errors}");
    assert!(told.contains("would add: 1 × disable_schedule") && !told.contains("leave out"), "{told}");
    let (code, told, _) = stage.gluehook(&["--json", "rules", "diff-shadow", "--since=1h"]).await;
    assert_eq!(code, 1);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["rules"]["new"]["would_add"]["disable_schedule"], 1);

    let (code, told, _) = stage.gluehook(&["rules", "diff-shadow", "--tenant=nobody"]).await;
    assert_eq!((code, told.trim()), (0, "no rule in shadow has matched: there is nothing to compare"));
    let (code, _, errors) = stage.gluehook(&["rules", "diff-shadow", "--against", "live"]).await;
    assert_eq!(code, 2, "{errors}");
    let (code, _, errors) = stage.gluehook(&["rules", "diff-shadow", "nwe"]).await;
    assert!(code == 2 && errors.contains("`nwe`") && errors.contains("live, new"), "{errors}");
}

#[tokio::test]
async fn a_worker_that_only_observes_does_nothing_and_records_what_it_would_have_done() {
    let stage = Stage::with(Setting { worker: vec!["--observe".to_owned()], ..Setting::default() }).await;
    let exact = stage.post(&webhook::exact_401_job()).await;
    let synced = stage.post(&webhook::job(|_| {})).await;
    let record = stage.settled(&exact, Outcome::Done).await;
    let would = shadow(&record.decisions[0].verdicts, "exact-unauthorized");
    assert!(would.iter().any(|text| text.contains("401")), "the texts are written out: {would:?}");
    let silenced = record.decisions[0].verdicts.iter().find(|verdict| verdict.rule == "job-failed");
    assert!(matches!(silenced.map(|v| &v.verdict), Some(Verdict::Silenced { .. })), "as live rules would");
    assert!(record.steps.is_empty());
    let record = stage.settled(&synced, Outcome::Done).await;
    assert!(!shadow(&record.decisions[0].verdicts, "first-sync-done").is_empty());

    assert!(stage.slack.texts().is_empty());
    assert!(stage.hotglue.effects().is_empty());
    let (code, told, errors) = stage.gluehook(&["rules", "diff-shadow", "exact-unauthorized"]).await;
    assert_eq!(code, 1, "{errors}");
    assert!(told.contains("disable_schedule"), "{told}");
}

#[tokio::test]
async fn a_worker_that_would_observe_beside_one_that_acts_is_refused() {
    let stage = Stage::start().await;
    let mut flags = stage.worker_flags();
    flags.retain(|flag| !flag.starts_with("--database-url"));
    flags.push(format!("--database-url=sqlite://{}", stage.path("other.db").display()));
    flags.push("--observe".to_owned());
    let (code, _, errors) = tests::program::run("gluehook-worker", &flags, &tests::stage::secrets()).await;
    assert!(code == 1 && errors.contains("another worker takes events"), "{errors}");
}

#[tokio::test]
async fn a_worker_that_only_observes_stops_when_one_that_acts_has_come() {
    let mut stage = Stage::with(Setting { worker: vec!["--observe".to_owned()], ..Setting::default() }).await;
    let mut flags = stage.worker_flags();
    flags.retain(|flag| !flag.starts_with("--database-url") && flag != "--observe");
    flags.push(format!("--database-url=sqlite://{}", stage.path("other.db").display()));
    let acting = tests::program::Program::start("gluehook-worker", &flags, &tests::stage::secrets());
    acting.line("taking events").await;
    assert!(!stage.worker().ended().await.success());
    stage.worker().line("another worker takes events").await;
    stage.post(&webhook::failed_job("boom")).await;
    assert!(stage.slack.until(tests::program::PATIENCE, |slack| !slack.texts().is_empty()).await);
}

#[tokio::test]
async fn a_worker_that_only_observes_leaves_what_a_live_one_had_begun() {
    let mut stage = Stage::start().await;
    stage.slack.every(1, Fault::html_502());
    let id = stage.post(&webhook::failed_job("boom")).await;
    stage.settled(&id, Outcome::Retrying).await;
    stage.worker().kill().await;
    let calls = stage.slack.calls().len();
    let mut flags = stage.worker_flags();
    flags.push("--observe".to_owned());
    let observer = tests::program::Program::start("gluehook-worker", &flags, &tests::stage::secrets());
    observer.line("taking events").await;
    stage
        .until(&id, "be left alone", |record| {
            record.row.why.as_deref().is_some_and(|why| why.contains("only observes"))
        })
        .await;
    assert_eq!(stage.slack.calls().len(), calls);
}

#[tokio::test]
async fn what_a_rule_in_shadow_can_not_be_told_or_can_not_say_stops_nothing() {
    const DOUBTFUL: &str = r#"
[[rule]]
name = "asks"
mode = "shadow"
on = ["job"]
when = ["event.failed", "'zz' not in tenant.linked_sources"]
[[rule.do]]
action = "slack"
text = "asked"

[[rule]]
name = "says"
mode = "shadow"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "{{ payload.nope.x }}"
"#;
    let rules = Some(format!("{LIVE_AND_SHADOW}{DOUBTFUL}"));
    let stage = Stage::with(Setting { rules, ..Setting::default() }).await;
    stage.hotglue.every_on(1, "GET", "/linkedSources", Fault::text_500());
    let id = stage.post(&webhook::job(|job| job["status"] = "SYNC_FAILED".into())).await;
    let record = stage.settled(&id, Outcome::Done).await;
    assert_eq!(record.row.failures, 0, "{:?}", record.attempts);
    assert_eq!(stage.slack.texts().len(), 1, "the live rule has told it");
    let verdict = |rule: &str| {
        let verdicts = &record.decisions[0].verdicts;
        &verdicts.iter().find(|verdict| verdict.rule == rule).unwrap().verdict
    };
    assert!(matches!(verdict("says"), Verdict::Broken { shadow: true, why, .. } if why.contains("nope")));
    assert!(!matches!(verdict("asks"), Verdict::Shadow { .. }), "{:?}", verdict("asks"));
}

/// Every action, in lines that both modes share.
const EVERYTHING: &str = r##"
[[rule.do]]
action = "enable_schedule"
of = "source"
[[rule.do]]
action = "link_target"
target = "optiply"
[[rule.do]]
action = "disable_schedule"
of = "target"
[[rule.do]]
action = "run_job"
tap = "exact"
name = "again {{ event.job_id }}"
[[rule.do]]
action = "slack"
text = """*{{ event.tenant }}* failed
and this is the second line"""
[[rule.do]]
action = "slack"
channel = "#elsewhere"
text = "{{ event.tenant }} failed <here>"
"##;

/// What the doubles have received that changes something, in order: method, address and body.
fn received(stage: &Stage) -> Vec<(String, String, Option<serde_json::Value>)> {
    let config = std::fs::read_to_string(stage.path("gluehook.toml")).unwrap();
    let bases: Vec<_> = config.lines().filter_map(|line| line.strip_prefix("base_url = ")).collect();
    let of = |calls: Vec<sandbox::Call>, base: &str| -> Vec<_> {
        let calls = calls.into_iter().filter(|call| call.method != "GET");
        let base = base.trim_matches('"').to_owned();
        calls.map(|call| (call.method, format!("{base}{}", call.path), call.body)).collect()
    };
    let hotglue = of(stage.hotglue.calls(), bases[0]);
    hotglue.into_iter().chain(of(stage.slack.calls(), bases[1])).collect()
}

async fn shadow_notes_what_life_sends(postgres: bool) {
    let rule = |name: &str, mode: &str| {
        let head = format!(
            "[[rule]]\nname = \"{name}\"\nmode = \"{mode}\"\non = [\"job\"]\nwhen = [\"event.failed\"]\n"
        );
        head + EVERYTHING
    };
    let rules = Some(rule("does", "live") + &rule("would", "shadow"));
    let stage = Stage::with(Setting { rules, postgres, ..Setting::default() }).await;
    let id = stage.post(&webhook::job(|job| job["status"] = "SYNC_FAILED".into())).await;
    let record = stage.settled(&id, Outcome::Done).await;
    let verdicts = &record.decisions[0].verdicts;
    let given = verdicts.iter().find(|verdict| verdict.rule == "would").unwrap();
    let noted: Vec<_> = given
        .would
        .iter()
        .map(|would| match would {
            Would::Call(call) => (call.method.clone(), call.url.clone(), Some(call.body.clone())),
            Would::Nothing { why } | Would::Fail { why } => panic!("{why}"),
        })
        .collect();
    assert_eq!(noted, received(&stage));
    assert_eq!(noted.len(), 6);
    assert!(verdicts.iter().all(|given| given.rule == "would" || given.would.is_empty()));

    let (code, told, errors) = stage.gluehook(&["explain", &id]).await;
    assert_eq!(code, 0, "{errors}");
    for part in [
        "would call: PUT http://127.0.0.1:",
        "/dev.hotglue.com/JClkCC05S/1414_1/jobs/schedule",
        r#""state":"DISABLED""#,
        "unless the target is linked already",
        "unless a job of this name is listed",
        "/api/chat.postMessage",
        r##""channel":"#hotglue-webhooks""##,
        r##""channel":"#elsewhere""##,
        "           and this is the second line",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains(tests::stage::API_KEY) && !told.contains(tests::stage::SLACK_TOKEN));
    let (_, told, _) = stage.gluehook(&["--json", "explain", &id]).await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let of_shadow =
        told["recorded"].as_array().unwrap().iter().find(|given| given["rule"] == "would").unwrap();
    assert_eq!(of_shadow["would"], serde_json::to_value(&given.would).unwrap());
}

#[tokio::test]
async fn a_rule_in_shadow_notes_the_very_calls_that_a_live_one_makes() {
    shadow_notes_what_life_sends(false).await;
}

#[tokio::test]
async fn a_rule_in_shadow_notes_the_very_calls_that_a_live_one_makes_in_postgres() {
    shadow_notes_what_life_sends(true).await;
}

#[tokio::test]
async fn what_was_decided_before_a_rule_in_shadow_was_there_is_left_out_of_the_comparison() {
    let live = LIVE_AND_SHADOW.split("[[rule]]\nname = \"new\"").next().unwrap().to_owned();
    let mut stage = Stage::with(Setting { rules: Some(live), ..Setting::default() }).await;
    let id = stage.post(&webhook::failed_job("before")).await;
    stage.settled(&id, Outcome::Done).await;
    let same = LIVE_AND_SHADOW.split("[[rule.do]]\naction = \"disable_schedule\"").next().unwrap();
    std::fs::write(stage.path("rules.toml"), same).unwrap();
    stage.worker().line("is in force").await;
    let id = stage.post(&webhook::failed_job("after")).await;
    stage.settled(&id, Outcome::Done).await;
    let (code, told, errors) = stage.gluehook(&["rules", "diff-shadow", "new", "--against", "live"]).await;
    assert_eq!(code, 0, "{told}{errors}");
    assert!(told.contains("new: 1 event, the same about 1") && told.contains("left out: 1 event"), "{told}");
}

async fn an_observer_remembers_on_its_own(postgres: bool) {
    const TOLD: &str = "[[rule]]\nname = \"told\"\non = [\"job\"]\nchanged = \"event.status\"\n[[rule.do]]\naction = \"slack\"\ntext = \"told {{ event.status }}\"\n";
    let setting = Setting { rules: Some(TOLD.to_owned()), postgres, ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    let job = |minute: u32, status: &str| {
        webhook::job(|job| {
            job["status"] = status.into();
            job["last_updated"] = format!("2024-10-07T08:{minute:02}:00+00:00").into();
        })
    };
    let id = stage.post(&job(1, "SYNC_FAILED")).await;
    stage.settled(&id, Outcome::Done).await;
    stage.worker().stop().await;

    let mut flags = stage.worker_flags();
    flags.push("--observe".to_owned());
    let mut observer = tests::program::Program::start("gluehook-worker", &flags, &tests::stage::secrets());
    observer.line("taking events").await;
    let mut verdicts = Vec::new();
    for minute in 2..4 {
        let id = stage.post(&job(minute, "JOB_FAILED")).await;
        let ended = |outcome| matches!(outcome, Outcome::Done | Outcome::NoRule);
        let record = stage.until(&id, "end", |record| ended(record.row.outcome)).await;
        verdicts.push(record.decisions[0].verdicts[0].verdict.clone());
        let (code, told, errors) = stage.gluehook(&["explain", &id]).await;
        assert!(
            code == 0 && !told.contains("would ask") && !told.contains("have changed since"),
            "{told}{errors}"
        );
    }
    assert!(matches!(verdicts[0], Verdict::Shadow { .. }), "{verdicts:?}");
    assert_eq!(verdicts[1], Verdict::Unchanged, "it remembers what it has seen itself");
    observer.stop().await;

    stage.start_worker().await;
    let id = stage.post(&job(4, "SYNC_FAILED")).await;
    stage.settled(&id, Outcome::NoRule).await;
    assert_eq!(stage.slack.texts(), ["told SYNC_FAILED"], "to the live rule nothing has changed in between");
}

#[tokio::test]
async fn what_an_observer_sees_changes_nothing_that_live_rules_remember() {
    an_observer_remembers_on_its_own(false).await;
}

#[tokio::test]
async fn what_an_observer_sees_changes_nothing_that_live_rules_remember_in_postgres() {
    an_observer_remembers_on_its_own(true).await;
}

/// Only hotglue knows the expression, and its looks hang.
#[tokio::test]
async fn a_rehearsal_that_hotglue_does_not_answer_holds_up_nothing_that_is_done() {
    let stage = Stage::with(Setting { rules: Some(LIVE_AND_SHADOW.to_owned()), ..Setting::default() }).await;
    stage.hotglue.every_on(1, "GET", "/jobs/schedule", Fault::Delay(std::time::Duration::from_secs(600)));
    let mut whys = Vec::new();
    for job in ["first", "second", "third"] {
        let body = webhook::job(|body| {
            body["status"] = "SYNC_FAILED".into();
            body["job_id"] = job.into();
            // Of which the configuration says nothing.
            body["flow_id"] = "unlisted".into();
        });
        let id = stage.post(&body).await;
        let record = stage.settled(&id, Outcome::Done).await;
        let verdicts = &record.decisions[0].verdicts;
        let given = verdicts.iter().find(|verdict| verdict.rule == "new").unwrap();
        match &given.would[1] {
            Would::Nothing { why } | Would::Fail { why } => whys.push(why.clone()),
            Would::Call(call) => whys.push(call.condition.clone().unwrap_or_default()),
        }
    }
    assert_eq!(stage.slack.messages().len(), 3);
    assert!(whys[0].contains("did not answer a look within 2 s"), "{whys:?}");
    let looks = stage.hotglue.calls().iter().filter(|call| call.is("GET", "/jobs/schedule")).count();
    assert!(looks < 3 && whys.iter().any(|why| why.contains("is not looked at for 30 s then")), "{whys:?}");
}
