//! Storms: which are to be told, who tells them, and what Slack has taken.

use domain::action::Action;
use domain::correction::{Otherwise, corrections};
use domain::journal::{
    Message, NOTHING_TO_SWITCH_OFF, Posted, StepState, Storm, StormEnd, StormState, Telling,
};
use domain::names::EventId;
use domain::storm::{MOST_TENANTS, in_short};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::ledger;
use crate::limits::UNTOLD;
use crate::text::{count, from_json, instant, micros, text};

/// A row of `storms`.
struct Row {
    id: i64,
    kind: String,
    rule: String,
    env_id: String,
    flow_id: String,
    run: String,
    channel: Option<String>,
    shape: String,
    example: String,
    state: String,
    per: i64,
    since: i64,
    last_at: i64,
    alone: i64,
    folded: i64,
    told: i64,
    told_at: Option<i64>,
    message_channel: Option<String>,
    message_ts: Option<String>,
    failures: i64,
    why: Option<String>,
}

impl Row {
    async fn read(self, connection: &mut SqliteConnection) -> Result<Storm, Trouble> {
        let most = i64::try_from(MOST_TENANTS).unwrap_or(i64::MAX);
        let newest = sqlx::query!(
            r#"SELECT events.tenant AS "tenant!: String", max(steps.storm_number) AS "newest!: i64", count(*) OVER () AS "tenants!: i64"
               FROM steps JOIN events ON events.id = steps.event
               WHERE steps.storm = ?1 AND steps.storm_number <= ?2
               GROUP BY events.tenant ORDER BY 2 DESC LIMIT ?3"#,
            self.id,
            self.folded,
            most
        )
        .fetch_all(&mut *connection)
        .await?;
        let posted = self.posted(connection).await?;
        let (superseded, nothing_to_switch_off) = self.otherwise(connection).await?;
        let (example_text, example_corrections) = self.example_text(connection).await?;
        Ok(Storm {
            id: self.id,
            rule: self.rule,
            env_id: self.env_id,
            flow_id: self.flow_id,
            run: self.run,
            channel: self.channel,
            shape: self.shape,
            state: StormState::from_text(&self.state)
                .ok_or_else(|| Trouble::Corrupt(format!("{:?} is no state of a storm", self.state)))?,
            per_seconds: std::time::Duration::from_micros(self.per.unsigned_abs()).as_secs(),
            since: instant(self.since)?,
            last_at: instant(self.last_at)?,
            alone: count(self.alone),
            posted,
            messages: count(self.folded),
            waiting: count(self.folded - self.told),
            superseded,
            nothing_to_switch_off,
            tenants: count(newest.first().map_or(0, |first| first.tenants)),
            newest: newest.into_iter().map(|row| row.tenant).collect(),
            example: EventId::from_text(self.example),
            example_text,
            example_corrections,
            message: match (self.message_channel, self.message_ts) {
                (Some(channel), Some(ts)) => Some(Message { channel, ts }),
                _ => None,
            },
            told_at: self.told_at.map(instant).transpose()?,
            failures: count(self.failures),
            why: self.why,
        })
    }

    /// Of those that were posted on their own before it began.
    async fn posted(&self, connection: &mut SqliteConnection) -> Result<Posted, Trouble> {
        let states = sqlx::query!(
            r#"SELECT state AS "state!: String", count(*) AS "number!: i64" FROM (
                 SELECT CASE WHEN state = 'held' AND released_at IS NOT NULL THEN 'pending' ELSE state END AS state
                 FROM steps WHERE kind = ?1 AND kind_at >= ?2 AND storm IS NULL ORDER BY kind_at LIMIT ?3
               ) AS first GROUP BY state"#,
            self.kind,
            self.since,
            self.alone
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut posted = Posted::default();
        for row in states {
            let number = count(row.number);
            match ledger::state(&row.state)? {
                StepState::Done => posted.alone_posted += number,
                StepState::Pending | StepState::Claimed => posted.alone_waiting += number,
                StepState::Held => posted.alone_held += number,
                StepState::Unknown => posted.alone_unknown += number,
                StepState::Dropped => posted.alone_dropped += number,
                StepState::Failed | StepState::Superseded | StepState::Skipped | StepState::Folded => {
                    posted.alone_failed += number
                }
            }
        }
        Ok(posted)
    }

