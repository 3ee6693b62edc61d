use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "test-key";
const ENV: &str = "dev.hotglue.com";
const FLOW: &str = "JClkCC05S";
const SCHEDULE: &str = "dev.hotglue.com/JClkCC05S/1414_1/jobs/schedule";
const JOBS: &str = "dev.hotglue.com/JClkCC05S/1414_1/jobs";
const TARGETS: &str = "dev.hotglue.com/JClkCC05S/1414_1/linkedTargets";
const SOURCES: &str = "dev.hotglue.com/JClkCC05S/1414_1/linkedSources";
const STATE: &str = "dev.hotglue.com/JClkCC05S/1414_1/linkedSources/state";
const CONFIG: &str = "tenant/dev.hotglue.com/1414_1/config";

struct Lab {
    hotglue: Hotglue,
    tenant: TenantHandle,
    server: Server,
    client: Client,
}

impl Lab {
    async fn new() -> Self {
        Self::of(Hotglue::new(KEY)).await
    }

    async fn of(hotglue: Hotglue) -> Self {
        let server = hotglue.start().await;
        Self { tenant: hotglue.tenant(ENV, FLOW, "1414_1"), hotglue, server, client: http::testing::client() }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        self.client.request(method, format!("{}/{path}", self.server.url())).header("x-api-key", KEY)
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let response = self.request(method, path).json(&body).send().await.unwrap();
        read(response).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request("GET", path).send().await.unwrap()).await
    }
}

