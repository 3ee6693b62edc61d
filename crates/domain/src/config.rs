//! `gluehook.toml`: what is structured in the configuration. Strict about unknown keys; secrets are references only.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::envelope::Source;
use crate::event::hotglue::DEFAULT_POINTERS;
use crate::retry::Policy;
use crate::signature::Proof;
use crate::span;

mod complaint;
pub mod cron;
mod place;
mod proof;
mod sense;
mod slack;

pub use self::complaint::{Complaint, nearest, utf8};
pub use self::proof::{HmacSetting, NoProof, ProofSetting};
pub use self::slack::Slack;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub endpoint: Vec<Endpoint>,
    pub hotglue: Hotglue,
    pub slack: Option<Slack>,
    pub jetstream: Jetstream,
    pub retry: Policy,
    pub event_log: EventLog,
}

/// One URL that a source posts to: `POST /hooks/<name>`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Lower-case `[a-z0-9-]`.
    #[schemars(regex(pattern = r"^[a-z0-9-]+$"))]
    pub name: String,
    /// Who posts there.
    pub source: Source,
    /// Several while rotating.
    #[serde(default)]
    pub secrets: Vec<SecretRef>,
    /// The source's own proof unless given; `"none"` takes everything unverified.
    #[serde(default)]
    pub proof: Option<ProofSetting>,
    /// Largest body taken.
    #[serde(default = "one_mebibyte", deserialize_with = "span::de_bytes")]
    #[schemars(schema_with = "span::bytes_schema")]
    pub max_body: u64,
    /// Requests per second beyond which 429 is answered; unlimited unless given.
    #[serde(default)]
    pub max_per_second: Option<std::num::NonZeroU32>,
}

impl Endpoint {
    #[must_use]
    pub fn proof(&self) -> Proof {
        match &self.proof {
            None => match self.source {
                Source::Hotglue => Proof::hotglue(),
            },
            Some(ProofSetting::Word(NoProof::None)) => Proof::None,
            Some(ProofSetting::Hmac(hmac)) => Proof::Hmac {
                header: hmac.header.to_ascii_lowercase(),
                hash: hmac.hash,
                encoding: hmac.encoding,
                prefix: hmac.prefix.clone(),
            },
        }
    }
}

fn one_mebibyte() -> u64 {
    1 << 20
}

/// Where a secret is: `env:NAME` or `file:PATH`. Never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^(env|file):.+"))]
pub enum SecretRef {
    Env(String),
    File(PathBuf),
}

impl TryFrom<String> for SecretRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            // Not quoted: it may be the secret itself.
            _ => Err("a secret is never written here: write \"env:NAME\" or \"file:PATH\"".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hotglue {
    /// What is called, and with which key.
    pub environment: Vec<Environment>,
    /// What the rules need to know of flows.
    pub flow: Vec<Flow>,
    /// Of flows that are not listed, and of what a listed one does not say.
    pub defaults: FlowSettings,
    /// Form of dates in job names and of the filter `date` without a format (`strftime`).
    pub date_format: String,
    /// JSON pointers into the payload under which counts of failed records are looked for.
    pub failed_records: Vec<String>,
    /// Longest wait for one answer.
    #[serde(deserialize_with = "span::de_duration")]
    #[schemars(schema_with = "span::duration_schema")]
    pub timeout: Duration,
    /// Most facts and actions a second that one worker asks of hotglue; unlimited unless given.
    pub max_per_second: Option<std::num::NonZeroU32>,
}

impl Default for Hotglue {
    fn default() -> Self {
        Self {
            environment: Vec::new(),
            flow: Vec::new(),
            defaults: FlowSettings::default(),
            date_format: "%Y%m%d".to_owned(),
            failed_records: DEFAULT_POINTERS.iter().map(ToString::to_string).collect(),
            timeout: Duration::from_secs(30),
            max_per_second: None,
        }
    }
}

impl Hotglue {
    /// Settings of a flow: its own, filled up from `[hotglue.defaults]`. An empty text says "none" and is not filled up.
    #[must_use]
    pub fn flow(&self, flow_id: &str) -> FlowSettings {
        let mut settings = match self.flow.iter().find(|flow| flow.flow_id == flow_id) {
            Some(flow) => flow.settings().or(&self.defaults),
            None => self.defaults.clone(),
        };
        settings.drop_empty();
        settings
    }

    /// The environment that an event belongs to. An event that names none (documented samples of 2020 leave it empty)
    /// belongs to the only one.
    #[must_use]
    pub fn environment(&self, env_id: &str) -> Option<&Environment> {
        match self.environment.as_slice() {
            [only] if env_id.is_empty() => Some(only),
            all => all.iter().find(|environment| environment.env_id == env_id),
        }
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// As in the webhooks.
    pub env_id: String,
    #[serde(default = "hotglue_base_url")]
    #[schemars(regex(pattern = "^https?://"))]
    pub base_url: String,
    /// Of this environment.
    pub api_key: SecretRef,
}

fn hotglue_base_url() -> String {
    "https://api.hotglue.com".to_owned()
}

/// What the rules need to know of a flow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// As in the webhooks.
    pub flow_id: String,
    // serde can't flatten and deny unknown fields at once, so the settings stand here a second time.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    #[schemars(regex(pattern = r"^(cron\(.*\))?$"))]
    pub schedule: Option<String>,
    #[serde(default)]
    pub schedule_connector_id: Option<String>,
    #[serde(default)]
    pub target: Option<String>,
    #[serde(default)]
    #[schemars(regex(pattern = r"^(cron\(.*\))?$"))]
    pub target_schedule: Option<String>,
    #[serde(default)]
    pub target_connector_id: Option<String>,
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub target_config: Option<toml::Table>,
    #[serde(default)]
    pub config_schema: Option<PathBuf>,
}

impl Flow {
    fn settings(&self) -> FlowSettings {
        FlowSettings {
            name: self.name.clone(),
            schedule: self.schedule.clone(),
            schedule_connector_id: self.schedule_connector_id.clone(),
            target: self.target.clone(),
            target_schedule: self.target_schedule.clone(),
            target_connector_id: self.target_connector_id.clone(),
            target_config: self.target_config.clone(),
            config_schema: self.config_schema.clone(),
        }
    }
}

/// Settings of one flow; also `[hotglue.defaults]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowSettings {
    /// For people.
    pub name: Option<String>,
    /// The tenant's schedule, `cron(…)`, UTC.
    #[schemars(regex(pattern = r"^(cron\(.*\))?$"))]
    pub schedule: Option<String>,
    /// Scope of that schedule at hotglue; none = the flow's own.
    pub schedule_connector_id: Option<String>,
    /// The target that every tenant of the flow must have.
    pub target: Option<String>,
    /// The target's schedule, `cron(…)`, UTC.
    #[schemars(regex(pattern = r"^(cron\(.*\))?$"))]
    pub target_schedule: Option<String>,
    /// Scope of the target's schedule at hotglue; the target itself unless given.
    pub target_connector_id: Option<String>,
    /// Sent as `config` when the target is linked.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub target_config: Option<toml::Table>,
    /// JSON Schema that a valid tenant config satisfies; relative to the configuration file.
    pub config_schema: Option<PathBuf>,
}

