//! What the message about many says.

use jiff::Timestamp;

use crate::journal::{Posted, Storm};
use crate::plan::LIVE;

/// Tenants that are named.
pub const MOST_TENANTS: usize = 10;
/// Lines of the example, and characters of each of them.
const EXAMPLE_LINES: usize = 6;
const EXAMPLE_LINE: usize = 240;

/// The message while more may come.
#[must_use]
pub fn running(storm: &Storm) -> String {
    let head = format!(
        ":cyclone: *{}* of rule `{}`{}, from {} since {}, the last {}; told here together.",
        many(storm),
        plain(&storm.rule),
        place(storm),
        counted(storm.tenants, "tenant"),
        at(storm.since),
        at(storm.last_at),
    );
    [head, before(storm), example(storm), shape(storm), newest(storm), commands(storm)].concat()
}

/// The last word about it.
#[must_use]
pub fn summary(storm: &Storm) -> String {
    let head = format!(
        ":checkered_flag: Over: *{}* of rule `{}`{}, from {}, {} to {}.",
        many(storm),
        plain(&storm.rule),
        place(storm),
        counted(storm.tenants, "tenant"),
        at(storm.since),
        at(storm.last_at),
    );
    [head, before(storm), example(storm), shape(storm), newest(storm), commands(storm)].concat()
}

fn many(storm: &Storm) -> String {
    counted(storm.messages, if storm.alone == 0 { "message" } else { "more message" })
}

fn place(storm: &Storm) -> String {
    let flow =
        if storm.flow_id.is_empty() { String::new() } else { format!(" in flow {}", plain(&storm.flow_id)) };
    if storm.run == LIVE { flow } else { format!("{flow} (replayed, run {})", plain(&storm.run)) }
}

/// Only what has been posted is said to be.
fn before(storm: &Storm) -> String {
    let Posted { alone_posted: posted, alone_waiting: waiting, alone_failed: failed } = storm.posted;
    let (first, were, are, own) = match storm.alone {
        0 => return String::new(),
        1 => ("The first".to_owned(), "was", "is", "its own"),
        first => (format!("The first {first}"), "were", "are", "their own"),
    };
    if waiting == 0 && failed == 0 {
        return format!(" {first} {were} posted on {own}.");
    }
    if posted == 0 && failed == 0 {
        return format!(" {first} {are} being posted on {own}.");
    }
    if posted == 0 && waiting == 0 {
        return format!(" {first} could not be posted: `gluehook dead list`.");
    }
    let verb = |number| if number == 1 { "is" } else { "are" };
    let parts = [
        (posted, "posted".to_owned()),
        (waiting, format!("{} being posted", verb(waiting))),
        (failed, "could not be posted (`gluehook dead list`)".to_owned()),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<_> = parts.map(|(number, what)| format!("{number} {what}")).collect();
    format!(" Of the first {}: {}.", storm.alone, parts.join(", "))
}

/// One message as its rule wrote it, set in.
fn example(storm: &Storm) -> String {
    let Some(text) = storm.example_text.as_deref() else { return String::new() };
    let mut written = text.lines().filter(|line| !line.trim().is_empty());
    let mut quoted: String =
        written.by_ref().take(EXAMPLE_LINES).map(|line| format!("\n> {}", shortened(line))).collect();
    if written.next().is_some() {
        quoted.push_str("\n> …");
    }
    quoted
}

/// A line as it was written, without what would call people once more, and cut where nothing is cut in two that only means
/// something as a whole.
fn shortened(line: &str) -> String {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // A block of code that may end in a line that is left out.
    let line = line.replace("```", "'''");
    let mut kept: String = line.chars().take(EXAMPLE_LINE).collect();
    if kept.len() < line.len() {
        if let Some(open) = kept.rfind('<').filter(|open| !kept[*open..].contains('>')) {
            kept.truncate(open);
        }
        if kept.matches('`').count() % 2 == 1
            && let Some(open) = kept.rfind('`')
        {
            kept.truncate(open);
        }
        kept.push('…');
    }
    kept.replace("<!", "&lt;!").replace("<@", "&lt;@")
}

fn shape(storm: &Storm) -> String {
    // A fence inside would end ours.
    format!("\n```\n{}\n```", plain(&storm.shape.replace("```", "'''")))
}

fn newest(storm: &Storm) -> String {
    let named: Vec<_> = storm.newest.iter().take(MOST_TENANTS).map(|tenant| plain(tenant)).collect();
    if named.is_empty() {
        return String::new();
    }
    let rest = usize::try_from(storm.tenants).unwrap_or(usize::MAX).saturating_sub(named.len());
    let more = if rest == 0 { String::new() } else { format!(", … and {rest} more") };
    format!("\nNewest: {}{more}", named.join(", "))
}

fn commands(storm: &Storm) -> String {
    let short: String = storm.example.as_str().chars().take(12).collect();
    let run = if storm.run == LIVE { String::new() } else { format!(" --run {}", plain(&storm.run)) };
    format!("\nThis one: `gluehook explain {short}{run}`; all: `gluehook events list --rule {}`", {
        plain(&storm.rule)
    })
}

fn counted(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn at(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What others chose: nothing in it is markup to Slack.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "'")
}
