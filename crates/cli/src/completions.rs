//! `gluehook completions`: what a shell needs to complete our commands and flags.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::output;

/// `gluehook completions`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    // Not a doc comment: clippy takes the path for Markdown.
    #[arg(value_enum, help = "The shell; bash reads what is in /etc/bash_completion.d")]
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "gluehook", &mut script);
    output::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
