//! Reading: what is asked about a tenant. A tenant's config goes through here and leaves nothing but problems.

use domain::action::Place;
use domain::facts::{Fact, Schedule};
use domain::journal::Before;
use domain::schema::{self, Schema};
use serde_json::Value;

use super::{Api, Reported, names, no_such_route, segment};
use crate::classify;
use crate::http::Call;
use crate::outcome::EffectError;

impl Api {
    /// `GET /tenant/{env}/{tenant}/config`. That a tenant has none is said with 404, or with 400 and a text.
    pub(crate) async fn config(&self, place: &Place, schema: Option<&Schema>) -> Result<Fact, EffectError> {
        let path = format!(
            "/tenant/{}/{}/config",
            segment("environment", self.env_id())?,
            segment("tenant", &place.tenant)?
        );
        let call = Call::get(&path);
        let answer = self.peer.call(&call).await?;
        let config = match answer.status {
            200..=299 => Some(self.json(&call, &answer)?).filter(|config| !config.is_null()),
            404 => None,
            400 if answer.text().to_ascii_lowercase().contains("no config for the tenant") => None,
            _ => return Err(self.refused(&call, &answer).await),
        };
        Ok(Fact::Config { problems: schema::problems(schema, config.as_ref()) })
    }

    /// `GET …/linkedSources/state`. Clients of the real API take 400 and 404 for "none".
    pub(crate) async fn state(&self, place: &Place) -> Result<Fact, EffectError> {
        let path = self.in_flow(place, "/linkedSources/state")?;
        let call = Call::get(&path);
        let answer = self.peer.call(&call).await?;
        let is_null = match answer.status {
            200..=299 => is_null_state(&self.json(&call, &answer)?),
            400 | 404 => true,
            _ => return Err(self.refused(&call, &answer).await),
        };
        Ok(Fact::State { is_null })
    }

    /// `GET …/linkedSources`, without `config=true`: the configs are secrets.
    pub(crate) async fn linked_sources(&self, place: &Place) -> Result<Vec<String>, EffectError> {
        self.links(place, "/linkedSources", &["tap", "id", "name"]).await
    }

    /// `GET …/linkedTargets`
    pub(crate) async fn linked_targets(&self, place: &Place) -> Result<Vec<String>, EffectError> {
        self.links(place, "/linkedTargets", &["target", "id", "name"]).await
    }

    async fn links(&self, place: &Place, rest: &str, keys: &[&str]) -> Result<Vec<String>, EffectError> {
        let path = self.in_flow(place, rest)?;
        let call = Call::get(&path);
        let answer = self.peer.call(&call).await?;
        match answer.status {
            200..=299 => names(&self.json(&call, &answer)?, keys)
                .ok_or_else(|| classify::unreadable(&self.peer.who, &call.label())),
            // A client of the real API meets both for tenants that have nothing.
            400 | 404 => Ok(Vec::new()),
            _ => Err(self.refused(&call, &answer).await),
        }
    }

    /// The tenant's schedule; none also when this hotglue can't be asked.
    pub(crate) async fn schedule(
        &self,
        place: &Place,
        connector_id: Option<&str>,
    ) -> Result<Option<Schedule>, EffectError> {
        Ok(match self.reported_schedule(place, connector_id).await? {
            Reported::Schedule(schedule) => Some(schedule),
            Reported::None | Reported::NotReadable => None,
        })
    }

    /// A schedule as it is before it is changed.
    pub(crate) async fn schedule_before(
        &self,
        place: &Place,
        connector_id: Option<&str>,
    ) -> Result<Before, EffectError> {
        Ok(match self.reported_schedule(place, connector_id).await? {
            Reported::Schedule(Schedule { expression, state }) => Before::Schedule { expression, state },
            Reported::None => Before::Absent,
            Reported::NotReadable => {
                Before::No { why: "this hotglue can't be asked for a schedule".to_owned() }
            }
        })
    }

    /// As it was read just now, or else reads it.
    pub(super) async fn reported(
        &self,
        place: &Place,
        connector_id: Option<&str>,
        read: Option<&Before>,
    ) -> Result<Reported, EffectError> {
        match read {
            Some(read) => Ok(Reported::from(read)),
            None => self.reported_schedule(place, connector_id).await,
        }
    }

