//! Saying that this worker lives: others take over what a dead one has claimed, without waiting for the end of its lease.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::journal::{BEAT, LAPSES};
use jiff::Timestamp;
use store::StoreError;
use tokio::time::MissedTickBehavior;

use crate::{Deps, process};

/// A write that takes longer than that is told: whoever looks at readiness should not have to wait until it is given up.
const SLOW: Duration = Duration::from_secs(3);

/// When the event log heard from this worker.
#[derive(Debug)]
pub(crate) struct Pulse(Mutex<Heard>);

#[derive(Debug)]
struct Heard {
    last: Timestamp,
    /// End of the last silence that was too long.
    again: Option<Timestamp>,
}

impl Pulse {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self(Mutex::new(Heard { last: now, again: None }))
    }

    /// Was this worker dead to the others since then, or may it be by now? Then what it had claimed by then may be in other
    /// hands.
    pub(crate) fn lapsed_since(&self, then: Timestamp, now: Timestamp) -> bool {
        let heard = self.lock();
        heard.again.is_some_and(|again| again > then) || too_long(heard.last, now)
    }

    fn lapsed(&self, now: Timestamp) -> bool {
        too_long(self.lock().last, now)
    }

    /// The event log was told that the worker lived `at`, and knew it by `known`: what was claimed before that may be in other
    /// hands, if it was silent for too long.
    fn heard(&self, at: Timestamp, known: Timestamp) {
        let mut heard = self.lock();
        if too_long(heard.last, at) {
            heard.again = Some(known);
        }
        heard.last = at;
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_long(last: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(last)).is_ok_and(|silence| silence >= LAPSES)
}

/// Says it once.
pub(crate) async fn beat(deps: &Deps) -> Result<(), StoreError> {
    // The time before it is said: nobody counts from an earlier one.
    let now = deps.clock.now();
    deps.store.alive(&deps.worker, now).await?;
    deps.pulse.heard(now, deps.clock.now());
    Ok(())
}

/// Says it again and again; never returns. It goes on while events in hand are finished.
pub(crate) async fn keep(deps: &Deps) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let mut beating = std::pin::pin!(beat(deps));
        let beaten = match tokio::time::timeout(SLOW, &mut beating).await {
            Ok(beaten) => beaten,
            Err(_) => {
                let why = format!(
                    "it has not taken a write for {} s: another process holds it locked, or it is overloaded",
                    SLOW.as_secs()
                );
                deps.readiness.doubt("event-log", &why);
                beating.await
            }
        };
        match beaten {
            Ok(()) => deps.readiness.set("event-log", Ok(())),
            Err(error) => {
                process::store_pause(deps, &error);
                if deps.pulse.lapsed(deps.clock.now()) {
                    tracing::warn!(%error, "the event log has not heard from this worker for too long: it makes no call until it has");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_the_event_log_has_not_heard_for_a_while_makes_no_call() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let pulse = Pulse::at(at(100));
        let lapses = i64::try_from(LAPSES.as_secs()).unwrap();
        let now = 100 + lapses;
        assert!(!pulse.lapsed_since(at(99), at(99)) && !pulse.lapsed_since(at(99), at(now - 1)));
        assert!(pulse.lapsed_since(at(99), at(now)));
        pulse.heard(at(now), at(now + 3));
        assert!(
            pulse.lapsed_since(at(now - 1), at(now + 4)) && pulse.lapsed_since(at(now + 2), at(now + 4)),
            "what it had claimed before the event log knew may be in other hands"
        );
        assert!(!pulse.lapsed_since(at(now + 3), at(now + 4)));
    }
}
