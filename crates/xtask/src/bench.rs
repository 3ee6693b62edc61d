//! `cargo xtask bench`: the benchmarks, against optimised programs and a real server.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    servers, stage,
    workspace::{PROGRAMS, Workspace},
};

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let workspace = Workspace::find()?;
    let nats_server = servers::nats_server(&workspace)?;
    stage::run("build", workspace.cargo(&["build", "--release"]).args(PROGRAMS))?;
    let mut bench = workspace.cargo(&["bench", "-p", "tests"]);
    bench.args(args);
    servers::tell(&mut bench, &nats_server, None, &workspace.target.join("release"));
    stage::run("bench", &mut bench)?;
    Ok(())
}
