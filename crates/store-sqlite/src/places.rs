//! Where events came from.

use domain::action::Place;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;

/// Every environment, flow and tenant of which an event is recorded.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Place>, Trouble> {
    Ok(sqlx::query_as!(
        Place,
        "SELECT DISTINCT env_id, flow_id, tenant FROM events WHERE flow_id <> '' AND tenant <> ''
         ORDER BY env_id, flow_id, tenant"
    )
    .fetch_all(connection)
    .await?)
}
