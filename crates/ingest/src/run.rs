//! Builds ingest out of its flags and runs it until a signal.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use domain::config::Config;
use domain::signature::Proof;
use service::metrics::{IngestMetrics, Registry};
use service::probe::{self, Readiness};
use service::{CancellationToken, Clock, Shutdown, Vital, http};
use tokio::net::TcpListener;

use crate::args::{self, Args};
use crate::endpoint::{Endpoint, Endpoints};
use crate::queue::{Durability, Queue};
use crate::router::{Door, Limits, router};
use crate::spool::{self, OpenError, Spool};
use crate::watch::Watch;
use crate::{drain, report, watch};

/// How long a shutdown waits for acknowledgements of what was sent to the queue.
const LAST_ACKNOWLEDGEMENTS: Duration = Duration::from_secs(6);

/// Why ingest ended.
#[derive(Debug)]
pub enum Failure {
    /// Flags, file or secrets are wrong: all that was found, one sentence each.
    Configuration(Vec<String>),
    /// Something else went wrong: one sentence.
    Failed(String),
}

impl Failure {
    #[must_use]
    pub fn sentences(&self) -> &[String] {
        match self {
            Self::Configuration(sentences) => sentences,
            Self::Failed(sentence) => std::slice::from_ref(sentence),
        }
    }

    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}

/// Runs until SIGTERM or SIGINT, and then until everything in hand is answered.
///
/// # Errors
/// Why it could not start.
pub fn run(args: &Args) -> Result<(), Failure> {
    args.service.init_telemetry();
    let config = read(&args.config).map_err(Failure::Configuration)?;
    let base = args.config.parent().unwrap_or(Path::new(""));
    let endpoints = Endpoints::open(&config, base).map_err(Failure::Configuration)?;
    if args.durability == args::Durability::Journal && args.spool.is_none() {
        let sentence = "--durability journal writes to a directory of its own: name it with --spool DIR";
        return Err(Failure::Configuration(vec![sentence.to_owned()]));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no threads can be started: {error}")))?;
    runtime.block_on(serve(args, &config, endpoints))
}

fn read(path: &Path) -> Result<Config, Vec<String>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![format!("the configuration {shown} can't be read ({error}): name the right file with --config")]
    })?;
    Config::parse(&text)
        .map_err(|complaints| complaints.iter().map(|complaint| format!("{shown}: {complaint}")).collect())
}

async fn serve(args: &Args, config: &Config, endpoints: Endpoints) -> Result<(), Failure> {
    let clock = Clock::system();
    let failed = |sentence: String| Failure::Failed(sentence);
    let shutdown = Shutdown::on_signals()
        .map_err(|error| failed(format!("signals of the operating system can't be received: {error}")))?;
    let bus = Bus::connect_lazily(&args.bus, "gluehook-ingest")
        .await
        .map_err(|error| Failure::Configuration(vec![error.to_string()]))?;
    let (listener, address) = listen(args.listen, "--listen").await?;
    let admin = args.service.admin_listen_or(Args::ADMIN_LISTEN);
    let (admin, admin_address) = listen(admin, "--admin-listen").await?;

    let mut registry = Registry::default();
    let metrics = IngestMetrics::register(&mut registry);
    let Storing { durability, damaged } = durability(args)?;
    let readiness = Readiness::expecting(match durability.spool() {
        None => [watch::NATS, watch::STREAMS],
        Some(_) => [report::CHECK, watch::STREAMS],
    });
    if let Some(why) = damaged {
        let sentence =
            format!("{why}. Until then events go to NATS alone, and are answered 503 while it takes none");
        tracing::error!("{sentence}");
        // Whoever sends by readiness would send nothing any more, while NATS takes all.
        readiness.warn_about(report::CHECK, Some(&sentence));
    }
    warn_of_open(&endpoints, &readiness);
    // Probes are answered to the very end, so that it can be seen.
    let admin_stop = CancellationToken::new();
    let probes = probe::router(Arc::new(registry), readiness.clone());
    let admin = tokio::spawn(http::serve(admin, probes, http::Limits::default(), admin_stop.clone()));

    let queue = Queue::new(bus.publisher(), durability, metrics.clone(), clock);
    let largest = endpoints.iter().map(Endpoint::max_body).max().unwrap_or_default();
    let jetstream = config.jetstream.clone();
    let names = endpoints.iter().map(|endpoint| endpoint.name().to_owned()).collect();
    let mut watch =
        Watch::new(bus.clone(), jetstream, args.setup, largest, names, readiness.clone(), queue.clone())
            .asking(args.monitor.nats_monitor_url.clone());
    watch.begin().await.map_err(failed)?;
    let told: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    tracing::info!(
        "listening on {address}, admin on {admin_address}; endpoints under /hooks/: {}",
        told.join("; "),
    );

    let vital = Vital::new(&shutdown);
    let (watch, guard) =
        (watch.keep(shutdown.token()), vital.guard("watches NATS and its streams", &shutdown.token()));
    let watch = tokio::spawn(async move {
        let _guard = guard;
        watch.await;
    });
    let unready = tokio::spawn(tell_shutdown(shutdown.clone(), readiness.clone()));
    // The spool is emptied and told of until the last request is answered.
    let spool_stop = CancellationToken::new();
    let spool = queue.durability().spool().cloned();
    let keeping = spool.clone().map(|spool| {
        let too_old = config.jetstream.duplicate_window / 2;
        let report =
            report::report(queue.clone(), spool.clone(), readiness, clock, too_old, spool_stop.clone());
        let drain = drain::drain(queue.clone(), spool, bus.connected(), spool_stop.clone());
        let guard = vital.guard("empties the spool and tells of it", &spool_stop);
        tokio::spawn(async move {
            let _guard = guard;
            tokio::join!(report, drain)
        })
    });
    let door = Arc::new(Door::new(endpoints, queue.clone(), metrics, clock, &Limits::default()));
    http::serve(listener, router(door), http::Limits::default(), shutdown.token()).await;

    queue.drain(LAST_ACKNOWLEDGEMENTS).await;
    spool_stop.cancel();
    if let Some(keeping) = keeping {
        let _ended = keeping.await;
    }
    bus.drain().await;
    if let Some(spool) = spool {
        close(&spool).await;
    }
    admin_stop.cancel();
    // They end because they were told to; a panic of theirs was logged and changes nothing now.
    let _ended = tokio::join!(watch, unready, admin);
    tracing::info!("stopped; everything that was taken is answered");
    match vital.lost() {
        Some(sentence) => Err(failed(sentence)),
        None => Ok(()),
    }
}

