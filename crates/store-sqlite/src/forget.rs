//! Retention: what is older than a cutoff goes, a little at a time.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::text::micros;
use crate::workers;

/// An event that is being worked on, or was of late, keeps its ledger however old it is: a replay or a dead letter that
/// is sent back must find what is done. So does one that a storm is yet to tell of. Forgets at most `batch` events with all that belongs to them; when no more are
/// left, as many remembered values, applied changes, turns, touched tenants, storms, lines, rulebooks and workers each. Returns how many rows went in all (those that belong to an event not counted).
pub(crate) async fn before(
    connection: &mut SqliteConnection,
    cutoff: Timestamp,
    batch: u32,
) -> Result<u64, Trouble> {
    let (cutoff, batch) = (micros(cutoff), i64::from(batch));
    let events = sqlx::query!(
        "DELETE FROM events WHERE row IN
           (SELECT row FROM events WHERE received_at < ?1 AND outcome NOT IN ('open', 'retrying', 'held', 'folded')
              AND NOT EXISTS (SELECT 1 FROM attempts WHERE event = events.id AND at >= ?1)
              AND NOT EXISTS (SELECT 1 FROM steps JOIN storms ON storms.id = steps.storm
                WHERE steps.event = events.id AND storms.state <> 'closed')
            ORDER BY received_at LIMIT ?2)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if events > 0 {
        return Ok(events);
    }
    let values = sqlx::query!(
        "DELETE FROM last_values WHERE (rule, scope) IN
           (SELECT rule, scope FROM last_values WHERE used_at < ?1 LIMIT ?2)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let applied = sqlx::query!(
        "DELETE FROM applied WHERE scope IN (SELECT scope FROM applied WHERE marked_at < ?1 LIMIT ?2)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let turns = sqlx::query!(
        "DELETE FROM turns WHERE scope IN (SELECT scope FROM turns WHERE lease_until < ?1 LIMIT ?2)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let touched = sqlx::query!(
        "DELETE FROM touched WHERE (rule, tenant) IN
           (SELECT rule, tenant FROM touched WHERE at < ?1 LIMIT ?2)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let storms = sqlx::query!(
        "DELETE FROM storms WHERE id IN
           (SELECT id FROM storms WHERE last_at < ?1 AND state = 'closed' LIMIT ?2)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let lines = sqlx::query!(
        "DELETE FROM slack_lines WHERE channel IN
           (SELECT channel FROM slack_lines WHERE free_at < ?1 AND queue_until < ?1 LIMIT ?2)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    // The last one used stays, however long nothing has happened: it is the one that decides next.
    let rulebooks = sqlx::query!(
        "DELETE FROM rulebooks WHERE version IN
           (SELECT version FROM rulebooks WHERE used_at < ?1 AND used_at < (SELECT max(used_at) FROM rulebooks)
            LIMIT ?2)",
        cutoff,
        batch
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let workers = workers::forget(connection, cutoff, batch).await?;
    Ok(values + applied + turns + touched + storms + lines + rulebooks + workers)
}

/// Gives some of the freed pages (2 MiB) back to the file system.
pub(crate) async fn shrink(connection: &mut SqliteConnection) -> Result<(), Trouble> {
    sqlx::query!("PRAGMA incremental_vacuum(512)").execute(connection).await?;
    Ok(())
}
