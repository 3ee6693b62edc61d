//! `gluehook reconcile`: which jobs ended without a word to us? hotglue posts each webhook once, as far as anyone knows;
//! its list of jobs is the only way to learn of one that never came.

mod ask;
mod missing;
mod page;

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

use self::missing::{Door, Found, Missing, Received};
use crate::files::{self, Loaded};
use crate::output::{self, When, count};
use crate::{Common, Misused, events};

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
    /// Tenants in flows that hotglue was asked about.
    places: usize,
    /// Jobs that ended in the time.
    ended: usize,
    missing: Vec<Missing>,
    /// Places that hotglue gave no answer about, and why.
    unanswered: Vec<(Place, String)>,
    /// Places of which hotglue lists jobs of that time beyond those that were asked for.
    cut: Vec<Place>,
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
    let asked = ask::all(&world, &loaded.config, places, args.jobs).await;
    // Read after hotglue was asked: a webhook that came in between is there.
    let received = received(&bus, since).await?;
    let mut report = Report {
        since,
        until,
        places: asked.jobs.len() + asked.unanswered.len(),
        ended: 0,
        missing: Vec::new(),
        unanswered: asked.unanswered,
        cut: Vec::new(),
        undated: 0,
        stored: Vec::new(),
        failed: Vec::new(),
    };
    for (place, jobs) in asked.jobs {
        let is_full = jobs.len() >= usize::try_from(args.jobs).unwrap_or(usize::MAX);
        let Found { ended, missing, undated, reaches_back } =
            missing::find(&door, &place, jobs, &received, (since, until), now);
        report.ended += ended;
        report.undated += undated;
        report.missing.extend(missing);
        if is_full && !reaches_back {
            report.cut.push(place);
        }
    }
    report.missing = unrecorded(&log, report.missing).await?;
    log.close().await;
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
        store(&bus, &mut report).await;
    }
    if common.json {
        output::print_json(&report)?;
    } else if !nothing_more {
        page::print_stored(&report)?;
    }
    let is_whole = report.unanswered.is_empty() && report.cut.is_empty() && report.failed.is_empty();
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

/// The ends of jobs that were received, worked on or not: what lies in the stream. Read from a while before, because the end of
/// a job is told by another clock.
async fn received(bus: &Bus, since: Timestamp) -> Result<Received> {
    let since = since.saturating_sub(CLOCKS)?;
    let selection =
        Selection { since: Some(since), kind: Some(Kind::Job.as_str().to_owned()), ..Selection::default() };
    let mut selecting = bus::replay::select(bus, &selection).await?;
    let bar = page::bar("reading what was received", selecting.total());
    let mut received = Received::default();
    while let Some(selected) = selecting.next().await.context("the stream can't be read to its end")? {
        bar.set_position(selecting.looked_at());
        if let Ok(event) = event::read(&selected.envelope, &[]) {
            received.take(&event);
        }
    }
    bar.finish_and_clear();
    Ok(received)
}

/// Those that are not in the event log either: hotglue may have touched a job again long after it ended, and what was received
/// then lies further back in the stream, or there no more.
async fn unrecorded(log: &Store, missing: Vec<Missing>) -> Result<Vec<Missing>> {
    let mut unrecorded = Vec::with_capacity(missing.len());
    for one in missing {
        let event = &one.event;
        let filter = Filter {
            job_id: Some(event.job_id.clone()),
            status: Some(event.status.clone()),
            tenant: Some(event.tenant.clone()),
            flow_id: Some(event.flow_id.clone()),
            ..Filter::default()
        };
        if log.events(&filter, 1).await?.is_empty() {
            unrecorded.push(one);
        }
    }
    Ok(unrecorded)
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
