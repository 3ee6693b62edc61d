//! Takes secrets out of what is stored, logged or posted. Values go, names stay: a reader sees that there was a secret.

mod known;

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

pub use self::known::Known;

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// In bytes; no shorter text holds a label and a secret.
const SHORTEST_TEXT: usize = 8;

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
    TWICE.is_match(&text) || matches!(self::text(&text), Cow::Owned(_))
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

/// Blanks every leaf; names stay. True when something was taken out.
pub fn blank(json: &mut Value) -> bool {
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
    // Boundaries are those of ASCII: with those of Unicode, a text that is not ASCII is searched many times slower.
    Regex::new(concat!(
        r"(?i)",
        // `'refresh_token': 'a,b…'`, `"password": "x&y"`, `{\"client_secret\":\"abc\"}`: whatever stands between the quotes
        r#"(?P<label>(?:token|secret|password|passwd|passphrase|pwd|api[_\-]?key|private[_\-]?key|authorization)\\?["']?\s*[:=]\s*)"#,
        r#"(?P<quoted>\\"[^"\\\n]+\\"|\\'[^'\\\n]+\\'|"(?:[^"\\\n]|\\.)+"|'(?:[^'\\\n]|\\.)+')"#,
        // `client_secret=abc…`, `api_key: abc…`, a quote that was cut off
        r#"|(?P<name>(?:token|secret|password|passwd|api[_\-]?key|private[_\-]?key|authorization)\\?["']?\s*[:=]\s*\\?["']?)(?:(?P<scheme>bearer|basic)\s+)?(?P<value>[^\s"',;&}\\\]\[]{6,})"#,
        // `password=abc`, however short
        r#"|(?P<word>(?:password|passwd|passphrase|pwd)\s*=\s*)(?P<short>[^\s"',;&}\\\]\[]+)"#,
        // `refresh token is abc1…`
        r#"|(?P<said>(?-u:\b)(?:(?:refresh|access|api|auth|bearer|secret|client|private)[ _\-]?(?:token|key|secret)|token|password|secret)\s+(?:is|was)\s*:?\s+["']?)(?P<told>[^\s"',;]{6,})"#,
        // Bearer abc…
        r"|(?P<auth>(?-u:\b)(?:bearer|basic)\s+)[a-z0-9\-._~+/=]{12,}",
        // https://user:pass@host
        r"|(?P<url>://[^\s/:@]+:)[^\s/@]+@",
        // What a URL is signed with
        r"|(?P<signed>(?:(?-u:\b)sig|signature)=)[a-z0-9%+/=_\-.~]{8,}",
        // Tokens that are known by their beginning: Slack, GitHub, GitLab, AWS, Stripe; JSON Web Tokens
        r"|(?-u:\b)(?:xox[a-z]-[a-z0-9\-]{8,}|xapp-[a-z0-9\-]{8,}|gh[oprsu]_[a-z0-9]{16,}|github_pat_[a-z0-9_]{16,}",
        r"|glpat-[a-z0-9_\-]{16,}|(?-i:AKIA|ASIA)[A-Z0-9]{16}(?-u:\b)|[rs]k_(?:live|test)_[a-z0-9]{8,}|whsec_[a-z0-9+/=]{16,}",
        r"|eyJ[a-z0-9_\-]{8,}\.[a-z0-9_\-]+\.[a-z0-9_\-]*)",
    ))
    .expect("the pattern is tested")
});

/// Redacts tokens, passwords and keys that stand in free text, such as a traceback.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    if text.len() < SHORTEST_TEXT {
        return Cow::Borrowed(text);
    }
    let clean = SECRET_IN_TEXT.replace_all(text, replacement);
    match clean {
        // What was found was no secret, or redacted before.
        Cow::Owned(clean) if clean == text => Cow::Borrowed(text),
        clean => clean,
    }
}

