//! Stable tokens in place of what is a customer's or a person's: the same value is always the same token, so what belongs
//! together still does. What rules look for stays, and so does what names no one: names of fields and connectors,
//! documented words, times, small numbers, the commonest words of error texts.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::event::{Kind, hotglue};
use crate::names::letters;
use crate::redact::REDACTED;

/// Words of error texts that name no one.
const COMMON: &str = "\
    a access after an and api are at bad be because been call can client code completed config connect \
    connection could count create created data denied did do does error errors exception exceptions \
    exceeded export failed failure false field fields file for forbidden found from get has have http \
    https id import in incremental internal invalid is it job json key limit line login max message \
    missing module most no none not null object of on or order orders org password path permission post \
    put py raise rate read reason record records recent refused request requests required reset response \
    retries retry returned schema send sent server service status stream success sync tap target the \
    time timed timeout to token too traceback true type unauthorized unexpected unknown url user value \
    was while with write HTTPError ConnectionError KeyError TypeError ValueError redacted";

/// Fields of a payload whose value names something of a customer's, with the word that its token begins with.
const NAMES: &[(&str, &str)] = &[
    ("tenant", "tenant"),
    ("tenant_id", "tenant"),
    ("job_id", "job"),
    ("flow_id", "flow"),
    ("flow", "flow"),
    ("env_id", "env"),
    ("event_id", "event"),
];

/// Fields whose value is a connector's name, or a word of the vendor's.
const WORDS: &[&str] = &[
    "tap",
    "target",
    "connector",
    "connector_id",
    "connector_type",
    "status",
    "event",
    "sync_type",
    "job_type",
    "task_type",
];

/// Shortest text that is found within others.
const SHORTEST: usize = 3;
/// Longest run of digits that counts something or is a code.
const LONGEST_NUMBER: usize = 4;

/// Hands out tokens for one file.
#[derive(Debug)]
pub struct StandIns {
    /// What rules look for: whole.
    words: BTreeSet<String>,
    /// And within texts, lower-case, the longest first.
    parts: Vec<String>,
    /// The words that these are made of, lower-case: `' bo '` may be looked for in a text that was padded before.
    single: BTreeSet<String>,
    /// Values by token's word.
    tokens: HashMap<String, String>,
    /// How many tokens of a word there are.
    given: HashMap<&'static str, usize>,
}

impl StandIns {
    /// `looked_for`: the texts that rules compare with.
    #[must_use]
    pub fn new(looked_for: &[String]) -> Self {
        // `'fullsync'|letters` looks for the letters.
        let all = || looked_for.iter().cloned().chain(looked_for.iter().map(|text| letters(text)));
        let mut parts: Vec<_> = all()
            .map(|text| text.to_lowercase())
            .filter(|text| text.trim().chars().count() >= SHORTEST)
            .collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts.dedup();
        let documented = hotglue::STATUSES.iter().chain(hotglue::SYNC_TYPES).map(ToString::to_string);
        let kinds = Kind::ALL.map(|kind| kind.as_str().to_owned());
        let words =
            all().chain(documented).chain(kinds).chain([REDACTED.to_owned(), String::new()]).collect();
        let single = words_of(looked_for);
        Self { words, parts, single, tokens: HashMap::new(), given: HashMap::new() }
    }

