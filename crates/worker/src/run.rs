//! Builds the worker out of its flags and runs it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bus::permissions::Duty;
use bus::{Bus, StreamName};
use domain::config::{Config, SecretRef};
use domain::redact::Known;
use effects::World;
use secrecy::{ExposeSecret, SecretString};
use service::metrics::{Registry, WorkerMetrics};
use service::probe::{self, Readiness};
use service::{Clock, Shutdown, secrets};
use store::{Access, Store, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::{ADMIN, Args};
use crate::circuits::Circuits;
use crate::intake::Intake;
use crate::lanes::Lanes;
use crate::rules::Rules;
use crate::{Deps, Shared, brake, quiet, retention, rules};

/// Deliveries taken from the live stream at once: enough to fill a transaction.
const LIVE_BATCH: usize = 500;
/// Replays are taken in small bites, so that a bulk replay never has the lanes to itself.
const REPLAY_BATCH: usize = 8;
/// How long it may take to write down and hand back what was cut.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What is wrong before anything has been started: usage or configuration, for exit code 2.
#[derive(Debug)]
pub struct Misconfigured(pub String);

impl std::fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misconfigured {}

/// Runs until a signal.
///
/// # Errors
/// [`Misconfigured`] inside when a person must mend flags or files; anything else is trouble at run time.
pub async fn run(args: Args) -> Result<()> {
    let clock = Clock::system();
    let shutdown = Shutdown::on_signals().context("signals can't be received")?;
    args.store.check().map_err(Misconfigured)?;
    let config = load(&args.config)?;
    let base = args.config.parent().unwrap_or(Path::new("."));
    let rules = Rules::load(args.rules.as_deref()).map_err(Misconfigured)?;
    let resolve = |reference: &SecretRef| resolve(reference, base);
    effects::install_crypto();
    let world = World::build(&config, base, &resolve).map_err(|said| Misconfigured(said.join("\n")))?;

    let secrets = known(&config, &resolve);

    let mut registry = Registry::default();
    let metrics = WorkerMetrics::register(&mut registry);
    let readiness = Readiness::expecting(["nats", "event-log"]);
    let admin = tokio::net::TcpListener::bind(args.service.admin_listen_or(ADMIN))
        .await
        .with_context(|| format!("the admin port {} can't be opened", args.service.admin_listen_or(ADMIN)))?;
    let admin_at = admin.local_addr()?;
    let tasks = TaskTracker::new();
    tasks.spawn(service::http::serve(
        admin,
        probe::router(Arc::new(registry), readiness.clone()),
        service::http::Limits::default(),
        shutdown.token(),
    ));

    let worker = worker_name();
    let Some(store) = open_log(&args, &worker, &readiness, &shutdown).await? else { return Ok(()) };
    let now = clock.now();
    store.rulebook_seen(rules.current().version(), rules.current().text(), now).await?;
    readiness.set("event-log", Ok(()));
    metrics.rulebook_good();

    let Some(bus) = connect(&args, &readiness, &shutdown).await? else { return Ok(()) };
    if args.setup {
        bus::setup(&bus, &config.jetstream, bus::Existing::MustMatch).await?;
    }
    bus::check(&bus, &config.jetstream).await?;
    permitted(&bus).await?;
    if args.observe {
        alone(&bus).await?;
    }
    readiness.set("nats", Ok(()));

    tracing::info!(
        worker,
        rulebook = rules.current().version(),
        rules = rules.current().rules().len(),
        "taking events; admin on http://{admin_at}"
    );
    if args.observe {
        const OBSERVES: &str =
            "this worker only observes: it decides and records what would have been done, and does nothing";
        tracing::warn!("{OBSERVES}");
        readiness.warn(OBSERVES);
    }
    if config.slack.is_none() {
        readiness.warn("gluehook.toml has no [slack]: rules that post to Slack will fail");
    }
    let lease = lease(&config, args.concurrency);
    let cut = CancellationToken::new();
    let circuits = Circuits::new(&config, clock, metrics.clone(), readiness.clone(), cut.clone());
    let deps = Arc::new(Deps {
        config,
        rules,
        store,
        world,
        secrets,
        circuits,
        observe: args.observe,
        metrics,
        readiness,
        clock,
        lease,
        cut,
        braked: Notify::new(),
        worker,
    });
    let lost = Lost::default();
    work(&deps, &bus, &args, &shutdown, &tasks, &lost).await;
    bus.drain().await;
    deps.store.close().await;
    tracing::info!("stopped");
    match lost.0.get() {
        Some(task) => {
            bail!("the task that {task} ended by itself: see the log; the events are safe in the queue")
        }
        None => Ok(()),
    }
}

/// A denied message is never answered: without this look, events would be taken and never settled.
async fn permitted(bus: &Bus) -> Result<()> {
    match bus::permissions::missing(bus, Duty::Work).await.map(|denied| denied.into_iter().next()) {
        Ok(None) => Ok(()),
        Ok(Some(denied)) => bail!(denied.to_string()),
        Err(why) => bail!(why),
    }
}

/// The task without which the worker can't go on, if one was lost.
#[derive(Debug, Clone, Default)]
struct Lost(Arc<OnceLock<&'static str>>);

impl Lost {
    /// Held by a task that must not end before it is told to stop: a worker that lost one stops as a whole, so that
    /// whoever runs it starts another.
    fn guard(&self, task: &'static str, stop: &CancellationToken) -> Guard {
        Guard { task, stop: stop.clone(), lost: self.clone() }
    }
}

struct Guard {
    task: &'static str,
    stop: CancellationToken,
    lost: Lost,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!("the task that {} ended by itself; the worker stops", self.task);
            let _first = self.lost.0.set(self.task);
            self.stop.cancel();
        }
    }
}

