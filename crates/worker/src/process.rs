//! One event that some rule may act on: remembered decision or gather and decide, then the steps.

use std::time::Duration;

use domain::action::Place;
use domain::breaker::Sign;
use domain::event::Event;
use domain::facts::{Fact, Facts, Need, Needs};
use domain::journal::{Arrival, Brake, Outcome, Seen, Verdicts, scope};
use domain::plan::{Basis, Decision, Plan, RecordedFlow, RuleVerdict, Verdict};
use domain::retry::{self, Next};
use domain::rulebook::{Case, Rulebook, shadow_memory};
use domain::shadow::Terms;
use effects::EffectError;
use jiff::Timestamp;
use store::StoreError;

use crate::{Deps, before, brake, steps};

/// Most rounds of asking before deciding; a rulebook that wants more is wrong.
const MAX_ROUNDS: usize = 8;

/// Wait of an event whose rules had read a value that another event has replaced since.
const DECIDE_ANEW: Duration = Duration::from_millis(100);

/// Times that reading or processing may have begun without ever ending before the event is taken for one that kills workers.
pub(crate) const MAX_CRASHES: u32 = 10;

/// Wait of an event that could not go on through no fault of its own.
const NOT_NOW: Duration = Duration::from_secs(1);
/// Wait of an event whose call was cut because the worker stops: another worker may have it at once.
pub(crate) const HANDED_BACK: Duration = Duration::from_millis(100);
/// Why such a call has no answer.
pub(crate) const CUT: &str = "the worker was stopped while the call was under way";

/// Wait of an event that a worker which only observes must not go on with.
const OBSERVED: Duration = Duration::from_secs(30);

/// How to settle the delivery.
#[derive(Debug)]
pub(crate) enum End {
    Done(Outcome),
    Again {
        after: Duration,
        why: String,
    },
    /// The event log is away, for all events alike.
    NoLog {
        after: Duration,
        why: String,
    },
    /// `since`: when it first failed.
    Bury {
        why: String,
        attempts: u32,
        since: Option<Timestamp>,
    },
}