    /// Of how many messages a step before them was superseded, and had nothing to switch off.
    async fn otherwise(&self, connection: &mut SqliteConnection) -> Result<(u32, u32), Trouble> {
        let row = sqlx::query!(
            r#"SELECT count(DISTINCT CASE WHEN earlier.state = 'superseded' THEN told.key END) AS "superseded!: i64",
                 count(DISTINCT CASE WHEN earlier.answer = ?3 THEN told.key END) AS "idle!: i64"
               FROM steps AS told JOIN steps AS earlier
                 ON earlier.event = told.event AND earlier.run = told.run AND earlier.rule = told.rule
                   AND earlier.place < told.place
               WHERE told.storm = ?1 AND told.storm_number <= ?2"#,
            self.id,
            self.folded,
            NOTHING_TO_SWITCH_OFF
        )
        .fetch_one(connection)
        .await?;
        Ok((count(row.superseded), count(row.idle)))
    }

    /// What the first of the messages says, and which lines correct it.
    async fn example_text(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<(Option<String>, Vec<String>), Trouble> {
        let told = sqlx::query!(
            "SELECT event, run, rule, place, action FROM steps WHERE storm = ?1 ORDER BY storm_number LIMIT 1",
            self.id
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(told) = told else { return Ok((None, Vec::new())) };
        let read = |action: &str| from_json::<Action>(action, "the action of a step");
        let Action::Slack { text, .. } = read(&told.action)? else { return Ok((None, Vec::new())) };
        let rows = sqlx::query!(
            "SELECT action, state, answer FROM steps
             WHERE event = ?1 AND run = ?2 AND rule = ?3 AND place < ?4 ORDER BY place",
            told.event,
            told.run,
            told.rule,
            told.place
        )
        .fetch_all(connection)
        .await?;
        let mut steps = Vec::new();
        for row in rows {
            if let Some(otherwise) = Otherwise::of(ledger::state(&row.state)?, row.answer.as_deref()) {
                steps.push((read(&row.action)?, otherwise));
            }
        }
        Ok((Some(text), corrections(steps.iter().map(|(action, otherwise)| (action, *otherwise)))))
    }
}

/// Storms that are not closed, oldest first; then, newest first, at most `closed` that are.
pub(crate) async fn all(connection: &mut SqliteConnection, closed: u32) -> Result<Vec<Storm>, Trouble> {
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT id AS "id!: i64", kind, rule, env_id, flow_id, run, channel, shape, example, state, per, since, last_at, alone,
             folded, told, told_at, message_channel, message_ts, failures, why
           FROM storms WHERE state <> 'closed' ORDER BY id"#
    )
    .fetch_all(&mut *connection)
    .await?;
    if closed > 0 {
        let ended = sqlx::query_as!(
            Row,
            r#"SELECT id AS "id!: i64", kind, rule, env_id, flow_id, run, channel, shape, example, state, per, since, last_at, alone,
                 folded, told, told_at, message_channel, message_ts, failures, why
               FROM storms WHERE state = 'closed' ORDER BY last_at DESC LIMIT ?1"#,
            closed
        )
        .fetch_all(&mut *connection)
        .await?;
        rows.extend(ended);
    }
    let mut storms = Vec::with_capacity(rows.len());
    for row in rows {
        storms.push(row.read(connection).await?);
    }
    Ok(storms)
}

/// Takes a storm that has something to be told, and is in nobody's hands, until `until`.
///
/// One that has no message to be updated, because an incoming webhook knows none, is told again only while more is coming:
/// else its end is near, and tells all.
pub(crate) async fn take(
    connection: &mut SqliteConnection,
    worker: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Telling>, Trouble> {
    let (micros_now, until, worker) = (micros(now), micros(until), text(worker));
    let (now, worker) = (micros_now, &*worker);
    let due = sqlx::query!(
        r#"SELECT id AS "id!: i64", begun, begun_upto, message_ts, last_at + per <= ?1 AS "over!: bool" FROM storms
           WHERE state <> 'closed' AND lease_until <= ?1 AND next_at <= ?1
             AND (last_at + per <= ?1
               OR (folded > told AND (message_ts IS NOT NULL OR told = 0 OR last_at + per / 2 > ?1)))
           ORDER BY next_at LIMIT 1"#,
        now
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(due) = due else { return Ok(None) };
    let (id, posts) = (due.id, due.message_ts.is_none());
    let post = i64::from(posts);
    if posts && due.begun > 1 {
        give_up(connection, id, due.begun_upto, due.over, now).await?;
        return Ok(None);
    }
    if posts && due.begun > 0 {
        sqlx::query!(
            "UPDATE steps SET perhaps_twice = 1 WHERE storm = ?1 AND storm_number <= ?2 AND state = 'folded'",
            id,
            due.begun_upto
        )
        .execute(&mut *connection)
        .await?;
    }
    let taken = sqlx::query_scalar!(
        r#"UPDATE storms SET state = CASE WHEN ?4 THEN 'over' ELSE state END, taken = taken + 1, worker = ?2,
             lease_until = ?3, begun = begun + ?5, begun_upto = CASE WHEN ?5 > 0 THEN folded ELSE begun_upto END
           WHERE id = ?1 RETURNING taken AS "taken!: i64""#,
        id,
        worker,
        until,
        due.over,
        post
    )
    .fetch_one(&mut *connection)
    .await?;
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id AS "id!: i64", kind, rule, env_id, flow_id, run, channel, shape, example, state, per, since, last_at, alone,
             folded, told, told_at, message_channel, message_ts, failures, why
           FROM storms WHERE id = ?1"#,
        id
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(Some(Telling { storm: row.read(connection).await?, taken, begun_upto: due.begun_upto }))
}

/// It was posted twice, and no answer came: it may have arrived once, twice or not at all. What it counted says so; what
/// came since, and the last word, are told in another message.
async fn give_up(
    connection: &mut SqliteConnection,
    id: i64,
    upto: i64,
    over: bool,
    now: i64,
) -> Result<(), Trouble> {
    const UNKNOWN: &str = "the message that tells it with others was sent twice and no answer came back: it may have arrived once, twice or not at all";
    sqlx::query!(
        "UPDATE steps SET state = 'unknown', error = ?3, changed_at = ?4
         WHERE storm = ?1 AND storm_number <= ?2 AND state = 'folded'",
        id,
        upto,
        UNKNOWN,
        now
    )
    .execute(&mut *connection)
    .await?;
    // A last word that may have arrived is the last: state 'over' was told, and nothing came since.
    sqlx::query!(
        "UPDATE storms SET told = max(told, ?2), begun = 0, why = ?3,
           state = CASE WHEN ?4 AND state = 'over' AND ?2 >= folded THEN 'closed' ELSE state END
         WHERE id = ?1",
        id,
        upto,
        UNKNOWN,
        over
    )
    .execute(&mut *connection)
    .await?;
    end_events(connection, id, now).await
}

/// Writes down how telling a storm ended; nothing if someone else has taken it since.
pub(crate) async fn settle(
    connection: &mut SqliteConnection,
    telling: &Telling,
    end: &StormEnd,
    now: Timestamp,
) -> Result<(), Trouble> {
    let (id, taken, now) = (telling.storm.id, telling.taken, micros(now));
    let posted = telling.storm.message.is_none();
    // Of the posts before this one.
    let upto_before = telling.begun_upto;
    let changed = match end {
        StormEnd::Told { message, next, .. } => {
            let upto = i64::from(telling.storm.messages);
            let (channel, ts) = match message {
                Some(Message { channel, ts }) => (Some(text(channel)), Some(text(ts))),
                None => (None, None),
            };
            let (next, over) = (micros(*next), telling.storm.state == StormState::Over);
            sqlx::query!(
                "UPDATE storms SET told = ?3, told_at = ?4, message_channel = ?5, message_ts = ?6, begun = 0,
                   failures = 0, why = NULL, worker = NULL, lease_until = 0, next_at = ?7,
                   state = CASE WHEN ?8 THEN 'closed' ELSE state END
                 WHERE id = ?1 AND taken = ?2",
                id,
                taken,
                upto,
                now,
                channel,
                ts,
                next,
                over
            )
            .execute(&mut *connection)
            .await?
        }
        StormEnd::NotNow { next } => {
            let (next, taken_back) = (micros(*next), i64::from(posted));
            sqlx::query!(
                "UPDATE storms SET begun = max(0, begun - ?4), begun_upto = ?5, worker = NULL, lease_until = 0,
                   next_at = ?3
                 WHERE id = ?1 AND taken = ?2",
                id,
                taken,
                next,
                taken_back,
                upto_before
            )
            .execute(&mut *connection)
            .await?
        }
        StormEnd::Failed { why, uncertain, next } => {
            let (why, next, taken_back) = (text(why), micros(*next), i64::from(posted && !uncertain));
            let why = &*why;
            sqlx::query!(
                "UPDATE storms SET begun = max(0, begun - ?4),
                   begun_upto = CASE WHEN ?4 > 0 THEN ?6 ELSE begun_upto END, failures = failures + 1, why = ?5, worker = NULL,
                   lease_until = 0, next_at = ?3
                 WHERE id = ?1 AND taken = ?2",
                id,
                taken,
                next,
                taken_back,
                why,
                upto_before
            )
            .execute(&mut *connection)
            .await?
        }
        StormEnd::Gone => {
            sqlx::query!(
                "UPDATE storms SET message_channel = NULL, message_ts = NULL, begun = 0, worker = NULL,
                   lease_until = 0, next_at = ?3
                 WHERE id = ?1 AND taken = ?2",
                id,
                taken,
                now
            )
            .execute(&mut *connection)
            .await?
        }
    };
    if changed.rows_affected() == 0 {
        tracing::warn!(storm = id, "another worker tells this storm by now; what came too late is not kept");
        return Ok(());
    }
    match end {
        StormEnd::Told { request, answer, .. } => told(connection, telling, request, answer, now).await,
        StormEnd::NotNow { .. } | StormEnd::Failed { .. } | StormEnd::Gone => Ok(()),
    }
}

/// What Slack has taken is done, and so is what may have been told before.
async fn told(
    connection: &mut SqliteConnection,
    telling: &Telling,
    request: &str,
    answer: &str,
    now: i64,
) -> Result<(), Trouble> {
    let (id, upto) = (telling.storm.id, i64::from(telling.storm.messages));
    let (request, answer, short) = (text(request), text(answer), text(&in_short(request)).into_owned());
    // The whole text on the newest of them; on thousands it would outweigh all else in the log.
    let newest = sqlx::query_scalar!(
        r#"SELECT max(storm_number) AS "newest: i64" FROM steps
           WHERE storm = ?1 AND storm_number <= ?2 AND state IN ('folded', 'unknown')"#,
        id,
        upto
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE steps SET perhaps_twice = (perhaps_twice OR state = 'unknown'), state = 'done',
           request = CASE WHEN storm_number = ?6 THEN ?3 ELSE ?7 END, answer = ?4, error = NULL, changed_at = ?5
         WHERE storm = ?1 AND storm_number <= ?2 AND state IN ('folded', 'unknown')",
        id,
        upto,
        request,
        answer,
        now,
        newest,
        short
    )
    .execute(&mut *connection)
    .await?;
    end_events(connection, id, now).await
}

/// Events of which nothing is folded any more, of those whose steps have changed just now.
async fn end_events(connection: &mut SqliteConnection, storm: i64, now: i64) -> Result<(), Trouble> {
    sqlx::query!(
        "UPDATE events SET why = NULL, outcome =
           CASE WHEN EXISTS (SELECT 1 FROM steps WHERE event = events.id AND state = 'dropped' AND error <> ?3
             AND run = (SELECT run FROM storms WHERE id = ?1)) THEN 'dropped' ELSE 'done' END
         WHERE outcome = 'folded' AND id IN (SELECT event FROM steps WHERE storm = ?1 AND changed_at = ?2)
           AND NOT EXISTS (SELECT 1 FROM steps WHERE event = events.id AND state = 'folded')",
        storm,
        now,
        UNTOLD
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends every lease: a claim of a worker that is known to be dead can be taken over at once.
pub(crate) async fn end_leases(connection: &mut SqliteConnection) -> Result<(), Trouble> {
    sqlx::query!("UPDATE storms SET lease_until = 0").execute(connection).await?;
    Ok(())
}
