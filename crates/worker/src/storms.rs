//! Storms, seen from a worker: which Slack messages may go now, and telling many of one kind in one message. Whether a
//! message folds, and whose turn it is, is decided in the event log, for all workers alike.

use std::collections::HashMap;
use std::time::Duration;

use domain::action::Action;
use domain::breaker::Sign;
use domain::event::Event;
use domain::journal::{Claim, MayPost, Post, StepState, Storm, StormEnd, StormState, Telling};
use domain::plan::{LIVE, Step};
use domain::retry::LONGEST_ASKED;
use domain::storm::pace::{Answer, Spell};
use domain::storm::{Kind, MayFold, running, summary};
use effects::{EffectError, Receipt, Service, Told};
use jiff::Timestamp;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::insist::{self, What};
use crate::lines::{self, Held, LONGEST_IN_PLACE, after, call, heard, line};
use crate::{Deps, process};

/// Between two looks whether a storm is to be told.
const LOOK: Duration = Duration::from_millis(500);
/// Between two looks at all of them, for gauges and readiness.
const SHOW: Duration = Duration::from_secs(5);
/// Between two updates of one message.
const UPDATE: Duration = Duration::from_secs(3);
/// First wait after a call that Slack did not take; doubles up to [`AGAIN_MOST`].
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MOST: Duration = Duration::from_secs(60);
/// The last word waits no longer than that for what is still being posted on its own.
const LAST_WORD: Duration = Duration::from_secs(600);
/// The action of every step that folds.
const SLACK: &str = "slack";

/// Whose Slack message it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// A rule's, about an event.
    Event { event: &'a Event, run: &'a str },
    /// The worker's own, which waits behind nobody.
    Worker,
}

/// What is to be done about a step now.
#[derive(Debug)]
pub(crate) enum May {
    /// With the turn in its line, if there is one.
    Try(Option<Held>),
    /// It is settled, held or in other hands.
    No(Claim),
    /// It is told with others of its kind.
    Folded,
    NotBefore(Timestamp),
}

/// Whether a step may be posted now; always so if it is no Slack message.
pub(crate) async fn may_post(deps: &Deps, of: Of<'_>, step: &Step) -> Result<May, StoreError> {
    let Action::Slack { channel, text } = &step.action else { return Ok(May::Try(None)) };
    let fold = match of {
        Of::Event { event, run } => fold(deps, &step.rule)
            .map(|fold| MayFold { kind: Kind::of(event, run, &step.rule, channel.as_deref(), text), fold }),
        Of::Worker => None,
    };
    let line = line(deps, channel.as_deref());
    let queues = matches!(of, Of::Event { .. });
    let replays = matches!(of, Of::Event { run, .. } if run != LIVE);
    let pace = lines::pace(deps);
    let post = Post { step: &step.key, line: &line, pace, queues, replays, fold: fold.as_ref() };
    let patient_until = after(deps.clock.now(), LONGEST_IN_PLACE);
    loop {
        match deps.store.may_post(post, deps.clock.now()).await? {
            MayPost::Yes(spell) => return Ok(May::Try(spell.map(|spell| Held::new(line, spell)))),
            MayPost::No(claim) => return Ok(May::No(claim)),
            MayPost::Folded => {
                deps.metrics.step(SLACK, StepState::Folded.as_str());
                deps.stormed.notify_one();
                return Ok(May::Folded);
            }
            // Who goes first holds nobody up while it waits.
            MayPost::NotBefore(at) if !queues && at <= patient_until && lines::wait_until(deps, at).await => {
            }
            MayPost::NotBefore(at) => return Ok(May::NotBefore(at)),
        }
    }
}

/// As the rulebook has it now, whatever it was when the event was decided about.
fn fold(deps: &Deps, rule: &str) -> Option<domain::rulebook::Fold> {
    deps.rules.current().rules().iter().find(|known| known.name == rule)?.fold
}

/// Tells storms until asked to stop, and shows them in gauges and readiness.
pub(crate) async fn watch(deps: &Deps, stop: CancellationToken) {
    let (mut every, mut show_every) = (tokio::time::interval(LOOK), tokio::time::interval(SHOW));
    let mut crowds = HashMap::new();
    loop {
        let look = async {
            tokio::select! {
                _ = every.tick() => false,
                () = deps.stormed.notified() => true,
                _ = show_every.tick() => true,
            }
        };
        let Some(shows) = stop.run_until_cancelled(look).await else { return };
        // That the event log is away is told by whoever takes events.
        if shows && let Ok(storms) = deps.store.storms(0).await {
            crowds = crowded(deps, &storms);
            show(deps, &storms);
        }
        if deps.observe.is_some() {
            continue;
        }
        let told = tell_all(deps, &crowds, &stop).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the event log does not say which storms are to be told");
            false
        });
        if told && let Ok(storms) = deps.store.storms(0).await {
            show(deps, &storms);
        }
    }
}

