//! Builds the worker out of its flags and runs it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bus::acting::Acting;
use bus::permissions::Duty;
use bus::{Bus, StreamName};
use domain::config::{Config, SecretRef};
use domain::redact::Known;
use effects::World;
use secrecy::{ExposeSecret, SecretString};
use service::metrics::{Registry, WorkerMetrics};
use service::probe::{self, Readiness};
use service::vital::Guard;
use service::{Clock, Shutdown, Vital, secrets};
use store::{Access, Store, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alone::Alone;
use crate::args::{ADMIN, Args};
use crate::before::Looks;
use crate::circuits::Circuits;
use crate::intake::Intake;
use crate::lanes::Lanes;
use crate::observe::{Observer, joined};
use crate::pulse::Pulse;
use crate::rules::Rules;
use crate::surplus::Surplus;
use crate::{Deps, Shared, brake, measure, pulse, quiet, retention, rules, storms};

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

    let worker = worker_name(clock.now());
    let Some(store) = open_log(&args, &worker, &readiness, &shutdown).await? else { return Ok(()) };
    let now = clock.now();
    store.rulebook_seen(rules.current().version(), rules.current().text(), now).await?;
    readiness.set("event-log", Ok(()));
    metrics.rulebook_good();

    let Some(bus) = connect(&args, &readiness, &shutdown).await? else { return Ok(()) };
    if args.setup {
        bus::setup(&bus, &config.jetstream, bus::Existing::MustMatch).await?;
    }
    match bus::check(&bus, &config.jetstream).await {
        // It is waited for, and told of.
        Err(bus::CheckError::Differs(found)) if found.iter().all(bus::Difference::is_passing) => {}
        checked => checked?,
    }
    permitted(&bus).await?;
    let observe = if args.observe { Some(Observer::alone(&bus).await?) } else { None };
    // Before the first event is taken, so that one that only observes leaves it.
    let acting = if args.observe { None } else { say_acting(&bus, &readiness).await };
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
    let circuits =
        Circuits::new(&config, world.questions(), clock, metrics.clone(), readiness.clone(), cut.clone());
    let deps = Arc::new(Deps {
        config,
        rules,
        store,
        world,
        surplus: Surplus::default(),
        secrets,
        circuits,
        looks: Looks::default(),
        alone: Alone::default(),
        observe,
        metrics,
        readiness,
        clock,
        lease,
        pulse: Pulse::at(now),
        cut,
        braked: Notify::new(),
        stormed: Notify::new(),
        worker,
    });
    // Before the first claim: who never said that it lives is waited for until its leases end.
    pulse::beat(&deps).await?;
    let vital = Vital::new(&shutdown);
    work(&deps, &bus, &args, &shutdown, &tasks, &vital).await;
    drop(acting);
    bus.drain().await;
    deps.store.close().await;
    tracing::info!("stopped");
    match vital.lost() {
        Some(sentence) => bail!("{sentence}; the events are safe in the queue"),
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

/// Those that only observe must know. Where they can't be told, they refuse to start or notice late; this one works all the same.
async fn say_acting(bus: &Bus, readiness: &Readiness) -> Option<Acting> {
    match bus.say_acting().await {
        Ok(acting) => Some(acting),
        Err(why) => {
            let warning = format!("a worker with --observe would not know of this one: {why}");
            tracing::warn!("{warning}");
            readiness.warn(&warning);
            None
        }
    }
}

type Job = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn work(
    deps: &Shared,
    bus: &Bus,
    args: &Args,
    shutdown: &Shutdown,
    tasks: &TaskTracker,
    vital: &Vital,
) {
    let stop = shutdown.token();
    let (quiet, batches) = mpsc::channel(4);
    let lanes = Lanes::new(usize::from(args.concurrency));
    let intake = Intake {
        deps: deps.clone(),
        bus: bus.clone(),
        lanes: lanes.clone(),
        quiet,
        harmless: Arc::default(),
        stop: stop.clone(),
    };
    let (writing, guard) =
        (quiet::write(deps.clone(), batches), vital.guard("writes events that no rule takes", &stop));
    let writer = tokio::spawn(async move {
        let _guard = guard;
        writing.await;
    });
    let taking = TaskTracker::new();
    for (stream, most) in [(StreamName::Hooks, LIVE_BATCH), (StreamName::Replay, REPLAY_BATCH)] {
        let intake = intake.clone();
        let guard = vital.guard("takes events from the queue", &stop);
        taking.spawn(async move {
            let _guard = guard;
            intake.take(stream, most).await;
        });
    }
    drop(intake);
    let (beating, guard) = (deps.clone(), vital.guard("says that the worker lives", &stop));
    let beating = tokio::spawn(async move {
        let _guard = guard;
        pulse::keep(&beating).await;
    });
    let watch = |guard: Guard, task: Job| {
        tasks.spawn(async move {
            let _guard = guard;
            task.await;
        })
    };
    let mine = || (deps.clone(), stop.clone());
    let (of_rules, token) = mine();
    let task = async move { rules::watch(&of_rules, token).await };
    watch(vital.guard("looks for changes of the rulebook", &stop), Box::pin(task));
    let (of_retention, token) = mine();
    let task = async move { retention::sweep(&of_retention, token).await };
    watch(vital.guard("deletes what is older than the event log keeps", &stop), Box::pin(task));
    let (of_brake, token) = mine();
    let task = async move { brake::watch(&of_brake, token).await };
    watch(vital.guard("tells people of pauses", &stop), Box::pin(task));
    let (of_storms, token) = mine();
    let task = async move { storms::watch(&of_storms, token).await };
    watch(vital.guard("tells of storms", &stop), Box::pin(task));
    if deps.observe.is_some() {
        let (deps, token) = mine();
        let observing = async move {
            let Some(observer) = &deps.observe else { return };
            if observer.joined(&token).await {
                tracing::error!(
                    "another worker takes events from this queue: this one stops. What had come before, it has only observed; `gluehook replay --since` has it worked on"
                );
            }
        };
        watch(vital.guard("observes alone", &stop), Box::pin(observing));
    } else if let Store::Sqlite(_) = deps.store {
        let (deps, bus, token) = (deps.clone(), bus.clone(), stop.clone());
        tasks.spawn(async move {
            if joined(&bus, &token).await {
                tracing::error!("{NOT_ALONE}");
                deps.readiness.warn(NOT_ALONE);
            }
        });
    }
    let (of_circuits, token) = mine();
    let task = async move { of_circuits.circuits.keep_asking(&token).await };
    watch(vital.guard("asks whether a service is there", &stop), Box::pin(task));
    let ((of_gauges, token), bus) = (mine(), bus.clone());
    let task = async move { measure::measure(&of_gauges, &bus, token).await };
    watch(vital.guard("measures the queue", &stop), Box::pin(task));

    stop.cancelled().await;
    tracing::info!("stopping: events in hand are finished, the rest stays in the queue");
    tasks.close();
    taking.close();
    let mut drained = std::pin::pin!(async {
        // What is handed back while a request of ours still waits at the queue comes back to us, and is lost on its way.
        taking.wait().await;
        lanes.let_go();
        tasks.wait().await;
        lanes.idle().await;
        let _ended = writer.await;
    });
    let patience = Duration::from_secs(u64::from(args.drain_seconds));
    if tokio::time::timeout(patience, &mut drained).await.is_err() {
        tracing::warn!("calls are still under way: they are cut, and their events handed back");
        deps.cut.cancel();
        if tokio::time::timeout(LAST_WORDS, drained).await.is_err() {
            tracing::warn!("some events did not end in time; the queue will deliver them again");
        }
    }
    beating.abort();
}

/// With an event log in `SQLite` nobody else may have events of this queue: what they do, this worker can't know.
const NOT_ALONE: &str = "another worker takes events from this queue and does not share this event log, which is SQLite: what one does the other does not know, and effects may be doubled; stop one of them, or let both use one Postgres (--database-url postgres://…)";

/// A step makes two calls at most (what it looks up and what it changes), and one more for each that is refused, after its turns under the configured rate have come; the rest is for a slow machine.
fn lease(config: &Config, concurrency: u16) -> Duration {
    let slack = config.slack.as_ref();
    let timeout = config.hotglue.timeout.max(slack.map(|slack| slack.timeout).unwrap_or_default());
    let rates = [config.hotglue.max_per_second, slack.and_then(|slack| slack.max_per_second)];
    let slowest =
        rates.into_iter().flatten().min().map_or(0, |rate| u32::from(concurrency).div_ceil(rate.get()));
    timeout * 4
        + Duration::from_secs(u64::from(slowest)) * 2
        + crate::circuits::LONGEST_IN_PLACE * 2
        + Duration::from_secs(60)
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

/// Host, process and when it was started: unique among the workers of one event log, those that died included (in a container
/// the process always has the same number), and readable.
fn worker_name(now: jiff::Timestamp) -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "worker" } else { host };
    format!("{host}-{}-{:x}", std::process::id(), now.as_millisecond())
}