fn replacement(found: &Captures<'_>) -> String {
    let part = |name: &str| found.name(name).map_or("", |m| m.as_str());
    let whole = || found[0].to_owned();
    if let Some(quoted) = found.name("quoted") {
        let quoted = quoted.as_str();
        let length = if quoted.starts_with('\\') { 2 } else { 1 };
        let (quote, secret) = (&quoted[..length], &quoted[length..quoted.len() - length]);
        return if is_none(secret) { whole() } else { format!("{}{quote}{REDACTED}{quote}", part("label")) };
    }
    if let Some(told) = found.name("told") {
        // "the access token is expired" tells none.
        let is_one = told.as_str().bytes().any(|b| b.is_ascii_digit());
        return if is_one { format!("{}{REDACTED}", part("said")) } else { whole() };
    }
    if found.name("url").is_some() {
        return format!("{}{REDACTED}@", part("url"));
    }
    if is_none(part("value"))
        && is_none(part("short"))
        && (found.name("value").or(found.name("short"))).is_some()
    {
        return whole();
    }
    // Of these one at most is there.
    let before = ["name", "word", "auth", "signed"].map(part).concat();
    format!("{before}{REDACTED}")
}

/// Words that stand for no secret.
fn is_none(secret: &str) -> bool {
    const NONE: &[&str] = &["none", "null", "nil", "undefined", "true", "false", "redacted", REDACTED];
    NONE.iter().any(|none| secret.eq_ignore_ascii_case(none))
        || secret.bytes().all(|b| b == b'*' || b == b' ')
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
            ("login with {'user': 'jo', 'password': 'Ab1;xyz9999'}", "xyz9999"),
            (r#"sent {"password":"x&Y7zz"}"#, "Y7zz"),
            (r#"sent {\"password\":\"a,b}c\"}"#, "b}c"),
            (r#"{"password": "it's \"5\" days"}"#, "days"),
            ("{'secret': 'a b'}", "a b"),
            ("user=jo password=abc12 host=db", "abc12"),
            ("jo; PWD=q7;", "q7"),
            ("use ghp_abcdefghijklmnop1234567890ABCDEFabcd now", "ghp_"),
            ("gho_abcdefghijklmnop1234567890ABCDEFabcd", "gho_"),
            ("github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz", "github_pat"),
            ("denied to AKIAIOSFODNN7EXAMPLE", "AKIA"),
            ("stripe sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live"),
            ("xoxp-123456789012-abcdef", "xoxp-1"),
            (
                "GET https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature=fe5f80f77d5fa3beca03",
                "fe5f80",
            ),
            ("https://a.blob.core.windows.net/c?sv=2020&sig=abcDEF%2Bxyz123%3D&se=2", "abcDEF"),
            ("the refresh token is stampNL001.abcdef", "stampNL001"),
            ("é: the access token is 'abc123def456'", "abc123"),
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
            "the access token is expired and the refresh token was revoked",
            "password=None, token: null, secret=\"undefined\", api_key=''",
            "Invalid password. Passwords must have 8 characters; the token is missing",
            "KeyError: 'token' in tap.py, line 12: self.config['client_secret']",
            "design=modern, sig=1, X-Amz-Expires=3600, ghp_ alone, sk_live_ alone, AKIA, the task skip_test_1",
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

        #[test]
        fn redacting_twice_changes_nothing(parts in proptest::collection::vec(prop_oneof![
            Just("password"), Just("token"), Just("api_key"), Just("="), Just(": "), Just("\""), Just("'"), Just("\\"),
            Just("abc12"), Just("a,b;c&d"), Just("bearer "), Just("abcdefghijklm"), Just("://u:"), Just("@h"), Just(" is "),
            Just("sig="), Just("xoxb-12345678"), Just("null"), Just("[redacted]"), Just(" "), Just("\n"), Just("é"),
        ], 0..14)) {
            let once = text(&parts.concat()).into_owned();
            let twice = text(&once).into_owned();
            prop_assert_eq!(twice, once);
        }
    }
}
