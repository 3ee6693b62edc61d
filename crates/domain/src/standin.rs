//! Stable tokens in place of what is a customer's or a person's: the same value is always the same token, so what belongs
//! together still does, within a file and from one to the next. What rules look for stays, and so does what names no
//! one: names of fields and connectors, documented words, times, small numbers, the commonest words of error texts.
//! What is known by its form or its field (`personal`) goes also where it is made of such words and numbers.

mod left;
mod personal;
mod token;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use serde_json::Value;

pub use self::left::{left_in, left_within};
use self::personal::{Field, Found, Kind as Personal};
pub use self::token::{SHORTEST_SALT, Salt};
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

/// As often as a text is looked at: what stands beside a token may look like something else.
const LOOKS: usize = 8;
/// Times that a field may hold as a number: of this century, in seconds or milliseconds.
const SECONDS: Range<i64> = 946_684_800..4_102_444_800;

/// Hands out tokens for one file.
#[derive(Debug)]
pub struct StandIns {
    salt: Salt,
    /// What rules look for: whole.
    words: BTreeSet<String>,
    /// And within texts, lower-case, the longest first.
    parts: Vec<String>,
    /// The words that these are made of, lower-case: `' bo '` may be looked for in a text that was padded before.
    single: BTreeSet<String>,
    /// The tokens of values that are names, to be found within texts.
    tokens: HashMap<String, String>,
}

impl StandIns {
    /// `looked_for`: the texts that rules compare with.
    #[must_use]
    pub fn new(salt: &Salt, looked_for: &[String]) -> Self {
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
        Self { salt: salt.clone(), words, parts, single: words_of(looked_for), tokens: HashMap::new() }
    }

    /// A payload without what is a customer's.
    #[must_use]
    pub fn payload(&mut self, payload: &Value) -> Value {
        // Names first: they may stand in texts, too.
        self.learn(payload, None);
        self.value("", payload, None)
    }

    fn learn(&mut self, value: &Value, within: Option<Personal>) {
        match value {
            Value::Object(fields) => {
                let person = is_of_person(fields);
                for (name, value) in fields {
                    let kind = kind_of(name, person, within);
                    match (word_of(name), kind, scalar(value)) {
                        (Some(word), _, Some(text)) => {
                            self.name(word, &text);
                        }
                        (None, Some(kind), Some(text)) if tells(&text) => {
                            self.personal(kind, &text);
                        }
                        _ => {}
                    }
                    self.learn(value, kind);
                }
            }
            Value::Array(items) => {
                for item in items {
                    if let (Some(kind), Value::String(text)) = (within, item)
                        && tells(text)
                    {
                        self.personal(kind, text);
                    }
                    self.learn(item, within);
                }
            }
            _ => {}
        }
    }

    fn value(&mut self, name: &str, value: &Value, within: Option<Personal>) -> Value {
        match value {
            Value::Object(fields) => {
                let person = is_of_person(fields);
                let each = fields.iter().map(|(name, value)| {
                    let kind = kind_of(name, person, within);
                    (self.field_name(name), self.value(name, value, kind))
                });
                each.collect::<serde_json::Map<_, _>>().into()
            }
            Value::Array(items) => items.iter().map(|item| self.value(name, item, within)).collect(),
            Value::String(text) => match (word_of(name), within) {
                (Some(word), _) => self.name(word, text).into(),
                (None, Some(kind)) => self.of_person(kind, text).into(),
                (None, None) if WORDS.contains(&name) => self.connector(text).into(),
                (None, None) if is_time_field(name) && is_time_digits(text) => value.clone(),
                (None, None) => self.text(text).into(),
            },
            Value::Number(number) => match (word_of(name), within) {
                (Some(word), _) => self.name(word, &number.to_string()).into(),
                (None, Some(kind)) => self.of_person(kind, &number.to_string()).into(),
                // A time in milliseconds or seconds is one, an account number looks just the same.
                (None, None)
                    if (is_time_field(name) && is_time_number(number))
                        || number.to_string().len() <= LONGEST_NUMBER + 2 =>
                {
                    value.clone()
                }
                (None, None) => 0.into(),
            },
            Value::Bool(_) | Value::Null => value.clone(),
        }
    }

