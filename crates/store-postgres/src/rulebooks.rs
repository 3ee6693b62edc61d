//! The rulebooks that decided, so that a decision can be explained later.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::text::{micros, text};

pub(crate) async fn seen(
    connection: &mut PgConnection,
    version: &str,
    rulebook: &str,
    now: Timestamp,
) -> Result<(), Trouble> {
    let (rulebook, now) = (text(rulebook), micros(now));
    let rulebook = &*rulebook;
    sqlx::query!(
        "INSERT INTO rulebooks (version, text, used_at) VALUES ($1, $2, $3)
         ON CONFLICT (version) DO UPDATE SET used_at = greatest(rulebooks.used_at, excluded.used_at)",
        version,
        rulebook,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// So far ahead is noted that a rulebook is in use: else every decision of every worker would wait for the one before
/// it, to write the same row.
const AHEAD_MICROS: i64 = 60_000_000;

/// It decided again: as long as decisions of it are kept, so is its text.
pub(crate) async fn used(connection: &mut PgConnection, version: &str, at: Timestamp) -> Result<(), Trouble> {
    let at = micros(at);
    let ahead = at.saturating_add(AHEAD_MICROS);
    sqlx::query!("UPDATE rulebooks SET used_at = $3 WHERE version = $1 AND used_at < $2", version, at, ahead)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn get(connection: &mut PgConnection, version: &str) -> Result<Option<String>, Trouble> {
    Ok(sqlx::query_scalar!("SELECT text FROM rulebooks WHERE version = $1", version)
        .fetch_optional(connection)
        .await?)
}
