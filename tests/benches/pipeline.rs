//! How fast, compared with what the machine can do at all in the same run. `cargo xtask bench` runs it; it asserts
//! nothing, because machines differ and are noisy: it prints figures and ratios.
//!
//! 1. Ingest's 2xx per second against a handler that only publishes and awaits the acknowledgement.
//! 2. The worker's drain of events on which no rule acts, and of events that act.
//! 3. Reading and deciding, per event.
//! 4. Memory at rest.
//! 5. The journal against a broker that syncs every message.
//!
//! 6. A backtest over a million recorded events.
//!
//! `door`, `drain`, `durability` or `backtest` alone: `cargo xtask bench -- door`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use bus::{Bus, StreamName};
use bytes::Bytes;
use domain::config::{FlowSettings, Jetstream};
use domain::envelope::{Envelope, Source};
use domain::event;
use domain::facts::Facts;
use domain::rulebook::{Case, Rulebook};
use domain::signature::{Proof, verify};
use futures_util::StreamExt;
use jiff::Timestamp;
use sandbox::webhook;
use serde_json::json;
use tests::program::Program;
use tests::stage::{Setting, Stage, WEBHOOK_SECRET};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "pipeline/backtest.rs"]
mod backtest;
#[path = "pipeline/durability.rs"]
mod durability;

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 20_000;
const ROUNDS: usize = 5;
const QUIET: usize = 100_000;
const ACTING: usize = 2_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("reference"), Some(url)) => runtime.block_on(reference(url)),
        (Some("door"), _) => runtime.block_on(door()),
        (Some("drain"), _) => runtime.block_on(drain()),
        (Some("backtest"), events) => {
            let events = events.and_then(|events| events.parse().ok()).unwrap_or(backtest::EVENTS);
            runtime.block_on(backtest::measure(events));
        }
        (Some("durability"), _) => runtime.block_on(durability::compare()),
        _ => runtime.block_on(all()),
    }
}

async fn all() {
    deciding();
    door().await;
    drain().await;
    durability::compare().await;
    backtest::measure(backtest::EVENTS).await;
}

/// A handler that only publishes and awaits the acknowledgement: no verification, no parsing, plain axum.
async fn reference(url: String) {
    let client = async_nats::connect(url).await.expect("NATS");
    let jetstream = async_nats::jetstream::new(client);
    let counter = Arc::new(AtomicUsize::new(0));
    let handler = |State((jetstream, counter)): State<(async_nats::jetstream::Context, Arc<AtomicUsize>)>,
                   body: Bytes| async move {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(
            "Nats-Msg-Id",
            format!("reference-{}-{}", std::process::id(), counter.fetch_add(1, Ordering::Relaxed)),
        );
        let ack =
            jetstream.publish_with_headers("hooks.reference.job.X.t", headers, body).await.expect("sent");
        ack.await.expect("stored");
        "{\"id\":\"x\",\"duplicate\":false}"
    };
    let app = axum::Router::new().route("/hooks/hotglue", post(handler)).with_state((jetstream, counter));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    axum::serve(listener, app).await.expect("serves");
}

async fn door() {
    let stage = Stage::with(Setting { without_worker: true, ..Setting::default() }).await;
    let mut reference = tokio::process::Command::new(std::env::current_exe().expect("own path"))
        .args(["reference", stage.nats.url.as_str()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the reference starts");
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(reference.stdout.take().expect("piped")));
    let reference_at = lines.next_line().await.expect("read").expect("an address");
    let ingest_at = stage.url().trim_start_matches("http://").to_owned();

    let mut rates: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (which, at) in [&ingest_at, &reference_at].into_iter().enumerate() {
            let requests = Arc::new(signed(round * 2 + which));
            let rate = load(at, requests).await;
            if round > 0 {
                rates[which].push(rate);
            }
        }
    }
    let [ingest, plain] = rates.map(median);
    println!(
        "door      ingest {ingest:>9.0} 2xx/s   publish-only handler {plain:>9.0}/s   ratio {:.2}   ({CONNECTIONS} connections, {REQUESTS} distinct signed bodies, median of {ROUNDS} rounds)",
        ingest / plain
    );
    println!("memory    ingest after the load {} MiB", resident(&stage.ingest));
}

fn signed(round: usize) -> Vec<Vec<u8>> {
    (0..REQUESTS)
        .map(|number| {
            let body = webhook::vary(webhook::JOB, |job| job["job_id"] = json!(format!("{round}-{number}")));
            let mut request = String::new();
            write!(
                request,
                "POST /hooks/hotglue HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-hub-signature: {}\r\ncontent-length: {}\r\n\r\n{body}",
                webhook::sign_sha1_hex(WEBHOOK_SECRET, &body),
                body.len()
            )
            .expect("a string takes all");
            request.into_bytes()
        })
        .collect()
}

