//! Secrets of our own: taken out by their value, wherever they stand.

use std::borrow::Cow;
use std::fmt;

use regex::bytes::{NoExpand, Regex};
use serde_json::{Map, Value};

use super::REDACTED;
use crate::event::Event;

/// Anything shorter is likely an ordinary word, and taking it out would spoil what is told.
const SHORTEST: usize = 8;

/// Fields that say what an event is about: the rules act on them, so they stay whatever they are.
const ADDRESS: &[&str] = &[
    "env_id",
    "flow_id",
    "flow",
    "tenant",
    "job_id",
    "status",
    "tap",
    "target",
    "connector",
    "connector_id",
    "connector_type",
    "event",
    "event_id",
    "sync_type",
];

/// The secrets that a process holds. Someone else's error text may quote them.
#[derive(Clone, Default)]
pub struct Known(Option<Regex>);

impl Known {
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let long = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST);
        // Also as it stands in the text of a JSON.
        let mut secrets: Vec<_> = long.flat_map(|secret| [secret.to_owned(), escaped(secret)]).collect();
        secrets.dedup();
        // One may begin another.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        let any: Vec<_> = secrets.iter().map(|secret| regex::escape(secret)).collect();
        Self(if any.is_empty() { None } else { Regex::new(&any.join("|")).ok() })
    }

    /// The text without them.
    #[must_use]
    pub fn bytes<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        match &self.0 {
            Some(any) => any.replace_all(bytes, NoExpand(REDACTED.as_bytes())),
            None => Cow::Borrowed(bytes),
        }
    }

    /// Takes them out of the texts of an event, and of its payload. `body` is what it was read from: of two fields of one
    /// name a parser keeps the last.
    pub fn take_out_of(&self, event: &mut Event, body: &[u8]) {
        let Some(any) = &self.0 else { return };
        self.text(&mut event.error);
        self.text(&mut event.job_name);
        let mut changed = match &mut event.payload {
            Value::Object(fields) => fields
                .iter_mut()
                .filter(|(name, _)| !ADDRESS.contains(&name.as_str()))
                .fold(false, |changed, (_, field)| self.value(field) | changed),
            other => self.value(other),
        };
        if let Value::Object(fields) = &mut event.payload {
            changed |= self.names(fields);
        }
        if !changed && any.is_match(body) && !event.payload.is_null() {
            changed = !any.is_match(event.payload.to_string().as_bytes());
        }
        event.redacted |= changed;
    }

    fn value(&self, json: &mut Value) -> bool {
        match json {
            Value::Object(fields) => {
                let changed = fields.values_mut().fold(false, |changed, field| self.value(field) | changed);
                self.names(fields) | changed
            }
            Value::Array(items) => items.iter_mut().fold(false, |changed, item| self.value(item) | changed),
            Value::String(text) => self.text(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn names(&self, fields: &mut Map<String, Value>) -> bool {
        let is_one = |name: &String| matches!(self.bytes(name.as_bytes()), Cow::Owned(_));
        if !fields.keys().any(is_one) {
            return false;
        }
        let clean = std::mem::take(fields).into_iter().map(|(mut name, value)| {
            self.text(&mut name);
            (name, value)
        });
        *fields = clean.collect();
        true
    }

    fn text(&self, text: &mut String) -> bool {
        let clean = match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => return false,
            Cow::Owned(clean) => String::from_utf8_lossy(&clean).into_owned(),
        };
        *text = clean;
        true
    }
}

fn escaped(secret: &str) -> String {
    Value::from(secret).to_string().trim_matches('"').to_owned()
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rulebook::scenario::read_event;

    fn event(body: &str, known: &Known) -> Event {
        let mut event = read_event(body.as_bytes()).expect("JSON");
        known.take_out_of(&mut event, body.as_bytes());
        event
    }

    #[test]
    fn our_own_secrets_go_from_every_text_and_what_the_event_is_about_stays() {
        let known = Known::new(["hush\"hush-key", "hush", "no-address"]);
        let body = r#"{"job_id":"j","tenant":"no-address","status":"SYNC_FAILED","error":["said hush\"hush-key, hush"],"metrics":{"a":"x hush\u0022hush-key"}}"#;
        let event = event(body, &known);
        assert_eq!(event.error, r#"["said [redacted], hush"]"#.replace("[redacted]", REDACTED));
        assert!(event.redacted && event.tenant == "no-address");
        assert!(!event.payload.to_string().contains("hush-key"), "{}", event.payload);
        assert_eq!(known.bytes(b"a hush\"hush-key").as_ref(), b"a [redacted]");
        assert!(!format!("{known:?}").contains("hush"));
    }

    #[test]
    fn names_of_fields_hide_none() {
        let known = Known::new(["hush-hush-key"]);
        for body in
            [r#"{"job_id":"j","hush-hush-key":1}"#, r#"{"job_id":"j","a":{"b":[{"hush-hush-key":1}]}}"#]
        {
            let event = event(body, &known);
            assert!(event.redacted && !event.payload.to_string().contains("hush"), "{}", event.payload);
        }
    }

    #[test]
    fn a_field_that_is_there_twice_hides_none() {
        let known = Known::new(["hush-hush-key"]);
        let hidden = event(r#"{"job_id":"j","note":"hush-hush-key","note":"x"}"#, &known);
        assert!(hidden.redacted, "the very bytes are not kept");
        assert!(!event(r#"{"job_id":"j","note":"x"}"#, &known).redacted);
        assert!(!event(r#"{"job_id":"j","note":"x"}"#, &Known::default()).redacted);
    }
}
