//! What of a backtest needs a person, and what is shown while the file of today is broken.

use super::*;

#[tokio::test]
async fn what_a_rulebook_cannot_evaluate_is_named_with_line_events_and_sentence_and_fails_the_backtest() {
    let setting = Setting { rules: Some(format!("{}{}", shipped(), TOLD)), ..Setting::default() };
    let stage = Stage::with(setting).await;
    let mut ids = Vec::new();
    for tenant in ["a", "b"] {
        let id = stage.post(&of_tenant(tenant, "boom")).await;
        stage.settled(&id, Outcome::Done).await;
        ids.push(id);
    }
    let new = TOLD.replace("\"event.failed\"]", "\"event.failed\",\n  \"payload.nope > 3\"]");
    let new = file(&stage, "new.toml", &format!("{}{new}", shipped()));
    let found = json_of(&stage, 1, &["rules", "backtest", &new]).await;
    let error = &found["errors"][0];
    assert_eq!(
        (&error["of"], &error["rule"], &error["line"]),
        (&json!("new"), &json!("told"), &json!(2)),
        "{found}"
    );
    assert_eq!((&error["events"], &error["examples"]), (&json!(2), &json!(ids)), "{error}");
    assert_eq!((&error["when"], &error["at"]["column"]), (&json!("payload.nope > 3"), &json!(3)), "{error}");
    assert!(error["why"].as_str().is_some_and(|why| why.contains("something that is not there")), "{error}");
    assert_eq!(found["findings"], json!(["differences", "errors"]));
    let (code, said, _) = stage.gluehook(&["rules", "backtest", &new, "--allow", "differences"]).await;
    assert_eq!(code, 1, "{said}");
    let line = said.lines().find(|line| line.starts_with("error: ")).expect("told");
    for part in [
        "can't evaluate told, line 2 of `when` `payload.nope > 3` (",
        "new.toml:",
        ":3) for 2 events: ",
        &ids[0][..12],
    ] {
        assert!(line.contains(part), "{part:?} is missing: {line}");
    }
    assert!(said.contains("exit code 1, for: errors"), "{said}");
    json_of(&stage, 0, &["rules", "backtest", &new, "--allow=differences,errors"]).await;

    // What only the other one can't is told, and fails nothing by itself.
    let same = file(&stage, "same.toml", &format!("{}{}", shipped(), TOLD));
    let found = json_of(&stage, 1, &["rules", "backtest", &same, "--against", &new]).await;
    assert_eq!(
        (&found["errors"][0]["of"], &found["findings"]),
        (&json!("old"), &json!(["differences"])),
        "{found}"
    );
    // Nor is a day without events taken for one in which nothing differs.
    let (code, said, _) = stage.gluehook(&["rules", "backtest", &new, "--until", "2001-01-01"]).await;
    assert!(code == 0 && said.contains("nothing was tried"), "{said}");
}

#[tokio::test]
async fn what_is_stored_is_explained_and_exported_also_while_the_file_of_today_is_broken() {
    let stage = Stage::start().await;
    stage.hotglue.tenant(ENV, FLOW, "1414_1").with_config(sandbox::hotglue::valid_config());
    let id = stage.post(&webhook::exact_401_job()).await;
    let version = stage.settled(&id, Outcome::Done).await.row.rulebook.expect("decided");
    let good = json_of(&stage, 0, &["explain", &id]).await;
    let exported = stage.gluehook(&["events", "export", &id]).await.1;
    let broken = file(&stage, "broken.toml", "[[rule]]\nnam = \"x\"\n");
    let rules = format!("--rules={broken}");
    let (code, said, errors) = stage.gluehook(&["explain", &id, &rules]).await;
    assert!(code == 0 && said.contains(&version), "{said}{errors}");
    let note = said.lines().find(|line| line.contains("the rules of today can't be read")).expect("said");
    assert!(note.contains("broken.toml: line "), "{note}");
    assert!(
        said.contains("Matched: exact-unauthorized\nKept silent: job-failed (exact-unauthorized tells it)"),
        "{said}"
    );
    let found = json_of(&stage, 0, &["explain", &id, &rules]).await;
    assert_eq!((&found["rules"], &found["current_rulebook"]), (&good["rules"], &Value::Null));
    let (code, text, errors) = stage.gluehook(&["events", "export", &id, &rules]).await;
    assert!(code == 0 && errors.contains("the rules of today can't be read"), "{errors}");
    assert_eq!(text, exported);
    for args in [["explain", &id, "--current", &rules].as_slice(), &["explain", "--payload", &broken, &rules]]
    {
        let (code, _, errors) = stage.gluehook(args).await;
        assert!(code == 2 && errors.contains("broken.toml: line "), "{args:?}: {errors}");
    }
}
