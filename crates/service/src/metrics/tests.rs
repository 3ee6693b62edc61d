use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prometheus_client::encoding::text::encode;

use super::*;

/// Everything counted once, as `/metrics` would show it.
fn encoded() -> String {
    let mut registry = Registry::default();
    let ingest = IngestMetrics::register(&mut registry);
    ingest.received(Some("hotglue"), Outcome::Stored);
    ingest.refused(Some("hotglue"), "mismatch");
    ingest.last_received("hotglue", "2025-03-01T12:00:00Z".parse().unwrap());
    ingest.published(Duration::from_millis(3));
    let worker = WorkerMetrics::register(&mut registry);
    worker.processed("acted", 2);
    worker.rule_matched("job-failed");
    worker.rule_error("job-failed");
    worker.step("slack", "done");
    worker.buried("permanent");
    worker.circuit("Slack", true);
    worker.rule_paused("exact-unauthorized", true);
    worker.process_took(Duration::from_millis(40));
    worker.rulebook_good();
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

#[test]
fn what_is_encoded_is_exactly_the_table() {
    let text = encoded();
    let types: BTreeMap<String, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (if kind == "counter" { format!("{name}_total") } else { name.to_owned() }, kind))
        .collect();
    let table: BTreeMap<String, &str> =
        METRICS.iter().map(|metric| (metric.name.to_owned(), metric.kind.as_str())).collect();
    assert_eq!(types, table);
    assert_eq!(table.len(), METRICS.len(), "a name is in the table twice");
}

#[test]
fn the_labels_are_those_of_the_table() {
    let text = encoded();
    for metric in METRICS.iter().filter(|metric| metric.kind != Kind::Histogram) {
        let sample = text
            .lines()
            .find(|line| line.strip_prefix(metric.name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .unwrap_or_else(|| panic!("{} has no sample in\n{text}", metric.name));
        let labels: Vec<_> = sample
            .split_once('{')
            .map(|(_, rest)| rest.split(',').map(|label| label.split('=').next().unwrap()).collect())
            .unwrap_or_default();
        assert_eq!(labels, metric.labels, "{sample}");
    }
}

#[test]
fn the_table_keeps_to_the_house() {
    for metric in METRICS {
        assert!(metric.name.starts_with("gluehook_"), "{}", metric.name);
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
        assert!(!metric.help.ends_with('.') && !metric.help.contains('\n'), "{}", metric.name);
        assert!(!metric.labels.contains(&"tenant"), "{}", metric.name);
    }
}

#[test]
fn values_are_what_was_counted() {
    let text = encoded();
    for line in [
        r#"gluehook_received_total{endpoint="hotglue",outcome="stored"} 1"#,
        r#"gluehook_last_received_seconds{endpoint="hotglue"} 1740830400"#,
        r#"gluehook_processed_total{outcome="acted"} 2"#,
        "gluehook_rulebook_ok 1",
        "gluehook_publish_seconds_count 1",
        r#"gluehook_publish_seconds_bucket{le="0.0025"} 0"#,
        r#"gluehook_publish_seconds_bucket{le="0.005"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn an_endpoint_that_is_not_configured_never_becomes_a_series_of_its_own() {
    let mut registry = Registry::default();
    let ingest = IngestMetrics::register(&mut registry);
    ingest.received(None, Outcome::NotFound);
    ingest.refused(None, "unknown_endpoint");
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains(r#"gluehook_received_total{endpoint="_",outcome="not_found"} 1"#), "{text}");
}

#[test]
fn outcomes_have_names_of_their_own() {
    let names: BTreeSet<_> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    assert_eq!(names.len(), Outcome::ALL.len());
}
