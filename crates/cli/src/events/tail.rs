//! `gluehook events tail`: follows the event log.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use domain::journal::{EventRow, Filter, Outcome};
use store::Store;

use super::list::{short, tap, why};
use crate::Common;
use crate::output::{self, clean, dim};

/// Between two looks. The event log tells nobody that it has grown.
const LOOK: Duration = Duration::from_millis(500);
/// How long an event that a worker has just taken is held back, so that it is shown with what became of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most rows of one look.
const PAGE: u32 = 1_000;

pub(super) async fn run(common: &Common, store: &Store, filter: Filter, lines: u32) -> Result<ExitCode> {
    let newest = store.events(&Filter::default(), 1).await?.first().map_or(0, |event| event.row);
    let mut first = if lines == 0 { Vec::new() } else { store.events(&filter, lines).await? };
    first.reverse();
    let mut follow = Follow::new(filter, first.iter().map(|event| event.row).fold(newest, i64::max));
    for row in &first {
        print(common, row)?;
    }
    let stopped = tokio::signal::ctrl_c();
    tokio::pin!(stopped);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(ExitCode::SUCCESS),
            _ = look.tick() => {}
        }
        for row in follow.look(store).await? {
            print(common, &row)?;
        }
    }
}

fn print(common: &Common, row: &EventRow) -> std::io::Result<()> {
    if common.json { output::print_json_line(row) } else { output::line(line(row)) }
}

/// What was seen, and what is still waited for.
#[derive(Debug)]
struct Follow {
    /// What comes is looked for without these two: they show only later.
    outcome: Option<Outcome>,
    rule: Option<String>,
    filter: Filter,
    held: Vec<(EventRow, Instant)>,
}

impl Follow {
    fn new(mut filter: Filter, after: i64) -> Self {
        filter.after_row = Some(after);
        Self { outcome: filter.outcome.take(), rule: filter.rule.take(), filter, held: Vec::new() }
    }

    async fn look(&mut self, store: &Store) -> Result<Vec<EventRow>> {
        let mut rows = Vec::new();
        for (held, since) in std::mem::take(&mut self.held) {
            // One that is gone was swept away: nothing more will become of it.
            let Some(record) = store.event(held.event.id.as_str()).await? else { continue };
            self.sort(record.row, since, &mut rows);
        }
        let new = store.events(&self.filter, PAGE).await?;
        for row in new {
            self.filter.after_row = self.filter.after_row.max(Some(row.row));
            self.sort(row, Instant::now(), &mut rows);
        }
        rows.sort_by_key(|row| row.row);
        Ok(rows)
    }

    fn sort(&mut self, row: EventRow, since: Instant, ready: &mut Vec<EventRow>) {
        if row.outcome == Outcome::Open && since.elapsed() < PATIENCE {
            self.held.push((row, since));
        } else if self.wants(&row) {
            ready.push(row);
        }
    }

    fn wants(&self, row: &EventRow) -> bool {
        self.outcome.is_none_or(|outcome| outcome == row.outcome)
            && self.rule.as_ref().is_none_or(|rule| row.rules.contains(rule))
    }
}

/// Columns of fixed width: what comes next isn't known yet.
fn line(row: &EventRow) -> String {
    let event = &row.event;
    let mut line = format!(
        "{} {:<12} {:<10} {:<16} {:<14} {:<14} {}{}",
        dim(event.received_at.strftime("%Y-%m-%d %H:%M:%SZ")),
        clean(short(event.id.as_str())),
        clean(&event.kind),
        clean(&event.status),
        clean(&event.tenant),
        clean(tap(row)),
        super::outcome(row.outcome),
        " ".repeat(8_usize.saturating_sub(row.outcome.as_str().len())),
    );
    for more in [clean(&super::list::rules(row).join(",")).into_owned(), why(row).into_owned()] {
        if !more.is_empty() {
            line.push_str("  ");
            line.push_str(&more);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::show::tests::row;

    #[test]
    fn what_a_worker_has_in_hand_is_held_back_for_a_while() {
        let mut follow = Follow::new(Filter { outcome: Some(Outcome::Done), ..Filter::default() }, 7);
        assert_eq!(follow.filter, Filter { after_row: Some(7), ..Filter::default() });
        let mut ready = Vec::new();
        let open = EventRow { outcome: Outcome::Open, ..row() };
        follow.sort(open, Instant::now(), &mut ready);
        assert_eq!((follow.held.len(), ready.len()), (1, 0));
        follow.sort(EventRow { outcome: Outcome::Done, ..row() }, Instant::now(), &mut ready);
        follow.sort(EventRow { outcome: Outcome::Dead, ..row() }, Instant::now(), &mut ready);
        assert_eq!((follow.held.len(), ready.len()), (1, 1));
    }

    #[test]
    fn a_line_is_one_line_whatever_came() {
        let line = line(&row());
        assert!(!line.contains('\n') && line.contains(r"acme\u{1b}[2J"), "{line}");
    }
}
