//! The steps of a decision: claim → perform → settle, one at a time within a rule.

mod corrected;

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use domain::action::Action;
use domain::breaker::Sign;
use domain::event::Event;
use domain::journal::{Claim, StepEnd, StepState, Turn};
use domain::plan::{Decision, Step};
use effects::{EffectError, Leave, Receipt, Service};
use jiff::{SignedDuration, Timestamp};
use store::StoreError;

use self::corrected::{Before, corrected, idle};
use crate::insist::{self, What};
use crate::lines::{self, Held};
use crate::storms::May;
use crate::{Deps, before, process, storms};

/// Between two looks whether what is in other hands has come free: it mostly does within one call.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Why an attempt made no call.
const LATE: &str = "the worker was held up for so long that others may have gone on with the step";

/// Why a Slack message waits.
const NOT_ITS_TURN: &str =
    "Slack takes about one message a second and channel, and others are before this one";

/// How the steps of a decision stand after one attempt at all of them.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// The first thing that failed for now, and the longest wait that was asked for.
    pub(crate) again: Option<(String, Option<Duration>)>,
    /// A step is in other hands, or another event changes the same, for so long.
    pub(crate) busy: Option<Duration>,
    /// The first thing that has to wait although nothing failed, and the longest such wait.
    pub(crate) not_now: Option<(String, Duration)>,
    /// The first thing that failed for good.
    pub(crate) failed: Option<String>,
    /// The first rule of which something is held.
    pub(crate) held: Option<String>,
    /// The first rule of which a message is told with others, and not yet surely told.
    pub(crate) folded: Option<String>,
    /// The first rule of which a person has dropped something.
    pub(crate) dropped: Option<String>,
    /// The first thing of which nobody knows whether it was done.
    pub(crate) unknown: Option<String>,
}

impl Standing {
    fn wait(&mut self, why: String, after: Option<Duration>) {
        let longest = self.again.as_ref().and_then(|(_, known)| *known).max(after);
        match &mut self.again {
            Some((_, known)) => *known = longest,
            None => self.again = Some((why, longest)),
        }
    }

    fn not_now(&mut self, why: String, wait: Duration) {
        match &mut self.not_now {
            Some((_, known)) => *known = wait.max(*known),
            None => self.not_now = Some((why, wait)),
        }
    }

    fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }
}

/// What became of one step in this attempt.
enum Went {
    /// Nothing more to do about it.
    Settled,
    /// A newer event had set the same schedule: nothing was done.
    Superseded,
    /// Settled, and nobody knows whether it was done.
    Unknown,
    Failed(String),
    Wait(String, Option<Duration>),
    /// A step is in other hands, or another event changes the same.
    Busy(Duration),
    /// Nothing failed; not before so long.
    NotNow(String, Duration),
    /// Its rule is paused.
    Held,
    /// A person has decided that it is not to be done.
    Dropped,
    /// It is told with others of its kind.
    Folded,
}

/// Why a call was not made, or came to nothing.
pub(crate) enum Stopped {
    /// What it needs is not called for so long.
    Held(Duration),
    /// The worker stops.
    Cut,
    Failed {
        error: EffectError,
        /// The service as a whole.
        is_down: bool,
    },
}

/// Whom and when a step is about.
#[derive(Debug, Clone, Copy)]
struct About<'a> {
    tenant: &'a str,
    occurred_at: Timestamp,
    /// Whose message it is, if it is one. What a worker tells on its own is tried until it is done.
    of: storms::Of<'a>,
}

impl About<'_> {
    /// Nothing is for good.
    fn insists(&self) -> bool {
        matches!(self.of, storms::Of::Worker)
    }
}

/// Attempts every step that is not settled. Rules do not wait for one another; within a rule a step that fails stops
/// those after it, so that no message claims what was not done.
pub(crate) async fn perform(deps: &Deps, event: &Event, decision: &Decision) -> Result<Standing, StoreError> {
    let mut standing = Standing::default();
    let mut steps = decision.steps.as_slice();
    while let Some(first) = steps.first() {
        let length = steps.iter().take_while(|step| step.rule == first.rule).count();
        let (of_rule, rest) = steps.split_at(length);
        steps = rest;
        of_one_rule(deps, event, &decision.run, of_rule, &mut standing).await?;
    }
    Ok(standing)
}

