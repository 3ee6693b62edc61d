//! How the attempts at an event went.

use domain::journal::{Attempt, Outcome};
use domain::names::EventId;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::limits::UNTOLD;
use crate::text::{count, instant, micros, text};
use crate::{ledger, lines, turns};

/// What the worker says of one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempted<'a> {
    pub(crate) event: &'a EventId,
    pub(crate) run: &'a str,
    pub(crate) worker: &'a str,
    pub(crate) outcome: Outcome,
    pub(crate) why: Option<&'a str>,
    pub(crate) now: Timestamp,
}

pub(crate) async fn record(connection: &mut PgConnection, attempted: Attempted<'_>) -> Result<u32, Trouble> {
    let Attempted { event, run, worker, outcome, why, now: at } = attempted;
    let (run, worker, why) = (text(run), text(worker), why.map(text));
    let (run, worker, why) = (&*run, &*worker, why.as_deref());
    let (event_id, now, outcome_text) = (event.as_str(), micros(at), outcome.as_str());
    let counts = matches!(outcome, Outcome::Retrying | Outcome::Dead);
    // The event first: its row is locked until the end, so that two attempts never count to the same number, and who
    // tells what was folded comes before this or after.
    sqlx::query!("SELECT id FROM events WHERE id = $1 FOR UPDATE", event_id)
        .fetch_optional(&mut *connection)
        .await?;
    sqlx::query!(
        // What was held may have been done or dropped by others meanwhile, and what was folded told.
        "UPDATE events SET failures = failures + ($4::boolean)::integer, begun = 0,
           outcome = CASE
             WHEN $2::text NOT IN ('held', 'folded') OR EXISTS (SELECT 1 FROM steps WHERE event = $1 AND state = $2) THEN $2
             WHEN EXISTS (SELECT 1 FROM steps WHERE event = $1 AND state = 'folded') THEN 'folded'
             WHEN EXISTS (SELECT 1 FROM steps WHERE event = $1 AND run = $5 AND state = 'dropped' AND error <> $6)
             THEN 'dropped'
             ELSE 'done' END,
           why = CASE
             WHEN $2 NOT IN ('held', 'folded') OR EXISTS (SELECT 1 FROM steps WHERE event = $1 AND state = $2) THEN $3
             WHEN EXISTS (SELECT 1 FROM steps WHERE event = $1 AND run = $5 AND state = 'dropped' AND error <> $6)
             THEN why
             ELSE NULL END
         WHERE id = $1",
        event_id,
        outcome_text,
        why,
        counts,
        run,
        UNTOLD
    )
    .execute(&mut *connection)
    .await?;
    let waited = outcome == Outcome::Open && waited_again(connection, attempted).await?;
    if !waited {
        sqlx::query!(
            "INSERT INTO attempts (event, run, number, worker, at, outcome, why, counts)
             VALUES ($1, $2, (SELECT coalesce(max(number), 0) + 1 FROM attempts WHERE event = $1 AND run = $2),
               $3, $4, $5, $6, $7)",
            event_id,
            run,
            worker,
            now,
            outcome_text,
            why,
            counts
        )
        .execute(&mut *connection)
        .await?;
    }
    if outcome == Outcome::Dead {
        turns::give_up(connection, event, run, at).await?;
        lines::give_up(connection, event, run).await?;
    }
    failures(connection, event, run).await
}

/// Notes that an attempt had to wait as one before it had to, in the row of that one; false when there is none. With many
/// different reasons one after the other, only the last of them is kept.
async fn waited_again(connection: &mut PgConnection, attempted: Attempted<'_>) -> Result<bool, Trouble> {
    const REASONS: i64 = 20;
    let Attempted { event, run, worker, why, now, .. } = attempted;
    let (event, run, worker, why) = (event.as_str(), text(run), text(worker), why.map(text));
    let (run, worker, why, now) = (&*run, &*worker, why.as_deref(), micros(now));
    let last_of_others = sqlx::query_scalar!(
        r#"SELECT coalesce(max(number), 0) AS "last!" FROM attempts
           WHERE event = $1 AND run = $2 AND outcome <> 'open'"#,
        event,
        run
    )
    .fetch_one(&mut *connection)
    .await?;
    let folded = sqlx::query!(
        "UPDATE attempts SET at = $4, worker = $5, why = $3, times = times + 1
         WHERE event = $1 AND run = $2 AND number = coalesce(
           (SELECT max(number) FROM attempts WHERE event = $1 AND run = $2 AND number > $6 AND why IS NOT DISTINCT FROM $3::text),
           (SELECT max(number) FROM attempts WHERE event = $1 AND run = $2 AND number >= $6 + $7))",
        event,
        run,
        why,
        now,
        worker,
        last_of_others,
        REASONS
    )
    .execute(connection)
    .await?;
    Ok(folded.rows_affected() > 0)
}

pub(crate) async fn failures(
    connection: &mut PgConnection,
    event: &EventId,
    run: &str,
) -> Result<u32, Trouble> {
    let (event, run) = (event.as_str(), text(run));
    let run = &*run;
    let failed = sqlx::query_scalar!(
        r#"SELECT count(*) AS "failed!" FROM attempts WHERE event = $1 AND run = $2 AND counts"#,
        event,
        run
    )
    .fetch_one(connection)
    .await?;
    Ok(count(failed))
}

