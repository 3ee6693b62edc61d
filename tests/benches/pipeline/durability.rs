//! What it costs that a power cut loses nothing: the journal of ingest in front of a nats-server that syncs lazily,
//! against a nats-server that syncs every message before it acknowledges it. The same requests, in one run.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbox::webhook;
use serde_json::json;
use tests::ingest::{Ingest, SECRET, Setting, sign};
use tests::nats::NatsServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests in flight, and how many are sent in one round.
const LEVELS: [(usize, usize); 4] = [(1, 1_000), (8, 4_000), (64, 10_000), (512, 15_000)];
const ROUNDS: usize = 3;

struct Mode {
    name: &'static str,
    ingest: Ingest,
    _nats: NatsServer,
}

pub(crate) async fn compare() {
    let spool = tempfile::tempdir().expect("a directory");
    let journal = [
        "--durability=journal".to_owned(),
        format!("--spool={}", spool.path().display()),
        "--spool-max=4GiB".to_owned(),
    ];
    let mut modes = Vec::new();
    for (name, nats, flags) in [
        ("journal, NATS lazy", NatsServer::start().await, &journal[..]),
        ("broker, NATS sync always", NatsServer::start_syncing().await, &[]),
        ("broker, NATS lazy (can lose)", NatsServer::start().await, &[]),
    ] {
        let ingest = Ingest::with(&nats.url, Setting { flags, ..Setting::default() }).await;
        modes.push(Mode { name, ingest, _nats: nats });
    }
    println!(
        "durability, 2xx/s and p99 by requests in flight, median of {ROUNDS} rounds, bodies of about 1 KB"
    );
    print!("  in flight");
    modes.iter().for_each(|mode| print!("  {:>32}", mode.name));
    println!();
    for (level, (connections, count)) in LEVELS.into_iter().enumerate() {
        let mut figures = vec![(Vec::new(), Vec::new()); modes.len()];
        for round in 0..=ROUNDS {
            for (which, mode) in modes.iter().enumerate() {
                let requests = Arc::new(signed(&format!("{level}-{round}-{which}"), count));
                let (rate, p99) = load(&mode.ingest.address.to_string(), connections, requests).await;
                // The first round warms up.
                if round > 0 {
                    figures[which].0.push(rate);
                    figures[which].1.push(p99);
                }
            }
        }
        print!("  {connections:>9}");
        for (rates, p99s) in figures {
            print!("  {:>17.0}/s {:>9.1} ms", super::median(rates), super::median(p99s));
        }
        println!();
    }
}

fn signed(series: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| {
            let body = webhook::vary(webhook::JOB, |job| job["job_id"] = json!(format!("{series}-{number}")));
            let mut request = String::new();
            write!(
                request,
                "POST /hooks/hotglue HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-hub-signature: {}\r\ncontent-length: {}\r\n\r\n{body}",
                sign(SECRET, body.as_bytes()),
                body.len()
            )
            .expect("a string takes all");
            request.into_bytes()
        })
        .collect()
}

/// Posts every request once: 2xx per second, and milliseconds within which 99 of 100 were answered.
async fn load(address: &str, connections: usize, requests: Arc<Vec<Vec<u8>>>) -> (f64, f64) {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let (address, requests, next) = (address.to_owned(), requests.clone(), next.clone());
            tokio::spawn(async move {
                let mut took = Vec::new();
                let mut stream = TcpStream::connect(address).await.expect("connects");
                stream.set_nodelay(true).expect("nodelay");
                let mut answer = vec![0; 4096];
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let asked = Instant::now();
                    stream.write_all(request).await.expect("written");
                    let mut got = 0;
                    while !super::complete(&answer[..got]) {
                        let read = stream.read(&mut answer[got..]).await.expect("read");
                        assert!(read > 0, "the server closed the connection");
                        got += read;
                    }
                    took.push(asked.elapsed());
                    let told = String::from_utf8_lossy(&answer[..got]);
                    assert!(
                        told.starts_with("HTTP/1.1 200") && told.contains("\"duplicate\":false"),
                        "{told}"
                    );
                }
                took
            })
        })
        .collect();
    let mut took: Vec<Duration> = Vec::new();
    for client in clients {
        took.extend(client.await.expect("a client ends"));
    }
    let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
    took.sort();
    (rate, took[took.len() * 99 / 100].as_secs_f64() * 1e3)
}
