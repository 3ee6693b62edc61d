//! `gluehook replay`: has recorded events processed again, beside live traffic, or posts them to a developer's machine.
//! Shows first what the rules of today would do, and asks. Runs can be looked at and called off.

mod follow;
mod plan;
mod post;
mod publish;
mod runs;
mod select;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use bus::Bus;
use domain::config::Config;
use domain::journal::{Filter, Outcome};
use domain::rulebook::Rulebook;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use service::Clock;
use store::{Access, Store};

use self::plan::{Plan, Planner, Purpose};
use crate::events::{Select, open_log};
use crate::output::{self, count};
use crate::{Common, Misused, files};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Do not ask
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    yes: bool,

    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Only events that were given up, each gone on with where it failed: what was decided then stays decided, steps that
    /// are done are not done again. Without it everything is decided anew. With `--outcome retrying`: those that are still
    /// being retried, at once
    #[arg(long)]
    only_failed: bool,

    /// Name of the run, to go on with one that was interrupted: what it had replayed is not replayed twice
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    run: Option<String>,

    /// Wait until the workers are done with it, also when nobody watches; fails if an event was given up
    #[arg(long, conflicts_with_all = ["dry_run", "detach"])]
    wait: bool,

    /// Do not wait, also when a person watches
    #[arg(long, visible_alias = "no-wait")]
    detach: bool,

    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    to: post::To,
}

/// Which events.
#[derive(Debug, Default, clap::Args)]
struct Which {
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
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the runs of the last 30 days, with how far each is
    List,
    /// Show how far a run is, and what came of its events
    Status {
        #[arg(value_name = "RUN", value_parser = run_name)]
        run: String,

        /// Go on showing until the workers are done with it; fails if an event was given up
        #[arg(long, short = 'f')]
        follow: bool,
    },
    /// Call a run off: what no worker has taken yet leaves the queue, what is in a worker's hands ends as it would
    Cancel {
        #[arg(value_name = "RUN", value_parser = run_name)]
        run: String,
    },
}

impl Which {
    fn by_flags(&self) -> bool {
        !self.select.is_empty() || self.from_seq.is_some() || self.to_seq.is_some()
    }

    fn check(&self, only_failed: bool) -> Result<(), Misused> {
        let outcome = self.select.outcome;
        if only_failed && !matches!(outcome, None | Some(Outcome::Dead | Outcome::Retrying)) {
            let how = "--only-failed takes events that were given up (dead), or with --outcome retrying those that are still being retried";
            return Err(Misused(how.to_owned()));
        }
        match (self.ids.is_empty(), self.by_flags() || only_failed) {
            (true, false) => {
                let how =
                    "say which events: ids, or flags such as --since 2h, --tenant, --status, --from-seq";
                Err(Misused(how.to_owned()))
            }
            (false, _) if self.by_flags() => {
                Err(Misused("name events by their ids or by flags, not by both".to_owned()))
            }
            _ => Ok(()),
        }
    }
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
    if let Some(command) = &args.command {
        if !args.which.ids.is_empty() || args.which.by_flags() {
            let how = "say either which events to replay, or what to do with a run; not both";
            return Err(Misused(how.to_owned()).into());
        }
        return runs::run(common, command).await;
    }
    args.which.check(args.only_failed)?;
    let purpose = match (&args.to.to, args.only_failed) {
        (Some(_), _) => Purpose::Post,
        (None, true) => Purpose::Resume,
        (None, false) => Purpose::Anew,
    };
    let loaded = files::load_config_if_there(&common.config)?;
    let mut rulebook = files::load_rulebook(common.rules.as_deref())?;
    let clock = Clock::system();
    let run = args.run.clone().unwrap_or_else(|| new_run(clock.now()));
    let log = open_log(common, Access::Reader).await;
    if let (Ok(log), Purpose::Anew) = (&log, purpose) {
        same_rulebook(log, &mut rulebook, common.rules.is_some()).await;
    }
    let bus = Bus::connect(&common.bus, "gluehook").await?;
    let house = House { config: &loaded.config, rulebook: &rulebook, log: &log, clock };
    let plan = house.gather(&bus, &args, purpose, &run).await?;
    let done = match &args.to.to {
        Some(url) => post::carry_out(common, &bus, &args, url, &loaded, &plan).await,
        None => house.carry_out(common, &bus, &args, &run, &plan).await,
    };
    bus.drain().await;
    done
}

/// The worker decides by its own rulebook; a plan by another one is not what will happen. Where none is named, the one that
/// decided the newest event is taken.
async fn same_rulebook(log: &Store, rulebook: &mut Rulebook, named: bool) {
    let latest = log.events(&Filter::default(), 1).await.ok().and_then(|rows| rows.into_iter().next());
    let Some(last) = latest.and_then(|row| row.rulebook).filter(|last| last != rulebook.version()) else {
        return;
    };
    if !named
        && let Ok(Some(text)) = log.rulebook(&last).await
        && let Ok(of_worker) = Rulebook::parse(&text)
    {
        output::note(format!("gluehook: this plan is by rulebook {last}, which decided the newest event"));
        *rulebook = of_worker;
        return;
    }
    output::note(format!(
        "gluehook: this plan is by rulebook {}, but the newest event was decided by {last}: name the worker's with --rules",
        rulebook.version()
    ));
}

