//! Child processes: started with their lines shown under a coloured name or kept in a file, watched, and stopped in
//! reverse order. Only what was started here is ever stopped, by its own id.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result, bail};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::output;

pub(crate) mod child;
mod nats;

pub(crate) use nats::{NatsServer, find_nats_server};

/// Lines of a process that are told when it ends unasked.
const LAST_LINES: usize = 8;
/// Width of the longest name, `ingest` and `worker`.
const NAME_WIDTH: usize = 6;
/// Between two looks at something that is not ready yet.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Added to our own environment. What may hold a secret goes here, where `ps` does not show it.
    pub(crate) env: Vec<(String, OsString)>,
    /// Start without the `GLUEHOOK_…` variables and proxies that we have ourselves.
    pub(crate) clean: bool,
}

/// Where the lines of the children go.
#[derive(Debug, Clone)]
pub(crate) enum Lines {
    /// To our stdout, each after the name of its process.
    Shown,
    /// Each process has a file `<name>.log` in this directory.
    Kept(PathBuf),
}

/// A process that ended although nobody asked it to.
#[derive(Debug)]
pub(crate) struct Died {
    name: &'static str,
    status: io::Result<ExitStatus>,
    last: Vec<String>,
}

impl std::fmt::Display for Died {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.status {
            Ok(status) => write!(f, "{} ended by itself ({status})", self.name)?,
            Err(error) => write!(f, "{} can't be watched any more ({error})", self.name)?,
        }
        if self.last.is_empty() {
            return f.write_str(" without a word");
        }
        write!(f, "; its last lines were:")?;
        self.last.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Died {}

#[derive(Debug)]
struct Process {
    name: &'static str,
    child: Child,
    last: Arc<Mutex<VecDeque<String>>>,
    readers: JoinSet<()>,
}

/// The children, in the order they were started.
#[derive(Debug)]
pub(crate) struct Processes {
    lines: Lines,
    children: Vec<Process>,
    /// They end with us, however we end.
    bound: bool,
}

impl Processes {
    pub(crate) fn new(lines: Lines) -> Self {
        Self { lines, children: Vec::new(), bound: false }
    }

