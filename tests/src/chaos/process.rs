//! One process of a run: started again and again, all it says in one file.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

/// A program with its flags; it runs or it does not. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Not started yet.
    #[must_use]
    pub(super) fn new(program: PathBuf, args: Vec<String>, env: Vec<(String, String)>, log: &Path) -> Self {
        Self { program, args, env, log: log.to_owned(), child: None }
    }

    /// Starts it, unless it runs.
    ///
    /// # Panics
    /// When it can't be started.
    pub(super) fn start(&mut self) {
        if self.runs() {
            return;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log is opened");
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().expect("the program starts"));
    }

    /// Runs it to its end; whether that is a good one.
    ///
    /// # Panics
    /// When it can't be started.
    pub(super) async fn ends_well(&mut self) -> bool {
        self.start();
        match self.child.take() {
            Some(mut child) => child.wait().await.is_ok_and(|status| status.success()),
            None => false,
        }
    }

    /// Whether it runs, be it stopped.
    ///
    /// # Panics
    /// When the system can't tell.
    pub(super) fn runs(&mut self) -> bool {
        match &mut self.child {
            Some(child) => child.try_wait().expect("a child can be looked at").is_none(),
            None => false,
        }
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Panics
    /// When it can't be killed.
    pub(super) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("it is killed");
        }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it can't be waited for.
    pub(super) async fn stop(&mut self) {
        self.signal("TERM").await;
        if let Some(mut child) = self.child.take() {
            child.wait().await.expect("it ends");
        }
    }

    /// Sends a signal by name, to this process only.
    ///
    /// # Panics
    /// When `kill` can't be run.
    pub(super) async fn signal(&self, name: &str) {
        let Some(id) = self.child.as_ref().and_then(Child::id) else { return };
        let sent = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().await;
        sent.expect("kill runs");
    }
}
