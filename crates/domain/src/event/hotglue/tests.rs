use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::envelope::Source;
use crate::names::EventId;

fn envelope(body: &[u8]) -> Envelope {
    Envelope::unsealed_from_queue(
        EventId::from_text("id"),
        "hotglue".to_owned(),
        Source::Hotglue,
        "2026-01-01T00:00:00Z".parse().expect("a time"),
        String::new(),
        vec![],
        Bytes::copy_from_slice(body),
    )
}

pub(in crate::event) fn read(body: &[u8]) -> Event {
    let pointers: Vec<_> = DEFAULT_POINTERS.iter().map(ToString::to_string).collect();
    super::read(&envelope(body), &pointers).expect("readable")
}

const JOB_2024: &str = r#"{"job_id":"tVN_B","env_id":"dev.hotglue.com","flow_id":"JClkCC05S","job_name":"test_job:KWjsnRTyp","tenant":"1414_1","tap":"salesforce","target":"bigquery","connector_id":null,"job_type":null,"status":"JOB_COMPLETED","scheduled_job":true,"sync_type":"full_sync","override_source_config":null,"metrics":{"recordCount":{"Opportunity":21029}},"last_updated":"2024-10-07T07:50:28.076586+00:00","error":null,"status_timestamp":{"SYNC_STARTED":1728245795146}}"#;

#[test]
fn the_documented_job_of_2024_is_read() {
    let event = read(JOB_2024.as_bytes());
    assert_eq!((event.kind, event.status.as_str()), (Kind::Job, "JOB_COMPLETED"));
    assert!(event.completed && !event.failed);
    assert_eq!((event.tap.as_str(), event.target.as_str()), ("salesforce", "bigquery"));
    assert_eq!(
        (event.tenant.as_str(), event.sync_type.as_str(), event.error.as_str()),
        ("1414_1", "full_sync", "")
    );
    assert_eq!(event.occurred_at.to_string(), "2024-10-07T07:50:28.076586Z");
    assert!(event.failed_records.is_empty());
}

