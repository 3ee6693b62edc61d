//! Takes secrets out of what is stored, logged or posted. Values go, names stay: a reader sees that there was a secret.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Fields whose whole content is a tenant's credentials: hotglue's `override_source_config`, `override_target_config`
/// (documented) and `override_connector_config`.
fn holds_only_secrets(name: &str) -> bool {
    name.starts_with("override_") && name.ends_with("_config")
}

fn names_a_secret(name: &str) -> bool {
    const ANYWHERE: &[&str] = &["password", "passwd", "passphrase", "secret"];
    const ENDINGS: &[&str] = &["token", "apikey", "privatekey", "accesskey", "pass", "pwd"];
    const WHOLE: &[&str] =
        &["authorization", "auth", "credential", "credentials", "cookie", "setcookie", "pin"];
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    ANYWHERE.iter().any(|part| name.contains(part))
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || WHOLE.contains(&name.as_str())
}

/// Might these raw bytes hold a secret that the parsed value does not show? Of two fields of one name a parser keeps
/// the last, and bytes keep both.
#[must_use]
pub fn hidden_in(body: &[u8]) -> bool {
    static TWICE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#""override_[a-z_]*_config"\s*:\s*(?:\{\s*"|\[\s*[^\]\s]|"[^"])"#)
            .expect("the pattern is tested")
    });
    let text = String::from_utf8_lossy(body);
    TWICE.is_match(&text) || SECRET_IN_TEXT.is_match(&text)
}

/// Redacts a JSON value in place; true when something was taken out.
pub fn value(json: &mut Value) -> bool {
    match json {
        Value::Object(fields) => {
            let mut changed = false;
            for (name, field) in fields {
                changed |= if holds_only_secrets(name) || (names_a_secret(name) && !field.is_boolean()) {
                    blank(field)
                } else {
                    value(field)
                };
            }
            changed
        }
        // No short-circuit: every item must be visited.
        Value::Array(items) => items.iter_mut().fold(false, |changed, item| value(item) | changed),
        Value::String(string) => match text(string) {
            Cow::Borrowed(_) => false,
            Cow::Owned(clean) => {
                *string = clean;
                true
            }
        },
        _ => false,
    }
}

/// Blanks every leaf; names stay.
fn blank(json: &mut Value) -> bool {
    match json {
        Value::Null => false,
        Value::Object(fields) => fields.values_mut().fold(false, |changed, field| blank(field) | changed),
        Value::Array(items) => items.iter_mut().fold(false, |changed, item| blank(item) | changed),
        Value::String(text) if text.is_empty() || text == REDACTED => false,
        _ => {
            *json = Value::String(REDACTED.to_owned());
            true
        }
    }
}

static SECRET_IN_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)",
        // `refresh_token': 'abc…`, `client_secret=abc…`, `"password": "abc…"`
        r#"(?P<name>[a-z0-9_\-]*(?:token|secret|password|passwd|api[_\-]?key|private[_\-]?key|authorization)\\?["']?\s*[:=]\s*\\?["']?)(?:(?P<scheme>bearer|basic)\s+)?(?P<value>[^\s"',;&}\\\]\[]{6,})"#,
        // Bearer abc…
        r"|(?P<auth>\b(?:bearer|basic)\s+)[a-z0-9\-._~+/=]{12,}",
        // https://user:pass@host
        r"|(?P<url>://[^\s/:@]+:)[^\s/@]+@",
        // Slack tokens, JSON Web Tokens
        r"|\bxox[a-z]-[a-z0-9\-]{8,}|\beyJ[a-z0-9_\-]{8,}\.[a-z0-9_\-]+\.[a-z0-9_\-]*",
    ))
    .expect("the pattern is tested")
});

