//! `gluehook events list`.

use std::process::ExitCode;

use anyhow::Result;
use domain::journal::{EventRow, Filter, Outcome};
use jiff::Timestamp;
use service::Clock;
use store::Store;

use crate::Common;
use crate::output::{self, Cell, Table, stamp, telling_line};

/// Digits of an id that a listing shows; `show` and the others take as few.
pub(crate) const SHORT: usize = 12;

pub(super) async fn run(
    common: &Common,
    store: &Store,
    filter: &Filter,
    limit: u32,
    clock: Clock,
) -> Result<ExitCode> {
    let mut rows = store.events(filter, limit.saturating_add(1)).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    if common.json {
        output::print_json(&rows)?;
    } else if rows.is_empty() {
        output::note(if *filter == Filter::default() {
            "the event log is empty: gluehook send posts a test webhook"
        } else {
            "no event in the event log is like that"
        });
    } else {
        table(&rows, clock.now(), output::on_terminal()).print()?;
    }
    if more {
        output::note(format!("these are the newest {limit}; --limit lists more"));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[EventRow], now: Timestamp, for_person: bool) -> Table {
    let mut table =
        Table::new(&["time", "id", "kind", "~status", "~tenant", "~tap", "outcome", "~rules", "~why"]);
    for row in rows {
        table.row([
            Cell::new(stamp(row.event.received_at, now, for_person)),
            Cell::new(short(row.event.id.as_str())),
            Cell::new(&row.event.kind),
            Cell::new(&row.event.status),
            Cell::new(&row.event.tenant),
            Cell::new(tap(row)),
            outcome(row.outcome),
            Cell::new(rules(row).join(",")),
            Cell::new(why(row)),
        ]);
    }
    table
}

/// The beginning of an id, enough to name it again.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// The rules that took it; those that did nothing, because they are in shadow, say so.
pub(crate) fn rules(row: &EventRow) -> Vec<String> {
    let marked = row
        .rules
        .iter()
        .map(|rule| if row.shadow.contains(rule) { format!("{rule} (shadow)") } else { rule.clone() });
    marked.collect()
}

/// What a row says in words of ours.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) tap: String,
    pub(crate) rules: String,
    pub(crate) why: String,
}

impl Row {
    pub(crate) fn of(row: &EventRow) -> Self {
        Self { tap: tap(row).to_owned(), rules: rules(row).join(", "), why: why(row).into_owned() }
    }
}

/// Discovers and connections name a connector where a job names a tap.
pub(super) fn tap(row: &EventRow) -> &str {
    if row.event.tap.is_empty() { &row.event.connector } else { &row.event.tap }
}

/// What went wrong with us, else what had gone wrong at the source.
pub(super) fn why(row: &EventRow) -> std::borrow::Cow<'_, str> {
    let said = row.why.as_deref().unwrap_or(&row.event.error);
    telling_line(said)
}

pub(super) fn outcome(outcome: Outcome) -> Cell {
    let cell = Cell::new(outcome.as_str());
    match outcome {
        Outcome::Done => cell.green(),
        Outcome::Dead => cell.red(),
        Outcome::Open | Outcome::Retrying | Outcome::Held | Outcome::Folded => cell.yellow(),
        Outcome::NoRule | Outcome::Discarded | Outcome::Dropped => cell.dim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::show::tests::row;

    #[test]
    fn a_row_says_what_came_what_became_of_it_and_why() {
        let table = table(&[row()], "2026-03-02T12:00:00Z".parse().unwrap(), true);
        let lines: Vec<_> =
            table.lines(None).iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(
            lines[1],
            concat!(
                r"2026-03-02 11:59:00Z (1m ago)  0123456789ab  job   JOB_FAILED  acme\u{1b}[2J  exact  dead     ",
                "job-failed  rule `job-failed`, slack: no answer"
            )
        );
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_rule_in_shadow_is_marked() {
        let row = EventRow {
            rules: vec!["acts".to_owned(), "watches".to_owned()],
            shadow: vec!["watches".to_owned()],
            ..row()
        };
        assert_eq!(rules(&row), ["acts", "watches (shadow)"]);
    }

    #[test]
    fn without_trouble_of_our_own_the_error_of_the_source_is_told() {
        let mut row = row();
        row.why = None;
        assert_eq!(why(&row), "Traceback");
        row.event.error =
            "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'supplier'\n".to_owned();
        assert_eq!(why(&row), "KeyError: 'supplier'");
        row.event.tap.clear();
        row.event.connector = "hubspot".to_owned();
        assert_eq!(tap(&row), "hubspot");
    }
}
