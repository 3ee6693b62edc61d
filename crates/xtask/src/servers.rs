//! The servers that the demo and the tests need.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    stage::{say, step},
    workspace::Workspace,
};

/// Kept in the target directory, so that `cargo clean` removes it.
pub(crate) fn nats_server(workspace: &Workspace) -> Result<PathBuf> {
    let cache = workspace.target.join("servers");
    step("nats-server", || provision::nats_server(None, &cache, &mut |line| say(line)))
}

pub(crate) fn postgres() -> Result<PathBuf> {
    step("postgres", || provision::postgres(&mut |line| say(line)))
}

/// What the tests and benchmarks read to find the servers, and the programs of the product.
pub(crate) fn tell(command: &mut Command, nats_server: &Path, postgres: Option<&Path>, programs: &Path) {
    command.env("GLUEHOOK_TEST_NATS_SERVER", nats_server).env("GLUEHOOK_TEST_BIN_DIR", programs);
    if let Some(directory) = postgres {
        command.env("GLUEHOOK_TEST_POSTGRES_BIN", directory);
    }
}
