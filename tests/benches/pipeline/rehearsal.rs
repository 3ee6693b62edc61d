//! How long a rulebook is tried on recorded events: an event log of a month, a tenth of it decided on, and
//! `gluehook rules backtest` over all of it.

use std::time::Instant;

use bytes::Bytes;
use domain::config::FlowSettings;
use domain::envelope::{Envelope, Source};
use domain::event::{self, Event};
use domain::facts::Facts;
use domain::journal::{Arrival, Brake, Quiet, Verdicts, counted_as, scope};
use domain::plan::{Decision, LIVE};
use domain::rulebook::{Case, Rulebook};
use domain::signature::{Proof, verify};
use jiff::{SignedDuration, Timestamp};
use sandbox::webhook;
use serde_json::json;
use store::{Access, Store};
use tests::program;

/// Every so many events one is a failure, which a rule tells of.
const FAILS: u64 = 10;
const TENANTS: u64 = 500;
/// Between two events: a month holds a million.
const APART: SignedDuration = SignedDuration::from_millis(2_500);
/// Events in one transaction.
const BATCH: usize = 5_000;

pub(crate) async fn play(events: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite://{}", directory.path().join("gluehook.db").display());
    let store = Store::open(&url, Access::Worker { worker: "bench".to_owned() }).await.expect("an event log");
    let (rulebook, bytes) = (Rulebook::built_in(), webhook::JOB.len());
    let begun = Instant::now();
    let mut quiet = Vec::with_capacity(BATCH);
    for number in 0..events {
        let arrival = arrival(number);
        if number.is_multiple_of(FAILS) {
            store.remember(&arrival, LIVE).await.expect("remembered");
            decide(&store, &rulebook, &arrival.event).await;
        } else {
            let decided_at = arrival.event.received_at;
            let rulebook = rulebook.version().to_owned();
            quiet.push(Quiet { arrival, run: LIVE.to_owned(), rulebook, decided_at });
        }
        if quiet.len() == BATCH || number + 1 == events {
            store.record_quiet(&quiet).await.expect("recorded");
            quiet.clear();
        }
    }
    store.close().await;
    println!("rehearsal {events} events of {bytes} bytes written in {:.0} s", begun.elapsed().as_secs_f64());

    let rules = directory.path().join("rules.toml");
    let shipped = include_str!("../../../deploy/rules.toml");
    for (what, text) in [
        ("the rules that decided", shipped.to_owned()),
        ("rules that tell each failure in other words", shipped.replacen(":x:", ":boom:", 1)),
    ] {
        std::fs::write(&rules, text).expect("written");
        let args = ["--database-url", &url, "rules", "backtest", &rules.display().to_string()]
            .map(ToOwned::to_owned);
        let begun = Instant::now();
        let (code, said, errors) = program::run("gluehook", &args, &[]).await;
        let seconds = begun.elapsed().as_secs_f64();
        assert!(code < 2, "{said}{errors}");
        println!("rehearsal {events} events in {seconds:.1} s, {what}");
    }
}

fn arrival(number: u64) -> Arrival {
    let body = webhook::vary(webhook::JOB, |job| {
        job["job_id"] = json!(format!("job-{number}"));
        job["tenant"] = json!(format!("tenant-{}", number % TENANTS));
        job["sync_type"] = json!("incremental_sync");
        job["status"] = json!(match number % FAILS {
            0 => "SYNC_FAILED",
            1..5 => "JOB_COMPLETED",
            _ => "SYNC_STARTED",
        });
        if number.is_multiple_of(FAILS) {
            job["error"] = json!(format!("KeyError: 'column {number}'"));
        }
    });
    let body = Bytes::from(body);
    let apart = APART * i32::try_from(number).expect("not that many");
    let received_at = "2026-03-01T00:00:00Z".parse::<Timestamp>().expect("a time") + apart;
    let verified = verify(&Proof::None, &[], None, &body).expect("nothing to prove");
    let envelope = Envelope::seal("hotglue", Source::Hotglue, verified, body.clone(), vec![], received_at);
    let pointers: Vec<_> = event::hotglue::DEFAULT_POINTERS.iter().map(ToString::to_string).collect();
    Arrival {
        event: event::read(&envelope, &pointers).expect("readable"),
        stream_sequence: number + 1,
        subject: "hooks.hotglue.job.X.t".to_owned(),
        headers: Vec::new(),
        body: body.to_vec(),
        body_redacted: false,
    }
}

async fn decide(store: &Store, rulebook: &Rulebook, event: &Event) {
    let flow = FlowSettings::default();
    let facts = Facts::default();
    let case = Case {
        event,
        facts: &facts,
        flow: &flow,
        date_format: "%Y%m%d",
        run: LIVE,
        replayed: false,
        now: event.received_at,
    };
    let plan = rulebook.decide(&case).expect("a failure asks for no facts");
    assert!(!plan.steps.is_empty(), "a failure is told");
    let decision = Decision {
        event: event.id.clone(),
        run: LIVE.to_owned(),
        rulebook: rulebook.version().to_owned(),
        decided_at: event.received_at,
        facts: Facts::default(),
        flow: None,
        verdicts: plan.verdicts,
        steps: plan.steps,
        new_values: plan.new_values,
    };
    let brake = Brake::On { tenant: &counted_as(event), limits: &[] };
    let scope = scope(event);
    let verdicts = Verdicts { decision: &decision, scope: &scope, occurred_at: event.occurred_at, brake };
    store.record_decision(verdicts).await.expect("written");
}
