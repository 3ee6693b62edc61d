//! Before a Slack message is posted: does it fold into a storm, and is it its turn in the channel's line?

use domain::journal::{LAPSES, MayPost, Post, StepState};
use domain::plan::StepKey;
use domain::storm::MayFold;
use domain::storm::pace::{Answer, Line, Pace, Who};
use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::ledger;
use crate::text::{instant, key, micros, text};
use crate::workers;

/// A storm tells nothing for so long after its first message, because more are on their way (microseconds).
const GATHERS: i64 = 1_000_000;
/// What a folded step says until it is told.
const NOT_TOLD: &str = "it is told in one message with others of its kind, and that is not surely told yet";

/// A step that may be posted.
struct Waiting {
    /// Its kind was noted, and it is to be posted on its own.
    alone: bool,
    /// It was begun: it may have been posted.
    begun: bool,
    told: Option<Timestamp>,
}

pub(crate) async fn may_post(
    connection: &mut PgConnection,
    post: Post<'_>,
    now: Timestamp,
) -> Result<MayPost, Trouble> {
    let step = match waiting(connection, post.step, now).await? {
        Ok(step) => step,
        Err(answer) => return Ok(answer),
    };
    if let Some(may_fold) = post.fold.filter(|_| !step.alone)
        && folds(connection, post.step, may_fold, step.begun, now).await?
    {
        return Ok(MayPost::Folded);
    }
    let who = if post.queues { Who::Queues { told: step.told } } else { Who::First };
    let answer = if post.replays {
        ask_behind(connection, post.line, post.pace, who, now).await?
    } else {
        ask(connection, post.line, post.pace, who, now).await?
    };
    let (not_before, answer) = match answer {
        Answer::Now => (None, MayPost::Yes),
        Answer::At(at) => (None, MayPost::At(at)),
        Answer::NotBefore(at) => (Some(micros(at)), MayPost::NotBefore(at)),
    };
    let key = text(post.step.as_str());
    let key = &*key;
    sqlx::query!("UPDATE steps SET not_before = $2 WHERE key = $1", key, not_before)
        .execute(connection)
        .await?;
    Ok(answer)
}

/// The step, or what is to be said of one that can't be claimed now.
async fn waiting(
    connection: &mut PgConnection,
    step: &StepKey,
    now: Timestamp,
) -> Result<Result<Waiting, MayPost>, Trouble> {
    let (key, now) = (text(step.as_str()), micros(now));
    let key = &*key;
    let row = sqlx::query!(
        r#"SELECT state, lease_until, released_at, kind, storm, begun, not_before,
             (SELECT seen_at FROM workers WHERE name = steps.worker) AS "seen_at?"
           FROM steps WHERE key = $1 FOR UPDATE OF steps"#,
        key
    )
    .fetch_optional(connection)
    .await?;
    // The claim says what is wrong.
    let Some(row) = row else { return Ok(Err(MayPost::Yes)) };
    let free = match ledger::state(&row.state)? {
        StepState::Folded => return Ok(Err(MayPost::Folded)),
        StepState::Pending => true,
        StepState::Claimed => {
            row.lease_until.is_none_or(|until| workers::until(until, row.seen_at, LAPSES) <= now)
        }
        StepState::Held => row.released_at.is_some(),
        StepState::Done
        | StepState::Failed
        | StepState::Unknown
        | StepState::Superseded
        | StepState::Skipped
        | StepState::Dropped => false,
    };
    if !free {
        return Ok(Err(MayPost::Yes));
    }
    Ok(Ok(Waiting {
        alone: row.kind.is_some() && row.storm.is_none(),
        begun: row.begun > 0,
        told: row.not_before.map(instant).transpose()?,
    }))
}

/// Folds the step into the storm of its kind, or begins one; or notes that it is posted on its own, and then false.
async fn folds(
    connection: &mut PgConnection,
    step: &StepKey,
    may_fold: &MayFold,
    begun: bool,
    now: Timestamp,
) -> Result<bool, Trouble> {
    let (key, kind, now) = (text(step.as_str()), may_fold.kind.digest.as_str(), micros(now));
    let key = &*key;
    let per = i64::try_from(may_fold.fold.per.as_micros()).unwrap_or(i64::MAX);
    let since = now.saturating_sub(per);
    // One at a time counts the messages of a kind.
    lock(connection, kind).await?;
    // What came to its end is summed up, and nothing new is hidden in it.
    sqlx::query!(
        "UPDATE storms SET state = 'over' WHERE kind = $1 AND state = 'open' AND last_at + per <= $2",
        kind,
        now
    )
    .execute(&mut *connection)
    .await?;
    let open = sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM storms WHERE kind = $1 AND state = 'open' FOR UPDATE"#,
        kind
    )
    .fetch_optional(&mut *connection)
    .await?;
    let alone = sqlx::query!(
        r#"SELECT count(*) AS "number!", min(kind_at) AS "first?" FROM steps
           WHERE kind = $1 AND kind_at > $2 AND storm IS NULL"#,
        kind,
        since
    )
    .fetch_one(&mut *connection)
    .await?;
    if begun || (open.is_none() && alone.number < i64::from(may_fold.fold.after)) {
        sqlx::query!(
            "UPDATE steps SET kind = $2, kind_at = $3, storm = NULL, storm_number = NULL WHERE key = $1",
            key,
            kind,
            now
        )
        .execute(connection)
        .await?;
        return Ok(false);
    }
    let storm = match open {
        Some(storm) => storm,
        None => begin(connection, step, may_fold, alone.number, alone.first.unwrap_or(now), now).await?,
    };
    let number = sqlx::query_scalar!(
        r#"UPDATE storms SET folded = folded + 1, last_at = greatest(last_at, $2), per = $3 WHERE id = $1
           RETURNING folded AS "number!""#,
        storm,
        now,
        per
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE steps SET state = 'folded', kind = $2, kind_at = $3, storm = $4, storm_number = $5, error = $6,
           worker = NULL, lease_until = NULL, not_before = NULL, changed_at = $3
         WHERE key = $1",
        key,
        kind,
        now,
        storm,
        number,
        NOT_TOLD
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// Until the transaction ends, nobody else decides whether a message of this kind folds.
async fn lock(connection: &mut PgConnection, kind: &str) -> Result<(), Trouble> {
    let name = format!("storm/{kind}");
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name).execute(connection).await?;
    Ok(())
}

