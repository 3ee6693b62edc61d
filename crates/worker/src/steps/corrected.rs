//! A message that follows steps which turned out otherwise than its text says.

use std::borrow::Cow;

use domain::action::Action;
use domain::correction::{Otherwise, corrections};
use domain::event::Event;
use domain::plan::Step;
use store::StoreError;

use crate::Deps;

/// What came of the steps before, as far as a message must tell it.
#[derive(Debug, Default)]
pub(super) struct Before<'a> {
    /// A newer event had set the same schedule.
    pub(super) superseded: Vec<&'a Action>,
    /// Was to be switched off, and nobody knows of it.
    pub(super) idle: Vec<&'a Action>,
}

/// Those of the steps that found nothing to switch off. Read from the ledger: another worker may have done them.
pub(super) async fn idle<'a>(
    deps: &Deps,
    event: &Event,
    run: &str,
    steps: &'a [Step],
) -> Result<Vec<&'a Action>, StoreError> {
    let may_be =
        |step: &&Step| matches!(step.action, Action::SetSchedule { enabled: false, expression: None, .. });
    if !steps.iter().any(|step| may_be(&step)) {
        return Ok(Vec::new());
    }
    let records = deps.store.steps_of(&event.id, run).await?;
    let found_none = |step: &&Step| {
        records.iter().any(|record| {
            let otherwise = Otherwise::of(record.state, record.answer.as_deref());
            record.step.key == step.key && otherwise == Some(Otherwise::NothingToSwitchOff)
        })
    };
    Ok(steps.iter().filter(may_be).filter(found_none).map(|step| &step.action).collect())
}

/// A message that follows steps which turned out otherwise says so: its text was written before.
pub(super) fn corrected<'a>(action: &'a Action, before: &Before<'_>) -> Cow<'a, Action> {
    let Action::Slack { channel, text } = action else { return Cow::Borrowed(action) };
    let superseded = before.superseded.iter().map(|action| (*action, Otherwise::Superseded));
    let idle = before.idle.iter().map(|action| (*action, Otherwise::NothingToSwitchOff));
    let lines = corrections(superseded.chain(idle));
    if lines.is_empty() {
        return Cow::Borrowed(action);
    }
    let text = [text.as_str()].into_iter().chain(lines.iter().map(String::as_str)).collect::<Vec<_>>();
    Cow::Owned(Action::Slack { channel: channel.clone(), text: text.join("\n") })
}
