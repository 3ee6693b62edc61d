//! Where things are, and how cargo is called.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

/// The programs that the demo and the tests start.
pub(crate) const PROGRAMS: [&str; 6] = ["-p", "ingest", "-p", "worker", "-p", "cli"];

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// cargo's, absolute.
    pub(crate) target: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        // Read when run, not when built: a target directory may be shared between checkouts.
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("crates/xtask"), PathBuf::from);
        let manifest = std::path::absolute(manifest).context("the current directory can't be read")?;
        let root = manifest
            .ancestors()
            .nth(2)
            .filter(|root| root.join("Cargo.lock").is_file())
            .context("this is not the workspace: call it as `cargo xtask`")?
            .to_path_buf();
        let target = target_dir(&root, env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).as_deref());
        Ok(Self { root, target })
    }

    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

fn target_dir(root: &Path, configured: Option<&Path>) -> PathBuf {
    match configured {
        Some(directory) if !directory.as_os_str().is_empty() => {
            std::path::absolute(directory).unwrap_or_else(|_| root.join(directory))
        }
        _ => root.join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_directory_is_the_configured_one_or_in_the_root() {
        let root = Path::new("/root-of-it");
        assert_eq!(target_dir(root, None), root.join("target"));
        assert_eq!(target_dir(root, Some(Path::new(""))), root.join("target"));
        assert_eq!(target_dir(root, Some(Path::new("/elsewhere"))), Path::new("/elsewhere"));
        assert!(target_dir(root, Some(Path::new("beside"))).is_absolute());
    }
}
