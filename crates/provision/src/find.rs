//! Looking for programs.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Every executable file called `name` in the directories of a `PATH`, in its order.
pub(crate) fn on_path(path: Option<&OsStr>, name: &str) -> Vec<PathBuf> {
    let directories = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
    directories.into_iter().map(|directory| directory.join(name)).filter(|file| is_executable(file)).collect()
}

pub(crate) fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