/// Why an attempt did not reach its end.
enum Stop {
    /// Trying again may help; no sooner than the given wait. `waits`: so long for something else that has not failed.
    Transient {
        why: String,
        after: Option<Duration>,
        waits: Option<Duration>,
    },
    Permanent(String),
    /// It can't go on now, and nothing has failed: the outside is down, or the worker must stop.
    NotNow(String, Duration),
    /// A step is in other hands, or another event changes the same; nothing has failed.
    Busy(Duration),
    /// The event log itself failed: nothing can be written down, not even this attempt.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What an attempt came to.
struct Reached {
    outcome: Outcome,
    why: Option<String>,
}

/// Takes one event as far as it gets, and says how its delivery is to be settled. Whatever happens is written down
/// first.
pub(crate) async fn process(deps: &Deps, arrival: &Arrival, run: &str, replayed: bool) -> End {
    let started = std::time::Instant::now();
    let end = match attempt(deps, arrival, run, replayed).await {
        Ok(reached) => {
            let noted = record(deps, &arrival.event, run, reached.outcome, reached.why.as_deref()).await;
            noted.map(|_| End::Done(reached.outcome))
        }
        Err(Stop::Transient { why, after, waits }) => {
            transient(deps, &arrival.event, run, why, after, waits).await
        }
        Err(Stop::Permanent(why)) => bury(deps, &arrival.event, run, why).await,
        Err(Stop::NotNow(why, after)) => {
            // Written down all the same, or it would look like an attempt that a worker died over.
            let noted = record(deps, &arrival.event, run, Outcome::Open, Some(&why)).await;
            noted.map(|_| End::Again { after, why })
        }
        Err(Stop::Busy(after)) => deps
            .store
            .waited(&arrival.event.id)
            .await
            .map(|()| End::Again { after, why: "what it needs is in other hands".to_owned() }),
        Err(Stop::Store(error)) => {
            // Trouble of the event log is not an attempt that a worker died over; where even that can't be written, the
            // number of such attempts is far from the limit before someone looks.
            let _told_below = deps.store.waited(&arrival.event.id).await;
            Err(error)
        }
    };
    deps.metrics.process_took(started.elapsed());
    match end {
        Ok(end) => end,
        Err(error) => store_trouble(deps, &error),
    }
}

/// The event log is away or refuses: the event waits in the queue, and readiness tells people.
pub(crate) fn store_trouble(deps: &Deps, error: &StoreError) -> End {
    End::NoLog { after: store_pause(deps, error), why: error.to_string() }
}

/// Tells readiness what is wrong with the event log; how long to leave it alone.
pub(crate) fn store_pause(deps: &Deps, error: &StoreError) -> Duration {
    deps.readiness.set("event-log", Err(error.to_string()));
    match error {
        StoreError::Unavailable(_) => Duration::from_secs(2),
        StoreError::Refused(_) | StoreError::Corrupt(_) | StoreError::Bug(_) => Duration::from_secs(30),
    }
}

async fn attempt(deps: &Deps, arrival: &Arrival, run: &str, replayed: bool) -> Result<Reached, Stop> {
    let event = &arrival.event;
    let seen = deps.store.remember(arrival, run).await?;
    deps.readiness.set("event-log", Ok(()));
    if seen == Seen::Again {
        let begun = deps.store.unfinished(&event.id).await?.saturating_sub(1);
        if begun >= MAX_CRASHES {
            return Err(Stop::Permanent(format!(
                "work on this event was begun {begun} times and never came to an end: a worker may die over it"
            )));
        }
    }
    let decision = match deps.store.decision(&event.id, run).await? {
        // Such an event was buried. It is here again because a person sent it back: the rules may be mended by now.
        Some(decision) if decision.broken().is_some() => {
            decide(deps, event, run, replayed, Some(decision)).await?
        }
        Some(decision) => decision,
        None => decide(deps, event, run, replayed, None).await?,
    };
    // What a live worker had begun is left to a live worker.
    if deps.observe.is_some() && !decision.steps.is_empty() && !settled(deps, event, run).await? {
        return Err(Stop::NotNow("this worker only observes".to_owned(), OBSERVED));
    }
    let standing = steps::perform(deps, event, &decision).await?;
    // What failed counts, whatever else is waited for.
    if let Some((why, after)) = standing.again {
        let waits = standing.not_now.map(|(_, wait)| wait).max(standing.busy);
        return Err(Stop::Transient { why, after, waits });
    }
    if let Some((why, wait)) = standing.not_now {
        return Err(Stop::NotNow(why, wait));
    }
    if let Some(wait) = standing.busy {
        return Err(Stop::Busy(wait));
    }
    if let Some(why) = standing.failed {
        return Err(Stop::Permanent(why));
    }
    if let Some((rule, why)) = decision.broken() {
        return Err(Stop::Permanent(format!("rule `{rule}` can't be carried out: {why}")));
    }
    if let Some(rule) = standing.held {
        let why = Some(format!("rule `{rule}` is paused: what it would do is held"));
        return Ok(Reached { outcome: Outcome::Held, why });
    }
    if let Some(rule) = standing.folded {
        let why = Some(format!("the message of rule `{rule}` is told in one with others of its kind"));
        return Ok(Reached { outcome: Outcome::Folded, why });
    }
    if let Some(rule) = standing.dropped {
        let why = Some(format!("what rule `{rule}` was to do was dropped by a person"));
        return Ok(Reached { outcome: Outcome::Dropped, why });
    }
    let taken = decision.verdicts.iter().any(|v| !quiet(&v.verdict));
    Ok(Reached { outcome: if taken { Outcome::Done } else { Outcome::NoRule }, why: standing.unknown })
}

async fn settled(deps: &Deps, event: &Event, run: &str) -> Result<bool, StoreError> {
    Ok(deps.store.steps_of(&event.id, run).await?.iter().all(|step| step.state.settled()))
}

fn quiet(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Off | Verdict::OtherKind | Verdict::NotHeld { .. } | Verdict::Unchanged => true,
        Verdict::Silenced { .. }
        | Verdict::Matched { .. }
        | Verdict::Shadow { .. }
        | Verdict::Broken { .. } => false,
    }
}

