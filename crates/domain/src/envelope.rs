//! How an event travels: the raw bytes as they came, with what the queue and the worker must know of them.

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use crate::event::{Kind, hotglue};
use crate::names::{EventId, Identity, subject_token};
use crate::signature::Verified;

/// Who posts to an endpoint, and so how its bodies are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Hotglue,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Planned, and known to people who read of Gluehook.
        const NOT_YET: &[&str] = &["etlworks", "integrate-io", "standard-webhooks", "github", "custom"];
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| {
            if NOT_YET.contains(&text.as_str()) {
                let known = Self::ALL.map(Self::as_str).join(", ");
                D::Error::custom(format!("source = \"{text}\" is not supported yet; known here: {known}"))
            } else {
                D::Error::unknown_variant(&text, &["hotglue"])
            }
        })
    }
}

impl Source {
    pub const ALL: [Self; 1] = [Self::Hotglue];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hotglue => "hotglue",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }

    /// Headers worth carrying beside the body, lower-case. The signature is one: with it the event can be verified
    /// again later.
    #[must_use]
    pub fn kept_headers(self) -> &'static [&'static str] {
        match self {
            Self::Hotglue => &["content-type", "user-agent", "x-hub-signature"],
        }
    }

    /// Is this a content type the source sends? None given is taken as the source's own.
    #[must_use]
    pub fn accepts(self, content_type: Option<&str>) -> bool {
        let Some(given) = content_type else { return true };
        let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match self {
            Self::Hotglue => essence == "application/json" || essence.ends_with("+json"),
        }
    }
}

/// What the subject of an event is made of; read from the body with no more parsing than that needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub kind: Kind,
    pub status: String,
    pub tenant: String,
}

/// A sealed event. There are two ways to get one: [`Envelope::seal`] at the door, which takes proof of origin, and
/// [`Envelope::unsealed_from_queue`], which reads back what was sealed.
#[derive(Debug, Clone)]
pub struct Envelope {
    pub id: EventId,
    pub endpoint: String,
    pub source: Source,
    pub received_at: Timestamp,
    /// `hooks.<endpoint>.<kind>.<status>.<tenant>`
    pub subject: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Envelope {
    /// Seals a verified body. `body` must be the bytes that were verified; it is taken as [`Bytes`] so that nothing is
    /// copied, and [`Verified`] is the proof.
    ///
    /// # Panics
    /// When `body` is not what was verified: that would be a programming error that no sender can cause.
    #[must_use]
    pub fn seal(
        endpoint: &str,
        source: Source,
        verified: Verified<'_>,
        body: Bytes,
        headers: Vec<(String, String)>,
        received_at: Timestamp,
    ) -> Self {
        assert!(
            std::ptr::eq(verified.body(), &raw const *body),
            "an envelope is sealed over the very bytes that were verified"
        );
        let glance = match source {
            Source::Hotglue => hotglue::glance(&body),
        };
        let identity = glance.event_id.as_deref().map_or(Identity::Body(&body), Identity::Given);
        let id = EventId::derive(endpoint, identity);
        let subject = subject(endpoint, &glance.address);
        Self { id, endpoint: endpoint.to_owned(), source, received_at, subject, headers, body }
    }

    /// Reads back what was sealed before it entered the queue.
    #[must_use]
    pub fn unsealed_from_queue(
        id: EventId,
        endpoint: String,
        source: Source,
        received_at: Timestamp,
        subject: String,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Self {
        Self { id, endpoint, source, received_at, subject, headers, body }
    }
}

fn subject(endpoint: &str, address: &Address) -> String {
    format!(
        "hooks.{}.{}.{}.{}",
        subject_token(endpoint),
        address.kind.as_str(),
        subject_token(&address.status),
        subject_token(&address.tenant)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Proof, verify};

    fn seal(body: &'static [u8]) -> Envelope {
        let body = Bytes::from_static(body);
        let verified = verify(&Proof::None, &[], None, &body).expect("nothing to prove");
        let shared = body.clone();
        Envelope::seal("hotglue", Source::Hotglue, verified, shared, vec![], Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_subject_names_kind_status_and_tenant() {
        let job = seal(br#"{"job_id":"tVN_B","status":"JOB_COMPLETED","tenant":"1414_1"}"#);
        assert_eq!(job.subject, "hooks.hotglue.job.JOB_COMPLETED.1414_1");
        let odd = seal(br#"{"job_id":"x","status":"","tenant":"a.b *>"}"#);
        assert_eq!(odd.subject, "hooks.hotglue.job._.a%2Eb%20%2A%3E");
        assert_eq!(seal(b"not json").subject, "hooks.hotglue.unknown._._");
    }

    #[test]
    fn a_connection_is_known_by_its_event_id_and_anything_else_by_its_bytes() {
        let a = seal(br#"{"event":"LINK","event_id":"e1","tenant":"t"}"#);
        let b = seal(br#"{"event_id":"e1","event":"LINK","tenant":"t"}"#);
        assert_eq!(a.id, b.id);
        let c = seal(br#"{"job_id":"j","event_id":"e1","status":"JOB_COMPLETED"}"#);
        let d = seal(br#"{"event_id":"e1","job_id":"j","status":"JOB_COMPLETED"}"#);
        assert_ne!(c.id, d.id);
    }

    #[test]
    fn only_json_is_a_content_type_of_hotglue() {
        for good in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/x+json"),
        ] {
            assert!(Source::Hotglue.accepts(good), "{good:?}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", ""] {
            assert!(!Source::Hotglue.accepts(Some(bad)), "{bad:?}");
        }
    }
}
