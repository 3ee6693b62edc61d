//! Events come in, are decided, tried and forgotten.

use std::time::Duration;

use domain::facts::Facts;
use domain::journal::{Claim, EventRow, Filter, Outcome, Seen, StepEnd, StepState, Turn, Verdicts};
use domain::plan::{Decision, LIVE, Verdict};
use store::Store;

use super::samples::{arrival, at, decided, decision, id, quiet, switch_off, tell, value, verdict, verdicts};

async fn row(store: &Store, number: u64) -> EventRow {
    store.event(id(number).as_str()).await.unwrap().unwrap().row
}

pub(super) async fn repeat_is_counted_once(store: &Store) {
    assert_eq!(store.remember(&arrival(1), LIVE).await.unwrap(), Seen::First);
    assert_eq!(store.remember(&arrival(1), LIVE).await.unwrap(), Seen::Again);
    let rows = store.events(&Filter::default(), 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].deliveries, rows[0].outcome), (2, Outcome::Open));
}

pub(super) async fn quiet_batch_counts_repeats_within_itself(store: &Store) {
    let seen = store.record_quiet(&[quiet(1), quiet(2), quiet(1)]).await.unwrap();
    assert_eq!(seen, [Seen::First, Seen::First, Seen::Again]);
    assert_eq!(store.record_quiet(&[quiet(2)]).await.unwrap(), [Seen::Again]);
    assert_eq!(store.record_quiet(&[]).await.unwrap(), []);
    let first = row(store, 1).await;
    assert_eq!((first.deliveries, first.outcome), (2, Outcome::NoRule));
    assert_eq!((first.rulebook.as_deref(), first.rules.len()), (Some("r1"), 0));
}

pub(super) async fn large_quiet_batch_is_entered_in_its_order(store: &Store) {
    let batch: Vec<_> = (0..100).map(|place| quiet(place % 60)).collect();
    let seen = store.record_quiet(&batch).await.unwrap();
    let first = seen.iter().take_while(|seen| **seen == Seen::First).count();
    assert_eq!((first, seen.len()), (60, 100));
    assert!(seen[60..].iter().all(|seen| *seen == Seen::Again));
    let twice_at_once: Vec<_> = (0..50).map(|place| quiet(1000 + place / 2)).collect();
    let seen = store.record_quiet(&twice_at_once).await.unwrap();
    assert!(seen.chunks(2).all(|pair| pair == [Seen::First, Seen::Again]), "{seen:?}");

    let rows = store.events(&Filter { after_row: Some(0), ..Filter::default() }, 1000).await.unwrap();
    let sequences: Vec<_> = rows.iter().map(|row| row.stream_sequence).collect();
    assert_eq!(sequences, (0..60).chain(1000..1025).collect::<Vec<_>>());
    assert!(
        rows.iter().all(|row| row.deliveries == if (40..60).contains(&row.stream_sequence) { 1 } else { 2 })
    );
}

pub(super) async fn quiet_batch_does_not_reopen_a_done_event(store: &Store) {
    for (number, outcome) in [(1, Outcome::Done), (2, Outcome::Retrying), (3, Outcome::Dead)] {
        decided(store, number, &[tell("hello")]).await;
        store.attempted(&id(number), LIVE, "w1", outcome, None, at(1)).await.unwrap();
        store.record_quiet(&[quiet(number)]).await.unwrap();
        let row = row(store, number).await;
        assert_eq!((row.outcome, row.deliveries, row.rules), (outcome, 2, vec!["rule".to_owned()]));
    }
}

pub(super) async fn open_event_without_decision_may_turn_out_quiet(store: &Store) {
    store.remember(&arrival(1), LIVE).await.unwrap();
    decided(store, 2, &[tell("hello")]).await;
    store.record_quiet(&[quiet(1), quiet(2)]).await.unwrap();
    assert_eq!(row(store, 1).await.outcome, Outcome::NoRule);
    assert_eq!(row(store, 2).await.outcome, Outcome::Open, "its steps are still to be done");
}

pub(super) async fn quiet_event_is_open_again_when_a_rule_takes_it(store: &Store) {
    store.record_quiet(&[quiet(1)]).await.unwrap();
    let replayed = decision(1, "replay-1", &[tell("hello")]);
    store.record_decision(verdicts(&replayed)).await.unwrap();
    assert_eq!(row(store, 1).await.outcome, Outcome::Open);
}

