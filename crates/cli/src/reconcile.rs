//! `gluehook reconcile`: which jobs ended without a word to us? hotglue posts each webhook once, as far as anyone knows;
//! its list of jobs is the only way to learn of one that never came.

mod ask;
mod missing;
mod page;

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bus::Bus;
use bus::replay::Selection;
use domain::action::Place;
use domain::event::{self, Kind};
use domain::journal::Filter;
use domain::names::EventId;
use effects::World;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use service::Clock;
use store::{Access, Store};

use self::missing::{Door, End, Missing};
use crate::files::{self, Loaded};
use crate::output::{self, When, count};
use crate::{Common, Misused, events};

/// Most events of one job that are looked through.
const OF_ONE_JOB: u32 = 100;
/// Most refused requests that are looked through: all, unless there are more than ten endpoints.
const MOST_REFUSED: usize = 10_000;
/// How far hotglue's clock and ours may be apart, with room.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs that ended since: a length of time such as 2h, or a time such as 2026-03-01T14:30:00Z
    #[arg(long, value_name = "WHEN", default_value = "1d")]
    since: When,

    /// Jobs that ended before; the webhooks of later ones may still be on their way. As --since
    #[arg(long, value_name = "WHEN", default_value = "10m")]
    until: When,

    /// Of this tenant alone
    #[arg(long)]
    tenant: Option<String>,

    /// In this flow alone
    #[arg(long, value_name = "FLOW_ID")]
    flow: Option<String>,

    /// In this hotglue environment alone
    #[arg(long, value_name = "ENV_ID")]
    env: Option<String>,

    /// Newest jobs that hotglue is asked for, of each tenant in each flow
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    jobs: u32,

    /// The endpoint that the webhooks would have come in at [default: the only one of hotglue]
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,

    /// Show what is missing, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Store what is missing as events, without asking
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    yes: bool,
}

/// What came of the look.
#[derive(Debug, Serialize)]
struct Report {
    since: Timestamp,
    until: Timestamp,
    /// When the first event was received: nothing older is missed.
    begun: Option<Timestamp>,
    /// Tenants in flows that hotglue was asked about.
    places: usize,
    /// Jobs that ended in the time.
    ended: usize,
    missing: Vec<Missing>,
    /// Jobs whose webhooks came and were refused for want of proof.
    refused: usize,
    /// Places that hotglue gave no answer about, and why.
    unanswered: Vec<(Place, String)>,
    /// Places of which hotglue lists jobs of that time beyond those that were asked for.
    cut: Vec<Place>,
    /// Places of which hotglue shows no list of jobs, as of a tenant that is gone.
    unlisted: usize,
    /// Jobs in the list of a place that say to be of another.
    foreign: usize,
    /// Jobs of which hotglue says not when they ended: nobody knows whether they are of that time.
    undated: usize,
    stored: Vec<Stored>,
    /// What could not be stored, and why.
    failed: Vec<(String, String)>,
}

/// A job that became an event.
#[derive(Debug, Serialize)]
struct Stored {
    job_id: String,
    id: EventId,
    /// It had been stored before.
    duplicate: bool,
}

