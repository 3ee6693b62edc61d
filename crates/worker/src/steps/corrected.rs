//! A message that follows steps which turned out otherwise than its text says.

use std::borrow::Cow;

use domain::action::{Action, Which};
use domain::event::Event;
use domain::journal::NOTHING_TO_SWITCH_OFF;
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

impl Before<'_> {
    /// What a message says of the steps before it is so.
    pub(super) fn is_as_written(&self) -> bool {
        self.superseded.is_empty() && self.idle.is_empty()
    }
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
            record.step.key == step.key && record.answer.as_deref() == Some(NOTHING_TO_SWITCH_OFF)
        })
    };
    Ok(steps.iter().filter(may_be).filter(found_none).map(|step| &step.action).collect())
}

/// A message that follows steps which turned out otherwise says so: its text was written before.
pub(super) fn corrected<'a>(action: &'a Action, before: &Before<'_>) -> Cow<'a, Action> {
    let Action::Slack { channel, text } = action else { return Cow::Borrowed(action) };
    let schedules = |actions: &[&Action]| -> Vec<Which> {
        let schedules = actions.iter().filter_map(|action| match action {
            Action::SetSchedule { which, .. } => Some(*which),
            _ => None,
        });
        schedules.collect()
    };
    let mut text = Cow::Borrowed(text.as_str());
    let left: Vec<_> = schedules(&before.superseded).into_iter().map(Which::as_str).collect();
    if !left.is_empty() {
        let s = if left.len() == 1 { "" } else { "s" };
        let left = left.join(" and ");
        text.to_mut().push_str(&format!(
            "\n:warning: Not so: a newer event had already set the {left} schedule{s}, and that stands."
        ));
    }
    for which in schedules(&before.idle) {
        let setting = match which {
            Which::Source => "schedule",
            Which::Target => "target_schedule",
        };
        text.to_mut().push_str(&format!(
            "\n:information_source: hotglue reports no {} schedule here: nothing was switched off; if there is one, set `{setting}` of the flow in [[hotglue.flow]].",
            which.as_str()
        ));
    }
    match text {
        Cow::Borrowed(_) => Cow::Borrowed(action),
        Cow::Owned(text) => Cow::Owned(Action::Slack { channel: channel.clone(), text }),
    }
}
