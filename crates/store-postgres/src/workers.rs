//! Which workers live, and what one of them may be dying over.

use domain::names::EventId;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::text::{count, micros, text};

/// A worker says that it lives.
pub(crate) async fn alive(
    connection: &mut PgConnection,
    worker: &str,
    now: Timestamp,
) -> Result<(), Trouble> {
    let (worker, now) = (text(worker), micros(now));
    let worker = &*worker;
    sqlx::query!(
        "INSERT INTO workers (name, seen_at) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET seen_at = greatest(workers.seen_at, excluded.seen_at)",
        worker,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An event is about to be read: how often that was begun without coming to an end, this time included.
pub(crate) async fn reading(
    connection: &mut PgConnection,
    event: &EventId,
    now: Timestamp,
) -> Result<u32, Trouble> {
    let (event, now) = (event.as_str(), micros(now));
    let begun = sqlx::query_scalar!(
        "INSERT INTO readings (event, begun, begun_at) VALUES ($1, 1, $2)
         ON CONFLICT (event) DO UPDATE SET begun = readings.begun + 1, begun_at = excluded.begun_at
         RETURNING begun",
        event,
        now
    )
    .fetch_one(connection)
    .await?;
    Ok(count(begun))
}

/// Reading it came to its end, whatever that was.
pub(crate) async fn was_read(connection: &mut PgConnection, event: &EventId) -> Result<(), Trouble> {
    let event = event.as_str();
    sqlx::query!("DELETE FROM readings WHERE event = $1", event).execute(connection).await?;
    Ok(())
}

/// Forgets workers and readings that are long over, at most `batch` of each; how many.
pub(crate) async fn forget(connection: &mut PgConnection, cutoff: i64, batch: i64) -> Result<u64, Trouble> {
    let workers = sqlx::query!(
        "DELETE FROM workers WHERE name IN (SELECT name FROM workers WHERE seen_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let readings = sqlx::query!(
        "DELETE FROM readings WHERE event IN (SELECT event FROM readings WHERE begun_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        cutoff,
        batch
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(workers + readings)
}
