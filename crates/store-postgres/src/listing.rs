//! Events are looked for.

use domain::journal::{EventColumns, EventRow, Filter, Outcome};
use domain::names::EventId;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::attempts::outcome;
use crate::error::Trouble;
use crate::text::{count, instant, micros, sequence, text};

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
    rules: Vec<String>,
    shadow: Vec<String>,
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
            rules: self.rules,
            shadow: self.shadow,
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

pub(crate) async fn by_id(connection: &mut PgConnection, id: &str) -> Result<Option<EventRow>, Trouble> {
    select_rows!("id = $1", id).fetch_optional(connection).await?.map(Row::read).transpose()
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

/// Several statements that see the log as of one moment.
pub(crate) const MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// The oldest transaction that may still enter events: rows get their numbers when they are entered and are seen when
/// they are committed, so that beyond it, rows may still appear before those that are there.
async fn oldest_under_way(connection: &mut PgConnection) -> Result<i64, Trouble> {
    // Whoever writes rows of a table holds this lock on it. The numbers in pg_locks are the lower 32 bits. The look at
    // the locks comes after the snapshot, and the listing's own snapshot after both.
    let oldest = sqlx::query_scalar!(
        r#"WITH next AS MATERIALIZED (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xact)
           SELECT coalesce(min(next.xact - ((next.xact - own.transactionid::text::bigint) & 4294967295)), min(next.xact))
             AS "oldest!"
           FROM next LEFT JOIN (pg_locks AS own JOIN pg_locks AS writes
             ON writes.virtualtransaction = own.virtualtransaction AND own.locktype = 'transactionid'
               AND own.mode = 'ExclusiveLock' AND own.granted AND writes.mode = 'RowExclusiveLock'
               AND writes.relation = 'events'::regclass
               AND writes.database = (SELECT oid FROM pg_database WHERE datname = current_database())) ON TRUE"#
    )
    .fetch_one(connection)
    .await?;
    Ok(oldest)
}

pub(crate) async fn events(
    connection: &mut PgConnection,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<EventRow>, Trouble> {
    let before = match filter.after_row {
        Some(_) => Some(oldest_under_way(connection).await?),
        None => None,
    };
    let mut moment = connection.begin_with(MOMENT).await?;
    let Some(between) = rows_between(&mut moment, filter).await? else { return Ok(Vec::new()) };
    page(&mut moment, filter, between, before, limit).await?.into_iter().map(Row::read).collect()
}

/// The rows that the filter's cursors and times leave; none when there are none. Rows are nearly in order of receipt, so
/// a span of time is a span of rows.
async fn rows_between(connection: &mut PgConnection, filter: &Filter) -> Result<Option<Between>, Trouble> {
    let mut between = Between {
        after: filter.after_row.unwrap_or(i64::MIN),
        before: filter.before_row.unwrap_or(i64::MAX),
    };
    if filter.since.is_some() || filter.until.is_some() {
        let since = filter.since.map_or(i64::MIN, micros);
        let until = filter.until.map_or(i64::MAX, micros);
        // OFFSET 0: else Postgres walks all rows for the first that fits, rather than the index of times.
        let span = sqlx::query!(
            "SELECT min(row) AS first, max(row) AS last FROM
               (SELECT row FROM events WHERE received_at >= $1 AND received_at < $2 OFFSET 0) AS span",
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
    connection: &mut PgConnection,
    filter: &Filter,
    between: Between,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Row>, Trouble> {
    let endpoint = filter.endpoint.as_deref().map(text);
    let endpoint = endpoint.as_deref();
    let tenant = filter.tenant.as_deref().map(text);
    let tenant = tenant.as_deref();
    let env_id = filter.env_id.as_deref().map(text);
    let env_id = env_id.as_deref();
    let flow_id = filter.flow_id.as_deref().map(text);
    let flow_id = flow_id.as_deref();
    let tap = filter.tap.as_deref().map(text);
    let tap = tap.as_deref();
    let job_id = filter.job_id.as_deref().map(text);
    let job_id = job_id.as_deref();
    let kind = filter.kind.as_deref().map(text);
    let kind = kind.as_deref();
    let status = filter.status.as_deref().map(text);
    let status = status.as_deref();
    let outcome = filter.outcome.map(Outcome::as_str);
    let rule = filter.rule.as_deref().map(text);
    let rule = rule.as_deref();
    let error = filter.error.as_deref().map(|error| text(error).to_ascii_lowercase());
    let error = error.as_deref();
    let why = filter.why.as_deref().map(|why| text(why).to_ascii_lowercase());
    let why = why.as_deref();
    let (since, until) = (filter.since.map(micros), filter.until.map(micros));
    let (from, to) = (filter.from_sequence.map(sequence), filter.to_sequence.map(sequence));
    let limit = i64::from(limit);

    macro_rules! page {
        ($lead:literal, $order:literal) => {
            select_rows!(
                $lead
                    + "row > $1 AND row < $2
             AND ($3::text IS NULL OR endpoint = $3)
             AND ($4::text IS NULL OR tenant = $4)
             AND ($5::text IS NULL OR env_id = $5)
             AND ($6::text IS NULL OR flow_id = $6)
             AND ($7::text IS NULL OR tap = $7)
             AND ($8::text IS NULL OR job_id = $8)
             AND ($9::text IS NULL OR kind = $9)
             AND ($10::text IS NULL OR status = $10)
             AND ($11::text IS NULL OR outcome = $11 OR ($11 = 'retrying' AND outcome = 'open' AND why IS NOT NULL))
             AND ($12::text IS NULL OR $12 = ANY (rules))
             AND ($13::text IS NULL OR strpos(lower(error), $13) > 0)
             AND ($14::bigint IS NULL OR received_at >= $14)
             AND ($15::bigint IS NULL OR received_at < $15)
             AND ($16::bigint IS NULL OR (run = 'live' AND stream_sequence >= $16))
             AND ($17::bigint IS NULL OR (run = 'live' AND stream_sequence <= $17))
             AND ($19::bigint IS NULL OR xact < $19)
             AND ($20::text IS NULL OR strpos(lower(why), $20) > 0)
             ORDER BY row "
                    + $order
                    + " LIMIT $18",
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
                before,
                why
            )
            .fetch_all(connection)
            .await
        };
    }

    let oldest_first = filter.after_row.is_some();
    let rows = match (Lead::of(filter), oldest_first) {
        (Lead::Job, false) => page!("left(job_id, 200) = left($8, 200) AND ", "DESC"),
        (Lead::Job, true) => page!("left(job_id, 200) = left($8, 200) AND ", "ASC"),
        (Lead::Tenant, false) => page!("left(tenant, 200) = left($4, 200) AND ", "DESC"),
        (Lead::Tenant, true) => page!("left(tenant, 200) = left($4, 200) AND ", "ASC"),
        (Lead::Outcome, false) => page!("outcome = $11 AND ", "DESC"),
        (Lead::Outcome, true) => page!("outcome = $11 AND ", "ASC"),
        (Lead::Waiting, false) => page!("outcome IN ('retrying', 'open') AND ", "DESC"),
        (Lead::Waiting, true) => page!("outcome IN ('retrying', 'open') AND ", "ASC"),
        (Lead::Status, false) => page!("left(status, 200) = left($10, 200) AND ", "DESC"),
        (Lead::Status, true) => page!("left(status, 200) = left($10, 200) AND ", "ASC"),
        (Lead::Row, false) => page!("", "DESC"),
        (Lead::Row, true) => page!("", "ASC"),
    };
    Ok(rows?)
}
