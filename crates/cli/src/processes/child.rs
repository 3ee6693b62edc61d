//! How a child comes to end with us, whatever ends us: what is killed stops nothing, and the next `gluehook up` would find the ports
//! taken. It begins as this program, says to the system what is to end it, and then becomes what it is to be.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

/// `gluehook child`, which is nobody's but ours.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id of the process that ends it
    #[arg(long)]
    parent: u32,

    /// What it becomes
    program: PathBuf,

    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Args {
    /// Comes back only when that fails, or when nobody is left for whom it would run.
    pub(crate) fn become_it(self) -> Result<ExitCode> {
        end_with_parent()?;
        // It may have ended before it was said that this is to end us.
        if std::os::unix::process::parent_id() != self.parent {
            return Ok(ExitCode::FAILURE);
        }
        let error = Command::new(&self.program).args(&self.args).exec();
        Err(error).with_context(|| format!("{} can't be started", self.program.display()))
    }
}

/// The command that starts `program`; its arguments are to follow. Where the system knows no such signal, it is started as it is.
pub(super) fn command(program: &Path) -> Result<Command> {
    if !cfg!(target_os = "linux") {
        return Ok(Command::new(program));
    }
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let mut command = Command::new(own);
    command.arg("child").arg("--parent").arg(std::process::id().to_string()).arg("--").arg(program);
    Ok(command)
}

/// Ended as by `kill -9`: nothing is lost by that, and nobody is left who would wait for more.
#[cfg(target_os = "linux")]
fn end_with_parent() -> Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).context("the system does not take what is to end it")
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent() -> Result<()> {
    Ok(())
}
