//! Starts the compiled programs as real processes and reads what they say.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Longest wait for anything a program should do by itself.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
}

/// Path of a program that was built beside the tests.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the test command says where it built the programs")]
    let dir = std::env::var("GLUEHOOK_TEST_BIN_DIR").map(PathBuf::from).unwrap_or_else(|_| {
        let test = std::env::current_exe().expect("a test knows its own path");
        test.ancestors().nth(2).expect("target/debug/deps/it").to_owned()
    });
    let path = dir.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build -p ingest -p worker -p cli`", path.display());
    path
}

impl Program {
    /// Starts a program with a clean environment but for `env`.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(name: &str, args: &[String], env: &[(String, String)]) -> Self {
        Self::spawn(Command::new(binary(name)), name, args, env)
    }

    /// As [`Program::start`], by a shell that runs `script` first and then becomes the program.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start_by_shell(script: &str, name: &str, args: &[String], env: &[(String, String)]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{script}; exec \"$0\" \"$@\"")).arg(binary(name));
        Self::spawn(command, name, args, env)
    }

    fn spawn(mut command: Command, name: &str, args: &[String], env: &[(String, String)]) -> Self {
        command.args(args).env_clear().envs(env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (tell, lines) = watch::channel(0);
        let tell = Arc::new(tell);
        tokio::spawn(read(child.stderr.take().expect("piped"), said.clone(), tell.clone()));
        tokio::spawn(read(child.stdout.take().expect("piped"), said.clone(), tell));
        Self { name: name.to_owned(), child, said, lines }
    }

    /// Waits for a line that contains `part`, from the first line on.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn line(&self, part: &str) -> String {
        let mut lines = self.lines.clone();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(line) = self.lines().into_iter().find(|line| line.contains(part)) {
                    return Some(line);
                }
                if lines.changed().await.is_err() {
                    return self.lines().into_iter().find(|line| line.contains(part));
                }
            }
        });
        match found.await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{} ended without saying {part:?}:\n{}", self.name, self.log()),
            Err(_) => panic!("{} did not say {part:?}:\n{}", self.name, self.log()),
        }
    }

    /// Process id.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// All lines so far.
    ///
    /// # Panics
    /// Never: the lock is not poisoned.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.said.lock().expect("not poisoned").clone()
    }

    #[must_use]
    pub fn log(&self) -> String {
        self.lines().join("\n")
    }

    /// Asks to stop, as an orchestrator does, and waits.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM").await;
        self.ended().await
    }

    /// Sends a signal by name, to this process only.
    ///
    /// # Panics
    /// When `kill` can't be run.
    pub async fn signal(&self, name: &str) {
        if let Some(pid) = self.child.id() {
            let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await;
            assert!(sent.expect("kill runs").success(), "{} could not be signalled", self.name);
        }
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Panics
    /// When it can't be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&mut self) -> ExitStatus {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("{} did not end:\n{}", self.name, self.log()),
        }
    }
}

async fn read(from: impl AsyncRead + Unpin, said: Arc<Mutex<Vec<String>>>, tell: Arc<watch::Sender<usize>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        said.lock().expect("not poisoned").push(line);
        tell.send_modify(|count| *count += 1);
    }
}

/// Runs a program to its end: exit code, stdout, stderr.
///
/// # Panics
/// When it can't be run or does not end.
pub async fn run(name: &str, args: &[String], env: &[(String, String)]) -> (i32, String, String) {
    let mut command = Command::new(binary(name));
    command.args(args).env_clear().envs(env.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Ports of this machine that nobody uses right now, and that the system hands out to nobody who asks for any: until a program
/// takes one, no other test gets it.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn free_ports(count: usize) -> Vec<u16> {
    let mut free = Vec::new();
    for _ in 0..1_000 {
        if free.len() < count
            && let Ok(listener) = TcpListener::bind(("127.0.0.1", fastrand::u16(20_000..32_000)))
        {
            free.push(listener);
        }
    }
    assert_eq!(free.len(), count, "so many ports are free");
    free.iter().map(|listener| listener.local_addr().expect("it has an address").port()).collect()
}