async fn work(deps: &Shared, bus: &Bus, args: &Args, shutdown: &Shutdown, tasks: &TaskTracker, lost: &Lost) {
    let stop = shutdown.token();
    let (quiet, batches) = mpsc::channel(4);
    let lanes = Lanes::new(usize::from(args.concurrency));
    let intake =
        Intake { deps: deps.clone(), bus: bus.clone(), lanes: lanes.clone(), quiet, stop: stop.clone() };
    let (writing, guard) =
        (quiet::write(deps.clone(), batches), lost.guard("writes events that no rule takes", &stop));
    let writer = tokio::spawn(async move {
        let _guard = guard;
        writing.await;
    });
    for (stream, most) in [(StreamName::Hooks, LIVE_BATCH), (StreamName::Replay, REPLAY_BATCH)] {
        let intake = intake.clone();
        let guard = lost.guard("takes events from the queue", &stop);
        tasks.spawn(async move {
            let _guard = guard;
            intake.take(stream, most).await;
        });
    }
    drop(intake);
    for task in [true, false] {
        let (deps, stop) = (deps.clone(), stop.clone());
        tasks.spawn(async move {
            if task { rules::watch(&deps, stop).await } else { retention::sweep(&deps, stop).await }
        });
    }
    let (brake, token) = (deps.clone(), stop.clone());
    tasks.spawn(async move { brake::watch(&brake, token).await });
    let (gauges, bus, token) = (deps.clone(), bus.clone(), stop.clone());
    tasks.spawn(async move { measure(&gauges, &bus, token).await });

    stop.cancelled().await;
    tracing::info!("stopping: events in hand are finished, the rest stays in the queue");
    tasks.close();
    let mut drained = std::pin::pin!(async {
        tasks.wait().await;
        lanes.idle().await;
        let _ended = writer.await;
    });
    let patience = Duration::from_secs(u64::from(args.drain_seconds));
    if tokio::time::timeout(patience, &mut drained).await.is_ok() {
        return;
    }
    tracing::warn!("calls are still under way: they are cut, and their events handed back");
    deps.cut.cancel();
    if tokio::time::timeout(LAST_WORDS, drained).await.is_err() {
        tracing::warn!("some events did not end in time; the queue will deliver them again");
    }
}