/// What planning needs.
struct House<'a> {
    config: &'a Config,
    rulebook: &'a Rulebook,
    log: &'a Result<Store>,
    clock: Clock,
}

impl House<'_> {
    /// Finds what is to be replayed and works out what would come of it.
    async fn gather(&self, bus: &Bus, args: &Args, purpose: Purpose, run: &str) -> Result<Plan> {
        let bar = bar("looking at");
        let now = self.clock.now();
        let Self { config, rulebook, log, .. } = *self;
        let (only_failed, log_if_there) = (args.only_failed, log.as_ref().ok());
        let held = match log_if_there {
            Some(log) if purpose == Purpose::Anew => plan::held(log).await?,
            _ => BTreeSet::new(),
        };
        let planner = Planner { purpose, only_failed, config, rulebook, log: log_if_there, run, now, held };
        let mut plan = Plan::new(purpose, rulebook);
        let wanted = select::Wanted { which: &args.which, only_failed: args.only_failed, now };
        select::each(bus, wanted, log, &bar, &mut plan, &planner).await?;
        bar.finish_and_clear();
        Ok(plan)
    }

    async fn carry_out(
        &self,
        common: &Common,
        bus: &Bus,
        args: &Args,
        run: &str,
        plan: &Plan,
    ) -> Result<ExitCode> {
        let Some(events) = tell_plan(common, plan)? else { return Ok(ExitCode::FAILURE) };
        if args.dry_run {
            if common.json {
                output::print_json(&plan.report(None, 0, 0))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        if !output::agreed(&format!("Replay {}?", count(events, "event")), args.yes)? {
            output::note("nothing was replayed");
            return Ok(ExitCode::FAILURE);
        }
        let published = publish::publish(bus, run, plan, self.clock.now()).await;
        let (queued, already) = (published.queued.len(), published.already);
        let done = queued.saturating_sub(already);
        if common.json {
            output::print_json(&plan.report(Some(run), done, already))?;
        } else {
            output::line(format!("{} replayed in run {run}", count(done, "event")))?;
        }
        if already > 0 {
            output::note(format!("{} had been replayed in run {run} before", count(already, "event")));
        }
        if published.gone > 0 {
            output::note(format!("{} had left the stream meanwhile", count(published.gone, "event")));
        }
        if let Some(error) = published.stopped {
            return Err(error.context(format!(
                "the replay stopped after {queued} of {events} events; the same command with --run {run} goes on with it, gluehook replay cancel {run} calls it off"
            )));
        }
        if args.detach || !(args.wait || output::is_watched()) {
            output::note(format!(
                "gluehook replay status {run} shows how far it is, gluehook replay cancel {run} calls it off; gluehook dead list shows what failed"
            ));
            return Ok(ExitCode::SUCCESS);
        }
        let mut events = published.queued;
        if already > 0 {
            // When they were queued, only the queue knows.
            let there = bus::replay::runs::queued(bus, run).await?;
            events.extend(there);
            // Of the two that tell of one event, the stream's came first.
            events.sort_by_key(|event| (event.sequence, event.stored_at));
            events.dedup_by_key(|event| event.sequence);
        }
        follow::follow(common, bus, self.log.as_ref().ok(), run, events).await
    }
}

/// Says what there is to replay; none when there is nothing.
fn tell_plan(common: &Common, plan: &Plan) -> std::io::Result<Option<usize>> {
    let events = plan.items.len();
    if events == 0 {
        output::note("gluehook: no event in the stream HOOKS is like that: nothing to replay");
        plan.notes().iter().for_each(output::note);
        return Ok(None);
    }
    if !common.json {
        plan.lines().iter().try_for_each(output::line)?;
    }
    plan.notes().iter().for_each(output::note);
    Ok(Some(events))
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

    #[test]
    fn ids_and_flags_are_two_ways_to_name_events_and_failure_is_a_third() {
        let which = |ids: &[&str], from_seq| Which {
            ids: ids.iter().map(ToString::to_string).collect(),
            from_seq,
            ..Which::default()
        };
        assert!(which(&["a"], None).check(false).is_ok());
        assert!(which(&["a"], None).check(true).is_ok());
        assert!(which(&[], Some(1)).check(false).is_ok());
        assert!(which(&[], None).check(true).is_ok());
        assert!(which(&[], None).check(false).is_err());
        assert!(which(&["a"], Some(1)).check(false).is_err());
        let done = Select { outcome: Some(Outcome::Done), ..Select::default() };
        assert!(Which { select: done, ..Which::default() }.check(true).is_err());
    }
}