    /// What is started from now on ends with us, also when we are killed. For this program alone: each begins as a copy of it.
    pub(crate) fn bound(self) -> Self {
        Self { bound: true, ..self }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Starts a process in a process group of its own, so that Ctrl-C reaches us alone and the order of stopping
    /// stays ours.
    pub(crate) async fn start(&mut self, spec: Spec) -> Result<()> {
        let mut command =
            if self.bound { child::command(&spec.program)?.into() } else { Command::new(&spec.program) };
        if spec.clean {
            clean(&mut command);
        }
        command
            .args(&spec.args)
            .envs(spec.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let shown = spec.program.display();
        let mut child =
            command.spawn().with_context(|| format!("{} can't be started from {shown}", spec.name))?;
        let last = Arc::new(Mutex::new(VecDeque::with_capacity(LAST_LINES)));
        let mut readers = JoinSet::new();
        let stdout = child.stdout.take().map(|stream| Box::new(stream) as Box<dyn AsyncRead + Send + Unpin>);
        let stderr = child.stderr.take().map(|stream| Box::new(stream) as Box<dyn AsyncRead + Send + Unpin>);
        for stream in [stdout, stderr].into_iter().flatten() {
            let writer = self.writer(spec.name, self.children.len()).await?;
            readers.spawn(follow(stream, writer, Arc::clone(&last)));
        }
        self.children.push(Process { name: spec.name, child, last, readers });
        Ok(())
    }

    async fn writer(&self, name: &'static str, place: usize) -> Result<Writer> {
        match &self.lines {
            Lines::Shown => {
                const COLOURS: [AnsiColor; 4] =
                    [AnsiColor::Magenta, AnsiColor::Cyan, AnsiColor::Green, AnsiColor::Yellow];
                let colour = COLOURS[place % COLOURS.len()];
                Ok(Writer::Shown { name, style: Style::new().fg_color(Some(colour.into())) })
            }
            Lines::Kept(directory) => {
                let path = directory.join(format!("{name}.log"));
                let opened = File::options().create(true).append(true).open(&path).await;
                let file = opened.with_context(|| format!("{} can't be written", path.display()))?;
                Ok(Writer::Kept(file))
            }
        }
    }

    /// Waits until one of the children ends; for ever when there are none. May be dropped and called again.
    pub(crate) async fn died(&mut self) -> Died {
        if self.children.is_empty() {
            std::future::pending::<()>().await;
        }
        let waiting = self.children.iter_mut().map(|process| Box::pin(process.child.wait()));
        let (status, place, rest) = futures_util::future::select_all(waiting).await;
        drop(rest);
        let process = &mut self.children[place];
        // What it wrote last may still be in the pipe; a grandchild could hold the pipe open for ever.
        let read = async { while process.readers.join_next().await.is_some() {} };
        let _all_read = tokio::time::timeout(Duration::from_secs(1), read).await;
        let last = process.last.lock().unwrap_or_else(PoisonError::into_inner);
        Died { name: process.name, status, last: last.iter().cloned().collect() }
    }

    /// Waits for `ready` at most `limit` long, and no longer than the children live.
    ///
    /// # Errors
    /// `what` did not come to be in time, or a child [`Died`].
    pub(crate) async fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        ready: impl Future<Output = T>,
    ) -> Result<T> {
        tokio::select! {
            // A child that is gone can't become ready.
            biased;
            died = self.died() => Err(died.into()),
            done = tokio::time::timeout(limit, ready) => match done {
                Ok(value) => Ok(value),
                Err(_) => bail!("{what} within {} s: its log says why", limit.as_secs()),
            }
        }
    }

    /// Asks each to stop (SIGTERM), the youngest first, and ends it (SIGKILL) if it has not stopped within `grace`.
    /// Says which had to be ended.
    pub(crate) async fn stop(mut self, grace: Duration) -> Vec<String> {
        let mut complaints = Vec::new();
        while let Some(mut process) = self.children.pop() {
            if let Some(complaint) = stop(&mut process, grace).await {
                complaints.push(complaint);
            }
            let read = async { while process.readers.join_next().await.is_some() {} };
            let _all_read = tokio::time::timeout(Duration::from_secs(1), read).await;
        }
        complaints
    }
}

async fn stop(process: &mut Process, grace: Duration) -> Option<String> {
    // None once it was waited for: its id may belong to another process by now.
    let id = process.child.id()?;
    let asked = Command::new("kill").arg("-TERM").arg(id.to_string()).stderr(Stdio::null()).status().await;
    if asked.is_ok_and(|status| status.success())
        && tokio::time::timeout(grace, process.child.wait()).await.is_ok()
    {
        return None;
    }
    match process.child.kill().await {
        Ok(()) => Some(format!("{} did not stop within {} s and was ended", process.name, grace.as_secs())),
        Err(error) => Some(format!("{} (process {id}) can't be ended: {error}", process.name)),
    }
}

/// Takes out what our own environment says about how processes run.
fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("GLUEHOOK_") || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
}

enum Writer {
    Shown { name: &'static str, style: Style },
    Kept(File),
}

impl Writer {
    async fn write(&mut self, line: &str) {
        match self {
            // Lines that can't be written must not stop the process they are about.
            Self::Shown { name, style } => {
                let line = output::clean(line);
                drop(output::line(format!("{style}{name:<NAME_WIDTH$} │{style:#} {line}")));
            }
            Self::Kept(file) => drop(file.write_all(format!("{line}\n").as_bytes()).await),
        }
    }
}

async fn follow(
    stream: Box<dyn AsyncRead + Send + Unpin>,
    mut writer: Writer,
    last: Arc<Mutex<VecDeque<String>>>,
) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end();
        {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line.to_owned());
        }
        writer.write(line).await;
    }
    if let Writer::Kept(file) = &mut writer {
        drop(file.flush().await);
    }
}

/// Where a program of ours is: beside this one, else on `PATH`.
pub(crate) fn sibling(name: &str) -> Result<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(name)));
    if let Some(beside) = beside.filter(|path| path.is_file()) {
        return Ok(beside);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "{name} is neither beside gluehook nor on PATH: build it with `cargo build -p ingest -p worker`"
        )
    })
}

