//! The hand on the brake, seen from a worker: which rules have a limit, and telling people of a pause.
//! Whether a rule pauses is decided where its decision is written down, in the event log, for all workers alike.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use domain::event::Event;
use domain::journal::Paused;
use domain::rulebook::{Limit, Rulebook};
use jiff::Timestamp;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::{Deps, steps};

/// Between two looks which rules are paused.
const LOOK: Duration = Duration::from_secs(5);
/// First wait after a message about a pause could not be sent; doubles up to [`TELL_AGAIN_MOST`].
const TELL_AGAIN: Duration = Duration::from_secs(1);
const TELL_AGAIN_MOST: Duration = Duration::from_secs(60);

/// What is counted under a limit.
pub(crate) fn tenant(event: &Event) -> String {
    domain::journal::counted_as(event)
}

/// The rules that have one.
pub(crate) fn limits(rulebook: &Rulebook) -> Vec<(String, Limit)> {
    rulebook.rules().iter().filter_map(|rule| Some((rule.name.clone(), rule.limit?))).collect()
}

/// Tells people of pauses, in Slack once for each, and in gauges and readiness for as long as they last.
pub(crate) async fn watch(deps: &Deps, stop: CancellationToken) {
    let mut shown = BTreeSet::new();
    let mut waits = HashMap::new();
    let mut every = tokio::time::interval(LOOK);
    loop {
        let look = async {
            tokio::select! {
                _ = every.tick() => {}
                () = deps.braked.notified() => {}
            }
        };
        if stop.run_until_cancelled(look).await.is_none() {
            return;
        }
        // That the event log is away is told by whoever takes events.
        if let Ok(paused) = deps.store.paused().await {
            show(deps, &paused, &mut shown);
        }
        if let Err(error) = tell(deps, &mut waits).await {
            tracing::debug!(%error, "the event log does not say which pauses have been told");
        }
    }
}

fn show(deps: &Deps, paused: &[Paused], shown: &mut BTreeSet<String>) {
    let now: BTreeSet<_> =
        paused.iter().filter(|paused| paused.since.is_some()).map(|paused| paused.rule.clone()).collect();
    for rule in paused.iter().filter(|paused| now.contains(&paused.rule)) {
        let (name, steps, events) = (&rule.rule, rule.held_steps, rule.held_events);
        let sentence = format!(
            "rule `{name}` is paused, with {steps} steps of {events} events held: see gluehook rules paused"
        );
        deps.metrics.rule_paused(name, true);
        deps.readiness.warn_about(&topic(name), Some(&sentence));
    }
    for over in shown.difference(&now) {
        deps.metrics.rule_paused(over, false);
        deps.readiness.warn_about(&topic(over), None);
    }
    *shown = now;
}

fn topic(rule: &str) -> String {
    format!("pause of {rule}")
}

/// A message that could not be sent: when to try again, and how long that wait was.
type Wait = (Timestamp, Duration);

/// Sends what has not been sent. Of several workers, one has the claim.
async fn tell(deps: &Deps, waits: &mut HashMap<String, Wait>) -> Result<(), StoreError> {
    let alerts = deps.store.alerts().await?;
    waits.retain(|key, _| alerts.iter().any(|(step, _)| step.key.as_str() == key));
    for (step, tenant) in alerts {
        let now = deps.clock.now();
        let before = waits.get(step.key.as_str()).copied();
        if before.is_some_and(|(until, _)| now < until) {
            continue;
        }
        if before.is_none() {
            tracing::warn!(rule = step.rule, "the rule is paused: it was about to touch too many tenants");
        }
        let Some(why) = steps::alert(deps, &tenant, &step).await? else { continue };
        let wait = before.map_or(TELL_AGAIN, |(_, wait)| (wait * 2).min(TELL_AGAIN_MOST));
        tracing::info!(rule = step.rule, ?why, ?wait, "the pause could not be told; trying again");
        waits.insert(step.key.as_str().to_owned(), (now.checked_add(wait).unwrap_or(now), wait));
    }
    Ok(())
}
