//! Events come in.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use domain::journal::{Arrival, Outcome, Quiet, Seen};
use domain::names::EventId;
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::rulebooks;
use crate::text::{micros, sequence, text, to_json};

pub(crate) async fn remember(
    connection: &mut SqliteConnection,
    arrival: &Arrival,
    run: &str,
) -> Result<Seen, Trouble> {
    let seen = insert_one(connection, &Row::of(arrival, run, Outcome::Open, None)?).await?;
    let id = arrival.event.id.as_str();
    sqlx::query!("UPDATE events SET begun = begun + 1 WHERE id = ?1", id).execute(connection).await?;
    Ok(seen)
}

pub(crate) async fn record_quiet(
    connection: &mut SqliteConnection,
    batch: &[Quiet],
) -> Result<Vec<Seen>, Trouble> {
    let mut seen = Vec::with_capacity(batch.len());
    for some in batch.chunks(TOGETHER) {
        let rows = some
            .iter()
            .map(|quiet| Row::of(&quiet.arrival, &quiet.run, Outcome::NoRule, Some(decided(quiet))))
            .collect::<Result<Vec<_>, Trouble>>()?;
        if let Ok(rows) = <&[Row<'_>; TOGETHER]>::try_from(rows.as_slice()) {
            seen.extend(insert_together(connection, rows).await?);
        } else {
            for row in &rows {
                seen.push(insert_one(connection, row).await?);
            }
        }
    }
    for (quiet, seen) in batch.iter().zip(&seen) {
        if *seen == Seen::Again {
            stay_quiet(connection, &quiet.arrival.event.id, decided(quiet)).await?;
        }
    }
    let mut rulebooks: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for (version, at) in batch.iter().map(decided) {
        rulebooks.entry(version).and_modify(|latest| *latest = at.max(*latest)).or_insert(at);
    }
    for (version, at) in rulebooks {
        rulebooks::used(connection, version, at).await?;
    }
    Ok(seen)
}

fn decided(quiet: &Quiet) -> (&str, Timestamp) {
    (&quiet.rulebook, quiet.decided_at)
}

