//! Turns: what steps of several events change, they change one at a time, and a schedule never backwards in event time.

use domain::journal::{Claim, Ending, LINGERS, StepState, Turn};
use domain::names::EventId;
use domain::plan::StepKey;
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::text::{instant, micros, text};

/// Takes the turn for a step; the reason if it can't have it, and then nothing is taken.
pub(crate) async fn take(
    connection: &mut SqliteConnection,
    turn: &Turn,
    step: &StepKey,
    now: Timestamp,
    until: i64,
) -> Result<Option<Claim>, Trouble> {
    let (scope, key, now) = (text(&turn.scope), text(step.as_str()), micros(now));
    let (scope, key) = (&*scope, &*key);
    let taken = sqlx::query!(
        "INSERT INTO turns (scope, step, lease_until) VALUES (?1, ?2, ?4)
         ON CONFLICT (scope) DO UPDATE SET step = excluded.step, lease_until = excluded.lease_until
         WHERE turns.step = excluded.step OR turns.lease_until <= ?3",
        scope,
        key,
        now,
        until
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if taken == 0 {
        let until = sqlx::query_scalar!("SELECT lease_until FROM turns WHERE scope = ?1", scope)
            .fetch_optional(connection)
            .await?;
        return Ok(Some(Claim::Busy { until: instant(until.unwrap_or(now))? }));
    }
    // Asked only now: who had the turn before has written down what it changed.
    let Some(event) = newer(connection, turn, step).await? else { return Ok(None) };
    release(connection, scope, key).await?;
    Ok(Some(Claim::Newer { event }))
}

/// Writes down what the step changed, and passes the turn on unless the effect may still come.
pub(crate) async fn end(
    connection: &mut SqliteConnection,
    turn: &Turn,
    step: &StepKey,
    ending: &Ending<'_>,
    now: Timestamp,
) -> Result<(), Trouble> {
    if ending.state == StepState::Done {
        mark_applied(connection, turn, step, now).await?;
    }
    let (scope, step_key) = (text(&turn.scope), text(step.as_str()));
    let (scope, step_key) = (&*scope, &*step_key);
    if !ending.keeps_turn {
        return release(connection, scope, step_key).await;
    }
    let until = lingering(now);
    sqlx::query!(
        "UPDATE turns SET lease_until = min(lease_until, ?3) WHERE scope = ?1 AND step = ?2",
        scope,
        step_key,
        until
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A run of an event was given up: others wait for its turns no longer than a lost call may be on its way.
pub(crate) async fn give_up(
    connection: &mut SqliteConnection,
    event: &EventId,
    run: &str,
    now: Timestamp,
) -> Result<(), Trouble> {
    // A step's key begins with its event and run, and after the slash comes the zero.
    let run = text(run);
    let (from, to) = (format!("{event}/{run}/"), format!("{event}/{run}0"));
    let until = lingering(now);
    sqlx::query!(
        "UPDATE turns SET lease_until = min(lease_until, ?3) WHERE step >= ?1 AND step < ?2",
        from,
        to,
        until
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn lingering(now: Timestamp) -> i64 {
    micros(now).saturating_add(i64::try_from(LINGERS.as_micros()).unwrap_or(i64::MAX))
}

/// Ends the lease of every turn.
pub(crate) async fn end_leases(connection: &mut SqliteConnection) -> Result<(), Trouble> {
    sqlx::query!("UPDATE turns SET lease_until = 0").execute(connection).await?;
    Ok(())
}

async fn release(connection: &mut SqliteConnection, scope: &str, key: &str) -> Result<(), Trouble> {
    sqlx::query!("DELETE FROM turns WHERE scope = ?1 AND step = ?2", scope, key).execute(connection).await?;
    Ok(())
}

/// The newer event, if any, whose change of the same schedule was applied: of a later time, or of the same time and a
/// greater id.
async fn newer(
    connection: &mut SqliteConnection,
    turn: &Turn,
    step: &StepKey,
) -> Result<Option<EventId>, Trouble> {
    let Some(schedule) = turn.schedule.as_deref().map(text) else { return Ok(None) };
    let (at, own) = (micros(turn.occurred_at), step.event());
    let newer = sqlx::query_scalar!(
        "SELECT event FROM applied WHERE scope = ?1 AND (at, event) > (?2, ?3)",
        schedule,
        at,
        own
    )
    .fetch_optional(connection)
    .await?;
    Ok(newer.map(EventId::from_text))
}

/// Of two changes, the newer stays noted.
async fn mark_applied(
    connection: &mut SqliteConnection,
    turn: &Turn,
    step: &StepKey,
    now: Timestamp,
) -> Result<(), Trouble> {
    let Some(schedule) = turn.schedule.as_deref().map(text) else { return Ok(()) };
    let (at, own, now) = (micros(turn.occurred_at), step.event(), micros(now));
    sqlx::query!(
        "INSERT INTO applied (scope, at, event, marked_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (scope) DO UPDATE SET at = excluded.at, event = excluded.event, marked_at = excluded.marked_at
         WHERE (excluded.at, excluded.event) > (applied.at, applied.event)",
        schedule,
        at,
        own,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}
