//! The event log in `SQLite`: all its SQL, every statement checked against the schema when it is compiled
//! (`.sqlx`, kept by `cargo xtask prepare`). It must never decide anything, read a clock, or let a name of `SQLite` out.
//! Start reading at `migrations/`, then [`SqliteStore`].
//!
//! One connection writes, in short transactions that begin as writers; four others only read, and see what was
//! committed when they began. A transaction that is committed is on the disk.

mod arrivals;
mod attempts;
mod decisions;
mod error;
mod fold;
mod forget;
mod ledger;
mod limits;
mod lines;
mod listing;
mod open;
mod places;
mod record;
mod recorded;
mod rulebooks;
mod salt;
mod storms;
#[cfg(test)]
mod tests;
mod text;
mod turns;
mod undo;
mod workers;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use domain::action::Place;
use domain::journal::{
    Access, Arrival, Before, Claim, EventRecord, EventRow, Filter, HeldStep, MayPost, Outcome, Paused, Post,
    Quiet, Recorded, Rows, ScheduleChange, Seen, Span, StepEnd, StepRecord, StoreError, Storm, StormEnd,
    Telling, Turn, Verdicts,
};
use domain::names::EventId;
use domain::plan::{Decision, Step, StepKey};
use domain::storm::pace::{Answer, Pace, Spell, Who};
use jiff::Timestamp;
use sqlx::Transaction;
use sqlx::sqlite::{Sqlite, SqlitePool};

use self::error::Trouble;
pub use self::open::BUSY_TIMEOUT;

/// An event log in a `SQLite` file. Clones share it.
///
/// Every method fails with [`StoreError::Unavailable`] when trying again may help; the other errors don't pass by
/// waiting.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    readers: SqlitePool,
    /// None for who only reads.
    writer: Option<SqlitePool>,
    name: Arc<str>,
    _lock: Option<Arc<File>>,
}

/// Runs what is given in one transaction of the writer.
macro_rules! write {
    ($store:expr, |$transaction:ident| $work:expr) => {{
        let result = async {
            let mut transaction = $store.begin().await?;
            let $transaction = &mut *transaction;
            let value = $work.await?;
            transaction.commit().await?;
            Ok(value)
        };
        result.await.map_err(|trouble: Trouble| trouble.of(&$store.name))
    }};
}

/// Runs what is given on a connection that only reads.
macro_rules! read {
    ($store:expr, |$connection:ident| $work:expr) => {{
        let result = async {
            let mut connection = $store.readers.acquire().await?;
            let $connection = &mut *connection;
            $work.await
        };
        result.await.map_err(|trouble: Trouble| trouble.of(&$store.name))
    }};
}

impl SqliteStore {
    /// Opens `sqlite://PATH`, `sqlite:PATH` or `sqlite::memory:` (for a worker; gone when dropped).
    ///
    /// # Errors
    /// [`StoreError::Refused`] with a sentence when there is no such log, it can't be written, another worker has it,
    /// or it is of a newer version; [`StoreError::Unavailable`] when it is locked.
    pub async fn open(url: &str, access: &Access, busy_timeout: Duration) -> Result<Self, StoreError> {
        open::open(url, access, busy_timeout).await
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Trouble> {
        Ok(self.writing()?.begin_with("BEGIN IMMEDIATE").await?)
    }

    fn writing(&self) -> Result<&SqlitePool, Trouble> {
        self.writer
            .as_ref()
            .ok_or_else(|| Trouble::Bug(format!("the event log {} was opened for reading only", self.name)))
    }

    /// Waits for what is under way and closes the log; later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        read!(self, |connection| open::ping(connection))
    }

    pub async fn remember(&self, arrival: &Arrival, run: &str) -> Result<Seen, StoreError> {
        write!(self, |transaction| arrivals::remember(transaction, arrival, run))
    }

