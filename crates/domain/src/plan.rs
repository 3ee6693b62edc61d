//! What was decided about an event: for each rule its verdict, and the steps to take.

mod basis;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::basis::{Basis, RecordedFlow};
use crate::action::Action;
use crate::config::FlowSettings;
use crate::facts::Facts;
use crate::names::EventId;
use crate::rulebook::shadow_memory;
use crate::shadow::Terms;
use crate::would::Would;

/// The run in which live events are decided. A replay has a run of its own, so that its steps are steps of their own.
pub const LIVE: &str = "live";

/// One action of one rule, with the key under which the ledger makes its effect single.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub key: StepKey,
    pub rule: String,
    /// Place of the step in its rule, from 0.
    pub place: usize,
    pub action: Action,
}

/// `<event>/<run>/<rule>/<word>/<fingerprint>`: by meaning, never by position, so that every attempt and every
/// redelivery finds the same step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepKey(pub String);

impl StepKey {
    #[must_use]
    pub fn new(event: &EventId, run: &str, rule: &str, action: &Action) -> Self {
        Self(format!("{event}/{run}/{rule}/{}/{}", action.word(), action.fingerprint()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Id of the event that the step is of.
    #[must_use]
    pub fn event(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

/// How one rule fared with one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// `mode = "off"`.
    Off,
    /// The event is of a kind that the rule is not `on`.
    OtherKind,
    /// `when[line]` did not hold (lines from 1); `why` when it could not be evaluated at all.
    NotHeld {
        line: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// All conditions held, but the value of `changed` is the one seen before.
    Unchanged,
    /// All conditions held, but another rule that matched names this one in `instead_of`.
    Silenced { by: String },
    /// Matched; so many steps were planned.
    Matched { steps: usize },
    /// Matched in `mode = "shadow"`: these actions would have been taken.
    Shadow { actions: Vec<Action> },
    /// Matched, but a step could not be worked out, as `why` says. So many steps before it are planned and taken all the same;
    /// then the event is buried with `why`.
    Broken {
        why: String,
        #[serde(default, skip_serializing_if = "is_zero")]
        steps: usize,
        /// In `mode = "shadow"`: nothing comes of it, and the event is not buried.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shadow: bool,
        /// In `mode = "shadow"`: what would have been taken before the step that could not be worked out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        before: Vec<Action>,
    },
}

impl Verdict {
    /// What a rule in shadow would have taken; none of a rule that is not in shadow, or did not match.
    #[must_use]
    pub fn rehearsed(&self) -> Option<&[Action]> {
        match self {
            Self::Shadow { actions } | Self::Broken { shadow: true, before: actions, .. } => Some(actions),
            Self::Off
            | Self::OtherKind
            | Self::NotHeld { .. }
            | Self::Unchanged
            | Self::Silenced { .. }
            | Self::Matched { .. }
            | Self::Broken { .. } => None,
        }
    }

    /// The rule took the event, in shadow: nothing was done for it.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        matches!(self, Self::Shadow { .. } | Self::Broken { shadow: true, .. })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleVerdict {
    pub rule: String,
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What the actions of a rule in shadow would have come to, one for each in their order; none where that was not recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would: Vec<Would>,
    /// What its rulebook would have held it back by, if it is one in shadow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
}

impl RuleVerdict {
    #[must_use]
    pub fn new(rule: &str, verdict: Verdict) -> Self {
        Self { rule: rule.to_owned(), verdict, would: Vec::new(), terms: None }
    }
}

/// A new value of a rule's `changed` expression, remembered together with the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewValue {
    pub rule: String,
    pub value: String,
}

/// What the rulebook says of an event, given what is known. Pure result; becomes a [`Decision`] when written down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub verdicts: Vec<RuleVerdict>,
    pub steps: Vec<Step>,
    pub new_values: Vec<NewValue>,
}

impl Plan {
    /// Does any rule take this event? If not, "no rule" is its outcome.
    #[must_use]
    pub fn takes(&self) -> bool {
        self.verdicts.iter().any(|v| {
            matches!(v.verdict, Verdict::Matched { .. } | Verdict::Shadow { .. } | Verdict::Broken { .. })
        })
    }

    /// The first rule that could not be worked out.
    #[must_use]
    pub fn broken(&self) -> Option<(&str, &str)> {
        broken(&self.verdicts)
    }

    /// The plan of a worker that only observes: the rules are decided about as live ones, so that one silences another as it
    /// would, and then every rule that matched is noted as in `mode = "shadow"`. Nothing is left to do.
    #[must_use]
    pub fn observed(mut self) -> Self {
        for verdict in &mut self.verdicts {
            if let Verdict::Matched { .. } = verdict.verdict {
                let of_rule = self.steps.iter().filter(|step| step.rule == verdict.rule);
                verdict.verdict =
                    Verdict::Shadow { actions: of_rule.map(|step| step.action.clone()).collect() };
            }
            if let Verdict::Broken { steps, shadow, before, .. } = &mut verdict.verdict {
                // That of a rule in shadow has it already.
                if !*shadow {
                    let of_rule = self.steps.iter().filter(|step| step.rule == verdict.rule);
                    *before = of_rule.map(|step| step.action.clone()).collect();
                }
                (*steps, *shadow) = (0, true);
            }
        }
        // What live rules have seen stays as it is.
        for new in &mut self.new_values {
            new.rule = shadow_memory(&new.rule);
        }
        self.steps.clear();
        self
    }
}

fn broken(verdicts: &[RuleVerdict]) -> Option<(&str, &str)> {
    verdicts.iter().find_map(|v| match &v.verdict {
        Verdict::Broken { why, shadow: false, .. } => Some((v.rule.as_str(), why.as_str())),
        _ => None,
    })
}

/// A decision as written down before the first effect. Resumed, never remade, when the event is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub event: EventId,
    pub run: String,
    /// Version of the rulebook that decided.
    pub rulebook: String,
    pub decided_at: Timestamp,
    pub facts: Facts,
    /// Settings of the event's flow that the rules read. None in a decision of a version that did not keep them, and where no
    /// rule decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<RecordedFlow>,
    pub verdicts: Vec<RuleVerdict>,
    pub steps: Vec<Step>,
    #[serde(default)]
    pub new_values: Vec<NewValue>,
}

impl Decision {
    /// The facts and the flow, to be written down together.
    #[must_use]
    pub fn basis(&self) -> Basis {
        Basis { facts: self.facts.clone(), flow: self.flow.clone() }
    }

    /// The settings of the flow that the rules read; those of `today` where they were not kept.
    #[must_use]
    pub fn flow_settings(&self, today: FlowSettings) -> FlowSettings {
        self.flow.as_ref().map_or(today, RecordedFlow::settings)
    }

    #[must_use]
    pub fn broken(&self) -> Option<(&str, &str)> {
        broken(&self.verdicts)
    }

    /// Steps of a rule that could not be carried out to its end, those before the one that could not be worked out.
    #[must_use]
    pub fn begun_broken(&self) -> bool {
        self.verdicts.iter().any(|v| matches!(v.verdict, Verdict::Broken { steps: 1.., .. }))
    }

    /// This decision with only the rules that were broken taken from `after`. What they had taken stays, and is not taken once
    /// more in other words.
    #[must_use]
    pub fn mended(self, after: Plan) -> Plan {
        let is_broken = |v: &RuleVerdict| matches!(v.verdict, Verdict::Broken { shadow: false, .. });
        let broken: Vec<_> = self.verdicts.iter().filter(|v| is_broken(v)).map(|v| v.rule.clone()).collect();
        let mut verdicts = self.verdicts;
        for verdict in &mut verdicts {
            if broken.contains(&verdict.rule)
                && let Some(now) = after.verdicts.iter().find(|now| now.rule == verdict.rule)
            {
                *verdict = now.clone();
            }
        }
        // A broken rule that is in the rulebook no more has nothing left to do.
        verdicts.retain(|verdict| !is_broken(verdict) || after.verdicts.contains(verdict));
        let mut steps = self.steps;
        for rule in &broken {
            let taken: Vec<_> = steps.iter().filter(|step| step.rule == *rule).cloned().collect();
            let of_rule: Vec<_> = after.steps.iter().filter(|step| step.rule == *rule).cloned().collect();
            // Steps of a rule are done in order: they stay together.
            let at = steps.iter().rposition(|step| step.rule == *rule).map_or(steps.len(), |at| at + 1);
            steps.splice(at..at, left_to_take(&taken, of_rule));
        }
        let mut new_values = self.new_values;
        new_values.extend(after.new_values.into_iter().filter(|value| broken.contains(&value.rule)));
        Plan { verdicts, steps, new_values }
    }
}

/// Those of `steps` that are none of the `taken` ones: not by their key, and not by being the same step in other words.
fn left_to_take(taken: &[Step], steps: Vec<Step>) -> Vec<Step> {
    let same_key = |one: &Step, other: &Step| one.key == other.key;
    let reworded: Vec<_> =
        taken.iter().filter(|old| !steps.iter().any(|new| same_key(old, new))).cloned().collect();
    let is_taken = |new: &Step| {
        taken.iter().any(|old| same_key(old, new))
            || reworded.iter().any(|old| old.place == new.place && old.action.word() == new.action.word())
    };
    steps.into_iter().filter(|step| !is_taken(step)).collect()
}

#[cfg(test)]
mod tests;
