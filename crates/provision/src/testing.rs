//! What several tests need.

use std::{path::Path, process::Command};

/// Writes an executable script. A child process does it: were the file ever open for writing in this one, a fork of
/// another test's thread could hold it open just when it is to be run, and running it would fail as "busy".
pub(crate) fn write_program(file: &Path, script: &str) {
    let status = Command::new("sh")
        .args(["-c", r#"printf %s "$2" > "$1" && chmod 755 "$1""#, "sh"])
        .arg(file)
        .arg(script)
        .status()
        .unwrap();
    assert!(status.success());
}
