//! Building a world from the configuration.

use std::cell::RefCell;

use super::*;

fn problems(config: &Config, dir: &Path) -> Vec<String> {
    World::build(config, dir, &secret).expect_err("something is wrong")
}

#[test]
fn everything_wrong_is_told_at_once_and_by_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("broken.json"), "{").unwrap();
    std::fs::write(dir.path().join("odd.json"), r#"{"type": 5}"#).unwrap();
    let config = Config::parse(
        r#"
        [[hotglue.environment]]
        env_id = "a"
        api_key = "env:MISSING"
        [[hotglue.flow]]
        flow_id = "f1"
        config_schema = "none.json"
        [[hotglue.flow]]
        flow_id = "f2"
        config_schema = "broken.json"
        [hotglue.defaults]
        config_schema = "odd.json"
        [slack]
        webhook_url = "env:NONE"
        "#,
    )
    .unwrap();
    let found = problems(&config, dir.path());
    let begins = [
        "the api_key of hotglue environment `a`: there is no",
        "the webhook_url of [slack]: there is no",
        "flow `f1`: config_schema none.json: it can't be read",
        "flow `f2`: config_schema broken.json: it is not JSON",
        "[hotglue.defaults]: config_schema odd.json: it is not a JSON Schema",
    ];
    assert_eq!(found.len(), begins.len(), "{found:?}");
    for (found, begin) in found.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}");
    }
}

#[test]
fn only_the_secrets_needed_are_asked_for() {
    let asked = RefCell::new(Vec::new());
    let config = config("http://127.0.0.1:9", "http://127.0.0.1:9/api", "");
    let resolve = |reference: &SecretRef| {
        asked.borrow_mut().push(format!("{reference:?}"));
        secret(reference)
    };
    World::build(&config, Path::new(""), &resolve).unwrap();
    assert_eq!(*asked.borrow(), [r#"Env("API_KEY")"#, r#"Env("TOKEN")"#]);
}

#[test]
fn a_secret_that_no_header_can_carry_is_refused_without_repeating_it() {
    let config = config("http://127.0.0.1:9", "http://127.0.0.1:9", "");
    let found = World::build(&config, Path::new(""), &|_| Ok("hush\nhush".into())).unwrap_err();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|problem| problem.contains("no header can carry") && !problem.contains("hush")));
}

#[test]
fn https_takes_the_roots_of_this_machine() {
    let config = Config::parse("[[hotglue.environment]]\nenv_id = \"x\"\napi_key = \"env:API_KEY\"").unwrap();
    World::build(&config, Path::new(""), &secret).expect("a client for https://api.hotglue.com");
}
