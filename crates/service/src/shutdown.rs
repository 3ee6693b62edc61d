//! Stopping in good order: SIGTERM or SIGINT asks, a second one insists.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was told twice to stop.
const TOLD_TWICE: i32 = 130;

/// Says when the process is to stop. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::trigger`] begins: for tests, and for a process inside another.
    pub fn manual() -> Self {
        Self::default()
    }

    /// Begins to listen for SIGTERM and SIGINT. The first cancels [`Shutdown::token`], the second ends the
    /// process at once with code 130.
    ///
    /// # Errors
    /// The operating system refuses a signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::manual();
        let begun = shutdown.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if begun.token.is_cancelled() {
                    tracing::warn!(signal = name, "told again to stop: stopping at once");
                    std::process::exit(TOLD_TWICE);
                }
                tracing::info!(signal = name, "stopping; work in hand is finished first");
                begun.trigger();
            }
        });
        Ok(shutdown)
    }

    /// Cancelled when the process is to stop. Pass it down.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Begins the shutdown, as the first signal would.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Waits until the shutdown begins.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn what_is_triggered_reaches_every_clone() {
        let shutdown = Shutdown::manual();
        let token = shutdown.clone().token();
        assert!(!token.is_cancelled());
        shutdown.trigger();
        shutdown.begun().await;
        assert!(token.is_cancelled());
    }

    const CHILD: &str = "SHUTDOWN_TEST_CHILD";

    /// Runs itself as a child, because a second signal ends the process.
    #[test]
    fn the_first_signal_asks_and_the_second_ends_with_130() {
        if std::env::var_os(CHILD).is_some() {
            return child();
        }
        for (first, second) in [("-TERM", "-INT"), ("-INT", "-TERM")] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg("shutdown::tests::the_first_signal_asks_and_the_second_ends_with_130")
                .env(CHILD, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            let kill = |signal: &str| {
                let pid = child.id().to_string();
                assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            };
            assert!(said.any(|line| line.contains("listening")));
            kill(first);
            assert!(said.any(|line| line.contains("asked")));
            kill(second);
            assert_eq!(child.wait().unwrap().code(), Some(TOLD_TWICE));
        }
    }

    fn child() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.unwrap().block_on(async {
            let shutdown = Shutdown::on_signals().unwrap();
            println!("\nlistening");
            shutdown.begun().await;
            println!("\nasked");
            std::future::pending::<()>().await;
        });
    }
}
