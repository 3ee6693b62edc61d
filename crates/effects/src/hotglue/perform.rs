//! Writing. Everything here may be done twice: what hotglue would do twice is looked up first.

use domain::action::{Action, Place, Which};
use domain::journal::{Before, NOTHING_TO_SWITCH_OFF};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, Reported, shown};
use crate::http::Call;
use crate::outcome::{EffectError, Receipt};
use crate::request::Request;
use crate::scrub;

impl Api {
    /// The call that changes something, pure. `read_back` stands for the expression of a schedule where the action has none;
    /// `config` goes with a target.
    pub(crate) fn request(
        &self,
        action: &Action,
        read_back: &str,
        config: &Value,
    ) -> Result<Request, EffectError> {
        let (method, path, body) = match action {
            // The one way to switch a schedule on and off, and it always wants the expression.
            Action::SetSchedule { place, connector_id, expression, enabled, .. } => {
                let expression = expression.as_deref().unwrap_or(read_back);
                let state = if *enabled { "ENABLED" } else { "DISABLED" };
                let mut body = json!({"schedule_expression": expression, "state": state});
                if let Some(connector_id) = connector_id {
                    body["connector_id"] = connector_id.as_str().into();
                }
                (Method::PUT, self.in_flow(place, "/jobs/schedule")?, body)
            }
            // The body is inferred from that of linkedSources.
            Action::LinkTarget { place, target } => {
                let body = json!({"target": {"target": target, "config": config}});
                (Method::POST, self.in_flow(place, "/linkedTargets")?, body)
            }
            Action::RunJob { place, tap, name } => {
                let mut body = json!({"job_name": name});
                if !tap.is_empty() {
                    body["tap"] = tap.as_str().into();
                }
                (Method::POST, self.in_flow(place, "/jobs")?, body)
            }
            Action::Slack { .. } => {
                let why = "a Slack message was to be sent to hotglue: this is a bug in Gluehook";
                return Err(EffectError::permanent(why));
            }
        };
        Ok(Request { method, path, body })
    }

    /// The expression of a schedule that is not configured: as it was read just now (`known`), or else read. The receipt when
    /// there is nothing to switch off.
    pub(crate) async fn read_back(
        &self,
        place: &Place,
        which: Which,
        connector_id: Option<&str>,
        known: Option<&Before>,
        enabled: bool,
    ) -> Result<Result<String, Receipt>, EffectError> {
        match expression(place, which, self.reported(place, connector_id, known).await?, enabled)? {
            Some(expression) => Ok(Ok(expression)),
            None => {
                let path = self.in_flow(place, "/jobs/schedule")?;
                Ok(Err(Receipt::new(Call::get(&path).label(), NOTHING_TO_SWITCH_OFF)))
            }
        }
    }

    /// `PUT …/jobs/schedule`
    pub(crate) async fn set_schedule(&self, request: &Request) -> Result<Receipt, EffectError> {
        let call = request.call();
        let answer = self.peer.call(&call).await?;
        if !answer.is_success() {
            return Err(self.refused(&call, &answer).await);
        }
        Ok(Receipt::new(format!("{} {}", call.label(), request.body), answer.short()))
    }

    /// `POST …/linkedTargets`. Posting over a link would replace its config, so it is looked up first.
    pub(crate) async fn link_target(
        &self,
        place: &Place,
        target: &str,
        request: &Request,
    ) -> Result<Receipt, EffectError> {
        if self.linked_targets(place).await?.iter().any(|linked| linked == target) {
            let answer = format!("already there: target {} is linked", shown(target));
            return Ok(Receipt::new(Call::get(&request.path).label(), answer));
        }
        // Its values may be secrets, so none is told.
        let config = request.body["target"]["config"].as_object();
        let told = if config.is_some_and(serde_json::Map::is_empty) { "{}" } else { "{…}" };
        let told = format!(r#"{{"target":{{"target":{},"config":{told}}}}}"#, json!(target));
        let call = request.call();
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
        name: &str,
        lost: u32,
        request: &Request,
    ) -> Result<Receipt, EffectError> {
        let path = &*request.path;
        let perhaps_twice = match self.listed_job(path, name).await? {
            Listed::Job(job) => {
                let answer = format!("already there: job {job} has the name {}", shown(name));
                return Ok(Receipt::new(Call::get(path).label(), answer));
            }
            Listed::None => false,
            Listed::NotReadable if lost > 1 => return Err(perhaps_started(path, name)),
            Listed::NotReadable => lost > 0,
        };
        let call = request.call();
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
        Ok(Receipt { perhaps_twice, ..Receipt::new(format!("{} {}", call.label(), request.body), answer) })
    }

    /// Is a job of this name listed?
    async fn listed_job(&self, path: &str, name: &str) -> Result<Listed, EffectError> {
        // A place that can't be listed is no reason not to start a first time. It is no proof that nothing was started.
        let Some(jobs) = self.job_list(&Call::get(path)).await? else { return Ok(Listed::NotReadable) };
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

/// What a change without an expression of its own is sent with; none when there is nothing to switch off.
pub(crate) fn expression(
    place: &Place,
    which: Which,
    reported: Reported,
    enabled: bool,
) -> Result<Option<String>, EffectError> {
    match reported {
        Reported::Schedule(schedule) => Ok(Some(schedule.expression)),
        Reported::None if !enabled => Ok(None),
        reported => Err(no_expression(place, which, &reported)),
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