pub(super) async fn decision_is_write_once(store: &Store) {
    store.remember(&arrival(1), LIVE).await.unwrap();
    assert_eq!(store.decision(&id(1), LIVE).await.unwrap(), None);
    let first = decision(1, LIVE, &[tell("first")]);
    assert_eq!(store.record_decision(verdicts(&first)).await.unwrap().as_ref(), Some(&first));
    let second = Decision { rulebook: "r2".to_owned(), ..decision(1, LIVE, &[tell("second")]) };
    assert_eq!(store.record_decision(verdicts(&second)).await.unwrap().as_ref(), Some(&first));
    assert_eq!(store.decision(&id(1), LIVE).await.unwrap(), Some(first.clone()));
    let steps = store.steps_of(&id(1), LIVE).await.unwrap();
    assert_eq!(steps.iter().map(|record| &record.step).collect::<Vec<_>>(), [&first.steps[0]]);
    assert_eq!((steps[0].state, steps[0].attempts), (StepState::Pending, 0));
    assert_eq!(row(store, 1).await.rulebook.as_deref(), Some("r1"));
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

pub(super) async fn decision_names_the_rules_that_took_the_event(store: &Store) {
    store.remember(&arrival(1), LIVE).await.unwrap();
    let decision = Decision {
        verdicts: vec![
            verdict("off", Verdict::Off),
            verdict("matched", Verdict::Matched { steps: 0 }),
            verdict("not-held", Verdict::NotHeld { line: 2, why: Some("no".to_owned()) }),
            verdict("shadow", Verdict::Shadow { actions: vec![tell("x")] }),
            verdict(
                "broken",
                Verdict::Broken {
                    why: "no such name".to_owned(),
                    steps: 0,
                    shadow: false,
                    before: Vec::new(),
                },
            ),
            verdict("silenced", Verdict::Silenced { by: "matched".to_owned() }),
            verdict("unchanged", Verdict::Unchanged),
        ],
        ..decision(1, LIVE, &[])
    };
    store.record_decision(verdicts(&decision)).await.unwrap();
    let row = row(store, 1).await;
    assert_eq!((row.rules, row.shadow), (texts(&["matched", "shadow", "broken"]), texts(&["shadow"])));
    assert_eq!(store.decision(&id(1), LIVE).await.unwrap(), Some(decision));
}

/// Decides event `number` with a new value of the rule `changed`.
pub(super) async fn remember_value(store: &Store, number: u64, text: &str) {
    store.remember(&arrival(number), LIVE).await.unwrap();
    let decision = Decision { new_values: vec![value("changed", text)], ..decision(number, LIVE, &[]) };
    store.record_decision(Verdicts { scope: "e/f/t", ..verdicts(&decision) }).await.unwrap();
}

pub(super) async fn older_event_never_replaces_a_newer_value(store: &Store) {
    assert_eq!(store.last_value("changed", "e/f/t").await.unwrap(), None);
    remember_value(store, 2, "newer").await;
    remember_value(store, 1, "older").await;
    assert_eq!(store.last_value("changed", "e/f/t").await.unwrap().as_deref(), Some("newer"));
    remember_value(store, 3, "newest").await;
    assert_eq!(store.last_value("changed", "e/f/t").await.unwrap().as_deref(), Some("newest"));
    assert_eq!(store.last_value("changed", "e/f/other").await.unwrap(), None);
    assert_eq!(store.last_value("other", "e/f/t").await.unwrap(), None);
}

pub(super) async fn value_that_a_newer_event_met_is_not_replaced_by_an_older_one(store: &Store) {
    remember_value(store, 1, "same").await;
    store.remember(&arrival(3), LIVE).await.unwrap();
    let met = Decision { verdicts: vec![verdict("changed", Verdict::Unchanged)], ..decision(3, LIVE, &[]) };
    store.record_decision(Verdicts { scope: "e/f/t", ..verdicts(&met) }).await.unwrap();
    remember_value(store, 2, "late").await;
    assert_eq!(store.last_value("changed", "e/f/t").await.unwrap().as_deref(), Some("same"));
}

pub(super) async fn what_a_rule_in_shadow_meets_again_touches_no_value_of_life(store: &Store) {
    remember_value(store, 1, "same").await;
    store.remember(&arrival(3), LIVE).await.unwrap();
    let facts = Facts { last_values: [("shadow/changed".to_owned(), None)].into(), ..Facts::default() };
    let met =
        Decision { facts, verdicts: vec![verdict("changed", Verdict::Unchanged)], ..decision(3, LIVE, &[]) };
    store.record_decision(Verdicts { scope: "e/f/t", ..verdicts(&met) }).await.unwrap().unwrap();
    remember_value(store, 2, "late").await;
    assert_eq!(store.last_value("changed", "e/f/t").await.unwrap().as_deref(), Some("late"));
}

pub(super) async fn value_comes_back_letter_by_letter(store: &Store) {
    remember_value(store, 1, "a\0b\"c\u{1f600}").await;
    assert_eq!(store.last_value("changed", "e/f/t").await.unwrap().as_deref(), Some("a\0b\"c\u{1f600}"));
}

pub(super) async fn failures_are_counted_by_run_and_forgiven(store: &Store) {
    store.remember(&arrival(1), LIVE).await.unwrap();
    let attempted = |run: &'static str, outcome, why| async move {
        store.attempted(&id(1), run, "w1", outcome, why, at(1)).await.unwrap()
    };
    assert_eq!(attempted(LIVE, Outcome::Retrying, Some("503")).await, 1);
    assert_eq!(attempted("replay-1", Outcome::Retrying, Some("503")).await, 1);
    assert_eq!(attempted(LIVE, Outcome::Dead, Some("gave up")).await, 2);
    let row_then = row(store, 1).await;
    assert_eq!((row_then.outcome, row_then.failures), (Outcome::Dead, 3));
    assert_eq!(row_then.why.as_deref(), Some("gave up"));

    store.reopen(&id(1), LIVE, at(2)).await.unwrap();
    assert_eq!(store.failures(&id(1), LIVE).await.unwrap(), 0);
    assert_eq!(store.failures(&id(1), "replay-1").await.unwrap(), 1);
    let row_now = row(store, 1).await;
    assert_eq!((row_now.outcome, row_now.failures, row_now.why), (Outcome::Open, 1, None));

    assert_eq!(attempted(LIVE, Outcome::Done, None).await, 0);
    let record = store.event(id(1).as_str()).await.unwrap().unwrap();
    let history: Vec<_> = record
        .attempts
        .iter()
        .filter(|attempt| attempt.run == LIVE)
        .map(|attempt| (attempt.number, attempt.outcome))
        .collect();
    assert_eq!(history, [(1, Outcome::Retrying), (2, Outcome::Dead), (3, Outcome::Done)]);
    assert_eq!(record.row.outcome, Outcome::Done);
}

