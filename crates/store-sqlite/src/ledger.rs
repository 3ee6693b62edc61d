//! The ledger: who is at which step, and how it ended.

use std::time::Duration;

use domain::journal::{Claim, Ending, LAPSES, StepEnd, StepRecord, StepState, Turn, held_until};
use domain::names::EventId;
use domain::plan::{Step, StepKey};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::text::{count, from_json, instant, micros, micros_of, text};
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
    let until = micros_now.saturating_add(micros_of(lease));
    let held = sqlx::query!(
        r#"SELECT state, lease_until, released_at,
             (SELECT seen_at FROM workers WHERE name = steps.worker) AS "seen_at?: i64"
           FROM steps WHERE key = ?1"#,
        key
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or_else(|| unknown(step))?;
    let held_until = held.lease_until.map(|end| held_until(end, held.seen_at, LAPSES));
    match (state(&held.state)?, held_until) {
        (StepState::Claimed, Some(end)) if end > micros_now => {
            return Ok(Claim::Busy { until: instant(end)? });
        }
        (StepState::Held, _) if held.released_at.is_none() => return Ok(Claim::Held),
        (StepState::Claimed | StepState::Pending | StepState::Held, _) => {}
        (settled, _) => return Ok(Claim::Settled(settled)),
    }
    if let Some(turn) = turn
        && let Some(refused) = turns::take(connection, turn, asked, until).await?
    {
        if let Claim::Newer { .. } = refused {
            // Whoever was at it is not waited for: it is to be settled as overtaken.
            sqlx::query!(
                "UPDATE steps SET state = 'pending', worker = NULL, lease_until = NULL
                 WHERE key = ?1 AND state = 'claimed'",
                key
            )
            .execute(connection)
            .await?;
        }
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

/// Ends the lease of every claim: those of a worker that is known to be dead can be taken over at once. The turns stay with
/// their steps for as long as a call of that worker may still be under way.
pub(crate) async fn end_leases(connection: &mut SqliteConnection) -> Result<(), Trouble> {
    sqlx::query!("UPDATE steps SET lease_until = 0 WHERE state = 'claimed'")
        .execute(&mut *connection)
        .await?;
    storms::end_leases(connection).await
}

/// What a worker says of the end of its attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) step: &'a StepKey,
    pub(crate) turn: Option<&'a Turn>,
    pub(crate) worker: &'a str,
    pub(crate) end: &'a StepEnd,
    pub(crate) now: Timestamp,
}

/// Whose claim ended and was taken over has lost the say: of its ends only a success counts, because what has been done is
/// done, whoever is at it now. Every other end of it, be it a failure or a doubt, leaves the step and the turn to whoever
/// holds them; that its attempt may have had its effect was counted when the other claimed. A step in nobody's hands is
/// settled by whoever comes. What is settled stays as it was settled first; only that it may have been done twice is added.
pub(crate) async fn settle(connection: &mut SqliteConnection, said: Said<'_>) -> Result<(), Trouble> {
    let Said { step, turn, worker, end, now } = said;
    let ending = Ending::of(end);
    let (key, state, micros_now) = (text(step.as_str()), ending.state.as_str(), micros(now));
    let key = &*key;
    let (request, answer) = (ending.request.map(text), ending.answer.map(text));
    let (error, owner) = (ending.error.map(text), text(worker));
    let changed = sqlx::query!(
        "UPDATE steps SET state = ?2, request = ?3, answer = ?4, error = ?5,
           perhaps_twice = (perhaps_twice OR ?6), begun = max(0, begun - (state = 'claimed' AND ?7)),
           worker = NULL, lease_until = NULL, changed_at = ?8
         WHERE key = ?1
           AND (state = 'pending' OR (state = 'held' AND released_at IS NOT NULL)
             OR (state = 'claimed' AND (worker = ?9 OR ?2 = 'done')))",
        key,
        state,
        request,
        answer,
        error,
        ending.perhaps_twice,
        ending.taken_back,
        micros_now,
        owner
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if changed == 0 {
        let now_is = sqlx::query_scalar!("SELECT state FROM steps WHERE key = ?1", key)
            .fetch_optional(&mut *connection)
            .await?
            .ok_or_else(|| unknown(step))?;
        tracing::warn!(step = key, state, now_is, "a claim was lost before its end; that end is not kept");
        if ending.perhaps_twice || ending.state == StepState::Unknown {
            sqlx::query!("UPDATE steps SET perhaps_twice = 1 WHERE key = ?1 AND state = 'done'", key)
                .execute(&mut *connection)
                .await?;
        }
    }
    match turn {
        Some(turn) => turns::end(connection, turn, said, &ending).await,
        None => Ok(()),
    }
}

pub(crate) fn unknown(key: &StepKey) -> Trouble {
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
