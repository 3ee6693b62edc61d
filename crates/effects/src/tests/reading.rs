//! What `observe` makes of hotglue's answers.

use domain::facts::{Fact, Need, Schedule};
use sandbox::hotglue::valid_config;
use sandbox::{Fault, NullState, ScheduleState};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_tenants_config_is_judged_and_never_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let schema = json!({"type": "object", "required": ["importCredentials"], "properties": {
        "importCredentials": {"type": "object", "required": ["password"]}}});
    std::fs::write(dir.path().join("tenant.json"), schema.to_string()).unwrap();
    let stage = Stage::new().await;
    let more = format!("[[hotglue.flow]]\nflow_id = \"{FLOW}\"\nconfig_schema = \"tenant.json\"");
    let config = config(&stage.servers.0.url(), &stage.servers.1.url(), &more);
    let world = World::build(&config, dir.path(), &secret).unwrap();

    let tenant = stage.tenant().with_config(valid_config());
    let problems =
        |problems: &[&str]| Fact::Config { problems: problems.iter().map(ToString::to_string).collect() };
    assert_eq!(world.observe(&place(), &Need::Config).await, Ok(problems(&[])));
    let tenant = tenant.with_config(json!({"importCredentials": {"username": "jo"}}));
    let missing = problems(&["/importCredentials/password is missing"]);
    assert_eq!(world.observe(&place(), &Need::Config).await, Ok(missing));
    tenant.without_config();
    for status in [404, 400] {
        stage.hotglue.no_config_status(status);
        let none = problems(&["there is no config for the tenant"]);
        assert_eq!(world.observe(&place(), &Need::Config).await, Ok(none), "{status}");
    }
    stage.hotglue.next(Fault::EmptyBody(200));
    assert_eq!(
        world.observe(&place(), &Need::Config).await,
        Ok(problems(&["there is no config for the tenant"]))
    );
    stage.hotglue.next(Fault::lower_case_400("this tenant is odd"));
    let why = permanent(world.observe(&place(), &Need::Config).await);
    assert!(why.ends_with("400: BadRequestError: this tenant is odd"), "{why}");
}

#[tokio::test]
async fn every_form_of_a_null_state_is_null() {
    let stage = Stage::new().await;
    let tenant = stage.tenant().with_null_state();
    for form in NullState::ALL {
        stage.hotglue.null_state_as(form);
        let fact = stage.world.observe(&place(), &Need::State).await;
        assert_eq!(fact, Ok(Fact::State { is_null: true }), "{form:?}");
    }
    tenant.with_state(json!({"bookmarks": {"Items": {"replication_key_value": "2024"}}}));
    let fact = stage.world.observe(&place(), &Need::State).await;
    assert_eq!(fact, Ok(Fact::State { is_null: false }));
}

