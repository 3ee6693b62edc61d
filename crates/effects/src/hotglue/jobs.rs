//! The list of a tenant's jobs in a flow.

use domain::action::Place;
use serde_json::Value;

use super::Api;
use crate::classify;
use crate::http::Call;
use crate::outcome::EffectError;

impl Api {
    /// The jobs of a place as hotglue lists them, of the newest so many; none when hotglue shows no list for it.
    pub(crate) async fn jobs(&self, place: &Place, count: u32) -> Result<Option<Vec<Value>>, EffectError> {
        let count = count.to_string();
        // Not documented; seen in the notes of a client of the real API.
        let query = [("count", count.as_str())];
        let path = self.in_flow(place, "/jobs")?;
        self.job_list(&Call { query: &query, ..Call::get(&path) }).await
    }

    /// `GET …/jobs`. The list isn't paged.
    pub(super) async fn job_list(&self, call: &Call<'_>) -> Result<Option<Vec<Value>>, EffectError> {
        let answer = self.peer.call(call).await?;
        let jobs = match answer.status {
            200..=299 => self.json(call, &answer)?,
            // Clients of the real API meet 400 and 404 for tenants that have nothing.
            400 | 404 | 405 => return Ok(None),
            _ => return Err(self.refused(call, &answer).await),
        };
        // A bare array is what a client of the real API sees; a list wrapped in an object would be the usual other form.
        match jobs {
            Value::Null => Ok(Some(Vec::new())),
            Value::Array(jobs) => Ok(Some(jobs)),
            Value::Object(fields) if fields.is_empty() => Ok(Some(Vec::new())),
            Value::Object(mut fields) => match fields.get_mut("jobs").map(Value::take) {
                Some(Value::Array(jobs)) => Ok(Some(jobs)),
                _ => Err(classify::unreadable(&self.peer.who, &call.label())),
            },
            _ => Err(classify::unreadable(&self.peer.who, &call.label())),
        }
    }
}
