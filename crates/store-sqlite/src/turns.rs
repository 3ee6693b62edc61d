//! Turns: what steps of several events change, they change one at a time, and a schedule never backwards in event time.

use domain::journal::{Claim, Ending, LAPSES_WITH_TURN, LINGERS, StepState, Turn, held_until};
use domain::names::EventId;
use domain::plan::StepKey;
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::ledger::{Asked, Said};
use crate::text::{instant, micros, micros_of, text};

/// Takes the turn for a step; the reason if it can't have it, and then nothing is taken.
pub(crate) async fn take(
    connection: &mut SqliteConnection,
    turn: &Turn,
    asked: Asked<'_>,
    until: i64,
) -> Result<Option<Claim>, Trouble> {
    let Asked { step, worker, now, .. } = asked;
    let (scope, key, worker, now) = (text(&turn.scope), text(step.as_str()), text(worker), micros(now));
    let (scope, key, worker) = (&*scope, &*key, &*worker);
    // Who has said nothing since is dead, and its calls are over.
    let dead_since = now.saturating_sub(micros_of(LAPSES_WITH_TURN));
    let taken = sqlx::query!(
        "INSERT INTO turns (scope, step, lease_until, worker) VALUES (?1, ?2, ?4, ?5)
         ON CONFLICT (scope) DO UPDATE
           SET step = excluded.step, lease_until = excluded.lease_until, worker = excluded.worker
         WHERE turns.step = excluded.step OR turns.lease_until <= ?3
           OR EXISTS (SELECT 1 FROM workers WHERE name = turns.worker AND seen_at <= ?6)",
        scope,
        key,
        now,
        until,
        worker,
        dead_since
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if taken == 0 {
        let held = sqlx::query!(
            r#"SELECT lease_until, (SELECT seen_at FROM workers WHERE name = turns.worker) AS "seen_at?: i64"
               FROM turns WHERE scope = ?1"#,
            scope
        )
        .fetch_optional(connection)
        .await?;
        let until = held.map_or(now, |held| held_until(held.lease_until, held.seen_at, LAPSES_WITH_TURN));
        return Ok(Some(Claim::Busy { until: instant(until)? }));
    }
    // Asked only now: who had the turn before has written down what it changed.
    let Some(event) = newer(connection, turn, step.event()).await? else { return Ok(None) };
    let same_moment = newer(connection, turn, AFTER_EVERY_ID).await?.is_none();
    release(connection, scope, key, worker).await?;
    Ok(Some(Claim::Newer { event, same_moment }))
}

/// Writes down what the step changed, and passes the turn on unless the effect may still come, or another worker has taken
/// the step over and the turn with it.
pub(crate) async fn end(
    connection: &mut SqliteConnection,
    turn: &Turn,
    said: Said<'_>,
    ending: &Ending<'_>,
) -> Result<(), Trouble> {
    let Said { step, worker, now, .. } = said;
    if ending.state == StepState::Done {
        mark_applied(connection, turn, step, now).await?;
    }
    let (scope, step_key, worker) = (text(&turn.scope), text(step.as_str()), text(worker));
    let (scope, step_key, worker) = (&*scope, &*step_key, &*worker);
    let keeps =
        ending.keeps_turn || (turn.schedule.is_some() && lost_before(connection, step_key, ending).await?);
    if !keeps {
        return release(connection, scope, step_key, worker).await;
    }
    let until = lingering(now);
    sqlx::query!(
        "UPDATE turns SET lease_until = min(lease_until, ?3) WHERE scope = ?1 AND step = ?2 AND worker = ?4",
        scope,
        step_key,
        until,
        worker
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

/// Did the step have an attempt before this one whose answer was lost? What that attempt changes may land after what a later
/// one was answered.
async fn lost_before(
    connection: &mut SqliteConnection,
    step: &str,
    ending: &Ending<'_>,
) -> Result<bool, Trouble> {
    let begun = sqlx::query_scalar!("SELECT begun FROM steps WHERE key = ?1", step)
        .fetch_optional(connection)
        .await?
        .unwrap_or(0);
    Ok(begun > if ending.taken_back { 0 } else { 1 })
}

fn lingering(now: Timestamp) -> i64 {
    micros(now).saturating_add(micros_of(LINGERS))
}

async fn release(
    connection: &mut SqliteConnection,
    scope: &str,
    step: &str,
    worker: &str,
) -> Result<(), Trouble> {
    sqlx::query!("DELETE FROM turns WHERE scope = ?1 AND step = ?2 AND worker = ?3", scope, step, worker)
        .execute(connection)
        .await?;
    Ok(())
}

/// Greater than any event's id, which is hexadecimal.
const AFTER_EVERY_ID: &str = "g";

/// The newer event, if any, whose change of the same schedule was applied: of a later time, or of the same time and an id
/// greater than `own`.
async fn newer(
    connection: &mut SqliteConnection,
    turn: &Turn,
    own: &str,
) -> Result<Option<EventId>, Trouble> {
    let Some(schedule) = turn.schedule.as_deref().map(text) else { return Ok(None) };
    let at = micros(turn.occurred_at);
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
