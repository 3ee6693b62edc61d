//! What tokens of exports are made with; the migration made it.

use sqlx::postgres::PgConnection;

use crate::error::Trouble;

pub(crate) async fn get(connection: &mut PgConnection) -> Result<Vec<u8>, Trouble> {
    Ok(sqlx::query_scalar!("SELECT salt.salt FROM salt").fetch_one(connection).await?)
}
