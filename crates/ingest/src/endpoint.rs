//! A configured endpoint made ready to take requests: its secrets read, its headers and its rate set.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use axum::http::HeaderName;
use axum::http::header::AUTHORIZATION;
use domain::config::{self, Config, SecretRef};
use domain::envelope::Source;
use domain::signature::{Hash, Proof};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use secrecy::{ExposeSecret, SecretSlice};

use crate::hush::Hush;

/// One URL that a source posts to.
pub struct Endpoint {
    name: String,
    source: Source,
    proof: Proof,
    /// Name of the header that carries the proof.
    proof_header: Option<HeaderName>,
    secrets: Vec<SecretSlice<u8>>,
    kept_headers: Vec<HeaderName>,
    max_body: u64,
    rate: Option<DefaultDirectRateLimiter>,
    /// Keeps a flood of refused requests from becoming a flood of log lines.
    pub(crate) refusals: Hush,
}

impl Endpoint {
    /// Makes the configured `endpoint` ready. Secrets in files are looked for beside `base`, the directory of the
    /// configuration.
    ///
    /// # Errors
    /// One sentence that names the endpoint, and where the secret was looked for; never the secret.
    pub fn open(endpoint: &config::Endpoint, base: &Path) -> Result<Self, String> {
        let name = &endpoint.name;
        let proof = endpoint.proof();
        let proof_header =
            match proof.header() {
                Some(header) => Some(HeaderName::from_bytes(header.as_bytes()).map_err(|_| {
                    format!("endpoint `{name}`: `{header}` can't be the name of an HTTP header")
                })?),
                None => None,
            };
        let secrets = match proof {
            // What is not used is not read.
            Proof::None => Vec::new(),
            Proof::Hmac { .. } => endpoint
                .secrets
                .iter()
                .map(|secret| read_secret(secret, base))
                .collect::<Result<_, _>>()
                .map_err(|why| format!("endpoint `{name}`: {why}"))?,
        };
        let mut kept_headers: Vec<HeaderName> =
            endpoint.source.kept_headers().iter().map(|name| HeaderName::from_static(name)).collect();
        // Without the proof nobody could verify the event again. What stands in `Authorization` is never kept.
        if let Some(header) = &proof_header
            && !kept_headers.contains(header)
            && header != AUTHORIZATION
        {
            kept_headers.push(header.clone());
        }
        Ok(Self {
            name: name.clone(),
            source: endpoint.source,
            proof,
            proof_header,
            secrets,
            kept_headers,
            max_body: endpoint.max_body,
            rate: endpoint.max_per_second.map(|most| RateLimiter::direct(Quota::per_second(most))),
            refusals: Hush::default(),
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    #[must_use]
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    pub(crate) fn proof_header(&self) -> Option<&HeaderName> {
        self.proof_header.as_ref()
    }

    pub(crate) fn secrets(&self) -> &[SecretSlice<u8>] {
        &self.secrets
    }

    /// Headers that travel with the event, the one with the proof among them.
    pub(crate) fn kept_headers(&self) -> &[HeaderName] {
        &self.kept_headers
    }

    /// Largest body taken, in bytes.
    #[must_use]
    pub fn max_body(&self) -> u64 {
        self.max_body
    }

    /// Counts a request against the configured rate. `Err` is after how many seconds the next one is taken, at
    /// least 1.
    pub(crate) fn within_rate(&self) -> Result<(), u64> {
        let Some(rate) = &self.rate else { return Ok(()) };
        rate.check().map_err(|not_yet| {
            let wait = not_yet.wait_time_from(DefaultClock::default().now());
            (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("proof", &self.proof)
            .finish_non_exhaustive()
    }
}

/// For the log line at start: `hotglue: HMAC-SHA1 in x-hub-signature, 2 secrets`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.proof {
            Proof::None => f.write_str("NOT VERIFIED (proof = \"none\")"),
            Proof::Hmac { header, hash, .. } => {
                let hash = match hash {
                    Hash::Sha1 => "SHA1",
                    Hash::Sha256 => "SHA256",
                };
                let count = self.secrets.len();
                let s = if count == 1 { "" } else { "s" };
                write!(f, "HMAC-{hash} in {header}, {count} secret{s}")
            }
        }
    }
}

fn read_secret(secret: &SecretRef, base: &Path) -> Result<SecretSlice<u8>, String> {
    let text = match secret {
        SecretRef::Env(name) => service::secrets::resolve_env(name),
        SecretRef::File(path) => service::secrets::resolve_file(&base.join(path)),
    }?;
    Ok(SecretSlice::from(text.expose_secret().as_bytes().to_vec()))
}

/// All endpoints, by name.
#[derive(Debug, Default)]
pub struct Endpoints(HashMap<String, Arc<Endpoint>>);

impl Endpoints {
    /// Makes all endpoints of `config` ready.
    ///
    /// # Errors
    /// One sentence for each thing that is wrong.
    pub fn open(config: &Config, base: &Path) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut endpoints = HashMap::new();
        for endpoint in &config.endpoint {
            match Endpoint::open(endpoint, base) {
                Ok(ready) => _ = endpoints.insert(endpoint.name.clone(), Arc::new(ready)),
                Err(why) => wrong.push(why),
            }
        }
        if config.endpoint.is_empty() {
            wrong.push(
                "no endpoint is configured, so that nothing could be received: add an [[endpoint]] with name, source and secrets"
                    .to_owned(),
            );
        }
        if wrong.is_empty() { Ok(Self(endpoints)) } else { Err(wrong) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.0.get(name)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        let mut all: Vec<&Endpoint> = self.0.values().map(AsRef::as_ref).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Endpoints, Vec<String>> {
        Endpoints::open(&Config::parse(text).unwrap(), Path::new("/nowhere"))
    }

    #[test]
    fn an_endpoint_tells_its_proof_and_how_many_secrets_but_not_which() {
        // The test runner always has PATH and HOME; setting a variable here would be process-wide state.
        let endpoints = open(
            r#"
            [[endpoint]]
            name = "hotglue"
            source = "hotglue"
            secrets = ["env:PATH", "env:HOME"]
            [[endpoint]]
            name = "open"
            source = "hotglue"
            proof = "none"
            [[endpoint]]
            name = "other"
            source = "hotglue"
            secrets = ["env:PATH"]
            proof = { header = "X-Signature", hash = "sha256" }
            "#,
        )
        .unwrap();
        let told: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "hotglue: HMAC-SHA1 in x-hub-signature, 2 secrets",
                "open: NOT VERIFIED (proof = \"none\")",
                "other: HMAC-SHA256 in x-signature, 1 secret",
            ]
        );
        let kept = endpoints.get("other").unwrap().kept_headers();
        assert!(kept.iter().any(|name| name == "x-signature"), "{kept:?}");
    }

    #[test]
    fn every_missing_secret_is_named_with_its_endpoint() {
        let wrong = open(
            r#"
            [[endpoint]]
            name = "a"
            source = "hotglue"
            secrets = ["env:GLUEHOOK_NO_SUCH_SECRET"]
            [[endpoint]]
            name = "b"
            source = "hotglue"
            secrets = ["file:none"]
            "#,
        )
        .unwrap_err();
        assert_eq!(wrong[0], "endpoint `a`: the environment variable GLUEHOOK_NO_SUCH_SECRET is not set");
        assert!(
            wrong[1].starts_with("endpoint `b`: the secret file /nowhere/none cannot be read"),
            "{wrong:?}"
        );
    }

    #[test]
    fn no_endpoint_is_wrong() {
        assert!(open("").unwrap_err()[0].contains("[[endpoint]]"));
    }

    #[test]
    fn a_header_that_is_none_is_wrong() {
        let text = r#"
            [[endpoint]]
            name = "a"
            source = "hotglue"
            secrets = ["env:PATH"]
            proof = { header = "X Signature", hash = "sha1" }
        "#;
        assert!(open(text).unwrap_err()[0].contains("`x signature` can't be the name"));
    }

    #[test]
    fn beyond_the_rate_the_next_second_is_named() {
        let text = r#"
            [[endpoint]]
            name = "a"
            source = "hotglue"
            proof = "none"
            max_per_second = 2
        "#;
        let endpoints = open(text).unwrap();
        let endpoint = endpoints.get("a").unwrap();
        assert_eq!((endpoint.within_rate(), endpoint.within_rate()), (Ok(()), Ok(())));
        assert_eq!(endpoint.within_rate(), Err(1));
    }
}