pub(crate) async fn run(common: &Common, args: &Args) -> Result<ExitCode> {
    let now = Clock::system().now();
    let (since, until) = (args.since.at(now), args.until.at(now));
    if since >= until {
        return Err(Misused(format!(
            "no job ended both since {since} and before {until}: --since has to be earlier than --until"
        ))
        .into());
    }
    let loaded = files::load_config(&common.config)?;
    let door = Door::open(&loaded, args.endpoint.as_deref())?;
    let world = world(&loaded)?;
    let log = events::open_log(common, Access::Reader).await?;
    let places = places(&log, args, &loaded).await?;
    if places.is_empty() {
        output::note("gluehook: the event log names no such tenant in a flow: there is nobody to ask about");
        return Ok(ExitCode::FAILURE);
    }
    let bus = Bus::connect(&common.bus, "gluehook").await?;
    // What ended before anything was received is nobody's loss.
    let begun = begun(&bus, &log).await?;
    let since = begun.map_or(since, |begun| since.max(begun).min(until));
    let newest = args.jobs;
    let read = |place: &Place, jobs| missing::find(&door, place, jobs, (since, until), now);
    let asked = ask::all(&world, &loaded.config, places, newest, read).await;
    let mut report = Report {
        since,
        until,
        begun,
        places: asked.found.len() + asked.unanswered.len(),
        ended: 0,
        missing: Vec::new(),
        refused: 0,
        unanswered: asked.unanswered,
        cut: asked.cut,
        unlisted: asked.unlisted,
        foreign: 0,
        undated: 0,
        stored: Vec::new(),
        failed: Vec::new(),
    };
    for (_, found) in asked.found {
        report.ended += found.ended.len();
        report.undated += found.undated;
        report.foreign += found.foreign;
        report.missing.extend(found.ended);
    }
    // Read after hotglue was asked: a webhook that came in between is there.
    without_received(&bus, &log, since, &mut report).await?;
    report.missing.sort_by_key(|one| one.event.occurred_at);
    if !common.json {
        page::print(&report, now)?;
    }
    let nothing_more = report.missing.is_empty() || args.dry_run;
    if !nothing_more {
        let many = count(report.missing.len(), "event");
        if !output::agreed(&format!("Store {many}? The rules act on them."), args.yes)? {
            output::note("nothing was stored");
            return Ok(ExitCode::FAILURE);
        }
        if !args.yes {
            // Some may have come while the question was open.
            without_received(&bus, &log, since, &mut report).await?;
        }
        store(&bus, &mut report).await;
    }
    log.close().await;
    if common.json {
        output::print_json(&report)?;
    } else if !nothing_more {
        page::print_stored(&report)?;
    }
    // Where no list is shown at all, it is the key or the environment rather than the tenants.
    let is_heard = report.unanswered.is_empty() && report.unlisted < report.places;
    let is_whole = is_heard && report.cut.is_empty() && report.failed.is_empty();
    let is_mended = report.missing.len() == report.stored.len();
    Ok(if is_whole && is_mended { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn world(Loaded { config, base }: &Loaded) -> Result<World> {
    if config.hotglue.environment.is_empty() {
        let why =
            "hotglue has to be asked for its jobs: there is no [[hotglue.environment]] in the configuration";
        return Err(Misused(why.to_owned()).into());
    }
    effects::install_crypto();
    // Slack is told nothing, so its secret need not be there.
    let mut config = config.clone();
    config.slack = None;
    let world = World::build(&config, base, &|reference| files::resolve(base, reference));
    world.map_err(|said| Misused(said.join("\n")).into())
}

/// Where events came from, as far as the event log goes back and the flags leave it.
async fn places(log: &Store, args: &Args, Loaded { config, .. }: &Loaded) -> Result<Vec<Place>> {
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let mut places = log.places().await?;
    for place in &mut places {
        // Documented samples of 2020 leave it empty; the place is the same.
        if let Some(environment) = config.hotglue.environment(&place.env_id) {
            place.env_id.clone_from(&environment.env_id);
        }
    }
    places.retain(|place| {
        is(&args.tenant, &place.tenant) && is(&args.flow, &place.flow_id) && is(&args.env, &place.env_id)
    });
    places.sort();
    places.dedup();
    Ok(places)
}

/// When the first event was received, as far as stream and event log go back.
async fn begun(bus: &Bus, log: &Store) -> Result<Option<Timestamp>> {
    let mut first = bus::replay::select(bus, &Selection::default()).await?;
    let in_stream = first.next().await?.map(|selected| selected.envelope.received_at);
    let oldest_first = Filter { after_row: Some(i64::MIN), ..Filter::default() };
    let in_log = log.events(&oldest_first, 1).await?.first().map(|row| row.event.received_at);
    Ok([in_stream, in_log].into_iter().flatten().min())
}

/// Leaves what was never received: neither in the stream, worked on or not, nor, further back, in the event log, nor refused at
/// the door.
async fn without_received(bus: &Bus, log: &Store, since: Timestamp, report: &mut Report) -> Result<()> {
    let received = received(bus, since).await?;
    report.missing.retain(|one| missing::end(&one.event).is_some_and(|end| !received.contains(&end)));
    let mut missing = Vec::with_capacity(report.missing.len());
    for one in std::mem::take(&mut report.missing) {
        if !is_recorded(log, &one).await? {
            missing.push(one);
        }
    }
    let refused = refused(bus).await?;
    let all = missing.len();
    missing.retain(|one| missing::end(&one.event).is_some_and(|end| !refused.contains(&end)));
    report.refused = all - missing.len();
    report.missing = missing;
    Ok(())
}

/// The ends of jobs that lie in the stream. Read from a while before, because the end of a job is told by another clock.
async fn received(bus: &Bus, since: Timestamp) -> Result<HashSet<End>> {
    let since = since.saturating_sub(CLOCKS)?;
    let selection =
        Selection { since: Some(since), kind: Some(Kind::Job.as_str().to_owned()), ..Selection::default() };
    let mut selecting = bus::replay::select(bus, &selection).await?;
    let bar = page::bar("reading what was received", selecting.total());
    let mut received = HashSet::new();
    while let Some(selected) = selecting.next().await.context("the stream can't be read to its end")? {
        bar.set_position(selecting.looked_at());
        received.extend(event::read(&selected.envelope, &[]).ok().and_then(|event| missing::end(&event)));
    }
    bar.finish_and_clear();
    Ok(received)
}

/// hotglue may have touched a job again long after it ended: what was received then lies further back in the stream, or there no
/// more.
async fn is_recorded(log: &Store, one: &Missing) -> Result<bool> {
    let event = &one.event;
    let filter = Filter {
        job_id: Some(event.job_id.clone()),
        tenant: Some(event.tenant.clone()),
        flow_id: Some(event.flow_id.clone()),
        ..Filter::default()
    };
    let rows = log.events(&filter, OF_ONE_JOB).await?;
    Ok(rows.iter().any(|row| {
        let status = &row.event.status;
        if event.completed { status == &event.status } else { status.ends_with("_FAILED") }
    }))
}

/// The ends of jobs that were refused for want of proof. They have a command of their own, and would else be stored twice.
async fn refused(bus: &Bus) -> Result<HashSet<End>> {
    let quarantined = bus::rejected::list(bus, None, MOST_REFUSED).await?;
    let ends = quarantined.iter().filter_map(|one| missing::end_in(&one.request.endpoint, &one.request.body));
    Ok(ends.collect())
}

async fn store(bus: &Bus, report: &mut Report) {
    let publisher = bus.publisher();
    for missing in &report.missing {
        let job_id = missing.event.job_id.clone();
        match publisher.publish(&missing.envelope).await {
            Ok(published) => report.stored.push(Stored {
                job_id,
                id: missing.envelope.id.clone(),
                duplicate: published.duplicate,
            }),
            Err(error) => report.failed.push((job_id, error.to_string())),
        }
    }
}
