//! Recorded events in the order in which they came in, many at a time, with what was decided about them.

use domain::journal::{Recorded, Rows, Span};
use domain::names::EventId;
use domain::plan::{Basis, Decision};
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::text::{from_json, instant, micros, text};

/// A row of `events` with the decision of its live run, if there is one.
struct Row {
    row: i64,
    id: String,
    kind: String,
    source: String,
    endpoint: String,
    env_id: String,
    flow_id: String,
    tenant: String,
    received_at: i64,
    rulebook: Option<String>,
    decided_at: Option<i64>,
    live_rulebook: Option<String>,
    live_decided_at: Option<i64>,
    facts: Option<String>,
    verdicts: Option<String>,
    steps: Option<String>,
    new_values: Option<String>,
    body: Option<Vec<u8>>,
}

impl Row {
    fn read(self) -> Result<Recorded, Trouble> {
        let id = EventId::from_text(self.id);
        let decision = match (self.live_rulebook, self.live_decided_at) {
            (Some(rulebook), Some(decided_at)) => {
                let Basis { facts, flow } =
                    from_json(&self.facts.unwrap_or_default(), "the facts of a decision")?;
                Some(Decision {
                    event: id.clone(),
                    run: domain::plan::LIVE.to_owned(),
                    rulebook,
                    decided_at: instant(decided_at)?,
                    facts,
                    flow,
                    verdicts: from_json(&self.verdicts.unwrap_or_default(), "the verdicts of a decision")?,
                    steps: from_json(&self.steps.unwrap_or_default(), "the steps of a decision")?,
                    new_values: from_json(
                        &self.new_values.unwrap_or_default(),
                        "the new values of a decision",
                    )?,
                })
            }
            _ => None,
        };
        let decided_by = decision.as_ref().map(|decision| decision.rulebook.clone());
        Ok(Recorded {
            row: self.row,
            id,
            kind: self.kind,
            source: self.source,
            endpoint: self.endpoint,
            env_id: self.env_id,
            flow_id: self.flow_id,
            tenant: self.tenant,
            received_at: instant(self.received_at)?,
            body: self.body,
            rulebook: decided_by.or(self.rulebook),
            decided_at: match &decision {
                Some(decision) => Some(decision.decided_at),
                None => self.decided_at.map(instant).transpose()?,
            },
            decision,
        })
    }
}

/// None when there is no such event.
pub(crate) async fn rows(connection: &mut PgConnection, span: &Span) -> Result<Option<Rows>, Trouble> {
    let (since, until) = times(span);
    let tenant = span.tenant.as_deref().map(text);
    let tenant = tenant.as_deref();
    let found = sqlx::query!(
        r#"SELECT min(row) AS "first", max(row) AS "last", count(*) AS "number!" FROM events
           WHERE received_at >= $1 AND received_at < $2 AND ($3::text IS NULL OR tenant = $3)"#,
        since,
        until,
        tenant
    )
    .fetch_one(connection)
    .await?;
    let (Some(first), Some(last)) = (found.first, found.last) else { return Ok(None) };
    Ok(Some(Rows { first, last, number: u64::try_from(found.number).unwrap_or_default() }))
}

/// Oldest first, from behind the row `after`.
pub(crate) async fn page(
    connection: &mut PgConnection,
    span: &Span,
    rows: Rows,
    after: i64,
    limit: u32,
) -> Result<Vec<Recorded>, Trouble> {
    let (since, until) = times(span);
    let tenant = span.tenant.as_deref().map(text);
    let tenant = tenant.as_deref();
    let after = after.max(rows.first.saturating_sub(1));
    let kinds: Vec<String> = span.bodies_of.iter().map(|kind| kind.as_str().to_owned()).collect();
    let limit = i64::from(limit);
    sqlx::query_as!(
        Row,
        r#"SELECT e.row, e.id, e.kind, e.source, e.endpoint, e.env_id, e.flow_id, e.tenant, e.received_at,
             e.rulebook, e.decided_at,
             d.rulebook AS "live_rulebook?", d.decided_at AS "live_decided_at?", d.facts AS "facts?",
             d.verdicts AS "verdicts?", d.steps AS "steps?", d.new_values AS "new_values?",
             CASE WHEN e.kind = ANY($6) THEN e.body END AS "body?"
           FROM events e LEFT JOIN decisions d ON d.event = e.id AND d.run = 'live'
           WHERE e.row > $1 AND e.row <= $2 AND e.received_at >= $3 AND e.received_at < $4
             AND ($5::text IS NULL OR e.tenant = $5)
           ORDER BY e.row LIMIT $7"#,
        after,
        rows.last,
        since,
        until,
        tenant,
        &kinds,
        limit
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}

fn times(span: &Span) -> (i64, i64) {
    (span.since.map_or(i64::MIN, micros), span.until.map_or(i64::MAX, micros))
}
