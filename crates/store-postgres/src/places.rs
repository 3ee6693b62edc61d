//! Where events came from.

use domain::action::Place;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;

/// Every environment, flow and tenant of which an event is recorded.
pub(crate) async fn all(connection: &mut PgConnection) -> Result<Vec<Place>, Trouble> {
    Ok(sqlx::query_as!(
        Place,
        "SELECT env_id, flow_id, tenant FROM events WHERE flow_id <> '' AND tenant <> ''
         GROUP BY env_id, flow_id, tenant ORDER BY env_id, flow_id, tenant"
    )
    .fetch_all(connection)
    .await?)
}
