//! Events are looked for.

use domain::journal::{EventColumns, EventRow, Filter, Outcome};
use domain::names::EventId;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::attempts::outcome;
use crate::error::Trouble;
use crate::text::{count, from_json, instant, micros, sequence, text};

/// A row of `events`, without what a listing does not show.
struct Row {
    row: i64,
    id: String,
    kind: String,
    source: String,
    endpoint: String,
    env_id: String,
    flow_id: String,
    tenant: String,
    job_id: String,
    job_name: String,
    tap: String,
    target: String,
    connector: String,
    status: String,
    sync_type: String,
    error: String,
    occurred_at: i64,
    received_at: i64,
    outcome: String,
    why: Option<String>,
    rules: String,
    shadow: String,
    rulebook: Option<String>,
    deliveries: i64,
    failures: i64,
    stream_sequence: i64,
}

impl Row {
    fn read(self) -> Result<EventRow, Trouble> {
        Ok(EventRow {
            row: self.row,
            event: EventColumns {
                id: EventId::from_text(self.id),
                kind: self.kind,
                source: self.source,
                endpoint: self.endpoint,
                env_id: self.env_id,
                flow_id: self.flow_id,
                tenant: self.tenant,
                job_id: self.job_id,
                job_name: self.job_name,
                tap: self.tap,
                target: self.target,
                connector: self.connector,
                status: self.status,
                sync_type: self.sync_type,
                error: self.error,
                occurred_at: instant(self.occurred_at)?,
                received_at: instant(self.received_at)?,
            },
            outcome: outcome(&self.outcome)?,
            rules: from_json(&self.rules, "the rules of an event")?,
            shadow: from_json(&self.shadow, "the rules of an event in shadow")?,
            rulebook: self.rulebook,
            deliveries: count(self.deliveries),
            failures: count(self.failures),
            why: self.why,
            stream_sequence: u64::try_from(self.stream_sequence).unwrap_or_default(),
        })
    }
}

/// `query_as!` over the columns of [`Row`]; the rest of the statement follows.
macro_rules! select_rows {
    ($rest:expr, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT row, id, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap, target,
               connector, status, sync_type, error, occurred_at, received_at, outcome, why, rules, shadow,
               rulebook, deliveries, failures, stream_sequence
             FROM events WHERE " + $rest,
            $($argument),*
        )
    };
}

pub(crate) async fn by_id(connection: &mut SqliteConnection, id: &str) -> Result<Option<EventRow>, Trouble> {
    select_rows!("id = ?1", id).fetch_optional(connection).await?.map(Row::read).transpose()
}

/// Rows strictly between.
#[derive(Debug, Clone, Copy)]
struct Between {
    after: i64,
    before: i64,
}

/// What leads to the rows. A statement is checked when it is compiled, so there is one for each index.
#[derive(Debug, Clone, Copy)]
enum Lead {
    Job,
    Tenant,
    Outcome,
    /// What is open may be found as retrying.
    Waiting,
    Status,
    Row,
}

impl Lead {
    fn of(filter: &Filter) -> Self {
        // Most events have one of these outcomes: there it is quicker to walk the rows.
        let common = matches!(filter.outcome, None | Some(Outcome::Done | Outcome::NoRule));
        match filter {
            Filter { job_id: Some(_), .. } => Self::Job,
            Filter { tenant: Some(_), .. } => Self::Tenant,
            Filter { outcome: Some(Outcome::Retrying), .. } => Self::Waiting,
            _ if !common => Self::Outcome,
            Filter { status: Some(_), .. } => Self::Status,
            _ => Self::Row,
        }
    }
}

