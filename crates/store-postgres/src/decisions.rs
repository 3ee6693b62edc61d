//! What was decided, once per event and run, and the values that rules remember.

use domain::journal::{Brake, StepState, Verdicts};
use domain::names::EventId;
use domain::plan::{Basis, Decision, LIVE, Verdict};
use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::text::{from_json, instant, key, micros, text, to_json};
use crate::{limits, rulebooks};

/// A row of `decisions`.
struct Row {
    event: String,
    run: String,
    rulebook: String,
    decided_at: i64,
    facts: String,
    verdicts: String,
    steps: String,
    new_values: String,
}

impl Row {
    fn read(self) -> Result<Decision, Trouble> {
        let Basis { facts, flow } = from_json(&self.facts, "the facts of a decision")?;
        Ok(Decision {
            event: EventId::from_text(self.event),
            run: self.run,
            rulebook: self.rulebook,
            decided_at: instant(self.decided_at)?,
            facts,
            flow,
            verdicts: from_json(&self.verdicts, "the verdicts of a decision")?,
            steps: from_json(&self.steps, "the steps of a decision")?,
            new_values: from_json(&self.new_values, "the new values of a decision")?,
        })
    }
}

pub(crate) async fn get(
    connection: &mut PgConnection,
    event: &EventId,
    run: &str,
) -> Result<Option<Decision>, Trouble> {
    let (event, run) = (event.as_str(), text(run));
    let run = &*run;
    sqlx::query_as!(
        Row,
        "SELECT event, run, rulebook, decided_at, facts, verdicts, steps, new_values FROM decisions
         WHERE event = $1 AND run = $2",
        event,
        run
    )
    .fetch_optional(connection)
    .await?
    .map(Row::read)
    .transpose()
}

/// Of all runs, oldest first.
pub(crate) async fn all(connection: &mut PgConnection, event: &EventId) -> Result<Vec<Decision>, Trouble> {
    let event = event.as_str();
    sqlx::query_as!(
        Row,
        "SELECT event, run, rulebook, decided_at, facts, verdicts, steps, new_values FROM decisions
         WHERE event = $1 ORDER BY decided_at, run",
        event
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}

/// None when a value that the rules had read is another by now: nothing is written then.
///
/// Decisions of one scope that read or set values are written one after another; of two about the same event, the
/// second waits for the first by its key.
pub(crate) async fn record(
    connection: &mut PgConnection,
    verdicts: Verdicts<'_>,
) -> Result<Option<Decision>, Trouble> {
    let decision = verdicts.decision;
    if let Some(known) = get(connection, &decision.event, &decision.run).await? {
        return Ok(Some(known));
    }
    if !values_stand(connection, verdicts).await? {
        return Ok(None);
    }
    if !insert(connection, decision).await? {
        return get(connection, &decision.event, &decision.run).await;
    }
    let held = limits::held_rules(connection, decision, verdicts.brake).await?;
    if decision.run != LIVE || !held.is_empty() {
        lock_event(connection, &decision.event).await?;
    }
    limits::supersede_held(connection, decision, &held).await?;
    plan_steps(connection, decision, &held).await?;
    remember_values(connection, verdicts).await?;
    if let Brake::On { .. } = verdicts.brake {
        mark_event(connection, decision).await?;
    }
    rulebooks::used(connection, &decision.rulebook, decision.decided_at).await?;
    Ok(Some(decision.clone()))
}

/// Puts a decision in the place of the one of that instant, which could not be carried out; another one stays. Steps
/// that both have stay as they are in the ledger, because a step's key is its meaning.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    decided_at: Timestamp,
    verdicts: Verdicts<'_>,
) -> Result<Option<Decision>, Trouble> {
    if !values_stand(connection, verdicts).await? {
        return Ok(None);
    }
    let (event, run) = (verdicts.decision.event.as_str(), text(&verdicts.decision.run));
    let run = &*run;
    let decided_at = micros(decided_at);
    sqlx::query!(
        "DELETE FROM decisions WHERE event = $1 AND run = $2 AND decided_at = $3",
        event,
        run,
        decided_at
    )
    .execute(&mut *connection)
    .await?;
    record(connection, verdicts).await
}

