//! The line of each Slack channel: who has the turn, who waits for it, and in which order.

use domain::journal::Post;
use domain::names::EventId;
use domain::storm::pace::{self, Answer, Line, Pace, Spell, Who};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use crate::error::Trouble;
use crate::text::{micros, text};

/// Asks for a turn in a channel's line, and takes it if it is free.
pub(crate) async fn ask(
    connection: &mut SqliteConnection,
    channel: &str,
    pace: Pace,
    who: Who,
    now: Timestamp,
) -> Result<Answer, Trouble> {
    let quiet = until_quiet(connection).await?;
    if !pace.lines_up() {
        return Ok(pace.ask(Line::default(), quiet, who, now).1);
    }
    let line = line(connection, channel).await?;
    let (line, answer) = pace.ask(line, quiet, who, now);
    put(connection, channel, line).await?;
    Ok(answer)
}

/// As [`ask`], behind all that wait in the line and asked before. The step keeps its place in it until it is posted, however often
/// it is told to wait and however often Slack refuses it.
pub(crate) async fn queue(
    connection: &mut SqliteConnection,
    post: Post<'_>,
    place: Option<(String, i64)>,
    now: Timestamp,
) -> Result<Answer, Trouble> {
    let line = line(connection, post.line).await?;
    let quiet = until_quiet(connection).await?;
    let channel = text(post.line);
    let channel = &*channel;
    let place = match place {
        Some((of, place)) if of == channel => place,
        Some(_) | None => {
            let (from, before) = pace::places(post.replays);
            let last = sqlx::query_scalar!(
                r#"SELECT max(slack_place) AS "last?: i64" FROM steps
                   WHERE slack_line = ?1 AND state IN ('pending', 'held') AND slack_place >= ?2 AND slack_place < ?3"#,
                channel,
                from,
                before
            )
            .fetch_one(&mut *connection)
            .await?;
            pace::place(post.replays, last, now)
        }
    };
    let missing_since = pace::missing_since(quiet, micros(now));
    let ahead = sqlx::query_scalar!(
        r#"SELECT count(*) AS "number!: i64" FROM steps
           WHERE slack_line = ?1 AND state IN ('pending', 'held') AND slack_place < ?2 AND not_before > ?3"#,
        channel,
        place,
        missing_since
    )
    .fetch_one(&mut *connection)
    .await?;
    let who = Who::Queues { ahead: u32::try_from(ahead).unwrap_or(u32::MAX) };
    let (line, answer) = post.pace.ask(line, quiet, who, now);
    put(connection, post.line, line).await?;
    let not_before = match answer {
        // It waits no more; but should Slack ask for quiet, it is before those that came later.
        Answer::Now(_) => 0,
        Answer::NotBefore(at) => micros(at),
    };
    let key = text(post.step.as_str());
    let key = &*key;
    sqlx::query!(
        "UPDATE steps SET slack_line = ?2, slack_place = ?3, not_before = ?4 WHERE key = ?1",
        key,
        channel,
        place,
        not_before
    )
    .execute(connection)
    .await?;
    Ok(answer)
}

async fn line(connection: &mut SqliteConnection, channel: &str) -> Result<Line, Trouble> {
    let channel = text(channel);
    let channel = &*channel;
    sqlx::query!("INSERT INTO slack_lines (channel) VALUES (?1) ON CONFLICT (channel) DO NOTHING", channel)
        .execute(&mut *connection)
        .await?;
    let line =
        sqlx::query!("SELECT free_at, held_until, first_at FROM slack_lines WHERE channel = ?1", channel)
            .fetch_one(connection)
            .await?;
    Ok(Line { free_at: line.free_at, held_until: line.held_until, first_at: line.first_at })
}

async fn put(connection: &mut SqliteConnection, channel: &str, line: Line) -> Result<(), Trouble> {
    let channel = text(channel);
    let channel = &*channel;
    sqlx::query!(
        "UPDATE slack_lines SET free_at = ?2, held_until = ?3, first_at = ?4 WHERE channel = ?1",
        channel,
        line.free_at,
        line.held_until,
        line.first_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The turn is over, and the next may begin then. Who comes too late with that, because another has the turn by now, changes
/// nothing.
pub(crate) async fn leave(
    connection: &mut SqliteConnection,
    channel: &str,
    spell: Spell,
    next: Timestamp,
) -> Result<(), Trouble> {
    let (channel, until, next) = (text(channel), micros(spell.until), micros(next));
    let channel = &*channel;
    sqlx::query!(
        "UPDATE slack_lines SET free_at = ?3, held_until = 0 WHERE channel = ?1 AND held_until = ?2",
        channel,
        until,
        next
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn until_quiet(connection: &mut SqliteConnection) -> Result<i64, Trouble> {
    Ok(sqlx::query_scalar!("SELECT until FROM slack_quiet").fetch_one(connection).await?)
}

/// Slack has asked for quiet until then: nobody posts before.
pub(crate) async fn quiet(connection: &mut SqliteConnection, until: Timestamp) -> Result<(), Trouble> {
    let until = micros(until);
    sqlx::query!("UPDATE slack_quiet SET until = max(until, ?1)", until).execute(connection).await?;
    Ok(())
}

/// A run of an event was given up: its messages stand in nobody's way.
pub(crate) async fn give_up(
    connection: &mut SqliteConnection,
    event: &EventId,
    run: &str,
) -> Result<(), Trouble> {
    let (event, run) = (event.as_str(), text(run));
    let run = &*run;
    sqlx::query!(
        "UPDATE steps SET slack_line = NULL, slack_place = NULL
         WHERE event = ?1 AND run = ?2 AND slack_line IS NOT NULL",
        event,
        run
    )
    .execute(connection)
    .await?;
    Ok(())
}