/// Redacts tokens, passwords and keys that stand in free text, such as a traceback.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    if text.len() < 12 {
        return Cow::Borrowed(text);
    }
    SECRET_IN_TEXT.replace_all(text, |found: &Captures<'_>| {
        let part = |name| found.name(name).map_or("", |m| m.as_str());
        match (found.name("value"), found.name("url")) {
            (Some(value), _) if value.as_str() == "redacted" => found[0].to_owned(),
            (Some(_), _) => format!("{}{REDACTED}", part("name")),
            (None, Some(_)) => format!("{}{REDACTED}@", part("url")),
            (None, None) => format!("{}{REDACTED}", part("auth")),
        }
    })
}

/// A body as it may be stored: the very bytes when nothing in them is secret, else a redacted text of them.
#[must_use]
pub fn body(body: &[u8]) -> Cow<'_, [u8]> {
    if let Ok(mut json) = serde_json::from_slice::<Value>(body) {
        if value(&mut json) {
            return Cow::Owned(json.to_string().into_bytes());
        }
        return Cow::Borrowed(body);
    }
    let lossy = String::from_utf8_lossy(body);
    match text(&lossy) {
        Cow::Borrowed(_) => Cow::Borrowed(body),
        Cow::Owned(clean) => Cow::Owned(clean.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_configurations_and_named_secrets_are_blanked() {
        let mut payload = json!({
            "override_source_config": {"user": "u", "n": 5, "list": ["s"]},
            "config": {"client_secret": "abc", "accessToken": "xyz", "username": "jo"},
            "override_start_date": "2024",
            "tokens_used": 5,
        });
        assert!(value(&mut payload));
        assert_eq!(
            payload["override_source_config"],
            json!({"user": REDACTED, "n": REDACTED, "list": [REDACTED]})
        );
        assert_eq!(
            payload["config"],
            json!({"client_secret": REDACTED, "accessToken": REDACTED, "username": "jo"})
        );
        assert_eq!((&payload["override_start_date"], &payload["tokens_used"]), (&json!("2024"), &json!(5)));
    }

    #[test]
    fn a_field_that_is_there_twice_hides_nothing() {
        assert!(hidden_in(br#"{"override_source_config":{"password":"abc"},"override_source_config":{}}"#));
        assert!(hidden_in(br#"{"password":"abcdefgh","password":""}"#));
        assert!(!hidden_in(br#"{"override_source_config":null,"override_target_config":{},"job_id":"a"}"#));
    }

    #[test]
    fn tokens_in_a_traceback_are_blanked() {
        for (dirty, secret) in [
            ("Failed OAuth login, response was '{'refresh_token': 'stampNL001.abc', 'x': 1}'", "stampNL001"),
            ("GET https://x?access_token=abcdef123&page=2", "abcdef123"),
            ("Authorization: Bearer abc.def.ghi-jkl", "abc.def"),
            ("{\\\"client_secret\\\":\\\"s3cr3tvalue\\\"}", "s3cr3tvalue"),
            ("postgres://jo:hunter22@db/x", "hunter22"),
            ("token xoxb-1234-567890-abcdef used", "xoxb-1234"),
        ] {
            let clean = text(dirty);
            assert!(!clean.contains(secret) && clean.contains(REDACTED), "{clean}");
            assert_eq!(text(&clean), clean, "redacting twice changes nothing");
        }
    }

    #[test]
    fn what_rules_look_for_stays() {
        for text_ in [
            "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://start.exactonline.nl/api/oauth2/token",
            "Rate limit exceeded: access_token not expired",
            "400 Client Error: Bad Request for path: /purchaseorder/PurchaseOrders",
        ] {
            assert_eq!(text(text_), text_);
        }
    }

    #[test]
    fn a_body_without_secrets_is_kept_byte_for_byte() {
        let odd = br#"{ "a" : 1.0,  "b":"\u00e9" }"#;
        assert!(matches!(body(odd), Cow::Borrowed(kept) if kept == odd));
        let secret = br#"{"override_target_config":{"k":"v"}}"#;
        assert_eq!(body(secret).as_ref(), br#"{"override_target_config":{"k":"[redacted]"}}"#);
    }

    proptest! {
        #[test]
        fn any_text_is_redacted_without_panic(dirty in any::<String>()) {
            let _ = text(&dirty).len();
        }
    }
}
