//! A real nats-server of one's own.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Longest wait for the server to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A nats-server on a free port with a store of its own; killed when dropped.
#[derive(Debug)]
pub struct NatsServer {
    /// `nats://127.0.0.1:<port>`; stays the same over restarts.
    pub url: String,
    /// `http://127.0.0.1:<port>` of its monitoring port, where its configuration has one ([`NatsServer::MONITORED`]).
    pub monitor: Option<String>,
    port: u16,
    config: PathBuf,
    process: Option<Child>,
    env: Vec<(String, String)>,
    // Removed after the process is gone.
    home: TempDir,
}

impl NatsServer {
    /// A line of the configuration: there is a monitoring port, which the server chooses.
    pub const MONITORED: &str = "http: \"127.0.0.1:-1\"";

    /// Starts a server with `JetStream`.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts a server with `JetStream` and more lines in its configuration file.
    pub async fn start_with(more: &str) -> Self {
        Self::start_with_env(more, Vec::new()).await
    }

    /// As [`NatsServer::start_with`]; `env` holds what the configuration calls `$NAME`.
    pub async fn start_with_env(more: &str, env: Vec<(String, String)>) -> Self {
        let config = |home: &Path| format!("jetstream {{ store_dir: {:?} }}\n{more}\n", home.join("store"));
        Self::start_in(config, env).await
    }

    /// Changes what [`NatsServer::start_with`] was told, while it runs.
    pub async fn reconfigure(&self, change: impl FnOnce(&str) -> String) {
        let config = fs::read_to_string(&self.config).expect("it was written");
        fs::write(&self.config, change(&config)).expect("the configuration is written");
        let pid = self.process.as_ref().and_then(Child::id).expect("it runs").to_string();
        let told = Command::new("kill").args(["-HUP", &pid]).status().await.expect("kill runs");
        assert!(told.success(), "the server could not be told");
    }

    /// Starts a server with `JetStream` that has every message on its disk before it acknowledges it.
    pub async fn start_syncing() -> Self {
        let config = |home: &Path| {
            let store = home.join("store");
            format!("jetstream {{ store_dir: {store:?}, sync_interval: always }}\n{}\n", Self::MONITORED)
        };
        Self::start_in(config, Vec::new()).await
    }

    /// Starts a server with this configuration, made from the directory in which it is.
    pub async fn start_of(config: impl FnOnce(&Path) -> String) -> Self {
        Self::start_in(config, Vec::new()).await
    }

    /// Starts a server that has only core NATS.
    pub async fn start_without_jetstream() -> Self {
        Self::start_in(|_| String::new(), Vec::new()).await
    }

    async fn start_in(config: impl FnOnce(&Path) -> String, env: Vec<(String, String)>) -> Self {
        let home = tempfile::Builder::new().prefix("gluehook-nats-").tempdir().expect("a directory is made");
        let path = home.path().join("nats.conf");
        fs::write(&path, config(home.path())).expect("the configuration is written");
        let mut server =
            Self { url: String::new(), monitor: None, port: 0, config: path, process: None, env, home };
        server.start_again().await;
        server
    }

    /// Kills the server as a crash would; what it wrote stays.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.expect("the server is killed");
        }
    }

    /// Starts the server again after [`NatsServer::kill`], at the same address with the same store.
    pub async fn start_again(&mut self) {
        let output = self.home.path().join("output");
        if let Err(error) = self.spawn(&output).await {
            let said = fs::read_to_string(&output).unwrap_or_default();
            panic!("{error:#}\nnats-server said:\n{said}");
        }
    }

    /// Sends a signal by name, to this server only.
    pub async fn signal(&self, name: &str) {
        let id = self.process.as_ref().and_then(Child::id).expect("the server runs");
        let sent = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().await;
        assert!(sent.expect("kill runs").success(), "nats-server could not be signalled");
    }

    /// Changes the lines that [`NatsServer::start_with`] took, for the next start.
    pub fn configure(&self, more: &str) {
        let text = format!("jetstream {{ store_dir: {:?} }}\n{more}\n", self.home.path().join("store"));
        fs::write(&self.config, text).expect("the configuration is written");
    }

    /// What it has said since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }

    /// A copy of everything that it has written. The server should not run.
    pub fn store(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a directory is made");
        copy_tree(&self.home.path().join("store"), copy.path());
        copy
    }

    /// Makes its store what it was when it was copied. The server must not run.
    pub fn restore(&self, copy: &TempDir) {
        assert!(self.process.is_none(), "the server runs");
        let store = self.home.path().join("store");
        fs::remove_dir_all(&store).expect("the store is removed");
        copy_tree(copy.path(), &store);
    }

    /// Kills the server and starts it again.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    async fn spawn(&mut self, output: &Path) -> Result<()> {
        assert!(self.process.is_none(), "the server runs already");
        let program = program()?;
        // -1 lets the server choose.
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let out = fs::File::create(output)?;
        let mut process = Command::new(&program)
            .args(["-a", "127.0.0.1", "-p", &port, "-c"])
            .arg(&self.config)
            .arg("--ports_file_dir")
            .arg(self.home.path())
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        let file = {
            let name = program.file_name().context("the program has a name")?.to_string_lossy();
            let pid = process.id().context("the server ended at once")?;
            self.home.path().join(format!("{name}_{pid}.ports"))
        };
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = process.try_wait()? {
                bail!("nats-server ended at once: {status}");
            }
            let told = fs::read_to_string(&file).unwrap_or_default();
            if let Some(port) = port_in(&told)
                && answers(port).await
            {
                self.monitor = monitor_in(&told);
                self.port = port;
                self.url = format!("nats://127.0.0.1:{port}");
                self.process = Some(process);
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("nats-server was not ready within {READY_WITHIN:?}");
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory is made");
    for entry in fs::read_dir(from).expect("a directory is read") {
        let entry = entry.expect("an entry is read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it has a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file is copied");
        }
    }
}

/// Where nats-server is: what the caller of the tests found, else found or fetched here.
///
/// # Errors
/// It can be neither found nor fetched.
#[expect(clippy::disallowed_methods, reason = "tests have no flags")]
pub fn program() -> Result<PathBuf> {
    let given = std::env::var("GLUEHOOK_TEST_NATS_SERVER").ok().map(PathBuf::from);
    if let Some(given) = given {
        return Ok(given);
    }
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers");
    provision::nats_server(None, &cache, &mut |line| println!("{line}"))
}

/// `{"nats":["nats://127.0.0.1:35505"], …}`
fn port_in(text: &str) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_str(text).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

/// `{"monitoring":["http://127.0.0.1:35506"], …}`
fn monitor_in(text: &str) -> Option<String> {
    let ports: serde_json::Value = serde_json::from_str(text).ok()?;
    ports["monitoring"][0].as_str().map(str::to_owned)
}

/// The server greets with its INFO.
async fn answers(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return false };
    let mut line = String::new();
    matches!(BufReader::new(stream).read_line(&mut line).await, Ok(read) if read > 0 && line.starts_with("INFO"))
}
