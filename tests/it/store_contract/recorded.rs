//! Recorded events are gone through once more.

use domain::action::Place;
use domain::event::Kind;
use domain::journal::Span;
use domain::plan::LIVE;
use store::Store;

use super::samples::{arrival, at, decided, decision, id, quiet, tell, verdicts};

pub(super) async fn recorded_events_come_in_their_order_with_what_was_decided(store: &Store) {
    store.record_quiet(&[quiet(1), quiet(2)]).await.unwrap();
    decided(store, 3, &[tell("three")]).await;
    store.remember(&arrival(4), LIVE).await.unwrap();
    let span = Span { bodies_of: vec![Kind::Job], ..Span::default() };
    let rows = store.recorded_rows(&span).await.unwrap().unwrap();
    assert_eq!(rows.number, 4);
    // What comes in meanwhile is not among them.
    store.record_quiet(&[quiet(5)]).await.unwrap();
    let mut all = store.recorded(&span, rows, 0, 3).await.unwrap();
    all.extend(store.recorded(&span, rows, all[2].row, 3).await.unwrap());
    assert_eq!(all.iter().map(|event| event.id.clone()).collect::<Vec<_>>(), [id(1), id(2), id(3), id(4)]);
    assert_eq!((all[0].tenant.as_str(), all[0].received_at), ("1414_1", at(1)));
    assert_eq!(all[0].body.as_deref(), Some(arrival(1).body.as_slice()));
    assert!(all[0].decision.is_none() && all[0].rulebook.as_deref() == Some("r1"));
    assert_eq!((all[0].decided_at, all[3].decided_at, &all[3].rulebook), (Some(at(1)), None, &None));
    assert_eq!(all[2].decision, Some(decision(3, LIVE, &[tell("three")])));
}

pub(super) async fn every_place_of_which_an_event_tells_is_known_once(store: &Store) {
    let mut nowhere = quiet(3);
    nowhere.arrival.event.flow_id.clear();
    let mut elsewhere = quiet(4);
    elsewhere.arrival.event.tenant = "0_1".to_owned();
    store.record_quiet(&[quiet(1), quiet(2), nowhere, elsewhere.clone()]).await.unwrap();
    let place = |event: &domain::event::Event| Place {
        env_id: event.env_id.clone(),
        flow_id: event.flow_id.clone(),
        tenant: event.tenant.clone(),
    };
    let expected = [place(&elsewhere.arrival.event), place(&quiet(1).arrival.event)];
    assert_eq!(store.places().await.unwrap(), expected);
}

pub(super) async fn a_span_of_recorded_events_is_narrowed_and_reads_no_body_that_nobody_wants(store: &Store) {
    let mut other = quiet(3);
    other.arrival.event.tenant = "other".to_owned();
    other.arrival.event.kind = Kind::Discover;
    store.record_quiet(&[quiet(1), quiet(2), other, quiet(4)]).await.unwrap();
    let ids = async |span: Span| {
        let Some(rows) = store.recorded_rows(&span).await.unwrap() else { return Vec::new() };
        let events = store.recorded(&span, rows, 0, 10).await.unwrap();
        assert_eq!(rows.number, events.len() as u64);
        events.into_iter().map(|event| (event.id, event.body.is_some())).collect::<Vec<_>>()
    };
    let time = Span { since: Some(at(2)), until: Some(at(4)), bodies_of: vec![Kind::Job], ..Span::default() };
    assert_eq!(ids(time).await, [(id(2), true), (id(3), false)]);
    assert_eq!(ids(Span { tenant: Some("other".to_owned()), ..Span::default() }).await, [(id(3), false)]);
    assert_eq!(ids(Span { since: Some(at(9)), ..Span::default() }).await, []);
}

pub(super) async fn a_replay_does_not_stand_in_for_the_live_decision(store: &Store) {
    decided(store, 1, &[tell("live")]).await;
    let replayed = decision(1, "r-1", &[tell("again")]);
    store.record_decision(verdicts(&replayed)).await.unwrap();
    let span = Span::default();
    let rows = store.recorded_rows(&span).await.unwrap().unwrap();
    let events = store.recorded(&span, rows, 0, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].decision.as_ref().map(|decision| decision.run.as_str()), Some(LIVE));
}