impl FlowSettings {
    /// Names that rules may read as `flow.…`.
    pub const FIELDS: &[&str] =
        &["flow_id", "name", "schedule", "target", "target_schedule", "config_schema"];

    fn or(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        Self {
            name: self.name.or(defaults.name),
            schedule: self.schedule.or(defaults.schedule),
            schedule_connector_id: self.schedule_connector_id.or(defaults.schedule_connector_id),
            target: self.target.or(defaults.target),
            target_schedule: self.target_schedule.or(defaults.target_schedule),
            target_connector_id: self.target_connector_id.or(defaults.target_connector_id),
            target_config: self.target_config.or(defaults.target_config),
            config_schema: self.config_schema.or(defaults.config_schema),
        }
    }

    fn drop_empty(&mut self) {
        let texts = [
            &mut self.name,
            &mut self.schedule,
            &mut self.schedule_connector_id,
            &mut self.target,
            &mut self.target_schedule,
            &mut self.target_connector_id,
        ];
        for text in texts {
            text.take_if(|text| text.is_empty());
        }
        self.config_schema.take_if(|path| path.as_os_str().is_empty());
    }
}

/// Limits of the streams that `gluehook setup` creates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jetstream {
    /// Of the streams.
    pub replicas: usize,
    #[serde(deserialize_with = "span::de_duration")]
    #[schemars(schema_with = "span::duration_schema")]
    pub max_age: Duration,
    /// Largest size of `HOOKS`; none = as much as the server has.
    #[serde(deserialize_with = "span::de_some_bytes")]
    #[schemars(schema_with = "span::bytes_schema")]
    pub max_bytes: Option<u64>,
    /// How long a repeated `Nats-Msg-Id` is recognised.
    #[serde(deserialize_with = "span::de_duration")]
    #[schemars(schema_with = "span::duration_schema")]
    pub duplicate_window: Duration,
    /// How long a worker may stay silent about an event before it is given to another: what a killed worker had in hand
    /// waits so long. A worker that is well says three times as often that it is at it.
    #[serde(deserialize_with = "ack_wait")]
    #[schemars(schema_with = "span::duration_schema")]
    pub ack_wait: Duration,
}

/// Less would be shorter than the pauses of a busy machine, and every event would be delivered again and again.
fn ack_wait<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let wait = span::de_duration(deserializer)?;
    if wait < Duration::from_secs(1) {
        return Err(serde::de::Error::custom("ack_wait is too short: write \"1s\" or more"));
    }
    Ok(wait)
}

impl Default for Jetstream {
    fn default() -> Self {
        Self {
            replicas: 1,
            max_age: Duration::from_secs(30 * 86_400),
            max_bytes: None,
            duplicate_window: Duration::from_secs(86_400),
            ack_wait: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventLog {
    /// How long events, decisions and steps are kept.
    #[serde(deserialize_with = "span::de_duration")]
    #[schemars(schema_with = "span::duration_schema")]
    pub keep: Duration,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { keep: Duration::from_secs(30 * 86_400) }
    }
}

/// JSON Schema (draft 2020-12) of `gluehook.toml`, for editors; made of the types that the file is read into.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "gluehook.toml".into());
    schema.insert(
        "description".to_owned(),
        "The configuration of Gluehook; secrets are named, never written.".into(),
    );
    let mut schema = schema.to_value();
    without_raw_spans(&mut schema);
    schema
}

/// A length of time is written as text, and no default of one is told in any other form.
fn without_raw_spans(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(fields) => {
            fields.retain(|name, value| name != "default" || value.get("nanos").is_none());
            fields.values_mut().for_each(without_raw_spans);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_raw_spans),
        _ => {}
    }
}

impl Config {
    /// Reads and checks the file's text.
    ///
    /// # Errors
    /// Each [`Complaint`] is one sentence with line and column where they are known.
    pub fn parse(text: &str) -> Result<Self, Vec<Complaint>> {
        let config: Self = toml::from_str(text).map_err(|error| vec![Complaint::from_toml(&error, text)])?;
        let complaints = config.complaints(text);
        if complaints.is_empty() { Ok(config) } else { Err(complaints) }
    }
}

#[cfg(test)]
mod tests;
