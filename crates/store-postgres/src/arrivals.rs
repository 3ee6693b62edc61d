//! Events come in.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use domain::journal::{Arrival, Outcome, Quiet, Seen};
use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::rulebooks;
use crate::text::{micros, sequence, text, to_json};

pub(crate) async fn remember(
    connection: &mut PgConnection,
    arrival: &Arrival,
    run: &str,
) -> Result<Seen, Trouble> {
    let row = Row::of(arrival, run)?;
    let outcome = Outcome::Open.as_str();
    let deliveries = sqlx::query_scalar!(
        "INSERT INTO events (id, run, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap, target,
           connector, status, sync_type, error, occurred_at, received_at, outcome, begun, stream_sequence, subject,
           headers, body_redacted, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 1, $20, $21,
           $22, $23, $24)
         ON CONFLICT (id) DO UPDATE SET deliveries = events.deliveries + 1, begun = events.begun + 1
         RETURNING deliveries",
        row.id,
        &*row.run,
        row.kind,
        row.source,
        &*row.endpoint,
        &*row.env_id,
        &*row.flow_id,
        &*row.tenant,
        &*row.job_id,
        &*row.job_name,
        &*row.tap,
        &*row.target,
        &*row.connector,
        &*row.status,
        &*row.sync_type,
        &*row.error,
        row.occurred_at,
        row.received_at,
        outcome,
        row.stream_sequence,
        &*row.subject,
        row.headers,
        row.body_redacted,
        row.body
    )
    .fetch_one(connection)
    .await?;
    Ok(if deliveries == 1 { Seen::First } else { Seen::Again })
}

pub(crate) async fn record_quiet(
    connection: &mut PgConnection,
    batch: &[Quiet],
) -> Result<Vec<Seen>, Trouble> {
    let mut seen = Vec::with_capacity(batch.len());
    for some in batch.chunks(TOGETHER) {
        seen.extend(insert_together(connection, some).await?);
    }
    let again: Vec<_> = batch
        .iter()
        .zip(&seen)
        .filter(|&(_, seen)| *seen == Seen::Again)
        // Of one that is there twice, the last has the word.
        .map(|(quiet, _)| (quiet.arrival.event.id.as_str(), quiet))
        .collect::<BTreeMap<_, _>>()
        .into_values()
        .collect();
    if !again.is_empty() {
        stay_quiet(connection, &again).await?;
    }
    let mut rulebooks: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for quiet in batch {
        let latest = rulebooks.entry(&quiet.rulebook).or_insert(quiet.decided_at);
        *latest = quiet.decided_at.max(*latest);
    }
    for (version, at) in rulebooks {
        rulebooks::used(connection, version, at).await?;
    }
    Ok(seen)
}

/// Known events stay without a rule, or turn out to have none; whatever else became of them stands.
async fn stay_quiet(connection: &mut PgConnection, quiet: &[&Quiet]) -> Result<(), Trouble> {
    let ids: Vec<&str> = quiet.iter().map(|quiet| quiet.arrival.event.id.as_str()).collect();
    let rulebooks: Vec<&str> = quiet.iter().map(|quiet| quiet.rulebook.as_str()).collect();
    let decided: Vec<i64> = quiet.iter().map(|quiet| micros(quiet.decided_at)).collect();
    sqlx::query!(
        "UPDATE events SET outcome = 'no_rule', rulebook = known.rulebook, decided_at = known.decided_at
         FROM UNNEST($1::text[], $2::text[], $3::bigint[]) AS known (id, rulebook, decided_at)
         WHERE events.id = known.id AND (events.outcome = 'no_rule' OR (events.outcome = 'open'
           AND NOT EXISTS (SELECT 1 FROM decisions WHERE event = events.id)))",
        &ids as &[&str],
        &rulebooks as &[&str],
        &decided
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
    stream_sequence: i64,
    subject: Cow<'a, str>,
    headers: String,
    body_redacted: bool,
    body: &'a [u8],
}

impl<'a> Row<'a> {
    fn of(arrival: &'a Arrival, run: &'a str) -> Result<Self, Trouble> {
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
            stream_sequence: sequence(arrival.stream_sequence),
            subject: text(&arrival.subject),
            headers: to_json(&arrival.headers)?,
            body_redacted: arrival.body_redacted,
            body: &arrival.body,
        })
    }
}

/// So many rows go in one statement, column by column: enough that a statement costs little, and few enough for the
/// memory of both sides.
const TOGETHER: usize = 1000;