pub(crate) async fn events(
    connection: &mut SqliteConnection,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<EventRow>, Trouble> {
    // As of one moment.
    let mut moment = connection.begin().await?;
    let Some(between) = rows_between(&mut moment, filter).await? else { return Ok(Vec::new()) };
    page(&mut moment, filter, between, limit).await?.into_iter().map(Row::read).collect()
}

/// The rows that the filter's cursors and times leave; none when there are none. Rows are nearly in order of receipt, so
/// a span of time is a span of rows.
async fn rows_between(
    connection: &mut SqliteConnection,
    filter: &Filter,
) -> Result<Option<Between>, Trouble> {
    let mut between = Between {
        after: filter.after_row.unwrap_or(i64::MIN),
        before: filter.before_row.unwrap_or(i64::MAX),
    };
    if filter.since.is_some() || filter.until.is_some() {
        let since = filter.since.map_or(i64::MIN, micros);
        let until = filter.until.map_or(i64::MAX, micros);
        let span = sqlx::query!(
            r#"SELECT min(row) AS "first: i64", max(row) AS "last: i64" FROM events
               WHERE received_at >= ?1 AND received_at < ?2"#,
            since,
            until
        )
        .fetch_one(connection)
        .await?;
        let (Some(first), Some(last)) = (span.first, span.last) else { return Ok(None) };
        between.after = between.after.max(first - 1);
        between.before = between.before.min(last.saturating_add(1));
    }
    Ok(Some(between))
}

async fn page(
    connection: &mut SqliteConnection,
    filter: &Filter,
    between: Between,
    limit: u32,
) -> Result<Vec<Row>, Trouble> {
    let endpoint = filter.endpoint.as_deref().map(text);
    let tenant = filter.tenant.as_deref().map(text);
    let env_id = filter.env_id.as_deref().map(text);
    let flow_id = filter.flow_id.as_deref().map(text);
    let tap = filter.tap.as_deref().map(text);
    let job_id = filter.job_id.as_deref().map(text);
    let kind = filter.kind.as_deref().map(text);
    let status = filter.status.as_deref().map(text);
    let outcome = filter.outcome.map(Outcome::as_str);
    let rule = filter.rule.as_deref().map(text);
    let error = filter.error.as_deref().map(text);
    let why = filter.why.as_deref().map(text);
    let (since, until) = (filter.since.map(micros), filter.until.map(micros));
    let (from, to) = (filter.from_sequence.map(sequence), filter.to_sequence.map(sequence));
    let limit = i64::from(limit);

    macro_rules! page {
        ($lead:literal, $order:literal) => {
            select_rows!(
                $lead
                    + "row > ?1 AND row < ?2
             AND (?3 IS NULL OR endpoint = ?3)
             AND (?4 IS NULL OR tenant = ?4)
             AND (?5 IS NULL OR env_id = ?5)
             AND (?6 IS NULL OR flow_id = ?6)
             AND (?7 IS NULL OR tap = ?7)
             AND (?8 IS NULL OR job_id = ?8)
             AND (?9 IS NULL OR kind = ?9)
             AND (?10 IS NULL OR status = ?10)
             AND (?11 IS NULL OR outcome = ?11 OR (?11 = 'retrying' AND outcome = 'open' AND why IS NOT NULL))
             AND (?12 IS NULL OR EXISTS (SELECT 1 FROM json_each(events.rules) WHERE json_each.value = ?12))
             AND (?13 IS NULL OR instr(lower(error), lower(?13)) > 0)
             AND (?14 IS NULL OR received_at >= ?14)
             AND (?15 IS NULL OR received_at < ?15)
             AND (?16 IS NULL OR (run = 'live' AND stream_sequence >= ?16))
             AND (?17 IS NULL OR (run = 'live' AND stream_sequence <= ?17))
             AND (?19 IS NULL OR instr(lower(why), lower(?19)) > 0)
             ORDER BY row "
                    + $order
                    + " LIMIT ?18",
                between.after,
                between.before,
                endpoint,
                tenant,
                env_id,
                flow_id,
                tap,
                job_id,
                kind,
                status,
                outcome,
                rule,
                error,
                since,
                until,
                from,
                to,
                limit,
                why
            )
            .fetch_all(connection)
            .await
        };
    }

    let oldest_first = filter.after_row.is_some();
    let rows = match (Lead::of(filter), oldest_first) {
        (Lead::Job, false) => page!("job_id = ?8 AND ", "DESC"),
        (Lead::Job, true) => page!("job_id = ?8 AND ", "ASC"),
        (Lead::Tenant, false) => page!("tenant = ?4 AND ", "DESC"),
        (Lead::Tenant, true) => page!("tenant = ?4 AND ", "ASC"),
        (Lead::Outcome, false) => page!("outcome = ?11 AND ", "DESC"),
        (Lead::Outcome, true) => page!("outcome = ?11 AND ", "ASC"),
        (Lead::Waiting, false) => page!("outcome IN ('retrying', 'open') AND ", "DESC"),
        (Lead::Waiting, true) => page!("outcome IN ('retrying', 'open') AND ", "ASC"),
        (Lead::Status, false) => page!("status = ?10 AND ", "DESC"),
        (Lead::Status, true) => page!("status = ?10 AND ", "ASC"),
        (Lead::Row, false) => page!("", "DESC"),
        (Lead::Row, true) => page!("", "ASC"),
    };
    Ok(rows?)
}