    /// A payload without what is a customer's.
    #[must_use]
    pub fn payload(&mut self, payload: &Value) -> Value {
        // Names first: they may stand in texts, too.
        self.learn(payload);
        self.value("", payload)
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let (Some(word), Some(text)) = (word_of(name), scalar(value)) {
                        self.token(word, &text);
                    }
                    self.learn(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    fn value(&mut self, name: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (self.field_name(name), self.value(name, value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Array(items) => items.iter().map(|item| self.value(name, item)).collect(),
            Value::String(text) => match word_of(name) {
                Some(word) => self.token(word, text).into(),
                None if WORDS.contains(&name) => self.connector(text).into(),
                None => self.text(text).into(),
            },
            Value::Number(number) => match word_of(name) {
                Some(word) => self.token(word, &number.to_string()).into(),
                // A time in milliseconds or seconds is one, an account number looks just the same.
                None if is_time_field(name) || number.to_string().len() <= LONGEST_NUMBER + 2 => {
                    value.clone()
                }
                None => 0.into(),
            },
            Value::Bool(_) | Value::Null => value.clone(),
        }
    }

    /// Names of fields stay, where they look like some.
    fn field_name(&mut self, name: &str) -> String {
        let looks_like_one = name.len() <= 40
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            // Longer numbers are somebody's.
            && name.split(|c: char| !c.is_ascii_digit()).all(|digits| digits.len() <= 2)
            && !self.tokens.contains_key(name);
        if looks_like_one || self.words.contains(name) { name.to_owned() } else { self.text(name) }
    }

    /// Names of connectors stay, where they look like some.
    #[must_use]
    pub fn connector(&mut self, text: &str) -> String {
        let looks_like_one = text.len() <= 40
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !self.tokens.contains_key(text);
        if looks_like_one || self.words.contains(text) { text.to_owned() } else { self.text(text) }
    }

    /// A problem of a config, such as `/credentials/password is missing`: a path of names of fields, and our own words.
    #[must_use]
    pub fn problem(&mut self, text: &str) -> String {
        match text.split_once(' ') {
            Some((path, sentence)) if path.starts_with('/') => {
                let path: Vec<_> = path.split('/').map(|name| self.index_or_name(name)).collect();
                format!("{} {sentence}", path.join("/"))
            }
            _ => text.to_owned(),
        }
    }

    fn index_or_name(&mut self, name: &str) -> String {
        if name.len() <= 3 && name.bytes().all(|byte| byte.is_ascii_digit()) {
            return name.to_owned();
        }
        self.field_name(name)
    }

    /// Texts of a JSON value that a rule remembers.
    #[must_use]
    pub fn remembered(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with('/') => self.problem(text).into(),
            Value::Array(items) => items.iter().map(|item| self.remembered(item)).collect(),
            other => self.value("", other),
        }
    }

    /// The token of a value, such as `tenant-1`.
    fn token(&mut self, word: &'static str, value: &str) -> String {
        if self.words.contains(value) {
            return value.to_owned();
        }
        if let Some(token) = self.tokens.get(value) {
            return token.clone();
        }
        let number = self.given.entry(word).or_default();
        *number += 1;
        let token = format!("{word}-{number}");
        self.tokens.insert(value.to_owned(), token.clone());
        token
    }

    /// A text with tokens in place of its words: what rules look for stays, and so do common words, times, codes and
    /// whatever stands between words.
    #[must_use]
    pub fn text(&mut self, text: &str) -> String {
        if self.words.contains(text) || is_time(text) {
            return text.to_owned();
        }
        let names = self.names();
        let mut written = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let looked_for = self.parts.iter().find_map(|part| begins(rest, part));
            let name = || {
                names.iter().find_map(|(name, token)| rest.starts_with(name).then_some((name.len(), token)))
            };
            if let Some(length) = looked_for {
                written.push_str(&rest[..length]);
                rest = &rest[length..];
            } else if let Some((length, token)) = name() {
                written.push_str(token);
                rest = &rest[length..];
            } else if is_of_word(first) {
                let length = self.word_end(rest, &names);
                let word = &rest[..length];
                if stays(word) || self.single.contains(&word.to_lowercase()) {
                    written.push_str(word);
                } else {
                    written.push_str(&self.token("word", word));
                }
                rest = &rest[length..];
            } else {
                written.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        written
    }

    /// Names that are found within texts, with their tokens, the longest first.
    fn names(&self) -> Vec<(String, String)> {
        let mut names: Vec<_> = self
            .tokens
            .iter()
            .filter(|(name, token)| name.chars().count() >= SHORTEST && !token.starts_with("word-"))
            .map(|(name, token)| (name.clone(), token.clone()))
            .collect();
        names.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        names
    }

    /// A word ends where something begins that stays or has a token of its own.
    fn word_end(&self, text: &str, names: &[(String, String)]) -> usize {
        for (at, c) in text.char_indices().skip(1) {
            let rest = &text[at..];
            if !is_of_word(c)
                || self.parts.iter().any(|part| begins(rest, part).is_some())
                || names.iter().any(|(name, _)| rest.starts_with(name.as_str()))
            {
                return at;
            }
        }
        text.len()
    }
}

/// How many bytes of `text` are `part`, which is lower-case, whatever their case.
fn begins(text: &str, part: &str) -> Option<usize> {
    let mut wanted = part.chars().peekable();
    for (at, c) in text.char_indices() {
        if wanted.peek().is_none() {
            return Some(at);
        }
        for lower in c.to_lowercase() {
            if wanted.next() != Some(lower) {
                return None;
            }
        }
    }
    wanted.peek().is_none().then_some(text.len())
}

fn words_of(looked_for: &[String]) -> BTreeSet<String> {
    let words = looked_for.iter().flat_map(|text| text.split(|c| !is_of_word(c)));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn word_of(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(field, _)| *field == name).map(|(_, word)| *word)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn stays(word: &str) -> bool {
    let code = word.len() <= LONGEST_NUMBER && word.bytes().all(|byte| byte.is_ascii_digit());
    code || COMMON.split(' ').any(|common| common.eq_ignore_ascii_case(word))
        || hotglue::STATUSES.contains(&word)
}

fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok()
}

fn is_time_field(name: &str) -> bool {
    hotglue::STATUSES.contains(&name) || ["last_updated", "timestamp", "start_time"].contains(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn stand_ins() -> StandIns {
        let looked_for = [
            "401 Client Error: Unauthorized for url: https://start.exactonline.",
            "/api/oauth2/token",
            "full sync",
            "fullsync",
            "BuyOrders",
            "buy order",
        ];
        StandIns::new(&looked_for.map(str::to_owned))
    }

    #[test]
    fn what_is_a_customers_becomes_tokens_and_what_belongs_together_still_does() {
        let payload = json!({
            "tenant": "acme_77", "job_id": "tVN_B", "env_id": "prod.acme.example", "flow_id": 4711, "tap": "exact",
            "status": "SYNC_FAILED", "last_updated": "2024-10-07T07:50:28.076586+00:00", "duration": 12,
            "job_name": "Jansen full sync 62112121925143", "scheduled_job": true, "phone": 31612345678u64,
            "error": "acme_77: mail jan@jansen.example about https://shop.jansen.example/orders?id=998877 failed (404)",
            "state": { "bookmarks": { "BuyOrders": [{"id": "c-1", "error": "Jan Jansen is blocked"}] } },
            "users": { "jan@jansen.example": "Jan" }, "status_timestamp": { "SYNC_FAILED": 1728287428076u64 },
        });
        let found = stand_ins().payload(&payload);
        let all = found.to_string();
        for gone in ["acme", "tVN_B", "4711", "ansen", "Jan", "31612345678", "998877", "shop"] {
            assert!(!all.contains(gone), "{gone}: {all}");
        }
        assert_eq!(
            (&found["tenant"], &found["job_id"], &found["flow_id"]),
            (&json!("tenant-1"), &json!("job-1"), &json!("flow-1"))
        );
        for kept in ["tap", "status", "last_updated", "duration", "scheduled_job", "status_timestamp"] {
            assert_eq!(found[kept], payload[kept], "{kept}");
        }
        let error = found["error"].as_str().unwrap();
        assert!(
            error.starts_with("tenant-1: ") && error.ends_with("/orders?id=word-7 failed (404)"),
            "{error}"
        );
        let name = found["job_name"].as_str().unwrap();
        assert!(name.starts_with("word-") && name.ends_with(" full sync 62112121925143"), "{name}");
        assert!(found["state"]["bookmarks"]["BuyOrders"].is_array());
        assert_eq!(stand_ins().payload(&payload), found, "the same again");
    }

    #[test]
    fn what_rules_look_for_stays_also_within_words_and_in_another_case() {
        let mut stand_ins = stand_ins();
        let url = "x 401 Client Error: Unauthorized for url: https://start.exactonline.nl/api/oauth2/token";
        let found = stand_ins.text(url);
        assert_eq!(
            found,
            "word-1 401 Client Error: Unauthorized for url: https://start.exactonline.word-2/api/oauth2/token"
        );
        assert_eq!(stand_ins.text("MyBUYORDERSList"), "word-3BUYORDERSword-4");
    }

    #[test]
    fn problems_of_a_config_keep_the_names_of_fields() {
        let mut stand_ins = stand_ins();
        let kept = "/importCredentials/0/account_id is missing";
        assert_eq!(stand_ins.problem(kept), kept);
        assert_eq!(
            stand_ins.problem("/jan@jansen.example/x is missing"),
            "/word-1@word-2.word-3/x is missing"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_replaced_without_panic_and_always_alike(text in "\\PC{0,60}") {
            let mut stand_ins = stand_ins();
            let once = stand_ins.text(&text);
            prop_assert_eq!(stand_ins.text(&text), once);
        }
    }
}