async fn insert_together(connection: &mut PgConnection, batch: &[Quiet]) -> Result<Vec<Seen>, Trouble> {
    // A statement can't write one row twice: what is there several times goes in once, with its count.
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(batch.len());
    let mut rows: Vec<(Row<'_>, &Quiet, i64)> = Vec::with_capacity(batch.len());
    for quiet in batch {
        let place = *places.entry(quiet.arrival.event.id.as_str()).or_insert(rows.len());
        match rows.get_mut(place) {
            Some((_, _, count)) => *count += 1,
            None => rows.push((Row::of(&quiet.arrival, &quiet.run)?, quiet, 1)),
        }
    }
    macro_rules! column {
        ($row:ident => $value:expr) => {
            &rows.iter().map(|($row, _, _)| $value).collect::<Vec<_>>()
        };
    }
    let rulebooks: Vec<&str> = rows.iter().map(|(_, quiet, _)| quiet.rulebook.as_str()).collect();
    let decided: Vec<i64> = rows.iter().map(|(_, quiet, _)| micros(quiet.decided_at)).collect();
    let counts: Vec<i64> = rows.iter().map(|(_, _, count)| *count).collect();
    // Numbered in the order of the batch, but entered in that of their ids: two workers that enter the same events at
    // once then wait for one another in one direction only.
    let entered = sqlx::query!(
        "INSERT INTO events (xact, row, id, run, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap,
           target, connector, status, sync_type, error, occurred_at, received_at, outcome, rulebook, decided_at,
           deliveries, stream_sequence, subject, headers, body_redacted, body)
         OVERRIDING SYSTEM VALUE
         SELECT xact, row, id, run, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap, target,
           connector, status, sync_type, error, occurred_at, received_at, 'no_rule', rulebook, decided_at, deliveries,
           stream_sequence, subject, headers, body_redacted, body
         FROM (SELECT pg_current_xact_id()::text::bigint AS xact, nextval('events_row_seq') AS row, batch.*
           FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
             $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
             $17::bigint[], $18::bigint[], $19::text[], $20::bigint[], $21::bigint[], $22::bigint[], $23::text[],
             $24::text[], $25::boolean[], $26::bytea[]) WITH ORDINALITY
             AS batch (id, run, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap, target,
               connector, status, sync_type, error, occurred_at, received_at, rulebook, decided_at, deliveries,
               stream_sequence, subject, headers, body_redacted, body, place)
           ORDER BY place) AS numbered
         ORDER BY id COLLATE ucs_basic
         ON CONFLICT (id) DO UPDATE SET deliveries = events.deliveries + excluded.deliveries
         RETURNING id, deliveries",
        column!(row => row.id) as &[&str],
        column!(row => &*row.run) as &[&str],
        column!(row => row.kind) as &[&str],
        column!(row => row.source) as &[&str],
        column!(row => &*row.endpoint) as &[&str],
        column!(row => &*row.env_id) as &[&str],
        column!(row => &*row.flow_id) as &[&str],
        column!(row => &*row.tenant) as &[&str],
        column!(row => &*row.job_id) as &[&str],
        column!(row => &*row.job_name) as &[&str],
        column!(row => &*row.tap) as &[&str],
        column!(row => &*row.target) as &[&str],
        column!(row => &*row.connector) as &[&str],
        column!(row => &*row.status) as &[&str],
        column!(row => &*row.sync_type) as &[&str],
        column!(row => &*row.error) as &[&str],
        column!(row => row.occurred_at) as &[i64],
        column!(row => row.received_at) as &[i64],
        &rulebooks as &[&str],
        &decided as &[i64],
        &counts as &[i64],
        column!(row => row.stream_sequence) as &[i64],
        column!(row => &*row.subject) as &[&str],
        column!(row => row.headers.as_str()) as &[&str],
        column!(row => row.body_redacted) as &[bool],
        column!(row => row.body) as &[&[u8]]
    )
    .fetch_all(connection)
    .await?;
    // In which order they come back is not promised.
    let entered: HashMap<&str, i64> = entered.iter().map(|row| (row.id.as_str(), row.deliveries)).collect();
    let mut first: HashMap<&str, bool> = HashMap::with_capacity(rows.len());
    for (row, _, count) in &rows {
        let deliveries = entered
            .get(row.id)
            .ok_or_else(|| Trouble::Bug(format!("the event {} was entered and is not", row.id)))?;
        first.insert(row.id, deliveries == count);
    }
    // Of those that are new, the first in the batch is the first delivery.
    Ok(batch
        .iter()
        .map(|quiet| match first.insert(quiet.arrival.event.id.as_str(), false) {
            Some(true) => Seen::First,
            _ => Seen::Again,
        })
        .collect())
}
