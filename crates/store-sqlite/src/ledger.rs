//! The ledger: who is at which step, and how it ended.

use std::time::Duration;

use domain::journal::{Claim, Ending, StepEnd, StepRecord, StepState, Turn};
use domain::names::EventId;
use domain::plan::{Step, StepKey};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::text::{count, from_json, instant, micros, text};
use crate::{storms, turns};

/// What is asked for when a step is to be taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) step: &'a StepKey,
    pub(crate) turn: Option<&'a Turn>,
    pub(crate) worker: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) lease: Duration,
}

pub(crate) async fn claim(connection: &mut SqliteConnection, asked: Asked<'_>) -> Result<Claim, Trouble> {
    let Asked { step, turn, worker, now, lease } = asked;
    let (key, worker) = (text(step.as_str()), text(worker));
    let (key, micros_now) = (&*key, micros(now));
    let until = micros_now.saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX));
    let held = sqlx::query!("SELECT state, lease_until, released_at FROM steps WHERE key = ?1", key)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or_else(|| unknown(step))?;
    match (state(&held.state)?, held.lease_until) {
        (StepState::Claimed, Some(end)) if end > micros_now => {
            return Ok(Claim::Busy { until: instant(end)? });
        }
        (StepState::Held, _) if held.released_at.is_none() => return Ok(Claim::Held),
        (StepState::Claimed | StepState::Pending | StepState::Held, _) => {}
        (settled, _) => return Ok(Claim::Settled(settled)),
    }
    if let Some(turn) = turn
        && let Some(refused) = turns::take(connection, turn, step, now, until).await?
    {
        return Ok(refused);
    }
    let begun = sqlx::query_scalar!(
        "UPDATE steps SET state = 'claimed', attempts = attempts + 1, begun = begun + 1, worker = ?2,
           lease_until = ?4, changed_at = ?3
         WHERE key = ?1 RETURNING begun",
        key,
        worker,
        micros_now,
        until
    )
    .fetch_one(connection)
    .await?;
    Ok(Claim::Mine { begun: count(begun - 1) })
}

/// Ends every lease: a claim of a worker that is known to be dead can be taken over at once.
pub(crate) async fn end_leases(connection: &mut SqliteConnection) -> Result<(), Trouble> {
    sqlx::query!("UPDATE steps SET lease_until = 0 WHERE state = 'claimed'")
        .execute(&mut *connection)
        .await?;
    storms::end_leases(connection).await?;
    turns::end_leases(connection).await
}

/// What is settled stays as it was settled first: who was late (its lease ended, another took over) changes nothing.
pub(crate) async fn settle(
    connection: &mut SqliteConnection,
    step: &StepKey,
    turn: Option<&Turn>,
    end: &StepEnd,
    now: Timestamp,
) -> Result<(), Trouble> {
    let ending = Ending::of(end);
    let (key, state, micros_now) = (text(step.as_str()), ending.state.as_str(), micros(now));
    let key = &*key;
    let (request, answer) = (ending.request.map(text), ending.answer.map(text));
    let error = ending.error.map(text);
    let changed = sqlx::query!(
        "UPDATE steps SET state = ?2, request = ?3, answer = ?4, error = ?5,
           perhaps_twice = (perhaps_twice OR ?6), begun = max(0, begun - (state = 'claimed' AND ?7)),
           worker = NULL, lease_until = NULL, changed_at = ?8
         WHERE key = ?1
           AND (state IN ('pending', 'claimed') OR (state = 'held' AND released_at IS NOT NULL))",
        key,
        state,
        request,
        answer,
        error,
        ending.perhaps_twice,
        ending.taken_back,
        micros_now
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if changed == 0 {
        let known = sqlx::query_scalar!(r#"SELECT 1 AS "known!: i64" FROM steps WHERE key = ?1"#, key)
            .fetch_optional(&mut *connection)
            .await?;
        if known.is_none() {
            return Err(unknown(step));
        }
        tracing::warn!(step = key, state, "a step was settled before; its second end is not kept");
    }
    match turn {
        Some(turn) => turns::end(connection, turn, step, &ending, now).await,
        None => Ok(()),
    }
}

fn unknown(key: &StepKey) -> Trouble {
    Trouble::Bug(format!("no decision has the step {}", key.as_str()))
}

pub(crate) fn state(text: &str) -> Result<StepState, Trouble> {
    StepState::from_text(text).ok_or_else(|| Trouble::Corrupt(format!("{text:?} is no state of a step")))
}

/// Failed, uncertain and skipped steps are to be done after all, because a person said so.
pub(crate) async fn reopen_steps(
    connection: &mut SqliteConnection,
    event: &str,
    run: &str,
    now: i64,
) -> Result<u64, Trouble> {
    // What may have happened may now happen twice, and the step says so when it is done. The attempt that failed for good
    // had no effect; one before it, whose answer was lost, may have had.
    let done = sqlx::query!(
        "UPDATE steps SET perhaps_twice = (perhaps_twice OR state = 'unknown'), state = 'pending',
           begun = CASE state WHEN 'unknown' THEN 0 ELSE max(0, begun - 1) END, changed_at = ?3
         WHERE event = ?1 AND run = ?2 AND state IN ('failed', 'unknown', 'skipped')",
        event,
        run,
        now
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// A row of `steps`.
struct Row {
    key: String,
    rule: String,
    place: i64,
    action: String,
    state: String,
    attempts: i64,
    perhaps_twice: i64,
    request: Option<String>,
    answer: Option<String>,
    error: Option<String>,
    schedule_before: Option<String>,
    changed_at: i64,
}

impl Row {
    fn read(self) -> Result<StepRecord, Trouble> {
        Ok(StepRecord {
            step: Step {
                key: StepKey(self.key),
                rule: self.rule,
                place: usize::try_from(self.place)
                    .map_err(|error| Trouble::unreadable("the place of a step", error))?,
                action: from_json(&self.action, "the action of a step")?,
            },
            state: state(&self.state)?,
            attempts: count(self.attempts),
            perhaps_twice: self.perhaps_twice != 0,
            request: self.request,
            answer: self.answer,
            error: self.error,
            before: match self.schedule_before {
                Some(before) => Some(from_json(&before, "a schedule as it was")?),
                None => None,
            },
            changed_at: instant(self.changed_at)?,
        })
    }
}

/// Steps of one run, or of all when `run` is none, in the order in which they were planned.
pub(crate) async fn steps(
    connection: &mut SqliteConnection,
    event: &EventId,
    run: Option<&str>,
) -> Result<Vec<StepRecord>, Trouble> {
    let (event, run) = (event.as_str(), run.map(text));
    sqlx::query_as!(
        Row,
        "SELECT key, rule, place, action, state, attempts, perhaps_twice, request, answer, error, schedule_before,
           changed_at
         FROM steps WHERE event = ?1 AND (?2 IS NULL OR run = ?2) ORDER BY row",
        event,
        run
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}
