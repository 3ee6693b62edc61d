//! What is disturbed, and on which house.

/// A place in the worker's way through one event; it is killed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The event is in the log; facts are being asked for.
    Remembered,
    /// All facts are known, the decision is not written down.
    Decided,
    /// The decision is written down, no step is claimed.
    Recorded,
    /// The first step is claimed, its call may be on its way.
    Claimed,
    /// The call has arrived, and has no effect.
    Performing,
    /// The schedule is set, and no answer has come.
    ScheduleSet,
    /// The job is started, and no answer has come.
    JobStarted,
    /// The message is in Slack, and no answer has come.
    Told,
    /// Every step is settled, the event is not.
    Settled,
    /// The outcome is in the log, the queue does not know.
    Ended,
}

impl Step {
    pub const ALL: [Self; 10] = [
        Self::Remembered,
        Self::Decided,
        Self::Recorded,
        Self::Claimed,
        Self::Performing,
        Self::ScheduleSet,
        Self::JobStarted,
        Self::Told,
        Self::Settled,
        Self::Ended,
    ];
}

/// One kind of trouble. Each goes on for as long as a run is given, and then ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// No trouble at all: what is counted then is what is counted always.
    Calm,
    IngestKilled,
    WorkerKilled,
    BrokerKilled,
    /// Each of the three at any time.
    AllKilled,
    /// The worker at each of its named steps in turn.
    WorkerKilledAtEveryStep,
    /// The same with the event log in Postgres.
    WorkerKilledAtEveryStepOnPostgres,
    /// The worker is stopped for longer than the queue waits for it, then goes on.
    WorkerStopped,
    /// The worker is asked to end while it has much in hand.
    WorkerLeaves,
    /// hotglue and Slack fail one call in five.
    FailingOneInFive,
    /// hotglue and Slack answer 429.
    SlowedDown,
    /// Calls to hotglue and Slack hang.
    Hanging,
    /// The call takes effect, and the connection is cut.
    CutAfterTheEffect,
    /// Another program holds the lock of the event log.
    DatabaseLocked,
    /// The broker does not move for a while.
    BrokerStopped,
    /// There is no broker for the length of the run.
    BrokerAway,
    /// Of three nodes one is always away.
    ClusterLosesNode,
    /// `gluehook replay` is killed, and goes on.
    ReplayInterrupted,
    /// Dead letters are sent back while the worker is killed.
    DeadLettersSentBack,
    /// With a spool: there is no broker for the length of the run, and every answer is 2xx.
    SpoolBrokerAway,
    /// With a spool: the broker does not move for a while.
    SpoolBrokerStopped,
    /// With a spool: each of the three is killed at any time.
    SpoolAllKilled,
    /// With a spool on a disk that is soon full, and no broker.
    SpoolDiskFull,
    /// With a journal: each of the three is killed at any time.
    JournalAllKilled,
    /// With a journal: the machine loses its power, and the broker what it had not synced.
    JournalPowerCut,
    /// Three workers share what comes, on Postgres.
    ManyWorkers,
    /// One of three workers is killed at any time.
    ManyWorkersKilled,
    /// One of three workers is stopped for longer than the queue waits for it: another is given what it has in hand.
    ManyWorkersStopped,
}

/// Where the event log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// What ingest has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spool {
    None,
    Spool,
    /// Its disk has room for a few hundred events.
    SmallDisk,
    Journal,
}

/// The house that a scenario happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    pub database: Database,
    pub workers: usize,
    /// Of nats-server.
    pub nodes: usize,
    pub spool: Spool,
}

impl Scenario {
    pub const ALL: [Self; 28] = [
        Self::Calm,
        Self::IngestKilled,
        Self::WorkerKilled,
        Self::BrokerKilled,
        Self::AllKilled,
        Self::WorkerKilledAtEveryStep,
        Self::WorkerKilledAtEveryStepOnPostgres,
        Self::WorkerStopped,
        Self::WorkerLeaves,
        Self::FailingOneInFive,
        Self::SlowedDown,
        Self::Hanging,
        Self::CutAfterTheEffect,
        Self::DatabaseLocked,
        Self::BrokerStopped,
        Self::BrokerAway,
        Self::ClusterLosesNode,
        Self::ReplayInterrupted,
        Self::DeadLettersSentBack,
        Self::SpoolBrokerAway,
        Self::SpoolBrokerStopped,
        Self::SpoolAllKilled,
        Self::SpoolDiskFull,
        Self::JournalAllKilled,
        Self::JournalPowerCut,
        Self::ManyWorkers,
        Self::ManyWorkersKilled,
        Self::ManyWorkersStopped,
    ];

