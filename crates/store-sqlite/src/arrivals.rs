//! Events come in.

use domain::event::Event;
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
    insert(connection, arrival, run, Outcome::Open, None).await
}

pub(crate) async fn record_quiet(
    connection: &mut SqliteConnection,
    batch: &[Quiet],
) -> Result<Vec<Seen>, Trouble> {
    let mut seen = Vec::with_capacity(batch.len());
    let mut rulebook: Option<(&str, Timestamp)> = None;
    for quiet in batch {
        let decided = (quiet.rulebook.as_str(), quiet.decided_at);
        let first = insert(connection, &quiet.arrival, &quiet.run, Outcome::NoRule, Some(decided)).await?;
        if first == Seen::Again {
            stay_quiet(connection, &quiet.arrival.event.id, decided).await?;
        }
        seen.push(first);
        match &mut rulebook {
            Some((version, at)) if *version == decided.0 => *at = decided.1.max(*at),
            _ => {
                if let Some((version, at)) = rulebook.replace(decided) {
                    rulebooks::used(connection, version, at).await?;
                }
            }
        }
    }
    if let Some((version, at)) = rulebook {
        rulebooks::used(connection, version, at).await?;
    }
    Ok(seen)
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

async fn insert(
    connection: &mut SqliteConnection,
    arrival: &Arrival,
    run: &str,
    outcome: Outcome,
    decided: Option<(&str, Timestamp)>,
) -> Result<Seen, Trouble> {
    let Event {
        id,
        kind,
        source,
        endpoint,
        env_id,
        flow_id,
        tenant,
        job_id,
        job_name,
        tap,
        target,
        connector,
        status,
        sync_type,
        error,
        occurred_at,
        received_at,
        ..
    } = &arrival.event;
    let (id, kind, source, outcome) = (id.as_str(), kind.as_str(), source.as_str(), outcome.as_str());
    let (run, subject) = (text(run), text(&arrival.subject));
    let (endpoint, env_id, flow_id, tenant) = (text(endpoint), text(env_id), text(flow_id), text(tenant));
    let (job_id, job_name, tap, target) = (text(job_id), text(job_name), text(tap), text(target));
    let (connector, status, sync_type, error) = (text(connector), text(status), text(sync_type), text(error));
    let (occurred_at, received_at) = (micros(*occurred_at), micros(*received_at));
    let (rulebook, decided_at) = (decided.map(|(version, _)| version), decided.map(|(_, at)| micros(at)));
    let stream_sequence = sequence(arrival.stream_sequence);
    let headers = to_json(&arrival.headers)?;
    let (body, body_redacted) = (arrival.body.as_slice(), arrival.body_redacted);
    let deliveries = sqlx::query_scalar!(
        "INSERT INTO events (id, run, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap, target,
           connector, status, sync_type, error, occurred_at, received_at, outcome, rulebook, decided_at,
           stream_sequence, subject, headers, body_redacted, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
           ?23, ?24, ?25, ?26)
         ON CONFLICT (id) DO UPDATE SET deliveries = deliveries + 1
         RETURNING deliveries",
        id,
        run,
        kind,
        source,
        endpoint,
        env_id,
        flow_id,
        tenant,
        job_id,
        job_name,
        tap,
        target,
        connector,
        status,
        sync_type,
        error,
        occurred_at,
        received_at,
        outcome,
        rulebook,
        decided_at,
        stream_sequence,
        subject,
        headers,
        body_redacted,
        body
    )
    .fetch_one(connection)
    .await?;
    Ok(if deliveries == 1 { Seen::First } else { Seen::Again })
}
