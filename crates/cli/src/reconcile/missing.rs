//! What hotglue's list says of the ends of jobs, as the webhooks that would have told them. Pure.

use std::collections::HashSet;

use bytes::Bytes;
use domain::action::Place;
use domain::envelope::{Envelope, Source};
use domain::event::{self, Event, Kind};
use domain::signature::{Proof, verify};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::files::{self, Loaded};
use crate::{Misused, send};

/// The field that marks an event which hotglue never posted: rules read it as `payload.gluehook_reconciled`.
const MARK: &str = "gluehook_reconciled";

/// An endpoint of hotglue, with what proves a webhook there.
#[derive(Debug)]
pub(super) struct Door {
    endpoint: String,
    proof: Proof,
    secret: SecretString,
}

impl Door {
    /// # Errors
    /// [`Misused`] when the configuration does not say which endpoint is meant, or its secret can't be read or signed with.
    pub(super) fn open(Loaded { config, base }: &Loaded, name: Option<&str>) -> anyhow::Result<Self> {
        let mut of_hotglue = config.endpoint.iter().filter(|endpoint| {
            endpoint.source == Source::Hotglue && name.is_none_or(|name| name == endpoint.name)
        });
        let endpoint = match (of_hotglue.next(), of_hotglue.next(), name) {
            (Some(endpoint), None, _) => endpoint,
            (None, _, Some(name)) => {
                return Err(Misused(format!("the configuration has no endpoint `{name}` of hotglue")).into());
            }
            (None, ..) => {
                return Err(Misused("the configuration has no endpoint of hotglue".to_owned()).into());
            }
            (Some(_), Some(_), _) => {
                let why = "the configuration has several endpoints of hotglue: say with --endpoint which one the webhooks would have come in at";
                return Err(Misused(why.to_owned()).into());
            }
        };
        let secret = match endpoint.secrets.first() {
            Some(reference) => files::resolve(base, reference).map_err(Misused)?,
            None => SecretString::default(),
        };
        let door = Self { endpoint: endpoint.name.clone(), proof: endpoint.proof(), secret };
        // What can't be signed is told before hotglue is asked.
        send::sign(&door.proof, &door.secret, &door.endpoint, b"")?;
        Ok(door)
    }

    /// Seals what hotglue says of a job as if it had posted it: proven with our own secret, because we have it from hotglue
    /// itself. As long as hotglue tells the same of a job, its id is the same.
    fn seal(&self, body: Vec<u8>, now: Timestamp) -> Option<Envelope> {
        let body = Bytes::from(body);
        let signature = send::sign(&self.proof, &self.secret, &self.endpoint, &body).ok()?;
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(signature.clone());
        let given = signature.as_ref().map(|(_, value)| value.as_bytes());
        let secret = SecretSlice::from(self.secret.expose_secret().as_bytes().to_vec());
        let verified = verify(&self.proof, &[secret], given, &body).ok()?;
        Some(Envelope::seal(&self.endpoint, Source::Hotglue, verified, body.clone(), headers, now))
    }
}

/// What tells the end of a job: flow, tenant, job, and whether it went well. An event may leave its environment empty, job ids are
/// short, and nobody knows whether hotglue lists the very word that it posted.
pub(super) type End = (String, String, String, bool);

/// None of what is no job's end.
pub(super) fn end(event: &Event) -> Option<End> {
    let is_one = event.kind == Kind::Job && (event.completed || event.failed) && !event.job_id.is_empty();
    is_one.then(|| (event.flow_id.clone(), event.tenant.clone(), event.job_id.clone(), event.completed))
}

/// A webhook's body, if it tells the end of a job; whoever sent it.
pub(super) fn end_in(endpoint: &str, body: &Bytes) -> Option<End> {
    let verified = verify(&Proof::None, &[], None, body).ok()?;
    let now = Timestamp::UNIX_EPOCH;
    let envelope = Envelope::seal(endpoint, Source::Hotglue, verified, body.clone(), Vec::new(), now);
    end(&event::read(&envelope, &[]).ok()?)
}

/// A job whose end was not received.
#[derive(Debug, Serialize)]
pub(super) struct Missing {
    #[serde(serialize_with = "in_short")]
    pub(super) event: Event,
    #[serde(skip)]
    pub(super) envelope: Envelope,
}

fn in_short<S: serde::Serializer>(event: &Event, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Short<'a> {
        id: &'a str,
        env_id: &'a str,
        flow_id: &'a str,
        tenant: &'a str,
        job_id: &'a str,
        job_name: &'a str,
        tap: &'a str,
        status: &'a str,
        error: &'a str,
        occurred_at: Timestamp,
    }
    Short {
        id: event.id.as_str(),
        env_id: &event.env_id,
        flow_id: &event.flow_id,
        tenant: &event.tenant,
        job_id: &event.job_id,
        job_name: &event.job_name,
        tap: &event.tap,
        status: &event.status,
        error: &event.error,
        occurred_at: event.occurred_at,
    }
    .serialize(serializer)
}

/// What hotglue lists of one place.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Jobs that ended in the time, as the events they would be.
    pub(super) ended: Vec<Missing>,
    /// Jobs that ended, nobody knows when.
    pub(super) undated: usize,
    /// The list begins before the time: no job of it is left out.
    pub(super) reaches_back: bool,
    /// Jobs that say of themselves to be of another environment, flow or tenant: nothing is done for either.
    pub(super) foreign: usize,
}

/// The jobs of a place that ended in a time (the end of it not included).
pub(super) fn find(
    door: &Door,
    place: &Place,
    jobs: Vec<Value>,
    (since, until): (Timestamp, Timestamp),
    now: Timestamp,
) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for job in jobs {
        let Value::Object(job) = job else { continue };
        if !is_of(&job, place) {
            found.foreign += 1;
            continue;
        }
        let Some(one) = webhook(job, place).and_then(|body| {
            let envelope = door.seal(body, now)?;
            let event = event::read(&envelope, &[]).ok()?;
            Some(Missing { event, envelope })
        }) else {
            continue;
        };
        // What says of no time when it was is read as of now.
        let ended_at = Some(one.event.occurred_at).filter(|at| *at < now);
        found.reaches_back |= ended_at.is_some_and(|at| at < since);
        // Told once, however often it is listed.
        if !end(&one.event).is_some_and(|end| seen.insert(end)) {
            continue;
        }
        match ended_at {
            None => found.undated += 1,
            Some(at) if (since..until).contains(&at) => found.ended.push(one),
            Some(_) => {}
        }
    }
    found
}

/// Does it say nothing else of itself? One call of hotglue's is documented to say `flow` for `flow_id`.
fn is_of(job: &Map<String, Value>, place: &Place) -> bool {
    let says = |name: &str, known: &str| {
        job.get(name).and_then(Value::as_str).is_none_or(|said| said.is_empty() || said == known)
    };
    says("tenant", &place.tenant)
        && says("env_id", &place.env_id)
        && says("flow_id", &place.flow_id)
        && says("flow", &place.flow_id)
}

/// A job of the list as a webhook would tell it: the list leaves out what its path says.
fn webhook(mut job: Map<String, Value>, place: &Place) -> Option<Vec<u8>> {
    for (name, known) in [("env_id", &place.env_id), ("flow_id", &place.flow_id), ("tenant", &place.tenant)] {
        job.insert(name.to_owned(), known.as_str().into());
    }
    job.insert(MARK.to_owned(), true.into());
    serde_json::to_vec(&job).ok()
}

#[cfg(test)]
mod tests;