#[tokio::test]
async fn links_and_schedules_are_read() {
    let stage = Stage::new().await;
    let ask = async |need| stage.world.observe(&place(), &need).await.unwrap();
    assert_eq!(ask(Need::LinkedSources).await, Fact::LinkedSources(vec![]));
    assert_eq!(ask(Need::Schedule).await, Fact::Schedule(None));
    stage
        .tenant()
        .with_source("exact")
        .with_source("quickbooks:sandbox")
        .with_target("optiply")
        .with_schedule(None, CRON, ScheduleState::Disabled);
    let sources = vec!["exact".to_owned(), "quickbooks:sandbox".to_owned()];
    assert_eq!(ask(Need::LinkedSources).await, Fact::LinkedSources(sources));
    assert_eq!(ask(Need::LinkedTargets).await, Fact::LinkedTargets(vec!["optiply".to_owned()]));
    let schedule = Schedule { expression: CRON.into(), state: "DISABLED".into() };
    assert_eq!(ask(Need::Schedule).await, Fact::Schedule(Some(schedule)));
    for (status, body) in [
        (404, r#"{"message":"Not Found"}"#),
        (405, ""),
        (403, r#"{"message":"Missing Authentication Token"}"#),
    ] {
        stage.hotglue.next(Fault::Status(status, body.into()));
        assert_eq!(ask(Need::Schedule).await, Fact::Schedule(None), "{status}");
    }
    for status in [400, 404] {
        stage.hotglue.next_on("GET", "/linkedTargets", Fault::Status(status, String::new()));
        assert_eq!(ask(Need::LinkedTargets).await, Fact::LinkedTargets(vec![]), "{status}");
        stage.hotglue.next_on("GET", "/linkedSources", Fault::Status(status, String::new()));
        assert_eq!(ask(Need::LinkedSources).await, Fact::LinkedSources(vec![]), "{status}");
    }
}

#[tokio::test]
async fn the_schedule_asked_for_is_that_of_the_flows_scope() {
    let more = format!("[[hotglue.flow]]\nflow_id = \"{FLOW}\"\nschedule_connector_id = \"exact\"");
    let stage = Stage::with(&more).await;
    stage.tenant().with_schedule(None, "cron(1 1 1 1 1)", ScheduleState::Enabled).with_schedule(
        Some("exact"),
        CRON,
        ScheduleState::Enabled,
    );
    let schedule = Schedule { expression: CRON.into(), state: "ENABLED".into() };
    let fact = stage.world.observe(&place(), &Need::Schedule).await;
    assert_eq!(fact, Ok(Fact::Schedule(Some(schedule))));
}

#[tokio::test]
async fn an_answer_that_is_not_what_it_should_be_is_no_fact() {
    let stage = Stage::new().await;
    for need in [Need::Config, Need::State, Need::LinkedSources, Need::LinkedTargets, Need::Schedule] {
        stage.hotglue.next(Fault::Status(200, "<html>maintenance</html>".into()));
        let result = stage.world.observe(&place(), &need).await;
        assert!(
            matches!(result, Err(EffectError::Transient { uncertain: false, .. })),
            "{need:?}: {result:?}"
        );
    }
    let why = permanent(stage.world.observe(&place(), &Need::LastValue { rule: "r".into() }).await);
    assert!(why.contains("bug"), "{why}");
}

#[tokio::test]
async fn the_environment_is_the_one_configured() {
    let stage = Stage::new().await;
    stage.tenant().with_source("exact");
    let nameless = Place { env_id: String::new(), ..place() };
    let fact = stage.world.observe(&nameless, &Need::LinkedSources).await;
    assert_eq!(fact, Ok(Fact::LinkedSources(vec!["exact".to_owned()])));
    assert_eq!(stage.hotglue.calls()[0].path, format!("/{ENV}/{FLOW}/{TENANT}/linkedSources"));
    let foreign = Place { env_id: "prod.hotglue.com".into(), ..place() };
    let why = permanent(stage.world.observe(&foreign, &Need::State).await);
    assert_eq!(why, "no [[hotglue.environment]] has env_id `prod.hotglue.com`: add it to gluehook.toml");
}

#[tokio::test]
async fn doctor_learns_whether_keys_are_taken() {
    let stage = Stage::new().await;
    stage.tenant().with_source("exact");
    let checks = stage.world.check().await;
    let found: Vec<_> = checks.iter().map(|check| (check.name.as_str(), check.result.as_deref())).collect();
    assert_eq!(found[0], ("hotglue environment dev.hotglue.com", Ok("reachable, key accepted, 1 tenant")));
    assert_eq!(found[1], ("Slack", Ok("token accepted, gluehook in sandbox")));
    stage.hotglue.next(Fault::forbidden());
    stage.slack.next(Fault::slack_error("token_revoked"));
    let checks = stage.world.check().await;
    let why = |i: usize| checks[i].result.clone().unwrap_err();
    assert!(why(0).starts_with("hotglue refuses the API key of environment `dev.hotglue.com`"), "{}", why(0));
    assert!(why(1).starts_with("Slack answers token_revoked: the token is not valid"), "{}", why(1));
}
