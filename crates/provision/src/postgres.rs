//! Postgres: the programs `initdb`, `postgres` and `pg_ctl`, from where the platform keeps them.

mod start;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

pub use self::start::{PostgresServer, Tls};
use crate::find;

const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// Directories with one directory per version, whose name begins so: Debian's, Homebrew's on both kinds of Mac.
const PER_VERSION: [(&str, &str); 3] =
    [("/usr/lib/postgresql", ""), ("/opt/homebrew/opt", "postgresql"), ("/usr/local/opt", "postgresql")];

/// The directory that holds Postgres' programs: what `pg_config` says, else `PATH`, else the usual places, the
/// newest version first. As root on a system with apt it installs the package, and says so through `progress`.
///
/// # Errors
/// One sentence that says what to install, or why apt could not.
pub fn postgres(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    if let Some(found) = look() {
        return Ok(found);
    }
    let path = std::env::var_os("PATH");
    if find::on_path(path.as_deref(), "apt-get").is_empty() {
        bail!(
            "Postgres is not on this machine: install its server package, so that `initdb` and `postgres` are on PATH"
        );
    }
    if !is_root() {
        bail!("Postgres is not on this machine: run `sudo apt-get install postgresql`, then this again");
    }
    install(progress)?;
    look().context("apt-get installed postgresql, but `initdb`, `postgres` and `pg_ctl` are not where Debian keeps them: put them on PATH")
}

fn look() -> Option<PathBuf> {
    let path = std::env::var_os("PATH");
    let on_path = find::on_path(path.as_deref(), "postgres")
        .into_iter()
        .filter_map(|program| program.parent().map(Path::to_path_buf));
    let usual = PER_VERSION.iter().flat_map(|(parent, prefix)| newest_first(Path::new(parent), prefix));
    bin_dir_of_pg_config()
        .into_iter()
        .chain(on_path)
        .chain(usual)
        .chain([PathBuf::from("/usr/local/bin")])
        .find(|directory| is_complete(directory))
}

/// `pg_config` comes with the client's headers too, so what it names need not be there.
fn bin_dir_of_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    let directory = directory.trim();
    (output.status.success() && !directory.is_empty()).then(|| PathBuf::from(directory))
}

fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@').parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

fn is_complete(directory: &Path) -> bool {
    PROGRAMS.iter().all(|program| find::is_executable(&directory.join(program)))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Tries with the package lists that are there; a fresh image has none, an old one's are stale.
fn install(progress: &mut dyn FnMut(&str)) -> Result<()> {
    const INSTALL: [&str; 4] = ["install", "--yes", "--no-install-recommends", "postgresql"];
    progress("installing Postgres: apt-get install --yes --no-install-recommends postgresql");
    if apt_get(&INSTALL).is_ok() {
        return Ok(());
    }
    progress("the package lists are missing or old: apt-get update");
    apt_get(&["update"])?;
    apt_get(&INSTALL)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        // A fresh machine may be at its first automatic update, which holds the lock for a while.
        .args(["--quiet", "-o", "DPkg::Lock::Timeout=120"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .context("apt-get can't be run: install Postgres' server package by hand")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let why = stderr.lines().rev().find(|line| line.starts_with("E:")).unwrap_or("it gave no reason");
        bail!(
            "`apt-get {}` failed ({why}): check the network and apt's sources, or install Postgres' server package by hand",
            arguments.join(" ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_version_comes_first_by_number() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["postgresql@9", "postgresql@16", "postgresql@15", "postgresql", "redis"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let found = newest_first(parent.path(), "postgresql");
        let expected = ["postgresql@16", "postgresql@15", "postgresql@9"];
        assert_eq!(found, expected.map(|name| parent.path().join(name).join("bin")));
    }

    #[test]
    fn directory_without_the_server_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("pg_ctl"), "").unwrap();
        assert!(!is_complete(directory.path()));
    }
}
