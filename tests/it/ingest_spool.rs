//! Ingest without a broker, with real processes: whatever was answered 2xx is in `HOOKS` once, when NATS is back.

use std::collections::BTreeMap;

use async_nats::jetstream;
use tempfile::TempDir;
use tests::ingest::{Ingest, Setting, flags, secrets};
use tests::nats::NatsServer;
use tests::program::{self, PATIENCE};
use tokio::time::{Instant, sleep};

use std::time::Duration;

/// While NATS is away, slow or full; and when ingest dies meanwhile.
mod broker;
/// What the disk does to the spool, and what of it is said.
mod disk;
/// `--durability journal`.
mod journal;

/// A spool that outlives the ingests of a test.
struct SpoolDir(TempDir);

impl SpoolDir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn flags(&self, more: &[&str]) -> Vec<String> {
        let spool = format!("--spool={}", self.0.path().join("spool").display());
        std::iter::once(spool).chain(more.iter().map(ToString::to_string)).collect()
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("spool/spool.redb")
    }

    /// Starts ingest, and waits until it listens.
    async fn ingest(&self, nats: &str, more: &[&str]) -> Ingest {
        Ingest::listening(nats, Setting { flags: &self.flags(more), ..Setting::default() }).await
    }
}

fn body(number: usize) -> Vec<u8> {
    format!(r#"{{"job_id":"j{number}","status":"JOB_COMPLETED","tenant":"{}_1"}}"#, number % 7).into_bytes()
}

/// Event ids in `HOOKS`, oldest first.
async fn hooks(nats: &NatsServer) -> Vec<String> {
    let context = jetstream::new(async_nats::connect(&nats.url).await.unwrap());
    let mut stream = context.get_stream("HOOKS").await.unwrap();
    let state = stream.info().await.unwrap().state.clone();
    let mut ids = Vec::new();
    for sequence in state.first_sequence.max(1)..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        ids.push(message.headers.get("Nats-Msg-Id").unwrap().to_string());
    }
    ids
}

/// What was answered 2xx and is not in `HOOKS`, and what is there more than once.
async fn lost_and_repeated(nats: &NatsServer, answered: &[String]) -> (Vec<String>, Vec<String>) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for id in hooks(nats).await {
        *counts.entry(id).or_default() += 1;
    }
    let lost = answered.iter().filter(|id| !counts.contains_key(*id)).cloned().collect();
    let repeated = counts.into_iter().filter(|(_, count)| *count > 1).map(|(id, _)| id).collect();
    (lost, repeated)
}

const NONE: (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());

/// Waits until the spool holds nothing that NATS lacks.
async fn drained(ingest: &Ingest) {
    ingest.until_metric("gluehook_spool_events", |events| events == 0).await;
}

/// Waits until `HOOKS` holds so many.
async fn until_hooks(nats: &NatsServer, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while hooks(nats).await.len() != count {
        assert!(Instant::now() < deadline, "{} of {count}", hooks(nats).await.len());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Posts these bodies at the same time; the ids, all of them stored.
async fn post_together(ingest: &Ingest, numbers: std::ops::Range<usize>) -> Vec<String> {
    let posts = numbers.map(|number| async move { ingest.post(&body(number)).await.stored().0 });
    futures_util::future::join_all(posts).await
}

async fn warned(ingest: &Ingest, part: &str) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ingest.readyz().await;
        if answer.json()["warnings"].to_string().contains(part) {
            return answer.status == 200;
        }
        assert!(Instant::now() < deadline, "no warning of {part}: {answer:?}\n{}", ingest.program.log());
        sleep(Duration::from_millis(20)).await;
    }
}