    /// Names of fields stay, where they look like some.
    fn field_name(&self, name: &str) -> String {
        let looks_like_one = name.len() <= 40
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            // Longer numbers are somebody's.
            && name.split(|c: char| !c.is_ascii_digit()).all(|digits| digits.len() <= 2)
            && personal::find(name).is_empty()
            && !self.tokens.contains_key(name);
        if looks_like_one || self.words.contains(name) { name.to_owned() } else { self.text(name) }
    }

    /// Names of connectors stay, where they look like some.
    #[must_use]
    pub fn connector(&self, text: &str) -> String {
        let looks_like_one = text.len() <= 40
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && personal::find(text).is_empty()
            && !self.tokens.contains_key(text);
        if looks_like_one || self.words.contains(text) { text.to_owned() } else { self.text(text) }
    }

    /// A problem of a config, such as `/credentials/password is missing`: a path of names of fields, and our own words.
    #[must_use]
    pub fn problem(&self, text: &str) -> String {
        match text.split_once(' ') {
            Some((path, sentence)) if path.starts_with('/') => {
                let path: Vec<_> = path.split('/').map(|name| self.index_or_name(name)).collect();
                format!("{} {}", path.join("/"), self.told(sentence))
            }
            _ => self.told(text),
        }
    }

    fn index_or_name(&self, name: &str) -> String {
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
            other => self.value("", other, None),
        }
    }

    /// The token of a name, such as `tenant-rkqbnmtdcvhf`; it is found within texts from then on.
    fn name(&mut self, word: &'static str, value: &str) -> String {
        if self.words.contains(value) || token::is_one(value) {
            return value.to_owned();
        }
        let salt = &self.salt;
        self.tokens.entry(value.to_owned()).or_insert_with(|| salt.token(word, value)).clone()
    }

    /// It is found within texts from then on.
    fn personal(&mut self, kind: Personal, value: &str) {
        if !self.words.contains(value) && !token::is_one(value) && !self.holds_looked_for(value) {
            let token = self.salt.token(kind.word(), &kind.canonical(value));
            self.tokens.entry(value.to_owned()).or_insert(token);
        }
    }

    fn holds_looked_for(&self, text: &str) -> bool {
        let begins_at = |at: usize| self.parts.iter().any(|part| begins(&text[at..], part).is_some());
        text.char_indices().any(|(at, _)| begins_at(at))
    }

    /// The value of a field that is a person's: one token, but for what rules look for.
    fn of_person(&self, kind: Personal, text: &str) -> String {
        if self.words.contains(text) || token::is_one(text) {
            return text.to_owned();
        }
        if self.holds_looked_for(text) {
            let names = self.names();
            let with_tokens = settled(text, |text| self.look(text, &names, false));
            // It may have gone with what it was a part of.
            if self.holds_looked_for(&with_tokens) {
                return with_tokens;
            }
        }
        self.salt.token(kind.word(), &kind.canonical(text))
    }

    /// A text with tokens in place of its words: what rules look for stays, and so do common words, times, codes and
    /// whatever stands between words.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if self.words.contains(text) || (is_time(text) && !self.tokens.contains_key(text)) {
            return text.to_owned();
        }
        let names = self.names();
        settled(text, |text| self.look(text, &names, true))
    }

    /// A sentence of our own, which may quote something of a person's.
    fn told(&self, text: &str) -> String {
        settled(text, |text| {
            let mut written = String::with_capacity(text.len());
            self.between(text, &mut written, |part, written| written.push_str(part));
            written
        })
    }

    fn look(&self, text: &str, names: &[(String, String)], common: bool) -> String {
        let mut written = String::with_capacity(text.len());
        self.between(text, &mut written, |part, written| self.words_in(part, names, common, written));
        written
    }

    /// Writes tokens for what is recognised, and hands out what stands between.
    fn between(&self, text: &str, written: &mut String, mut rest: impl FnMut(&str, &mut String)) {
        let mut from = 0;
        for found in self.recognised(text) {
            rest(&text[from..found.at.start], written);
            let it = &text[found.at.clone()];
            match found.kind {
                Personal::Time => written.push_str(it),
                kind => written.push_str(&self.salt.token(kind.word(), &kind.canonical(it))),
            }
            from = found.at.end;
        }
        rest(&text[from..], written);
    }

    /// What is recognised and is no part of what rules look for.
    fn recognised(&self, text: &str) -> Vec<Found> {
        let mut found = personal::find(text);
        found.retain(|found| !token::is_one(&text[found.at.clone()]));
        if !found.is_empty() {
            let looked_for: Vec<_> = text
                .char_indices()
                .flat_map(|(at, _)| {
                    let longest = self.parts.iter().find_map(|part| begins(&text[at..], part));
                    longest.map(|length| at..at + length)
                })
                .collect();
            let within = |at: &Range<usize>| {
                looked_for.iter().any(|part| part.start <= at.start && at.end <= part.end)
            };
            found.retain(|found| !within(&found.at));
        }
        found
    }

    fn words_in(&self, text: &str, names: &[(String, String)], common: bool, written: &mut String) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let looked_for = || self.parts.iter().find_map(|part| begins(rest, part));
            let name = || {
                names.iter().find_map(|(name, token)| rest.starts_with(name).then_some((name.len(), token)))
            };
            if let Some(length) = token::begins(rest).or_else(looked_for) {
                written.push_str(&rest[..length]);
                rest = &rest[length..];
            } else if let Some((length, token)) = name() {
                written.push_str(token);
                rest = &rest[length..];
            } else if is_of_word(first) {
                let length = self.word_end(rest, names);
                let word = &rest[..length];
                if (common && stays(word)) || self.single.contains(&word.to_lowercase()) {
                    written.push_str(word);
                } else {
                    written.push_str(&self.salt.token("word", word));
                }
                rest = &rest[length..];
            } else {
                written.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }

    /// Names that are found within texts, with their tokens, the longest first.
    fn names(&self) -> Vec<(String, String)> {
        let mut names: Vec<_> = self
            .tokens
            .iter()
            .filter(|(name, _)| name.chars().count() >= SHORTEST)
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
                || token::begins(rest).is_some()
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

/// Looks again until nothing changes.
fn settled(text: &str, look: impl Fn(&str) -> String) -> String {
    let mut text = text.to_owned();
    for _ in 0..LOOKS {
        let next = look(&text);
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// A name with tokens in it says nothing by their words.
fn field(name: &str) -> Option<Field> {
    let token = name.char_indices().any(|(at, _)| token::begins(&name[at..]).is_some());
    if token { None } else { personal::field(name) }
}

/// Is a field of these a person's, so that `name` is one's, too?
fn is_of_person(fields: &serde_json::Map<String, Value>) -> bool {
    fields.keys().any(|name| matches!(field(name), Some(Field::Of(_))))
}

/// What is in an address is a part of it.
fn kind_of(name: &str, person: bool, within: Option<Personal>) -> Option<Personal> {
    match field(name) {
        Some(Field::Of(kind)) => Some(kind),
        Some(Field::Name) if person => Some(Personal::Name),
        Some(Field::Name) | None => within,
    }
}

/// Is it worth looking for in texts? Not a number of a house, nor a word that everybody uses.
fn tells(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && !COMMON.split(' ').any(|common| common == text)
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

fn is_time_number(number: &serde_json::Number) -> bool {
    number.as_i64().is_some_and(|time| SECONDS.contains(&time) || SECONDS.contains(&(time / 1000)))
}

fn is_time_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends =
        ["_at", "_ts", "time", "timestamp", "last_updated"].iter().any(|ending| name.ends_with(ending));
    ends || hotglue::STATUSES.iter().any(|status| status.eq_ignore_ascii_case(&name))
}

/// A time in milliseconds or seconds, sent as a text.
fn is_time_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<i64>().is_ok_and(|time| is_time_number(&time.into()))
}

#[cfg(test)]
mod tests;
