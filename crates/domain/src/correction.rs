//! A message's text is written before the steps ahead of it in its rule are done. Of those that turned out otherwise, the
//! message says so.

use crate::action::{Action, Which};
use crate::journal::{NOTHING_TO_SWITCH_OFF, StepState};

/// How a step turned out otherwise than the message after it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// A newer event had set the same schedule.
    Superseded,
    /// It was to be switched off, and nobody knows of it.
    NothingToSwitchOff,
}

impl Otherwise {
    /// As the ledger has the step.
    #[must_use]
    pub fn of(state: StepState, answer: Option<&str>) -> Option<Self> {
        if state == StepState::Superseded {
            Some(Self::Superseded)
        } else if answer == Some(NOTHING_TO_SWITCH_OFF) {
            Some(Self::NothingToSwitchOff)
        } else {
            None
        }
    }
}

/// What is to be said after the text of a message that follows these steps, a line each.
#[must_use]
pub fn corrections<'a>(steps: impl IntoIterator<Item = (&'a Action, Otherwise)>) -> Vec<String> {
    let (mut superseded, mut idle) = (Vec::new(), Vec::new());
    for (action, otherwise) in steps {
        let Action::SetSchedule { which, .. } = action else { continue };
        match otherwise {
            Otherwise::Superseded => superseded.push(which.as_str()),
            Otherwise::NothingToSwitchOff => idle.push(*which),
        }
    }
    let mut lines = Vec::new();
    if !superseded.is_empty() {
        let s = if superseded.len() == 1 { "" } else { "s" };
        let left = superseded.join(" and ");
        lines.push(format!(
            ":warning: Not so: a newer event had already set the {left} schedule{s}, and that stands."
        ));
    }
    for which in idle {
        let setting = match which {
            Which::Source => "schedule",
            Which::Target => "target_schedule",
        };
        lines.push(format!(
            ":information_source: hotglue reports no {} schedule here: nothing was switched off; if there is one, set `{setting}` of the flow in [[hotglue.flow]].",
            which.as_str()
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Place;

    fn schedule(which: Which) -> Action {
        let text = |text: &str| text.to_owned();
        let place = Place { env_id: text("dev"), flow_id: text("f"), tenant: text("t") };
        Action::SetSchedule { place, which, connector_id: None, expression: None, enabled: false }
    }

    #[test]
    fn the_ledger_says_which_step_turned_out_otherwise() {
        assert_eq!(Otherwise::of(StepState::Superseded, None), Some(Otherwise::Superseded));
        let idle = Otherwise::of(StepState::Done, Some(NOTHING_TO_SWITCH_OFF));
        assert_eq!(idle, Some(Otherwise::NothingToSwitchOff));
        assert_eq!(Otherwise::of(StepState::Done, Some("200")), None);
        assert_eq!(Otherwise::of(StepState::Pending, None), None);
    }

    #[test]
    fn each_schedule_is_named_with_what_became_of_it() {
        let (source, target) = (schedule(Which::Source), schedule(Which::Target));
        let told = Action::Slack { channel: None, text: String::new() };
        let both = [(&source, Otherwise::Superseded), (&target, Otherwise::Superseded)];
        assert_eq!(
            corrections(both),
            [
                ":warning: Not so: a newer event had already set the source and target schedules, and that stands."
            ]
        );
        let lines = corrections([
            (&target, Otherwise::NothingToSwitchOff),
            (&source, Otherwise::Superseded),
            (&told, Otherwise::Superseded),
        ]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("the source schedule, and"), "{lines:?}");
        assert!(
            lines[1].contains("no target schedule here") && lines[1].contains("set `target_schedule`"),
            "{lines:?}"
        );
        assert!(corrections([]).is_empty());
    }
}