#[test]
fn the_documented_job_of_2020_is_read() {
    let event = read(br#"{"job_id":"16FzN","env_id":"","flow_id":"l8odS2mce","job_name":"test_job:kr8J8ks-u","tenant":"default","started_by":"default","s3_root":"default/flows/l8odS2mce/jobs/16FzN","start_time":"2020-12-30T20:29:21.614299+00:00","state":{},"tap":"quickbooks:sandbox","status":"JOB_COMPLETED","task_id":"dab7","last_updated":"2020-12-30T20:31:00.081282+00:00"}"#);
    assert!(event.completed);
    assert_eq!(
        (event.env_id.as_str(), event.tap.as_str(), event.sync_type.as_str()),
        ("", "quickbooks:sandbox", "")
    );
}

#[test]
fn the_documented_discover_is_read() {
    let event = read(br#"{"connector":"salesforce","env_id":"dev.hotglue.com","flow_id":"JClkCC05S","status":"DISCOVER_FAILED","tenant":"1414_1","timestamp":"2024-10-07T07:50:28.076586+00:00"}"#);
    assert_eq!((event.kind, event.connector.as_str(), event.failed), (Kind::Discover, "salesforce", true));
}

#[test]
fn the_documented_connection_is_read() {
    let body = br#"{"tenant":"1414_1","flow_id":"JClkCC05S","env_id":"dev.hotglue.com","connector":"tap","connector_type":"connector","event":"LINK","timestamp":"2024-10-07T07:50:28.076586+00:00","event_id":"a8edda26-62f5-4b33-9434-c31f21d34c6c","first_link":true}"#;
    let event = read(body);
    assert_eq!((event.kind, event.status.as_str(), event.first_link), (Kind::Connection, "LINK", Some(true)));
    assert_eq!((event.tap.as_str(), event.target.as_str()), ("tap", ""));
    assert_eq!(glance(body).event_id.as_deref(), Some("a8edda26-62f5-4b33-9434-c31f21d34c6c"));
}

#[test]
fn a_linked_target_is_not_taken_for_a_tap() {
    let event = read(
        br#"{"tenant":"t","connector":"exact","connector_type":"target","event":"LINK","event_id":"e"}"#,
    );
    assert_eq!((event.tap.as_str(), event.target.as_str(), event.connector.as_str()), ("", "exact", "exact"));
}

#[test]
fn an_unknown_status_is_kept_and_is_neither_success_nor_failure() {
    let event = read(br#"{"job_id":"a","status":"JOB_PAUSED","tenant":"t","brand_new":[1]}"#);
    assert_eq!(event.status, "JOB_PAUSED");
    assert!(!event.completed && !event.failed);
    assert_eq!(event.payload["brand_new"][0], 1);
}

#[test]
fn an_unknown_shape_is_kept() {
    for body in [&br#"{"hello":"world"}"#[..], b"[1,2]", b"null", b"\"text\""] {
        assert_eq!(read(body).kind, Kind::Unknown);
    }
}

#[test]
fn error_is_text_whatever_was_sent() {
    for (sent, text) in [
        (r#""error":"boom""#, "boom"),
        (r#""error":{"code":401,"why":"x"}"#, r#"{"code":401,"why":"x"}"#),
        (r#""error":["a","b"]"#, r#"["a","b"]"#),
        (r#""error":null,"message":"m""#, "m"),
        (r#""error":"boom","message":"why""#, "boom\nwhy"),
        (r#""error":"it went boom today","message":"boom""#, "it went boom today"),
        (r#""message":null"#, ""),
    ] {
        let body = format!(r#"{{"job_id":"a","status":"SYNC_FAILED",{sent}}}"#);
        assert_eq!(read(body.as_bytes()).error, text, "{sent}");
    }
}

#[test]
fn wrong_types_are_no_error() {
    let event = read(br#"{"job_id":17,"tenant":98,"status":"SYNC_FAILED","tap":["x"],"last_updated":"yesterday","first_link":"yes"}"#);
    assert_eq!((event.job_id.as_str(), event.tenant.as_str(), event.tap.as_str()), ("17", "98", ""));
    assert_eq!(event.occurred_at, event.received_at);
}

#[test]
fn a_time_without_offset_is_utc_and_numbers_are_milliseconds() {
    let at = |body: &str| read(body.as_bytes()).occurred_at.to_string();
    assert_eq!(
        at(r#"{"job_id":"a","status":"X","last_updated":"2024-10-07T07:50:28"}"#),
        "2024-10-07T07:50:28Z"
    );
    assert_eq!(
        at(r#"{"job_id":"a","status":"X","status_timestamp":{"X":1728245795146}}"#),
        "2024-10-06T20:16:35.146Z"
    );
}

#[test]
fn a_clock_far_ahead_does_not_make_an_event_the_newest_for_years() {
    let event = read(br#"{"job_id":"a","status":"JOB_COMPLETED","last_updated":"2099-01-01T00:00:00Z"}"#);
    assert_eq!(event.occurred_at.to_string(), "2026-01-01T00:05:00Z");
    let event = read(br#"{"job_id":"a","status":"JOB_COMPLETED","last_updated":1728245795}"#);
    assert_eq!(event.occurred_at.to_string(), "2024-10-06T20:16:35Z");
}

#[test]
fn secrets_are_gone_before_a_rule_can_read_them() {
    let event = read(br#"{"job_id":"a","status":"SYNC_FAILED","override_source_config":{"user":"u","nested":{"password":"hunter2hunter2"}},"error":"refresh_token: abcdef123456 refused"}"#);
    let all = format!("{}{}", event.error, event.payload);
    assert!(!all.contains("hunter2") && !all.contains("abcdef123456"), "{all}");
}

#[test]
fn bytes_that_are_no_utf8_do_not_hide_what_a_body_is() {
    let body = b"{\"job_id\":\"a\",\"status\":\"SYNC_FAILED\",\"tenant\":\"1\",\"error\":\"\xff\xfe\"}";
    let address = glance(body).address;
    assert_eq!(
        (address.kind, address.status.as_str(), address.tenant.as_str()),
        (Kind::Job, "SYNC_FAILED", "1")
    );
}

proptest! {
    #[test]
    fn the_door_and_the_worker_see_the_same_kind(
        job_id in proptest::option::of("[a-z]{0,3}"), event in proptest::option::of("LINK|UNLINK|"),
        connector in proptest::option::of("x"), status in proptest::option::of("DISCOVER_FAILED|JOB_COMPLETED|"),
        event_id in proptest::option::of("e1"), tenant in ".{0,8}",
    ) {
        let body = serde_json::json!({"job_id": job_id, "event": event, "connector": connector, "status": status,
            "event_id": event_id, "tenant": tenant});
        let body: Map<String, Value> = body.as_object().expect("object").iter()
            .filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
        let body = Value::Object(body).to_string();
        let event = read(body.as_bytes());
        let address = glance(body.as_bytes()).address;
        prop_assert_eq!((event.kind, &event.status, &event.tenant), (address.kind, &address.status, &address.tenant));
    }

    #[test]
    fn any_bytes_are_glanced_at_without_panic(bytes in any::<Vec<u8>>()) {
        let _ = glance(&bytes);
    }
}