/// Where events are stored.
struct Storing {
    durability: Durability,
    /// Why the spool that was asked for is not among it: a person must look at it. What lies there stays untouched.
    damaged: Option<String>,
}

/// A journal is what a 2xx stands for, so that nothing goes without it. A spool only helps while NATS is away: without it
/// events are taken all the same, since hotglue does not post them again.
fn durability(args: &Args) -> Result<Storing, Failure> {
    let keep = match args.durability {
        args::Durability::Broker => None,
        args::Durability::Journal => Some(args.journal_keep),
    };
    let open = |directory: &Path| Spool::open(directory, spool::Limits { max_bytes: args.spool_max, keep });
    let failed = |error: OpenError| Failure::Failed(error.to_string());
    let (durability, damaged) = match (&args.spool, args.durability) {
        (None, _) => (Durability::Broker { spool: None }, None),
        (Some(directory), args::Durability::Broker) => match open(directory) {
            Ok(spool) => (Durability::Broker { spool: Some(spool) }, None),
            Err(OpenError::Damaged(why)) => (Durability::Broker { spool: None }, Some(why)),
            Err(error) => return Err(failed(error)),
        },
        (Some(directory), args::Durability::Journal) => {
            (Durability::Journal { spool: open(directory).map_err(failed)? }, None)
        }
    };
    Ok(Storing { durability, damaged })
}

async fn close(spool: &Spool) {
    let left = spool.stats().unsent;
    if left > 0 {
        tracing::warn!(
            "{left} events are left in the spool {}; the next start sends them",
            spool.directory().display()
        );
    }
    spool.close().await;
}

async fn listen(address: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::Failed(format!("can't listen on {address} ({error}): choose another address with {flag}"))
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

/// Whatever is not verified is said where people look.
fn warn_of_open(endpoints: &Endpoints, readiness: &Readiness) {
    for endpoint in endpoints.iter().filter(|endpoint| *endpoint.proof() == Proof::None) {
        let warning = format!(
            "endpoint `{}` verifies nothing (proof = \"none\"): anyone who reaches it can post events",
            endpoint.name()
        );
        tracing::warn!("{warning}");
        readiness.warn(&warning);
    }
}

async fn tell_shutdown(shutdown: Shutdown, readiness: Readiness) {
    shutdown.begun().await;
    readiness.set("running", Err("ingest is stopping".to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<String> {
        let directory =
            std::env::temp_dir().join(format!("gluehook-ingest-{}-{}", std::process::id(), text.len()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("gluehook.toml");
        std::fs::write(&path, text).unwrap();
        let sentences = read(&path).unwrap_err();
        std::fs::remove_dir_all(directory).unwrap();
        sentences
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_right_one() {
        let sentences = refused("[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\nsecret = []\n");
        assert_eq!(sentences.len(), 1);
        let said = &sentences[0];
        assert!(said.contains("gluehook.toml: line 4") && said.contains("did you mean `secrets`?"), "{said}");
    }

    #[test]
    fn a_missing_file_is_told_with_the_flag() {
        let said = read(Path::new("no/such/gluehook.toml")).unwrap_err().remove(0);
        assert!(said.contains("no/such/gluehook.toml") && said.contains("--config"), "{said}");
    }
}
