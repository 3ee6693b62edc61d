//! `cargo xtask test`: from nothing to all tests run, which is what continuous integration does too.

use std::{
    ffi::OsString,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::Result;

use crate::{servers, stage, workspace::Workspace};

pub(crate) fn run(no_lint: bool, args: &[OsString]) -> Result<()> {
    let started = Instant::now();
    let workspace = Workspace::find()?;
    // First what takes no compiling, so that a machine that lacks something says so at once.
    let nats_server = servers::nats_server(&workspace)?;
    let postgres = servers::postgres()?;
    if !no_lint {
        stage::run("format", &mut workspace.cargo(&["fmt", "--all", "--check"]))?;
        stage::run(
            "lint",
            &mut workspace.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        )?;
    }
    // Programs and tests in one go: built apart, cargo would choose other features of some libraries for each and
    // compile them twice.
    stage::run("build", &mut workspace.cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    let mut tests = if is_there(&mut workspace.cargo(&["nextest", "--version"])) {
        workspace.cargo(&["nextest", "run", "--workspace"])
    } else {
        workspace.cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"])
    };
    tests.args(args);
    servers::tell(&mut tests, &nats_server, Some(&postgres), &workspace.target.join("debug"));
    stage::run("tests", &mut tests)?;
    stage::say(&format!("all done in {}", stage::seconds(started.elapsed())));
    Ok(())
}

fn is_there(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