/// How many storms are told in each line.
fn crowded(deps: &Deps, storms: &[Storm]) -> HashMap<String, u32> {
    let mut crowds = HashMap::new();
    for storm in storms {
        *crowds.entry(line(deps, storm.channel.as_deref())).or_default() += 1;
    }
    crowds
}

fn show(deps: &Deps, storms: &[Storm]) {
    let waiting: u64 = storms.iter().map(|storm| u64::from(storm.waiting)).sum();
    deps.metrics.storms_open.set(i64::try_from(storms.len()).unwrap_or(i64::MAX));
    deps.metrics.storm_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    let failing: Vec<_> = storms.iter().filter(|storm| storm.failures > 0).collect();
    let sentence = failing.first().map(|storm| {
        let waiting: u64 = failing.iter().map(|storm| u64::from(storm.waiting)).sum();
        let why = storm.why.as_deref().unwrap_or("Slack did not take it");
        if waiting == 1 {
            format!("1 Slack message is waiting to be told (gluehook storms): {why}")
        } else if waiting > 0 {
            format!("{waiting} Slack messages are waiting to be told (gluehook storms): {why}")
        } else if failing.len() == 1 {
            format!("the last word about a storm is waiting to be told (gluehook storms): {why}")
        } else {
            format!(
                "the last word about {} storms is waiting to be told (gluehook storms): {why}",
                failing.len()
            )
        }
    });
    deps.readiness.warn_about("storms", sentence.as_deref());
}

/// Tells what is to be told now. Of several workers, one has each storm. Answers whether there was anything.
async fn tell_all(
    deps: &Deps,
    crowds: &HashMap<String, u32>,
    stop: &CancellationToken,
) -> Result<bool, StoreError> {
    let mut any = false;
    while !stop.is_cancelled() {
        let now = deps.clock.now();
        let lease = after(now, LONGEST_IN_PLACE + call(deps) * 2);
        let Some(mut telling) = deps.store.take_storm(&deps.worker, now, lease).await? else {
            return Ok(any);
        };
        any = true;
        let crowd = crowds.get(&line(deps, telling.storm.channel.as_deref())).copied().unwrap_or(1);
        let end = if last_word_waits(&telling.storm, now) {
            // What is not told yet does not wait with it, and is told as while the storm lasts.
            telling.storm.state = StormState::Open;
            match telling.storm.waiting {
                0 => StormEnd::NotNow { next: after(now, UPDATE) },
                _ => tell(deps, &telling, crowd, now).await?,
            }
        } else {
            tell(deps, &telling, crowd, now).await?
        };
        log(&telling.storm, &end);
        if let StormEnd::Told { .. } = end {
            let waited = u64::from(telling.storm.waiting);
            deps.metrics.steps(SLACK, StepState::Done.as_str(), waited);
        }
        insist::written(deps, What::StormEnd { telling: &telling, end: &end }).await?;
    }
    Ok(any)
}

/// The last word says what became of those that were posted on their own, which has to be known by then.
fn last_word_waits(storm: &Storm, now: Timestamp) -> bool {
    let over_at = after(storm.last_at, Duration::from_secs(storm.per_seconds));
    storm.state == StormState::Over && storm.posted.alone_waiting > 0 && now < after(over_at, LAST_WORD)
}

