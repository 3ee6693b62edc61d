//! What every event log promises, told as stories, each run on every database. Another database joins by an entry in
//! `on_every_database!` and a way to make a fresh log.

mod events;
mod forgetting;
mod interleavings;
mod ledger;
mod limits;
mod lines;
mod listing;
mod opening;
mod opening_postgres;
mod recorded;
mod samples;
mod storms;
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
        what_a_rule_in_shadow_meets_again_touches_no_value_of_life
        value_comes_back_letter_by_letter
        decision_is_made_anew_when_a_value_it_read_was_replaced
        of_events_decided_at_once_one_sees_the_value_change
        decision_that_was_replaced_is_not_replaced_again
        failures_are_counted_by_run_and_forgiven
        attempts_at_once_are_all_counted
        given_up_run_is_resumed_once
        what_a_person_threw_away_is_given_up_no_longer
        what_is_read_again_and_again_is_counted_until_it_was_read
        waits_for_the_same_reason_are_one_row
        waiting_is_no_unfinished_attempt
        long_names_are_kept_and_told_apart
        text_with_nul_emoji_and_quotes_is_stored
        salt_is_random_and_stays;
    forgetting:
        forget_before_leaves_the_rest
        forget_before_leaves_what_is_worked_on
        remembered_value_in_use_is_not_forgotten
        rulebook_in_use_is_not_forgotten;
    ledger:
        claim_is_exclusive
        of_many_at_once_one_gets_the_claim
        expired_claim_is_taken_over
        settled_step_returns_its_state
        uncertain_attempt_stays_counted
        certain_failure_is_taken_back
        late_end_changes_nothing
        of_a_claim_that_was_lost_only_a_success_counts
        claim_of_a_worker_that_says_nothing_any_more_is_taken_over
        step_of_no_decision_is_a_bug
        reopened_steps_can_be_claimed_again
        failed_step_that_is_reopened_remembers_a_lost_answer
        runs_have_steps_of_their_own;
    turns:
        after_a_lost_answer_the_turn_stays_though_a_later_attempt_is_answered
        an_older_event_never_changes_a_schedule_after_a_newer_one
        schedules_of_one_tenant_are_changed_one_at_a_time
        of_many_events_at_once_one_has_the_turn
        a_job_of_one_name_is_started_by_one_event_at_a_time
        uncertain_attempt_keeps_the_turn_for_a_while
        event_that_is_given_up_holds_others_up_no_longer_than_its_lost_call_may_take
        turn_of_a_dead_worker_is_taken_over
        turn_of_a_worker_that_says_nothing_any_more_passes_on_when_its_calls_are_over
        who_lost_a_step_does_not_pass_its_turn_on
        overtaken_step_of_a_dead_worker_is_settled_by_whoever_finds_it
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
        decision_of_a_person_is_not_held_back
        held_step_gives_way_to_what_its_rule_decides_anew;
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
        every_place_of_which_an_event_tells_is_known_once
        a_span_of_recorded_events_is_narrowed_and_reads_no_body_that_nobody_wants
        a_replay_does_not_stand_in_for_the_live_decision;
    lines:
        who_was_given_up_stands_in_nobodys_way
        a_channel_has_one_line_for_all_workers
        the_next_turn_begins_an_interval_after_the_call_has_ended
        after_a_refusal_all_go_in_the_order_in_which_they_first_asked
        nobody_has_a_turn_before_the_quiet_time_is_over
        who_goes_first_has_the_next_turn
        replays_wait_behind_all_others_and_hold_up_none
        a_message_that_a_dead_worker_had_claimed_waits_for_its_turn_too;
    storms:
        messages_beyond_the_first_fold_and_stay_what_they_were
        only_messages_of_one_kind_fold_together
        rare_messages_never_fold
        what_slack_took_is_done_and_the_last_word_closes_the_storm
        the_whole_call_that_told_a_storm_is_kept_once
        an_attempt_that_is_noted_after_its_message_was_told_leaves_the_event_done
        what_slack_refused_is_told_by_the_next_that_it_takes
        a_worker_that_dies_passes_its_storm_on_and_what_comes_late_is_not_kept
        a_post_whose_answer_was_lost_is_repeated_once_and_the_ledger_says_so
        a_last_word_that_may_have_arrived_is_the_last
        an_update_is_repeated_for_ever_and_a_message_that_is_gone_is_posted_anew
        without_updates_a_storm_is_told_again_only_while_it_rages
        nothing_new_is_hidden_in_a_storm_that_is_over
        what_is_settled_held_or_in_other_hands_neither_folds_nor_takes_a_turn
        what_was_held_may_fold_once_it_is_released
        a_step_that_a_person_sends_back_may_fold
        retention_leaves_what_a_storm_is_yet_to_tell
        many_workers_at_once_agree_on_what_folds
        a_storm_knows_what_became_of_the_first_of_its_kind
        a_storm_knows_of_how_many_messages_a_step_before_turned_out_otherwise;
}
