//! What the message about many says.

use jiff::Timestamp;

use crate::journal::Storm;
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
    [
        head,
        before(storm, false),
        example(storm),
        otherwise(storm),
        shape(storm),
        newest(storm),
        commands(storm),
    ]
    .concat()
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
    [
        head,
        before(storm, true),
        example(storm),
        otherwise(storm),
        shape(storm),
        newest(storm),
        commands(storm),
    ]
    .concat()
}

fn many(storm: &Storm) -> String {
    counted(storm.messages, if storm.alone == 0 { "message" } else { "more message" })
}

fn place(storm: &Storm) -> String {
    let flow =
        if storm.flow_id.is_empty() { String::new() } else { format!(" in flow {}", plain(&storm.flow_id)) };
    if storm.run == LIVE { flow } else { format!("{flow} (replayed, run {})", plain(&storm.run)) }
}

/// Only what has been posted is said to be. `last`: nobody updates what is written now.
fn before(storm: &Storm, last: bool) -> String {
    let posted = &storm.posted;
    let (first, were, are, own) = match storm.alone {
        0 => return String::new(),
        1 => ("The first".to_owned(), "was", "is", "its own"),
        first => (format!("The first {first}"), "were", "are", "their own"),
    };
    let verb = |number| if number == 1 { "is" } else { "are" };
    let waiting = posted.alone_waiting;
    // How many, that all were, and that some were.
    let parts = [
        (posted.alone_posted, format!("{were} posted on {own}"), "posted".to_owned()),
        if last {
            let not_yet = "not yet posted when this was written".to_owned();
            (waiting, format!("{were} {not_yet}"), not_yet)
        } else {
            (waiting, format!("{are} being posted on {own}"), format!("{} being posted", verb(waiting)))
        },
        (
            posted.alone_held,
            format!("{were} held back by a pause of the rule"),
            "held back by a pause of the rule".to_owned(),
        ),
        (
            posted.alone_unknown,
            "may not have been posted, or twice".to_owned(),
            "may not have been posted, or twice".to_owned(),
        ),
        (
            posted.alone_failed,
            "could not be posted: `gluehook dead list`".to_owned(),
            "could not be posted (`gluehook dead list`)".to_owned(),
        ),
        (posted.alone_dropped, format!("{were} dropped by a person"), "dropped by a person".to_owned()),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|(number, ..)| *number > 0).collect();
    match parts.as_slice() {
        // Nothing is known of them any more.
        [] => String::new(),
        [(_, all, _)] => format!(" {first} {all}."),
        several => {
            let several: Vec<_> =
                several.iter().map(|(number, _, some)| format!("{number} {some}")).collect();
            format!(" Of the first {}: {}.", storm.alone, several.join(", "))
        }
    }
}

/// Of how many it is not as their texts say.
fn otherwise(storm: &Storm) -> String {
    let (superseded, idle, all) = (storm.superseded, storm.nothing_to_switch_off, storm.messages);
    let mut text = String::new();
    if superseded > 0 {
        text.push_str(&format!(
            "\n:warning: {superseded} of these {all}: not so, a newer event had already set a schedule, and that stands."
        ));
    }
    if idle > 0 {
        text.push_str(&format!(
            "\n:information_source: {idle} of these {all}: hotglue reports no schedule there, nothing was switched off."
        ));
    }
    text
}

/// One message as its rule wrote it, with what turned out otherwise, set in.
fn example(storm: &Storm) -> String {
    let Some(text) = storm.example_text.as_deref() else { return String::new() };
    let mut written = text.lines().filter(|line| !line.trim().is_empty());
    let mut quoted: String =
        written.by_ref().take(EXAMPLE_LINES).map(|line| format!("\n> {}", shortened(line))).collect();
    if written.next().is_some() {
        quoted.push_str("\n> …");
    }
    // However short the example is cut, it says nothing that is not so.
    quoted.extend(storm.example_corrections.iter().map(|line| format!("\n> {line}")));
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