/// Workers share the queue: one that only observes would take events away from one that acts, and nobody would act on them.
async fn alone(bus: &Bus) -> Result<()> {
    // One that has just been stopped may be asking still, as far as NATS knows.
    for _ in 0..20 {
        if !bus.pending(StreamName::Hooks).await?.pulled {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    bail!(
        "another worker takes events from this queue, and --observe would take them away from it: stop that one, or give the service that is observed a queue of its own"
    )
}

/// A step makes three calls at most, after its turns under the configured rate have come; the rest is for a slow machine.
fn lease(config: &Config, concurrency: u16) -> Duration {
    let slack = config.slack.as_ref();
    let timeout = config.hotglue.timeout.max(slack.map(|slack| slack.timeout).unwrap_or_default());
    let rates = [config.hotglue.max_per_second, slack.and_then(|slack| slack.max_per_second)];
    let slowest =
        rates.into_iter().flatten().min().map_or(0, |rate| u32::from(concurrency).div_ceil(rate.get()));
    timeout * 3
        + Duration::from_secs(u64::from(slowest)) * 2
        + crate::circuits::LONGEST_IN_PLACE * 2
        + Duration::from_secs(60)
}

/// Keeps the gauges of the queue and the readiness of NATS.
async fn measure(deps: &Deps, bus: &Bus, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        match bus.pending(StreamName::Hooks).await {
            Ok(pending) => {
                deps.metrics.queue_pending.set(i64::try_from(pending.pending).unwrap_or(i64::MAX));
                deps.metrics.queue_in_flight.set(i64::try_from(pending.in_flight).unwrap_or(i64::MAX));
                deps.readiness.set("nats", Ok(()));
            }
            Err(error) => deps.readiness.set("nats", Err(error.to_string())),
        }
        deps.readiness.warn_about("nats", bus.state().trouble.as_deref());
    }
}

/// Opens the event log, however long its database takes to come. None when asked to stop.
async fn open_log(
    args: &Args,
    worker: &str,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> Result<Option<Store>> {
    let stop = shutdown.token();
    loop {
        let access = Access::Worker { worker: worker.to_owned() };
        match stop.run_until_cancelled(Store::open(&args.store.database_url, access)).await {
            None => return Ok(None),
            Some(Ok(store)) => return Ok(Some(store)),
            Some(Err(StoreError::Unavailable(why))) => {
                readiness.set("event-log", Err(why));
                let _stopped = stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

/// Connects, however long NATS takes to come; one sentence says what is missing meanwhile. None when asked to stop.
async fn connect(args: &Args, readiness: &Readiness, shutdown: &Shutdown) -> Result<Option<Bus>> {
    let stop = shutdown.token();
    loop {
        match stop.run_until_cancelled(Bus::connect(&args.bus, "gluehook-worker")).await {
            None => return Ok(None),
            Some(Ok(bus)) => return Ok(Some(bus)),
            Some(Err(bus::ConnectError::Unfit(why))) => bail!(why),
            Some(Err(bus::ConnectError::Unreachable(why))) => {
                readiness.set("nats", Err(why));
                let _stopped = stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
            }
        }
    }
}

fn load(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Misconfigured(format!(
            "the configuration {} can't be read: {error}; name it with --config",
            path.display()
        ))
    })?;
    Config::parse(&text).map_err(|complaints| {
        let said: Vec<_> =
            complaints.iter().map(|complaint| format!("{}: {complaint}", path.display())).collect();
        Misconfigured(said.join("\n")).into()
    })
}

fn resolve(reference: &SecretRef, base: &Path) -> Result<SecretString, String> {
    match reference {
        SecretRef::Env(name) => secrets::resolve_env(name),
        SecretRef::File(path) => secrets::resolve_file(&base.join(path)),
    }
}

/// Every secret that the configuration names and this process can have. Ingest's own are often not given to it.
fn known(config: &Config, resolve: &dyn Fn(&SecretRef) -> Result<SecretString, String>) -> Known {
    let slack = config.slack.iter().flat_map(|slack| slack.token.iter().chain(&slack.webhook_url));
    let keys = config.hotglue.environment.iter().map(|environment| &environment.api_key);
    let of_endpoints = config.endpoint.iter().flat_map(|endpoint| &endpoint.secrets);
    let found: Vec<_> =
        of_endpoints.chain(keys).chain(slack).filter_map(|reference| resolve(reference).ok()).collect();
    Known::new(found.iter().map(|secret| secret.expose_secret().trim()))
}

/// Host and process: unique among the workers of one event log, and readable.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "worker" } else { host }, std::process::id())
}