/// Are the values that the rules had read still the last ones? They are until the transaction ends.
async fn values_stand(connection: &mut PgConnection, verdicts: Verdicts<'_>) -> Result<bool, Trouble> {
    if verdicts.decision.facts.last_values.is_empty() && verdicts.new_values().is_empty() {
        return Ok(true);
    }
    let scope = key(verdicts.scope);
    let scope = &*scope;
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", scope)
        .execute(&mut *connection)
        .await?;
    for (rule, read) in &verdicts.decision.facts.last_values {
        if last_value(connection, rule, verdicts.scope).await? != *read {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Before any of its steps, as whoever drops what is held does: of two that took them the other way round, one would be ended by the
/// database. After the rules' own locks, for the same reason.
async fn lock_event(connection: &mut PgConnection, event: &EventId) -> Result<(), Trouble> {
    let event = event.as_str();
    sqlx::query!("SELECT id FROM events WHERE id = $1 FOR NO KEY UPDATE", event)
        .fetch_optional(connection)
        .await?;
    Ok(())
}

/// False when there is one already.
async fn insert(connection: &mut PgConnection, decision: &Decision) -> Result<bool, Trouble> {
    let (event, run, rulebook) = (decision.event.as_str(), text(&decision.run), text(&decision.rulebook));
    let decided_at = micros(decision.decided_at);
    let (facts, verdicts) = (to_json(&decision.basis())?, to_json(&decision.verdicts)?);
    let (steps, new_values) = (to_json(&decision.steps)?, to_json(&decision.new_values)?);
    let (run, rulebook) = (&*run, &*rulebook);
    let done = sqlx::query!(
        "INSERT INTO decisions (event, run, rulebook, decided_at, facts, verdicts, steps, new_values)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (event, run) DO NOTHING",
        event,
        run,
        rulebook,
        decided_at,
        facts,
        verdicts,
        steps,
        new_values
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn plan_steps(
    connection: &mut PgConnection,
    decision: &Decision,
    held: &[&str],
) -> Result<(), Trouble> {
    let (event, run, now) = (decision.event.as_str(), text(&decision.run), micros(decision.decided_at));
    for step in &decision.steps {
        let (key, rule, action) = (text(step.key.as_str()), text(&step.rule), to_json(&step.action)?);
        let (key, rule, run, place) = (&*key, &*rule, &*run, i64::try_from(step.place).unwrap_or(i64::MAX));
        let is_held = held.contains(&step.rule.as_str());
        let state = if is_held { StepState::Held } else { StepState::Pending }.as_str();
        // Two steps of one key are one step: the same effect of the same rule.
        sqlx::query!(
            "INSERT INTO steps (key, event, run, rule, place, action, state, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (key) DO NOTHING",
            key,
            event,
            run,
            rule,
            place,
            action,
            state,
            now
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn remember_values(connection: &mut PgConnection, verdicts: Verdicts<'_>) -> Result<(), Trouble> {
    let scope = key(verdicts.scope);
    let (occurred_at, used_at) = (micros(verdicts.occurred_at), micros(verdicts.decision.decided_at));
    for new in verdicts.new_values() {
        let (rule, scope, value) = (key(&new.rule), &*scope, to_json(&new.value)?);
        let rule = &*rule;
        sqlx::query!(
            "INSERT INTO last_values (rule, scope, value, occurred_at, used_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (rule, scope) DO UPDATE
             SET value = excluded.value, occurred_at = excluded.occurred_at,
               used_at = greatest(last_values.used_at, excluded.used_at)
             WHERE excluded.occurred_at >= last_values.occurred_at",
            rule,
            scope,
            value,
            occurred_at,
            used_at
        )
        .execute(&mut *connection)
        .await?;
    }
    // A value that is met again stays remembered, as that of the newest event that met it.
    for rule in verdicts.met_again() {
        let (rule, scope) = (key(&rule), &*scope);
        let rule = &*rule;
        sqlx::query!(
            "UPDATE last_values
                 SET used_at = greatest(used_at, $3), occurred_at = greatest(occurred_at, $4)
                 WHERE rule = $1 AND scope = $2",
            rule,
            scope,
            used_at,
            occurred_at
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn mark_event(connection: &mut PgConnection, decision: &Decision) -> Result<(), Trouble> {
    let took: Vec<String> = decision
        .verdicts
        .iter()
        .filter(|given| {
            matches!(given.verdict, Verdict::Matched { .. } | Verdict::Shadow { .. } | Verdict::Broken { .. })
        })
        .map(|given| text(&given.rule).into_owned())
        .collect();
    let in_shadow = decision.verdicts.iter().filter(|given| given.verdict.is_shadow());
    let shadow: Vec<String> = in_shadow.map(|given| text(&given.rule).into_owned()).collect();
    let (event, rulebook) = (decision.event.as_str(), text(&decision.rulebook));
    let rulebook = &*rulebook;
    let decided_at = micros(decision.decided_at);
    sqlx::query!(
        "UPDATE events SET rules = $2, rulebook = $3, decided_at = $4, shadow = $5,
           outcome = CASE outcome WHEN 'no_rule' THEN 'open' ELSE outcome END
         WHERE id = $1",
        event,
        &took,
        rulebook,
        decided_at,
        &shadow
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn last_value(
    connection: &mut PgConnection,
    rule: &str,
    scope: &str,
) -> Result<Option<String>, Trouble> {
    let (rule, scope) = (key(rule), key(scope));
    let (rule, scope) = (&*rule, &*scope);
    sqlx::query_scalar!("SELECT value FROM last_values WHERE rule = $1 AND scope = $2", rule, scope)
        .fetch_optional(connection)
        .await?
        .map(|value| from_json(&value, "a rule's last value"))
        .transpose()
}
