//! The event log, whichever database holds it. It must never decide anything and never let an SQL type out: what goes in
//! and comes out are the words of [`domain::journal`].

use std::time::Duration;

use domain::journal::{
    Arrival, Claim, EventRecord, EventRow, Filter, Outcome, Quiet, Recorded, Rows, Seen, Span, StepEnd,
    StepRecord, Verdicts,
};
use domain::names::EventId;
use domain::plan::{Decision, StepKey};
use jiff::Timestamp;
use store_sqlite::SqliteStore;

pub use store_sqlite::{Access, StoreError};

/// Where the event log is.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Where the event log is.
    #[arg(
        help = "The event log: sqlite://FILE",
        long,
        global = true,
        env = "GLUEHOOK_DATABASE_URL",
        value_name = "URL",
        default_value = "sqlite://gluehook.db",
        hide_env_values = true
    )]
    pub database_url: String,
}

/// An event log. Clones share it.
///
/// Every method fails with [`StoreError::Unavailable`] when trying again may help, and otherwise with what a person has
/// to see.
#[derive(Debug, Clone)]
pub enum Store {
    Sqlite(SqliteStore),
}

impl Store {
    /// Opens the event log that a URL names: `sqlite://PATH`, `sqlite:PATH` or `sqlite::memory:`. The path is taken
    /// as it is written.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with a sentence when the URL is none of these, when there is no such log or a newer one,
    /// when it can't be written, or when another worker has it; [`StoreError::Unavailable`] when it is locked.
    pub async fn open(url: &str, access: Access) -> Result<Self, StoreError> {
        Self::open_waiting(url, access, store_sqlite::BUSY_TIMEOUT).await
    }

