//! How values are written in columns, and read back.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::error::Trouble;

/// A text for a text column. Postgres stores no NUL in one.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// A text for a column that is a key: an entry of an index holds a third of a page, and a tenant may be called by a
/// longer name than that. What is longer is cut, and told apart by its digest.
pub(crate) fn key(given: &str) -> Cow<'_, str> {
    const MOST: usize = 600;
    const KEPT: usize = 500;
    let given = text(given);
    if given.len() <= MOST {
        return given;
    }
    Cow::Owned(format!(
        "{}\u{2026}{}",
        &given[..given.floor_char_boundary(KEPT)],
        hex::encode(Sha256::digest(given.as_bytes()))
    ))
}

pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(crate) fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn instant(micros: i64) -> Result<Timestamp, Trouble> {
    Timestamp::from_microsecond(micros).map_err(|error| Trouble::unreadable("an instant", error))
}

pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Trouble> {
    serde_json::to_string(value).map_err(|error| Trouble::Bug(format!("can't be written as JSON: {error}")))
}

pub(crate) fn from_json<T: DeserializeOwned>(json: &str, what: &str) -> Result<T, Trouble> {
    serde_json::from_str(json).map_err(|error| Trouble::unreadable(what, error))
}

/// Counts are never negative, and none of ours reaches four thousand million.
pub(crate) fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// A stream's sequence; the database's integers end at 2^63.
pub(crate) fn sequence(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_short_and_tells_long_names_apart() {
        assert_eq!(key("dev/flow/1414_1"), "dev/flow/1414_1");
        let (one, other) = (format!("{}1", "\u{1f600}".repeat(400)), format!("{}2", "\u{1f600}".repeat(400)));
        assert!(key(&one).len() < 600 && key(&one) != key(&other));
    }
}