/// A port of 127.0.0.1 that is free now. A child takes it a moment later, so it is none of those that the system hands out to
/// whoever asks for any: another program could have it by then, and answer in the child's place.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    /// Below those that Linux, macOS and IANA hand out.
    const FIRST: u64 = 20_000;
    const MANY: u64 = 12_000;
    for _ in 0..100 {
        // Keyed anew each time: a random number without a crate for it.
        let random = RandomState::new().build_hasher().finish() % MANY;
        let port = u16::try_from(FIRST + random).map_err(io::Error::other)?;
        if let Ok(free) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return free.local_addr();
        }
    }
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// Returns once something listens at `address`.
pub(crate) async fn listening(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Returns once `url` answers 200.
pub(crate) async fn answering(http: &reqwest::Client, url: &str) {
    loop {
        match http.get(url).send().await {
            Ok(answer) if answer.status().is_success() => return,
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Asks again and again until `look` finds something. Whoever calls sets the limit.
pub(crate) async fn found<T, F: Future<Output = Result<Option<T>>>>(
    mut look: impl FnMut() -> F,
) -> Result<T> {
    loop {
        match look().await? {
            Some(value) => return Ok(value),
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Returns when a person or the system asks us to stop: Ctrl-C, SIGTERM, or the terminal going away.
pub(crate) async fn told_to_stop(shutdown: &service::Shutdown) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        () = shutdown.begun() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// The HTTP client for what runs on this machine: no proxy, short limits.
pub(crate) fn local_http() -> Result<reqwest::Client> {
    effects::install_crypto();
    let client = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(20))
        .build();
    client.context("no HTTP client can be built")
}

/// Makes a directory that only its owner may read.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("the directory {} can't be made", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &'static str, script: &str) -> Spec {
        let args = ["-c", script].map(OsString::from).to_vec();
        Spec { name, program: PathBuf::from("sh"), args, env: Vec::new(), clean: false }
    }

    #[tokio::test]
    async fn a_process_that_ends_by_itself_is_named_with_its_last_lines() {
        let mut processes = Processes::new(Lines::Shown);
        processes.start(shell("nats", "exec sleep 60")).await.unwrap();
        processes.start(shell("worker", "echo one; echo two >&2; exit 3")).await.unwrap();
        let died = processes.died().await.to_string();
        assert!(died.starts_with("worker ended by itself (exit status: 3)"), "{died}");
        assert!(died.contains("\n  one") && died.contains("\n  two"), "{died}");
        assert_eq!(processes.stop(Duration::from_secs(5)).await, [""; 0]);
    }

    #[tokio::test]
    async fn who_does_not_stop_in_time_is_ended_and_named() {
        let mut processes = Processes::new(Lines::Shown);
        let address = free_address().unwrap();
        let deaf = format!("trap '' TERM; echo deaf > deaf-{}; while :; do sleep 0.05; done", address.port());
        let mut spec = shell("ingest", &deaf);
        let directory = std::env::temp_dir();
        spec.args = vec!["-c".into(), format!("cd '{}' && {deaf}", directory.display()).into()];
        processes.start(spec).await.unwrap();
        let marker = directory.join(format!("deaf-{}", address.port()));
        let deaf = found(|| async { Ok(marker.exists().then_some(())) });
        processes.wait_for("it is not deaf", Duration::from_secs(10), deaf).await.unwrap().unwrap();
        std::fs::remove_file(&marker).unwrap();
        let complaints = processes.stop(Duration::from_millis(100)).await;
        assert_eq!(complaints, ["ingest did not stop within 0 s and was ended"]);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_process_that_is_dead() {
        let mut processes = Processes::new(Lines::Shown);
        processes.start(shell("ingest", "exit 1")).await.unwrap();
        let never = std::future::pending::<()>();
        let error = processes.wait_for("it is not ready", Duration::from_secs(60), never).await.unwrap_err();
        assert_eq!(error.to_string(), "ingest ended by itself (exit status: 1) without a word");
    }

    #[test]
    fn a_program_that_was_not_built_is_named_with_the_command_that_builds_it() {
        let error = sibling("gluehook-nothing").unwrap_err().to_string();
        assert!(error.contains("gluehook-nothing") && error.contains("cargo build"), "{error}");
    }
}
