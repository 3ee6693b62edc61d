//! `gluehook storms`: many Slack messages of one kind that are told in one, and how far that is.

use std::process::ExitCode;

use anyhow::Result;
use domain::journal::{Storm, StormState};
use service::Clock;
use store::{Access, Store};

use crate::output::{self, Cell, Table, first_line, stamp, yellow};
use crate::{Common, events};

/// Those that are closed are shown with `--all`, so many of them.
const MOST_CLOSED: u32 = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Those too that are over and summed up, the newest first
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(common: &Common, args: &Args) -> Result<ExitCode> {
    let store = Store::open(&common.store.database_url, Access::Reader).await?;
    let storms = store.storms(if args.all { MOST_CLOSED } else { 0 }).await;
    store.close().await;
    let storms = storms?;
    if common.json {
        output::print_json(&storms)?;
        return Ok(ExitCode::SUCCESS);
    }
    if storms.is_empty() {
        output::note(if args.all { "there has been no storm" } else { "there is no storm" });
        return Ok(ExitCode::SUCCESS);
    }
    let now = Clock::system().now();
    let mut table = Table::new(&[
        "id",
        "~rule",
        "run",
        "state",
        "messages",
        "waiting",
        "tenants",
        "newest message",
        "example",
        "~error",
    ]);
    for storm in &storms {
        table.row([
            Cell::number(storm.id),
            Cell::new(&storm.rule),
            Cell::new(&storm.run),
            state(storm.state),
            Cell::number(storm.messages),
            Cell::number(storm.waiting),
            Cell::number(storm.tenants),
            Cell::new(stamp(storm.last_at, now, output::on_terminal())),
            Cell::new(events::short(storm.example.as_str())),
            Cell::new(&storm.shape),
        ]);
    }
    table.print()?;
    for storm in storms.iter().filter(|storm| storm.failures > 0) {
        output::note(format!("{} {}", yellow("!"), failing(storm)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What keeps a storm from being told.
pub(crate) fn failing(storm: &Storm) -> String {
    format!(
        "{} of rule {} not told after {}: {}",
        output::count(usize::try_from(storm.waiting).unwrap_or(usize::MAX), "message"),
        output::clean(&storm.rule),
        output::count(usize::try_from(storm.failures).unwrap_or(usize::MAX), "call"),
        first_line(storm.why.as_deref().unwrap_or("Slack did not take it"))
    )
}

fn state(state: StormState) -> Cell {
    let cell = Cell::new(state.as_str());
    match state {
        StormState::Open => cell.yellow(),
        StormState::Over | StormState::Closed => cell,
    }
}
