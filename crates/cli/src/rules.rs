//! `gluehook rules`: is a rulebook sound, does it do what its scenarios say, and is a rule of it paused?

mod paused;
mod scenarios;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use domain::config::Complaint;
use domain::rulebook::{Mode, Rule, Rulebook};
use serde::Serialize;

use crate::output::{self, Cell, Table, clean, count, first_line};
use crate::{Common, files};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check a rulebook and list its rules
    Check {
        /// The rulebook; that of --rules, else the one that ships with Gluehook, unless given
        file: Option<PathBuf>,
    },
    /// Play scenarios: what must come of an event, and what must not
    Test {
        /// A folder of scenarios, or one file; deploy/scenarios unless given
        #[arg(value_name = "DIR")]
        path: Option<PathBuf>,
    },
    /// List rules that are paused because they would have touched more tenants than their limit
    Paused,
    /// Have done what is held of a paused rule, and let the rule act again
    Resume(paused::Args),
    /// Never do what is held of a paused rule, and let the rule act again
    Drop(paused::DropArgs),
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode> {
    match command {
        Command::Check { file } => check(common, file.as_deref().or(common.rules.as_deref())),
        Command::Test { path } => scenarios::run(common, path.as_deref()),
        Command::Paused => paused::list(common).await,
        Command::Resume(args) => paused::resume(common, &args).await,
        Command::Drop(args) => paused::drop_held(common, &args).await,
    }
}

#[derive(Serialize)]
struct Checked<'a> {
    file: Option<&'a Path>,
    version: Option<&'a str>,
    complaints: Vec<Said<'a>>,
    rules: &'a [Rule],
}

#[derive(Serialize)]
struct Said<'a> {
    line: Option<usize>,
    column: Option<usize>,
    sentence: &'a str,
}

fn check(common: &Common, file: Option<&Path>) -> Result<ExitCode> {
    let parsed = match file {
        Some(file) => Rulebook::parse(&files::read_rulebook(file)?),
        None => Ok(Rulebook::built_in()),
    };
    let complaints = parsed.as_ref().err().map(Vec::as_slice).unwrap_or_default();
    if common.json {
        let rulebook = parsed.as_ref().ok();
        output::print_json(&Checked {
            file,
            version: rulebook.map(Rulebook::version),
            complaints: complaints.iter().map(said).collect(),
            rules: rulebook.map(Rulebook::rules).unwrap_or_default(),
        })?;
    } else if let Ok(rulebook) = &parsed {
        table(rulebook).print()?;
        let name = file.map_or_else(|| "the built-in rulebook".to_owned(), |file| file.display().to_string());
        let rules = count(rulebook.rules().len(), "rule");
        output::line(format!("\n{} is sound: {rules}, version {}", clean(&name), rulebook.version()))?;
    } else if let Some(file) = file {
        for complaint in complaints {
            output::line(located(file, complaint))?;
        }
    }
    Ok(if parsed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn said(complaint: &Complaint) -> Said<'_> {
    let (line, column) = complaint.at.unzip();
    Said { line, column, sentence: &complaint.sentence }
}

/// As compilers say it, so that editors find the place.
fn located(file: &Path, complaint: &Complaint) -> String {
    let place = complaint.at.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
    format!("{}{place}: {}", file.display(), clean(&complaint.sentence))
}

fn table(rulebook: &Rulebook) -> Table {
    let mut table = Table::new(&["rule", "mode", "~on", "~actions", "~about"]);
    for rule in rulebook.rules() {
        let mode = Cell::new(rule.mode.as_str());
        let on: Vec<_> = rule.on.iter().map(|kind| kind.as_str()).collect();
        let actions: Vec<_> = rule.steps.iter().map(|step| step.action.word()).collect();
        table.row([
            Cell::new(&rule.name),
            match rule.mode {
                Mode::Live => mode.green(),
                Mode::Shadow => mode.yellow(),
                Mode::Off => mode.dim(),
            },
            Cell::new(on.join(",")),
            Cell::new(actions.join(",")),
            Cell::new(first_line(&rule.about)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_its_place_as_compilers_do() {
        let at = |at| Complaint { at, sentence: "unknown name `x`".to_owned() };
        let file = Path::new("deploy/rules.toml");
        assert_eq!(located(file, &at(Some((3, 9)))), "deploy/rules.toml:3:9: unknown name `x`");
        assert_eq!(located(file, &at(None)), "deploy/rules.toml: unknown name `x`");
    }

    #[test]
    fn every_rule_that_ships_is_in_the_table() {
        let rulebook = Rulebook::built_in();
        let lines = table(&rulebook).lines(None);
        assert_eq!(lines.len(), rulebook.rules().len() + 1);
        assert!(lines.iter().any(|line| line.contains("first-sync-done")));
    }
}
