//! `[slack]`: where messages go, and how fast.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretRef;
use crate::span;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// Bot token for `chat.postMessage`; or `webhook_url`.
    #[serde(default)]
    pub token: Option<SecretRef>,
    /// Incoming-webhook URL; a secret in itself.
    #[serde(default)]
    pub webhook_url: Option<SecretRef>,
    /// Where messages go unless a rule says otherwise.
    #[serde(default)]
    pub channel: Option<String>,
    #[serde(default = "slack_base_url")]
    pub base_url: String,
    #[serde(default = "ten_seconds", deserialize_with = "span::de_duration")]
    #[schemars(schema_with = "span::duration_schema")]
    pub timeout: Duration,
    /// Most messages a second that one worker posts; unlimited unless given.
    #[serde(default)]
    pub max_per_second: Option<std::num::NonZeroU32>,
    /// Least time between two messages (or updates of messages) to one channel, over all workers. `"0s"`: no limit.
    #[serde(default = "one_second", deserialize_with = "span::de_duration")]
    #[schemars(schema_with = "span::duration_schema")]
    pub channel_interval: Duration,
}

/// What Slack documents: one message a second and channel; no more than that is sure to be shown
/// (docs.slack.dev/apis/web-api/rate-limits).
fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn slack_base_url() -> String {
    "https://slack.com".to_owned()
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