/// How many attempts were begun since one last ended, this one included.
pub(crate) async fn unfinished(connection: &mut PgConnection, event: &EventId) -> Result<u32, Trouble> {
    let event = event.as_str();
    let begun = sqlx::query_scalar!("SELECT begun FROM events WHERE id = $1", event)
        .fetch_optional(connection)
        .await?;
    Ok(count(begun.unwrap_or(0)))
}

/// An attempt ended because what it needs is in other hands: it is none that died.
pub(crate) async fn waited(connection: &mut PgConnection, event: &EventId) -> Result<(), Trouble> {
    let event = event.as_str();
    sqlx::query!("UPDATE events SET begun = greatest(0, begun - 1) WHERE id = $1", event)
        .execute(connection)
        .await?;
    Ok(())
}

/// Reopens a run that was given up; false when it was not, or when someone else has reopened it since.
pub(crate) async fn resume(
    connection: &mut PgConnection,
    event: &EventId,
    run: &str,
    now: Timestamp,
) -> Result<bool, Trouble> {
    let id = event.as_str();
    // Whoever asks at the same time waits here, and then finds it reopened.
    sqlx::query!("SELECT id FROM events WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(&mut *connection)
        .await?;
    if !given_up(connection, event, run).await? {
        return Ok(false);
    }
    reopen(connection, event, run, now).await?;
    Ok(true)
}

/// A person has thrown away what was given up. `by` says who. False when it was not given up, or is no longer.
pub(crate) async fn discard(
    connection: &mut PgConnection,
    event: &EventId,
    run: &str,
    by: &str,
    now: Timestamp,
) -> Result<bool, Trouble> {
    // Another person may be retrying or discarding it at this moment.
    let id = event.as_str();
    sqlx::query!("SELECT id FROM events WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(&mut *connection)
        .await?;
    if !given_up(connection, event, run).await? {
        return Ok(false);
    }
    let why = Some("a person threw its dead letter away");
    let discarded = Attempted { event, run, worker: by, outcome: Outcome::Discarded, why, now };
    record(connection, discarded).await?;
    Ok(true)
}

/// Was this run given up, and not reopened since?
async fn given_up(connection: &mut PgConnection, event: &EventId, run: &str) -> Result<bool, Trouble> {
    let (event, run) = (event.as_str(), text(run));
    let run = &*run;
    let last = sqlx::query!(
        r#"SELECT outcome, counts FROM attempts WHERE event = $1 AND run = $2
           ORDER BY number DESC LIMIT 1"#,
        event,
        run
    )
    .fetch_optional(connection)
    .await?;
    match last {
        Some(last) => Ok(outcome(&last.outcome)? == Outcome::Dead && last.counts),
        None => Ok(false),
    }
}

/// When a run of the event first failed, of the failures that count.
pub(crate) async fn first_failed_at(
    connection: &mut PgConnection,
    event: &EventId,
    run: &str,
) -> Result<Option<Timestamp>, Trouble> {
    let (event, run) = (event.as_str(), text(run));
    let run = &*run;
    let first = sqlx::query_scalar!(
        r#"SELECT min(at) AS at FROM attempts WHERE event = $1 AND run = $2 AND counts"#,
        event,
        run
    )
    .fetch_one(connection)
    .await?;
    first.map(instant).transpose()
}

/// A person wants it tried again: what failed before no longer counts, and what was given up is to be done.
pub(crate) async fn reopen(
    connection: &mut PgConnection,
    event: &EventId,
    run: &str,
    now: Timestamp,
) -> Result<u32, Trouble> {
    let (event, run) = (event.as_str(), text(run));
    let run = &*run;
    let steps = ledger::reopen_steps(connection, event, run, micros(now)).await?;
    let forgiven = sqlx::query!(
        "UPDATE attempts SET counts = FALSE WHERE event = $1 AND run = $2 AND counts",
        event,
        run
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if steps > 0 || forgiven > 0 {
        sqlx::query!(
            "UPDATE events SET outcome = 'open', why = NULL, begun = 0,
               failures = (SELECT count(*) FROM attempts WHERE event = $1 AND counts)
             WHERE id = $1",
            event
        )
        .execute(connection)
        .await?;
    }
    Ok(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// Of all runs, oldest first.
pub(crate) async fn all(connection: &mut PgConnection, event: &EventId) -> Result<Vec<Attempt>, Trouble> {
    let event = event.as_str();
    sqlx::query!(
        "SELECT run, number, worker, at, outcome, why, times FROM attempts WHERE event = $1 ORDER BY at, run, number",
        event
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Attempt {
            run: row.run,
            number: count(row.number),
            worker: row.worker,
            at: instant(row.at)?,
            outcome: outcome(&row.outcome)?,
            why: row.why,
            times: count(row.times),
        })
    })
    .collect()
}

pub(crate) fn outcome(text: &str) -> Result<Outcome, Trouble> {
    Outcome::from_text(text).ok_or_else(|| Trouble::Corrupt(format!("{text:?} is no outcome")))
}