async fn of_one_rule(
    deps: &Deps,
    event: &Event,
    run: &str,
    steps: &[Step],
    standing: &mut Standing,
) -> Result<(), StoreError> {
    let mut before = Before::default();
    for (place, step) in steps.iter().enumerate() {
        if matches!(step.action, Action::Slack { .. }) {
            before.idle = idle(deps, event, run, &steps[..place]).await?;
        }
        let of = storms::Of::Event { event, run };
        let about = About { tenant: &event.tenant, occurred_at: event.occurred_at, of };
        match one(deps, about, step, &before).await? {
            Went::Settled => {}
            Went::Unknown => {
                standing.unknown.get_or_insert_with(|| format!("rule `{}`: {}", step.rule, doubt(step)));
            }
            Went::Superseded => before.superseded.push(&step.action),
            Went::Wait(why, after) => {
                standing.wait(why, after);
                return Ok(());
            }
            Went::Busy(wait) => {
                standing.busy = standing.busy.max(Some(wait));
                return Ok(());
            }
            Went::Held => {
                deps.braked.notify_one();
                standing.held.get_or_insert_with(|| step.rule.clone());
                return Ok(());
            }
            Went::Folded => {
                standing.folded.get_or_insert_with(|| step.rule.clone());
            }
            Went::Dropped => {
                standing.dropped.get_or_insert_with(|| step.rule.clone());
            }
            Went::NotNow(why, wait) => {
                standing.not_now(why, wait);
                return Ok(());
            }
            Went::Failed(why) => {
                let skipped = format!("the step before it failed: {}", step.action.word());
                for later in &steps[place + 1..] {
                    skip(deps, later, &skipped).await?;
                }
                standing.fail(why);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What a listing says of a step that ended unknown.
fn doubt(step: &Step) -> &'static str {
    match step.action {
        Action::Slack { .. } => "a Slack message may not have been posted, or twice",
        Action::RunJob { .. } => "a job may not have been started, or twice",
        Action::SetSchedule { .. } => "a schedule may not have been set",
        Action::LinkTarget { .. } => "a target may not have been linked",
    }
}

async fn skip(deps: &Deps, step: &Step, why: &str) -> Result<(), StoreError> {
    let now = deps.clock.now();
    // No turn is needed for what is not done.
    if let Claim::Mine { .. } = deps.store.claim(&step.key, None, &deps.worker, now, deps.lease).await? {
        deps.store
            .settle(&step.key, None, &deps.worker, &StepEnd::Skipped { why: why.to_owned() }, now)
            .await?;
        deps.metrics.step(step.action.word(), StepState::Skipped.as_str());
    }
    Ok(())
}

/// Sends the message about a pause; why it is to be tried again, if so.
pub(crate) async fn alert(deps: &Deps, tenant: &str, step: &Step) -> Result<Option<String>, StoreError> {
    let about = About { tenant, occurred_at: deps.clock.now(), of: storms::Of::Worker };
    Ok(match one(deps, about, step, &Before::default()).await? {
        Went::Wait(why, _) | Went::NotNow(why, _) => Some(why),
        Went::Busy(_)
        | Went::Settled
        | Went::Superseded
        | Went::Unknown
        | Went::Failed(_)
        | Went::Held
        | Went::Dropped
        | Went::Folded => None,
    })
}

async fn one(deps: &Deps, about: About<'_>, step: &Step, before: &Before<'_>) -> Result<Went, StoreError> {
    let mut held = match storms::may_post(deps, about.of, step).await? {
        May::Try(held) => held,
        // Without a turn it is not even claimed: it may have come free since.
        May::No(claim) => {
            return match begun(deps, step, claim).await? {
                Ok(_) => Ok(Went::Busy(LOOK_AGAIN)),
                Err(went) => Ok(went),
            };
        }
        May::Folded => return Ok(Went::Folded),
        May::NotBefore(at) => {
            let wait = Duration::try_from(at.duration_since(deps.clock.now())).unwrap_or_default();
            return Ok(Went::NotNow(NOT_ITS_TURN.to_owned(), wait));
        }
    };
    let went = in_turn(deps, about, step, &corrected(&step.action, before), held.as_mut()).await;
    if let Some(held) = held {
        held.leave(deps).await;
    }
    went
}

/// How many attempts at it were begun before, if it is ours; or what became of it.
async fn begun(deps: &Deps, step: &Step, claim: Claim) -> Result<Result<u32, Went>, StoreError> {
    Ok(Err(match claim {
        Claim::Mine { begun } => return Ok(Ok(begun)),
        Claim::Settled(StepState::Failed | StepState::Skipped) => {
            Went::Failed(format!("step {} of rule `{}` had failed", step.action.word(), step.rule))
        }
        Claim::Settled(StepState::Superseded) => Went::Superseded,
        Claim::Settled(StepState::Folded) => Went::Folded,
        Claim::Settled(StepState::Dropped) => Went::Dropped,
        Claim::Settled(StepState::Unknown) => Went::Unknown,
        Claim::Settled(_) => Went::Settled,
        Claim::Held => Went::Held,
        Claim::Busy { until } => {
            let left = Duration::try_from(until.duration_since(deps.clock.now())).unwrap_or_default();
            Went::Busy(left.min(LOOK_AGAIN))
        }
        Claim::Newer { event, same_moment } => {
            let why = Claim::gives_way_to(&event, same_moment);
            settle(deps, step, None, StepEnd::Superseded { why }).await?
        }
    }))
}

/// One attempt at a step, which has the turn in its line if it is a message that has to wait in one.
async fn in_turn(
    deps: &Deps,
    about: About<'_>,
    step: &Step,
    action: &Action,
    mut held: Option<&mut Held>,
) -> Result<Went, StoreError> {
    let now = deps.clock.now();
    let turn = Turn::of(&step.action, about.occurred_at);
    let turn = turn.as_ref();
    let claim = deps.store.claim(&step.key, turn, &deps.worker, now, deps.lease).await?;
    let begun = match begun(deps, step, claim).await? {
        Ok(begun) => begun,
        Err(went) => return Ok(went),
    };
    let repeatable = step.action.repeatable();
    if let Some(end) = StepEnd::untried(repeatable, begun) {
        return settle(deps, step, turn, end).await;
    }
    let schedule = match before::read(deps, about.tenant, about.of, step, begun).await? {
        Ok(schedule) => schedule,
        Err(stopped) => return not_made(deps, about, step, turn, stopped).await,
    };
    let service = deps.world.called_for(&step.action);
    // Slack knows no tenants: two messages that it does not take are as good a sign as two tenants are of hotglue.
    let of = if service == Service::Slack { step.key.as_str() } else { about.tenant };
    let pass = match deps.circuits.enter(&service, of).await {
        Ok(pass) => pass,
        Err(wait) => return not_made(deps, about, step, turn, Stopped::Held(wait)).await,
    };
    // A process that was stopped, or a machine that slept, goes on as if no time had passed.
    let late = || {
        let (time, lease) = (deps.clock.now(), SignedDuration::try_from(deps.lease));
        deps.pulse.lapsed_since(now, time) || time.duration_since(now) >= lease.unwrap_or(SignedDuration::MAX)
    };
    if late() || held.as_ref().is_some_and(|held| held.is_late(deps.clock.now())) {
        drop(pass);
        // Nothing was done: if the claim is still ours, it is free again.
        settle(deps, step, turn, StepEnd::Again { why: LATE.to_owned(), uncertain: false }).await?;
        return Ok(Went::Busy(LOOK_AGAIN));
    }
    let leave = Leave::default();
    let performing = deps.world.perform_after(begun, action, schedule.as_ref(), &leave);
    let performing = while_ours(performing, &leave, || turn.is_some() && late());
    let performed = deps.cut.run_until_cancelled(performing).await;
    if let Some(held) = &mut held {
        held.ended(deps.clock.now());
    }
    let Some(performed) = performed else {
        let why = process::CUT.to_owned();
        settle(deps, step, turn, StepEnd::Again { why: why.clone(), uncertain: true }).await?;
        return Ok(Went::NotNow(why, process::HANDED_BACK));
    };
    // After its lease, another may have done the same: the end is that of a second attempt.
    let overtaken = late();
    let begun = begun + u32::from(overtaken);
    let (sign, why) =
        performed.as_ref().map_or_else(|error| (error.sign(), error.why()), |_| (Sign::Well, ""));
    let is_down = pass.ended(sign, why);
    if let (Service::Slack, Err(error)) = (&service, &performed)
        && let Err(error) = lines::heard(deps, error).await
    {
        // How the step ended is what must be written down.
        tracing::debug!(%error, "the event log does not know that Slack asks for quiet");
    }
    let (end, trouble) = match performed {
        Ok(Receipt { request, answer, perhaps_twice: true }) => {
            (StepEnd::DonePerhapsTwice { request, answer }, None)
        }
        Ok(Receipt { request, answer, perhaps_twice: false }) => {
            (StepEnd::of_success(repeatable, begun, request, answer), None)
        }
        Err(EffectError::Permanent { why }) if about.insists() => {
            (StepEnd::Again { why, uncertain: false }, None)
        }
        Err(EffectError::Permanent { why }) => (StepEnd::Failed { why }, None),
        Err(EffectError::Unknown { why }) => (StepEnd::Unknown { why }, None),
        Err(EffectError::Transient { why, after, uncertain, sign }) => {
            (StepEnd::of_trouble(repeatable, begun, why, uncertain), Some((sign, after)))
        }
    };
    match (settle(deps, step, turn, end).await?, trouble) {
        // Others may have gone on with it: what failed here is no failure of the event, and stops no later step.
        (Went::Wait(..) | Went::Failed(_) | Went::Unknown, _) if overtaken => Ok(Went::Busy(LOOK_AGAIN)),
        (Went::Wait(why, _), Some((sign, after))) => {
            Ok(match process::wait_without_blame(sign, is_down, after) {
                Some(wait) => Went::NotNow(why, deps.circuits.parks(about.tenant, wait)),
                None => Went::Wait(why, after),
            })
        }
        (went, _) => Ok(went),
    }
}

/// A call that comes before the change was not made or failed, or the change itself was not called for: surely nothing was
/// changed.
async fn not_made(
    deps: &Deps,
    about: About<'_>,
    step: &Step,
    turn: Option<&Turn>,
    stopped: Stopped,
) -> Result<Went, StoreError> {
    let again = |why: String| StepEnd::Again { why, uncertain: false };
    match stopped {
        Stopped::Held(wait) => {
            let why = deps.circuits.why_held(&deps.world.called_for(&step.action));
            settle(deps, step, turn, again(why.clone())).await?;
            Ok(Went::NotNow(why, deps.circuits.parks(about.tenant, wait)))
        }
        Stopped::Cut => {
            settle(deps, step, turn, again(process::CUT.to_owned())).await?;
            Ok(Went::NotNow(process::CUT.to_owned(), process::HANDED_BACK))
        }
        Stopped::Failed { error: EffectError::Transient { why, after, sign, .. }, is_down } => {
            let wait = process::wait_without_blame(sign, is_down, after);
            match (settle(deps, step, turn, again(why)).await?, wait) {
                (Went::Wait(why, _), Some(wait)) => {
                    Ok(Went::NotNow(why, deps.circuits.parks(about.tenant, wait)))
                }
                (Went::Wait(why, _), None) => Ok(Went::Wait(why, after)),
                (went, _) => Ok(went),
            }
        }
        Stopped::Failed { error: EffectError::Permanent { why } | EffectError::Unknown { why }, .. } => {
            settle(deps, step, turn, StepEnd::Failed { why }).await
        }
    }
}

/// Goes on with an action; once it is `late`, its leave is withdrawn: an action that makes several calls makes no further one when its turn
/// may be another's. What was answered to the last of them is an answer all the same, and is written down.
async fn while_ours<T>(action: impl Future<Output = T>, leave: &Leave, late: impl Fn() -> bool) -> T {
    let mut action = pin!(action);
    poll_fn(|context| {
        if late() {
            leave.withdraw();
        }
        action.as_mut().poll(context)
    })
    .await
}

async fn settle(deps: &Deps, step: &Step, turn: Option<&Turn>, end: StepEnd) -> Result<Went, StoreError> {
    let (state, went) = match &end {
        StepEnd::Done { .. } | StepEnd::DonePerhapsTwice { .. } => (StepState::Done, Went::Settled),
        StepEnd::Again { why, .. } => (
            StepState::Pending,
            Went::Wait(format!("rule `{}`, {}: {why}", step.rule, step.action.word()), None),
        ),
        StepEnd::Unknown { .. } => (StepState::Unknown, Went::Unknown),
        StepEnd::Superseded { .. } => (StepState::Superseded, Went::Superseded),
        StepEnd::Skipped { .. } => (StepState::Skipped, Went::Settled),
        StepEnd::Failed { why } => {
            (StepState::Failed, Went::Failed(format!("rule `{}`, {}: {why}", step.rule, step.action.word())))
        }
    };
    match &end {
        StepEnd::Failed { why } | StepEnd::Unknown { why } => {
            tracing::warn!(
                rule = step.rule,
                action = step.action.word(),
                step = step.key.as_str(),
                ?why,
                "step {}",
                state.as_str()
            );
        }
        _ => tracing::debug!(rule = step.rule, action = step.action.word(), "step {}", state.as_str()),
    }
    insist::written(deps, What::StepEnd { step: &step.key, turn, end: &end }).await?;
    deps.metrics.step(step.action.word(), state.as_str());
    Ok(went)
}
