//! Which jobs ended without a webhook that was received. Pure.

use std::collections::HashSet;

use bytes::Bytes;
use domain::action::Place;
use domain::envelope::{Envelope, Source};
use domain::event::{self, Event};
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
    /// itself. The same job has the same id each time.
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

/// The ends of jobs that were received.
#[derive(Debug, Default)]
pub(super) struct Received(HashSet<[String; 4]>);

impl Received {
    pub(super) fn take(&mut self, event: &Event) {
        if is_end(event) {
            self.0.insert(end(event));
        }
    }
}

fn is_end(event: &Event) -> bool {
    event.completed || event.failed
}

/// The end of one job. An event may leave its environment empty, and job ids are short: flow and tenant are in it.
fn end(event: &Event) -> [String; 4] {
    [&event.flow_id, &event.tenant, &event.job_id, &event.status].map(String::clone)
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

/// What was found of one place.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Jobs that ended in the time.
    pub(super) ended: usize,
    pub(super) missing: Vec<Missing>,
    /// Jobs that ended, nobody knows when.
    pub(super) undated: usize,
    /// The list begins before the time: no job of it is left out.
    pub(super) reaches_back: bool,
}

/// The jobs of a place that ended in a time (the end of it not included) and were not received.
pub(super) fn find(
    door: &Door,
    place: &Place,
    jobs: Vec<Value>,
    received: &Received,
    (since, until): (Timestamp, Timestamp),
    now: Timestamp,
) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for job in jobs {
        let Value::Object(job) = job else { continue };
        let Some(missing) = webhook(job, place).and_then(|body| {
            let envelope = door.seal(body, now)?;
            let event = event::read(&envelope, &[]).ok()?;
            Some(Missing { event, envelope })
        }) else {
            continue;
        };
        let event = &missing.event;
        // What says of no time when it was is read as of now.
        let is_dated = event.occurred_at < now;
        found.reaches_back |= is_dated && event.occurred_at < since;
        // Told once, however often it is listed.
        if !is_end(event) || event.job_id.is_empty() || !seen.insert(end(event)) {
            continue;
        }
        if !is_dated {
            found.undated += 1;
        } else if (since..until).contains(&event.occurred_at) {
            found.ended += 1;
            if !received.0.contains(&end(event)) {
                found.missing.push(missing);
            }
        }
    }
    found
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
