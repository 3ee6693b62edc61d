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
    try_hooks(nats).await.expect("the stream is there")
}

async fn try_hooks(nats: &NatsServer) -> Option<Vec<String>> {
    let context = jetstream::new(async_nats::connect(&nats.url).await.ok()?);
    let mut stream = context.get_stream("HOOKS").await.ok()?;
    let state = stream.info().await.ok()?.state.clone();
    let read =
        (state.first_sequence.max(1)..=state.last_sequence).map(|sequence| stream.get_raw_message(sequence));
    let read = futures_util::future::try_join_all(read).await.ok()?;
    Some(
        read.iter()
            .filter_map(|message| message.headers.get("Nats-Msg-Id"))
            .map(ToString::to_string)
            .collect(),
    )
}

/// Waits until everything that was answered 2xx is in `HOOKS` and the spool holds nothing that NATS lacks; then nothing
/// may be there twice.
async fn arrived_once(ingest: &Ingest, nats: &NatsServer, answered: &[String]) {
    let deadline = Instant::now() + PATIENCE;
    let ids = loop {
        let ids = try_hooks(nats).await.unwrap_or_default();
        let lost = answered.iter().filter(|id| !ids.contains(id)).count();
        if lost == 0 {
            break ids;
        }
        assert!(Instant::now() < deadline, "{lost} of {} are lost\n{}", answered.len(), ingest.program.log());
        sleep(Duration::from_millis(50)).await;
    };
    // Who comes late may be one too many.
    ingest.until_metric("gluehook_spool_events", |events| events == 0).await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for id in hooks(nats).await {
        *counts.entry(id).or_default() += 1;
    }
    counts.retain(|_, count| *count > 1);
    assert!(counts.is_empty(), "{counts:?} of {}", ids.len());
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
