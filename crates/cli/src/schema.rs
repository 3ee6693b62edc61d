//! `gluehook schema`: what editors need to complete and check the files a person writes.

use std::process::ExitCode;

use anyhow::Result;

use crate::output;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum What {
    /// Of rules.toml
    Rules,
    /// Of gluehook.toml
    Config,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of which file
    #[arg(value_enum)]
    what: What,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let schema = match args.what {
        What::Rules => domain::rulebook::schema(),
        What::Config => domain::config::schema(),
    };
    // For a file, whoever reads it: over several lines.
    output::line(serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}
