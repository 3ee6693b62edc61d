//! All that is known of one event.

use domain::journal::EventRecord;
use domain::names::EventId;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::listing::MOMENT;
use crate::text::from_json;
use crate::{attempts, decisions, ledger, listing};

/// Fewer characters would name events by accident.
const SHORTEST: usize = 6;
/// So many events are named when a prefix is that of several.
const CANDIDATES: usize = 5;

/// `named` is an id or how it begins.
pub(crate) async fn event(
    connection: &mut PgConnection,
    named: &str,
) -> Result<Option<EventRecord>, Trouble> {
    // As of one moment.
    let mut moment = connection.begin_with(MOMENT).await?;
    let connection = &mut *moment;
    let Some(id) = find(connection, named).await? else { return Ok(None) };
    let id = id.as_str();
    let Some(row) = listing::by_id(connection, id).await? else { return Ok(None) };
    let more = sqlx::query!(r#"SELECT subject, headers, body_redacted, body FROM events WHERE id = $1"#, id)
        .fetch_one(&mut *connection)
        .await?;
    let id = EventId::from_text(id);
    Ok(Some(EventRecord {
        row,
        subject: more.subject,
        headers: from_json(&more.headers, "the headers of an event")?,
        body: more.body,
        body_redacted: more.body_redacted,
        decisions: decisions::all(&mut *connection, &id).await?,
        steps: ledger::steps(&mut *connection, &id, None).await?,
        attempts: attempts::all(connection, &id).await?,
    }))
}

async fn find(connection: &mut PgConnection, named: &str) -> Result<Option<String>, Trouble> {
    let begin = named.trim().to_ascii_lowercase();
    // After every id that begins so: ids are hex digits.
    let end = format!("{begin}\u{10ffff}");
    let most = i64::try_from(CANDIDATES + 1).unwrap_or(i64::MAX);
    let mut found = sqlx::query_scalar!(
        "SELECT id FROM events WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3",
        begin,
        end,
        most
    )
    .fetch_all(connection)
    .await?;
    if found.first() == Some(&begin) {
        return Ok(Some(begin));
    }
    if begin.chars().count() < SHORTEST {
        return Err(Trouble::Refused(format!(
            "{named:?} is too short to name an event: give its id, or at least the first {SHORTEST} characters"
        )));
    }
    if found.len() > 1 {
        let more = if found.len() > CANDIDATES { " and more" } else { "" };
        found.truncate(CANDIDATES);
        return Err(Trouble::Refused(format!(
            "several events begin with {named}: {}{more}; give more characters",
            found.join(", ")
        )));
    }
    Ok(found.pop())
}
