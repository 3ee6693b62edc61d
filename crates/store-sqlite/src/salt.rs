//! What tokens of exports are made with; the migration made it.

use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;

pub(crate) async fn get(connection: &mut SqliteConnection) -> Result<Vec<u8>, Trouble> {
    Ok(sqlx::query_scalar!("SELECT salt FROM salt").fetch_one(connection).await?)
}
