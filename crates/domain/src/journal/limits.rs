//! The hand on the brake: rules that pause when they would touch too many tenants, what is held then, and what it takes
//! to put schedules back.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StepState;
use crate::action::Action;
use crate::event::Event;
use crate::names::EventId;
use crate::plan::{Decision, Step, StepKey};
use crate::rulebook::Limit;

/// What holds the steps of a decision back when it is written down.
#[derive(Debug, Clone, Copy)]
pub enum Brake<'a> {
    /// Steps of a paused rule are held, and so are those of a rule for which `tenant` would be one too many, which is
    /// paused with that.
    On {
        /// `<env>/<tenant>`: what is counted.
        tenant: &'a str,
        /// Rules that have a limit.
        limits: &'a [(String, Limit)],
    },
    /// A person has decided: nothing is held, and what the rules had made of the event stays as listed.
    Off,
}

/// A tenant as limits count it: `<env>/<tenant>`.
#[must_use]
pub fn counted_as(event: &Event) -> String {
    format!("{}/{}", event.env_id, event.tenant)
}

/// A rule that is paused, or of which something is still held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    pub rule: String,
    /// None: it was resumed, and what was held has not all been taken up by a worker.
    pub since: Option<Timestamp>,
    /// The limit that was reached: so many tenants.
    pub limit_tenants: Option<u32>,
    /// In so many seconds.
    pub limit_seconds: Option<u64>,
    /// How far the message to Slack is.
    pub alert: Option<StepState>,
    pub held_events: u32,
    pub held_tenants: u32,
    pub held_steps: u32,
}

/// A step that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldStep {
    pub event: EventId,
    pub run: String,
    pub env_id: String,
    pub tenant: String,
    pub occurred_at: Timestamp,
    /// In the live stream.
    pub stream_sequence: u64,
    pub key: StepKey,
    pub action: Action,
    /// A person wants it done; no worker has taken it up.
    pub released: bool,
}

/// A schedule as it was before a step changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "known", rename_all = "snake_case")]
pub enum Before {
    Schedule {
        expression: String,
        /// `ENABLED`, `DISABLED`, or empty when hotglue did not say.
        state: String,
    },
    /// hotglue said that there is none.
    Absent,
    /// It could not be read.
    No { why: String },
}

impl Before {
    /// In words.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Schedule { expression, state } => {
                let state = match state.as_str() {
                    "ENABLED" => "on",
                    "DISABLED" => "off",
                    other => other,
                };
                let parts = [state, expression.as_str()].into_iter().filter(|part| !part.is_empty());
                parts.collect::<Vec<_>>().join(", ")
            }
            Self::Absent => "none".to_owned(),
            Self::No { why } => format!("unknown: {why}"),
        }
    }
}

/// A change of a schedule that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleChange {
    pub event: EventId,
    pub occurred_at: Timestamp,
    pub action: Action,
    pub done_at: Timestamp,
    /// Version of the rulebook that decided on it, where that is known.
    pub rulebook: Option<String>,
    pub before: Option<Before>,
    /// The newest event that changed the same schedule, as long as that is known.
    pub newest: Option<EventId>,
}

/// The message that tells people of a pause, as a step of the event that was one too many.
#[must_use]
pub fn pause_alert(decision: &Decision, rule: &str, limit: Limit, tenant: &str) -> Step {
    let of_rule: Vec<_> = decision.steps.iter().filter(|step| step.rule == rule).collect();
    let held: Vec<_> = of_rule.iter().map(|step| step.action.word()).collect();
    let text = format!(
        ":double_vertical_bar: Rule `{rule}` is paused: it was about to touch more than {tenants} in {per}. \
         Held: what it would do for *{tenant}* ({held}), and all that it would do for anyone from now on; other rules go on.\n\
         `gluehook rules resume {rule}` shows what is held and has it done. `gluehook rules drop {rule}` lets it be.",
        tenants = counted(limit.tenants),
        per = spoken(limit.per),
        tenant = plain(tenant),
        held = held.join(", "),
    );
    let action = Action::Slack { channel: None, text };
    Step {
        key: StepKey::new(&decision.event, &decision.run, rule, &action),
        rule: rule.to_owned(),
        place: of_rule.len(),
        action,
    }
}

fn counted(tenants: u32) -> String {
    if tenants == 1 { "1 tenant".to_owned() } else { format!("{tenants} tenants") }
}

/// "10 minutes": the largest unit that leaves no rest.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) = units
        .into_iter()
        .find(|(size, _)| seconds > 0 && seconds.is_multiple_of(*size))
        .unwrap_or((1, "second"));
    let number = seconds / size;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// A name that others chose: nothing in it is markup to Slack.
fn plain(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(100).collect();
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;

    fn decision(actions: &[Action]) -> Decision {
        let event = EventId::from_text("abc");
        let step = |(place, action): (usize, &Action)| Step {
            key: StepKey::new(&event, "live", "off", action),
            rule: "off".to_owned(),
            place,
            action: action.clone(),
        };
        Decision {
            steps: actions.iter().enumerate().map(step).collect(),
            event: event.clone(),
            run: "live".to_owned(),
            rulebook: "r".to_owned(),
            decided_at: Timestamp::UNIX_EPOCH,
            facts: Facts::default(),
            flow: None,
            verdicts: Vec::new(),
            new_values: Vec::new(),
        }
    }

    #[test]
    fn the_alert_says_which_rule_how_many_in_which_time_what_is_held_and_what_to_do() {
        let decision = decision(&[Action::Slack { channel: None, text: "x".to_owned() }]);
        let limit = Limit { tenants: 10, per: Duration::from_secs(600) };
        let step = pause_alert(&decision, "off", limit, "dev/<!channel>");
        let Action::Slack { channel: None, text } = &step.action else { panic!("{step:?}") };
        for part in ["`off`", "10 tenants in 10 minutes", "slack", "rules resume off`", "rules drop off`"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("<!"), "a tenant calls nobody: {text}");
        assert_eq!(
            step,
            pause_alert(&decision, "off", limit, "dev/<!channel>"),
            "every attempt says the same"
        );
        assert!(!decision.steps.contains(&step));
    }

    #[test]
    fn times_are_spoken_in_the_largest_unit_that_fits() {
        for (seconds, said) in [(1, "1 second"), (90, "90 seconds"), (7200, "2 hours"), (86_400, "1 day")] {
            assert_eq!(spoken(Duration::from_secs(seconds)), said);
        }
    }
}
