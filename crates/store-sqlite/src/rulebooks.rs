//! The rulebooks that decided, so that a decision can be explained later.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::text::{micros, text};

pub(crate) async fn seen(
    connection: &mut SqliteConnection,
    version: &str,
    rulebook: &str,
    now: Timestamp,
) -> Result<(), Trouble> {
    let (rulebook, now) = (text(rulebook), micros(now));
    sqlx::query!(
        "INSERT INTO rulebooks (version, text, used_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (version) DO UPDATE SET used_at = max(used_at, excluded.used_at)",
        version,
        rulebook,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// It decided again: as long as decisions of it are kept, so is its text.
pub(crate) async fn used(
    connection: &mut SqliteConnection,
    version: &str,
    at: Timestamp,
) -> Result<(), Trouble> {
    let at = micros(at);
    sqlx::query!("UPDATE rulebooks SET used_at = ?2 WHERE version = ?1 AND used_at < ?2", version, at)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn get(connection: &mut SqliteConnection, version: &str) -> Result<Option<String>, Trouble> {
    Ok(sqlx::query_scalar!("SELECT text FROM rulebooks WHERE version = ?1", version)
        .fetch_optional(connection)
        .await?)
}
