//! What it takes to put schedules back: how they were, and who changed them last.

use domain::journal::{Before, ScheduleChange, schedule_scope};
use domain::names::EventId;
use domain::plan::StepKey;
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::text::{from_json, instant, micros, text, to_json};

/// Notes how a schedule is before a step changes it. Once an attempt may have changed it, what was noted stands.
pub(crate) async fn note_before(
    connection: &mut SqliteConnection,
    step: &StepKey,
    before: &Before,
) -> Result<(), Trouble> {
    let (key, before) = (text(step.as_str()), to_json(before)?);
    sqlx::query!(
        "UPDATE steps SET schedule_before = ?2
         WHERE key = ?1 AND state = 'claimed' AND (schedule_before IS NULL OR begun <= 1)",
        key,
        before
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What was noted of a step.
pub(crate) async fn before(
    connection: &mut SqliteConnection,
    step: &StepKey,
) -> Result<Option<Before>, Trouble> {
    let step = text(step.as_str());
    let step = &*step;
    let noted = sqlx::query_scalar!("SELECT schedule_before FROM steps WHERE key = ?1", step)
        .fetch_optional(connection)
        .await?;
    noted.flatten().map(|before| from_json(&before, "a schedule as it was")).transpose()
}

/// Changes of schedules that a rule has carried out in a time (`until` not included), oldest first.
pub(crate) async fn schedule_changes(
    connection: &mut SqliteConnection,
    rule: &str,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<ScheduleChange>, Trouble> {
    let (rule, since, until) = (text(rule), micros(since), micros(until));
    let rows = sqlx::query!(
        r#"SELECT steps.event, steps.action, steps.changed_at, steps.schedule_before, events.occurred_at,
             decisions.rulebook AS "rulebook?: String"
           FROM steps JOIN events ON events.id = steps.event
             LEFT JOIN decisions ON decisions.event = steps.event AND decisions.run = steps.run
         WHERE steps.rule = ?1 AND steps.changed_at >= ?2 AND steps.changed_at < ?3 AND steps.state = 'done'
         ORDER BY steps.changed_at, steps.row"#,
        rule,
        since,
        until
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut changes = Vec::new();
    for row in rows {
        let action = from_json(&row.action, "the action of a step")?;
        let Some(scope) = schedule_scope(&action) else { continue };
        changes.push(ScheduleChange {
            event: EventId::from_text(row.event),
            occurred_at: instant(row.occurred_at)?,
            action,
            done_at: instant(row.changed_at)?,
            rulebook: row.rulebook.filter(|version| !version.is_empty()),
            before: match row.schedule_before {
                Some(before) => Some(from_json(&before, "a schedule as it was")?),
                None => None,
            },
            newest: newest(connection, &scope).await?,
        });
    }
    Ok(changes)
}

async fn newest(connection: &mut SqliteConnection, scope: &str) -> Result<Option<EventId>, Trouble> {
    let scope = text(scope);
    let event = sqlx::query_scalar!("SELECT event FROM applied WHERE scope = ?1", scope)
        .fetch_optional(connection)
        .await?;
    Ok(event.map(EventId::from_text))
}