async fn read(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn on(expression: &str) -> Value {
    json!({"schedule_expression": expression, "state": "ENABLED"})
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_refused_everywhere_and_changes_nothing() {
    let lab = Lab::new().await;
    let refused = json!({"Code": "UnauthorizedError", "Message": "Invalid x-api-key"});
    for (method, path) in [("GET", "tenants/dev.hotglue.com"), ("PUT", SCHEDULE), ("GET", "nowhere")] {
        let url = format!("{}/{path}", lab.server.url());
        let response = lab.client.request(method.parse().unwrap(), url).send().await.unwrap();
        assert_eq!(read(response).await, (401, refused.clone()), "{method} {path}");
    }
    let wrong = lab.client.get(format!("{}/{JOBS}", lab.server.url())).header("x-api-key", "other");
    lab.hotglue.bad_key_as_403(true);
    assert_eq!(read(wrong.send().await.unwrap()).await, (403, json!({"message": "Forbidden"})));
    assert!(lab.hotglue.effects().is_empty());
    assert_eq!(lab.hotglue.calls().len(), 4);
}

#[tokio::test]
async fn an_environment_can_have_its_own_key() {
    let lab = Lab::of(Hotglue::new(KEY).with_environment("other.env", "other-key")).await;
    assert_eq!(lab.get("tenants/other.env").await.0, 401);
    let own =
        lab.client.get(format!("{}/tenants/other.env", lab.server.url())).header("x-api-key", "other-key");
    assert_eq!(own.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_unknown_tenant_answers_like_hotglue() {
    let lab = Lab::new().await;
    assert_eq!(
        lab.get(CONFIG).await,
        (404, json!({"Code": "NotFoundError", "Message": "no config for the tenant"}))
    );
    lab.hotglue.no_config_status(400);
    assert_eq!(
        lab.get(CONFIG).await,
        (400, json!({"Code": "BadRequestError", "Message": "no config for the tenant"}))
    );
    assert_eq!(lab.get(STATE).await.0, 404);
    for list in [SOURCES, TARGETS, JOBS, "tenants/dev.hotglue.com", "dev.hotglue.com/flows/supported"] {
        assert_eq!(lab.get(list).await, (200, json!([])), "{list}");
    }
    assert_eq!(lab.get("a/b/c/d/e").await.0, 404);
}

#[tokio::test]
async fn a_put_schedule_creates_the_tenant_and_keeps_scopes_apart() {
    let lab = Lab::new().await;
    assert_eq!(lab.send("PUT", SCHEDULE, on("cron(0 */4 * * *)")).await, (200, json!({})));
    let target =
        json!({"schedule_expression": "cron(30 1 * * *)", "state": "DISABLED", "connector_id": "optiply"});
    assert_eq!(lab.send("PUT", SCHEDULE, target.clone()).await.0, 200);

    let flow = lab.tenant.schedule(None).unwrap();
    assert_eq!(
        (flow.expression.as_str(), flow.is_on(), flow.changed_by),
        ("cron(0 */4 * * *)", true, Some(0))
    );
    assert!(!lab.tenant.schedule(Some("optiply")).unwrap().is_on());
    assert_eq!(lab.get(&format!("{SCHEDULE}?connector_id=optiply")).await, (200, target));
    lab.hotglue.schedules_readable(false);
    assert_eq!(lab.get(SCHEDULE).await.0, 404);
    assert_eq!(lab.get("tenants/dev.hotglue.com").await.1, json!(["1414_1"]));
    assert_eq!(
        lab.hotglue.effects()[0].to_string(),
        "JClkCC05S/1414_1: schedule of the flow is ENABLED, cron(0 */4 * * *)"
    );
}

#[tokio::test]
async fn a_schedule_without_expression_or_with_another_state_is_refused() {
    let lab = Lab::new().await;
    for bad in [
        json!({"state": "DISABLED"}),
        json!({"schedule_expression": null}),
        json!({"schedule_expression": "0 * * * *"}),
        json!({"schedule_expression": "cron(0 * * *)"}),
        json!({"schedule_expression": "cron(0 0 * * *)", "state": "disabled"}),
        json!({"schedule_expression": "cron(0 0 * * *)", "state": true}),
        json!({"schedule_expression": "cron(0 0 * * *)", "connector_id": 7}),
        json!([]),
    ] {
        let (status, body) = lab.send("PUT", SCHEDULE, bad.clone()).await;
        assert_eq!((status, &body["Code"]), (400, &json!("BadRequestError")), "{bad}");
        assert!(body["Message"].is_string());
    }
    assert!(lab.tenant.schedules().is_empty() && lab.hotglue.effects().is_empty());
}

#[tokio::test]
async fn a_started_job_has_the_documented_fields_and_can_be_found_again() {
    let lab = Lab::new().await;
    let (status, job) = lab.send("POST", JOBS, json!({"tap": "salesforce", "job_name": "wh-1"})).await;
    assert_eq!(status, 200);
    let documented = [
        "env_id",
        "flow_id",
        "job_id",
        "job_name",
        "last_updated",
        "message",
        "processed_rows",
        "s3_root",
        "scheduled_job",
        "start_time",
        "started_by",
        "state",
        "status",
        "tap",
        "tenant",
    ];
    assert_eq!(job.as_object().unwrap().keys().collect::<Vec<_>>(), documented);
    assert_eq!((&job["job_id"], &job["status"]), (&json!("J0001"), &json!("JOB_CREATED")));

    let unnamed = lab.request("POST", JOBS).send().await.unwrap();
    assert_eq!(read(unnamed).await.1["job_id"], "J0002");
    assert_eq!(lab.tenant.job_names()[0], "wh-1");
    assert!(lab.tenant.job_became("J0002", "SYNC_FAILED") && !lab.tenant.job_became("J9", "SYNC_FAILED"));
    let newest = lab.get(&format!("{JOBS}?count=1")).await.1;
    assert_eq!((newest.as_array().unwrap().len(), &newest[0]["status"]), (1, &json!("SYNC_FAILED")));

    let root = job["s3_root"].as_str().unwrap();
    let found =
        lab.request("GET", &format!("{JOBS}/status")).query(&[("job_root", root)]).send().await.unwrap();
    let found = read(found).await.1;
    assert_eq!((&found["job_id"], &found["flow"]), (&json!("J0001"), &json!(FLOW)));
    assert_eq!(lab.get(&format!("{JOBS}/status?job_root=nothing")).await.0, 404);
    assert_eq!(lab.get(&format!("{JOBS}/status")).await.0, 400);
}

#[tokio::test]
async fn linking_a_target_shows_it_and_can_set_its_schedule() {
    let lab = Lab::new().await;
    let asked =
        json!({"target": {"target": "optiply", "config": {"k": "v"}}, "schedule": on("cron(30 1 * * *)")});
    assert_eq!(lab.send("POST", TARGETS, asked.clone()).await, (200, json!({})));
    assert_eq!(lab.send("POST", TARGETS, json!({"target": "optiply"})).await.0, 400);
    lab.send("POST", TARGETS, asked).await;

    assert_eq!(lab.tenant.targets(), ["optiply"]);
    assert!(lab.tenant.schedule(Some("optiply")).unwrap().is_on());
    let listed = lab.get(TARGETS).await.1;
    assert_eq!((&listed[0]["target"], &listed[0]["config"]), (&json!("optiply"), &Value::Null));
    let links: Vec<bool> = lab
        .hotglue
        .effects()
        .into_iter()
        .filter_map(|effect| match effect.change {
            Change::TargetLinked { again, .. } => Some(again),
            _ => None,
        })
        .collect();
    assert_eq!(links, [false, true]);
}

#[tokio::test]
async fn configs_of_sources_are_shown_only_when_asked_for() {
    let lab = Lab::new().await;
    lab.tenant.clone().with_source("salesforce");
    let plain = lab.get(SOURCES).await.1;
    assert_eq!((&plain[0]["tap"], plain[0].get("config")), (&json!("salesforce"), None));
    assert!(lab.get(&format!("{SOURCES}?config=true")).await.1[0]["config"].is_object());
}

#[tokio::test]
async fn config_is_one_for_all_flows_and_can_be_written() {
    let lab = Lab::new().await;
    lab.hotglue.tenant(ENV, "other", "1414_1").with_config(json!({"a": 1}));
    assert_eq!(lab.get(CONFIG).await, (200, json!({"a": 1})));
    lab.send("PATCH", CONFIG, json!({"b": 2})).await;
    assert_eq!(lab.tenant.config(), Some(json!({"a": 1, "b": 2})));
    lab.send("PUT", CONFIG, json!({"c": 3})).await;
    assert_eq!(lab.get(CONFIG).await.1, json!({"c": 3}));
    lab.tenant.clone().without_config();
    assert_eq!(lab.get(CONFIG).await.0, 404);
}

#[tokio::test]
async fn null_state_comes_in_every_form() {
    let lab = Lab::new().await;
    lab.tenant.clone().with_null_state();
    let mut answers = Vec::new();
    for form in NullState::ALL {
        lab.hotglue.null_state_as(form);
        let (status, body) = lab.get(STATE).await;
        answers.push((status, if status == 200 { body } else { Value::Null }));
    }
    let expected = [
        (404, Value::Null),
        (400, Value::Null),
        (200, json!("")),
        (200, Value::Null),
        (200, json!({})),
        (200, json!({"bookmarks": {}})),
        (200, json!({"state": null})),
    ];
    assert_eq!(answers, expected);
    lab.tenant.clone().with_state(json!({"bookmarks": {"a": 1}}));
    assert_eq!(lab.get(STATE).await, (200, json!({"bookmarks": {"a": 1}})));
}

#[tokio::test]
async fn path_segments_are_decoded_after_they_are_split() {
    let lab = Lab::new().await;
    let path = "dev.hotglue.com/JClkCC05S/a.b%20%2A%3E%2Fc%C3%A9/jobs/schedule";
    assert_eq!(lab.send("PUT", path, on("cron(0 0 * * *)")).await.0, 200);
    assert!(lab.hotglue.tenant(ENV, FLOW, "a.b *>/cé").schedule(None).is_some());
    assert_eq!(lab.hotglue.calls()[0].path, format!("/{path}"));
}

#[tokio::test]
async fn the_page_for_people_shows_the_model_without_a_key() {
    let lab = Lab::of(Hotglue::demo(KEY)).await;
    let url = format!("{}/_sandbox/hotglue", lab.server.url());
    let page = read(lab.client.get(url).send().await.unwrap()).await.1;
    let tenant =
        page["tenants"].as_array().unwrap().iter().find(|tenant| tenant["tenant"] == "1414_1").unwrap();
    assert_eq!(tenant["linked_sources"], json!(["salesforce"]));
    assert_eq!((&tenant["state"], &tenant["linked_targets"]), (&Value::Null, &json!([])));
    assert_eq!(tenant["schedules"][0]["schedule"]["state"], "DISABLED");
    assert!(!page.to_string().contains(KEY));
    assert!(lab.hotglue.calls().is_empty(), "looking is no call");
    let flows = lab.get("dev.hotglue.com/flows/supported").await.1;
    assert_eq!(flows[0]["targets"], json!(["optiply"]));
}

#[tokio::test]
async fn faults_of_status_have_no_effect_and_hit_only_whom_they_match() {
    let lab = Lab::new().await;
    lab.hotglue.next_on("put", "/jobs/schedule", Fault::locked());
    lab.hotglue.next_on("PUT", "/jobs/schedule", Fault::html_502());
    assert_eq!(lab.get(JOBS).await.0, 200);
    assert_eq!(lab.hotglue.faults_waiting(), 2);
    assert_eq!(lab.send("PUT", SCHEDULE, on("cron(0 0 * * *)")).await, (423, json!("Locked")));
    let response = lab.request("PUT", SCHEDULE).json(&on("cron(0 0 * * *)")).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (502, &"text/html".parse().unwrap())
    );
    assert!(lab.hotglue.effects().is_empty());
    assert_eq!(lab.send("PUT", SCHEDULE, on("cron(0 0 * * *)")).await.0, 200);
    assert_eq!(lab.hotglue.effects()[0].at_order, 3);
    let statuses: Vec<_> = lab.hotglue.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Some(200), Some(423), Some(502), Some(200)]);
}

#[tokio::test]
async fn too_many_requests_carries_retry_after_only_when_told() {
    let lab = Lab::new().await;
    for retry_after in [Some(7), None] {
        lab.hotglue.next(Fault::too_many_requests(retry_after));
        let response = lab.request("GET", JOBS).send().await.unwrap();
        assert_eq!(response.status(), 429);
        let header = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header, retry_after.map(|seconds: u64| seconds.to_string()));
    }
}

