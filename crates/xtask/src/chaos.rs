//! `cargo xtask chaos`: Gluehook is killed, stopped and starved for as long as one likes, and what it promises is counted.

use std::ffi::OsString;

use anyhow::Result;

use crate::{servers, stage, workspace::Workspace};

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let workspace = Workspace::find()?;
    let nats_server = servers::nats_server(&workspace)?;
    let postgres = servers::postgres()?;
    // All programs and the tests in one go, as `cargo xtask test` builds them: nothing is compiled twice.
    stage::run("build", &mut workspace.cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    let programs = workspace.target.join("debug");
    let mut chaos = std::process::Command::new(programs.join("chaos"));
    chaos.arg("--keep").arg(workspace.target.join("chaos")).args(args);
    servers::tell(&mut chaos, &nats_server, Some(&postgres), &programs);
    stage::run("chaos", &mut chaos)?;
    Ok(())
}
