//! What a failed call means, in one place: may it be tried again, when, and may the effect have taken place?
//!
//! Sources: hotglue's own client retries 429, 423 and 5xx and takes other 4xx for final; API Gateway stands in front of
//! hotglue and answers 403, 429 and 504 with its own bodies; Slack documents 429 with `Retry-After`.

use std::error::Error;
use std::time::Duration;

use domain::breaker::{Heard, Sign};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::http::Answer;
use crate::outcome::EffectError;
use crate::scrub::{excerpt, excerpt_of_json};

/// What is likely a wrong address is asked for at this pace.
const OPERATOR_PACE: Duration = Duration::from_secs(30);

/// No answer came. `request` is the call in short; `write` says whether it changes something.
pub(crate) fn unanswered(
    error: &reqwest::Error,
    who: &str,
    request: &str,
    write: bool,
    timeout: Duration,
) -> EffectError {
    if error.is_builder() {
        return EffectError::permanent(format!("{request} can't be sent to {who}: {}", cause(error)));
    }
    if error.is_connect() {
        let why = if error.is_timeout() { "no connection in time".to_owned() } else { cause(error) };
        return EffectError::Transient {
            why: format!("{who} can't be reached: {why} ({request})"),
            after: None,
            uncertain: false,
            sign: Sign::Unreachable,
        };
    }
    let why = if error.is_timeout() {
        format!("{who} did not answer within {} s ({request})", timeout.as_secs_f32())
    } else {
        format!("{who} broke off before its answer was complete: {} ({request})", cause(error))
    };
    EffectError::Transient { why, after: None, uncertain: write, sign: Sign::Failing }
}

/// The innermost cause; the outer ones repeat the address.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: Option<&dyn Error> = error.source();
    while let Some(next) = innermost.and_then(Error::source) {
        innermost = Some(next);
    }
    // An error without a cause shows itself, and its address with it.
    innermost.map_or_else(|| "the request is not valid".to_owned(), |error| excerpt(&error.to_string()))
}

/// A call that was not made, because it was no longer ours to make. Those before it were answered.
pub(crate) fn withdrawn(request: &str) -> EffectError {
    EffectError::Transient {
        why: format!(
            "the worker was held up for so long that others may have gone on with the step: {request} was not sent"
        ),
        after: None,
        uncertain: false,
        sign: Sign::Well,
    }
}

/// An answer came that isn't a success. `write`: the call changes something. Trouble at the other side that it tells of
/// itself is over: whatever it did, trying again is harmless (what hotglue would do twice is looked up first). A gateway that
/// gave up waiting (504) knows nothing, and the effect may still come.
pub(crate) fn refused(answer: &Answer, who: &str, request: &str, write: bool) -> EffectError {
    let status = answer.status;
    let says = says(answer);
    let transient = |why, after, uncertain, sign| EffectError::Transient { why, after, uncertain, sign };
    match status {
        429 => transient(
            format!("{who} asks us to slow down, 429 to {request}{says}"),
            answer.retry_after,
            false,
            Sign::SlowDown(answer.retry_after),
        ),
        408 | 423 | 425 => transient(
            format!("{who} can't take this just now, {status} to {request}{says}"),
            answer.retry_after,
            false,
            Sign::Well,
        ),
        300..=399 => transient(
            format!("{who} answers {request} with a redirect ({status}): its base_url is likely wrong"),
            Some(OPERATOR_PACE),
            false,
            Sign::Failing,
        ),
        500.. => transient(
            format!("{who} is in trouble, {status} to {request}{says}"),
            answer.retry_after,
            write && status == 504,
            Sign::Failing,
        ),
        _ => EffectError::permanent(format!("{who} refuses {request} with {status}{says}")),
    }
}

/// An answer to a question that is asked only to hear who gives it, and what to tell people of it. `is_its_own`: a success is as the
/// service writes it.
///
/// # Errors
/// It says that the service is in trouble, or asks us to slow down.
pub(crate) fn answers(
    answer: &Answer,
    who: &str,
    request: &str,
    is_its_own: bool,
) -> Result<(Heard, String), EffectError> {
    let why = |error: EffectError| error.why().to_owned();
    match answer.status {
        429 | 500.. => Err(refused(answer, who, request, false)),
        300..=399 => Ok((Heard::Stranger, why(refused(answer, who, request, false)))),
        200..=299 if answer.is_page() => Ok((Heard::Stranger, why(page(who, request)))),
        200..=299 if is_its_own => Ok((Heard::Well, String::new())),
        200..=299 => Ok((Heard::Somebody, why(unreadable(who, request)))),
        _ => Ok((Heard::Somebody, why(refused(answer, who, request, false)))),
    }
}

/// A success whose body isn't what it should be.
pub(crate) fn unreadable(who: &str, request: &str) -> EffectError {
    EffectError::Transient {
        why: format!("{who} answers {request} with something that is not the JSON expected of it"),
        after: None,
        uncertain: false,
        sign: Sign::Failing,
    }
}

