use proptest::prelude::*;
use serde_json::json;

use super::*;

fn salt() -> Salt {
    Salt::new(b"a salt of sixteen bytes").unwrap()
}

fn stand_ins() -> StandIns {
    let looked_for = [
        "401 Client Error: Unauthorized for url: https://start.exactonline.",
        "/api/oauth2/token",
        "full sync",
        "fullsync",
        "BuyOrders",
        "buy order",
    ];
    StandIns::new(&salt(), &looked_for.map(str::to_owned))
}

#[test]
fn what_is_a_customers_becomes_tokens_and_what_belongs_together_still_does() {
    let payload = json!({
        "tenant": "acme_77", "job_id": "tVN_B", "env_id": "prod.acme.example", "flow_id": 4711, "tap": "exact",
        "status": "SYNC_FAILED", "last_updated": "2024-10-07T07:50:28.076586+00:00", "duration": 12,
        "job_name": "Jansen full sync 62112121925143", "scheduled_job": true, "phone": 31612345678u64,
        "error": "acme_77: mail jan@jansen.example about https://shop.jansen.example/orders?id=998877 failed (404)",
        "state": { "bookmarks": { "BuyOrders": [{"id": "c-1", "error": "Jan Jansen is blocked"}] } },
        "users": { "jan@jansen.example": "Jan" }, "status_timestamp": { "SYNC_FAILED": 1728287428076u64 },
    });
    let found = stand_ins().payload(&payload);
    let all = found.to_string();
    for gone in ["acme", "tVN_B", "4711", "ansen", "Jan", "31612345678", "998877", "shop"] {
        assert!(!all.contains(gone), "{gone}: {all}");
    }
    let token = |word: &str, value: &str| salt().token(word, value);
    assert_eq!(
        (&found["tenant"], &found["job_id"], &found["flow_id"]),
        (&json!(token("tenant", "acme_77")), &json!(token("job", "tVN_B")), &json!(token("flow", "4711")))
    );
    for kept in ["tap", "status", "last_updated", "duration", "scheduled_job", "status_timestamp"] {
        assert_eq!(found[kept], payload[kept], "{kept}");
    }
    let error = found["error"].as_str().unwrap();
    assert!(
        error.starts_with(&format!("{}: ", token("tenant", "acme_77")))
            && error.ends_with(&format!("/orders?id={} failed (404)", token("word", "998877"))),
        "{error}"
    );
    let name = found["job_name"].as_str().unwrap();
    assert!(name.starts_with("word-") && name.ends_with(" full sync 62112121925143"), "{name}");
    assert!(found["state"]["bookmarks"]["BuyOrders"].is_array());
    assert_eq!(stand_ins().payload(&payload), found, "the same again");
}

#[test]
fn what_rules_look_for_stays_also_within_words_and_in_another_case() {
    let stand_ins = stand_ins();
    let token = |value: &str| salt().token("word", value);
    let url = "x 401 Client Error: Unauthorized for url: https://start.exactonline.nl/api/oauth2/token";
    let found = stand_ins.text(url);
    assert_eq!(
        found,
        format!(
            "{} 401 Client Error: Unauthorized for url: https://start.exactonline.{}/api/oauth2/token",
            token("x"),
            token("nl")
        )
    );
    assert_eq!(stand_ins.text("MyBUYORDERSList"), format!("{}BUYORDERS{}", token("My"), token("List")));
}

#[test]
fn problems_of_a_config_keep_the_names_of_fields() {
    let stand_ins = stand_ins();
    let kept = "/importCredentials/0/account_id is missing";
    assert_eq!(stand_ins.problem(kept), kept);
    assert_eq!(
        stand_ins.problem("/jan@jansen.example/x is missing"),
        format!("/{}/x is missing", salt().token("email", "jan@jansen.example"))
    );
}

