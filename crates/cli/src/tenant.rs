//! `gluehook tenant`: what came in of one tenant, what was decided and what was done, as one story.

mod timeline;

use std::process::ExitCode;

use anyhow::Result;
use domain::journal::{EventRecord, Filter};
use service::Clock;
use store::{Access, Store};

pub(crate) use self::timeline::Timeline;
use crate::output::{self, When};
use crate::{Common, events};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tenant, as hotglue names it
    tenant: String,

    /// In this flow alone
    #[arg(long, value_name = "FLOW_ID")]
    flow: Option<String>,

    /// In this hotglue environment alone
    #[arg(long, value_name = "ENV_ID")]
    env: Option<String>,

    /// Received since: a length of time such as 2h, or a time such as 2026-03-01T14:30:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// Received before; as --since
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,

    /// Most events to tell of, the newest of them; that there are more is said on stderr
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

pub(crate) async fn run(common: &Common, args: &Args) -> Result<ExitCode> {
    let now = Clock::system().now();
    let store = events::open_log(common, Access::Reader).await?;
    let read = read(&store, &filter(args, now), args.limit).await;
    store.close().await;
    let (records, more) = read?;
    if records.is_empty() {
        output::note(format!(
            "gluehook: there is no such event of tenant {} in the event log: gluehook events list shows those there are",
            output::clean(&args.tenant)
        ));
        return Ok(ExitCode::FAILURE);
    }
    let timeline = Timeline::of(&args.tenant, &records);
    if common.json {
        output::print_json(&timeline)?;
    } else {
        for line in timeline.lines(now, output::on_terminal()) {
            output::line(line)?;
        }
    }
    if more {
        output::note(format!("these are the newest {} events; --limit tells of more", args.limit));
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(args: &Args, now: jiff::Timestamp) -> Filter {
    Filter {
        tenant: Some(args.tenant.clone()),
        flow_id: args.flow.clone(),
        env_id: args.env.clone(),
        since: args.since.map(|when| when.at(now)),
        until: args.until.map(|when| when.at(now)),
        ..Filter::default()
    }
}

/// The newest events, with all that is known of them; are there more?
pub(crate) async fn read(store: &Store, filter: &Filter, limit: u32) -> Result<(Vec<EventRecord>, bool)> {
    let mut rows = store.events(filter, limit.saturating_add(1)).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        // It may have been forgotten since it was listed.
        records.extend(store.event(row.event.id.as_str()).await?);
    }
    Ok((records, more))
}
