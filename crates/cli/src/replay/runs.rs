//! Runs that were begun: which there are, how far each is, and calling one off.

use std::process::ExitCode;

use anyhow::{Result, bail};
use bus::Bus;
use bus::replay::runs::{self, Queued};
use serde_json::json;
use store::{Access, Store};

use super::{Command, follow};
use crate::Common;
use crate::events::open_log;
use crate::output::{self, Cell, Table, count};

pub(super) async fn run(common: &Common, command: &Command) -> Result<ExitCode> {
    let bus = Bus::connect(&common.bus, "gluehook").await?;
    let done = match command {
        Command::List => list(common, &bus).await,
        Command::Status { run, follow } => status(common, &bus, run, *follow).await,
        Command::Cancel { run } => cancel(common, &bus, run).await,
    };
    bus.drain().await;
    done
}

async fn list(common: &Common, bus: &Bus) -> Result<ExitCode> {
    let mut runs = runs::list(bus).await?;
    // Dead letters that were sent back go on in the run in which they died, mostly the live one: that is none of ours.
    runs.retain(|run| run.run != domain::plan::LIVE);
    // Newest first, where names tell the time.
    runs.reverse();
    if common.json {
        output::print_json(&runs)?;
    } else if runs.is_empty() {
        output::note("nothing was replayed: gluehook replay --since 2h --dry-run shows what would be");
    } else {
        let mut table = Table::new(&["~run", "events", "settled", "in hand", "waiting"]);
        for run in &runs {
            let settled = run.events.saturating_sub(run.in_hand + run.waiting);
            let open = |number: u64| match Cell::number(number) {
                cell if number > 0 => cell.yellow(),
                cell => cell.dim(),
            };
            table.row([
                Cell::new(&run.run),
                Cell::number(run.events),
                Cell::number(settled),
                open(run.in_hand),
                open(run.waiting),
            ]);
        }
        table.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn events(bus: &Bus, run: &str) -> Result<Vec<Queued>> {
    let events = runs::queued(bus, run).await?;
    if events.is_empty() {
        bail!("there is no run {run}: gluehook replay list shows those there are");
    }
    Ok(events)
}

async fn status(common: &Common, bus: &Bus, run: &str, follow: bool) -> Result<ExitCode> {
    let events = events(bus, run).await?;
    let log: Option<Store> = open_log(common, Access::Reader).await.ok();
    if follow {
        return follow::follow(common, bus, log.as_ref(), run, events).await;
    }
    let reached = runs::reached(bus).await?;
    let progress = follow::progress(reached, &events, log.as_ref()).await;
    let outcomes = follow::outcomes(&events, log.as_ref()).await;
    if common.json {
        output::print_json(&json!({"run": run, "progress": progress, "outcomes": outcomes}))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!(
        "run {run}: {}, {} settled, {} in hand, {} waiting",
        count(progress.events, "event"),
        progress.settled,
        progress.in_hand,
        progress.waiting
    ))?;
    if let Some(line) = outcomes.line() {
        output::line(format!("  what came of them: {line}"))?;
    }
    if log.is_none() {
        output::note("what came of each event, the event log knows: name it with --database-url");
    }
    if progress.waiting > 0 && !reached.pulled {
        output::note(follow::nobody_takes(reached));
    }
    Ok(ExitCode::SUCCESS)
}

async fn cancel(common: &Common, bus: &Bus, run: &str) -> Result<ExitCode> {
    let events = events(bus, run).await?;
    let bar = super::bar("calling off");
    bar.set_length(events.len().try_into().unwrap_or(u64::MAX));
    let off = runs::call_off(bus, run, |removed| bar.set_position(removed)).await?;
    bar.finish_and_clear();
    let log: Option<Store> = open_log(common, Access::Reader).await.ok();
    let left = runs::queued(bus, run).await?;
    let progress = follow::progress(runs::reached(bus).await?, &left, log.as_ref()).await;
    if common.json {
        output::print_json(&json!({
            "run": run,
            "removed": off.removed,
            "dead_letters": off.letters,
            "settled": progress.settled,
            "in_hand": progress.in_hand,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (removed, settled) = (off.removed, progress.settled);
    output::line(match removed {
        0 => format!("run {run} had nothing left to call off: {settled} settled before"),
        _ => format!("run {run} is called off: {removed} not worked on, {settled} settled before"),
    })?;
    if off.letters > 0 {
        output::note(format!(
            "{} back among the dead letters: gluehook dead list shows them",
            count(usize::try_from(off.letters).unwrap_or(usize::MAX), "event")
        ));
    }
    if progress.in_hand > 0 {
        output::note(format!(
            "{} in the hands of workers: what they have begun ends as it would",
            count(progress.in_hand, "event")
        ));
    }
    Ok(ExitCode::SUCCESS)
}