async fn begin(
    connection: &mut PgConnection,
    step: &StepKey,
    may_fold: &MayFold,
    alone: i64,
    since: i64,
    now: i64,
) -> Result<i64, Trouble> {
    let kind = &may_fold.kind;
    let (rule, env_id, flow_id, run) =
        (text(&kind.rule), text(&kind.env_id), text(&kind.flow_id), text(&kind.run));
    let (channel, shape) = (kind.channel.as_deref().map(text), text(&kind.shape));
    let (rule, env_id, flow_id, run) = (&*rule, &*env_id, &*flow_id, &*run);
    let (channel, shape) = (channel.as_deref(), &*shape);
    let (digest, example) = (kind.digest.as_str(), step.event());
    let per = i64::try_from(may_fold.fold.per.as_micros()).unwrap_or(i64::MAX);
    let next = now.saturating_add(GATHERS);
    let id = sqlx::query_scalar!(
        r#"INSERT INTO storms (kind, rule, env_id, flow_id, run, channel, shape, example, per, since, last_at, alone,
             next_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id AS "id!""#,
        digest,
        rule,
        env_id,
        flow_id,
        run,
        channel,
        shape,
        example,
        per,
        since,
        now,
        alone,
        next
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// Asks for a turn in a channel's line, and takes it if it is free.
pub(crate) async fn ask(
    connection: &mut PgConnection,
    channel: &str,
    pace: Pace,
    who: Who,
    now: Timestamp,
) -> Result<Answer, Trouble> {
    let line = line(connection, channel).await?;
    let quiet = until_quiet(connection).await?;
    let (line, answer) = pace.ask(line, quiet, who, now);
    put(connection, channel, line).await?;
    Ok(answer)
}

async fn line(connection: &mut PgConnection, channel: &str) -> Result<Line, Trouble> {
    let channel = key(channel);
    let channel = &*channel;
    sqlx::query!("INSERT INTO slack_lines (channel) VALUES ($1) ON CONFLICT (channel) DO NOTHING", channel)
        .execute(&mut *connection)
        .await?;
    let line =
        sqlx::query!("SELECT free_at, queue_until FROM slack_lines WHERE channel = $1 FOR UPDATE", channel)
            .fetch_one(connection)
            .await?;
    Ok(Line { free_at: line.free_at, queue_until: line.queue_until })
}

async fn put(connection: &mut PgConnection, channel: &str, line: Line) -> Result<(), Trouble> {
    let channel = key(channel);
    let channel = &*channel;
    sqlx::query!(
        "UPDATE slack_lines SET free_at = $2, queue_until = $3 WHERE channel = $1",
        channel,
        line.free_at,
        line.queue_until
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn until_quiet(connection: &mut PgConnection) -> Result<i64, Trouble> {
    Ok(sqlx::query_scalar!("SELECT until FROM slack_quiet WHERE single").fetch_one(connection).await?)
}

/// As [`ask`], behind everything that waits in the channel's line: replays wait in a line of their own, where they hold up
/// nobody else, for a turn in that of the channel.
async fn ask_behind(
    connection: &mut PgConnection,
    channel: &str,
    pace: Pace,
    who: Who,
    now: Timestamp,
) -> Result<Answer, Trouble> {
    let all = line(connection, channel).await?;
    // No channel's name has a space.
    let of_replays = format!("{channel} replays");
    let behind = line(connection, &of_replays).await?;
    let quiet = until_quiet(connection).await?;
    let asked = Line { free_at: all.free_at, queue_until: all.queue_until.max(behind.queue_until) };
    let (then, answer) = pace.ask(asked, quiet, who, now);
    put(connection, channel, Line { free_at: then.free_at, ..all }).await?;
    put(connection, &of_replays, Line { free_at: behind.free_at, queue_until: then.queue_until }).await?;
    Ok(answer)
}

/// Slack has asked for quiet until then: nobody posts before, and no burst follows.
pub(crate) async fn quiet(
    connection: &mut PgConnection,
    pace: Pace,
    until: Timestamp,
) -> Result<(), Trouble> {
    let until = micros(until);
    sqlx::query!("UPDATE slack_quiet SET until = greatest(until, $1)", until)
        .execute(&mut *connection)
        .await?;
    let free_at = pace.blocked(Line::default(), until).free_at;
    sqlx::query!("UPDATE slack_lines SET free_at = greatest(free_at, $1)", free_at)
        .execute(connection)
        .await?;
    Ok(())
}
