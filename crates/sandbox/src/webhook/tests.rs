use super::*;

/// The text behind [`FAILED_JOB`].
const LOST_CONNECTION: &str = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='example.my.salesforce.com', port=443): Read timed out.";

#[test]
fn signature_matches_the_reference_vector() {
    assert_eq!(DISCOVER.len(), 168);
    assert_eq!(sign_sha1_hex("hotglue-test-secret", DISCOVER), "01089064f4b7b4a682e4d4bfda4c700065365138");
}

#[test]
fn without_a_secret_no_signature_is_sent() {
    assert_eq!(headers(None, JOB), [("Content-Type", "application/json".to_owned())]);
    assert_eq!(headers(Some("s"), JOB)[1], ("X-Hub-Signature", sign_sha1_hex("s", JOB)));
}

#[test]
fn every_fixture_is_one_line_of_compact_json() {
    for (name, text) in FIXTURES {
        assert!(!text.contains('\n'), "{name}");
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string().len(), text.len(), "{name} has blanks");
    }
}

#[test]
fn an_unchanged_payload_keeps_every_byte() {
    for (name, text) in FIXTURES {
        assert_eq!(vary(text, |_| {}), *text, "{name}");
    }
}

#[test]
fn a_change_touches_its_field_only_and_new_fields_come_last() {
    let text = discover(|v| {
        v["status"] = "DISCOVER_FAILED".into();
        v["extra"] = json!([1]);
        v.as_object_mut().unwrap().remove("tenant");
    });
    let expected = DISCOVER
        .replace("DISCOVER_SUCCESS", "DISCOVER_FAILED")
        .replace(r#""tenant":"1414_1","#, "")
        .replace("+00:00\"}", "+00:00\",\"extra\":[1]}");
    assert_eq!(text, expected);
}

#[test]
fn fixture_files_say_what_the_functions_say() {
    assert_eq!(failed_job(LOST_CONNECTION), FAILED_JOB);
    assert_eq!(exact_401_job(), EXACT_401);
    assert_eq!(buy_order_failures(2), BUY_ORDERS);
}

#[test]
fn exact_401_carries_both_lines_of_the_traceback() {
    let job: Value = serde_json::from_str(&exact_401_job()).unwrap();
    let error = job["error"].as_str().unwrap();
    let said = "401 Client Error: Unauthorized for url: https://start.exactonline.nl/api/oauth2/token";
    assert_eq!(error.matches(said).count(), 2);
    assert!(error.contains("requests.exceptions.HTTPError: 401"));
    assert!(error.contains("\nRuntimeError: Failed OAuth login, response was '"));
}

#[test]
fn buy_order_failures_count_as_many_records_as_the_summary_says() {
    for count in [0, 1, 7] {
        let job: Value = serde_json::from_str(&buy_order_failures(count)).unwrap();
        let records = job["state"]["bookmarks"]["BuyOrders"].as_array().unwrap();
        let failed = records.iter().filter(|record| record["success"] == false && record["hash"].is_string());
        assert_eq!(failed.count(), count);
        assert_eq!(job["state"]["summary"]["BuyOrders"]["fail"], count);
        assert_eq!(job["status"], "JOB_COMPLETED");
    }
}

#[test]
fn ascii_escapes_as_python_does() {
    assert_eq!(ascii("{\"n\":\"Café 😀\"}"), r#"{"n":"Caf\u00e9 \ud83d\ude00"}"#);
}