#[tokio::test]
async fn cut_before_leaves_nothing_and_cut_after_leaves_the_job() {
    let lab = Lab::new().await;
    lab.hotglue.next(Fault::CutBefore);
    lab.hotglue.next(Fault::CutAfter);
    for started in [0, 1] {
        let failed = lab.request("POST", JOBS).json(&json!({"job_name": "n"})).send().await;
        assert!(failed.unwrap_err().status().is_none());
        assert_eq!(lab.tenant.jobs().len(), started);
    }
    assert_eq!(lab.send("POST", JOBS, json!({})).await.0, 200);
    let statuses: Vec<_> = lab.hotglue.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [None, None, Some(200)]);
}

#[tokio::test]
async fn a_call_that_hangs_is_seen_has_no_effect_and_gets_no_answer() {
    let lab = Lab::new().await;
    lab.hotglue.next(Fault::Hang(Duration::from_millis(50)));
    let failed = lab.request("POST", JOBS).json(&json!({"job_name": "n"})).send().await;
    assert!(failed.unwrap_err().status().is_none());
    assert_eq!((lab.tenant.jobs().len(), lab.hotglue.calls().len()), (0, 1));
}

#[tokio::test]
async fn answers_that_say_too_little_still_take_effect() {
    let lab = Lab::new().await;
    lab.hotglue.next(Fault::EmptyBody(200));
    lab.hotglue.next(Fault::JobIdOnly);
    lab.hotglue.next(Fault::gateway_504_after());
    assert_eq!(lab.send("POST", JOBS, json!({})).await, (200, json!("")));
    assert_eq!(lab.send("POST", JOBS, json!({})).await, (200, json!({"job_id": "J0002"})));
    assert_eq!(lab.send("POST", JOBS, json!({})).await.0, 504);
    assert_eq!(lab.tenant.jobs().len(), 3);
}

