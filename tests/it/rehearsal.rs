//! Rules that are checked, explained, tried on the past, and tested with what came in.

mod exporting;
mod needing_a_person;
mod reloading;

use domain::journal::Outcome;
use sandbox::webhook;
use serde_json::{Value, json};
use tests::stage::{ENV, FLOW, SLACK_TOKEN, Setting, Stage};

const TOLD: &str = "\n[[rule]]\nname = \"told\"\nwhen = [\"event.failed\"]\n[[rule.do]]\naction = \"slack\"\ntext = \"{{ event.tenant }} failed\"\n";

fn shipped() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rules.toml")).expect("it ships")
}

/// Writes a file of the stage; its path.
fn file(stage: &Stage, name: &str, text: &str) -> String {
    let path = stage.path(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

async fn json_of(stage: &Stage, expected: i32, args: &[&str]) -> Value {
    let mut args = args.to_vec();
    args.push("--json");
    let (code, said, errors) = stage.gluehook(&args).await;
    assert_eq!(code, expected, "{said}{errors}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn of_tenant(tenant: &str, error: &str) -> String {
    webhook::vary(&webhook::failed_job(error), |job| job["tenant"] = json!(tenant))
}

#[tokio::test]
async fn what_a_rulebook_can_hardly_mean_is_found_with_file_line_and_column() {
    let stage = Stage::with(Setting { without_worker: true, ..Setting::default() }).await;
    let rules = "[[rule]]\nname = \"r\"\nwhen = [\n  \"event.completed\",\n  \"event.failed\",\n]\n[[rule.do]]\naction = \"slack\"\ntext = \"x\"\n";
    let never = file(&stage, "never.toml", rules);
    let (code, said, _) = stage.gluehook(&["rules", "check", &never]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("{never}:5:3: error: rule `r` can never match")), "{said}");

    let misspelt = rules.replace("\"event.completed\",\n  ", "\"event.status != 'SYNC_FAILD'\",\n  ");
    let misspelt = file(&stage, "misspelt.toml", &misspelt);
    let (code, said, _) = stage.gluehook(&["rules", "check", &misspelt]).await;
    assert!(code == 0 && said.contains(":4:20: warning: ") && said.contains("`SYNC_FAILED`?"), "{said}");
    assert_eq!(stage.gluehook(&["rules", "check", &misspelt, "--strict"]).await.0, 1);

    let unwritable = format!("{}{}", shipped(), TOLD.replace("event.tenant", "payload.nope"));
    let unwritable = file(&stage, "unwritable.toml", &unwritable);
    let found = json_of(&stage, 1, &["rules", "check", &unwritable]).await;
    let sentence = found["complaints"][0]["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("rule `told`, step 1 (slack): its text can't be written"), "{sentence}");
    assert!(sentence.contains("in the scenario"), "{sentence}");
    assert_eq!((&found["sound"], &found["complaints"][0]["severity"]), (&json!(false), &json!("error")));
}

#[tokio::test]
async fn scenarios_of_ones_own_are_run_with_a_report_for_ci() {
    let stage = Stage::with(Setting { without_worker: true, ..Setting::default() }).await;
    let folder = stage.path("own");
    std::fs::create_dir(&folder).expect("a folder");
    let case = "[[case]]\nsays = \"a failed sync is told\"\npayload = { job_id = \"j\", tenant = \"t\", status = \"SYNC_FAILED\" }\nmatches = [\"job-failed\"]\n";
    std::fs::write(folder.join("good.toml"), case).expect("written");
    let report = stage.path("report.xml");
    let report_flag = format!("--junit={}", report.display());
    let own = folder.to_str().expect("UTF-8");
    let (code, said, errors) = stage.gluehook(&["rules", "test", own, &report_flag]).await;
    assert_eq!(code, 0, "{said}{errors}");

    std::fs::create_dir(folder.join("deeper")).expect("a folder");
    std::fs::write(folder.join("deeper/wrong.toml"), case.replace("job-failed", "link-made"))
        .expect("written");
    std::fs::write(folder.join("unreadable.toml"), "[[case]]\nsayz = 1\n").expect("written");
    let (code, said, errors) = stage.gluehook(&["rules", "test", own, &report_flag]).await;
    assert_eq!(code, 1, "{said}{errors}");
    let xml = std::fs::read_to_string(report).expect("the report");
    assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"1\" time=\""), "{xml}");
    assert!(
        xml.contains("deeper/wrong.toml\" line=\"2\"") && xml.contains("deeper/wrong.toml:2: matches"),
        "{xml}"
    );
    let empty = stage.path("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let (code, _, errors) = stage.gluehook(&["rules", "test", empty.to_str().expect("UTF-8")]).await;
    assert!(code == 2 && errors.contains("there is no scenario"), "{errors}");
    assert!(
        xml.contains("name=\"a failed sync is told\"/>") && xml.contains("<failure message=\"matches: "),
        "{xml}"
    );
}

#[tokio::test]
async fn an_explanation_holds_verdicts_values_facts_results_and_the_version_that_decided() {
    let stage = Stage::start().await;
    let _tenant = stage.hotglue.tenant(ENV, FLOW, "1414_1").with_config(sandbox::hotglue::valid_config());
    let id = stage.post(&webhook::job(|_| {})).await;
    let record = stage.settled(&id, Outcome::Done).await;
    let version = record.row.rulebook.expect("decided");

    // Since then the rules have changed.
    let newer = file(&stage, "newer.toml", &format!("{}{TOLD}", shipped()));
    let rules = format!("--rules={newer}");
    let (code, said, errors) = stage.gluehook(&["explain", &id, &rules]).await;
    assert_eq!(code, 0, "{errors}");
    for part in [
        version.as_str(),
        "differ from those that decided",
        "event.sync_type in ['auto_sync', 'full_sync']",
        "event.sync_type = \"full_sync\"",
        "tenant.linked_targets = []",
        "enable_schedule done: source schedule of 1414_1",
        "link_target done: link target optiply",
        "answer",
        "exact-unauthorized line 1 does not hold",
    ] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    assert!(!said.contains("told"), "{said}");
    let explained = json_of(&stage, 0, &["explain", &id, &rules]).await;
    assert_eq!(explained["decided_by"], json!(version));
    assert_eq!(explained["facts"]["linked_targets"], json!([]));
    assert_eq!(explained["recorded_steps"].as_array().map(Vec::len), Some(record.steps.len()));

    let quiet = stage.post(&webhook::discover(|_| {})).await;
    stage.settled(&quiet, Outcome::NoRule).await;
    let (_, said, _) = stage.gluehook(&["explain", &quiet, &rules]).await;
    assert!(said.contains(&format!("no rule took it when it came in, by rulebook {version}")), "{said}");
    assert!(said.contains("No rule matched.\n  job-failed: is about other kinds of events"), "{said}");
}

#[tokio::test]
async fn an_event_on_which_the_settings_of_today_would_act_says_that_they_have_changed() {
    let rules = "[[rule]]\nname = \"elsewhere\"\non = [\"job\"]\nwhen = [\"flow.target == 'elsewhere'\"]\n[[rule.do]]\naction = \"slack\"\ntext = \"{{ event.tenant }}\"\n";
    let stage = Stage::with(Setting { rules: Some(rules.to_owned()), ..Setting::default() }).await;
    let id = stage.post(&webhook::job(|_| {})).await;
    stage.settled(&id, Outcome::NoRule).await;
    let config = std::fs::read_to_string(stage.path("gluehook.toml")).expect("the configuration");
    let (code, said, _) = stage.gluehook(&["explain", &id]).await;
    assert!(code == 0 && !said.contains("have changed since"), "{said}");
    file(&stage, "gluehook.toml", &config.replace("target = \"optiply\"", "target = \"elsewhere\""));
    let (code, said, _) = stage.gluehook(&["explain", &id]).await;
    assert!(code == 0 && said.contains("settings in the configuration have changed since"), "{said}");
    assert!(said.contains("(elsewhere)") && said.contains("(as configured today)"), "{said}");
}

#[tokio::test]
async fn an_event_that_was_acted_on_is_seen_with_the_flow_settings_of_then() {
    let stage = Stage::start().await;
    stage.hotglue.tenant(ENV, FLOW, "1414_1").with_config(sandbox::hotglue::valid_config());
    let id = stage.post(&webhook::job(|_| {})).await;
    stage.settled(&id, Outcome::Done).await;
    let rules = file(&stage, "same.toml", &shipped());
    let before = json_of(&stage, 0, &["explain", &id]).await;
    let scenario = stage.gluehook(&["events", "export", &id]).await;
    assert!(scenario.1.contains("target = \"optiply\""), "{scenario:?}");

    // Since then the flow has lost its target.
    let config = std::fs::read_to_string(stage.path("gluehook.toml")).expect("the configuration");
    let without = config.replace("target = \"optiply\"\n", "");
    assert_ne!(without, config);
    file(&stage, "gluehook.toml", &without);
    let other = "settings of its flow are other ones in the configuration of today (target)";
    let (code, said, errors) = stage.gluehook(&["explain", &id]).await;
    assert!(code == 0 && said.contains(other) && said.contains("link_target done"), "{said}{errors}");
    for wrong in ["have changed since", "may have changed since", "as configured today", "not taken"] {
        assert!(!said.contains(wrong), "{wrong}: {said}");
    }
    let after = json_of(&stage, 0, &["explain", &id]).await;
    assert_eq!(after["rules"], before["rules"]);
    assert!(before["rules"].is_array(), "{before}");

    let (code, text, errors) = stage.gluehook(&["events", "export", &id]).await;
    assert!(code == 0 && errors.contains(other), "{errors}");
    assert_eq!(text, scenario.1);
    let (code, said, errors) = stage.gluehook(&["rules", "backtest", &rules]).await;
    assert!(code == 0 && said.contains("nothing would differ in 1 event"), "{said}{errors}");
    assert!(said.contains("those of then were read: 1 event"), "{said}");
    assert_eq!(json_of(&stage, 0, &["rules", "backtest", &rules]).await["other_settings"], json!(1));
}

#[tokio::test]
async fn a_payload_in_a_file_is_explained_with_the_facts_of_another() {
    let stage = Stage::with(Setting { without_worker: true, ..Setting::default() }).await;
    let payload = file(&stage, "payload.json", &webhook::job(|_| {}));
    let facts = file(&stage, "facts.toml", "linked_targets = [\"optiply\"]\nconfig_valid = true\n");
    let (code, said, errors) = stage.gluehook(&["explain", "--payload", &payload]).await;
    assert!(code == 0 && said.contains("would ask: the tenant's linked targets"), "{said}{errors}");
    let (code, said, errors) = stage.gluehook(&["explain", "--payload", &payload, "--facts", &facts]).await;
    assert!(code == 0 && said.contains("Matched: first-sync-done"), "{said}{errors}");
    let own = file(&stage, "own.toml", TOLD);
    let rules = format!("--rules={own}");
    let (code, said, errors) = stage.gluehook(&["explain", "--payload", &payload, &rules]).await;
    assert!(
        code == 0 && said.contains("told: event.failed does not hold (event.failed = false)"),
        "{said}{errors}"
    );
    let (code, _, errors) = stage.gluehook(&["explain", "--payload", "/no/such/file"]).await;
    assert!(code == 2 && errors.contains("/no/such/file"), "{errors}");
}

#[tokio::test]
async fn a_backtest_tells_what_a_rulebook_would_have_done_otherwise() {
    let stage = Stage::start().await;
    stage.hotglue.tenant(ENV, FLOW, "1414_1").with_config(sandbox::hotglue::valid_config());
    let mut failed = Vec::new();
    for tenant in ["a", "b", "a"] {
        failed.push(stage.post(&of_tenant(tenant, &format!("boom {}", failed.len()))).await);
    }
    let done = stage.post(&webhook::job(|_| {})).await;
    let quiet = stage.post(&webhook::discover(|_| {})).await;
    for id in failed.iter().chain([&done]) {
        stage.settled(id, Outcome::Done).await;
    }
    stage.settled(&quiet, Outcome::NoRule).await;

    // What decided then decides the same again.
    let same = file(&stage, "same.toml", &shipped());
    let (code, said, errors) = stage.gluehook(&["rules", "backtest", &same, "--since", "7d"]).await;
    assert!(code == 0 && said.contains("nothing would differ in 5 events"), "{said}{errors}");

    let more = file(&stage, "more.toml", &format!("{}{TOLD}", shipped()));
    let (code, said, errors) = stage.gluehook(&["rules", "backtest", &more, "--since", "7d"]).await;
    assert_eq!(code, 1, "{said}{errors}");
    assert!(said.contains("3 added, 0 dropped, 0 changed; 3 of 5 events differ"), "{said}");
    assert!(said.contains("Slack: a failed") && said.contains(&failed[0][..12]), "{said}");
    let found = json_of(&stage, 1, &["rules", "backtest", &more]).await;
    let told: Vec<_> = found["differences"].as_array().expect("a list").iter().collect();
    assert_eq!((told.len(), &told[0]["rule"], &told[0]["tenant"]), (2, &json!("told"), &json!("a")));
    assert_eq!((&told[0]["added"], &told[1]["added"]), (&json!(2), &json!(1)));
    assert_eq!(told[0]["examples"][0]["event"], json!(failed[0]));

    // Against another rulebook, the other way round.
    let found = json_of(&stage, 1, &["rules", "backtest", &same, "--against", &more]).await;
    assert_eq!((&found["dropped"], &found["added"]), (&json!(3), &json!(0)));
    let changed = shipped().replace(":x: *{{ event.tenant }}*", ":boom: *{{ event.tenant }}*");
    let changed = file(&stage, "changed.toml", &changed);
    let found = json_of(&stage, 1, &["rules", "backtest", &changed, "--tenant", "b"]).await;
    assert_eq!((&found["changed"], &found["events"]), (&json!(1), &json!(1)));
    let example = &found["differences"][0]["examples"][0];
    assert!(example["before"].as_str().is_some_and(|text| text.contains(":x:")), "{example}");
    assert!(example["after"].as_str().is_some_and(|text| text.contains(":boom:")), "{example}");

    // Nothing was changed outside by any of this.
    assert_eq!(stage.slack.messages().len(), 4, "{:?}", stage.slack.texts());
    let bad = file(&stage, "bad.toml", "[[rule]]\nnam = \"x\"\n");
    let (code, _, errors) = stage.gluehook(&["rules", "backtest", &bad]).await;
    assert!(code == 2 && errors.contains("bad.toml: line 2, column 1: "), "{errors}");
}

#[tokio::test]
async fn a_fact_that_was_never_read_is_unknown_unless_hotglue_may_be_asked() {
    let stage = Stage::start().await;
    stage.hotglue.tenant(ENV, FLOW, "a").with_null_state();
    let id = stage.post(&of_tenant("a", "boom")).await;
    stage.settled(&id, Outcome::Done).await;
    let rules = TOLD.replace("\"event.failed\"", "\"event.failed\", \"tenant.state_is_null\"");
    let rules = file(&stage, "rules.toml", &format!("{}{rules}", shipped()));
    let asked = || stage.hotglue.calls().len();
    let before = asked();
    let found = json_of(&stage, 1, &["rules", "backtest", &rules]).await;
    assert_eq!((&found["unknown_events"], &found["differs"], asked()), (&json!(1), &json!(false), before));
    assert_eq!(found["findings"], json!(["unknown"]));
    json_of(&stage, 0, &["rules", "backtest", &rules, "--allow", "unknown,pauses"]).await;
    assert_eq!(
        found["unknown"][0],
        json!({"rule": "told", "events": 1, "facts": ["state_is_null"], "examples": [id]})
    );
    let (_, said, _) = stage.gluehook(&["rules", "backtest", &rules]).await;
    assert!(said.contains("unknown for 1 event: told depends on tenant.state_is_null"), "{said}");
    assert!(
        said.contains(&format!("; such as {}", &id[..12])) && said.contains("exit code 1, for: unknown"),
        "{said}"
    );

    let found = json_of(&stage, 1, &["rules", "backtest", &rules, "--ask-hotglue"]).await;
    assert_eq!(
        (&found["added"], &found["asked"], &found["unknown_events"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(asked(), before + 1);
}

#[tokio::test]
async fn what_hotglue_cannot_answer_stays_unknown_and_a_limit_says_when_it_would_have_paused() {
    let stage = Stage::start().await;
    for tenant in ["a", "b", "unwell"] {
        let _tenant = stage.hotglue.tenant(ENV, FLOW, tenant).with_null_state();
        let id = stage.post(&of_tenant(tenant, "boom")).await;
        stage.settled(&id, Outcome::Done).await;
    }
    stage.hotglue.every_on(1, "GET", "unwell", sandbox::Fault::text_500());
    let asking = TOLD.replace("\"event.failed\"", "\"event.failed\", \"tenant.state_is_null\"");
    let limited = asking.replace("name = \"told\"", "name = \"told\"\nlimit = { tenants = 1, per = \"1h\" }");
    let rules = file(&stage, "rules.toml", &format!("{}{limited}", shipped()));
    let found = json_of(&stage, 1, &["rules", "backtest", &rules, "--ask-hotglue"]).await;
    assert_eq!((&found["added"], &found["unknown_events"]), (&json!(2), &json!(1)), "{found}");
    let unanswered = found["unanswered"].as_array().expect("a list");
    assert!(unanswered.len() == 1 && unanswered[0]["questions"] == json!(1), "{found}");
    let limits = found["limits"].as_array().expect("a list");
    let told = limits.iter().find(|limit| limit["rule"] == json!("told")).expect("it has one");
    assert_eq!(told["paused"]["tenant"], json!(format!("{ENV}/b")), "{told}");
    assert_eq!((&told["paused"]["held_events"], &told["most"]), (&json!(1), &json!(1)), "{told}");
    assert!(
        limits.iter().any(|limit| limit["rule"] == json!("exact-unauthorized") && limit["paused"].is_null())
    );
    let (code, said, errors) = stage.gluehook(&["rules", "backtest", &rules, "--ask-hotglue"]).await;
    assert!(
        code == 1 && said.contains("hotglue gave no answer to 1 question") && said.contains("500"),
        "{said}{errors}"
    );
    assert!(said.contains("limit: told would have paused at "), "{said}");

    for (args, sentence) in [
        (["--since", "1h", "--until", "2h"], "--since has to be earlier than --until"),
        (["--against", rules.as_str(), "--since", "1d"], "nothing could differ"),
    ] {
        let args = [["rules", "backtest", rules.as_str()].as_slice(), &args].concat();
        let (code, _, errors) = stage.gluehook(&args).await;
        assert!(code == 2 && errors.contains(sentence), "{errors}");
    }
}

#[tokio::test]
async fn a_rule_that_acts_on_changes_sees_the_values_of_the_events_before() {
    let rule = |text: &str| {
        format!(
            "[[rule]]\nname = \"r\"\nchanged = \"event.error\"\n[[rule.do]]\naction = \"slack\"\ntext = \"{text}\"\n"
        )
    };
    let stage = Stage::with(Setting { rules: Some(rule("{{ event.error }}")), ..Setting::default() }).await;
    for (minute, error) in [(1, "x"), (2, "x"), (3, "y"), (4, "x")] {
        let body = webhook::vary(&webhook::failed_job(error), |job| {
            job["last_updated"] = json!(format!("2024-10-07T08:{minute:02}:00+00:00"));
        });
        let id = stage.post(&body).await;
        stage
            .until(&id, "be decided", |record| {
                !record.decisions.is_empty() && record.row.outcome != Outcome::Open
            })
            .await;
    }
    let same = file(&stage, "same.toml", &rule("{{ event.error }}"));
    assert_eq!(stage.gluehook(&["rules", "backtest", &same]).await.0, 0);
    let other = file(&stage, "other.toml", &rule("now {{ event.error }}"));
    let found = json_of(&stage, 1, &["rules", "backtest", &other]).await;
    assert_eq!((&found["changed"], &found["events"]), (&json!(3), &json!(4)), "{found}");
}

#[tokio::test]
async fn an_event_of_life_becomes_a_scenario_without_a_customers_name_in_it() {
    let stage = Stage::start().await;
    stage.hotglue.tenant(ENV, FLOW, "acme-77").with_config(sandbox::hotglue::valid_config());
    let body = webhook::vary(&webhook::exact_401_job(), |job| {
        job["tenant"] = json!("acme-77");
        job["job_name"] = json!("Jansen nightly");
        let error = format!(
            "{} for jan@jansen.example at 10.0.0.7, call 06-12345678, token {SLACK_TOKEN}",
            job["error"].as_str().unwrap_or_default()
        );
        job["error"] = json!(error);
    });
    let id = stage.post(&body).await;
    let record = stage.settled(&id, Outcome::Done).await;
    let folder = stage.path("scenarios");
    std::fs::create_dir(&folder).expect("a folder");
    let path = folder.join("life.toml");
    let output = format!("--output={}", path.display());
    let (code, said, errors) = stage.gluehook(&["events", "export", &id, "--redact", &output]).await;
    assert_eq!(code, 0, "{said}{errors}");
    let text = std::fs::read_to_string(&path).expect("written");
    for gone in
        ["acme", "ansen", "10.0.0.7", "12345678", SLACK_TOKEN, record.row.event.job_id.as_str(), ENV, FLOW]
    {
        assert!(!text.contains(gone), "{gone}:\n{text}");
    }
    assert!(text.contains("exact-unauthorized: disable_schedule source of tenant-"), "{text}");
    let (code, said, errors) = stage.gluehook(&["rules", "test", folder.to_str().expect("UTF-8")]).await;
    assert!(code == 0 && said.contains("1 passed"), "{said}{errors}\n{text}");

    let (_, again, _) = stage.gluehook(&["events", "export", &id, "--redact"]).await;
    assert_eq!(again, text, "the event log keeps what the tokens are made with");
    let salt = file(&stage, "salt", "a salt of sixteen bytes");
    let salted = format!("--salt=file:{salt}");
    let (code, other, errors) = stage.gluehook(&["events", "export", &id, "--redact", &salted]).await;
    assert!(code == 0 && other != text, "{errors}");
    let (code, _, errors) = stage.gluehook(&["events", "export", &id, "--redact", "--salt=hush"]).await;
    assert!(code == 2 && errors.contains("env:NAME") && !errors.contains("hush"), "{errors}");

    let (code, whole, errors) = stage.gluehook(&["events", "export", &id]).await;
    assert!(code == 0 && whole.contains("acme-77") && !whole.contains(SLACK_TOKEN), "{whole}{errors}");
    let (code, _, errors) = stage.gluehook(&["events", "export", "ffffffffffff", "--redact"]).await;
    assert!(code == 1 && errors.contains("ffffffffffff"), "{errors}");
}

#[tokio::test]
async fn a_broken_configuration_is_called_broken_and_nothing_is_compared_with_defaults() {
    let stage = Stage::with(Setting { without_worker: true, ..Setting::default() }).await;
    file(&stage, "gluehook.toml", "[hotglue]\ntimeot = \"1s\"\n");
    let (code, said, _) = stage.gluehook(&["doctor", "--offline"]).await;
    assert!(code == 1 && said.contains("line 2, column 1: "), "{said}");
    assert!(said.contains("streams and consumers: were not compared"), "{said}");
}

#[tokio::test]
async fn a_bad_rulebook_changes_nothing_and_is_seen_in_log_metrics_and_doctor_with_line_and_column() {
    let mut stage = Stage::with(Setting { rules: Some(shipped()), ..Setting::default() }).await;
    let first = stage.post(&of_tenant("a", "one")).await;
    let version = stage.settled(&first, Outcome::Done).await.row.rulebook;
    file(&stage, "rules.toml", "[[rule]]\nname = \"r\"\nwhen = [\"event.tennant\"]\n");
    let line = stage.worker().line("line 3, column 10").await;
    assert!(line.contains("the old rules stay in force") && line.contains("event.tenant"), "{line}");
    let (code, said, _) = stage.gluehook(&["doctor", "--offline"]).await;
    assert!(code == 1 && said.contains("line 3, column 10"), "{said}");
    let started = stage.worker().line("admin on http://").await;
    let admin = started
        .split("admin on ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .expect("an address");
    let metrics = tests::stage::client().get(format!("{admin}/metrics")).send().await.expect("it answers");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains("gluehook_rulebook_ok 0"), "{metrics}");
    assert!(metrics.contains("gluehook_rulebook_reload_failures_total 1"), "{metrics}");

    let second = stage.post(&of_tenant("a", "two")).await;
    assert_eq!(stage.settled(&second, Outcome::Done).await.row.rulebook, version);
}

/// What is at a URL of the worker.
async fn told(admin: &str, path: &str) -> String {
    let answer = tests::stage::client().get(format!("{admin}{path}")).send().await.expect("it answers");
    answer.text().await.expect("text")
}

async fn a_bad_file_changes_nothing_until_it_is_mended(postgres: bool) {
    let setting = Setting { rules: Some(shipped()), postgres, ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    let started = stage.worker().line("admin on http://").await;
    let admin = started.split("admin on ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let admin = admin.expect("an address").to_owned();
    let first = stage.post(&of_tenant("a", "0")).await;
    let version = stage.settled(&first, Outcome::Done).await.row.rulebook;
    assert!(told(&admin, "/metrics").await.contains("gluehook_rulebook_ok 1"));

    let path = stage.path("rules.toml");
    // Torn, wrong in what it says, emptied, and gone.
    let bad: [(Option<&str>, &str); 4] = [
        (Some("[[rule]]\nname = \"r\n"), "line 2, column"),
        (Some("[[rule]]\nname = \"r\"\non = [\"jobb\"]\n"), "line 3, column"),
        (Some(" \n"), "rules.toml is empty"),
        (None, "rules.toml can't be read"),
    ];
    for (number, (text, says)) in bad.into_iter().enumerate() {
        match text {
            Some(text) => std::fs::write(&path, text).expect("written"),
            None => std::fs::remove_file(&path).expect("removed"),
        }
        let line = stage.worker().line(says).await;
        assert!(line.contains("the old rules stay in force"), "{line}");
        let metrics = told(&admin, "/metrics").await;
        let failures = format!("gluehook_rulebook_reload_failures_total {}", number + 1);
        assert!(metrics.contains("gluehook_rulebook_ok 0") && metrics.contains(&failures), "{metrics}");
        let ready = told(&admin, "/readyz").await;
        assert!(ready.contains(says) && ready.contains("the old rules stay in force"), "{ready}");
        let (code, said, _) = stage.gluehook(&["doctor", "--offline"]).await;
        // A file without rules is a rulebook to whoever starts with it; only a running worker takes it for a mistake.
        let is_empty = text.is_some_and(|text| text.trim().is_empty());
        assert!(is_empty || (code == 1 && said.contains(says)), "{said}");
        let id = stage.post(&of_tenant("a", &(number + 1).to_string())).await;
        assert_eq!(stage.settled(&id, Outcome::Done).await.row.rulebook, version);
    }

    file(&stage, "rules.toml", &format!("{}\n# mended\n", shipped()));
    stage.worker().line("is in force").await;
    let metrics = told(&admin, "/metrics").await;
    assert!(metrics.contains("gluehook_rulebook_ok 1"), "{metrics}");
    assert!(metrics.contains("gluehook_rulebook_reload_failures_total 4"), "{metrics}");
    assert!(!told(&admin, "/readyz").await.contains("the old rules stay in force"));
    let (_, said, _) = stage.gluehook(&["doctor", "--offline"]).await;
    assert!(!said.contains("rules.toml is") && !said.contains("can't be read"), "{said}");
    let id = stage.post(&of_tenant("a", "mended")).await;
    let mended = stage.settled(&id, Outcome::Done).await.row.rulebook;
    assert!(mended.is_some() && mended != version, "each decision carries the version that made it");
}

#[tokio::test]
async fn a_bad_rulebook_is_told_everywhere_and_changes_nothing_until_it_is_mended() {
    a_bad_file_changes_nothing_until_it_is_mended(false).await;
}

#[tokio::test]
async fn a_bad_rulebook_is_told_everywhere_and_changes_nothing_until_it_is_mended_in_postgres() {
    a_bad_file_changes_nothing_until_it_is_mended(true).await;
}
