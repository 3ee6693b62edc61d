//! `gluehook demo`: the main job on real input, from the post to what it changes, told as a story. Everything is real
//! but hotglue and Slack, which are doubles behind HTTP; everything lives in a directory that is removed at the end.

mod acts;
mod house;
mod story;
mod totals;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use service::Shutdown;
use tokio::time::Instant;

use self::house::House;
use self::story::Told;
use crate::{output, processes};

/// Longest wait for one webhook's consequences.
const PATIENCE: Duration = Duration::from_secs(30);

/// `gluehook demo`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The nats-server to run; found on PATH or fetched unless given
    #[arg(long, env = "GLUEHOOK_NATS_SERVER", value_name = "FILE")]
    nats_server: Option<PathBuf>,

    /// Keep everything running afterwards, to look around
    #[arg(long, env = "GLUEHOOK_STAY", value_parser = service::switch)]
    stay: bool,

    /// Put all files into this new directory and leave them there
    #[arg(long, env = "GLUEHOOK_KEEP", value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let shutdown = Shutdown::on_signals().context("signals can't be received")?;
    let begun = Instant::now();
    let stopped = tokio::select! {
        stopped = processes::told_to_stop(&shutdown) => stopped.map(|()| None)?,
        house = House::open(args.nats_server, args.keep) => Some(house?),
    };
    let Some(mut house) = stopped else { return Ok(ExitCode::FAILURE) };
    let outcome = tokio::select! {
        stopped = processes::told_to_stop(&shutdown) => stopped.map(|()| false).map_err(Into::into),
        told = tell(&mut house, begun, args.stay) => told,
    };
    let outcome = match outcome {
        Ok(good) if args.stay && !shutdown.token().is_cancelled() => tokio::select! {
            stopped = processes::told_to_stop(&shutdown) => stopped.map(|()| good).map_err(Into::into),
            died = house.processes.died() => Err(died.into()),
        },
        outcome => outcome,
    };
    if outcome.is_err() {
        house.keep_files();
    }
    for complaint in house.close().await {
        output::note(complaint);
    }
    outcome.map(|good| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The whole story; true when everything went as it must.
async fn tell(house: &mut House, begun: Instant, stay: bool) -> Result<bool> {
    output::line(output::bold("Gluehook, from the webhook to what it changes"))?;
    output::line(format!(
        "nats-server, ingest and worker are real (up in {:.1} s); hotglue and Slack are doubles behind HTTP on this machine.",
        begun.elapsed().as_secs_f64()
    ))?;
    let mut told = Told::default();
    for act in acts::all() {
        told.act(house, &act).await?;
    }
    let good = totals::tell(house, &told).await?;
    output::line("")?;
    house.where_to_look(&told, stay)?;
    Ok(good)
}
