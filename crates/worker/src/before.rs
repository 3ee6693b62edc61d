//! How a schedule is before a step changes it: read and noted in the ledger, so that `gluehook undo` can put it back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::action::Action;
use domain::breaker::Sign;
use domain::journal::Before;
use domain::plan::Step;
use effects::{EffectError, Service};
use jiff::Timestamp;
use store::StoreError;

use crate::steps::Stopped;
use crate::{Deps, process, storms};

/// Another attempt follows so many that failed over reading.
const PATIENCE: u32 = 1;
/// A look for a rehearsal takes no longer than this: the event's own steps wait for it.
const LOOK: Duration = Duration::from_secs(2);
/// After one that took longer there is none for so long.
const NO_LOOK: Duration = Duration::from_secs(30);

/// Reads and notes how a schedule is. Answers with what was read in this attempt, so that the change need not read it again.
///
/// A change is never made before this is in the ledger, so what is there after an attempt that may have changed something was read
/// before any change of ours: it stands, and is not read again, unless the change itself needs the expression. That hotglue refuses to tell stops
/// nothing and is noted; what may pass waits for another attempt, and what has not passed then is noted as well: a change that must
/// be made is worth more than the way back. Nor does it speak for hotglue: were only this call in trouble, it would stop all others.
pub(crate) async fn read(
    deps: &Deps,
    tenant: &str,
    of: storms::Of<'_>,
    step: &Step,
    begun: u32,
) -> Result<Result<Option<Before>, Stopped>, StoreError> {
    let Action::SetSchedule { expression, .. } = &step.action else { return Ok(Ok(None)) };
    let needed = expression.is_none();
    // After attempts that surely changed nothing it is read afresh: a person may have changed it since.
    if !needed && begun > 0 && deps.store.before(&step.key).await?.is_some() {
        return Ok(Ok(None));
    }
    let before = match ask(deps, tenant, &step.action, needed).await {
        Ok(before) => before,
        // Without it there is nothing that could be sent.
        Err(stopped) if needed => return Ok(Err(stopped)),
        Err(Stopped::Failed {
            error: EffectError::Permanent { why } | EffectError::Unknown { why }, ..
        }) => Before::No { why },
        Err(Stopped::Failed { error: EffectError::Transient { why, sign, .. }, is_down: false })
            if !matches!(sign, Sign::SlowDown(_)) && impatient(deps, of).await? =>
        {
            Before::No { why }
        }
        Err(stopped) => return Ok(Err(stopped)),
    };
    let worse = matches!(before, Before::No { .. }) && deps.store.before(&step.key).await?.is_some();
    if !worse {
        deps.store.note_before(&step.key, &before).await?;
    }
    Ok(Ok(Some(before)))
}

/// How the schedule is that a change without an expression of its own would need; none for any other action. Of a change that is only
/// rehearsed nothing waits for it: what hotglue does not tell at once is not known, and said so.
pub(crate) async fn look(deps: &Deps, action: &Action) -> Option<Before> {
    let Action::SetSchedule { place, expression: None, .. } = action else { return None };
    let service = deps.world.called_for(action);
    if !deps.looks.may(&service, deps.clock.now()) {
        return Some(Before::No { why: skipped(&service) });
    }
    let Ok(read) = tokio::time::timeout(LOOK, ask(deps, &place.tenant, action, false)).await else {
        deps.looks.hung(&service, deps.clock.now());
        return Some(Before::No {
            why: format!("{service} did not answer a look within {} s", LOOK.as_secs()),
        });
    };
    Some(match read {
        Ok(before) => before,
        Err(Stopped::Failed { error, .. }) => Before::No { why: error.why().to_owned() },
        Err(Stopped::Held(_)) => Before::No { why: deps.circuits.why_held(&service) },
        Err(Stopped::Cut) => Before::No { why: process::CUT.to_owned() },
    })
}

fn skipped(service: &Service) -> String {
    format!(
        "{service} did not answer a look within {} s just before, and is not looked at for {} s then",
        LOOK.as_secs(),
        NO_LOOK.as_secs()
    )
}

/// Whom a look has found slow: what is only rehearsed must not hold up what is done.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<BTreeMap<Service, Timestamp>>);

impl Looks {
    fn may(&self, service: &Service, now: Timestamp) -> bool {
        let until = self.lock().get(service).copied();
        until.is_none_or(|until| until <= now)
    }

    fn hung(&self, service: &Service, now: Timestamp) {
        self.lock().insert(service.clone(), now.checked_add(NO_LOOK).unwrap_or(now));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Service, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Were there failed attempts enough? Waits for an outage or a service that asks us to slow down are none.
async fn impatient(deps: &Deps, of: storms::Of<'_>) -> Result<bool, StoreError> {
    match of {
        storms::Of::Event { event, run, .. } => Ok(deps.store.failures(&event.id, run).await? >= PATIENCE),
        storms::Of::Worker => Ok(false),
    }
}

/// `needed`: the change can't be made without it.
async fn ask(deps: &Deps, tenant: &str, action: &Action, needed: bool) -> Result<Before, Stopped> {
    let service = deps.world.called_for(action);
    let pass = deps.circuits.enter(&service, tenant).await.map_err(Stopped::Held)?;
    let Some(read) = deps.cut.run_until_cancelled(deps.world.schedule_before(action)).await else {
        return Err(Stopped::Cut);
    };
    match read {
        // Whether hotglue is well, the change will tell: one that reads and can't write is not.
        Ok(before) => Ok(before),
        Err(error) => {
            let is_down = match error.sign() {
                sign @ (Sign::SlowDown(_) | Sign::Refused) => pass.ended(sign, error.why()),
                sign if needed => pass.ended(sign, error.why()),
                _ => false,
            };
            Err(Stopped::Failed { error, is_down })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_answered_a_look_is_left_alone_for_a_while_and_nobody_else_is() {
        let (looks, start) = (Looks::default(), Timestamp::UNIX_EPOCH);
        let slow = Service::Hotglue { env_id: "slow".to_owned() };
        assert!(looks.may(&slow, start));
        looks.hung(&slow, start);
        assert!(!looks.may(&slow, start + Duration::from_secs(29)) && looks.may(&Service::Slack, start));
        assert!(looks.may(&slow, start + NO_LOOK));
    }
}