    pub async fn record_quiet(&self, batch: &[Quiet]) -> Result<Vec<Seen>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        write!(self, |transaction| arrivals::record_quiet(transaction, batch))
    }

    pub async fn decision(&self, event: &EventId, run: &str) -> Result<Option<Decision>, StoreError> {
        read!(self, |connection| decisions::get(connection, event, run))
    }

    pub async fn record_decision(&self, verdicts: Verdicts<'_>) -> Result<Option<Decision>, StoreError> {
        write!(self, |transaction| decisions::record(transaction, verdicts))
    }

    pub async fn replace_decision(
        &self,
        decided_at: Timestamp,
        verdicts: Verdicts<'_>,
    ) -> Result<Option<Decision>, StoreError> {
        write!(self, |transaction| decisions::replace(transaction, decided_at, verdicts))
    }

    pub async fn last_value(&self, rule: &str, scope: &str) -> Result<Option<String>, StoreError> {
        read!(self, |connection| decisions::last_value(connection, rule, scope))
    }

    pub async fn claim(
        &self,
        step: &StepKey,
        turn: Option<&Turn>,
        worker: &str,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Claim, StoreError> {
        let asked = ledger::Asked { step, turn, worker, now, lease };
        write!(self, |transaction| ledger::claim(transaction, asked))
    }

    pub async fn settle(
        &self,
        step: &StepKey,
        turn: Option<&Turn>,
        worker: &str,
        end: &StepEnd,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let said = ledger::Said { step, turn, worker, end, now };
        write!(self, |transaction| ledger::settle(transaction, said))
    }

    pub async fn alive(&self, worker: &str, now: Timestamp) -> Result<(), StoreError> {
        write!(self, |transaction| workers::alive(transaction, worker, now))
    }

    pub async fn reading(&self, event: &EventId, now: Timestamp) -> Result<u32, StoreError> {
        write!(self, |transaction| workers::reading(transaction, event, now))
    }

    pub async fn was_read(&self, event: &EventId) -> Result<(), StoreError> {
        write!(self, |transaction| workers::was_read(transaction, event))
    }

    pub async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        read!(self, |connection| limits::paused(connection))
    }

    pub async fn undone(&self) -> Result<Vec<StepKey>, StoreError> {
        read!(self, |connection| limits::undone(connection))
    }

    pub async fn alerts(&self) -> Result<Vec<(Step, String)>, StoreError> {
        read!(self, |connection| limits::alerts(connection))
    }

    pub async fn held(&self, rule: &str) -> Result<Vec<HeldStep>, StoreError> {
        read!(self, |connection| limits::held(connection, rule))
    }

    pub async fn release(&self, rule: &str, now: Timestamp) -> Result<u64, StoreError> {
        write!(self, |transaction| limits::release(transaction, rule, now))
    }

    pub async fn drop_held(&self, rule: &str, why: &str, now: Timestamp) -> Result<u64, StoreError> {
        write!(self, |transaction| limits::drop_held(transaction, rule, why, now))
    }

    pub async fn may_post(&self, post: Post<'_>, now: Timestamp) -> Result<MayPost, StoreError> {
        write!(self, |transaction| fold::may_post(transaction, post, now))
    }

    pub async fn reserve(&self, line: &str, pace: Pace, now: Timestamp) -> Result<Answer, StoreError> {
        write!(self, |transaction| lines::ask(transaction, line, pace, Who::First, now))
    }

    pub async fn leave_line(&self, line: &str, spell: Spell, next: Timestamp) -> Result<(), StoreError> {
        write!(self, |transaction| lines::leave(transaction, line, spell, next))
    }

    pub async fn quiet(&self, until: Timestamp) -> Result<(), StoreError> {
        write!(self, |transaction| lines::quiet(transaction, until))
    }

    pub async fn storms(&self, closed: u32) -> Result<Vec<Storm>, StoreError> {
        read!(self, |connection| storms::all(connection, closed))
    }

    pub async fn take_storm(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Telling>, StoreError> {
        write!(self, |transaction| storms::take(transaction, worker, now, until))
    }

    pub async fn settle_storm(
        &self,
        telling: &Telling,
        end: &StormEnd,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        write!(self, |transaction| storms::settle(transaction, telling, end, now))
    }

    pub async fn note_before(&self, step: &StepKey, before: &Before) -> Result<(), StoreError> {
        write!(self, |transaction| undo::note_before(transaction, step, before))
    }

    pub async fn before(&self, step: &StepKey) -> Result<Option<Before>, StoreError> {
        read!(self, |connection| undo::before(connection, step))
    }

    pub async fn schedule_changes(
        &self,
        rule: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<ScheduleChange>, StoreError> {
        read!(self, |connection| undo::schedule_changes(connection, rule, since, until))
    }

    pub async fn attempted(
        &self,
        event: &EventId,
        run: &str,
        worker: &str,
        outcome: Outcome,
        why: Option<&str>,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let attempted = attempts::Attempted { event, run, worker, outcome, why, now };
        write!(self, |transaction| attempts::record(transaction, attempted))
    }

    pub async fn failures(&self, event: &EventId, run: &str) -> Result<u32, StoreError> {
        read!(self, |connection| attempts::failures(connection, event, run))
    }

    pub async fn unfinished(&self, event: &EventId) -> Result<u32, StoreError> {
        read!(self, |connection| attempts::unfinished(connection, event))
    }

    pub async fn waited(&self, event: &EventId) -> Result<(), StoreError> {
        write!(self, |transaction| attempts::waited(transaction, event))
    }

    pub async fn first_failed_at(&self, event: &EventId, run: &str) -> Result<Option<Timestamp>, StoreError> {
        read!(self, |connection| attempts::first_failed_at(connection, event, run))
    }

    pub async fn reopen(&self, event: &EventId, run: &str, now: Timestamp) -> Result<u32, StoreError> {
        write!(self, |transaction| attempts::reopen(transaction, event, run, now))
    }

    pub async fn resume(&self, event: &EventId, run: &str, now: Timestamp) -> Result<bool, StoreError> {
        write!(self, |transaction| attempts::resume(transaction, event, run, now))
    }

    pub async fn discard(
        &self,
        event: &EventId,
        run: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        write!(self, |transaction| attempts::discard(transaction, event, run, by, now))
    }

    pub async fn rulebook_seen(&self, version: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
        write!(self, |transaction| rulebooks::seen(transaction, version, text, now))
    }

    pub async fn rulebook(&self, version: &str) -> Result<Option<String>, StoreError> {
        read!(self, |connection| rulebooks::get(connection, version))
    }

    pub async fn salt(&self) -> Result<Vec<u8>, StoreError> {
        read!(self, |connection| salt::get(connection))
    }

    pub async fn steps_of(&self, event: &EventId, run: &str) -> Result<Vec<StepRecord>, StoreError> {
        read!(self, |connection| ledger::steps(connection, event, Some(run)))
    }

    pub async fn events(&self, filter: &Filter, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        read!(self, |connection| listing::events(connection, filter, limit))
    }

    pub async fn event(&self, id_or_prefix: &str) -> Result<Option<EventRecord>, StoreError> {
        read!(self, |connection| record::event(connection, id_or_prefix))
    }

    pub async fn places(&self) -> Result<Vec<Place>, StoreError> {
        read!(self, |connection| places::all(connection))
    }

    pub async fn recorded_rows(&self, span: &Span) -> Result<Option<Rows>, StoreError> {
        read!(self, |connection| recorded::rows(connection, span))
    }

    pub async fn recorded(
        &self,
        span: &Span,
        rows: Rows,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        read!(self, |connection| recorded::page(connection, span, rows, after, limit))
    }

    pub async fn forget_before(&self, cutoff: Timestamp, batch: u32) -> Result<u64, StoreError> {
        let gone = write!(self, |transaction| forget::before(transaction, cutoff, batch))?;
        if gone > 0 {
            write!(self, |transaction| forget::shrink(transaction))?;
        }
        Ok(gone)
    }
}
