//! Takes secrets out of text: our own by their value, others' by how they look.

use std::fmt;

use domain::redact::{self, REDACTED};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Most characters kept of anything a service said.
const LONGEST_EXCERPT: usize = 300;

/// Most characters of a foreign text that are looked at at all.
const LONGEST_LOOKED_AT: usize = 8_000;

/// Anything shorter is no secret, and taking it out would spoil ordinary words.
const SHORTEST_SECRET: usize = 6;

/// The secrets that we hold ourselves.
#[derive(Clone, Default)]
pub(crate) struct Scrub(Vec<SecretString>);

impl Scrub {
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= SHORTEST_SECRET {
            self.0.push(SecretString::from(secret));
        }
    }

    /// Takes out our own secrets.
    pub(crate) fn literal(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            let secret = secret.expose_secret();
            if text.contains(secret) { text.replace(secret, REDACTED) } else { text }
        })
    }

    /// Takes out our own secrets, wherever they stand.
    pub(crate) fn json(&self, json: Value) -> Value {
        let text = json.to_string();
        let clean = self.literal(&text);
        if clean == text { json } else { serde_json::from_str(&clean).unwrap_or(Value::String(clean)) }
    }

    /// Takes our own secrets out of an answer.
    pub(crate) fn bytes(&self, body: &mut Vec<u8>) {
        let holds = |secret: &SecretString| {
            let secret = secret.expose_secret().as_bytes();
            body.windows(secret.len()).any(|window| window == secret)
        };
        if self.0.iter().any(holds) {
            *body = self.literal(&String::from_utf8_lossy(body)).into_bytes();
        }
    }

    /// Takes out our own secrets and whatever looks like one.
    pub(crate) fn text(&self, text: &str) -> String {
        redact::text(&self.literal(text)).into_owned()
    }
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrub({} secrets)", self.0.len())
    }
}

/// A foreign text on one line, short, without what looks like a secret.
pub(crate) fn excerpt(text: &str) -> String {
    let clean = redact::text(cut(text, LONGEST_LOOKED_AT)).into_owned();
    shortened(&clean.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST_EXCERPT)
}

/// A foreign JSON the same way; fields that are named like secrets are blanked.
pub(crate) fn excerpt_of_json(json: &Value) -> String {
    let mut json = json.clone();
    redact::value(&mut json);
    shortened(&json.to_string(), LONGEST_EXCERPT)
}

/// At most `most` characters, with `…` when something was left out.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let kept = cut(text, most);
    if kept.len() == text.len() { text.to_owned() } else { format!("{kept}…") }
}

/// The first `most` characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn our_own_secrets_go_wherever_they_stand() {
        let mut scrub = Scrub::default();
        scrub.add("hush-hush-key");
        scrub.add("no");
        assert_eq!(scrub.literal("no key hush-hush-key, hush-hush-key!"), "no key [redacted], [redacted]!");
        assert!(!format!("{scrub:?}").contains("hush"));
    }

    #[test]
    fn an_excerpt_is_one_short_line_without_secrets() {
        assert_eq!(excerpt(" a\n\tb  client_secret=abcdef123 "), "a b client_secret=[redacted]");
        let long = excerpt(&"é ".repeat(5_000));
        assert_eq!(long.chars().count(), 301);
        assert!(long.ends_with('…'));
        assert_eq!(excerpt_of_json(&json!({"password": "x1", "a": 1})), r#"{"a":1,"password":"[redacted]"}"#);
    }
}
