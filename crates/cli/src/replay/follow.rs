//! Watches a run until the workers are done with it.

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use bus::Bus;
use bus::replay::runs::{Queued, Reached, queued, reached};
use domain::journal::{Attempt, Outcome};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use store::Store;

use crate::Common;
use crate::output::{self, count};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(300);
/// So many looks without a worker that takes anything, and it is said.
const IDLE_LOOKS: u32 = 10;
/// So many looks in a row without an answer of NATS, and watching ends: the run goes on.
const SILENT_LOOKS: u32 = 60;
/// Events that the event log is asked about one by one, at most, while a run is under way.
const ASKED_UNDER_WAY: usize = 300;
/// And when it is over.
const ASKED_AT_THE_END: usize = 20_000;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Progress {
    pub(super) events: usize,
    /// Settled for sure.
    pub(super) settled: usize,
    /// Taken by a worker, and perhaps not settled yet.
    pub(super) in_hand: usize,
    /// No worker has taken them yet.
    pub(super) waiting: usize,
}

/// What came of the events of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Outcomes(BTreeMap<&'static str, usize>);

impl Outcomes {
    pub(super) fn line(&self) -> Option<String> {
        let parts: Vec<_> = self.0.iter().map(|(outcome, number)| format!("{number} {outcome}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    pub(super) fn dead(&self) -> usize {
        self.0.get(Outcome::Dead.as_str()).copied().unwrap_or_default()
    }
}

/// How far the workers are with the events of a run. What was taken and may be settled or not, the event log tells.
pub(super) async fn progress(reached: Reached, events: &[Queued], log: Option<&Store>) -> Progress {
    let mut settled = events.partition_point(|event| event.sequence <= reached.settled);
    let taken = events.partition_point(|event| event.sequence <= reached.taken);
    let between = &events[settled..taken];
    let mut in_hand = between.len();
    if between.len() <= ASKED_UNDER_WAY {
        for event in between {
            if last_attempt(log, event).await.is_some_and(|attempt| is_end(attempt.outcome)) {
                settled += 1;
                in_hand -= 1;
            }
        }
    }
    Progress { events: events.len(), settled, in_hand, waiting: events.len() - taken }
}

/// What the event log says of each event in its run.
pub(super) async fn outcomes(events: &[Queued], log: Option<&Store>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for event in events.iter().take(ASKED_AT_THE_END) {
        if let Some(attempt) = last_attempt(log, event).await {
            *outcomes.0.entry(attempt.outcome.as_str()).or_default() += 1;
        }
    }
    outcomes
}

/// The last attempt at an event in the run in which it is decided, since it was queued.
async fn last_attempt(log: Option<&Store>, event: &Queued) -> Option<Attempt> {
    let record = log?.event(event.id.as_ref()?.as_str()).await.ok()??;
    let of_run = record.attempts.into_iter();
    of_run
        .filter(|attempt| attempt.run == event.decided_in && attempt.at >= event.stored_at)
        .max_by_key(|attempt| (attempt.at, attempt.number))
}

fn is_end(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Done
        | Outcome::NoRule
        | Outcome::Dead
        | Outcome::Held
        | Outcome::Folded
        | Outcome::Discarded
        | Outcome::Dropped => true,
        Outcome::Open | Outcome::Retrying => false,
    }
}

/// Why nothing is taken although something waits.
pub(super) fn nobody_takes(reached: Reached) -> String {
    match reached.under_way {
        0 => "no worker takes replays right now: is gluehook-worker running?".to_owned(),
        // Whoever has its hands full asks for no more; so does whoever died over what it had.
        number => format!(
            "workers have {number} replays in hand and take no more before some of them are done; if that stays so, is gluehook-worker running?"
        ),
    }
}

/// Shows how far a run is until the workers are done with it, or until Ctrl-C. A failure when an event was given up, or the
/// run called off.
pub(super) async fn follow(
    common: &Common,
    bus: &Bus,
    log: Option<&Store>,
    run: &str,
    mut events: Vec<Queued>,
) -> Result<ExitCode> {
    let all = events.len();
    let bar = bar(all);
    let (mut idle, mut silent) = (0, 0);
    let (mut before, mut unchanged) = (None, 0);
    let stopped = tokio::signal::ctrl_c();
    tokio::pin!(stopped);
    loop {
        let reached = match reached(bus).await {
            Ok(reached) => reached,
            Err(error) if silent == SILENT_LOOKS => return Err(error.into()),
            Err(error) => {
                silent += 1;
                bar.set_message(error.to_string());
                tokio::time::sleep(EVERY).await;
                continue;
            }
        };
        silent = 0;
        let progress = progress(reached, &events, log).await;
        unchanged = if before == Some(progress) { unchanged + 1 } else { 0 };
        before = Some(progress);
        if progress.waiting > 0 && unchanged >= IDLE_LOOKS {
            // Nobody takes what was called off, and nothing tells of it.
            unchanged = 0;
            let there = queued(bus, run).await?.into_iter().map(|event| event.sequence);
            let there: HashSet<_> = there.collect();
            events.retain(|event| event.sequence <= reached.taken || there.contains(&event.sequence));
        }
        bar.set_position(progress.settled.try_into().unwrap_or(u64::MAX));
        idle = if progress.waiting > 0 && !reached.pulled { idle + 1 } else { 0 };
        bar.set_message(format!("{} in hand, {} waiting", progress.in_hand, progress.waiting));
        if idle == IDLE_LOOKS {
            bar.suspend(|| output::note(nobody_takes(reached)));
        }
        if progress.waiting == 0 && progress.in_hand == 0 {
            break;
        }
        tokio::select! {
            _ = &mut stopped => {
                bar.finish_and_clear();
                output::note(format!(
                    "the run goes on, {} of {} settled: gluehook replay status {run} shows how far it is, gluehook replay cancel {run} calls it off",
                    progress.settled, progress.events
                ));
                return Ok(ExitCode::SUCCESS);
            }
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    bar.finish_and_clear();
    let outcomes = outcomes(&events, log).await;
    let came_of_it = outcomes.line().map(|line| format!(": {line}")).unwrap_or_default();
    let told = format!("run {run} is over, {} settled{came_of_it}", count(events.len(), "event"));
    if common.json {
        output::note(told);
    } else {
        output::line(told)?;
    }
    let called_off = all - events.len();
    if called_off > 0 {
        output::note(format!("{} called off meanwhile, and not worked on", count(called_off, "event")));
    }
    if outcomes.dead() > 0 {
        output::note("gluehook dead list shows why events were given up");
    }
    if outcomes.dead() > 0 || called_off > 0 {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// On stderr, and only when a person watches.
fn bar(events: usize) -> ProgressBar {
    let bar = ProgressBar::new(events.try_into().unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("worked on {pos}/{len} events {wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn without_an_event_log_only_what_the_queue_says_counts_as_settled() {
        let events: Vec<_> = [3, 5, 8, 9, 12]
            .map(|sequence| Queued {
                sequence,
                of: 1,
                id: None,
                decided_in: "r".to_owned(),
                stored_at: Timestamp::UNIX_EPOCH,
                letter: false,
            })
            .into();
        let at = |settled, taken| Reached { settled, taken, pulled: true, under_way: 0 };
        let progress = async |reached| {
            let Progress { settled, in_hand, waiting, .. } = progress(reached, &events, None).await;
            (settled, in_hand, waiting)
        };
        assert_eq!(progress(at(0, 0)).await, (0, 0, 5));
        assert_eq!(progress(at(5, 8)).await, (2, 1, 2));
        assert_eq!(progress(at(20, 20)).await, (5, 0, 0));
    }
}
