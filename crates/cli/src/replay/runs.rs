//! Runs that were begun: which there are, how far each is, and calling one off.

use std::process::ExitCode;

use anyhow::{Result, bail};
use bus::Bus;
use bus::replay::runs::{self, Queued};
use jiff::Timestamp;
use serde_json::json;
use service::Clock;
use store::{Access, Store};

use super::follow::Progress;
use super::{Command, follow};
use crate::Common;
use crate::events::open_log;
use crate::output::{self, Cell, Table, count, stamp};

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
    let log: Option<Store> = open_log(common, Access::Reader).await.ok();
    let reached = runs::reached(bus).await?;
    let mut listed = Vec::new();
    for run in runs {
        // As `status` counts: what was taken and may be settled or not, the event log tells.
        let events = runs::queued(bus, &run.run).await?;
        // It may have left the queue meanwhile.
        let Some(started) = started(&events) else { continue };
        listed.push((run.run, started, follow::progress(reached, &events, log.as_ref()).await));
    }
    // The newest first.
    listed.sort_by(|(one, started, _), (other, other_started, _)| {
        other_started.cmp(started).then_with(|| other.cmp(one))
    });
    if common.json {
        let runs = listed.iter().map(|(run, started, progress)| {
            let Progress { events, settled, in_hand, waiting } = progress;
            json!({
                "run": run, "started": started, "events": events, "settled": settled, "in_hand": in_hand,
                "waiting": waiting,
            })
        });
        output::print_json(&runs.collect::<Vec<_>>())?;
    } else if listed.is_empty() {
        output::note("nothing was replayed: gluehook replay --since 2h --dry-run shows what would be");
    } else {
        let mut table = Table::new(&["~run", "started", "events", "settled", "in hand", "waiting"]);
        let now = Clock::system().now();
        for (run, started, progress) in &listed {
            let open = |number: usize| match Cell::number(number as u64) {
                cell if number > 0 => cell.yellow(),
                cell => cell.dim(),
            };
            table.row([
                Cell::new(run),
                Cell::new(stamp(*started, now, output::on_terminal())),
                Cell::number(progress.events as u64),
                Cell::number(progress.settled as u64),
                open(progress.in_hand),
                open(progress.waiting),
            ]);
        }
        table.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// When the first of its events was queued.
fn started(events: &[Queued]) -> Option<Timestamp> {
    events.iter().map(|event| event.stored_at).min()
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
        let started = started(&events);
        output::print_json(
            &json!({"run": run, "started": started, "progress": progress, "outcomes": outcomes}),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let dead = match outcomes.dead() {
        0 => String::new(),
        dead => format!(" ({dead} of them given up)"),
    };
    let begun = started(&events).map(|at| stamp(at, Clock::system().now(), output::on_terminal()));
    output::line(format!(
        "run {run}, started {}: {}, {} settled{dead}, {} in hand, {} waiting",
        begun.unwrap_or_default(),
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
    output::line(called_off(run, off.removed, progress))?;
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

/// What of a run was called off, and what could not be any more.
fn called_off(run: &str, removed: u64, progress: Progress) -> String {
    let begun = progress.settled + progress.in_hand;
    let before = match begun {
        0 => "workers had begun none".to_owned(),
        _ => format!(
            "{} begun by workers before ({} settled, {} in hand)",
            count(begun, "event"),
            progress.settled,
            progress.in_hand
        ),
    };
    match removed {
        0 => format!("run {run} had nothing left to call off: {before}"),
        _ => format!(
            "run {run} is called off: {} that no worker had begun; {before}",
            count(usize::try_from(removed).unwrap_or(usize::MAX), "event")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calling_off_says_what_was_called_off_and_what_was_begun_before() {
        let progress =
            |settled, in_hand| Progress { events: settled + in_hand, settled, in_hand, waiting: 0 };
        assert_eq!(
            called_off("r", 5, progress(2, 1)),
            "run r is called off: 5 events that no worker had begun; 3 events begun by workers before (2 settled, 1 in hand)"
        );
        assert_eq!(
            called_off("r", 1, progress(0, 0)),
            "run r is called off: 1 event that no worker had begun; workers had begun none"
        );
        assert_eq!(
            called_off("r", 0, progress(4, 0)),
            "run r had nothing left to call off: 4 events begun by workers before (4 settled, 0 in hand)"
        );
    }
}
