//! `gluehook replay`: has recorded events processed again, beside live traffic. Shows first what the rules of today would
//! do, and asks.

mod plan;
mod select;

use std::process::ExitCode;

use anyhow::{Context, Result};
use bus::Bus;
use domain::journal::Filter;
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use service::Clock;
use store::{Access, Store};

use self::plan::{Plan, Planner};
use crate::events::{Select, open_log};
use crate::output::{self, count};
use crate::{Common, Misused, files};

/// Events that are on their way to the queue at once.
const AT_ONCE: usize = 64;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events to replay, or how their ids begin
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    select: Select,

    /// From this sequence of the stream HOOKS on
    #[arg(long, value_name = "SEQ", help_heading = "Which events")]
    from_seq: Option<u64>,

    /// Up to this sequence of the stream HOOKS, itself included
    #[arg(long, value_name = "SEQ", help_heading = "Which events")]
    to_seq: Option<u64>,

    /// Do not ask
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    yes: bool,

    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Name of the run, to go on with one that was interrupted: what it had replayed is not replayed twice
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    run: Option<String>,
}

/// A name that stays as it is in a subject, and isn't that of the live run.
fn run_name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !fits || text == domain::plan::LIVE {
        return Err("a run is named with letters, digits, - and _, and not `live`".to_owned());
    }
    Ok(text.to_owned())
}

/// `r-20261122-021530-4f2a`: when it was begun, and what keeps apart two of the same second.
fn new_run(now: Timestamp) -> String {
    let micros = now.as_microsecond().rem_euclid(1_000_000);
    format!("r-{}-{micros:05x}", now.strftime("%Y%m%d-%H%M%S"))
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let by_flags = !args.select.is_empty() || args.from_seq.is_some() || args.to_seq.is_some();
    match (args.ids.is_empty(), by_flags) {
        (true, false) => {
            let how = "say which events: ids, or flags such as --since 2h, --tenant, --status, --from-seq";
            return Err(Misused(how.to_owned()).into());
        }
        (false, true) => {
            return Err(Misused("name events by their ids or by flags, not by both".to_owned()).into());
        }
        _ => {}
    }
    let config = files::load_config_if_there(&common.config)?.config;
    let rulebook = files::load_rulebook(common.rules.as_deref())?;
    let clock = Clock::system();
    let run = args.run.clone().unwrap_or_else(|| new_run(clock.now()));
    let log = open_log(common, Access::Reader).await;
    if let Ok(log) = &log {
        same_rulebook(log, rulebook.version()).await;
    }
    let bus = Bus::connect(&common.bus, "gluehook").await?;
    let planner =
        Planner { config: &config, rulebook: &rulebook, log: log.as_ref().ok(), run: &run, now: clock.now() };
    let plan = gather(&bus, &args, &log, &planner, clock).await?;
    let done = carry_out(common, &bus, &args, &run, &plan).await;
    bus.drain().await;
    done
}

/// The worker decides by its own rulebook; a plan by another one is not what will happen.
async fn same_rulebook(log: &Store, version: &str) {
    let latest = log.events(&Filter::default(), 1).await.ok().and_then(|rows| rows.into_iter().next());
    if let Some(last) = latest.and_then(|row| row.rulebook)
        && last != version
    {
        output::note(format!(
            "gluehook: this plan is by rulebook {version}, but the newest event was decided by {last}: name the worker's with --rules"
        ));
    }
}

/// Finds what is to be replayed and works out what would come of it.
async fn gather(
    bus: &Bus,
    args: &Args,
    log: &Result<Store>,
    planner: &Planner<'_>,
    clock: Clock,
) -> Result<Plan> {
    let bar = bar("looking at");
    let mut plan = Plan::default();
    let wanted = select::Wanted { args, now: clock.now() };
    select::each(bus, wanted, log, &bar, &mut plan, planner).await?;
    bar.finish_and_clear();
    Ok(plan)
}

async fn carry_out(common: &Common, bus: &Bus, args: &Args, run: &str, plan: &Plan) -> Result<ExitCode> {
    let events = plan.sequences.len();
    if events == 0 {
        output::note("gluehook: no event in the stream HOOKS is like that: nothing to replay");
        plan.notes().iter().for_each(output::note);
        return Ok(ExitCode::FAILURE);
    }
    if !common.json {
        plan.lines().iter().try_for_each(output::line)?;
    }
    plan.notes().iter().for_each(output::note);
    if args.dry_run {
        if common.json {
            output::print_json(&plan.report(None, 0))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !output::agreed(&format!("Replay {}?", count(events, "event")), args.yes)? {
        output::note("nothing was replayed");
        return Ok(ExitCode::FAILURE);
    }
    let published = publish(bus, run, &plan.sequences).await;
    if common.json {
        output::print_json(&plan.report(Some(run), published.done))?;
    } else {
        output::line(format!("{} replayed in run {run}", count(published.done, "event")))?;
        output::note(format!(
            "gluehook explain ID --run {run} tells what came of one; gluehook dead list, what failed"
        ));
        output::note("gluehook events list --outcome retrying (or open) shows what is still under way");
    }
    if published.gone > 0 {
        output::note(format!("{} had left the stream meanwhile", count(published.gone, "event")));
    }
    match published.stopped {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error.context(format!(
            "the replay stopped after {} of {events} events; the same command with --run {run} goes on with it",
            published.done
        ))),
    }
}

/// How far publishing got.
#[derive(Debug, Default)]
struct Done {
    done: usize,
    gone: usize,
    stopped: Option<anyhow::Error>,
}

/// Publishes in the order of the stream, many at once.
async fn publish(bus: &Bus, run: &str, sequences: &[u64]) -> Done {
    let bar = bar("replaying");
    bar.set_length(sequences.len().try_into().unwrap_or(u64::MAX));
    let mut answers = stream::iter(sequences)
        .map(|&sequence| async move { bus::replay::get(bus, sequence).await.context("reading an event") })
        .buffered(AT_ONCE)
        .map(|selected| async move {
            let Some(selected) = selected? else { return Ok(false) };
            bus::replay::publish(bus, run, &selected).await?;
            anyhow::Ok(true)
        })
        .buffered(AT_ONCE);
    let mut done = Done::default();
    loop {
        match answers.try_next().await {
            Ok(Some(true)) => done.done += 1,
            Ok(Some(false)) => done.gone += 1,
            Ok(None) => break,
            Err(error) => {
                done.stopped = Some(error);
                break;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    done
}

/// On stderr, and only when a person watches.
fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} {pos}/{len} events {wide_bar} {eta}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_time() {
        let at: Timestamp = "2026-11-22T02:15:30.020266Z".parse().unwrap();
        assert_eq!(new_run(at), "r-20261122-021530-04f2a");
        assert!(run_name(&new_run(at)).is_ok());
    }

    #[test]
    fn a_run_is_never_the_live_one_nor_several_tokens() {
        for wrong in ["live", "", "a.b", "a b", "*", &"x".repeat(65)] {
            assert!(run_name(wrong).is_err(), "{wrong}");
        }
    }
}