/// Posts every request once over keep-alive connections; 2xx per second.
async fn load(address: &str, requests: Arc<Vec<Vec<u8>>>) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (address, requests, next) = (address.to_owned(), requests.clone(), next.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("connects");
                stream.set_nodelay(true).expect("nodelay");
                let mut answer = vec![0; 4096];
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    stream.write_all(request).await.expect("written");
                    let mut got = 0;
                    while !complete(&answer[..got]) {
                        let read = stream.read(&mut answer[got..]).await.expect("read");
                        assert!(read > 0, "the server closed the connection");
                        got += read;
                    }
                    assert!(
                        answer.starts_with(b"HTTP/1.1 200"),
                        "{}",
                        String::from_utf8_lossy(&answer[..got])
                    );
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client ends");
    }
    requests.len() as f64 / begun.elapsed().as_secs_f64()
}

/// Is the whole answer there? Both servers send a content length and a JSON object.
fn complete(answer: &[u8]) -> bool {
    answer.ends_with(b"}") || answer.ends_with(b"}\n")
}

async fn drain() {
    let setting = Setting { without_worker: true, ..Setting::default() };
    let mut stage = Stage::with(setting).await;
    let bus = Bus::connect(&bus::Args::for_url(stage.nats.url.as_str()), "bench").await.expect("NATS");
    bus::setup(&bus, &Jetstream::default(), bus::Existing::MustMatch).await.expect("streams");

    fill(&bus, QUIET, |number| {
        webhook::vary(webhook::JOB, |job| {
            job["status"] = json!("SYNC_STARTED");
            job["job_id"] = json!(number.to_string());
        })
    })
    .await;
    let begun = Instant::now();
    stage.start_worker().await;
    emptied(&bus).await;
    println!(
        "drain     {:>9.0} events/s on which no rule acts ({QUIET}, from start of the worker)",
        QUIET as f64 / begun.elapsed().as_secs_f64()
    );

    fill(&bus, ACTING, |number| {
        webhook::vary(webhook::JOB, |job| {
            job["status"] = json!("SYNC_FAILED");
            job["error"] = json!("boom");
            job["tenant"] = json!((number % 200).to_string());
            job["job_id"] = json!(format!("acting-{number}"));
        })
    })
    .await;
    let begun = Instant::now();
    emptied(&bus).await;
    let rate = ACTING as f64 / begun.elapsed().as_secs_f64();
    println!(
        "drain     {rate:>9.0} events/s that act: decision, ledger and one Slack call each ({ACTING}, 200 tenants; from the last publish)"
    );
    assert_eq!(stage.slack.messages().len(), ACTING, "every event acted once");

    let idle = Stage::start().await;
    let worker = idle.worker.as_ref().expect("started");
    println!(
        "memory    at rest: ingest {} MiB, worker {} MiB; worker after the drain {} MiB",
        resident(&idle.ingest),
        resident(worker),
        resident(stage.worker())
    );
}

async fn fill(bus: &Bus, count: usize, body: impl Fn(usize) -> String) {
    let publisher = bus.publisher();
    futures_util::stream::iter(0..count)
        .for_each_concurrent(256, |number| {
            let body = Bytes::from(body(number));
            let publisher = publisher.clone();
            async move {
                let verified = verify(&Proof::None, &[], None, &body).expect("nothing to prove");
                let envelope = Envelope::seal(
                    "hotglue",
                    Source::Hotglue,
                    verified,
                    body.clone(),
                    vec![],
                    Timestamp::UNIX_EPOCH,
                );
                publisher.publish(&envelope).await.expect("stored");
            }
        })
        .await;
}

async fn emptied(bus: &Bus) {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    loop {
        looks.tick().await;
        let pending = bus.pending(StreamName::Hooks).await.expect("NATS answers");
        if pending.pending == 0 && pending.in_flight == 0 {
            return;
        }
    }
}

fn deciding() {
    let rulebook = Rulebook::built_in();
    let body = webhook::vary(webhook::JOB, |job| job["status"] = json!("SYNC_STARTED"));
    let body = Bytes::from(body);
    let verified = verify(&Proof::None, &[], None, &body).expect("nothing to prove");
    let envelope =
        Envelope::seal("hotglue", Source::Hotglue, verified, body.clone(), vec![], Timestamp::UNIX_EPOCH);
    let pointers: Vec<_> = event::hotglue::DEFAULT_POINTERS.iter().map(ToString::to_string).collect();
    let event = event::read(&envelope, &pointers).expect("readable");
    let flow = FlowSettings::default();
    let case = Case {
        event: &event,
        facts: &Facts::default(),
        flow: &flow,
        date_format: "%Y%m%d",
        run: "live",
        replayed: false,
        now: Timestamp::UNIX_EPOCH,
    };
    let read = per_round(|| drop(black_box(event::read(&envelope, &pointers))));
    let decide = per_round(|| drop(black_box(rulebook.decide(&case))));
    println!("deciding  {decide:.1} µs to decide an event on which nothing matches, {read:.1} µs to read it");
}

/// Median microseconds of one call.
fn per_round(call: impl Fn()) -> f64 {
    const CALLS: u32 = 20_000;
    let rounds = (0..7).map(|_| {
        let begun = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    });
    median(rounds.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Resident memory of a program, in MiB.
fn resident(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