pub(super) async fn text_with_nul_emoji_and_quotes_is_stored(store: &Store) {
    let odd = "it's \"odd\"\0 \u{1f600}; DROP TABLE events; --\n%_\\";
    let kept = odd.replace('\0', "\u{fffd}");
    let mut arrival = arrival(1);
    arrival.event.tenant = odd.to_owned();
    arrival.event.job_name = odd.to_owned();
    arrival.event.error = odd.to_owned();
    arrival.headers = vec![("x-odd".to_owned(), odd.to_owned())];
    arrival.body = vec![0, 255, b'"', 0];
    store.remember(&arrival, LIVE).await.unwrap();
    let decision = decision(1, LIVE, &[tell(odd)]);
    store.record_decision(verdicts(&decision)).await.unwrap();
    store.attempted(&id(1), LIVE, odd, Outcome::Dead, Some(odd), at(1)).await.unwrap();

    let filter = Filter { tenant: Some(odd.to_owned()), error: Some(odd.to_owned()), ..Filter::default() };
    assert_eq!(store.events(&filter, 10).await.unwrap().len(), 1);
    let record = store.event(id(1).as_str()).await.unwrap().unwrap();
    assert_eq!(record.row.event.tenant, kept);
    assert_eq!(record.row.event.job_name, kept);
    assert_eq!(record.row.event.error, kept);
    assert_eq!(record.row.why.as_deref(), Some(kept.as_str()));
    assert_eq!(record.attempts[0].worker, kept);
    assert_eq!((record.headers, record.body), (arrival.headers, arrival.body));
    assert_eq!(record.steps[0].step, decision.steps[0], "an action must come back as it was decided");
    assert_eq!(record.decisions, [decision]);
}

/// A decision about event `number` by a rule that had read `read` and acts because the value is `new`.
fn changed(number: u64, read: Option<&str>, new: &str) -> Decision {
    let facts =
        Facts { last_values: [("changed".to_owned(), read.map(str::to_owned))].into(), ..Facts::default() };
    Decision { facts, new_values: vec![value("changed", new)], ..decision(number, LIVE, &[tell(new)]) }
}

