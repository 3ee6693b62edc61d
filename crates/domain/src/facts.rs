//! What may be asked of hotglue about a tenant, and what was answered. Gathered first, stored with the decision.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::rulebook::{Rulebook, shadow_memory};

/// Something a rule wants to know before it can decide; always about the event's own tenant and flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Answers `tenant.config_valid` and `tenant.config_problems`.
    Config,
    /// Answers `tenant.state_is_null`.
    State,
    /// Answers `tenant.linked_sources`.
    LinkedSources,
    /// Answers `tenant.linked_targets`.
    LinkedTargets,
    /// Answers `tenant.schedule`.
    Schedule,
    /// The last value of a rule's `changed` expression for this tenant and flow; from our own event log.
    LastValue { rule: String },
}

pub type Needs = BTreeSet<Need>;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Never the config itself: it holds the customer's secrets. `problems` names paths, never values.
    Config {
        problems: Vec<String>,
    },
    State {
        is_null: bool,
    },
    LinkedSources(Vec<String>),
    LinkedTargets(Vec<String>),
    Schedule(Option<Schedule>),
    LastValue {
        rule: String,
        value: Option<String>,
    },
}

/// A need that hotglue will not answer, however often it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub need: Need,
    /// A sentence.
    pub why: String,
}

/// A tenant's schedule as hotglue reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schedule {
    pub expression: String,
    /// `ENABLED`, `DISABLED`, or empty when hotglue did not say.
    pub state: String,
}

/// All that is known so far. A field that is none was never asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_valid: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_problems: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_is_null: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linked_sources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linked_targets: Option<Vec<String>>,
    /// Outer none: not asked. Inner none: asked, and there is none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "asked")]
    pub schedule: Option<Option<Schedule>>,
    /// By rule; the inner none means that no value was seen before.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub last_values: BTreeMap<String, Option<String>>,
    /// What was asked and refused for good. A rule that reads it can't be carried out; the others can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// A `null` that is present means "asked, and there is none"; TOML has no null, there it is `"none"`.
fn asked<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Schedule>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "schedule is a table such as { expression = \"cron(0 6 * * *)\", state = \"ENABLED\" }, or \"none\""
    )]
    enum Given {
        Schedule(Schedule),
        Word(Word),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        None,
    }
    Ok(Some(match Option::<Given>::deserialize(deserializer)? {
        Some(Given::Schedule(schedule)) => Some(schedule),
        Some(Given::Word(Word::None)) | None => None,
    }))
}

impl Facts {
    pub fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Config { problems } => {
                self.config_valid = Some(problems.is_empty());
                self.config_problems = Some(problems);
            }
            Fact::State { is_null } => self.state_is_null = Some(is_null),
            Fact::LinkedSources(taps) => self.linked_sources = Some(taps),
            Fact::LinkedTargets(targets) => self.linked_targets = Some(targets),
            Fact::Schedule(schedule) => self.schedule = Some(schedule),
            Fact::LastValue { rule, value } => {
                self.last_values.insert(rule, value);
            }
        }
    }

    /// Notes that a need was refused for good.
    pub fn refuse(&mut self, need: Need, why: String) {
        self.refused.push(Refused { need, why });
    }

    /// Without what was refused, and without the values that other events may have replaced since: those are asked anew.
    #[must_use]
    pub fn answered(&self) -> Self {
        Self { refused: Vec::new(), last_values: BTreeMap::new(), ..self.clone() }
    }

    /// Those of a worker that only observes: the last values are those that it has seen itself, and have their names.
    #[must_use]
    pub fn observed(mut self) -> Self {
        let values = std::mem::take(&mut self.last_values);
        self.last_values = values.into_iter().map(|(rule, value)| (shadow_memory(&rule), value)).collect();
        self
    }

    /// Those that [`Self::observed`] was made of: the rules find what they had read.
    #[must_use]
    pub fn as_in_life(&self, rulebook: &Rulebook) -> Self {
        let mut facts = self.clone();
        for rule in rulebook.rules() {
            let memory = rule.memory().into_owned();
            if let (false, Some(value)) =
                (facts.last_values.contains_key(&memory), self.last_values.get(&shadow_memory(&rule.name)))
            {
                facts.last_values.insert(memory, value.clone());
            }
        }
        facts
    }

    /// Why a need was refused, if it was.
    #[must_use]
    pub fn refusal(&self, need: &Need) -> Option<&str> {
        self.refused.iter().find(|refused| refused.need == *need).map(|refused| refused.why.as_str())
    }

    /// Is there nothing more to ask about it?
    #[must_use]
    pub fn knows(&self, need: &Need) -> bool {
        let answered = match need {
            Need::Config => self.config_valid.is_some() || self.config_problems.is_some(),
            Need::State => self.state_is_null.is_some(),
            Need::LinkedSources => self.linked_sources.is_some(),
            Need::LinkedTargets => self.linked_targets.is_some(),
            Need::Schedule => self.schedule.is_some(),
            Need::LastValue { rule } => self.last_values.contains_key(rule),
        };
        answered || self.refusal(need).is_some()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_is_not_there_is_known_from_one_that_was_never_asked() {
        let of_json = |json: &str| serde_json::from_str::<Facts>(json).expect("facts").schedule;
        let of_toml = |toml: &str| toml::from_str::<Facts>(toml).expect("facts").schedule;
        assert_eq!((of_json("{}"), of_toml("")), (None, None));
        assert_eq!((of_json(r#"{"schedule":null}"#), of_toml("schedule = 'none'")), (Some(None), Some(None)));
        let there = Schedule { expression: "cron(0 6 * * *)".to_owned(), state: "ENABLED".to_owned() };
        let toml = "schedule = { expression = 'cron(0 6 * * *)', state = 'ENABLED' }";
        assert_eq!(of_toml(toml), Some(Some(there)));
        let wrong = toml::from_str::<Facts>("schedule = 'off'").expect_err("refused").to_string();
        assert!(wrong.contains("or \"none\""), "{wrong}");
    }
}
