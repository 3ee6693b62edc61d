//! `cargo xtask fuzz`: each target of tests/fuzz runs for a while on what the fuzzer makes up, beginning with the committed
//! corpus. What is found along the way is kept in the target directory, and what breaks a target beside it.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    stage::{self, say},
    workspace::Workspace,
};

/// The tool that builds with coverage and runs; kept in the target directory.
const CARGO_FUZZ: &str = "0.13.2";

/// How a target fared.
struct Figures {
    target: String,
    executions: u64,
    /// Edges of the program that were reached.
    coverage: u64,
}

pub(crate) fn run(seconds: u64, wanted: &[OsString]) -> Result<()> {
    let workspace = Workspace::find()?;
    let tool = tool(&workspace)?;
    let mut all = Vec::new();
    for entry in fs::read_dir(workspace.root.join("tests/fuzz/src/bin")).context("tests/fuzz is missing")? {
        let path = entry?.path();
        all.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    all.sort();
    for name in wanted {
        if !all.iter().any(|target| name == target.as_str()) {
            bail!("there is no target {}: there are {}", name.to_string_lossy(), all.join(", "));
        }
    }
    all.retain(|target| wanted.is_empty() || wanted.iter().any(|name| name == target.as_str()));
    stage::run("build", fuzz(&workspace, &tool, "build").arg("--sanitizer").arg("none"))?;
    let mut figures = Vec::new();
    for target in all {
        figures.push(one(&workspace, &tool, target, seconds)?);
    }
    println!("{:12} {:>12} {:>10}", "target", "executions", "coverage");
    for Figures { target, executions, coverage } in figures {
        println!("{target:12} {executions:>12} {coverage:>10}");
    }
    Ok(())
}

fn tool(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.target.join("tools");
    let tool = root.join("bin/cargo-fuzz");
    if !tool.is_file() {
        let mut install = workspace.cargo(&["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]);
        install.arg("--root").arg(&root).arg("--target-dir").arg(root.join("build"));
        stage::run("cargo-fuzz", &mut install)?;
    }
    Ok(tool)
}

/// The tool's command, on our directory. Coverage is a thing of the nightly compiler by name only: the stable one has it.
fn fuzz(workspace: &Workspace, tool: &PathBuf, command: &str) -> Command {
    let mut fuzz = Command::new(tool);
    fuzz.arg("fuzz").arg(command).arg("--fuzz-dir").arg(workspace.root.join("tests/fuzz"));
    fuzz.arg("--target-dir").arg(workspace.target.join("fuzz"));
    fuzz.current_dir(&workspace.root).env("RUSTC_BOOTSTRAP", "1");
    fuzz
}

fn one(workspace: &Workspace, tool: &PathBuf, target: String, seconds: u64) -> Result<Figures> {
    let found = workspace.target.join("fuzz/corpus").join(&target);
    let broken = workspace.target.join("fuzz/artifacts").join(&target);
    for directory in [&found, &broken] {
        fs::create_dir_all(directory).with_context(|| format!("{} can't be made", directory.display()))?;
    }
    let mut command = fuzz(workspace, tool, "run");
    command.args(["--sanitizer", "none"]).arg(&target).arg(found);
    command.arg(workspace.root.join("tests/fuzz/corpus").join(&target)).arg("--");
    command.arg(format!("-max_total_time={seconds}")).args(["-print_final_stats=1", "-timeout=20"]);
    command.arg(format!("-artifact_prefix={}/", broken.display()));
    say(&format!("{target}: {seconds} s"));
    let mut child = command.stderr(Stdio::piped()).spawn().context("cargo-fuzz can't be run")?;
    let stderr = child.stderr.take().context("its output can't be read")?;
    let mut figures = Figures { target, executions: 0, coverage: 0 };
    let mut said = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            figures.executions = number.trim().parse().unwrap_or_default();
        }
        if let Some(number) = line.split("cov: ").nth(1).and_then(|rest| rest.split(' ').next()) {
            figures.coverage = number.parse().unwrap_or(figures.coverage);
        }
        said.push(line);
    }
    if !child.wait()?.success() {
        let last = said[said.len().saturating_sub(40)..].join("\n");
        bail!("{last}\ntarget `{}` is broken; the input is in {}", figures.target, broken.display());
    }
    Ok(figures)
}