#[test]
fn what_is_a_persons_goes_also_where_it_is_made_of_common_words_and_small_numbers() {
    let payload = json!({
        "tenant": "t-1", "status": "SYNC_FAILED", "error": "Max Good (user@data.com, 06-12345678) at 10.0.0.7: 404",
        "customer": { "name": "Max Good", "email": "user@data.com", "phone": 612345678, "first_name": "Max",
            "birth_date": "1980-03-02", "address": { "street": "Line", "number": 12, "lines": ["Order 7", "1012 AB"] } },
        "paid": "NL91 ABNA 0417 1643 00 by 4111 1111 1111 1111, BSN 1112.22.333",
        "hosts": { "2001:db8::1": 3 }, "name": "daily", "attempts": 3, "at": "2024-10-07T07:50:28+00:00",
        "said": "on 2024-10-07T07:50:28+00:00 with v1.2.3.4", "connector": "0612345678",
    });
    let found = stand_ins().payload(&payload);
    let all = found.to_string();
    for gone in [
        "Max", "Good", "user@", "data.com", "12345678", "10.0.0.7", "1980", "Line", "12,", "Order", "1012",
        "NL91", "0417", "1111", "1112", "2001:db8",
    ] {
        assert!(!all.contains(gone), "{gone}: {all}");
    }
    for kept in ["attempts", "at", "status"] {
        assert_eq!(found[kept], payload[kept], "{kept}");
    }
    assert_eq!(found["customer"]["name"], json!(salt().token("name", "Max Good")));
    let error = found["error"].as_str().unwrap();
    assert!(
        error.starts_with(found["customer"]["name"].as_str().unwrap()) && error.ends_with(": 404"),
        "{error}"
    );
    let said = found["said"].as_str().unwrap();
    assert!(said.contains(" 2024-10-07T07:50:28+00:00 with ") && said.ends_with(".2.3.4"), "{said}");
    assert_eq!(stand_ins().payload(&found), found, "redacting twice changes nothing");
}

#[test]
fn a_value_has_the_same_token_in_another_file() {
    let one = stand_ins().payload(&json!({ "tenant": "acme", "error": "Jansen: NL91ABNA0417164300" }));
    let other =
        stand_ins().payload(&json!({ "error": ["nl91 abna 0417 1643 00", "x", "Jansen"], "tenant": "acme" }));
    assert_eq!(one["tenant"], other["tenant"]);
    let parts: Vec<_> = one["error"].as_str().unwrap().split(": ").collect();
    assert_eq!((&other["error"][2], &other["error"][0]), (&json!(parts[0]), &json!(parts[1])));
    let salted = StandIns::new(&Salt::new(b"another salt of more").unwrap(), &[])
        .payload(&json!({ "tenant": "acme" }));
    assert_ne!(one["tenant"], salted["tenant"]);
}

/// Texts of which something is recognised, and what stands between them.
fn planted() -> BoxedStrategy<String> {
    let part = prop_oneof![
        Just("10.1.2.3"),
        Just("2001:db8::7"),
        Just("+31 6 1234 5678"),
        Just("06-12345678"),
        Just("jan@jansen.example"),
        Just("4111 1111 1111 1111"),
        Just("NL91 ABNA 0417 1643 00"),
        Just("BSN 111222333"),
        Just("born 02-03-1980"),
        Just("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        Just("00:1a:2b:3c:4d:5e"),
        Just("acme"),
        Just("full sync"),
        Just("BuyOrders"),
        Just(" "),
        Just(": "),
        Just("-"),
        Just("@"),
        Just("."),
        Just("404"),
        Just("error"),
        Just("2024-10-07T07:50:28Z"),
        Just("v1.2"),
        Just("\u{e9}"),
        Just("/api/oauth2/token"),
        Just("word-bcdfghjkmnpq"),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat()).boxed()
}

fn json_of(leaf: BoxedStrategy<String>) -> BoxedStrategy<Value> {
    let names = prop_oneof![
        Just("tenant".to_owned()),
        Just("error".to_owned()),
        Just("phone".to_owned()),
        Just("name".to_owned()),
        Just("address".to_owned()),
        Just("tap".to_owned()),
        leaf.clone(),
    ]
    .boxed();
    let leaves =
        prop_oneof![leaf.prop_map(Value::from), any::<u32>().prop_map(Value::from), Just(Value::Null)];
    leaves
        .prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(names.clone(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
        .boxed()
}

/// Every name and text in it.
fn texts(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            all.push(name.clone());
            texts(value, all);
        }),
        Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        Value::String(text) => all.push(text.clone()),
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_text_is_replaced_without_panic_and_always_alike(text in "\\PC{0,60}") {
        let stand_ins = stand_ins();
        let once = stand_ins.text(&text);
        prop_assert_eq!(&stand_ins.text(&text), &once);
        prop_assert_eq!(stand_ins.text(&once), once);
    }

    #[test]
    fn nothing_that_is_recognised_survives_and_redacting_twice_changes_nothing(payload in json_of(planted())) {
        let once = stand_ins().payload(&payload);
        let mut all = Vec::new();
        texts(&once, &mut all);
        for text in all {
            prop_assert_eq!(left_in(&text), BTreeSet::new(), "{}", text);
        }
        prop_assert_eq!(stand_ins().payload(&once), once);
    }
}