pub(super) async fn decision_is_made_anew_when_a_value_it_read_was_replaced(store: &Store) {
    for number in [1, 2] {
        store.remember(&arrival(number), LIVE).await.unwrap();
    }
    let (first, second) = (changed(1, None, "broken"), changed(2, None, "broken"));
    assert_eq!(store.record_decision(verdicts(&first)).await.unwrap(), Some(first.clone()));
    assert_eq!(store.record_decision(verdicts(&second)).await.unwrap(), None);
    assert_eq!(store.decision(&id(2), LIVE).await.unwrap(), None, "nothing is written");
    assert!(store.steps_of(&id(2), LIVE).await.unwrap().is_empty());
    // What was written once stands, whatever was replaced since.
    let third = changed(3, Some("broken"), "whole");
    store.remember(&arrival(3), LIVE).await.unwrap();
    assert_eq!(store.record_decision(verdicts(&third)).await.unwrap(), Some(third));
    assert_eq!(store.record_decision(verdicts(&first)).await.unwrap(), Some(first));
}

pub(super) async fn of_events_decided_at_once_one_sees_the_value_change(store: &Store) {
    let deciding: Vec<_> = (1..=12)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                store.remember(&arrival(number), LIVE).await.unwrap();
                store.record_decision(verdicts(&changed(number, None, "broken"))).await.unwrap().is_some()
            })
        })
        .collect();
    let mut saw = 0;
    for decided in deciding {
        saw += u32::from(decided.await.unwrap());
    }
    assert_eq!(saw, 1);
}

pub(super) async fn decision_that_was_replaced_is_not_replaced_again(store: &Store) {
    store.remember(&arrival(1), LIVE).await.unwrap();
    let broken = decision(1, LIVE, &[]);
    store.record_decision(verdicts(&broken)).await.unwrap();
    let mended = Decision { decided_at: at(5), ..decision(1, LIVE, &[tell("mended")]) };
    let replaced = store.replace_decision(broken.decided_at, verdicts(&mended)).await.unwrap();
    assert_eq!(replaced.as_ref(), Some(&mended));
    // Another worker had read the broken one too.
    let late = Decision { decided_at: at(6), ..decision(1, LIVE, &[tell("mended, in other words")]) };
    let replaced = store.replace_decision(broken.decided_at, verdicts(&late)).await.unwrap();
    assert_eq!(replaced.as_ref(), Some(&mended));
    assert_eq!(store.steps_of(&id(1), LIVE).await.unwrap().len(), 1);
}

pub(super) async fn attempts_at_once_are_all_counted(store: &Store) {
    store.remember(&arrival(1), LIVE).await.unwrap();
    let attempts: Vec<_> = (0..12)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                store.attempted(&id(1), LIVE, "w", Outcome::Retrying, None, at(1)).await.unwrap()
            })
        })
        .collect();
    let mut counted = Vec::new();
    for attempt in attempts {
        counted.push(attempt.await.unwrap());
    }
    counted.sort_unstable();
    assert_eq!(counted, (1..=12).collect::<Vec<_>>());
    assert_eq!(row(store, 1).await.failures, 12);
}

pub(super) async fn given_up_run_is_resumed_once(store: &Store) {
    let step = decided(store, 1, &[tell("hello")]).await.remove(0);
    assert!(!store.resume(&id(1), LIVE, at(1)).await.unwrap(), "it was not given up");
    store.settle(&step, None, "w1", &StepEnd::Failed { why: "gone".to_owned() }, at(1)).await.unwrap();
    store.attempted(&id(1), LIVE, "w1", Outcome::Dead, Some("gone"), at(2)).await.unwrap();
    let resuming: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.resume(&id(1), LIVE, at(3)).await.unwrap() })
        })
        .collect();
    let mut resumed = 0;
    for asked in resuming {
        resumed += u32::from(asked.await.unwrap());
    }
    assert_eq!(resumed, 1);
    assert_eq!(store.steps_of(&id(1), LIVE).await.unwrap()[0].state, StepState::Pending);
}

pub(super) async fn what_a_person_threw_away_is_given_up_no_longer(store: &Store) {
    decided(store, 1, &[tell("hello")]).await;
    assert!(!store.discard(&id(1), LIVE, "jo", at(1)).await.unwrap(), "it was not given up");
    store.attempted(&id(1), LIVE, "w1", Outcome::Dead, Some("gone"), at(2)).await.unwrap();
    assert!(!store.discard(&id(1), "replay", "jo", at(3)).await.unwrap(), "not in that run");
    let discarding: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.discard(&id(1), LIVE, "jo", at(3)).await.unwrap() })
        })
        .collect();
    let mut discarded = 0;
    for asked in discarding {
        discarded += u32::from(asked.await.unwrap());
    }
    assert_eq!(discarded, 1, "whoever else does so at the same time has not");
    assert_eq!(row(store, 1).await.outcome, Outcome::Discarded);
    assert!(!store.discard(&id(1), LIVE, "jo", at(4)).await.unwrap(), "once");
    assert!(!store.resume(&id(1), LIVE, at(5)).await.unwrap());
    let record = store.event(id(1).as_str()).await.unwrap().unwrap();
    let last = record.attempts.last().unwrap();
    assert_eq!((last.outcome, last.worker.as_str(), last.at), (Outcome::Discarded, "jo", at(3)));
}

