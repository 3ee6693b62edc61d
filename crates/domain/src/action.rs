//! Everything we can do to the world, as data.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Where at hotglue something happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub env_id: String,
    pub flow_id: String,
    pub tenant: String,
}

/// Which of a tenant's schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    Source,
    Target,
}

impl Which {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// One thing to do. Stored with the decision, so its serialised form is a promise to older records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Post a message. No channel = the configured one.
    Slack { channel: Option<String>, text: String },
    /// `PUT …/jobs/schedule`. hotglue demands the cron expression even to switch off; without one in the flow's
    /// settings it is read back from hotglue before the call.
    SetSchedule {
        #[serde(flatten)]
        place: Place,
        which: Which,
        /// Scope of the schedule at hotglue; none = the flow's own.
        connector_id: Option<String>,
        expression: Option<String>,
        enabled: bool,
    },
    /// `POST …/linkedTargets`
    LinkTarget {
        #[serde(flatten)]
        place: Place,
        target: String,
    },
    /// `POST …/jobs`. hotglue offers no idempotency key: the job's name is its identity, and a job of that name that
    /// is already listed is not started again.
    RunJob {
        #[serde(flatten)]
        place: Place,
        tap: String,
        name: String,
    },
}

impl Action {
    /// The action's word in the rulebook, in metrics and in listings.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::SetSchedule { enabled: true, .. } => "enable_schedule",
            Self::SetSchedule { enabled: false, .. } => "disable_schedule",
            Self::LinkTarget { .. } => "link_target",
            Self::RunJob { .. } => "run_job",
        }
    }

    /// Is doing it twice the same as doing it once (set a schedule), or must a repeat be avoided (a Slack message)?
    #[must_use]
    pub fn repeatable(&self) -> bool {
        match self {
            Self::SetSchedule { .. } | Self::LinkTarget { .. } | Self::RunJob { .. } => true,
            Self::Slack { .. } => false,
        }
    }

    /// What makes two actions the same, as a short digest for ledger keys.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let meaning = match self {
            Self::Slack { channel, text } => format!("{}\0{text}", channel.as_deref().unwrap_or_default()),
            Self::SetSchedule { place, which, enabled, .. } => {
                format!("{place:?}\0{}\0{enabled}", which.as_str())
            }
            Self::LinkTarget { place, target } => format!("{place:?}\0{target}"),
            Self::RunJob { place, name, .. } => format!("{place:?}\0{name}"),
        };
        hex::encode(&Sha256::digest(meaning.as_bytes())[..6])
    }

    /// One line for people: what would change, where.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Slack { channel, text } => {
                let first = text.lines().next().unwrap_or_default();
                match channel {
                    Some(channel) => format!("Slack {channel}: {first}"),
                    None => format!("Slack: {first}"),
                }
            }
            Self::SetSchedule { place, which, expression, enabled, .. } => format!(
                "{} schedule of {} in {} {}{}",
                which.as_str(),
                place.tenant,
                place.flow_id,
                if *enabled { "on" } else { "off" },
                expression.as_deref().map(|e| format!(", {e}")).unwrap_or_default(),
            ),
            Self::LinkTarget { place, target } => {
                format!("link target {target} for {} in {}", place.tenant, place.flow_id)
            }
            Self::RunJob { place, tap, name } => {
                format!("run job {name} of {tap} for {} in {}", place.tenant, place.flow_id)
            }
        }
    }
}
