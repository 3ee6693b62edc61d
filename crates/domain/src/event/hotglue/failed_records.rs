//! How many records a job failed to export, by stream: only where a count is reported.
//!
//! Which field of a webhook carries it is not documented. The shapes are those that hotglue's targets write into their
//! state (seen in the code of target-exact and its SDK): `bookmarks.<Stream>[]` with `success` and `hash` per record,
//! and `summary.<Stream>` with `success`, `fail`, `existing`, `updated`. A stream is named as target-exact names it, however
//! the payload writes it (`buy_orders`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Where counts are looked for unless the configuration says otherwise; `""` is the payload itself.
pub const DEFAULT_POINTERS: &[&str] = &[
    "/state",
    "/state/target",
    "/target_state",
    "/metrics",
    "/metrics/exportDetails",
    "/export_details",
    "/error",
    "",
];

/// Counts failed records. The first pointer that reports a stream decides about it; streams without failures are left
/// out.
pub(super) fn count(payload: &Value, pointers: &[String]) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for pointer in pointers {
        let Some(found) = payload.pointer(pointer).and_then(Value::as_object) else { continue };
        for (stream, failed) in report(found) {
            counts.entry(named(stream)).or_insert(failed);
        }
    }
    counts.retain(|_, failed| *failed > 0);
    counts
}

/// Rules look for one name.
fn named(stream: String) -> String {
    let letters = stream.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).map(|c| c.to_ascii_lowercase());
    if letters.eq("buyorders".chars()) { "BuyOrders".to_owned() } else { stream }
}

fn report(at: &Map<String, Value>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let summaries = [at.get("summary"), at.get("exportSummary"), at.get("export_summary")];
    let named = summaries.into_iter().flatten().filter_map(Value::as_object).map(|summary| (summary, true));
    for (summary, is_named) in named.chain([(at, false)]) {
        for (stream, value) in summary {
            if let Some(failed) = from_summary(value, is_named) {
                counts.entry(stream.clone()).or_insert(failed);
            }
        }
    }
    // A record that fails before it is sent is counted twice in the summary, once without a hash; so a bookmark list,
    // where there is one, is the better witness.
    for (stream, value) in at.get("bookmarks").and_then(Value::as_object).into_iter().flatten() {
        if let Some(failed) = from_bookmarks(value) {
            counts.insert(stream.clone(), failed);
        }
    }
    counts
}

/// `is_named`: it stands in a summary, so a count of failures may stand there alone. Elsewhere it could be about anything.
fn from_summary(value: &Value, is_named: bool) -> Option<u64> {
    let fields = value.as_object()?;
    let is_summary = || {
        ["success", "existing", "updated"].iter().any(|name| fields.get(*name).is_some_and(Value::is_number))
    };
    // `fail` in the target's state; "success/failed" is how the dashboard names the counts.
    let failed = fields.get("fail").or_else(|| fields.get("failed")).and_then(Value::as_u64)?;
    (is_named || is_summary()).then_some(failed)
}

fn from_bookmarks(value: &Value) -> Option<u64> {
    let records: Vec<_> = value.as_array()?.iter().filter_map(Value::as_object).collect();
    if !records.iter().any(|record| record.contains_key("success")) {
        return None;
    }
    // An entry with neither is a second word about a record that has an entry of its own.
    let failed = |record: &&Map<String, Value>| match record.get("success").and_then(Value::as_bool) {
        Some(succeeded) => !succeeded,
        None => record.contains_key("hash"),
    };
    u64::try_from(records.iter().copied().filter(failed).count()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counted(payload: &Value) -> BTreeMap<String, u64> {
        let pointers: Vec<_> = DEFAULT_POINTERS.iter().map(ToString::to_string).collect();
        count(payload, &pointers)
    }

    #[test]
    fn bookmarks_are_counted_by_hash_and_win_over_the_summary() {
        let payload = json!({"state": {
            "bookmarks": {"BuyOrders": [
                {"hash": "a", "success": true, "id": "1"},
                {"hash": "b", "success": false, "error": "x"},
                {"error": "Warehouse uuid missing in config file"},
            ]},
            "summary": {"BuyOrders": {"success": 1, "fail": 2, "existing": 0, "updated": 0}},
        }});
        assert_eq!(counted(&payload), BTreeMap::from([("BuyOrders".to_owned(), 1)]));
    }

    #[test]
    fn a_record_that_says_it_failed_counts_also_without_a_hash() {
        let payload = json!({"state": {"bookmarks": {"buy_orders": [
            {"success": false, "error": "x", "externalId": "4711"},
            {"success": true, "id": "1"},
            {"error": "Warehouse uuid missing in config file"},
        ]}}});
        assert_eq!(counted(&payload), BTreeMap::from([("BuyOrders".to_owned(), 1)]));
    }

    #[test]
    fn a_summary_alone_is_believed() {
        let payload = json!({"metrics": {"exportSummary": {"BuyOrders": {"success": 0, "fail": 3, "existing": 0, "updated": 0}}}});
        assert_eq!(counted(&payload), BTreeMap::from([("BuyOrders".to_owned(), 3)]));
    }

    #[test]
    fn a_summary_is_one_also_when_little_stands_in_it() {
        for (summary, failed) in [
            (json!({"fail": 2}), 2),
            (json!({"success": 0, "failed": 2}), 2),
            (json!({"fail": 1, "failed": 9}), 1),
        ] {
            let payload = json!({"state": {"summary": {"BuyOrders": summary}}});
            assert_eq!(counted(&payload), BTreeMap::from([("BuyOrders".to_owned(), failed)]), "{payload}");
        }
        let elsewhere = json!({"metrics": {"tries": {"fail": 2}, "checks": {"failed": true, "success": 1}}});
        assert!(counted(&elsewhere).is_empty(), "what is no summary counts nothing");
        let known = json!({"metrics": {"BuyOrders": {"success": 1, "failed": 2}}});
        assert_eq!(counted(&known)["BuyOrders"], 2);
    }

    #[test]
    fn nothing_reported_is_nothing_counted() {
        for payload in [
            json!({"metrics": {"recordCount": {"BuyOrders": 12}}, "error": "3 buy orders failed"}),
            json!({"state": {"bookmarks": {"BuyOrders": {"replication_key_value": "2024"}}}}),
            json!({"state": {"summary": {"BuyOrders": {"success": 4, "fail": 0, "existing": 0, "updated": 0}}}}),
            json!([1, 2]),
        ] {
            assert!(counted(&payload).is_empty(), "{payload}");
        }
    }
}
