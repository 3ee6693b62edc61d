//! Identities, and the two ways names are written for others: as a subject token and in the letters encoding.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Identity of an event: 32 lower-case hex digits derived from its content, so that a repeat has the same one.
/// It is also the `Nats-Msg-Id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// Derives the id from what makes two deliveries the same: the endpoint and `identity`
    /// (a vendor's event id, or the raw body).
    #[must_use]
    pub fn derive(endpoint: &str, identity: Identity<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(endpoint.as_bytes());
        match identity {
            Identity::Given(id) => {
                hash.update(b"\0id\0");
                hash.update(id.as_bytes());
            }
            Identity::Body(body) => {
                hash.update(b"\0body\0");
                hash.update(body);
            }
        }
        Self(hex::encode(&hash.finalize()[..16]))
    }

    /// An id read back from where we wrote it (queue, event log, command line).
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes two deliveries the same event.
#[derive(Debug, Clone, Copy)]
pub enum Identity<'a> {
    /// The vendor names the event itself (hotglue's connection webhook has `event_id`).
    Given(&'a str),
    /// Nothing names it: equal bytes are the same event.
    Body(&'a [u8]),
}

/// Longest subject token we write, in bytes.
const TOKEN_MAX: usize = 96;

/// Makes any text one safe token of a NATS subject. `_` stands for empty. Letters, digits, `_` and `-` stay as they
/// are; every other byte becomes `%XX`, so that different texts have different tokens; what is too long is cut and
/// ends in a digest of the whole.
#[must_use]
pub fn subject_token(text: &str) -> String {
    if text.is_empty() {
        return "_".to_owned();
    }
    if text == "_" {
        return "%5F".to_owned();
    }
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            token.push(char::from(byte));
        } else {
            token.push_str(&format!("%{byte:02X}"));
        }
    }
    if token.len() > TOKEN_MAX {
        token.truncate(TOKEN_MAX - 18);
        token.push_str("%~");
        token.push_str(&hex::encode(&Sha256::digest(text.as_bytes())[..8]));
    }
    token
}

/// The encoding that hides words in job names from the front end: each letter becomes its place in the alphabet
/// (a=1 … z=26), all of it run together; whatever is no ASCII letter is left out. Not reversible (`12` is `l` or
/// `ab`): encode a word and search for it, never decode.
#[must_use]
pub fn letters(text: &str) -> String {
    text.bytes()
        .filter(u8::is_ascii_alphabetic)
        .map(|byte| (byte.to_ascii_lowercase() - b'a' + 1).to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fullsync_is_62112121925143() {
        assert_eq!(letters("fullsync"), "62112121925143");
        assert_eq!(letters("Full Sync"), "62112121925143");
    }

    #[test]
    fn ignore_is_971415185() {
        assert_eq!(letters("ignore"), "971415185");
    }

    #[test]
    fn ordinary_tenants_stay_readable() {
        assert_eq!(subject_token("1414_1"), "1414_1");
        assert_eq!(subject_token(""), "_");
        assert_eq!(subject_token("a.b *>"), "a%2Eb%20%2A%3E");
    }

    proptest! {
        #[test]
        fn a_token_is_always_safe(text in any::<String>()) {
            let token = subject_token(&text);
            prop_assert!(!token.is_empty() && token.len() <= TOKEN_MAX);
            prop_assert!(token.bytes().all(|b| b.is_ascii_graphic() && !b".*>".contains(&b)));
        }

        #[test]
        fn different_texts_have_different_tokens(a in ".{0,40}|[_%~]{0,3}", b in ".{0,40}|[_%~]{0,3}") {
            prop_assert_eq!(a == b, subject_token(&a) == subject_token(&b));
        }

        #[test]
        fn an_id_depends_on_endpoint_and_content(body in any::<Vec<u8>>(), other in any::<Vec<u8>>()) {
            let id = EventId::derive("hotglue", Identity::Body(&body));
            prop_assert_eq!(&id, &EventId::derive("hotglue", Identity::Body(&body)));
            prop_assert_ne!(&id, &EventId::derive("etlworks", Identity::Body(&body)));
            prop_assert_eq!(body == other, id == EventId::derive("hotglue", Identity::Body(&other)));
        }
    }
}
