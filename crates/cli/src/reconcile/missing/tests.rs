use serde_json::json;

use super::*;

const SINCE: &str = "2026-03-02T00:00:00Z";
const UNTIL: &str = "2026-03-02T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn door() -> Door {
    Door {
        endpoint: "hotglue".to_owned(),
        proof: Proof::hotglue(),
        secret: SecretString::from("secret".to_owned()),
    }
}

fn place() -> Place {
    Place { env_id: "dev".to_owned(), flow_id: "F".to_owned(), tenant: "1414_1".to_owned() }
}

fn job(id: &str, status: &str, last_updated: &str) -> Value {
    json!({"job_id": id, "status": status, "last_updated": last_updated, "tap": "exact"})
}

fn found(jobs: Vec<Value>) -> Found {
    find(&door(), &place(), jobs, (at(SINCE), at(UNTIL)), at("2026-03-02T12:10:00Z"))
}

fn ended(found: &Found) -> Vec<&str> {
    found.ended.iter().map(|one| one.event.job_id.as_str()).collect()
}

#[test]
fn only_jobs_that_ended_in_the_time_are_looked_for() {
    let found = found(vec![
        job("late", "JOB_COMPLETED", UNTIL),
        job("good", "JOB_COMPLETED", "2026-03-02T11:00:00Z"),
        job("good", "JOB_COMPLETED", "2026-03-02T11:00:01Z"),
        job("bad", "EXPORT_FAILED", SINCE),
        job("running", "SYNC_STARTED", "2026-03-02T11:00:00Z"),
        job("old", "JOB_COMPLETED", "2026-03-01T23:59:59Z"),
        job("", "JOB_COMPLETED", "2026-03-02T11:00:00Z"),
        json!("no job"),
    ]);
    assert_eq!(ended(&found), ["good", "bad"]);
    assert_eq!((found.undated, found.reaches_back), (0, true));
}

#[test]
fn an_end_is_the_same_in_whichever_words_it_failed_and_another_of_another_tenant() {
    let one = found(vec![job("a", "SYNC_FAILED", "2026-03-02T11:00:00Z")]).ended.remove(0).event;
    let told = |change: fn(&mut Value)| {
        let mut sent =
            json!({"job_id": "a", "status": "SYNC_FAILED", "flow_id": "F", "tenant": "1414_1", "env_id": ""});
        change(&mut sent);
        end_in("hotglue", &Bytes::from(sent.to_string()))
    };
    assert_eq!(end(&one), told(|_| {}));
    assert_eq!(end(&one), told(|sent| sent["status"] = json!("JOB_FAILED")));
    assert_ne!(end(&one), told(|sent| sent["status"] = json!("JOB_COMPLETED")));
    assert_ne!(end(&one), told(|sent| sent["tenant"] = json!("98_1")));
    assert_eq!(told(|sent| sent["status"] = json!("SYNC_STARTED")), None);
    assert_eq!(end_in("hotglue", &Bytes::from_static(b"not json")), None);
}

#[test]
fn the_event_says_where_it_is_of_that_it_was_never_posted_and_has_the_same_id_each_time() {
    let once = || found(vec![job("a", "JOB_COMPLETED", "2026-03-02T11:00:00Z")]);
    let (one, two) = (once(), once());
    let (one, two) = (&one.ended[0], &two.ended[0]);
    assert_eq!(one.envelope.id, two.envelope.id);
    assert_eq!(one.envelope.subject, "hooks.hotglue.job.JOB_COMPLETED.1414_1");
    assert_eq!((one.event.flow_id.as_str(), one.event.env_id.as_str()), ("F", "dev"));
    assert_eq!(one.event.payload[MARK], json!(true));
    // It can be verified again, as what came in by the door can.
    let signature = one.envelope.headers.iter().find(|(name, _)| name == "x-hub-signature").unwrap();
    let secret = SecretSlice::from(b"secret".to_vec());
    assert!(verify(&Proof::hotglue(), &[secret], Some(signature.1.as_bytes()), &one.envelope.body).is_ok());
}

#[test]
fn a_job_without_a_time_is_counted_and_left_alone() {
    let found = found(vec![json!({"job_id": "a", "status": "JOB_COMPLETED"})]);
    assert_eq!((found.ended.len(), found.undated, found.reaches_back), (0, 1, false));
}

#[test]
fn a_failure_of_any_shape_keeps_its_error() {
    let mut failed = job("a", "SYNC_FAILED", "2026-03-02T11:00:00Z");
    failed["error"] = json!({"message": "401 Client Error"});
    let found = found(vec![failed]);
    assert!(found.ended[0].event.error.contains("401 Client Error"));
}

#[test]
fn a_job_of_another_tenant_in_the_list_is_nobodys() {
    let mut other = job("a", "JOB_COMPLETED", "2026-03-02T11:00:00Z");
    other["tenant"] = json!("98_1");
    let mut flow = job("b", "JOB_COMPLETED", "2026-03-02T11:00:00Z");
    flow["flow"] = json!("G");
    let mut own = job("c", "JOB_COMPLETED", "2026-03-02T11:00:00Z");
    own["tenant"] = json!("1414_1");
    own["flow"] = json!("F");
    own["env_id"] = json!("");
    let found = found(vec![other, flow, own]);
    assert_eq!((ended(&found), found.foreign), (vec!["c"], 2));
}
