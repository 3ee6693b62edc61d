//! Verifying again, and what follows from it.

use std::collections::BTreeMap;

use bus::{Bus, Rejected, rejected};
use bytes::Bytes;
use domain::config::Endpoint;
use domain::envelope::Envelope;
use domain::names::EventId;
use domain::signature::{self, Proof, verify};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::Serialize;

use crate::{Common, files};

/// What stands where a secret of ours would be shown.
const HIDDEN: &str = "[redacted]";

/// The endpoints of the configuration with their secrets.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    endpoints: BTreeMap<String, Keys>,
    /// All secrets that could be read, for hiding them.
    secrets: Vec<SecretString>,
}

#[derive(Debug)]
struct Keys {
    endpoint: Endpoint,
    /// Or why one of them can't be read.
    secrets: Result<Vec<SecretSlice<u8>>, String>,
}

impl Keyring {
    /// Reads what can be read; what can't, is told when it is needed.
    pub(super) fn open(common: &Common) -> Self {
        let Ok(files::Loaded { config, base }) = files::load_config_if_there(&common.config) else {
            return Self::default();
        };
        let mut keyring = Self::default();
        for endpoint in config.endpoint {
            let read: Result<Vec<SecretString>, String> =
                endpoint.secrets.iter().map(|secret| files::resolve(&base, secret)).collect();
            if let Ok(secrets) = &read {
                keyring.secrets.extend(secrets.iter().cloned());
            }
            let secrets = read.map(|secrets| {
                let bytes = |secret: &SecretString| secret.expose_secret().as_bytes().to_vec().into();
                secrets.iter().map(bytes).collect()
            });
            keyring.endpoints.insert(endpoint.name.clone(), Keys { endpoint, secrets });
        }
        keyring
    }

    /// Verifies a refused request as ingest would today, and seals it as of when it came.
    ///
    /// # Errors
    /// One sentence that says why it is still not proven.
    pub(super) fn prove(&self, request: &Rejected) -> Result<Envelope, String> {
        let name = &request.endpoint;
        let Some(Keys { endpoint, secrets }) = self.endpoints.get(name) else {
            return Err(format!("the configuration has no endpoint `{name}` (any more)"));
        };
        let proof = endpoint.proof();
        let secrets = match (&proof, secrets) {
            (Proof::None, _) => &[],
            (Proof::Hmac { .. }, Ok(secrets)) => secrets.as_slice(),
            (Proof::Hmac { .. }, Err(why)) => return Err(why.clone()),
        };
        let given = given(&proof, &request.headers).map_err(|refusal| refusal.to_string())?;
        let verified =
            verify(&proof, secrets, given, &request.body).map_err(|refusal| refusal.to_string())?;
        if request.body.is_empty() {
            return Err("an empty body can't be an event".to_owned());
        }
        let body: Bytes = request.body.clone();
        Ok(Envelope::seal(
            name,
            endpoint.source,
            verified,
            body,
            request.headers.clone(),
            request.received_at,
        ))
    }

    /// Text without any secret of ours, should a sender have put one where it does not belong.
    pub(super) fn hide(&self, text: &str) -> String {
        let secrets =
            self.secrets.iter().map(SecretString::expose_secret).filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }
}

/// The header that carries the proof. Two of them are none: which one is meant, nobody can say.
fn given<'a>(proof: &Proof, headers: &'a [(String, String)]) -> Result<Option<&'a [u8]>, signature::Refusal> {
    let Some(name) = proof.header() else { return Ok(None) };
    let mut given = headers.iter().filter(|(header, _)| header == name);
    let first = given.next();
    match given.next() {
        Some(_) => Err(signature::Refusal::Malformed),
        None => Ok(first.map(|(_, value)| value.as_bytes())),
    }
}

/// A refused request that is proven by now.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) sequence: u64,
    pub(super) envelope: Envelope,
}

/// A request that became an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Event {
    /// Its sequence in the quarantine.
    sequence: u64,
    id: EventId,
    /// The event was there already: its sender had posted it again.
    pub(super) duplicate: bool,
}

