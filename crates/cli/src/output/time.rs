//! Times: as people type them, and as they read them.

use std::str::FromStr;
use std::time::Duration;

use domain::span;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A moment as a person names it: so long ago, or at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Ago(Duration),
    At(Timestamp),
}

impl When {
    /// Before time began there are no events: a length that reaches further back means "all".
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(length) => SignedDuration::try_from(length)
                .ok()
                .and_then(|length| now.checked_sub(length).ok())
                .unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(length) = span::duration(text) {
            return Ok(Self::Ago(length));
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::At(at));
        }
        // Without an offset it is UTC, as everything that is printed.
        if let Ok(at) = text.parse::<DateTime>()
            && let Ok(at) = at.to_zoned(TimeZone::UTC)
        {
            return Ok(Self::At(at.timestamp()));
        }
        Err("write a length of time such as 2h or 3d, or a time such as 2026-03-01 or 2026-03-01T14:30:00Z"
            .to_owned())
    }
}

/// How long ago, roughly; `in 5m` for what is still to come.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    let length = match seconds.unsigned_abs() {
        seconds @ 0..=59 => format!("{seconds}s"),
        seconds @ 60..=3_599 => format!("{}m", seconds / 60),
        seconds @ 3_600..=86_399 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    };
    if seconds < 0 { format!("in {length}") } else { format!("{length} ago") }
}

/// A time in UTC, to the second, with its age; without it (RFC 3339) when no person reads.
pub(crate) fn stamp(then: Timestamp, now: Timestamp, for_person: bool) -> String {
    if for_person {
        format!("{} ({})", then.strftime("%Y-%m-%d %H:%M:%SZ"), ago(then, now))
    } else {
        then.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_moment_is_a_length_of_time_or_a_time() {
        let now = at("2026-03-02T12:00:00Z");
        for (text, expected) in [
            ("2h", "2026-03-02T10:00:00Z"),
            ("3d", "2026-02-27T12:00:00Z"),
            ("2026-03-01T14:30:00+02:00", "2026-03-01T12:30:00Z"),
            ("2026-03-01T14:30:00Z", "2026-03-01T14:30:00Z"),
            ("2026-03-01T14:30", "2026-03-01T14:30:00Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z"),
        ] {
            assert_eq!(text.parse::<When>().unwrap().at(now), at(expected), "{text}");
        }
        assert_eq!("400000000d".parse::<When>().unwrap().at(now), Timestamp::MIN);
    }

    #[test]
    fn what_is_no_moment_is_refused_with_the_forms_that_are() {
        for text in ["", "yesterday", "2026-13-01", "-2h", "12:00"] {
            let error = text.parse::<When>().unwrap_err();
            assert!(error.contains("2h") && error.contains("2026-03-01T14:30:00Z"), "{text}: {error}");
        }
    }

    #[test]
    fn ages_are_rough() {
        let now = at("2026-03-02T12:00:00Z");
        for (then, expected) in [
            ("2026-03-02T11:59:01Z", "59s ago"),
            ("2026-03-02T11:57:00Z", "3m ago"),
            ("2026-03-02T09:30:00Z", "2h ago"),
            ("2026-02-27T12:00:00Z", "3d ago"),
            ("2026-03-02T12:05:00Z", "in 5m"),
        ] {
            assert_eq!(ago(at(then), now), expected);
        }
        assert_eq!(stamp(at("2026-03-02T11:57:00.5Z"), now, true), "2026-03-02 11:57:00Z (2m ago)");
        assert_eq!(stamp(at("2026-03-02T11:57:00.5Z"), now, false), "2026-03-02T11:57:00.5Z");
    }
}
