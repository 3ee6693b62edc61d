//! What must be written down, because nobody else knows of it.

use std::time::{Duration, Instant};

use domain::journal::{StepEnd, StormEnd, Telling, Turn};
use domain::plan::StepKey;
use jiff::Timestamp;
use store::StoreError;

use crate::Deps;

/// First wait after it could not be written down; doubles up to [`AGAIN_MOST`].
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MOST: Duration = Duration::from_secs(5);
/// So long the event log is waited for. Whoever takes over what is in our hands meanwhile can't write either, and then finds
/// it done.
const HELD_FOR_THE_LOG: Duration = Duration::from_secs(300);

/// What is to be written down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What<'a> {
    StepEnd {
        step: &'a StepKey,
        turn: Option<&'a Turn>,
        end: &'a StepEnd,
    },
    StormEnd {
        telling: &'a Telling,
        end: &'a StormEnd,
    },
    /// Slack asks for quiet until then.
    Quiet(Timestamp),
}

impl What<'_> {
    async fn write(self, deps: &Deps) -> Result<(), StoreError> {
        match self {
            Self::StepEnd { step, turn, end } => {
                deps.store.settle(step, turn, &deps.worker, end, deps.clock.now()).await
            }
            Self::StormEnd { telling, end } => deps.store.settle_storm(telling, end, deps.clock.now()).await,
            Self::Quiet(until) => deps.store.quiet(until).await,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::StepEnd { .. } => "the end of a step",
            Self::StormEnd { .. } => "how telling a storm ended",
            Self::Quiet(_) => "that Slack asks for quiet",
        }
    }

    fn key(self) -> String {
        match self {
            Self::StepEnd { step, .. } => step.as_str().to_owned(),
            Self::StormEnd { telling, .. } => telling.storm.id.to_string(),
            Self::Quiet(until) => until.to_string(),
        }
    }
}

/// Writes it down; while the event log is away, as long as that may help.
pub(crate) async fn written(deps: &Deps, what: What<'_>) -> Result<(), StoreError> {
    let begun = Instant::now();
    let (mut wait, mut was_away) = (AGAIN, false);
    loop {
        let written = what.write(deps).await;
        let Err(StoreError::Unavailable(why)) = written else {
            if was_away {
                deps.readiness.set("event-log", Ok(()));
            }
            return written;
        };
        if begun.elapsed() >= HELD_FOR_THE_LOG {
            return Err(StoreError::Unavailable(why));
        }
        tracing::warn!(what = what.key(), why, "{} can't be written down; trying again", what.name());
        was_away = true;
        deps.readiness.set("event-log", Err(why.clone()));
        if deps.cut.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Err(StoreError::Unavailable(why));
        }
        wait = (wait * 2).min(AGAIN_MOST);
    }
}