/// A success whose body is an HTML page: whoever wrote it is not the service. A POST may have gone through all the same; what
/// a PUT sets is set again.
pub(crate) fn page(who: &str, request: &str) -> EffectError {
    EffectError::Transient {
        why: format!("{who} answers {request} with an HTML page instead of an answer: is base_url right?"),
        after: None,
        uncertain: request.starts_with("POST "),
        sign: Sign::Failing,
    }
}

pub(crate) fn is_html(headers: &HeaderMap) -> bool {
    let of_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = of_type.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"].iter().any(|html| essence.eq_ignore_ascii_case(html))
}

/// `: <what the body says>`, or nothing. Tolerates what hotglue's own client tolerates: `Code`/`Message` in either case
/// and of any type, JSON that is no object, HTML, text, nothing.
pub(crate) fn says(answer: &Answer) -> String {
    let text = match answer.json() {
        Some(Value::Null) => String::new(),
        Some(Value::Object(fields)) => {
            let field = |names: &[&str]| {
                names.iter().find_map(|name| fields.get(*name)).and_then(|value| match value {
                    Value::Null => None,
                    Value::String(text) => Some(excerpt(text)),
                    other => Some(excerpt_of_json(other)),
                })
            };
            match (field(&["Code", "code"]), field(&["Message", "message", "error"])) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => excerpt_of_json(&Value::Object(fields)),
            }
        }
        Some(Value::String(text)) => excerpt(&text),
        Some(other) => excerpt_of_json(&other),
        None => {
            let text = answer.text();
            if text.trim_start().starts_with('<') { html(&text) } else { excerpt(&text) }
        }
    };
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn html(page: &str) -> String {
    let title = page.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    match title {
        Some((title, _)) => format!("an HTML page, \"{}\"", excerpt(title)),
        None => "an HTML page".to_owned(),
    }
}

/// `Retry-After`: seconds, or a date. A date is measured against the answer's own `Date`, so that neither clock matters.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = http_date(text)?;
    let now = http_date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec(), html: false }
    }

    #[test]
    fn every_shape_of_error_body_is_told_in_one_line() {
        for (body, told) in [
            (
                r#"{"Code":"NotFoundError","Message":"Resource not found"}"#,
                ": NotFoundError: Resource not found",
            ),
            (r#"{"code":"BadRequestError","message":"nope"}"#, ": BadRequestError: nope"),
            (r#"{"Code":7,"Message":["a"]}"#, r#": 7: ["a"]"#),
            (r#"{"message":"Forbidden"}"#, ": Forbidden"),
            (r#"{"x":1}"#, r#": {"x":1}"#),
            (r#"["a"]"#, r#": ["a"]"#),
            ("Internal Server Error", ": Internal Server Error"),
            ("<html><title>502 Bad\nGateway</title></html>", ": an HTML page, \"502 Bad Gateway\""),
            ("<html>x", ": an HTML page"),
            ("null", ""),
            ("", ""),
        ] {
            assert_eq!(says(&answer(400, body)), told);
        }
        let leak = says(&answer(400, r#"{"Message":"login failed: client_secret=abcdef12345"}"#));
        assert!(!leak.contains("abcdef12345"), "{leak}");
    }

    #[test]
    fn statuses_are_told_apart_once() {
        let class = |status, write| match refused(&answer(status, ""), "x", "PUT /y", write) {
            EffectError::Transient { uncertain: true, .. } => "uncertain",
            EffectError::Transient { uncertain: false, .. } => "again",
            EffectError::Permanent { .. } => "never",
            EffectError::Unknown { .. } => "unknown",
        };
        for status in [408, 423, 425, 429, 301, 302, 307] {
            assert_eq!(class(status, true), "again", "{status}");
        }
        for status in [500, 501, 502, 503, 599] {
            assert_eq!(class(status, true), "again", "{status}");
        }
        assert_eq!(class(504, true), "uncertain", "the effect may still come");
        for status in [500, 501, 502, 503, 504, 599] {
            assert_eq!(class(status, false), "again", "{status}");
        }
        for status in [400, 402, 404, 405, 409, 410, 413, 415, 422, 451] {
            assert_eq!(class(status, true), "never", "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_measured_by_the_servers_own_clock() {
        let asked = |retry_after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
            date.map(|date| headers.insert(DATE, HeaderValue::from_static(date)));
            super::retry_after(&headers).map(|wait| wait.as_secs())
        };
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(asked("17", None), Some(17));
        assert_eq!(asked(" 0 ", None), Some(0));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:07 GMT", date), Some(30));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT", date), Some(0));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:07 GMT", None), None);
        assert_eq!(asked("soon", date), None);
        assert_eq!(asked("-5", date), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
