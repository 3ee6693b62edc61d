//! Slack's pace, seen from a worker: whose line a message waits in, and the turn in it. Who has the turn is decided in the
//! event log, for all workers alike.

use std::time::Duration;

use domain::breaker::Sign;
use domain::storm::pace::{Pace, Spell};
use effects::EffectError;
use jiff::{SignedDuration, Timestamp};
use store::StoreError;

use crate::Deps;
use crate::insist::{self, What};

/// Who goes first waits no longer than that in place.
pub(crate) const LONGEST_IN_PLACE: Duration = Duration::from_secs(10);
/// Room for what is not the call itself. Within it the call must begin, or the turn is lost.
const SLOW_MACHINE: Duration = Duration::from_secs(5);
/// Wait where Slack asks for quiet and does not say for how long.
const QUIET: Duration = Duration::from_secs(1);
/// What Slack asks for is kept to; more than this is a mistake of somebody's clock.
const LONGEST_QUIET: Duration = Duration::from_secs(24 * 60 * 60);
/// An incoming webhook has a channel of its own, and nobody knows which.
const WEBHOOK: &str = "(webhook)";

/// The turn in a line, which nobody else has before it is left. It lapses when a worker dies with it.
#[derive(Debug)]
pub(crate) struct Held {
    line: String,
    spell: Spell,
    /// When the call ended, if one was made.
    ended: Option<Timestamp>,
}

impl Held {
    pub(crate) fn new(line: String, spell: Spell) -> Self {
        Self { line, spell, ended: None }
    }

    /// Is it too late for a call? Another may have the turn when it ends.
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        now >= after(self.spell.from, SLOW_MACHINE)
    }

    /// The call is over, whatever came of it.
    pub(crate) fn ended(&mut self, now: Timestamp) {
        self.ended = Some(now);
    }

    /// The next may have the turn: an interval after the call, or at once if none was made.
    pub(crate) async fn leave(self, deps: &Deps) {
        let next = self.ended.map_or_else(|| deps.clock.now(), |ended| pace(deps).next(ended));
        if let Err(error) = deps.store.leave_line(&self.line, self.spell, next).await {
            tracing::debug!(%error, "the line of a Slack channel is held until the turn lapses");
        }
    }
}

pub(crate) fn pace(deps: &Deps) -> Pace {
    Pace::new(interval(deps), call(deps))
}

pub(crate) fn interval(deps: &Deps) -> Duration {
    deps.config.slack.as_ref().map(|slack| slack.channel_interval).unwrap_or_default()
}

/// How long one call may last, with what is around it.
pub(crate) fn call(deps: &Deps) -> Duration {
    deps.config.slack.as_ref().map(|slack| slack.timeout).unwrap_or_default() + SLOW_MACHINE
}

/// The line in which a message waits: that of its channel, however it is written.
pub(crate) fn line(deps: &Deps, channel: Option<&str>) -> String {
    let Some(slack) = &deps.config.slack else { return String::new() };
    if slack.webhook_url.is_some() {
        return WEBHOOK.to_owned();
    }
    let channel = channel.or(slack.channel.as_deref()).unwrap_or_default();
    channel.trim().trim_start_matches('#').to_lowercase()
}

/// Notes for all workers that Slack has asked for quiet, if it has. To be called before the turn is left.
pub(crate) async fn heard(deps: &Deps, error: &EffectError) -> Result<(), StoreError> {
    let Sign::SlowDown(asked) = error.sign() else { return Ok(()) };
    let until = after(deps.clock.now(), asked.unwrap_or(QUIET).min(LONGEST_QUIET));
    insist::written(deps, What::Quiet(until)).await
}

/// Waits for the turn that is near; false when the worker can't wait any longer.
pub(crate) async fn wait_until(deps: &Deps, at: Timestamp) -> bool {
    let wait = Duration::try_from(at.duration_since(deps.clock.now())).unwrap_or_default();
    // Cut, the call that follows is not made.
    deps.cut.run_until_cancelled(tokio::time::sleep(wait)).await.is_some()
}

pub(crate) fn after(now: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}
