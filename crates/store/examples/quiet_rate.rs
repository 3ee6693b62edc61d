//! How many events a second the log takes on which no rule acts, by size of batch: each batch is one transaction and
//! one sync to the disk. `cargo run --release -p store --example quiet_rate URL`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::envelope::Source;
use domain::event::{Event, Kind};
use domain::journal::{Arrival, Filter, Outcome, Quiet};
use domain::names::{EventId, Identity};
use domain::plan::LIVE;
use jiff::Timestamp;
use store::{Access, Store};

const EVENTS: u64 = 100_000;

fn quiet(number: u64) -> Quiet {
    let at = Timestamp::UNIX_EPOCH + Duration::from_millis(1_800_000_000_000 + number);
    let body = format!(
        r#"{{"job_id":"job{number}","env_id":"dev.hotglue.com","flow_id":"JClkCC05S","tenant":"{}_1","status":"JOB_COMPLETED","metrics":{{"{:0>500}":1}}}}"#,
        number % 500,
        "a"
    );
    let event = Event {
        id: EventId::derive("hotglue", Identity::Body(body.as_bytes())),
        kind: Kind::Job,
        source: Source::Hotglue,
        endpoint: "hotglue".to_owned(),
        env_id: "dev.hotglue.com".to_owned(),
        flow_id: "JClkCC05S".to_owned(),
        tenant: format!("{}_1", number % 500),
        job_id: format!("job{number}"),
        job_name: format!("nightly {number}"),
        tap: "exact".to_owned(),
        target: "optiply".to_owned(),
        connector: String::new(),
        status: "JOB_COMPLETED".to_owned(),
        completed: true,
        failed: false,
        sync_type: "incremental_sync".to_owned(),
        error: String::new(),
        failed_records: BTreeMap::new(),
        first_link: None,
        occurred_at: at,
        received_at: at,
        payload: serde_json::Value::Null,
        redacted: false,
    };
    let arrival = Arrival {
        event,
        stream_sequence: number,
        subject: format!("hooks.hotglue.job.JOB_COMPLETED.{}_1", number % 500),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.into_bytes(),
        body_redacted: false,
    };
    Quiet { arrival, run: LIVE.to_owned(), rulebook: "r1".to_owned(), decided_at: at }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL of a new event log")?;
    let store = Store::open(&url, Access::Worker { worker: "w".to_owned() }).await?;
    let mut first = 0;
    for batch in [1, 50, 2000, 500] {
        let events: Vec<Quiet> = (first..first + EVENTS.min(1000 * batch)).map(quiet).collect();
        first += EVENTS;
        let begun = Instant::now();
        for some in events.chunks(usize::try_from(batch)?) {
            store.record_quiet(some).await?;
        }
        let took = begun.elapsed().as_secs_f64();
        println!("{:6} events by {batch:4}: {:8.0} a second", events.len(), events.len() as f64 / took);
    }
    look(&store).await?;
    forget(&store).await?;
    store.close().await;
    Ok(())
}

async fn look(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    let at = |number: u64| Timestamp::UNIX_EPOCH + Duration::from_millis(1_800_000_000_000 + number);
    for (what, filter) in [
        ("newest", Filter::default()),
        ("of a tenant", Filter { tenant: Some("7_1".to_owned()), ..Filter::default() }),
        ("of a job", Filter { job_id: Some("job500".to_owned()), ..Filter::default() }),
        ("dead", Filter { outcome: Some(Outcome::Dead), ..Filter::default() }),
        ("failed", Filter { status: Some("JOB_FAILED".to_owned()), ..Filter::default() }),
        ("of a second", Filter { since: Some(at(500)), until: Some(at(1500)), ..Filter::default() }),
        ("nowhere's error", Filter { error: Some("nowhere".to_owned()), ..Filter::default() }),
    ] {
        let begun = Instant::now();
        let found = store.events(&filter, 50).await?.len();
        println!("       50 {what}: {found} in {:?}", begun.elapsed());
    }
    Ok(())
}

async fn forget(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    let cutoff = Timestamp::UNIX_EPOCH + Duration::from_millis(1_800_000_000_000 + EVENTS / 2);
    let (begun, mut longest, mut gone) = (Instant::now(), Duration::ZERO, 0);
    loop {
        let one = Instant::now();
        match store.forget_before(cutoff, 500).await? {
            0 => break,
            some => gone += some,
        }
        longest = longest.max(one.elapsed());
    }
    println!("       forgot {gone} by 500 in {:?}, the longest took {longest:?}", begun.elapsed());
    Ok(())
}
