//! What every event log promises, told as stories, each run on every database. Another database joins by an entry in
//! `on_every_database!` and a way to make a fresh log.

mod events;
mod interleavings;
mod ledger;
mod limits;
mod listing;
mod opening;
mod opening_postgres;
mod recorded;
mod samples;
mod turns;

use store::{Access, Store};
use tempfile::TempDir;
use tests::postgres::Database;

/// A fresh event log, gone when dropped.
struct Log {
    store: Store,
    _place: Place,
}

#[expect(dead_code, reason = "held until the story is told")]
enum Place {
    Directory(TempDir),
    Database(Database),
}

impl Log {
    async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("log.db").display());
        Self { store: open(&url).await, _place: Place::Directory(directory) }
    }

    async fn postgres() -> Self {
        let database = Database::create().await;
        Self { store: open(&database.url).await, _place: Place::Database(database) }
    }
}

async fn open(url: &str) -> Store {
    Store::open(url, Access::Worker { worker: "w1".to_owned() }).await.unwrap()
}

macro_rules! on_every_database {
    ($($chapter:ident: $($story:ident)*;)*) => {
        on_every_database!(in sqlite, $($chapter: $($story)*;)*);
        on_every_database!(in postgres, $($chapter: $($story)*;)*);
    };
    (in $database:ident, $($chapter:ident: $($story:ident)*;)*) => {
        mod $database {
            $($(
                #[tokio::test]
                async fn $story() {
                    let log = super::Log::$database().await;
                    super::$chapter::$story(&log.store).await;
                    log.store.close().await;
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
        value_that_a_newer_event_met_is_not_replaced_by_an_older_one
        value_comes_back_letter_by_letter
        decision_is_made_anew_when_a_value_it_read_was_replaced
        of_events_decided_at_once_one_sees_the_value_change
        decision_that_was_replaced_is_not_replaced_again
        failures_are_counted_by_run_and_forgiven
        attempts_at_once_are_all_counted
        given_up_run_is_resumed_once
        waiting_is_no_unfinished_attempt
        long_names_are_kept_and_told_apart
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
        failed_step_that_is_reopened_remembers_a_lost_answer
        runs_have_steps_of_their_own;
    turns:
        an_older_event_never_changes_a_schedule_after_a_newer_one
        schedules_of_one_tenant_are_changed_one_at_a_time
        of_many_events_at_once_one_has_the_turn
        a_job_of_one_name_is_started_by_one_event_at_a_time
        uncertain_attempt_keeps_the_turn_for_a_while
        event_that_is_given_up_holds_others_up_no_longer_than_its_lost_call_may_take
        turn_of_a_dead_worker_is_taken_over
        late_end_of_an_older_change_is_not_noted_over_a_newer_one
        settled_step_leaves_the_turn_alone;
    limits:
        tenant_that_is_one_too_many_pauses_the_rule
        tenants_are_counted_within_the_time_only
        pause_outlives_its_limit_and_holds_no_other_rule
        of_many_tenants_at_once_no_more_than_the_limit_get_through
        message_about_a_pause_is_a_step_like_any_other
        released_step_stays_held_until_it_is_claimed
        dropped_step_is_settled_for_good
        held_event_is_kept_however_old_it_is
        schedule_is_remembered_as_it_was_before_the_first_change
        decision_of_a_person_is_not_held_back;
    interleavings:
        every_step_ends_applied_once_or_says_that_it_may_not_have;
    listing:
        newest_come_first_and_following_goes_on
        page_is_stable_while_rows_arrive
        every_filter_narrows
        what_waits_is_found_as_retrying
        error_is_found_by_any_part_of_it
        event_is_found_by_how_its_id_begins
        ambiguous_beginning_names_the_candidates
        record_tells_all;
    recorded:
        recorded_events_come_in_their_order_with_what_was_decided
        a_span_of_recorded_events_is_narrowed_and_reads_no_body_that_nobody_wants
        a_replay_does_not_stand_in_for_the_live_decision;
}
