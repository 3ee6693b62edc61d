//! How long `gluehook rules backtest` takes over a long event log.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::config::{FlowSettings, Hotglue};
use domain::envelope::{Envelope, Source};
use domain::event;
use domain::facts::Facts;
use domain::journal::{Access, Arrival, Brake, Quiet, Verdicts, scope};
use domain::plan::{Decision, LIVE};
use domain::rulebook::{Case, Rulebook};
use domain::signature::{Proof, verify};
use jiff::Timestamp;
use sandbox::webhook;
use serde_json::json;
use store::Store;
use tests::program::binary;

pub(super) const EVENTS: usize = 1_000_000;
const TENANTS: usize = 500;
/// One in so many is decided on.
const DECIDED: usize = 10;
/// Events in one transaction.
const BATCH: usize = 2_000;

pub(super) async fn measure(events: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    let book = Rulebook::built_in();
    record(&url, &book, events).await;
    let new = folder.path().join("new.toml");
    std::fs::write(&new, book.text().replace(":x: *", ":boom: *")).expect("written");

    let begun = Instant::now();
    let done = tokio::process::Command::new(binary("gluehook"))
        .args(["rules", "backtest", "--json", "--database-url", &url])
        .arg(&new)
        .current_dir(folder.path())
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .await
        .expect("it runs");
    let seconds = begun.elapsed().as_secs_f64();
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((&found["events"], &found["changed"]), (&json!(events), &json!(events.div_ceil(DECIDED))));
    println!(
        "backtest  {seconds:.1} s for {events} events, one in {DECIDED} decided on: {:.0} events/s",
        events as f64 / seconds
    );
}

async fn record(url: &str, book: &Rulebook, events: usize) {
    let store = Store::open(url, Access::Worker { worker: "bench".to_owned() }).await.expect("an event log");
    let mut quiet = Vec::new();
    for number in 0..events {
        let at =
            Timestamp::from_second(1_800_000_000).expect("a time") + Duration::from_millis(number as u64);
        let arrival = arrival(number, at);
        if number % DECIDED == 0 {
            store.remember(&arrival, LIVE).await.expect("remembered");
            let decision = decided(book, &arrival, at);
            let event = &arrival.event;
            let verdicts = Verdicts {
                decision: &decision,
                scope: &scope(event),
                occurred_at: event.occurred_at,
                brake: Brake::Off,
            };
            store.record_decision(verdicts).await.expect("recorded");
        } else {
            let rulebook = book.version().to_owned();
            quiet.push(Quiet { arrival, run: LIVE.to_owned(), rulebook, decided_at: at });
        }
        if quiet.len() == BATCH || number + 1 == events {
            store.record_quiet(&quiet).await.expect("recorded");
            quiet.clear();
        }
    }
    store.close().await;
}

fn arrival(number: usize, at: Timestamp) -> Arrival {
    let body = webhook::vary(webhook::JOB, |job| {
        job["tenant"] = json!(format!("{}_1", number % TENANTS));
        job["job_id"] = json!(number.to_string());
        if number.is_multiple_of(DECIDED) {
            job["status"] = json!("SYNC_FAILED");
            job["error"] = json!("boom");
        } else {
            job["status"] = json!("SYNC_STARTED");
        }
    });
    let body = Bytes::from(body);
    let verified = verify(&Proof::None, &[], None, &body).expect("nothing to prove");
    let envelope = Envelope::seal("hotglue", Source::Hotglue, verified, body.clone(), vec![], at);
    let event = event::read(&envelope, &Hotglue::default().failed_records).expect("readable");
    Arrival {
        event,
        stream_sequence: number as u64 + 1,
        subject: "hooks.hotglue.job.X.t".to_owned(),
        headers: Vec::new(),
        body: body.to_vec(),
        body_redacted: false,
    }
}

fn decided(book: &Rulebook, arrival: &Arrival, at: Timestamp) -> Decision {
    let (facts, flow) = (Facts::default(), FlowSettings::default());
    let event = &arrival.event;
    let plan = book
        .decide(&Case {
            event,
            facts: &facts,
            flow: &flow,
            date_format: "%Y%m%d",
            run: LIVE,
            replayed: false,
            now: at,
        })
        .expect("it asks nothing");
    Decision {
        event: event.id.clone(),
        run: LIVE.to_owned(),
        rulebook: book.version().to_owned(),
        decided_at: at,
        facts,
        flow: Some((&flow).into()),
        verdicts: plan.verdicts,
        steps: plan.steps,
        new_values: plan.new_values,
    }
}