#[tokio::test]
async fn a_slow_answer_comes_late_and_its_effect_at_once() {
    let lab = Lab::new().await;
    lab.hotglue.next(Fault::Delay(Duration::from_secs(600)));
    let started = lab.hotglue.until(Duration::from_secs(10), |hotglue| hotglue.effects().len() == 1);
    tokio::select! {
        _ = lab.send("POST", JOBS, json!({})) => panic!("answered without the delay"),
        seen = started => assert!(seen),
    }

    lab.hotglue.next(Fault::Delay(Duration::from_millis(50)));
    let began = Instant::now();
    assert_eq!(lab.send("POST", JOBS, json!({})).await.0, 200);
    assert!(began.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn every_third_call_fails_until_faults_are_cleared() {
    let lab = Lab::new().await;
    lab.hotglue.every(3, Fault::text_500());
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(lab.get(JOBS).await.0);
    }
    assert_eq!(statuses, [200, 200, 500, 200, 200, 500]);
    lab.hotglue.every_on(1, "GET", "/jobs", Fault::forbidden());
    assert_eq!(lab.get(JOBS).await.0, 403);
    lab.hotglue.clear_faults();
    assert_eq!(lab.get(JOBS).await.0, 200);
}

#[tokio::test]
async fn a_stopped_double_comes_back_on_its_port_with_its_memory() {
    let lab = Lab::new().await;
    lab.send("PUT", SCHEDULE, on("cron(0 0 * * *)")).await;
    let Lab { hotglue, tenant, server, client } = lab;
    let (url, address) = (server.url(), server.address());
    server.stop().await;
    assert!(client.get(&url).send().await.unwrap_err().is_connect());
    let again = hotglue.serve(TcpListener::bind(address).await.unwrap());
    assert_eq!(again.url(), url);
    assert!(client.get(format!("{url}/tenants/{ENV}")).header("x-api-key", KEY).send().await.is_ok());
    assert!(tenant.schedule(None).is_some());
}

#[tokio::test]
async fn until_sees_a_call_that_comes_later_and_gives_up_in_time() {
    let lab = Lab::new().await;
    assert!(!lab.hotglue.until(Duration::from_millis(20), |hotglue| !hotglue.effects().is_empty()).await);
    let limit = Duration::from_secs(10);
    let waiting = lab.hotglue.until(limit, |hotglue| hotglue.effects().len() == 1);
    let (seen, _) = tokio::join!(waiting, lab.send("POST", JOBS, json!({})));
    assert!(seen);
}
