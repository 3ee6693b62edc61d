//! The event log, whichever database holds it. It must never decide anything and never let an SQL type out: what goes in
//! and comes out are the words of [`domain::journal`].

use std::time::Duration;

use domain::action::Place;
use domain::journal::{
    Arrival, Before, Claim, EventRecord, EventRow, Filter, HeldStep, MayPost, Outcome, Paused, Post, Quiet,
    Recorded, Rows, ScheduleChange, Seen, Span, StepEnd, StepRecord, Storm, StormEnd, Telling, Turn,
    Verdicts,
};
use domain::names::EventId;
use domain::plan::{Decision, Step, StepKey};
use domain::storm::pace::{Answer, Pace, Spell};
use jiff::Timestamp;
use store_postgres::PostgresStore;
use store_sqlite::SqliteStore;

pub use domain::journal::{Access, StoreError};

/// How to write a database URL.
const WRITE: &str = "write sqlite://PATH (sqlite://gluehook.db) or postgres://USER:PASSWORD@HOST/DATABASE as the database URL";

/// Where the event log is.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Where the event log is.
    #[arg(
        help = "The event log: sqlite://FILE, or postgres://USER:PASSWORD@HOST/DATABASE for several workers",
        long,
        global = true,
        env = "GLUEHOOK_DATABASE_URL",
        value_name = "URL",
        default_value = "sqlite://gluehook.db",
        hide_env_values = true
    )]
    pub database_url: String,
}

impl Args {
    /// Does the URL name a database that we know?
    ///
    /// # Errors
    /// How to write it.
    pub fn check(&self) -> Result<(), String> {
        kind(&self.database_url).map(|_| ())
    }
}

enum Kind {
    Sqlite,
    Postgres,
}

/// A URL may hold a password: no more than its scheme is ever repeated.
fn kind(url: &str) -> Result<Kind, String> {
    match url.split_once(':') {
        Some(("sqlite", _)) => Ok(Kind::Sqlite),
        Some(("postgres" | "postgresql", _)) => Ok(Kind::Postgres),
        // Without the slashes it may be a user's name.
        Some((scheme, rest))
            if rest.starts_with("//") && scheme.chars().all(|c| c.is_ascii_alphanumeric()) =>
        {
            Err(format!("{scheme}: is no database we know: {WRITE}"))
        }
        _ => Err(format!("the database URL has no scheme: {WRITE}")),
    }
}

/// An event log. Clones share it.
///
/// Every method fails with [`StoreError::Unavailable`] when trying again may help, and otherwise with what a person has
/// to see.
#[derive(Debug, Clone)]
pub enum Store {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// The same of whichever database it is.
macro_rules! either {
    ($self:expr, $store:ident => $asked:expr) => {
        match $self {
            Self::Sqlite($store) => $asked.await,
            Self::Postgres($store) => $asked.await,
        }
    };
}

impl Store {
    /// Opens the event log that a URL names: `sqlite://PATH`, `sqlite:PATH` or `sqlite::memory:` (the path is taken as it
    /// is written), or `postgres://USER:PASSWORD@HOST:PORT/DATABASE` with the parameters that libpq knows.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with a sentence when the URL is none of these, when there is no such log or a newer one,
    /// when it can't be written, when `SQLite` has another worker, or when Postgres refuses the user;
    /// [`StoreError::Unavailable`] when it is locked or out of reach.
    pub async fn open(url: &str, access: Access) -> Result<Self, StoreError> {
        Self::open_waiting(url, access, store_sqlite::BUSY_TIMEOUT).await
    }

    /// As [`Self::open`], with the time that one waits for another program's lock, then and later.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub async fn open_waiting(url: &str, access: Access, busy_timeout: Duration) -> Result<Self, StoreError> {
        match kind(url).map_err(StoreError::Refused)? {
            Kind::Sqlite => Ok(Self::Sqlite(SqliteStore::open(url, &access, busy_timeout).await?)),
            Kind::Postgres => Ok(Self::Postgres(PostgresStore::open(url, &access, busy_timeout).await?)),
        }
    }

    /// Waits for what is under way and closes the log; later calls fail.
    pub async fn close(&self) {
        either!(self, store => store.close())
    }

    /// Enters an event, or counts that it was delivered again. The first time its outcome is [`Outcome::Open`].
    pub async fn remember(&self, arrival: &Arrival, run: &str) -> Result<Seen, StoreError> {
        either!(self, store => store.remember(arrival, run))
    }

