//! Where something of a value stands in the file: a text in TOML is not always written as it reads.

/// How many bytes of `raw`, a TOML string with its quotes, stand before a line (from 1) and column (from 0, in characters) of
/// the value.
pub(super) fn offset(raw: &str, line: usize, column: usize) -> usize {
    let long = ["\"\"\"", "'''"].iter().any(|quotes| raw.starts_with(quotes));
    let quotes = if long { 3 } else { 1 };
    let Some(body) = raw.get(quotes..) else { return 0 };
    // A line break right behind the opening quotes is no part of the value.
    let skipped = match body {
        _ if !long => 0,
        _ if body.starts_with("\r\n") => 2,
        _ => usize::from(body.starts_with('\n')),
    };
    let first = quotes + skipped;
    let escapes = raw.starts_with('"');
    let (mut at_line, mut at_column) = (1, 0);
    let mut rest = &raw[first..];
    while let Some((length, stands_for)) = next(rest, escapes) {
        let there = (at_line, at_column) >= (line, column) || (at_line == line && stands_for == Some('\n'));
        if there && stands_for.is_some() {
            break;
        }
        match stands_for {
            Some('\n') => (at_line, at_column) = (at_line + 1, 0),
            Some(_) => at_column += 1,
            None => {}
        }
        rest = &rest[length..];
    }
    (raw.len() - rest.len()).min(raw.len().saturating_sub(quotes))
}

/// How long the next character is as it is written, and what it stands for; nothing for a line that is continued.
fn next(rest: &str, escapes: bool) -> Option<(usize, Option<char>)> {
    let first = rest.chars().next()?;
    if rest.starts_with("\r\n") {
        return Some((2, Some('\n')));
    }
    if first != '\\' || !escapes {
        return Some((first.len_utf8(), Some(first)));
    }
    let behind = &rest[1..];
    let continued = behind.len() - behind.trim_start().len();
    Some(match behind.chars().next()? {
        'n' => (2, Some('\n')),
        'x' => (4.min(rest.len()), Some('x')),
        'u' => (6.min(rest.len()), Some('u')),
        'U' => (10.min(rest.len()), Some('U')),
        _ if continued > 0 => (1 + continued, None),
        other => (1 + other.len_utf8(), Some(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(raw: &str, line: usize, column: usize) -> &str {
        &raw[offset(raw, line, column)..]
    }

    #[test]
    fn a_place_in_a_value_is_found_as_it_is_written() {
        assert_eq!(found("\"ab\"", 1, 1), "b\"");
        assert_eq!(found("'é€x'", 1, 2), "x'");
        assert_eq!(found("\"\"\"\r\nab\r\ncd\"\"\"", 2, 1), "d\"\"\"");
        assert_eq!(found("'''\n\\nb'''", 1, 2), "b'''", "no escapes in single quotes");
        assert_eq!(found(r#""\"a\" \u00e9 b""#, 1, 6), "b\"");
        assert_eq!(found(r#""one\n two""#, 2, 1), "two\"");
        assert_eq!(found("\"\"\"a \\\n    b\"\"\"", 1, 2), "b\"\"\"");
    }

    #[test]
    fn a_place_beyond_the_value_is_its_end() {
        assert_eq!(found("\"ab\"", 7, 9), "\"");
        assert_eq!(found("\"a\\nb\"", 1, 9), "\\nb\"");
        assert_eq!(offset("", 1, 0), 0);
    }
}
