//! Events are found again.

use domain::event::Kind;
use domain::journal::{Arrival, EventRow, Filter, Outcome};
use domain::plan::LIVE;
use store::{Store, StoreError};

use super::samples::{arrival, at, decided, decision, id, quiet, tell, verdicts};

fn sequences(rows: &[EventRow]) -> Vec<u64> {
    rows.iter().map(|row| row.stream_sequence).collect()
}

async fn list(store: &Store, filter: &Filter, limit: u32) -> Vec<EventRow> {
    store.events(filter, limit).await.unwrap()
}

pub(super) async fn newest_come_first_and_following_goes_on(store: &Store) {
    store.record_quiet(&[quiet(1), quiet(2), quiet(3)]).await.unwrap();
    let newest = list(store, &Filter::default(), 2).await;
    assert_eq!(sequences(&newest), [3, 2]);
    let following = Filter { after_row: Some(newest[1].row), ..Filter::default() };
    assert_eq!(sequences(&list(store, &following, 10).await), [3]);
    store.record_quiet(&[quiet(4), quiet(5)]).await.unwrap();
    assert_eq!(sequences(&list(store, &following, 2).await), [3, 4], "oldest first");
    let from_the_start = Filter { after_row: Some(0), ..Filter::default() };
    assert_eq!(sequences(&list(store, &from_the_start, 10).await), [1, 2, 3, 4, 5]);
    assert!(list(store, &Filter::default(), 0).await.is_empty());
}

pub(super) async fn page_is_stable_while_rows_arrive(store: &Store) {
    let mut next = 1..;
    let mut three_more = async || {
        let batch: Vec<_> = next.by_ref().take(3).map(quiet).collect();
        store.record_quiet(&batch).await.unwrap();
    };
    three_more().await;
    three_more().await;
    let mut filter = Filter { tenant: Some("1414_1".to_owned()), ..Filter::default() };
    let mut seen = Vec::new();
    loop {
        let page = list(store, &filter, 2).await;
        let Some(last) = page.last() else { break };
        filter.before_row = Some(last.row);
        seen.extend(sequences(&page));
        three_more().await;
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1]);
}

/// Event 1 is unlike event 2 in everything one can filter by.
pub(super) async fn every_filter_narrows(store: &Store) {
    let mut one = arrival(1);
    one.event.endpoint = "other".to_owned();
    one.event.tenant = "tenant one".to_owned();
    one.event.env_id = "env one".to_owned();
    one.event.flow_id = "flow one".to_owned();
    one.event.tap = "tap one".to_owned();
    one.event.job_id = "job one".to_owned();
    one.event.kind = Kind::Discover;
    one.event.status = "DISCOVER_FAILED".to_owned();
    one.event.error = "one of a kind".to_owned();
    store.remember(&one, LIVE).await.unwrap();
    store.record_decision(verdicts(&decision(1, LIVE, &[tell("x")]))).await.unwrap();
    store.attempted(&id(1), LIVE, "w1", Outcome::Dead, Some("Nobody answered."), at(1)).await.unwrap();
    let before = list(store, &Filter::default(), 10).await[0].row;
    store.record_quiet(&[quiet(2)]).await.unwrap();

    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let filters = [
        Filter { endpoint: text("other"), ..none() },
        Filter { tenant: text("tenant one"), ..none() },
        Filter { env_id: text("env one"), ..none() },
        Filter { flow_id: text("flow one"), ..none() },
        Filter { tap: text("tap one"), ..none() },
        Filter { job_id: text("job one"), ..none() },
        Filter { kind: text("discover"), ..none() },
        Filter { status: text("DISCOVER_FAILED"), ..none() },
        Filter { outcome: Some(Outcome::Dead), ..none() },
        Filter { why: text("NOBODY answered"), ..none() },
        Filter { rule: text("rule"), ..none() },
        Filter { error: text("OF A k"), ..none() },
        Filter { until: Some(at(2)), ..none() },
        Filter { to_sequence: Some(1), ..none() },
        Filter { before_row: Some(before + 1), ..none() },
    ];
    let after = |filter: &Filter| Filter { after_row: Some(0), ..filter.clone() };
    for filter in &filters {
        assert_eq!(sequences(&list(store, filter, 10).await), [1], "{filter:?}");
        assert_eq!(sequences(&list(store, &after(filter), 10).await), [1], "{filter:?}, oldest first");
    }
    for filter in [
        Filter { since: Some(at(2)), ..none() },
        Filter { from_sequence: Some(2), ..none() },
        Filter { after_row: Some(before), ..none() },
        Filter { outcome: Some(Outcome::NoRule), ..none() },
    ] {
        assert_eq!(sequences(&list(store, &filter, 10).await), [2], "{filter:?}");
    }
    // Together they narrow further.
    for a in &filters {
        for b in [
            Filter { since: Some(at(2)), ..a.clone() },
            Filter { from_sequence: Some(2), ..a.clone() },
            Filter { after_row: Some(before), ..a.clone() },
        ] {
            assert!(list(store, &b, 10).await.is_empty(), "{b:?}");
        }
    }
}

