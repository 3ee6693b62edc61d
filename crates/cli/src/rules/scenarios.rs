//! `gluehook rules test`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use domain::config::utf8;
use domain::rulebook::Rulebook;
use domain::rulebook::Severity;
use domain::rulebook::scenario::{CaseResult, Scenario};
use serde::Serialize;

use super::{junit, located};
use crate::output::{self, bold, clean, clean_block, count, dim, green, red};
use crate::{Common, Misused, files};

/// Where scenarios are looked for.
const DEFAULT: &str = "deploy/scenarios";

/// What came of one file.
#[derive(Debug, Serialize)]
pub(super) struct Played {
    pub(super) file: PathBuf,
    pub(super) cases: Vec<Case>,
    /// Why the file could not be read, one sentence per line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) complaints: Vec<String>,
    /// Where the first of them is.
    #[serde(skip)]
    pub(super) at: Option<usize>,
}

impl Played {
    /// A file that can't be read counts as a case.
    pub(super) fn len(&self) -> usize {
        self.cases.len() + usize::from(!self.complaints.is_empty())
    }

    pub(super) fn failed(&self) -> usize {
        let failed = self.cases.iter().filter(|case| !case.passed).count();
        failed + usize::from(!self.complaints.is_empty())
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Case {
    pub(super) says: String,
    /// From 1.
    pub(super) line: usize,
    pub(super) passed: bool,
    pub(super) difference: Option<String>,
    pub(super) matched: Vec<String>,
    #[serde(skip)]
    pub(super) took: Duration,
}

/// The scenarios of a folder or a file, with the names of their files.
///
/// # Errors
/// When there are none, or one of them can't be read.
pub(super) fn load(path: &Path) -> Result<Vec<(String, Scenario)>, Misused> {
    let load = |file: PathBuf| {
        let text = read(&file)?;
        let scenario = Scenario::parse_file(&text).map_err(|complaints| {
            let said = complaints.iter().map(|complaint| located(&file, Severity::Error, complaint));
            Misused(said.collect::<Vec<_>>().join("\n"))
        })?;
        Ok((file.display().to_string(), scenario))
    };
    scenario_files(Some(path))?.into_iter().map(load).collect()
}

fn read(file: &Path) -> Result<String, Misused> {
    let bytes = std::fs::read(file)
        .map_err(|error| Misused(format!("the scenario {} can't be read: {error}", file.display())))?;
    utf8(bytes).map_err(|complaint| Misused(located(file, Severity::Error, &complaint)))
}

pub(super) fn run(common: &Common, path: Option<&Path>, report: Option<&Path>) -> Result<ExitCode> {
    let rulebook = files::load_rulebook(common.rules.as_deref())?;
    let found = scenario_files(path)?;
    let played: Vec<_> = found.iter().map(|file| play(&rulebook, file)).collect();
    let (passed, failed) = totals(&played);
    if let Some(report) = report {
        std::fs::write(report, junit::report(&played))
            .with_context(|| format!("the report {} can't be written", report.display()))?;
    }
    if common.json {
        output::print_json(&serde_json::json!({
            "rulebook": rulebook.version(), "passed": passed, "failed": failed, "files": played,
        }))?;
    } else {
        for file in &played {
            lines(file).iter().try_for_each(output::line)?;
        }
        let total = format!("{passed} passed, {failed} failed, in {}", count(played.len(), "file"));
        output::line(format!("\n{}", if failed == 0 { green(total) } else { red(total) }))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file that can't be read counts as one that failed.
fn totals(played: &[Played]) -> (usize, usize) {
    let failed: usize = played.iter().map(Played::failed).sum();
    (played.iter().map(Played::len).sum::<usize>() - failed, failed)
}

fn scenario_files(path: Option<&Path>) -> Result<Vec<PathBuf>, Misused> {
    let folder = path.unwrap_or(Path::new(DEFAULT));
    if folder.is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    collect(folder, &mut found).map_err(|(at, error)| {
        Misused(match path {
            Some(_) => format!("the scenarios {} can't be read: {error}", at.display()),
            None => format!("there is no folder {DEFAULT} here: name one with gluehook rules test DIR"),
        })
    })?;
    found.sort();
    if found.is_empty() {
        return Err(Misused(format!("there is no scenario (*.toml) in {}", folder.display())));
    }
    Ok(found)
}

/// The scenarios of a folder and of those in it. A link to a folder is not followed: it may lead back.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let of = |error| (folder.to_owned(), error);
    for entry in std::fs::read_dir(folder).map_err(of)? {
        let entry = entry.map_err(of)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(of)?);
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !hidden {
            collect(&path, found)?;
        } else if !kind.is_dir() && path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    Ok(())
}

/// One that can't be read fails, and the others are played all the same.
fn play(rulebook: &Rulebook, file: &Path) -> Played {
    let (cases, complaints, at) = match read(file).map(|text| Scenario::parse_file(&text)) {
        Ok(Ok(scenario)) => (timed(scenario.results(rulebook)), Vec::new(), None),
        Ok(Err(complaints)) => (
            Vec::new(),
            complaints.iter().map(|complaint| located(file, Severity::Error, complaint)).collect(),
            complaints.first().and_then(|complaint| complaint.at).map(|(line, _)| line),
        ),
        Err(Misused(why)) => (Vec::new(), vec![why], None),
    };
    Played { file: file.to_owned(), cases, complaints, at }
}

fn timed(results: impl Iterator<Item = CaseResult>) -> Vec<Case> {
    let mut begun = Instant::now();
    let case = |CaseResult { says, line, passed, difference, matched }| {
        let took = begun.elapsed();
        begun = Instant::now();
        Case { says, line, passed, difference, matched, took }
    };
    results.map(case).collect()
}

fn lines(played: &Played) -> Vec<String> {
    let mut lines = vec![bold(played.file.display())];
    lines.extend(played.complaints.iter().map(|complaint| format!("  {} {complaint}", red("✗"))));
    for case in &played.cases {
        let mark = if case.passed { green("✓") } else { red("✗") };
        let matched = if case.matched.is_empty() { "no rule".to_owned() } else { case.matched.join(", ") };
        lines.push(format!("  {mark} {} {}", clean(&case.says), dim(format!("({})", clean(&matched)))));
        if let Some(difference) = &case.difference {
            lines.push(clean_block(difference, "      "));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_scenarios_where_none_were_named_says_how_to_name_them() {
        // The tests run in the crate's folder, which has none.
        assert!(scenario_files(None).unwrap_err().0.contains("gluehook rules test DIR"));
        assert!(
            scenario_files(Some(Path::new("src"))).unwrap_err().0.contains("no scenario (*.toml) in src")
        );
    }

    #[test]
    fn scenarios_in_folders_within_are_found_too() {
        let folder = std::env::temp_dir().join(format!("gluehook-scenarios-{}", std::process::id()));
        let deep = folder.join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir_all(folder.join(".git")).unwrap();
        for file in ["x.toml", "a/b/y.toml", "a/notes.md", ".git/z.toml"] {
            std::fs::write(folder.join(file), "").unwrap();
        }
        let found = scenario_files(Some(&folder)).unwrap();
        assert_eq!(found, [deep.join("y.toml"), folder.join("x.toml")]);
        std::fs::remove_file(folder.join("x.toml")).unwrap();
        std::fs::remove_file(deep.join("y.toml")).unwrap();
        assert!(scenario_files(Some(&folder)).unwrap_err().0.contains("no scenario (*.toml)"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_fails_the_run() {
        let broken = Played {
            file: "a.toml".into(),
            cases: vec![],
            complaints: vec!["a.toml:1:1: no".into()],
            at: Some(1),
        };
        let case = |passed| Case {
            says: "x".into(),
            line: 1,
            passed,
            difference: None,
            matched: vec![],
            took: Duration::ZERO,
        };
        let fine = Played {
            file: "b.toml".into(),
            cases: vec![case(true), case(false)],
            complaints: vec![],
            at: None,
        };
        assert_eq!(totals(&[broken, fine]), (1, 2));
    }
}
