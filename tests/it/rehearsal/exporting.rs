//! Scenarios from life that pass at once.

use super::*;

/// Exports an event into a folder of its own and plays it.
async fn passes(stage: &Stage, id: &str, more: &[&str]) -> String {
    let folder = stage.path(&format!("life-{id}"));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("life.toml");
    let output = format!("--output={}", path.display());
    let args = [&["events", "export", id, output.as_str(), "--force"], more].concat();
    let (code, said, errors) = stage.gluehook(&args).await;
    assert_eq!(code, 0, "{said}{errors}");
    let text = std::fs::read_to_string(&path).expect("written");
    let (code, said, errors) = stage.gluehook(&["rules", "test", folder.to_str().expect("UTF-8")]).await;
    assert!(code == 0 && said.contains("1 passed, 0 failed"), "{said}{errors}\n{text}");
    text
}

#[tokio::test]
async fn an_exported_event_passes_with_facts_in_shadow_and_when_it_is_held() {
    let rules = format!(
        "{}{}{}",
        shipped(),
        TOLD.replace("name = \"told\"", "name = \"told\"\nlimit = { tenants = 1, per = \"1h\" }"),
        TOLD.replace("name = \"told\"", "name = \"shy\"\nmode = \"shadow\"")
    );
    let stage = Stage::with(Setting { rules: Some(rules), ..Setting::default() }).await;
    stage.hotglue.tenant(ENV, FLOW, "1414_1").with_config(sandbox::hotglue::valid_config());
    let first = stage.post(&webhook::job(|_| {})).await;
    stage.settled(&first, Outcome::Done).await;
    let text = passes(&stage, &first, &["--redact"]).await;
    assert!(text.contains("linked_targets") && text.contains("first-sync-done: run_job"), "{text}");
    passes(&stage, &first, &[]).await;

    let failed = stage.post(&of_tenant("a", "x")).await;
    stage.settled(&failed, Outcome::Done).await;
    let held = stage.post(&of_tenant("b", "x")).await;
    stage.until(&held, "be decided", |record| !record.decisions.is_empty()).await;
    for id in [&failed, &held] {
        let text = passes(&stage, id, &["--redact"]).await;
        assert!(text.contains("\"shy\"") && text.contains("told: slack"), "{text}");
    }
}

#[tokio::test]
async fn an_export_writes_over_nothing_unasked_and_names_the_field_of_what_is_left() {
    let rules = TOLD.replace("\"event.failed\"", "\"event.failed\", \"'06-12345678' not in event.job_name\"");
    let stage = Stage::with(Setting { rules: Some(rules), ..Setting::default() }).await;
    let body = webhook::vary(&webhook::failed_job("x"), |job| {
        job["metrics"] = json!({ "note": "06-12345678", "started_at": 1_728_288_000_008_i64 });
    });
    let id = stage.post(&body).await;
    stage.settled(&id, Outcome::Done).await;
    let path = file(&stage, "kept.toml", "mine");
    let output = format!("--output={path}");
    let (code, _, errors) = stage.gluehook(&["events", "export", &id, "--redact", &output]).await;
    assert!(code == 1 && errors.contains("is there already") && errors.contains("--force"), "{errors}");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "mine");
    let (code, _, errors) = stage.gluehook(&["events", "export", &id, "--redact", &output, "--force"]).await;
    assert!(code == 0 && errors.contains("a telephone number in payload.metrics.note"), "{errors}");
    assert!(!errors.contains("card"), "a time in milliseconds is no card: {errors}");
    let text = std::fs::read_to_string(&path).expect("written");
    assert!(text.contains("1728288000008") && !text.contains("mine"), "{text}");
}