    /// `GET …/jobs/schedule`: inferred from the documentation's navigation, shape unknown.
    pub(super) async fn reported_schedule(
        &self,
        place: &Place,
        connector_id: Option<&str>,
    ) -> Result<Reported, EffectError> {
        let path = self.in_flow(place, "/jobs/schedule")?;
        let query: Vec<_> = connector_id.map(|id| ("connector_id", id)).into_iter().collect();
        let call = Call { query: &query, ..Call::get(&path) };
        let answer = self.peer.call(&call).await?;
        match answer.status {
            200..=299 => Ok(find_schedule(&self.json(&call, &answer)?, connector_id)
                .map_or(Reported::None, Reported::Schedule)),
            400 => Ok(Reported::NotReadable),
            _ if no_such_route(&answer) => Ok(Reported::NotReadable),
            404 => Ok(Reported::None),
            _ => Err(self.refused(&call, &answer).await),
        }
    }
}

impl From<&Before> for Reported {
    fn from(read: &Before) -> Self {
        match read {
            Before::Schedule { expression, state } => {
                Self::Schedule(Schedule { expression: expression.clone(), state: state.clone() })
            }
            Before::Absent => Self::None,
            Before::No { .. } => Self::NotReadable,
        }
    }
}

/// Null in every form in use: empty body, `null`, `{}`, `{"bookmarks":{}}`, `{"state":null}`, and nested.
fn is_null_state(state: &Value) -> bool {
    match state {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.iter().all(|(name, field)| {
            // `tap` and `target` hold the two states of a streaming job.
            let wraps = matches!(name.as_str(), "bookmarks" | "state" | "tap" | "target");
            field.is_null() || (wraps && is_null_state(field))
        }),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// One object, or a list of them: then the one of this scope, or the first when none of them names a scope.
fn find_schedule(body: &Value, connector_id: Option<&str>) -> Option<Schedule> {
    let scope = |item: &Value| item.get("connector_id").and_then(Value::as_str).map(str::to_owned);
    let item = match body {
        Value::Array(items) => {
            let scoped = items.iter().any(|item| scope(item).is_some());
            items.iter().find(|item| !scoped || scope(item).as_deref() == connector_id)?
        }
        item => item,
    };
    let text = |name| item.get(name).and_then(Value::as_str).unwrap_or_default();
    let expression = text("schedule_expression");
    if expression.is_empty() {
        return None;
    }
    Some(Schedule { expression: expression.to_owned(), state: text("state").to_ascii_uppercase() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_states_are_known_in_all_their_forms() {
        for null in [
            json!(null),
            json!({}),
            json!({"bookmarks": {}}),
            json!({"state": null}),
            json!({"state": {}}),
            json!({"state": {"bookmarks": {}}}),
            json!({"bookmarks": {}, "currently_syncing": null}),
            json!({"tap": {"bookmarks": {}}, "target": {}}),
        ] {
            assert!(is_null_state(&null), "{null}");
        }
        for state in [
            json!({"bookmarks": {"Items": {}}}),
            json!({"x": {}}),
            json!({"state": {"a": 1}}),
            json!([1]),
            json!("x"),
        ] {
            assert!(!is_null_state(&state), "{state}");
        }
    }

    #[test]
    fn a_schedule_is_found_in_an_object_and_in_a_list() {
        let entry = |scope: Option<&str>, expression: &str| json!({"connector_id": scope, "schedule_expression": expression, "state": "enabled"});
        let found = |body: &Value, scope| find_schedule(body, scope).map(|schedule| schedule.expression);
        assert_eq!(
            find_schedule(&entry(None, "cron(1)"), None),
            Some(Schedule { expression: "cron(1)".into(), state: "ENABLED".into() })
        );
        let list = json!([entry(Some("optiply"), "cron(2)"), entry(None, "cron(1)")]);
        assert_eq!(found(&list, None).as_deref(), Some("cron(1)"));
        assert_eq!(found(&list, Some("optiply")).as_deref(), Some("cron(2)"));
        assert_eq!(found(&list, Some("other")), None);
        let unscoped = json!([{"schedule_expression": "cron(3)"}]);
        assert_eq!(found(&unscoped, Some("optiply")).as_deref(), Some("cron(3)"));
        for none in [json!(null), json!({}), json!([]), json!({"schedule_expression": ""})] {
            assert_eq!(found(&none, None), None, "{none}");
        }
    }
}
