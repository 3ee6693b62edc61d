//! `gluehook setup`: creates the streams and consumers that are missing and says what is not as it must be.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use bus::{Bus, CheckError, Existing, SetupError, StreamName};
use serde_json::json;

use crate::{Common, files, output};

/// `gluehook setup`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if something is missing or differs
    #[arg(long, visible_alias = "dry-run", conflicts_with = "update")]
    check: bool,

    /// Change streams and consumers that are there and differ, where NATS allows it
    #[arg(long)]
    update: bool,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let jetstream = files::load_config_if_there(&common.config)?.config.jetstream;
    if !common.config.exists() {
        output::note(
            "there is no gluehook.toml here: the streams are held against the defaults; name yours with --config",
        );
    }
    let bus = Bus::connect(&common.bus, "gluehook-setup").await?;
    let (changes, differences) = if args.check {
        match bus::check(&bus, &jetstream).await {
            Ok(()) => (Vec::new(), Vec::new()),
            Err(CheckError::Differs(differences)) => (Vec::new(), differences),
            Err(CheckError::Connection(why)) => return Err(why.into()),
        }
    } else {
        let existing = if args.update { Existing::Update } else { Existing::MustMatch };
        match bus::setup(&bus, &jetstream, existing).await {
            Ok(changes) => (changes, Vec::new()),
            Err(SetupError::Differs(differences)) => (Vec::new(), differences),
            Err(why @ (SetupError::Connection(_) | SetupError::Refused(_))) => return Err(anyhow!(why)),
        }
    };
    let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
    let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
    tell(common, &bus, args.check, &changes, &differences)?;
    bus.drain().await;
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(
    common: &Common,
    bus: &Bus,
    only_check: bool,
    changes: &[String],
    differences: &[String],
) -> std::io::Result<()> {
    if common.json {
        return output::print_json(
            &json!({"ok": differences.is_empty(), "changes": changes, "differences": differences}),
        );
    }
    for change in changes {
        output::line(format!("{} {change}", output::green("+")))?;
    }
    for difference in differences {
        output::line(format!("{} {difference}", output::red("✗")))?;
    }
    if differences.is_empty() {
        let streams: Vec<_> = StreamName::ALL.iter().map(|stream| stream.name()).collect();
        return output::line(format!(
            "{} {} on {} are as they must be",
            output::green("✓"),
            streams.join(", "),
            bus.url()
        ));
    }
    output::note(if only_check {
        "`gluehook setup` creates what is missing; `gluehook setup --update` changes what differs, where NATS allows it."
    } else {
        "What differs was left alone: adapt [jetstream] in gluehook.toml, or run `gluehook setup --update`."
    });
    Ok(())
}