    /// What it is called on the command line and in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::IngestKilled => "ingest-killed",
            Self::WorkerKilled => "worker-killed",
            Self::BrokerKilled => "broker-killed",
            Self::AllKilled => "all-killed",
            Self::WorkerKilledAtEveryStep => "worker-killed-at-every-step",
            Self::WorkerKilledAtEveryStepOnPostgres => "worker-killed-at-every-step-on-postgres",
            Self::WorkerStopped => "worker-stopped",
            Self::WorkerLeaves => "worker-leaves",
            Self::FailingOneInFive => "failing-one-in-five",
            Self::SlowedDown => "slowed-down",
            Self::Hanging => "hanging",
            Self::CutAfterTheEffect => "cut-after-the-effect",
            Self::DatabaseLocked => "database-locked",
            Self::BrokerStopped => "broker-stopped",
            Self::BrokerAway => "broker-away",
            Self::ClusterLosesNode => "cluster-loses-node",
            Self::ReplayInterrupted => "replay-interrupted",
            Self::DeadLettersSentBack => "dead-letters-sent-back",
            Self::SpoolBrokerAway => "spool-broker-away",
            Self::SpoolBrokerStopped => "spool-broker-stopped",
            Self::SpoolAllKilled => "spool-all-killed",
            Self::SpoolDiskFull => "spool-disk-full",
            Self::JournalAllKilled => "journal-all-killed",
            Self::JournalPowerCut => "journal-power-cut",
            Self::ManyWorkers => "many-workers",
            Self::ManyWorkersKilled => "many-workers-killed",
            Self::ManyWorkersStopped => "many-workers-stopped",
        }
    }

    /// # Errors
    /// A sentence with all names.
    pub fn from_name(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scenario| scenario.name() == name);
        known.ok_or_else(|| {
            format!("there is no scenario {name}; there are {}", Self::ALL.map(Self::name).join(", "))
        })
    }

    #[must_use]
    pub fn needs(self) -> Needs {
        let one = Needs { database: Database::Sqlite, workers: 1, nodes: 1, spool: Spool::None };
        match self {
            Self::ClusterLosesNode => Needs { nodes: 3, ..one },
            Self::SpoolBrokerAway | Self::SpoolBrokerStopped | Self::SpoolAllKilled => {
                Needs { spool: Spool::Spool, ..one }
            }
            Self::ManyWorkers | Self::ManyWorkersKilled | Self::ManyWorkersStopped => {
                Needs { database: Database::Postgres, workers: 3, ..one }
            }
            Self::WorkerKilledAtEveryStepOnPostgres => Needs { database: Database::Postgres, ..one },
            Self::SpoolDiskFull => Needs { spool: Spool::SmallDisk, ..one },
            Self::JournalAllKilled | Self::JournalPowerCut => Needs { spool: Spool::Journal, ..one },
            Self::Calm
            | Self::IngestKilled
            | Self::WorkerKilled
            | Self::BrokerKilled
            | Self::AllKilled
            | Self::WorkerKilledAtEveryStep
            | Self::WorkerStopped
            | Self::WorkerLeaves
            | Self::FailingOneInFive
            | Self::SlowedDown
            | Self::Hanging
            | Self::CutAfterTheEffect
            | Self::DatabaseLocked
            | Self::BrokerStopped
            | Self::BrokerAway
            | Self::ReplayInterrupted
            | Self::DeadLettersSentBack => one,
        }
    }

    /// Whether every event is answered 2xx.
    #[must_use]
    pub fn refuses_nothing(self) -> bool {
        let spool = matches!(self, Self::SpoolBrokerAway | Self::SpoolBrokerStopped);
        let ingest_and_broker_are_well = matches!(
            self,
            Self::Calm
                | Self::WorkerKilled
                | Self::WorkerStopped
                | Self::WorkerLeaves
                | Self::FailingOneInFive
                | Self::SlowedDown
                | Self::Hanging
                | Self::CutAfterTheEffect
                | Self::DatabaseLocked
                | Self::ReplayInterrupted
                | Self::DeadLettersSentBack
                | Self::ManyWorkers
                | Self::ManyWorkersKilled
                | Self::ManyWorkersStopped
        );
        spool || ingest_and_broker_are_well
    }
}
