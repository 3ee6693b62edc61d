//! An error without what differs from one tenant, job or moment to another.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::event::Event;

/// Most characters of one line that are looked at.
const LONGEST_LINE: usize = 2_000;
/// Most characters of a shape.
const LONGEST_SHAPE: usize = 300;
/// So many words at least must be left besides quoted texts, or these are what the error says.
const FEWEST_WORDS: usize = 2;
/// A name shorter than that may be part of the error's own words.
const SHORTEST_NAME: usize = 3;

const TRACEBACK: &str = "Traceback (most recent call last)";

struct Patterns {
    email: Regex,
    query: Regex,
    quoted: Regex,
    uuid: Regex,
    hex: Regex,
    weekday: Regex,
    day_month: Regex,
    month_day: Regex,
    number: Regex,
    kept: Regex,
    numbers: Regex,
    word: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    const MONTH: &str = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*";
    let regex = |text: &str| Regex::new(text).expect("the patterns are constant, and tested");
    Patterns {
        email: regex(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
        query: regex(r#"(\w+://[^\s?#'"<>]+)[?#][^\s'"<>]*"#),
        quoted: regex(r#"(^|\W)(?:'[^'\n]*'|"[^"\n]*"|`[^`\n]*`)"#),
        uuid: regex(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
        hex: regex(r"(?i)\b[0-9a-f]{8,}\b"),
        weekday: regex(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +(\d)"),
        day_month: regex(&format!(r"(\d)[ /-]{MONTH}\b")),
        month_day: regex(&format!(r"\b{MONTH} +(\d)")),
        // A status code beside its name is what the error says, not what it is about.
        number: regex(
            r"(?i)(\b(?:status|code|status_code|http)\W{1,3})?(\w*\d\w*)( (?:client|server) error\b)?",
        ),
        kept: regex(r"(?i)^(?:oauth\d|v\d{1,2})$"),
        numbers: regex(r"#(?:[-:.,/+ ]{1,2}#)+"),
        word: regex(r"\p{L}{2,}"),
    }
});

/// The first lines of an event's error (of a Python traceback the last one, which names the exception), or of the message
/// where no error is reported, with placeholders: `#` for numbers, ids, dates and times, `…` for what is quoted, and the
/// event's own names as such.
pub(super) fn shape(event: &Event, text: &str) -> String {
    let reported = !event.error.trim().is_empty();
    let lines = if reported { telling(&event.error) } else { lines(text, 5) };
    let named = named(&lines, event);
    let (plain, quoted) = (normal(&named, false), normal(&named, true));
    let words = PATTERNS.word.find_iter(&quoted).count();
    let shape = if words < FEWEST_WORDS { plain } else { quoted };
    let shape = if shape.is_empty() { event.status.clone() } else { shape };
    shape.chars().take(LONGEST_SHAPE).collect()
}

fn telling(error: &str) -> String {
    let Some(at) = error.rfind(TRACEBACK) else { return lines(error, 2) };
    let after = error[at..].lines().skip(1);
    // Frames are indented, the exception is not.
    let mut exception = after.filter(|line| !line.trim().is_empty() && !line.starts_with([' ', '\t']));
    match exception.next() {
        Some(line) if line.trim_end().ends_with(':') => {
            lines(&format!("{line}\n{}", exception.next().unwrap_or_default()), 2)
        }
        Some(line) => lines(line, 1),
        // It was cut off before.
        None => lines(error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default(), 1),
    }
}

/// The first lines in which something is written.
fn lines(text: &str, most: usize) -> String {
    let written = text.lines().filter(|line| line.contains(char::is_alphabetic)).take(most);
    let cut = written.map(|line| line.chars().take(LONGEST_LINE).collect::<String>());
    cut.collect::<Vec<_>>().join("\n")
}

/// With the event's own names replaced, the longest first: one may be part of another.
fn named(text: &str, event: &Event) -> String {
    let mut names = [
        (event.tenant.as_str(), "<tenant>"),
        (event.job_id.as_str(), "<job>"),
        (event.job_name.as_str(), "<job>"),
    ];
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut text = text.to_owned();
    for (name, placeholder) in names {
        if name.chars().count() >= SHORTEST_NAME {
            text = whole(&text, name, placeholder);
        }
    }
    text
}

/// Replaces a name where it is no part of a longer word.
fn whole(text: &str, name: &str, placeholder: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let inside =
            before.chars().next_back().or(out.chars().next_back()).is_some_and(char::is_alphanumeric)
                || after.chars().next().is_some_and(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if inside { name } else { placeholder });
        rest = after;
    }
    out + rest
}

fn normal(text: &str, quoted: bool) -> String {
    let patterns = &*PATTERNS;
    let text = patterns.email.replace_all(text, "<email>");
    let text = patterns.query.replace_all(&text, "$1");
    let text = if quoted { patterns.quoted.replace_all(&text, "${1}'…'") } else { text };
    let text = patterns.uuid.replace_all(&text, "#");
    let text = patterns.hex.replace_all(&text, "#");
    let text = patterns.weekday.replace_all(&text, "$1");
    let text = patterns.day_month.replace_all(&text, "$1");
    let text = patterns.month_day.replace_all(&text, "$1");
    let text = patterns.number.replace_all(&text, |found: &Captures<'_>| {
        let beside = |place| found.get(place).map_or("", |found| found.as_str());
        let (before, number, after) = (beside(1), &found[2], beside(3));
        let is_named = !before.is_empty() || !after.is_empty();
        let is_status = is_named && number.parse().is_ok_and(|code: u16| (100..600).contains(&code));
        let kept = is_status || patterns.kept.is_match(number);
        format!("{before}{}{after}", if kept { number } else { "#" })
    });
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    patterns.numbers.replace_all(&text, "#").into_owned()
}
