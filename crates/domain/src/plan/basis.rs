//! What a decision was made from, as it is kept with it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::FlowSettings;
use crate::facts::Facts;

/// The settings of a flow that rules read, and that their steps are made of. Never what is sent when a target is linked: no
/// rule reads it, and it may hold a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedFlow {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_connector_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_connector_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_schema: Option<PathBuf>,
}

impl From<&FlowSettings> for RecordedFlow {
    fn from(settings: &FlowSettings) -> Self {
        let settings = settings.clone();
        Self {
            name: settings.name,
            schedule: settings.schedule,
            schedule_connector_id: settings.schedule_connector_id,
            target: settings.target,
            target_schedule: settings.target_schedule,
            target_connector_id: settings.target_connector_id,
            config_schema: settings.config_schema,
        }
    }
}

impl RecordedFlow {
    /// For the rules to read again.
    #[must_use]
    pub fn settings(&self) -> FlowSettings {
        let flow = self.clone();
        FlowSettings {
            name: flow.name,
            schedule: flow.schedule,
            schedule_connector_id: flow.schedule_connector_id,
            target: flow.target,
            target_schedule: flow.target_schedule,
            target_connector_id: flow.target_connector_id,
            target_config: None,
            config_schema: flow.config_schema,
        }
    }

    /// Names of those that are others in `today`.
    #[must_use]
    pub fn differing(&self, today: &FlowSettings) -> Vec<&'static str> {
        let today = Self::from(today);
        let all = [
            ("name", self.name == today.name),
            ("schedule", self.schedule == today.schedule),
            ("schedule_connector_id", self.schedule_connector_id == today.schedule_connector_id),
            ("target", self.target == today.target),
            ("target_schedule", self.target_schedule == today.target_schedule),
            ("target_connector_id", self.target_connector_id == today.target_connector_id),
            ("config_schema", self.config_schema == today.config_schema),
        ];
        all.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}

/// What the event log keeps in one text: the facts, and beside them the flow. Texts of versions that did not keep the flow
/// are read as without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    #[serde(flatten)]
    pub facts: Facts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<RecordedFlow>,
}
