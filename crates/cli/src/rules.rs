//! `gluehook rules`: is a rulebook sound, does it do what its scenarios say, and is a rule of it paused?

mod backtest;
mod check;
mod diff_shadow;
mod junit;
mod paused;
mod scenarios;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use domain::config::Complaint;
use domain::rulebook::Severity;

use crate::Common;
use crate::output::clean;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check a rulebook and list its rules
    Check(check::Args),
    /// Play scenarios: what must come of an event, and what must not
    Test {
        /// A folder of scenarios, with those in folders within, or one file; deploy/scenarios unless given
        #[arg(value_name = "DIR")]
        path: Option<PathBuf>,

        /// Write the results to this file, too, as JUnit's XML
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
    /// Try a rulebook on recorded events: what would have been done otherwise?
    Backtest(backtest::Args),
    /// Hold what rules in shadow would have done against what was done
    DiffShadow(diff_shadow::Args),
    /// List rules that are paused because they would have touched more tenants than their limit
    Paused,
    /// Have done what is held of a paused rule, and let the rule act again
    Resume(paused::Args),
    /// Never do what is held of a paused rule, and let the rule act again
    Drop(paused::DropArgs),
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode> {
    match command {
        Command::Check(args) => check::run(common, &args),
        Command::Test { path, junit } => scenarios::run(common, path.as_deref(), junit.as_deref()),
        Command::Backtest(args) => Ok(backtest::run(common, &args).await),
        Command::DiffShadow(args) => Ok(diff_shadow::run(common, &args).await),
        Command::Paused => paused::list(common).await,
        Command::Resume(args) => paused::resume(common, &args).await,
        Command::Drop(args) => paused::drop_held(common, &args).await,
    }
}

/// As compilers say it, so that editors find the place.
fn located(file: &Path, severity: Severity, complaint: &Complaint) -> String {
    let place = complaint.at.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
    format!("{}{place}: {}: {}", file.display(), severity.as_str(), clean(&complaint.sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_its_place_as_compilers_do() {
        let at = |at| Complaint { at, sentence: "unknown name `x`".to_owned() };
        let file = Path::new("deploy/rules.toml");
        let error = located(file, Severity::Error, &at(Some((3, 9))));
        assert_eq!(error, "deploy/rules.toml:3:9: error: unknown name `x`");
        let warning = located(file, Severity::Warning, &at(None));
        assert_eq!(warning, "deploy/rules.toml: warning: unknown name `x`");
    }
}
