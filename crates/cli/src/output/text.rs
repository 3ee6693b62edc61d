//! Text from outside, made safe to print.

use std::borrow::Cow;
use std::fmt::Write;

/// Would a terminal obey it, or would it hide or reorder its neighbours? Control characters (C0, DEL, C1), line and
/// paragraph separators, and the marks that change the direction of writing.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200B}'..='\u{200F}' | '\u{FEFF}')
}

/// One safe line: what is unsafe is spelled (`\n`, `\u{1b}`).
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 16), |mut safe, c| {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
        safe
    }))
}

/// Several safe lines, each set in by `indent`: line breaks stay, tabs become spaces, the rest as [`clean`].
pub(crate) fn clean_block(text: &str, indent: &str) -> String {
    let lines: Vec<_> = text
        .trim_end()
        .lines()
        .map(|line| format!("{indent}{}", clean(&line.replace('\t', "    "))).trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// The first line that says something, safe.
pub(crate) fn first_line(text: &str) -> Cow<'_, str> {
    clean(text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default())
}

/// The line of an error that says what is wrong, safe: the first, but the last one of a Python traceback.
pub(crate) fn telling_line(text: &str) -> Cow<'_, str> {
    let last = || text.lines().rev().find(|line| !line.trim().is_empty());
    first_line(if text.starts_with("Traceback (") { last().unwrap_or_default() } else { text })
}

/// JSON leaves DEL, C1 and the direction marks as they are; they can only stand in strings, where `\uXXXX` says the same.
pub(crate) fn json_safe(json: &str) -> Cow<'_, str> {
    let rest = |c: char| c != '\n' && is_unsafe(c);
    if !json.contains(rest) {
        return Cow::Borrowed(json);
    }
    Cow::Owned(json.chars().fold(String::with_capacity(json.len() + 16), |mut safe, c| {
        if rest(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _never_fails = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
        safe
    }))
}

/// JSON set over several lines; none if it is none. Order, numbers and spelling stay as they were sent.
pub(crate) fn pretty_json(json: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(json).ok()?;
    let mut pretty = String::with_capacity(json.len() * 2);
    let mut rest = json.chars().peekable();
    let (mut depth, mut in_string) = (0, false);
    while let Some(c) = rest.next() {
        if in_string {
            pretty.push(c);
            if c == '\\' {
                pretty.extend(rest.next());
            }
            in_string = c != '"';
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                pretty.push(c);
                if let Some(end) = rest.next_if(|c| matches!(c, '}' | ']')) {
                    pretty.push(end);
                } else {
                    depth += 1;
                    new_line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut pretty, depth);
                pretty.push(c);
            }
            ',' => {
                pretty.push(c);
                new_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            c => {
                in_string = c == '"';
                pretty.push(c);
            }
        }
    }
    Some(pretty)
}

/// Deepest indentation: what is nested by the thousand would otherwise grow with the square of its depth.
const DEEPEST: usize = 40;

fn new_line(pretty: &mut String, depth: usize) {
    pretty.push('\n');
    pretty.push_str(&"  ".repeat(depth.min(DEEPEST)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled() {
        assert_eq!(clean("acme\u{1b}[2J\r\n"), r"acme\u{1b}[2J\r\n");
        assert_eq!(clean("\u{9b}31m \u{7f}"), r"\u{9b}31m \u{7f}");
        assert_eq!(clean("a\u{202e}b\u{200f}"), r"a\u{202e}b\u{200f}");
        assert_eq!(clean("Ünïcode ✓ 日本 🎉"), "Ünïcode ✓ 日本 🎉");
    }

    #[test]
    fn a_block_keeps_its_lines_and_nothing_else() {
        assert_eq!(clean_block("a\n\tb\u{1b}]0;x\u{7}\n\n", "  "), "  a\n      b\\u{1b}]0;x\\u{7}");
    }

    #[test]
    fn the_first_line_is_one_that_says_something() {
        assert_eq!(first_line("\n \n Traceback\u{8}\n x"), r"Traceback\u{8}");
        assert_eq!(first_line(""), "");
    }

    #[test]
    fn json_means_the_same_after_it_was_made_safe() {
        let value = serde_json::json!({"t": "a\u{1b}[1m\u{9b}2J\u{7f}\u{202e}\nok 🎉"});
        let plain = value.to_string();
        let safe = json_safe(&plain);
        assert!(!safe.contains(is_unsafe), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn json_is_set_over_lines_as_it_was_sent() {
        let sent = "{ \"b\":1.0,\"a\" : [ ],\r\n\"c\":[{\"x\":\"a,{\\\"b\\\\\"},2]}";
        let pretty = pretty_json(sent).unwrap();
        assert_eq!(
            pretty,
            "{\n  \"b\": 1.0,\n  \"a\": [],\n  \"c\": [\n    {\n      \"x\": \"a,{\\\"b\\\\\"\n    },\n    2\n  ]\n}"
        );
        assert_eq!(pretty_json(&pretty).unwrap(), pretty);
        assert_eq!(pretty_json("not json"), None);
        assert_eq!(pretty_json("{}").unwrap(), "{}");
    }

    #[test]
    fn what_is_nested_by_the_thousand_does_not_flood_the_screen() {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(pretty_json(&deep).unwrap().len() < 1 << 20);
    }
}
