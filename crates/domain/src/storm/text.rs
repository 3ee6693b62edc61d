//! What the message about many says.

use jiff::Timestamp;

use crate::journal::Storm;
use crate::plan::LIVE;

/// Tenants that are named.
pub const MOST_TENANTS: usize = 10;

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
    [head, before(storm), shape(storm), newest(storm), example(storm)].concat()
}

/// The last word about it.
#[must_use]
pub fn summary(storm: &Storm) -> String {
    let head = format!(
        ":checkered_flag: Over since {}: *{}* of rule `{}`{}, from {} since {}.",
        at(storm.last_at),
        many(storm),
        plain(&storm.rule),
        place(storm),
        counted(storm.tenants, "tenant"),
        at(storm.since),
    );
    [head, before(storm), shape(storm), newest(storm), example(storm)].concat()
}

fn many(storm: &Storm) -> String {
    counted(storm.messages, if storm.alone == 0 { "message" } else { "more message" })
}

fn place(storm: &Storm) -> String {
    let flow =
        if storm.flow_id.is_empty() { String::new() } else { format!(" in flow {}", plain(&storm.flow_id)) };
    if storm.run == LIVE { flow } else { format!("{flow} (replayed, run {})", plain(&storm.run)) }
}

fn before(storm: &Storm) -> String {
    match storm.alone {
        0 => String::new(),
        1 => " The first was posted on its own.".to_owned(),
        first => format!(" The first {first} were posted on their own."),
    }
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

fn example(storm: &Storm) -> String {
    let short: String = storm.example.as_str().chars().take(12).collect();
    format!("\nOne of them: `gluehook explain {short}`; all: `gluehook events list --rule {}`", {
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
