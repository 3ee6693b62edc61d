//! Rules with a limit: whom they touched, which are paused, and what is held then.

use std::time::Duration;

use domain::journal::{Brake, HeldStep, Paused, StepState, decided_anew, pause_alert};
use domain::names::EventId;
use domain::plan::{Decision, LIVE, Step, StepKey};
use domain::rulebook::Limit;
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::ledger;
use crate::text::{count, from_json, instant, micros, text, to_json};

/// Why a message about a pause was dropped, which no person has decided.
pub(crate) const UNTOLD: &str = "the pause was over before this could be told";

/// The rules of a decision whose steps are to be held. A rule for which the tenant is one too many is paused, with the
/// message that tells people; for any other the tenant is noted. Of a rule whose steps are planned already nothing
/// changes.
pub(crate) async fn held_rules<'a>(
    connection: &mut SqliteConnection,
    decision: &'a Decision,
    brake: Brake<'_>,
) -> Result<Vec<&'a str>, Trouble> {
    let Brake::On { tenant, limits } = brake else { return Ok(Vec::new()) };
    let mut rules: Vec<_> = decision.steps.iter().map(|step| step.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let mut held = Vec::new();
    for rule in rules {
        let limit = limits.iter().find(|(limited, _)| limited == rule).map(|(_, limit)| *limit);
        // A pause outlives its limit.
        let was_paused = is_paused(connection, rule).await?;
        if !was_paused && limit.is_none() {
            continue;
        }
        if is_planned(connection, decision, rule).await? {
            continue;
        }
        if was_paused {
            held.push(rule);
        } else if let Some(limit) = limit
            && !touch(connection, rule, tenant, limit, decision.decided_at).await?
        {
            pause(connection, decision, rule, limit, tenant).await?;
            held.push(rule);
        }
    }
    Ok(held)
}

