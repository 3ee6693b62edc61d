//! The ledger: who is at which step, how it ended, and which schedule was changed by which event last.

use std::time::Duration;

use domain::journal::{Claim, StepEnd, StepRecord, StepState};
use domain::names::EventId;
use domain::plan::{Step, StepKey};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::text::{count, from_json, instant, micros, text};

pub(crate) async fn claim(
    connection: &mut SqliteConnection,
    key: &StepKey,
    worker: &str,
    now: Timestamp,
    lease: Duration,
) -> Result<Claim, Trouble> {
    let (name, worker, now) = (text(key.as_str()), text(worker), micros(now));
    let until = now.saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX));
    let key_text = &*name;
    let taken = sqlx::query_scalar!(
        r#"UPDATE steps SET state = 'claimed', attempts = attempts + 1, begun = begun + 1, worker = ?2,
             lease_until = ?4, changed_at = ?3
           WHERE key = ?1 AND (state = 'pending' OR (state = 'claimed' AND lease_until <= ?3))
           RETURNING begun"#,
        key_text,
        worker,
        now,
        until
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(begun) = taken {
        return Ok(Claim::Mine { begun: count(begun - 1) });
    }
    let held = sqlx::query!("SELECT state, lease_until FROM steps WHERE key = ?1", key_text)
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| unknown(key))?;
    match state(&held.state)? {
        StepState::Claimed | StepState::Pending => {
            Ok(Claim::Busy { until: instant(held.lease_until.unwrap_or(now))? })
        }
        settled => Ok(Claim::Settled(settled)),
    }
}

/// How an end is written down.
struct Ending {
    state: StepState,
    request: Option<String>,
    answer: Option<String>,
    error: Option<String>,
    perhaps_twice: bool,
    /// The attempt certainly had no effect: it is taken back.
    taken_back: bool,
}

impl Ending {
    fn of(end: StepEnd) -> Self {
        let ending = |state, error| Self {
            state,
            request: None,
            answer: None,
            error,
            perhaps_twice: false,
            taken_back: false,
        };
        match end {
            StepEnd::Done { request, answer } => {
                Self { request: Some(request), answer: Some(answer), ..ending(StepState::Done, None) }
            }
            StepEnd::DonePerhapsTwice { request, answer } => Self {
                request: Some(request),
                answer: Some(answer),
                perhaps_twice: true,
                ..ending(StepState::Done, None)
            },
            StepEnd::Again { why, uncertain } => {
                Self { taken_back: !uncertain, ..ending(StepState::Pending, Some(why)) }
            }
            StepEnd::Failed { why } => ending(StepState::Failed, Some(why)),
            StepEnd::Unknown { why } => ending(StepState::Unknown, Some(why)),
            StepEnd::Superseded { why } => ending(StepState::Superseded, Some(why)),
            StepEnd::Skipped { why } => ending(StepState::Skipped, Some(why)),
        }
    }
}

/// Ends every lease: a claim of a worker that is known to be dead can be taken over at once.
pub(crate) async fn end_leases(connection: &mut SqliteConnection) -> Result<(), Trouble> {
    sqlx::query!("UPDATE steps SET lease_until = 0 WHERE state = 'claimed'").execute(connection).await?;
    Ok(())
}

/// What is settled stays as it was settled first: who was late (its lease ended, another took over) changes nothing.
pub(crate) async fn settle(
    connection: &mut SqliteConnection,
    key: &StepKey,
    end: StepEnd,
    now: Timestamp,
) -> Result<(), Trouble> {
    let Ending { state, request, answer, error, perhaps_twice, taken_back } = Ending::of(end);
    let (name, now, state) = (text(key.as_str()), micros(now), state.as_str());
    let key_text = &*name;
    let (request, answer) = (request.as_deref().map(text), answer.as_deref().map(text));
    let error = error.as_deref().map(text);
    let changed = sqlx::query!(
        "UPDATE steps SET state = ?2, request = ?3, answer = ?4, error = ?5,
           perhaps_twice = (perhaps_twice OR ?6), begun = max(0, begun - (state = 'claimed' AND ?7)),
           worker = NULL, lease_until = NULL, changed_at = ?8
         WHERE key = ?1 AND state IN ('pending', 'claimed')",
        key_text,
        state,
        request,
        answer,
        error,
        perhaps_twice,
        taken_back,
        now
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if changed == 0 {
        let known = sqlx::query_scalar!(r#"SELECT 1 AS "known!: i64" FROM steps WHERE key = ?1"#, key_text)
            .fetch_optional(connection)
            .await?;
        if known.is_none() {
            return Err(unknown(key));
        }
        tracing::warn!(step = key.as_str(), state, "a step was settled before; its second end is not kept");
    }
    Ok(())
}

fn unknown(key: &StepKey) -> Trouble {
    Trouble::Bug(format!("no decision has the step {}", key.as_str()))
}

fn state(text: &str) -> Result<StepState, Trouble> {
    StepState::from_text(text).ok_or_else(|| Trouble::Corrupt(format!("{text:?} is no state of a step")))
}

/// Failed, uncertain and skipped steps are to be done after all, because a person said so.
pub(crate) async fn reopen_steps(
    connection: &mut SqliteConnection,
    event: &str,
    run: &str,
    now: i64,
) -> Result<u64, Trouble> {
    // What may have happened may now happen twice, and the step says so when it is done.
    let done = sqlx::query!(
        "UPDATE steps SET perhaps_twice = (perhaps_twice OR state = 'unknown'), state = 'pending', begun = 0,
           changed_at = ?3
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
        "SELECT key, rule, place, action, state, attempts, perhaps_twice, request, answer, error, changed_at
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

pub(crate) async fn applied_after(
    connection: &mut SqliteConnection,
    scope: &str,
    at: Timestamp,
    step: &StepKey,
) -> Result<Option<EventId>, Trouble> {
    let (scope, at) = (text(scope), micros(at));
    let Some((own, _)) = step.as_str().split_once('/') else {
        return Err(Trouble::Bug(format!("{} is no key of a step", step.as_str())));
    };
    let newer = sqlx::query_scalar!(
        "SELECT event FROM applied WHERE scope = ?1 AND (at, event) > (?2, ?3)",
        scope,
        at,
        own
    )
    .fetch_optional(connection)
    .await?;
    Ok(newer.map(EventId::from_text))
}

pub(crate) async fn mark_applied(
    connection: &mut SqliteConnection,
    scope: &str,
    at: Timestamp,
    event: &EventId,
    now: Timestamp,
) -> Result<(), Trouble> {
    let (scope, at, event, now) = (text(scope), micros(at), event.as_str(), micros(now));
    sqlx::query!(
        "INSERT INTO applied (scope, at, event, marked_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (scope) DO UPDATE SET at = excluded.at, event = excluded.event, marked_at = excluded.marked_at
         WHERE (excluded.at, excluded.event) > (applied.at, applied.event)",
        scope,
        at,
        event,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}