/// What came of releasing.
#[derive(Debug, Default)]
pub(super) struct Released {
    pub(super) events: Vec<Event>,
    /// What was proven and could not be stored.
    pub(super) failed: Vec<(u64, String)>,
}

impl Released {
    /// What would be released.
    pub(super) fn would(proven: &[Proven]) -> Self {
        let event =
            |one: &Proven| Event { sequence: one.sequence, id: one.envelope.id.clone(), duplicate: false };
        Self { events: proven.iter().map(event).collect(), failed: Vec::new() }
    }
}

/// Stores what is proven, in the order in which it came, and takes each out of the quarantine when it is stored.
pub(super) async fn publish(bus: &Bus, proven: Vec<Proven>) -> Released {
    let publisher = bus.publisher();
    let mut released = Released::default();
    for Proven { sequence, envelope } in proven {
        match publisher.publish(&envelope).await {
            Ok(published) => {
                released.events.push(Event { sequence, id: envelope.id, duplicate: published.duplicate });
                // Released again, it would be a repeat: the same id.
                if let Err(error) = rejected::discard(bus, sequence).await {
                    released
                        .failed
                        .push((sequence, format!("it was released, and could not be taken out: {error}")));
                }
            }
            Err(error) => released.failed.push((sequence, error.to_string())),
        }
    }
    released
}

#[cfg(test)]
mod tests {
    use domain::signature::sign_hotglue;
    use jiff::Timestamp;

    use super::*;

    const BODY: &[u8] = br#"{"job_id":"x","status":"JOB_COMPLETED","tenant":"t"}"#;

    fn keyring(secret: &str) -> Keyring {
        let config = "[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\nsecrets = [\"env:X\"]\n";
        let endpoint = domain::config::Config::parse(config).unwrap().endpoint.remove(0);
        let keys = Keys { endpoint, secrets: Ok(vec![secret.as_bytes().to_vec().into()]) };
        Keyring {
            endpoints: [("hotglue".to_owned(), keys)].into(),
            secrets: vec![SecretString::from(secret.to_owned())],
        }
    }

    fn request(headers: &[(&str, &str)], body: &'static [u8]) -> Rejected {
        Rejected {
            endpoint: "hotglue".to_owned(),
            cause: "mismatch".to_owned(),
            received_at: Timestamp::from_second(1_700_000_000).unwrap(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn what_the_secret_of_today_proves_is_sealed_as_of_when_it_came() {
        let tag = sign_hotglue(&b"right".to_vec().into(), BODY);
        let request = request(&[("x-hub-signature", &tag)], BODY);
        let envelope = keyring("right").prove(&request).unwrap();
        assert_eq!(envelope.received_at, request.received_at);
        assert_eq!(envelope.subject, "hooks.hotglue.job.JOB_COMPLETED.t");
        assert_eq!((&envelope.headers, &envelope.body), (&request.headers, &request.body));
        assert!(keyring("wrong").prove(&request).unwrap_err().contains("does not match"));
    }

    #[test]
    fn what_is_still_not_proven_says_why() {
        let tag = sign_hotglue(&b"right".to_vec().into(), BODY);
        let keyring = keyring("right");
        let why = |request: &Rejected| keyring.prove(request).unwrap_err();
        assert!(why(&request(&[], BODY)).contains("missing"));
        let twice = [("x-hub-signature", tag.as_str()), ("x-hub-signature", tag.as_str())];
        assert!(why(&request(&twice, BODY)).contains("malformed"));
        let empty = sign_hotglue(&b"right".to_vec().into(), b"");
        assert!(why(&request(&[("x-hub-signature", &empty)], b"")).contains("empty"));
        let other = Rejected { endpoint: "gone".to_owned(), ..request(&[], BODY) };
        assert!(why(&other).contains("no endpoint `gone`"));
    }

    #[test]
    fn a_secret_of_ours_is_hidden_wherever_a_sender_put_it() {
        assert_eq!(keyring("hunter2").hide("x hunter2 y"), "x [redacted] y");
    }
}