    /// Enters many events on which no rule acts, in one transaction; one answer for each. A known event is only counted:
    /// what became of it stands, unless it was open and nothing was decided.
    pub async fn record_quiet(&self, batch: &[Quiet]) -> Result<Vec<Seen>, StoreError> {
        either!(self, store => store.record_quiet(batch))
    }

    /// What was decided about an event in a run.
    pub async fn decision(&self, event: &EventId, run: &str) -> Result<Option<Decision>, StoreError> {
        either!(self, store => store.decision(event, run))
    }

    /// Writes a decision down, with its steps and new values, before the first effect. Written once: if there is one already,
    /// that one is returned, and nothing changes. A new value replaces only that of an event no newer. Steps of a rule that is
    /// paused, or that would touch one tenant too many and is paused with this, are held ([`domain::journal::Brake`]); one
    /// worker at a time decides that.
    ///
    /// None, and nothing written, when a last value that the rules had read (`facts.last_values`) is another by now:
    /// someone else has decided in the meantime, and this event is to be decided anew.
    pub async fn record_decision(&self, verdicts: Verdicts<'_>) -> Result<Option<Decision>, StoreError> {
        either!(self, store => store.record_decision(verdicts))
    }

    /// Rules that are paused, and those of which something is still held, by name.
    pub async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        either!(self, store => store.paused())
    }

    /// Steps of live decisions that were planned and are not done: those that are held, and those that a person has dropped.
    pub async fn undone(&self) -> Result<Vec<StepKey>, StoreError> {
        either!(self, store => store.undone())
    }

    /// The messages about pauses that have not been sent: steps to be claimed and settled like any other, each with the
    /// tenant whose event it is of.
    pub async fn alerts(&self) -> Result<Vec<(Step, String)>, StoreError> {
        either!(self, store => store.alerts())
    }

    /// What is held of a rule, in the order in which it was decided.
    pub async fn held(&self, rule: &str) -> Result<Vec<HeldStep>, StoreError> {
        either!(self, store => store.held(rule))
    }

    /// Ends the pause of a rule and releases what is held of it: such steps stay held until a worker claims them, so that
    /// none is lost that no worker is told of. Tenants are counted from none again. Returns how many steps.
    pub async fn release(&self, rule: &str, now: Timestamp) -> Result<u64, StoreError> {
        either!(self, store => store.release(rule, now))
    }

    /// Ends the pause of a rule and drops what is held of it, for the reason given; also what was released and not taken
    /// up. Tenants are counted from none again. Returns how many steps.
    pub async fn drop_held(&self, rule: &str, why: &str, now: Timestamp) -> Result<u64, StoreError> {
        either!(self, store => store.drop_held(rule, why, now))
    }

    /// To be asked before a Slack message is claimed: it may go now, it has folded into a storm and is told with others, or
    /// it has to wait in its channel's line. Which it is, is written down with the answer, for all workers alike; a message
    /// that was once to be posted on its own stays so.
    pub async fn may_post(&self, post: Post<'_>, now: Timestamp) -> Result<MayPost, StoreError> {
        either!(self, store => store.may_post(post, now))
    }

    /// Takes the next turn in a channel's line, whoever waits there.
    pub async fn reserve(&self, line: &str, pace: Pace, now: Timestamp) -> Result<Answer, StoreError> {
        either!(self, store => store.reserve(line, pace, now))
    }

    /// A turn in a line is over: the next may begin then. Without it the next begins when the spell has ended.
    pub async fn leave_line(&self, line: &str, spell: Spell, next: Timestamp) -> Result<(), StoreError> {
        either!(self, store => store.leave_line(line, spell, next))
    }

    /// Slack has asked for quiet until then: no worker gets a turn before.
    pub async fn quiet(&self, until: Timestamp) -> Result<(), StoreError> {
        either!(self, store => store.quiet(until))
    }

    /// Storms that are not closed, oldest first; then the newest `closed` of those that are.
    pub async fn storms(&self, closed: u32) -> Result<Vec<Storm>, StoreError> {
        either!(self, store => store.storms(closed))
    }

    /// Takes a storm that is to be told, until `until`; one whose time is over is closed to new messages with that.
    pub async fn take_storm(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Telling>, StoreError> {
        either!(self, store => store.take_storm(worker, now, until))
    }

    /// Writes down how telling a storm ended. What Slack took is done: the steps that the message counts, and the events of
    /// which nothing else is folded. Who comes after another has taken the storm changes nothing.
    pub async fn settle_storm(
        &self,
        telling: &Telling,
        end: &StormEnd,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        either!(self, store => store.settle_storm(telling, end, now))
    }

    /// Notes how a schedule is before a claimed step changes it; once an earlier attempt may have changed it, what was
    /// noted stands.
    pub async fn note_before(&self, step: &StepKey, before: &Before) -> Result<(), StoreError> {
        either!(self, store => store.note_before(step, before))
    }

    /// What [`Self::note_before`] has noted of a step.
    pub async fn before(&self, step: &StepKey) -> Result<Option<Before>, StoreError> {
        either!(self, store => store.before(step))
    }

    /// Changes of schedules that a rule has carried out from `since` on and before `until`, oldest first.
    pub async fn schedule_changes(
        &self,
        rule: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<ScheduleChange>, StoreError> {
        either!(self, store => store.schedule_changes(rule, since, until))
    }

    /// Puts a decision in the place of one that could not be carried out, if that is still the one made at `decided_at`;
    /// else the one that is there is returned. Steps that both have stay as they are. None as in [`Self::record_decision`].
    pub async fn replace_decision(
        &self,
        decided_at: Timestamp,
        verdicts: Verdicts<'_>,
    ) -> Result<Option<Decision>, StoreError> {
        either!(self, store => store.replace_decision(decided_at, verdicts))
    }

    /// The last value of a rule's `changed` expression in a scope ([`domain::journal::scope`]).
    pub async fn last_value(&self, rule: &str, scope: &str) -> Result<Option<String>, StoreError> {
        either!(self, store => store.last_value(rule, scope))
    }

    /// Says that a worker lives. To be called every [`domain::journal::BEAT`]; a worker that has called it before and then
    /// not for [`domain::journal::LAPSES`] is dead to the others, and must make no call.
    pub async fn alive(&self, worker: &str, now: Timestamp) -> Result<(), StoreError> {
        either!(self, store => store.alive(worker, now))
    }

    /// An event is about to be read that a worker may be dying over. Returns how often that was begun since
    /// [`Self::was_read`], this time included.
    pub async fn reading(&self, event: &EventId, now: Timestamp) -> Result<u32, StoreError> {
        either!(self, store => store.reading(event, now))
    }

    /// Reading an event came to its end, whatever that was.
    pub async fn was_read(&self, event: &EventId) -> Result<(), StoreError> {
        either!(self, store => store.was_read(event))
    }

    /// Takes a step until `now + lease`, unless it is settled or someone else is at it; with it the turn, unless a step of
    /// another event has that, or a newer event has changed the same schedule. Claims and turns whose lease has ended are
    /// taken over, and so are those of a dead worker ([`Self::alive`]): claims at once, turns once none of its calls can be
    /// under way ([`domain::journal::LAPSES_WITH_TURN`]). Choose a lease longer than any attempt lasts.
    pub async fn claim(
        &self,
        step: &StepKey,
        turn: Option<&Turn>,
        worker: &str,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Claim, StoreError> {
        either!(self, store => store.claim(step, turn, worker, now, lease))
    }

    /// Writes down how an attempt of `worker` at a step ended. After [`StepEnd::Again`] it can be claimed again, and an
    /// uncertain attempt stays counted in [`Claim::Mine`]; every other end is final, and a later one changes nothing but
    /// that it may have been done twice.
    ///
    /// When another worker has taken the step over, only a success counts, because what has been done is done; any other
    /// end leaves the step and its turn to that worker.
    ///
    /// `turn` is the one that was claimed. It passes on, and a schedule that was changed is noted, with the end; only after
    /// an uncertain attempt it stays with the step for [`domain::journal::LINGERS`], because the effect may still be on its
    /// way, unless the event is given up.
    pub async fn settle(
        &self,
        step: &StepKey,
        turn: Option<&Turn>,
        worker: &str,
        end: &StepEnd,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        either!(self, store => store.settle(step, turn, worker, end, now))
    }

    /// An attempt ended because a step of it is in other hands: it does not count as one that never came to its end
    /// ([`Self::unfinished`]).
    pub async fn waited(&self, event: &EventId) -> Result<(), StoreError> {
        either!(self, store => store.waited(event))
    }

    /// How many attempts were begun (by [`Self::remember`]) since one last ended, this one included.
    pub async fn unfinished(&self, event: &EventId) -> Result<u32, StoreError> {
        either!(self, store => store.unfinished(event))
    }

    /// When a run of the event first failed, of the failures that count.
    pub async fn first_failed_at(&self, event: &EventId, run: &str) -> Result<Option<Timestamp>, StoreError> {
        either!(self, store => store.first_failed_at(event, run))
    }

    /// Notes how an attempt at an event went, which is then the event's outcome. One that only had to wait ([`Outcome::Open`])
    /// as one before it had to is noted with that one. Returns how many attempts of this run have failed so far (retrying
    /// and dead are failures).
    pub async fn attempted(
        &self,
        event: &EventId,
        run: &str,
        worker: &str,
        outcome: Outcome,
        why: Option<&str>,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        either!(self, store => store.attempted(event, run, worker, outcome, why, now))
    }

    /// How many attempts of this run have failed since it was last reopened.
    pub async fn failures(&self, event: &EventId, run: &str) -> Result<u32, StoreError> {
        either!(self, store => store.failures(event, run))
    }

    /// Makes failed, unknown and skipped steps of a run pending again, and forgives its failures; the history stays. Returns
    /// how many steps. The event is open afterwards.
    pub async fn reopen(&self, event: &EventId, run: &str, now: Timestamp) -> Result<u32, StoreError> {
        either!(self, store => store.reopen(event, run, now))
    }

    /// Reopens a run that was given up, once for each time: false when it was not, or when it was reopened since.
    pub async fn resume(&self, event: &EventId, run: &str, now: Timestamp) -> Result<bool, StoreError> {
        either!(self, store => store.resume(event, run, now))
    }

    /// Takes note that a person has thrown away what was given up; `by` says who. False when it was not given up, or is no longer.
    pub async fn discard(
        &self,
        event: &EventId,
        run: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        either!(self, store => store.discard(event, run, by, now))
    }

    /// Keeps the text of a rulebook; to be called when it is loaded.
    pub async fn rulebook_seen(&self, version: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
        either!(self, store => store.rulebook_seen(version, text, now))
    }

    /// The text of a rulebook, as long as decisions of it are kept.
    pub async fn rulebook(&self, version: &str) -> Result<Option<String>, StoreError> {
        either!(self, store => store.rulebook(version))
    }

    /// What tokens of exports are made with: random, and the same as long as there is this event log. A secret.
    pub async fn salt(&self) -> Result<Vec<u8>, StoreError> {
        either!(self, store => store.salt())
    }

    /// The steps of an event in a run, in the order in which they were planned.
    pub async fn steps_of(&self, event: &EventId, run: &str) -> Result<Vec<StepRecord>, StoreError> {
        either!(self, store => store.steps_of(event, run))
    }

    /// Lists events, newest first; oldest first when `after_row` is given. For the next page give the last row's number as
    /// `before_row` (or `after_row`): rows that arrive meanwhile don't shift it. `since` is included, `until` is not, both are
    /// times of receipt; sequences, both included, are those of the live stream.
    pub async fn events(&self, filter: &Filter, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        either!(self, store => store.events(filter, limit))
    }

    /// All that is known of one event, by its id or by how that begins (six characters or more). An ambiguous beginning is
    /// refused with a sentence that names the candidates.
    pub async fn event(&self, id_or_prefix: &str) -> Result<Option<EventRecord>, StoreError> {
        either!(self, store => store.event(id_or_prefix))
    }

    /// Every environment, flow and tenant of which an event is recorded that names a flow and a tenant.
    pub async fn places(&self) -> Result<Vec<Place>, StoreError> {
        either!(self, store => store.places())
    }

    /// The rows of a span of recorded events, as of now; none when there is no such event.
    pub async fn recorded_rows(&self, span: &Span) -> Result<Option<Rows>, StoreError> {
        either!(self, store => store.recorded_rows(span))
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
        either!(self, store => store.recorded(span, rows, after, limit))
    }

    /// Forgets events received before `cutoff`, with their decisions, steps and attempts, `batch` of them at a time in a short
    /// transaction; then what else was last used before. To be called until it returns 0.
    pub async fn forget_before(&self, cutoff: Timestamp, batch: u32) -> Result<u64, StoreError> {
        either!(self, store => store.forget_before(cutoff, batch))
    }

    /// Can it be read?
    pub async fn ping(&self) -> Result<(), StoreError> {
        either!(self, store => store.ping())
    }
}