pub(super) async fn what_is_read_again_and_again_is_counted_until_it_was_read(store: &Store) {
    for times in 1..4 {
        assert_eq!(store.reading(&id(1), at(times)).await.unwrap(), u32::try_from(times).unwrap());
    }
    assert_eq!(store.reading(&id(2), at(4)).await.unwrap(), 1, "each by itself");
    store.was_read(&id(1)).await.unwrap();
    assert_eq!(store.reading(&id(1), at(5)).await.unwrap(), 1);
    store.was_read(&id(3)).await.unwrap();
}

pub(super) async fn waits_for_the_same_reason_are_one_row(store: &Store) {
    store.remember(&arrival(1), LIVE).await.unwrap();
    let wait = |why: String, second| async move {
        store.attempted(&id(1), LIVE, "w1", Outcome::Open, Some(&why), at(second)).await.unwrap()
    };
    for second in 0..50 {
        wait(if second % 2 == 0 { "Slack is down" } else { "502" }.to_owned(), second).await;
    }
    let attempts = || async { store.event(id(1).as_str()).await.unwrap().unwrap().attempts };
    let rows: Vec<_> = attempts().await.into_iter().map(|a| (a.why.unwrap(), a.times, a.at)).collect();
    assert_eq!(rows, [("Slack is down".to_owned(), 25, at(48)), ("502".to_owned(), 25, at(49))]);

    // What failed is a row of its own, and what waits after it another.
    let failed = store.attempted(&id(1), LIVE, "w1", Outcome::Retrying, Some("502"), at(50)).await.unwrap();
    assert_eq!(failed, 1);
    wait("502".to_owned(), 51).await;
    assert_eq!(attempts().await.len(), 4);
    // Reasons that never repeat don't fill the log either.
    for second in 52..152 {
        wait(format!("request {second} failed"), second).await;
    }
    let attempts = attempts().await;
    assert!(attempts.len() < 30, "{} rows", attempts.len());
    assert_eq!(attempts.last().unwrap().why.as_deref(), Some("request 151 failed"));
}

pub(super) async fn waiting_is_no_unfinished_attempt(store: &Store) {
    for _ in 0..3 {
        store.remember(&arrival(1), LIVE).await.unwrap();
        store.waited(&id(1)).await.unwrap();
    }
    assert_eq!(store.unfinished(&id(1)).await.unwrap(), 0);
    store.remember(&arrival(1), LIVE).await.unwrap();
    assert_eq!(store.unfinished(&id(1)).await.unwrap(), 1);
}

pub(super) async fn long_names_are_kept_and_told_apart(store: &Store) {
    // Text that can't be made shorter by packing it.
    let long: String = (0..2_000u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
    for number in [1, 2] {
        let mut arrival = arrival(number);
        let name = format!("{long}{number}");
        arrival.event.tenant = name.clone();
        arrival.event.job_id = name.clone();
        arrival.event.status = name.clone();
        store.remember(&arrival, LIVE).await.unwrap();
        let action = switch_off(&name);
        let decision = Decision {
            new_values: vec![value("changed", &number.to_string())],
            ..decision(number, LIVE, std::slice::from_ref(&action))
        };
        store.record_decision(Verdicts { scope: &name, ..verdicts(&decision) }).await.unwrap();
        let turn = Turn::of(&action, at(1));
        let claim =
            store.claim(&decision.steps[0].key, turn.as_ref(), "w1", at(1), Duration::from_secs(60)).await;
        assert_eq!(claim.unwrap(), Claim::Mine { begun: 0 });
    }
    for number in [1, 2] {
        let name = format!("{long}{number}");
        assert_eq!(store.last_value("changed", &name).await.unwrap(), Some(number.to_string()));
        for filter in [
            Filter { tenant: Some(name.clone()), ..Filter::default() },
            Filter { job_id: Some(name.clone()), ..Filter::default() },
            Filter { status: Some(name.clone()), ..Filter::default() },
        ] {
            let found = store.events(&filter, 10).await.unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!((&found[0].event.id, &found[0].event.tenant), (&id(number), &name));
        }
    }
}

pub(super) async fn salt_is_random_and_stays(store: &Store) {
    let salt = store.salt().await.unwrap();
    assert!(salt.len() >= 30 && salt.iter().any(|byte| *byte != salt[0]), "{salt:?}");
    assert_eq!(store.salt().await.unwrap(), salt);
}
