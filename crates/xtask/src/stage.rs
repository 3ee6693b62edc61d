//! Running one command after another, each with its name, its time and, if it fails, its command line.

use std::{
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Runs the command with our own terminal and tells how long it took.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<Duration> {
    let line = command_line(command);
    say(&format!("{name}: {line}"));
    let started = Instant::now();
    let status = command.status().with_context(|| format!("stage `{name}` can't run `{line}`"))?;
    let taken = started.elapsed();
    if !status.success() {
        bail!("stage `{name}` failed after {} ({status}); its command was `{line}`", seconds(taken));
    }
    say(&format!("{name}: done in {}", seconds(taken)));
    Ok(taken)
}

/// Does the work, naming the stage if it fails.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let done = work().with_context(|| format!("stage `{name}` failed"))?;
    say(&format!("{name}: done in {}", seconds(started.elapsed())));
    Ok(done)
}

pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// `0.8 s`, `41.3 s`, `2 min 5 s`.
pub(crate) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}

/// As a person would type it; cargo by its name, however it was called.
fn command_line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        if argument.is_empty() || argument.contains(|c: char| c.is_whitespace() || "'\"$&|;<>()*".contains(c))
        {
            let _ = write!(line, " '{}'", argument.replace('\'', r"'\''"));
        } else {
            let _ = write!(line, " {argument}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_the_stage_and_its_command() {
        let error = run("lint", Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert!(
            error.contains("`lint`") && error.contains("`sh -c 'exit 3'`") && error.contains('3'),
            "{error}"
        );
    }

    #[test]
    fn program_that_is_missing_is_named() {
        let error = run("lint", &mut Command::new("/nonexistent/tool")).unwrap_err().to_string();
        assert!(error.contains("`lint`") && error.contains("`tool`"), "{error}");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(seconds(Duration::from_millis(840)), "0.8 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 5 s");
    }
}