    /// As [`Self::open`], with the time that one waits for another program's lock, then and later.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub async fn open_waiting(url: &str, access: Access, busy_timeout: Duration) -> Result<Self, StoreError> {
        // A URL may hold a password: no more than its scheme is ever repeated.
        match url.split_once(':') {
            Some(("sqlite", _)) => Ok(Self::Sqlite(SqliteStore::open(url, &access, busy_timeout).await?)),
            Some(("postgres" | "postgresql", _)) => Err(StoreError::Refused(
                "Postgres is not supported by this version: use sqlite://PATH as the database URL".to_owned(),
            )),
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Err(StoreError::Refused(format!(
                    "{scheme}: is no database we know: write sqlite://PATH as the database URL"
                )))
            }
            _ => Err(StoreError::Refused(
                "the database URL has no scheme: write sqlite://PATH (sqlite://gluehook.db)".to_owned(),
            )),
        }
    }

    /// Waits for what is under way and closes the log; later calls fail.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
        }
    }

    /// Enters an event, or counts that it was delivered again. The first time its outcome is [`Outcome::Open`].
    pub async fn remember(&self, arrival: &Arrival, run: &str) -> Result<Seen, StoreError> {
        match self {
            Self::Sqlite(store) => store.remember(arrival, run).await,
        }
    }

    /// Enters many events on which no rule acts, in one transaction; one answer for each. A known event is only counted:
    /// what became of it stands, unless it was open and nothing was decided.
    pub async fn record_quiet(&self, batch: &[Quiet]) -> Result<Vec<Seen>, StoreError> {
        match self {
            Self::Sqlite(store) => store.record_quiet(batch).await,
        }
    }

    /// What was decided about an event in a run.
    pub async fn decision(&self, event: &EventId, run: &str) -> Result<Option<Decision>, StoreError> {
        match self {
            Self::Sqlite(store) => store.decision(event, run).await,
        }
    }

    /// Writes a decision down, with its steps and new values, before the first effect. Written once: if there is one already,
    /// that one is returned, and nothing changes. A new value replaces only that of an event no newer.
    pub async fn record_decision(&self, verdicts: Verdicts<'_>) -> Result<Decision, StoreError> {
        match self {
            Self::Sqlite(store) => store.record_decision(verdicts).await,
        }
    }

    /// The last value of a rule's `changed` expression in a scope ([`domain::journal::scope`]).
    pub async fn last_value(&self, rule: &str, scope: &str) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(store) => store.last_value(rule, scope).await,
        }
    }

    /// Takes a step until `now + lease`, unless it is settled or someone else is at it. A claim whose lease has ended is taken
    /// over; choose a lease longer than any attempt lasts.
    pub async fn claim(
        &self,
        step: &StepKey,
        worker: &str,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Claim, StoreError> {
        match self {
            Self::Sqlite(store) => store.claim(step, worker, now, lease).await,
        }
    }

    /// Writes down how an attempt at a step ended. After [`StepEnd::Again`] it can be claimed again, and an uncertain attempt
    /// stays counted in [`Claim::Mine`]; every other end is final, and a later one changes nothing.
    pub async fn settle(&self, step: &StepKey, end: StepEnd, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.settle(step, end, now).await,
        }
    }

    /// The newer event, if any, whose change of this schedule ([`domain::journal::schedule_scope`]) was applied: of a later
    /// time than `at`, or of the same time and a greater id than that of the step's event.
    pub async fn applied_after(
        &self,
        scope: &str,
        at: Timestamp,
        step: &StepKey,
    ) -> Result<Option<EventId>, StoreError> {
        match self {
            Self::Sqlite(store) => store.applied_after(scope, at, step).await,
        }
    }

    /// Notes that a change of a schedule was applied; of two, the newer stays noted.
    pub async fn mark_applied(
        &self,
        scope: &str,
        at: Timestamp,
        event: &EventId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.mark_applied(scope, at, event, now).await,
        }
    }

    /// Puts a decision in the place of one that could not be carried out. Steps that both have stay as they are.
    pub async fn replace_decision(&self, verdicts: Verdicts<'_>) -> Result<Decision, StoreError> {
        match self {
            Self::Sqlite(store) => store.replace_decision(verdicts).await,
        }
    }

    /// Was this run given up, and not reopened since?
    pub async fn given_up(&self, event: &EventId, run: &str) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(store) => store.given_up(event, run).await,
        }
    }

    /// How many attempts were begun (by [`Self::remember`]) since one last ended, this one included.
    pub async fn unfinished(&self, event: &EventId) -> Result<u32, StoreError> {
        match self {
            Self::Sqlite(store) => store.unfinished(event).await,
        }
    }

    /// When a run of the event first failed, of the failures that count.
    pub async fn first_failed_at(&self, event: &EventId, run: &str) -> Result<Option<Timestamp>, StoreError> {
        match self {
            Self::Sqlite(store) => store.first_failed_at(event, run).await,
        }
    }

    /// Notes how an attempt at an event went, which is then the event's outcome. Returns how many attempts of this run have
    /// failed so far (retrying and dead are failures).
    pub async fn attempted(
        &self,
        event: &EventId,
        run: &str,
        worker: &str,
        outcome: Outcome,
        why: Option<&str>,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        match self {
            Self::Sqlite(store) => store.attempted(event, run, worker, outcome, why, now).await,
        }
    }

    /// How many attempts of this run have failed since it was last reopened.
    pub async fn failures(&self, event: &EventId, run: &str) -> Result<u32, StoreError> {
        match self {
            Self::Sqlite(store) => store.failures(event, run).await,
        }
    }

    /// Makes failed, unknown and skipped steps of a run pending again, and forgives its failures; the history stays. Returns
    /// how many steps. The event is open afterwards.
    pub async fn reopen(&self, event: &EventId, run: &str, now: Timestamp) -> Result<u32, StoreError> {
        match self {
            Self::Sqlite(store) => store.reopen(event, run, now).await,
        }
    }

    /// Keeps the text of a rulebook; to be called when it is loaded.
    pub async fn rulebook_seen(&self, version: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.rulebook_seen(version, text, now).await,
        }
    }

    /// The text of a rulebook, as long as decisions of it are kept.
    pub async fn rulebook(&self, version: &str) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(store) => store.rulebook(version).await,
        }
    }

    /// The steps of an event in a run, in the order in which they were planned.
    pub async fn steps_of(&self, event: &EventId, run: &str) -> Result<Vec<StepRecord>, StoreError> {
        match self {
            Self::Sqlite(store) => store.steps_of(event, run).await,
        }
    }

    /// Lists events, newest first; oldest first when `after_row` is given. For the next page give the last row's number as
    /// `before_row` (or `after_row`): rows that arrive meanwhile don't shift it. `since` is included, `until` is not, both are
    /// times of receipt; sequences, both included, are those of the live stream.
    pub async fn events(&self, filter: &Filter, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        match self {
            Self::Sqlite(store) => store.events(filter, limit).await,
        }
    }

    /// All that is known of one event, by its id or by how that begins (six characters or more). An ambiguous beginning is
    /// refused with a sentence that names the candidates.
    pub async fn event(&self, id_or_prefix: &str) -> Result<Option<EventRecord>, StoreError> {
        match self {
            Self::Sqlite(store) => store.event(id_or_prefix).await,
        }
    }

    /// The rows of a span of recorded events, as of now; none when there is no such event.
    pub async fn recorded_rows(&self, span: &Span) -> Result<Option<Rows>, StoreError> {
        match self {
            Self::Sqlite(store) => store.recorded_rows(span).await,
        }
    }

    /// Recorded events of a span with what was decided about them, oldest first, `limit` of them from behind the row `after`.
    /// For the next page give the last row's number.
    pub async fn recorded(
        &self,
        span: &Span,
        rows: Rows,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        match self {
            Self::Sqlite(store) => store.recorded(span, rows, after, limit).await,
        }
    }

    /// Forgets events received before `cutoff`, with their decisions, steps and attempts, `batch` of them at a time in a short
    /// transaction; then what else was last used before. To be called until it returns 0.
    pub async fn forget_before(&self, cutoff: Timestamp, batch: u32) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.forget_before(cutoff, batch).await,
        }
    }

    /// Can it be read?
    pub async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.ping().await,
        }
    }
}
