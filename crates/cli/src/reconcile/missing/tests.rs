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

fn found(jobs: Vec<Value>, received: &Received) -> Found {
    find(&door(), &place(), jobs, received, (at(SINCE), at(UNTIL)), at("2026-03-02T12:10:00Z"))
}

fn missing(found: &Found) -> Vec<&str> {
    found.missing.iter().map(|one| one.event.job_id.as_str()).collect()
}

#[test]
fn only_jobs_that_ended_in_the_time_are_missed() {
    let found = found(
        vec![
            job("late", "JOB_COMPLETED", UNTIL),
            job("good", "JOB_COMPLETED", "2026-03-02T11:00:00Z"),
            job("good", "JOB_COMPLETED", "2026-03-02T11:00:01Z"),
            job("bad", "EXPORT_FAILED", SINCE),
            job("running", "SYNC_STARTED", "2026-03-02T11:00:00Z"),
            job("old", "JOB_COMPLETED", "2026-03-01T23:59:59Z"),
            job("", "JOB_COMPLETED", "2026-03-02T11:00:00Z"),
            json!("no job"),
        ],
        &Received::default(),
    );
    assert_eq!(missing(&found), ["good", "bad"]);
    assert_eq!((found.ended, found.undated, found.reaches_back), (2, 0, true));
}

#[test]
fn a_job_whose_end_was_received_is_not_missed_but_one_of_which_only_the_start_was_is() {
    let jobs = || vec![job("a", "JOB_COMPLETED", "2026-03-02T11:00:00Z")];
    let mut received = Received::default();
    let mut event = found(jobs(), &received).missing.remove(0).event;
    // Documented samples leave the environment empty.
    event.env_id.clear();
    for (status, completed) in [("SYNC_STARTED", false), ("JOB_COMPLETED", true)] {
        assert_eq!(missing(&found(jobs(), &received)), ["a"], "before {status}");
        received.take(&Event { status: status.to_owned(), completed, ..event.clone() });
    }
    assert!(missing(&found(jobs(), &received)).is_empty());
    // Job ids are short: another tenant's is another job.
    let other = Place { tenant: "98_1".to_owned(), ..place() };
    let of_other =
        find(&door(), &other, jobs(), &received, (at(SINCE), at(UNTIL)), at("2026-03-02T12:10:00Z"));
    assert_eq!(missing(&of_other), ["a"]);
}

#[test]
fn the_event_says_where_it_is_of_that_it_was_never_posted_and_has_the_same_id_each_time() {
    let once = || found(vec![job("a", "JOB_COMPLETED", "2026-03-02T11:00:00Z")], &Received::default());
    let (one, two) = (once(), once());
    let (one, two) = (&one.missing[0], &two.missing[0]);
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
    let found = found(vec![json!({"job_id": "a", "status": "JOB_COMPLETED"})], &Received::default());
    assert_eq!((missing(&found).len(), found.undated, found.reaches_back), (0, 1, false));
}

#[test]
fn a_failure_of_any_shape_keeps_its_error() {
    let mut failed = job("a", "SYNC_FAILED", "2026-03-02T11:00:00Z");
    failed["error"] = json!({"message": "401 Client Error"});
    let found = found(vec![failed], &Received::default());
    assert!(found.missing[0].event.error.contains("401 Client Error"));
}
