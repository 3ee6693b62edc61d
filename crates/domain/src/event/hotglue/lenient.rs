//! Reading JSON that a Python service wrote: lone surrogates, bytes that are no UTF-8, depths no parser likes. A job
//! that failed with an odd character in its error text must still reach the rule that tells of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Parses a body. A top-level field that no parser takes (nested beyond 128 levels) is kept as its own text.
pub(super) fn parse(body: &[u8]) -> Result<Value, String> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = String::from_utf8_lossy(body);
    let first = match serde_json::from_str(&text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mended = without_lone_surrogates(&text);
    if let Ok(value) = serde_json::from_str(&mended) {
        return Ok(value);
    }
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&mended) else {
        return Err(format!("it is not JSON: {first}"));
    };
    let field = |raw: &RawValue| {
        serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::String(raw.get().to_owned()))
    };
    Ok(Value::Object(fields.into_iter().map(|(name, raw)| (name, field(raw))).collect()))
}

/// A raw scalar as text: strings decoded, numbers and booleans as written, anything else empty.
pub(super) fn scalar(raw: &RawValue) -> String {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text)
            .or_else(|_| serde_json::from_str(&without_lone_surrogates(text)))
            .unwrap_or_default(),
        Some(b'n' | b'{' | b'[') | None => String::new(),
        Some(_) => text.to_owned(),
    }
}

/// Replaces `\uD800`…`\uDFFF` escapes that have no partner by the replacement character.
fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match escape(bytes, at) {
            Some(0xD800..=0xDBFF) if matches!(escape(bytes, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str(&text[copied..at]);
                mended.push_str("\\uFFFD");
                at += 6;
                copied = at;
            }
            Some(_) => at += 6,
            None => at += 2,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[copied..]);
    Cow::Owned(mended)
}

/// The code unit of a `\uXXXX` escape that starts at `at`.
fn escape(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        let value = parse(br#"{"error":"a\ud800b \ud83d\ude00 \udc00"}"#).expect("readable");
        assert_eq!(value["error"], "a\u{FFFD}b \u{1F600} \u{FFFD}");
    }

    #[test]
    fn an_escaped_backslash_before_u_is_no_escape() {
        let value = parse(br#"{"error":"C:\\ud800 \ud800"}"#).expect("readable");
        assert_eq!(value["error"], "C:\\ud800 \u{FFFD}");
    }

    #[test]
    fn what_is_nested_too_deep_is_kept_as_text() {
        let deep = format!(r#"{{"job_id":"j","state":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        let value = parse(deep.as_bytes()).expect("readable");
        assert_eq!(value["job_id"], "j");
        assert!(value["state"].as_str().is_some_and(|text| text.starts_with("[[[")));
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        let value = parse(b"{\"error\":\"caf\xE9\"}").expect("readable");
        assert_eq!(value["error"], "caf\u{FFFD}");
    }

    #[test]
    fn text_that_is_no_json_says_so() {
        assert!(parse(b"hello").is_err_and(|why| why.starts_with("it is not JSON: ")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }

        #[test]
        fn mending_leaves_good_json_alone(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("a string");
            prop_assert_eq!(without_lone_surrogates(&json), json.as_str());
        }
    }
}