async fn tell(deps: &Deps, telling: &Telling, crowd: u32, taken: Timestamp) -> Result<StormEnd, StoreError> {
    let storm = &telling.storm;
    let circuit = format!("storm {}", storm.id);
    let now = || deps.clock.now();
    let pass = match deps.circuits.enter(&Service::Slack, &circuit).await {
        Ok(pass) => pass,
        Err(wait) => return Ok(StormEnd::NotNow { next: after(now(), wait) }),
    };
    // Without a turn no call is made, and so none is lost.
    let mut held = match turn(deps, storm, after(taken, LONGEST_IN_PLACE)).await {
        Ok(held) => held,
        Err(next) => return Ok(StormEnd::NotNow { next }),
    };
    // A process that was stopped, or a machine that slept, goes on as if no time had passed; and a call must end before
    // another worker may have the storm.
    let late = now() >= after(taken, LONGEST_IN_PLACE + call(deps))
        || held.as_ref().is_some_and(|held| held.is_late(now()));
    if late || deps.cut.is_cancelled() {
        leave(deps, held).await;
        return Ok(StormEnd::NotNow { next: now() });
    }
    let text = if storm.state == StormState::Over { summary(storm) } else { running(storm) };
    let telling = deps.world.tell(storm.channel.as_deref(), storm.message.as_ref(), &text);
    let told = deps.cut.run_until_cancelled(telling).await;
    if let Some(held) = &mut held {
        held.ended(now());
    }
    if let Some(Err(error)) = &told
        && let Err(error) = heard(deps, error).await
    {
        tracing::debug!(%error, "the event log does not know that Slack asks for quiet");
    }
    leave(deps, held).await;
    let Some(told) = told else {
        return Ok(StormEnd::Failed { why: process::CUT.to_owned(), uncertain: true, next: now() });
    };
    let (sign, why) = told.as_ref().map_or_else(|error| (error.sign(), error.why()), |_| (Sign::Well, ""));
    pass.ended(sign, why);
    let done = |receipt: Receipt, message, next| StormEnd::Told {
        message,
        request: format!(
            "told in one message with {} others of its kind: {}",
            storm.messages.saturating_sub(1),
            receipt.request
        ),
        answer: receipt.answer,
        next,
    };
    Ok(match told {
        Ok(Told::Posted { receipt, message }) => {
            // Without a message that can be updated, a post is one more each time.
            let pause = match message {
                Some(_) => between(deps, crowd),
                None => Duration::from_secs(storm.per_seconds),
            };
            done(receipt, message, after(now(), pause))
        }
        Ok(Told::Updated(receipt)) => {
            done(receipt, storm.message.clone(), after(now(), between(deps, crowd)))
        }
        Ok(Told::Gone { why }) => {
            tracing::info!(
                storm = storm.id,
                rule = storm.rule,
                ?why,
                "another message is posted in its place"
            );
            StormEnd::Gone
        }
        Err(error) => {
            let doubled = AGAIN * 2u32.saturating_pow(storm.failures.min(10));
            let (uncertain, asked) = match &error {
                EffectError::Transient { uncertain, after, .. } => (*uncertain, *after),
                EffectError::Permanent { .. } => (false, None),
                EffectError::Unknown { .. } => (true, None),
            };
            let wait = doubled.min(AGAIN_MOST).max(asked.unwrap_or_default().min(LONGEST_ASKED));
            StormEnd::Failed { why: error.why().to_owned(), uncertain, next: after(now(), wait) }
        }
    })
}

/// The turn in a storm's line, waited for in place if it is near; or when to ask again.
async fn turn(deps: &Deps, storm: &Storm, patient_until: Timestamp) -> Result<Option<Held>, Timestamp> {
    let line = line(deps, storm.channel.as_deref());
    loop {
        match deps.store.reserve(&line, lines::pace(deps), deps.clock.now()).await {
            Ok(Answer::Now(spell)) => return Ok(spell.map(|spell: Spell| Held::new(line, spell))),
            Ok(Answer::NotBefore(at)) if at <= patient_until && lines::wait_until(deps, at).await => {}
            Ok(Answer::NotBefore(next)) => return Err(next),
            Err(error) => {
                tracing::debug!(%error, "the event log does not say when a storm may be told");
                return Err(after(deps.clock.now(), AGAIN));
            }
        }
    }
}

async fn leave(deps: &Deps, held: Option<Held>) {
    if let Some(held) = held {
        held.leave(deps).await;
    }
}

/// Storms leave half of a channel's pace to messages that are posted on their own.
fn between(deps: &Deps, crowd: u32) -> Duration {
    UPDATE.max(lines::interval(deps).saturating_mul(crowd.saturating_mul(2)))
}

fn log(storm: &Storm, end: &StormEnd) {
    let (rule, messages) = (&storm.rule, storm.messages);
    match end {
        StormEnd::Told { .. } if storm.state == StormState::Over => {
            tracing::info!(
                storm = storm.id,
                rule,
                messages,
                tenants = storm.tenants,
                "the storm is over and summed up"
            );
        }
        StormEnd::Told { .. } if storm.message.is_none() => {
            tracing::info!(
                storm = storm.id,
                rule,
                messages,
                "many messages of one kind: they are told in one"
            );
        }
        StormEnd::Failed { why, .. } => {
            tracing::warn!(
                storm = storm.id,
                rule,
                waiting = storm.waiting,
                ?why,
                "the storm could not be told; trying again"
            );
        }
        StormEnd::Told { .. } | StormEnd::NotNow { .. } | StormEnd::Gone => {}
    }
}