/// Gathers what the rules ask for, decides, and writes the decision down. From here on it is resumed, never remade.
///
/// `before` is a decision in which some rule could not be carried out: only such rules are decided anew, so that what
/// the others have done is not done again in other words. Where such a rule has done its first steps, it is decided by what
/// was known then: seen from behind a link that it made, it would have nothing more to do.
async fn decide(
    deps: &Deps,
    event: &Event,
    run: &str,
    replayed: bool,
    before: Option<Decision>,
) -> Result<Decision, Stop> {
    let rulebook = deps.rules.current();
    let flow = deps.config.hotglue.flow(&event.flow_id);
    let (mut facts, now) = match &before {
        Some(before) if before.begun_broken() => (before.facts.answered(), before.decided_at),
        Some(_) | None => (Facts::default(), deps.clock.now()),
    };
    for _ in 0..MAX_ROUNDS {
        let case = Case {
            event,
            facts: &facts,
            flow: &flow,
            date_format: &deps.config.hotglue.date_format,
            run,
            replayed,
            now,
        };
        match rulebook.decide(&case) {
            Ok(plan) => {
                let (plan, facts) =
                    if deps.observe.is_some() { (plan.observed(), facts.observed()) } else { (plan, facts) };
                let replaced = before.as_ref().map(|before| before.decided_at);
                let flow = Some(RecordedFlow::from(&flow));
                let plan = match before {
                    Some(before) => before.mended(plan),
                    None => plan,
                };
                // What the rules took for now, so that the same comes of it when it is worked out again; a decision that takes another's
                // place has a time of its own.
                let decided_at = if replaced == Some(now) { deps.clock.now() } else { now };
                let basis = Basis { facts, flow };
                let written =
                    write_down(deps, &rulebook, event, run, basis, plan, decided_at, replaced).await?;
                return written.ok_or(Stop::Busy(DECIDE_ANEW));
            }
            Err(needs) => {
                let told = gather(deps, event, &needs, || rulebook.asks_in_vain(&case)).await?;
                for told in told {
                    match told {
                        Told::Fact(fact) => facts.learn(fact),
                        Told::Refused(need, why) => facts.refuse(need, why),
                    }
                }
            }
        }
    }
    Err(Stop::Permanent(format!("the rulebook still asks for more facts after {MAX_ROUNDS} rounds")))
}

/// What came of a need.
enum Told {
    Fact(Fact),
    Refused(Need, String),
}

/// What is asked `in_vain` stops nothing: what hotglue does not tell now, the rules in shadow do without. Whether it is, is worked
/// out only then.
async fn gather(
    deps: &Deps,
    event: &Event,
    needs: &Needs,
    in_vain: impl Fn() -> bool,
) -> Result<Vec<Told>, Stop> {
    let mut all = Vec::new();
    let place =
        Place { env_id: event.env_id.clone(), flow_id: event.flow_id.clone(), tenant: event.tenant.clone() };
    for need in needs {
        let fact = match need {
            Need::LastValue { rule } => {
                let memory = if deps.observe.is_some() { shadow_memory(rule) } else { rule.clone() };
                let value = deps.store.last_value(&memory, &scope(event)).await?;
                Fact::LastValue { rule: rule.clone(), value }
            }
            Need::Config | Need::State | Need::LinkedSources | Need::LinkedTargets | Need::Schedule => {
                let told = match observe(deps, &place, need).await {
                    Err(Stop::Transient { why, .. } | Stop::NotNow(why, _)) if in_vain() => Err(why),
                    told => told?,
                };
                match told {
                    Ok(fact) => fact,
                    Err(why) => {
                        all.push(Told::Refused(need.clone(), why));
                        continue;
                    }
                }
            }
        };
        all.push(Told::Fact(fact));
    }
    Ok(all)
}

/// The fact, or why hotglue will not tell it however often it is asked.
async fn observe(deps: &Deps, place: &Place, need: &Need) -> Result<Result<Fact, String>, Stop> {
    let service = deps.world.asked_about(place);
    let pass = deps.circuits.enter(&service, &place.tenant).await.map_err(|wait| {
        Stop::NotNow(deps.circuits.why_held(&service), deps.circuits.parks(&place.tenant, wait))
    })?;
    let Some(answer) = deps.cut.run_until_cancelled(deps.world.observe(place, need)).await else {
        return Err(Stop::NotNow(CUT.to_owned(), HANDED_BACK));
    };
    let error = match answer {
        Ok(fact) => {
            pass.ended(Sign::Well, "");
            return Ok(Ok(fact));
        }
        Err(error) => error,
    };
    let is_down = pass.ended(error.sign(), error.why());
    match error {
        EffectError::Transient { why, after, sign, .. } => {
            Err(match wait_without_blame(sign, is_down, after) {
                Some(wait) => Stop::NotNow(why, deps.circuits.parks(&place.tenant, wait)),
                None => Stop::Transient { why, after, waits: None },
            })
        }
        EffectError::Permanent { why } | EffectError::Unknown { why } => Ok(Err(why)),
    }
}

/// How long to wait after a failure that is not this event's: it uses up no attempt. None when it may be the event's own.
pub(crate) fn wait_without_blame(sign: Sign, is_down: bool, after: Option<Duration>) -> Option<Duration> {
    let is_the_services = is_down || matches!(sign, Sign::SlowDown(_));
    is_the_services.then(|| after.unwrap_or(NOT_NOW).min(retry::LONGEST_ASKED))
}