pub(super) async fn error_is_found_by_any_part_of_it(store: &Store) {
    let errors = ["100% of rows_failed", "100 percent", "Ünable"];
    for (number, error) in (1..).zip(errors) {
        let mut arrival: Arrival = arrival(number);
        arrival.event.error = error.to_owned();
        store.remember(&arrival, LIVE).await.unwrap();
    }
    for (part, found) in [
        ("100", vec![2, 1]),
        ("100%", vec![1]),
        ("ROWS_F", vec![1]),
        ("rows?f", vec![]),
        ("%", vec![1]),
        ("_", vec![1]),
        ("Üna", vec![3]),
        ("", vec![3, 2, 1]),
    ] {
        let filter = Filter { error: Some(part.to_owned()), ..Filter::default() };
        assert_eq!(sequences(&list(store, &filter, 10).await), found, "{part:?}");
    }
}

pub(super) async fn event_is_found_by_how_its_id_begins(store: &Store) {
    store.record_quiet(&[quiet(1), quiet(2)]).await.unwrap();
    let whole = id(1).to_string();
    for named in [whole.as_str(), &whole[..6], &whole[..20], &whole.to_uppercase()[..8]] {
        let found = store.event(named).await.unwrap().map(|record| record.row.event.id);
        assert_eq!(found, Some(id(1)), "{named}");
    }
    assert!(store.event("ffffffffffff").await.unwrap().is_none());
    assert!(matches!(store.event(&whole[..5]).await, Err(StoreError::Refused(_))));
    assert!(matches!(store.event("").await, Err(StoreError::Refused(_))));
}

pub(super) async fn ambiguous_beginning_names_the_candidates(store: &Store) {
    for last in ["aa", "ab"] {
        let mut arrival = arrival(1);
        arrival.event.id = domain::names::EventId::from_text(format!("abcdef{last}"));
        store.remember(&arrival, LIVE).await.unwrap();
    }
    let Err(StoreError::Refused(why)) = store.event("abcdefa").await else { panic!("two begin so") };
    assert!(why.contains("abcdefaa") && why.contains("abcdefab"), "{why}");
}

pub(super) async fn record_tells_all(store: &Store) {
    let keys = decided(store, 1, &[tell("a"), tell("b")]).await;
    let replayed = decision(1, "replay-1", &[tell("a")]);
    store.record_decision(verdicts(&replayed)).await.unwrap();
    store.attempted(&id(1), LIVE, "w1", Outcome::Retrying, Some("503"), at(2)).await.unwrap();
    let record = store.event(id(1).as_str()).await.unwrap().unwrap();
    let sent = arrival(1);
    assert_eq!(record.subject, sent.subject);
    assert_eq!(record.headers, sent.headers);
    assert_eq!(record.body, sent.body);
    assert_eq!(record.row.event.received_at, sent.event.received_at);
    assert_eq!(record.row.event.source, "hotglue");
    assert_eq!(record.decisions.len(), 2);
    let found: Vec<_> = record.steps.iter().map(|found| found.step.key.clone()).collect();
    assert_eq!(found, [keys[0].clone(), keys[1].clone(), replayed.steps[0].key.clone()]);
    assert_eq!((record.attempts[0].number, record.attempts[0].why.as_deref()), (1, Some("503")));
}

pub(super) async fn what_waits_is_found_as_retrying(store: &Store) {
    for number in 1..=4 {
        store.remember(&arrival(number), LIVE).await.unwrap();
    }
    store
        .attempted(&id(2), LIVE, "w1", Outcome::Open, Some("Slack asks us to slow down"), at(1))
        .await
        .unwrap();
    store.attempted(&id(3), LIVE, "w1", Outcome::Retrying, Some("no answer"), at(1)).await.unwrap();
    store
        .attempted(&id(4), LIVE, "w1", Outcome::Done, Some("a Slack message may not have been posted"), at(1))
        .await
        .unwrap();
    let filter = Filter { outcome: Some(Outcome::Retrying), ..Filter::default() };
    assert_eq!(sequences(&list(store, &filter, 10).await), [3, 2]);
    let following = Filter { after_row: Some(0), ..filter };
    assert_eq!(sequences(&list(store, &following, 10).await), [2, 3]);
    let open = Filter { outcome: Some(Outcome::Open), ..Filter::default() };
    assert_eq!(sequences(&list(store, &open, 10).await), [2, 1]);
}
