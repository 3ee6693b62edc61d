use std::time::Duration;

use tests::chaos::run;
use tests::chaos::scenario::Scenario;

/// Long enough for some blows. `cargo xtask chaos` goes on for as long as one likes.
const SHORT: Duration = Duration::from_secs(2);

/// Whatever was answered 2xx has its end, and nothing is there twice, but for what the ledger says itself.
async fn keeps_its_promises(scenario: Scenario) {
    let home = tempfile::tempdir().unwrap();
    let seed = 1;
    let round = run(scenario, home.path(), SHORT, seed).await;
    if !round.tally.violations.is_empty() {
        let kept = home.keep();
        let said = round.tally.violations.join("\n");
        panic!("{}, seed {seed}, logs and stores in {}:\n{said}", scenario.name(), kept.display());
    }
    assert!(round.blows > 0 && round.tally.posted > 0, "nothing was done");
}

macro_rules! stories {
    ($($name:ident: $scenario:ident,)*) => {
        $(#[tokio::test]
        async fn $name() {
            keeps_its_promises(Scenario::$scenario).await;
        })*

        #[test]
        fn every_scenario_has_its_story() {
            assert_eq!(Scenario::ALL.to_vec(), vec![$(Scenario::$scenario),*]);
        }
    };
}

stories! {
    all_is_counted_when_nothing_happens: Calm,
    ingest_may_be_killed: IngestKilled,
    the_worker_may_be_killed: WorkerKilled,
    the_broker_may_be_killed: BrokerKilled,
    all_may_be_killed: AllKilled,
    the_worker_may_be_killed_at_every_step: WorkerKilledAtEveryStep,
    the_worker_may_be_killed_at_every_step_on_postgres: WorkerKilledAtEveryStepOnPostgres,
    the_worker_may_be_stopped_for_longer_than_the_queue_waits: WorkerStopped,
    a_worker_may_leave: WorkerLeaves,
    the_outside_may_fail_one_call_in_five: FailingOneInFive,
    the_outside_may_ask_to_slow_down: SlowedDown,
    the_outside_may_hang: Hanging,
    the_outside_may_cut_the_connection_after_the_effect: CutAfterTheEffect,
    the_event_log_may_be_locked: DatabaseLocked,
    the_broker_may_be_stopped: BrokerStopped,
    the_broker_may_be_away: BrokerAway,
    a_cluster_may_lose_a_node: ClusterLosesNode,
    a_replay_may_be_interrupted: ReplayInterrupted,
    dead_letters_may_be_sent_back_while_the_worker_is_killed: DeadLettersSentBack,
    with_a_spool_the_broker_may_be_away: SpoolBrokerAway,
    with_a_spool_the_broker_may_be_stopped: SpoolBrokerStopped,
    with_a_spool_all_may_be_killed: SpoolAllKilled,
    the_disk_of_the_spool_may_be_full: SpoolDiskFull,
    with_a_journal_all_may_be_killed: JournalAllKilled,
    with_a_journal_the_power_may_fail: JournalPowerCut,
    many_workers_share_what_comes: ManyWorkers,
    of_many_workers_one_may_be_killed: ManyWorkersKilled,
    of_many_workers_one_may_be_stopped: ManyWorkersStopped,
}
