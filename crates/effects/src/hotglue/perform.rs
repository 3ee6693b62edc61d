//! Writing. Everything here may be done twice: what hotglue would do twice is looked up first.

use domain::action::{Place, Which};
use domain::journal::NOTHING_TO_SWITCH_OFF;
use serde_json::{Value, json};

use super::{Api, Known, Reported, shown};
use crate::classify;
use crate::http::Call;
use crate::outcome::{EffectError, Receipt};
use crate::scrub;

impl Api {
    /// `PUT …/jobs/schedule`: the one way to switch a schedule on and off, and it always wants the expression.
    pub(crate) async fn set_schedule(
        &self,
        place: &Place,
        which: Which,
        connector_id: Option<&str>,
        known: Known<'_>,
        enabled: bool,
    ) -> Result<Receipt, EffectError> {
        let path = self.in_flow(place, "/jobs/schedule")?;
        let read_back;
        let expression = match known.expression {
            Some(expression) => expression,
            None => match self.reported(place, connector_id, known.schedule).await? {
                Reported::Schedule(schedule) => {
                    read_back = schedule.expression;
                    &read_back
                }
                Reported::None if !enabled => {
                    return Ok(Receipt::new(Call::get(&path).label(), NOTHING_TO_SWITCH_OFF));
                }
                reported => return Err(no_expression(place, which, &reported)),
            },
        };
        let state = if enabled { "ENABLED" } else { "DISABLED" };
        let mut body = json!({"schedule_expression": expression, "state": state});
        if let Some(connector_id) = connector_id {
            body["connector_id"] = connector_id.into();
        }
        let call = Call::put(&path, &body);
        let answer = self.peer.call(&call).await?;
        if !answer.is_success() {
            return Err(self.refused(&call, &answer).await);
        }
        Ok(Receipt::new(format!("{} {body}", call.label()), answer.short()))
    }

    /// `POST …/linkedTargets`. Posting over a link would replace its config, so it is looked up first. The body is
    /// inferred from that of linkedSources.
    pub(crate) async fn link_target(
        &self,
        place: &Place,
        target: &str,
        config: Value,
    ) -> Result<Receipt, EffectError> {
        let path = self.in_flow(place, "/linkedTargets")?;
        if self.linked_targets(place).await?.iter().any(|linked| linked == target) {
            let answer = format!("already there: target {} is linked", shown(target));
            return Ok(Receipt::new(Call::get(&path).label(), answer));
        }
        // Its values may be secrets, so none is told.
        let told = if config.as_object().is_some_and(serde_json::Map::is_empty) { "{}" } else { "{…}" };
        let told = format!(r#"{{"target":{{"target":{},"config":{told}}}}}"#, json!(target));
        let body = json!({"target": {"target": target, "config": config}});
        let call = Call::post(&path, &body);
        let answer = self.peer.call(&call).await?;
        let request = format!("{} {told}", call.label());
        match answer.status {
            200..=299 => Ok(Receipt::new(request, answer.short())),
            400 | 409 if answer.text().to_ascii_lowercase().contains("already") => {
                Ok(Receipt::new(request, format!("already there: {}", answer.short())))
            }
            409 => Ok(Receipt::new(request, format!("already there: {}", answer.short()))),
            _ => Err(self.refused(&call, &answer).await),
        }
    }

    /// `POST …/jobs`, unless a job of this name is listed: hotglue offers no idempotency key. Of `lost` attempts before,
    /// no answer came.
    pub(crate) async fn run_job(
        &self,
        place: &Place,
        tap: &str,
        name: &str,
        lost: u32,
    ) -> Result<Receipt, EffectError> {
        let path = self.in_flow(place, "/jobs")?;
        let perhaps_twice = match self.listed_job(&path, name).await? {
            Listed::Job(job) => {
                let answer = format!("already there: job {job} has the name {}", shown(name));
                return Ok(Receipt::new(Call::get(&path).label(), answer));
            }
            Listed::None => false,
            Listed::NotReadable if lost > 1 => return Err(perhaps_started(&path, name)),
            Listed::NotReadable => lost > 0,
        };
        let mut body = json!({"job_name": name});
        if !tap.is_empty() {
            body["tap"] = tap.into();
        }
        let call = Call::post(&path, &body);
        let answer = self.peer.call(&call).await?;
        if !answer.is_success() {
            return Err(self.refused(&call, &answer).await);
        }
        // The only field that every generation of hotglue answers.
        let job_id = answer.json().as_ref().and_then(job_id);
        let answer = match job_id {
            Some(id) => scrub::shortened(&format!("job {id}: {}", answer.short()), 300),
            None => format!("{}, without a job_id", answer.short()),
        };
        Ok(Receipt { perhaps_twice, ..Receipt::new(format!("{} {body}", call.label()), answer) })
    }

    /// Is a job of this name listed? The list isn't paged.
    async fn listed_job(&self, path: &str, name: &str) -> Result<Listed, EffectError> {
        let call = Call::get(path);
        let answer = self.peer.call(&call).await?;
        let jobs = match answer.status {
            200..=299 => self.json(&call, &answer)?,
            // Clients of the real API meet 400 and 404 for tenants that have nothing; a place that can't be listed is
            // no reason not to start a first time. It is no proof that nothing was started.
            400 | 404 | 405 => return Ok(Listed::NotReadable),
            _ => return Err(self.refused(&call, &answer).await),
        };
        // A bare array is what a client of the real API sees; a list wrapped in an object would be the usual other form.
        let jobs = match jobs {
            Value::Null => Vec::new(),
            Value::Array(jobs) => jobs,
            Value::Object(fields) if fields.is_empty() => Vec::new(),
            Value::Object(mut fields) => match fields.get_mut("jobs").map(Value::take) {
                Some(Value::Array(jobs)) => jobs,
                _ => return Err(classify::unreadable(&self.peer.who, &call.label())),
            },
            _ => return Err(classify::unreadable(&self.peer.who, &call.label())),
        };
        let found = jobs.iter().find(|job| job.get("job_name").and_then(Value::as_str) == Some(name));
        Ok(found.map_or(Listed::None, |job| {
            Listed::Job(job_id(job).unwrap_or_else(|| "of unknown id".to_owned()))
        }))
    }
}

/// What the list of jobs says of a name.
enum Listed {
    /// There is one, with this id.
    Job(String),
    None,
    /// hotglue shows no list for this tenant.
    NotReadable,
}

fn perhaps_started(path: &str, name: &str) -> EffectError {
    EffectError::Unknown {
        why: format!(
            "the start of job {} was sent twice without an answer, and hotglue shows no list of jobs (GET {}): it may have been started once, twice or not at all",
            shown(name),
            shown(path)
        ),
    }
}

fn job_id(job: &Value) -> Option<String> {
    match job.get("job_id")? {
        Value::String(id) => Some(shown(id)),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn no_expression(place: &Place, which: Which, reported: &Reported) -> EffectError {
    let (what, setting) = match which {
        Which::Source => ("schedule", "schedule"),
        Which::Target => ("target schedule", "target_schedule"),
    };
    let hotglue = match reported {
        Reported::NotReadable => "hotglue can't be asked for it",
        Reported::None | Reported::Schedule(_) => "hotglue reports none",
    };
    EffectError::permanent(format!(
        "no {what} is configured for flow `{}` and {hotglue}: set `{setting}` in its [[hotglue.flow]]",
        shown(&place.flow_id)
    ))
}
