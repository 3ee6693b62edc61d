//! Before a Slack message is posted: does it fold into a storm, and is it its turn in the channel's line?

use domain::journal::{Claim, LAPSES, MayPost, Post, StepState, held_until};
use domain::plan::StepKey;
use domain::storm::MayFold;
use domain::storm::pace::{Answer, Who};
use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::error::Trouble;
use crate::text::{instant, micros, text};
use crate::{ledger, lines};

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
    /// In which line, and where in it.
    place: Option<(String, i64)>,
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
    let answer = match (post.pace.lines_up() && post.queues, step.place) {
        (true, place) => lines::queue(connection, post, place, now).await?,
        (false, _) => lines::ask(connection, post.line, post.pace, Who::First, now).await?,
    };
    Ok(match answer {
        Answer::Now(spell) => MayPost::Yes(spell),
        Answer::NotBefore(at) => MayPost::NotBefore(at),
    })
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
        r#"SELECT state, lease_until, released_at, kind, storm, begun, slack_line, slack_place,
             (SELECT seen_at FROM workers WHERE name = steps.worker) AS "seen_at?"
           FROM steps WHERE key = $1 FOR UPDATE OF steps"#,
        key
    )
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or_else(|| ledger::unknown(step))?;
    let lease_until = row.lease_until.map(|until| held_until(until, row.seen_at, LAPSES));
    match (ledger::state(&row.state)?, lease_until) {
        (StepState::Folded, _) => return Ok(Err(MayPost::Folded)),
        (StepState::Claimed, Some(until)) if until > now => {
            return Ok(Err(MayPost::No(Claim::Busy { until: instant(until)? })));
        }
        (StepState::Held, _) if row.released_at.is_none() => return Ok(Err(MayPost::No(Claim::Held))),
        (StepState::Claimed | StepState::Pending | StepState::Held, _) => {}
        (
            settled @ (StepState::Done
            | StepState::Failed
            | StepState::Unknown
            | StepState::Superseded
            | StepState::Skipped
            | StepState::Dropped),
            _,
        ) => return Ok(Err(MayPost::No(Claim::Settled(settled)))),
    }
    Ok(Ok(Waiting {
        alone: row.kind.is_some() && row.storm.is_none(),
        begun: row.begun > 0,
        place: row.slack_line.zip(row.slack_place),
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
           worker = NULL, lease_until = NULL, slack_line = NULL, slack_place = NULL, changed_at = $3
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
