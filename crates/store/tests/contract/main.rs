//! What every event log promises, told as stories, each run on every database. Another database joins by an entry in
//! `on_every_database!` and a way to make a fresh log.

#![expect(clippy::unwrap_used, reason = "a story that can't be told on has failed")]

mod events;
mod ledger;
mod listing;
mod opening;
mod recorded;
mod samples;

use store::{Access, Store};
use tempfile::TempDir;

/// A fresh event log, gone when dropped.
struct Log {
    store: Store,
    _directory: TempDir,
}

impl Log {
    async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("log.db").display());
        let store = Store::open(&url, Access::Worker { worker: "w1".to_owned() }).await.unwrap();
        Self { store, _directory: directory }
    }
}

macro_rules! on_every_database {
    ($($chapter:ident: $($story:ident)*;)*) => {
        mod sqlite {
            $($(
                #[tokio::test]
                async fn $story() {
                    let log = super::Log::sqlite().await;
                    super::$chapter::$story(&log.store).await;
                }
            )*)*
        }
    };
}

on_every_database! {
    events:
        repeat_is_counted_once
        quiet_batch_counts_repeats_within_itself
        large_quiet_batch_is_entered_in_its_order
        quiet_batch_does_not_reopen_a_done_event
        open_event_without_decision_may_turn_out_quiet
        quiet_event_is_open_again_when_a_rule_takes_it
        decision_is_write_once
        decision_names_the_rules_that_took_the_event
        older_event_never_replaces_a_newer_value
        value_comes_back_letter_by_letter
        failures_are_counted_by_run_and_forgiven
        forget_before_leaves_the_rest
        forget_before_leaves_what_is_worked_on
        remembered_value_in_use_is_not_forgotten
        rulebook_in_use_is_not_forgotten
        text_with_nul_emoji_and_quotes_is_stored;
    ledger:
        claim_is_exclusive
        of_many_at_once_one_gets_the_claim
        expired_claim_is_taken_over
        settled_step_returns_its_state
        uncertain_attempt_stays_counted
        certain_failure_is_taken_back
        late_end_changes_nothing
        step_of_no_decision_is_a_bug
        reopened_steps_can_be_claimed_again
        runs_have_steps_of_their_own
        an_older_event_sees_that_a_newer_was_applied;
    listing:
        newest_come_first_and_following_goes_on
        page_is_stable_while_rows_arrive
        every_filter_narrows
        error_is_found_by_any_part_of_it
        event_is_found_by_how_its_id_begins
        ambiguous_beginning_names_the_candidates
        record_tells_all;
    recorded:
        recorded_events_come_in_their_order_with_what_was_decided
        a_span_of_recorded_events_is_narrowed_and_reads_no_body_that_nobody_wants
        a_replay_does_not_stand_in_for_the_live_decision;
}
