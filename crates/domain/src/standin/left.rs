//! What is still a person's in something that is to be shown to others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::personal::{self, Kind as Personal};
use super::token;

/// What of a text that is to be shown to others looks like a person's or an account's, such as `a telephone number`.
#[must_use]
pub fn left_in(text: &str) -> BTreeSet<&'static str> {
    let found = personal::find(text)
        .into_iter()
        .filter(|found| !matches!(found.kind, Personal::Time) && !token::is_one(&text[found.at.clone()]));
    found.map(|found| found.kind.said()).collect()
}

/// The same of each text and number of a value, with the field it stands in: `a telephone number in payload.owner.phone`.
#[must_use]
pub fn left_within(name: &str, value: &Value) -> Vec<String> {
    let mut left = Vec::new();
    walk(name, value, &mut left);
    left
}

fn walk(path: &str, value: &Value, left: &mut Vec<String>) {
    let mut say = |text: &str| left.extend(left_in(text).into_iter().map(|what| format!("{what} in {path}")));
    match value {
        Value::String(text) => say(text),
        Value::Number(number) => say(&number.to_string()),
        Value::Bool(_) | Value::Null => {}
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                walk(&format!("{path}[{number}]"), item, left);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let found = left_in(name);
                left.extend(found.into_iter().map(|what| format!("{what} in the name of a field of {path}")));
                walk(&member(path, name), value, left);
            }
        }
    }
}

/// As JSON paths are written.
fn member(path: &str, name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.is_empty();
    if plain { format!("{path}.{name}") } else { format!("{path}[{}]", Value::from(name)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_is_named_with_its_field() {
        let payload = json!({
            "owner": [{"call me": "06-12345678"}], "card": 4_111_111_111_111_111_u64, "10.0.0.7": "x",
            "last_updated": 1_728_288_000_125_i64, "note": "fine",
        });
        let mut left = left_within("payload", &payload);
        left.sort();
        assert_eq!(
            left,
            [
                "a card number in payload.card",
                "a telephone number in payload.owner[0][\"call me\"]",
                "an IP address in the name of a field of payload",
            ]
        );
    }
}