/// None when a value that the rules had read is another by now.
#[expect(clippy::too_many_arguments, reason = "what a decision is made of")]
async fn write_down(
    deps: &Deps,
    rulebook: &Rulebook,
    event: &Event,
    run: &str,
    basis: Basis,
    plan: Plan,
    decided_at: Timestamp,
    replaced: Option<Timestamp>,
) -> Result<Option<Decision>, StoreError> {
    let decision = Decision {
        event: event.id.clone(),
        run: run.to_owned(),
        rulebook: rulebook.version().to_owned(),
        decided_at,
        facts: basis.facts,
        flow: basis.flow,
        verdicts: rehearsed(deps, rulebook, event, run, plan.verdicts).await,
        steps: plan.steps,
        new_values: plan.new_values,
    };
    let brake = Brake::On { tenant: &brake::tenant(event), limits: &brake::limits(rulebook) };
    let verdicts =
        Verdicts { decision: &decision, scope: &scope(event), occurred_at: event.occurred_at, brake };
    let written = match replaced {
        Some(decided_at) => deps.store.replace_decision(decided_at, verdicts).await?,
        None => deps.store.record_decision(verdicts).await?,
    };
    if written.is_some() {
        count(deps, &decision);
    }
    Ok(written)
}

/// What rules in shadow would have called is noted with what they would have done. An expression that only hotglue knows is read
/// for it, which changes nothing.
async fn rehearsed(
    deps: &Deps,
    rulebook: &Rulebook,
    event: &Event,
    run: &str,
    mut verdicts: Vec<RuleVerdict>,
) -> Vec<RuleVerdict> {
    for given in &mut verdicts {
        if let Some(actions) = given.verdict.rehearsed()
            && given.would.is_empty()
        {
            let mut would = Vec::with_capacity(actions.len());
            for action in actions {
                let schedule = before::look(deps, action).await;
                would.push(deps.world.would(action, schedule.as_ref()));
            }
            given.would = would;
            given.terms = Terms::of(rulebook, event, run, given);
        }
    }
    verdicts
}

fn count(deps: &Deps, decision: &Decision) {
    for verdict in &decision.verdicts {
        match &verdict.verdict {
            Verdict::Matched { .. } | Verdict::Shadow { .. } => deps.metrics.rule_matched(&verdict.rule),
            Verdict::NotHeld { why: Some(_), .. } | Verdict::Broken { .. } => {
                deps.metrics.rule_error(&verdict.rule)
            }
            Verdict::Off
            | Verdict::OtherKind
            | Verdict::NotHeld { why: None, .. }
            | Verdict::Unchanged
            | Verdict::Silenced { .. } => {}
        }
    }
}

async fn record(
    deps: &Deps,
    event: &Event,
    run: &str,
    outcome: Outcome,
    why: Option<&str>,
) -> Result<u32, StoreError> {
    deps.store.attempted(&event.id, run, &deps.worker, outcome, why, deps.clock.now()).await
}

async fn transient(
    deps: &Deps,
    event: &Event,
    run: &str,
    why: String,
    asked: Option<Duration>,
    waits: Option<Duration>,
) -> Result<End, StoreError> {
    let failures = deps.store.failures(&event.id, run).await? + 1;
    let seed = event.id.as_str().bytes().fold(0u64, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
    match retry::next(&deps.config.retry, failures, asked, seed) {
        Next::After(after) => {
            record(deps, event, run, Outcome::Retrying, Some(&why)).await?;
            deps.metrics.retries.inc();
            tracing::info!(event = %event.id, tenant = ?event.tenant, failures, ?after, ?why, "will be tried again");
            Ok(End::Again { after, why })
        }
        // What another rule is to do only waits, and would be given up with it.
        Next::GiveUp if let Some(wait) = waits => {
            record(deps, event, run, Outcome::Open, Some(&why)).await?;
            Ok(End::Again { after: wait, why })
        }
        Next::GiveUp => bury(deps, event, run, format!("given up after {failures} attempts: {why}")).await,
    }
}

async fn bury(deps: &Deps, event: &Event, run: &str, why: String) -> Result<End, StoreError> {
    // Attempts that a worker died over were never written down as failed.
    let died = deps.store.unfinished(&event.id).await?.saturating_sub(1);
    let attempts = record(deps, event, run, Outcome::Dead, Some(&why)).await? + died;
    tracing::warn!(event = %event.id, tenant = ?event.tenant, attempts, ?why, "buried");
    let since = deps.store.first_failed_at(&event.id, run).await?;
    Ok(End::Bury { why, attempts, since })
}
