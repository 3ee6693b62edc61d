//! `cargo xtask demo`: from nothing to the demo.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    servers, stage,
    workspace::{PROGRAMS, Workspace},
};

/// Returns only if something failed: the demo takes the place of this process, so that its exit code and its
/// answer to Ctrl-C are its own.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let workspace = Workspace::find()?;
    let nats_server = servers::nats_server(&workspace)?;
    stage::run("build", workspace.cargo(&["build"]).args(PROGRAMS))?;
    let gluehook = workspace.target.join("debug").join("gluehook");
    let error = Command::new(&gluehook).args(["demo", "--nats-server"]).arg(nats_server).args(args).exec();
    Err(error).with_context(|| format!("{} can't be run", gluehook.display()))
}