/// A known event stays without a rule, or turns out to have none; whatever else became of it stands.
async fn stay_quiet(
    connection: &mut SqliteConnection,
    id: &EventId,
    (rulebook, decided_at): (&str, Timestamp),
) -> Result<(), Trouble> {
    let (id, decided_at) = (id.as_str(), micros(decided_at));
    sqlx::query!(
        "UPDATE events SET outcome = 'no_rule', rulebook = ?2, decided_at = ?3
         WHERE id = ?1 AND (outcome = 'no_rule'
           OR (outcome = 'open' AND NOT EXISTS (SELECT 1 FROM decisions WHERE event = ?1)))",
        id,
        rulebook,
        decided_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A row of `events` as it is first written.
struct Row<'a> {
    id: &'a str,
    run: Cow<'a, str>,
    kind: &'static str,
    source: &'static str,
    endpoint: Cow<'a, str>,
    env_id: Cow<'a, str>,
    flow_id: Cow<'a, str>,
    tenant: Cow<'a, str>,
    job_id: Cow<'a, str>,
    job_name: Cow<'a, str>,
    tap: Cow<'a, str>,
    target: Cow<'a, str>,
    connector: Cow<'a, str>,
    status: Cow<'a, str>,
    sync_type: Cow<'a, str>,
    error: Cow<'a, str>,
    occurred_at: i64,
    received_at: i64,
    outcome: &'static str,
    rulebook: Option<&'a str>,
    decided_at: Option<i64>,
    stream_sequence: i64,
    subject: Cow<'a, str>,
    headers: String,
    body_redacted: bool,
    body: &'a [u8],
}

impl<'a> Row<'a> {
    fn of(
        arrival: &'a Arrival,
        run: &'a str,
        outcome: Outcome,
        decided: Option<(&'a str, Timestamp)>,
    ) -> Result<Self, Trouble> {
        let event = &arrival.event;
        Ok(Self {
            id: event.id.as_str(),
            run: text(run),
            kind: event.kind.as_str(),
            source: event.source.as_str(),
            endpoint: text(&event.endpoint),
            env_id: text(&event.env_id),
            flow_id: text(&event.flow_id),
            tenant: text(&event.tenant),
            job_id: text(&event.job_id),
            job_name: text(&event.job_name),
            tap: text(&event.tap),
            target: text(&event.target),
            connector: text(&event.connector),
            status: text(&event.status),
            sync_type: text(&event.sync_type),
            error: text(&event.error),
            occurred_at: micros(event.occurred_at),
            received_at: micros(event.received_at),
            outcome: outcome.as_str(),
            rulebook: decided.map(|(version, _)| version),
            decided_at: decided.map(|(_, at)| micros(at)),
            stream_sequence: sequence(arrival.stream_sequence),
            subject: text(&arrival.subject),
            headers: to_json(&arrival.headers)?,
            body_redacted: arrival.body_redacted,
            body: &arrival.body,
        })
    }
}

/// `query!` that enters rows, or counts those that are known; each row comes with what stands before it in the list.
macro_rules! insert {
    ($(($comma:literal $row:ident)),+) => {
        sqlx::query!(
            "INSERT INTO events (id, run, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap,
               target, connector, status, sync_type, error, occurred_at, received_at, outcome, rulebook, decided_at,
               stream_sequence, subject, headers, body_redacted, body)
             VALUES" $(+ $comma + "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")+
             + " ON CONFLICT (id) DO UPDATE SET deliveries = deliveries + 1 RETURNING id, deliveries",
            $($row.id, $row.run, $row.kind, $row.source, $row.endpoint, $row.env_id, $row.flow_id, $row.tenant,
              $row.job_id, $row.job_name, $row.tap, $row.target, $row.connector, $row.status, $row.sync_type,
              $row.error, $row.occurred_at, $row.received_at, $row.outcome, $row.rulebook, $row.decided_at,
              $row.stream_sequence, $row.subject, $row.headers, $row.body_redacted, $row.body),+
        )
    };
}

async fn insert_one(connection: &mut SqliteConnection, row: &Row<'_>) -> Result<Seen, Trouble> {
    let entered = insert!((" " row)).fetch_one(connection).await?;
    Ok(seen(entered.deliveries))
}

/// So many rows go in one statement: each statement is a way to the database's thread and back.
const TOGETHER: usize = 25;

async fn insert_together(
    connection: &mut SqliteConnection,
    rows: &[Row<'_>; TOGETHER],
) -> Result<Vec<Seen>, Trouble> {
    let [
        r1,
        r2,
        r3,
        r4,
        r5,
        r6,
        r7,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        r16,
        r17,
        r18,
        r19,
        r20,
        r21,
        r22,
        r23,
        r24,
        r25,
    ] = rows;
    let entered = insert!((" " r1), ("," r2), ("," r3), ("," r4), ("," r5), ("," r6), ("," r7), ("," r8), ("," r9), ("," r10), ("," r11), ("," r12), ("," r13), ("," r14), ("," r15), ("," r16), ("," r17), ("," r18), ("," r19), ("," r20), ("," r21), ("," r22), ("," r23), ("," r24), ("," r25))
        .fetch_all(connection)
        .await?;
    // In which order they come back is not promised. Where a row is there twice, the first has the smaller count.
    let mut counts: HashMap<&str, Vec<i64>> = HashMap::with_capacity(TOGETHER);
    for row in &entered {
        counts.entry(&row.id).or_default().push(row.deliveries);
    }
    for count in counts.values_mut() {
        count.sort_unstable_by(|a, b| b.cmp(a));
    }
    rows.iter()
        .map(|row| {
            let deliveries = counts.get_mut(row.id).and_then(Vec::pop);
            deliveries
                .map(seen)
                .ok_or_else(|| Trouble::Bug(format!("the event {} was entered and is not", row.id)))
        })
        .collect()
}

fn seen(deliveries: i64) -> Seen {
    if deliveries == 1 { Seen::First } else { Seen::Again }
}
