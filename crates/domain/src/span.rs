//! Lengths of time and sizes as people write them in settings: `30d`, `10m`, `1MiB`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// What [`duration`] reads, as a regular expression for editors.
pub(crate) const DURATION: &str = "^\\s*[0-9]+\\s*(ms|s|m|h|d)\\s*$";
/// What [`bytes`] reads.
pub(crate) const BYTES: &str = "^\\s*[0-9]+\\s*(B|KB|MB|GB|KiB|MiB|GiB)?\\s*$";

/// A length of time in a schema.
pub(crate) fn duration_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "pattern": DURATION })
}

/// A size in a schema.
pub(crate) fn bytes_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "anyOf": [{ "type": "string", "pattern": BYTES }, { "type": "integer", "minimum": 0 }] })
}

/// Parses `<number><unit>` with unit `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// A sentence that shows the accepted forms.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is not a length of time: write a whole number and ms, s, m, h or d, such as \"10m\""
        )
    };
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let millis = match text[digits..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// Parses `<number><unit>` with unit `B`, `KiB`, `MiB`, `GiB` (also `KB`, `MB`, `GB` = powers of 1000) into bytes.
///
/// # Errors
/// A sentence that shows the accepted forms.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is not a size: write a whole number and B, KiB, MiB or GiB, such as \"1MiB\"");
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match text[digits..].trim() {
        "B" | "" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// A number without a unit could be anything, so it is refused with the sentence that shows how to write it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a length of time is a text with its unit, such as \"30s\" or \"10m\"")]
enum LengthAsWritten {
    Text(String),
}

/// A size as a text with its unit, or as a plain number of bytes.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a size is a number of bytes, or a text such as \"1MiB\"")]
enum SizeAsWritten {
    Bytes(u64),
    Text(String),
}

pub(crate) fn de_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let LengthAsWritten::Text(text) = LengthAsWritten::deserialize(deserializer)?;
    duration(&text).map_err(D::Error::custom)
}

pub(crate) fn de_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match SizeAsWritten::deserialize(deserializer)? {
        SizeAsWritten::Bytes(bytes) => Ok(bytes),
        SizeAsWritten::Text(text) => bytes(&text).map_err(D::Error::custom),
    }
}

pub(crate) fn de_some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    de_bytes(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_written() {
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in
            ["", "10", "d", "-1s", "1.5h", "10 years", "99999999999999999999d", "18446744073709551615d"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_as_written() {
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(bytes("512"), Ok(512));
        assert!(bytes("1 mile").is_err());
    }

    #[derive(Debug, Deserialize)]
    struct Settings {
        #[serde(default, deserialize_with = "de_bytes")]
        size: u64,
        #[serde(default, deserialize_with = "de_duration")]
        time: Duration,
    }

    #[test]
    fn a_plain_number_is_a_size_in_bytes_and_no_length_of_time() {
        let read = |text| toml::from_str::<Settings>(text).map_err(|error| error.message().to_owned());
        assert_eq!(read("size = 1048576").unwrap().size, 1 << 20);
        assert_eq!(read("time = \"30s\"").unwrap().time, Duration::from_secs(30));
        let said = read("time = 30").unwrap_err();
        assert!(said.contains("such as \"30s\""), "{said}");
        let said = read("size = true").unwrap_err();
        assert!(said.contains("such as \"1MiB\""), "{said}");
    }
}