/// What is still held of an earlier decision about the event gives way to what the same rule has decided now.
pub(crate) async fn supersede_held(
    connection: &mut SqliteConnection,
    decision: &Decision,
    held: &[&str],
) -> Result<(), Trouble> {
    let (event, run, now) = (decision.event.as_str(), text(&decision.run), micros(decision.decided_at));
    let why = decided_anew(&decision.run);
    let why = text(&why);
    let mut rules: Vec<_> = decision.steps.iter().map(|step| step.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    // The first decision about an event finds something held only where a replay has come before it.
    rules.retain(|rule| decision.run != LIVE || held.contains(rule));
    for rule in rules {
        let (rule, run, why) = (text(rule), &*run, &*why);
        let rule = &*rule;
        sqlx::query!(
            "UPDATE steps SET state = 'superseded', error = ?4, released_at = NULL, changed_at = ?5
             WHERE event = ?1 AND rule = ?2 AND run <> ?3 AND state = 'held'",
            event,
            rule,
            run,
            why,
            now
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn is_paused(connection: &mut SqliteConnection, rule: &str) -> Result<bool, Trouble> {
    let rule = text(rule);
    let found = sqlx::query_scalar!(r#"SELECT 1 AS "found!: i64" FROM pauses WHERE rule = ?1"#, rule)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

async fn is_planned(
    connection: &mut SqliteConnection,
    decision: &Decision,
    rule: &str,
) -> Result<bool, Trouble> {
    let (event, run, rule) = (decision.event.as_str(), text(&decision.run), text(rule));
    let found = sqlx::query_scalar!(
        r#"SELECT 1 AS "found!: i64" FROM steps WHERE event = ?1 AND run = ?2 AND rule = ?3 LIMIT 1"#,
        event,
        run,
        rule
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Notes that a rule touches a tenant; false, and nothing noted, when that would be one too many. A tenant that was
/// touched within the time adds nothing.
async fn touch(
    connection: &mut SqliteConnection,
    rule: &str,
    tenant: &str,
    limit: Limit,
    now: Timestamp,
) -> Result<bool, Trouble> {
    let (rule, tenant, now) = (text(rule), text(tenant), micros(now));
    let since = now.saturating_sub(length(limit.per));
    let touched = sqlx::query!(
        r#"SELECT count(*) AS "tenants!: i64", coalesce(max(tenant = ?2), 0) AS "known!: bool" FROM touched
           WHERE rule = ?1 AND at > ?3"#,
        rule,
        tenant,
        since
    )
    .fetch_one(&mut *connection)
    .await?;
    if !touched.known && touched.tenants >= i64::from(limit.tenants) {
        return Ok(false);
    }
    sqlx::query!(
        "INSERT INTO touched (rule, tenant, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (rule, tenant) DO UPDATE SET at = max(touched.at, excluded.at)",
        rule,
        tenant,
        now
    )
    .execute(connection)
    .await?;
    Ok(true)
}

async fn pause(
    connection: &mut SqliteConnection,
    decision: &Decision,
    rule: &str,
    limit: Limit,
    tenant: &str,
) -> Result<(), Trouble> {
    let alert = pause_alert(decision, rule, limit, tenant);
    let (rule, now, per) = (text(rule), micros(decision.decided_at), length(limit.per));
    let (key, action) = (text(alert.key.as_str()), to_json(&alert.action)?);
    let (rule, key) = (&*rule, &*key);
    let (event, run) = (decision.event.as_str(), text(&decision.run));
    let (run, place) = (&*run, i64::try_from(alert.place).unwrap_or(i64::MAX));
    let tenants = i64::from(limit.tenants);
    sqlx::query!(
        "INSERT INTO pauses (rule, paused_at, tenants, per, alert) VALUES (?1, ?2, ?3, ?4, ?5)",
        rule,
        now,
        tenants,
        per,
        key
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO steps (key, event, run, rule, place, action, changed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO NOTHING",
        key,
        event,
        run,
        rule,
        place,
        action,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Rules that are paused, and those of which something is still held, by name.
pub(crate) async fn paused(connection: &mut SqliteConnection) -> Result<Vec<Paused>, Trouble> {
    sqlx::query!(
        r#"SELECT rules.rule AS "rule!: String", pauses.paused_at AS "paused_at?: i64", pauses.tenants AS "tenants?: i64",
             pauses.per AS "per?: i64", alerts.state AS "alert?: String",
             (SELECT count(*) FROM steps WHERE state = 'held' AND rule = rules.rule) AS "steps!: i64",
             (SELECT count(DISTINCT event) FROM steps WHERE state = 'held' AND rule = rules.rule) AS "events!: i64",
             (SELECT count(DISTINCT events.env_id || '/' || events.tenant) FROM steps
                JOIN events ON events.id = steps.event
              WHERE steps.state = 'held' AND steps.rule = rules.rule) AS "held_tenants!: i64"
           FROM (SELECT rule FROM pauses UNION SELECT rule FROM steps WHERE state = 'held') AS rules
             LEFT JOIN pauses ON pauses.rule = rules.rule
             LEFT JOIN steps AS alerts ON alerts.key = pauses.alert
           ORDER BY rules.rule"#
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Paused {
            rule: row.rule,
            since: row.paused_at.map(instant).transpose()?,
            limit_tenants: row.tenants.map(count),
            limit_seconds: row.per.map(|per| Duration::from_micros(per.unsigned_abs()).as_secs()),
            alert: row.alert.as_deref().map(ledger::state).transpose()?,
            held_events: count(row.events),
            held_tenants: count(row.held_tenants),
            held_steps: count(row.steps),
        })
    })
    .collect()
}

/// The messages about pauses that have not been sent, each with the tenant whose event it is of.
pub(crate) async fn alerts(connection: &mut SqliteConnection) -> Result<Vec<(Step, String)>, Trouble> {
    let (pending, claimed) = (StepState::Pending.as_str(), StepState::Claimed.as_str());
    sqlx::query!(
        "SELECT steps.key, steps.rule, steps.place, steps.action, events.tenant FROM pauses
           JOIN steps ON steps.key = pauses.alert JOIN events ON events.id = steps.event
         WHERE steps.state IN (?1, ?2) ORDER BY pauses.paused_at",
        pending,
        claimed
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| {
        let step = Step {
            key: StepKey(row.key),
            rule: row.rule,
            place: usize::try_from(row.place)
                .map_err(|error| Trouble::unreadable("the place of a step", error))?,
            action: from_json(&row.action, "the action of a step")?,
        };
        Ok((step, row.tenant))
    })
    .collect()
}

/// What is held of a rule, in the order in which it was decided.
pub(crate) async fn held(connection: &mut SqliteConnection, rule: &str) -> Result<Vec<HeldStep>, Trouble> {
    let rule = text(rule);
    sqlx::query!(
        r#"SELECT steps.event, steps.run, steps.key, steps.action, steps.released_at IS NOT NULL AS "released!: bool",
             events.env_id, events.tenant, events.occurred_at, events.stream_sequence
           FROM steps JOIN events ON events.id = steps.event
           WHERE steps.state = 'held' AND steps.rule = ?1 ORDER BY steps.row"#,
        rule
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| {
        Ok(HeldStep {
            event: EventId::from_text(row.event),
            run: row.run,
            env_id: row.env_id,
            tenant: row.tenant,
            occurred_at: instant(row.occurred_at)?,
            stream_sequence: row.stream_sequence.unsigned_abs(),
            key: StepKey(row.key),
            action: from_json(&row.action, "the action of a step")?,
            released: row.released,
        })
    })
    .collect()
}

/// A rule acts again, and what is held may be taken up. How many steps were released by this.
pub(crate) async fn release(
    connection: &mut SqliteConnection,
    rule: &str,
    now: Timestamp,
) -> Result<u64, Trouble> {
    end_pause(connection, rule, now).await?;
    let (rule, now) = (text(rule), micros(now));
    let released = sqlx::query!(
        "UPDATE steps SET released_at = ?2 WHERE state = 'held' AND rule = ?1 AND released_at IS NULL",
        rule,
        now
    )
    .execute(connection)
    .await?;
    Ok(released.rows_affected())
}

/// A rule acts again, and what is held is never done. How many steps that is.
pub(crate) async fn drop_held(
    connection: &mut SqliteConnection,
    rule: &str,
    why: &str,
    now: Timestamp,
) -> Result<u64, Trouble> {
    end_pause(connection, rule, now).await?;
    let (rule, why, now) = (text(rule), text(why), micros(now));
    let (rule, why) = (&*rule, &*why);
    let dropped = sqlx::query!(
        "UPDATE steps SET state = 'dropped', error = ?2, changed_at = ?3 WHERE state = 'held' AND rule = ?1",
        rule,
        why,
        now
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    sqlx::query!(
        "UPDATE events SET why = ?3, outcome =
           CASE WHEN EXISTS (SELECT 1 FROM steps WHERE event = events.id AND state = 'folded') THEN 'folded' ELSE 'dropped' END
         WHERE outcome = 'held' AND id IN (SELECT event FROM steps WHERE rule = ?1 AND changed_at = ?2)
           AND NOT EXISTS (SELECT 1 FROM steps WHERE event = events.id AND state = 'held')",
        rule,
        now,
        why
    )
    .execute(connection)
    .await?;
    Ok(dropped)
}

/// The time in which tenants are counted begins anew, or the next tenant would be one too many again.
async fn end_pause(connection: &mut SqliteConnection, rule: &str, now: Timestamp) -> Result<(), Trouble> {
    let (rule, now) = (text(rule), micros(now));
    let rule = &*rule;
    sqlx::query!(
        "UPDATE steps SET state = 'dropped', error = ?3, changed_at = ?2
         WHERE state = 'pending' AND key IN (SELECT alert FROM pauses WHERE rule = ?1)",
        rule,
        now,
        UNTOLD
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM pauses WHERE rule = ?1", rule).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM touched WHERE rule = ?1", rule).execute(connection).await?;
    Ok(())
}

/// Steps of live decisions that are not done and were planned: those that are held, that a person has dropped, and that failed for good.
pub(crate) async fn undone(connection: &mut SqliteConnection) -> Result<Vec<StepKey>, Trouble> {
    let keys = sqlx::query_scalar!(
        "SELECT key FROM steps WHERE state IN ('held', 'dropped', 'failed', 'skipped') AND run = ?1",
        LIVE
    )
    .fetch_all(connection)
    .await?;
    Ok(keys.into_iter().map(StepKey).collect())
}

fn length(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
