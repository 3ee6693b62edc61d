//! `gluehook rules check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use domain::config::Complaint;
use domain::rulebook::scenario::{self, Scenario};
use domain::rulebook::{Finding, Mode, Rehearsal, Rule, Rulebook, Severity};
use serde::Serialize;

use super::{located, scenarios};
use crate::output::{self, Cell, Table, clean, count, first_line};
use crate::{Common, files};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The rulebook; that of --rules, else the one that ships with Gluehook, unless given
    file: Option<PathBuf>,

    /// Fail on warnings, too
    #[arg(long)]
    strict: bool,

    /// Try the rules on these scenarios, too: a folder, or one file
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
}

#[derive(Serialize)]
struct Checked<'a> {
    file: Option<&'a Path>,
    version: Option<&'a str>,
    sound: bool,
    complaints: Vec<Said<'a>>,
    /// Rules that match in no scenario.
    untried: Vec<&'a str>,
    rules: &'a [Rule],
}

#[derive(Serialize)]
struct Said<'a> {
    severity: Severity,
    line: Option<usize>,
    column: Option<usize>,
    sentence: &'a str,
}

/// What was found in a rulebook.
#[derive(Debug)]
struct Found {
    rulebook: Option<Rulebook>,
    findings: Vec<Finding>,
    /// Rules that match in no scenario.
    untried: Vec<String>,
}

impl Found {
    fn number(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    fn sound(&self, strict: bool) -> bool {
        self.number(Severity::Error) == 0 && !(strict && self.number(Severity::Warning) > 0)
    }
}

pub(super) fn run(common: &Common, args: &Args) -> Result<ExitCode> {
    let file = args.file.as_deref().or(common.rules.as_deref());
    let text = file.map(files::read_rulebook).transpose()?;
    let mut played = scenario::shipped();
    if let Some(path) = &args.scenarios {
        played.extend(scenarios::load(path)?);
    }
    let found = find(text.as_deref(), &played);
    let sound = found.sound(args.strict);
    if common.json {
        let rulebook = found.rulebook.as_ref();
        output::print_json(&Checked {
            file,
            version: rulebook.map(Rulebook::version),
            sound,
            complaints: found.findings.iter().map(said).collect(),
            untried: found.untried.iter().map(String::as_str).collect(),
            rules: rulebook.map(Rulebook::rules).unwrap_or_default(),
        })?;
    } else {
        tell(&found, file, sound)?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `text` none: the built-in rulebook.
fn find(text: Option<&str>, scenarios: &[(String, Scenario)]) -> Found {
    // As the worker has it, which takes an emptied file for a mistake.
    if text.is_some_and(|text| text.trim().is_empty()) {
        let complaint = Complaint::general("it is empty; a rulebook without rules says so in a comment");
        let findings = vec![Finding { severity: Severity::Error, complaint }];
        return Found { rulebook: None, findings, untried: Vec::new() };
    }
    let parsed = text.map_or_else(|| Ok(Rulebook::built_in()), Rulebook::parse);
    let rulebook = match parsed {
        Ok(rulebook) => rulebook,
        Err(complaints) => {
            let error = |complaint| Finding { severity: Severity::Error, complaint };
            let findings = complaints.into_iter().map(error).collect();
            return Found { rulebook: None, findings, untried: Vec::new() };
        }
    };
    let Rehearsal { findings, tried } = rulebook.review(scenarios);
    let untried = rulebook.rules().iter().filter(|rule| rule.mode != Mode::Off).map(|rule| &rule.name);
    let untried = untried.filter(|name| !tried.contains(*name)).cloned().collect();
    Found { rulebook: Some(rulebook), findings, untried }
}

fn tell(found: &Found, file: Option<&Path>, sound: bool) -> std::io::Result<()> {
    let name = file.unwrap_or(Path::new("the built-in rules.toml"));
    if let Some(rulebook) = &found.rulebook {
        table(rulebook).print()?;
        output::line("")?;
    }
    for finding in &found.findings {
        output::line(located(name, finding.severity, &finding.complaint))?;
    }
    if !found.untried.is_empty() {
        let names: Vec<_> = found.untried.iter().map(|name| clean(name)).collect();
        output::line(output::dim(format!(
            "not tried, because no scenario makes them match (--scenarios DIR names more): {}",
            names.join(", ")
        )))?;
    }
    let numbers = [(Severity::Error, "error"), (Severity::Warning, "warning")]
        .map(|(severity, word)| (found.number(severity), word))
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| count(number, word))
        .collect::<Vec<_>>()
        .join(", ");
    let shown = clean(&name.display().to_string()).into_owned();
    match &found.rulebook {
        Some(rulebook) if sound => {
            let rules = count(rulebook.rules().len(), "rule");
            let but = if numbers.is_empty() { String::new() } else { format!("; {numbers}") };
            output::line(format!("{shown} is sound: {rules}, version {}{but}", rulebook.version()))
        }
        _ => output::line(format!("{shown} is not sound: {numbers}")),
    }
}

fn said(finding: &Finding) -> Said<'_> {
    let Complaint { at, sentence } = &finding.complaint;
    let (line, column) = at.unzip();
    Said { severity: finding.severity, line, column, sentence }
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
    fn every_rule_that_ships_is_in_the_table() {
        let rulebook = Rulebook::built_in();
        let lines = table(&rulebook).lines(None);
        assert_eq!(lines.len(), rulebook.rules().len() + 1);
        assert!(lines.iter().any(|line| line.contains("first-sync-done")));
    }

    #[test]
    fn warnings_fail_only_when_they_are_meant_to() {
        let text = "[[rule]]\nname = \"r\"\nwhen = [\"event.status == 'JOB_COMPLETE'\"]\n[[rule.do]]\naction = \"slack\"\ntext = \"x\"\n";
        let found = find(Some(text), &scenario::shipped());
        assert_eq!(
            (found.number(Severity::Warning), found.untried.as_slice()),
            (1, ["r".to_owned()].as_slice())
        );
        assert!(found.sound(false) && !found.sound(true));
        let found = find(Some(&text.replace("COMPLETE'", "COMPLETED' and event.failed")), &[]);
        assert!(!found.sound(false), "{found:?}");
        assert!(find(None, &scenario::shipped()).sound(true));
    }

    #[test]
    fn an_empty_file_is_a_mistake_and_one_with_a_comment_is_not() {
        assert!(!find(Some(" \n"), &[]).sound(false));
        assert!(find(Some("# no rules\n"), &[]).sound(true));
    }
}
