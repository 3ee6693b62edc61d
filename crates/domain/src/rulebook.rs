//! The business rules: read from `rules.toml`, checked once, then asked about each event.
//!
//! Deciding is pure: event + facts + rulebook in, [`Plan`] out. What a rule wants to know and nobody asked yet comes
//! back as [`Needs`]; the caller gathers the answers and asks again. Conditions and texts are Jinja expressions
//! ([`language`]); whatever is wrong with them is found when the rulebook is read ([`check`]), not when an event comes.

mod check;
mod context;
mod decide;
mod explain;
mod filters;
mod language;
mod lint;
mod outlook;
mod read;
pub mod scenario;
mod schema;
mod steps;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::explain::{Explanation, LineExplanation, RuleExplanation, StepExplanation};
pub use self::lint::{Finding, Rehearsal, Severity};
pub use self::outlook::{Outlook, RuleOutlook};
pub use self::schema::schema;
use crate::config::{Complaint, FlowSettings};
use crate::event::{Event, Kind};
use crate::facts::{Facts, Needs};
use crate::plan::Plan;

/// Is a rule acted upon?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Live,
    /// Decide and record, do nothing.
    Shadow,
    Off,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Live, Self::Shadow, Self::Off];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// Which schedules a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    Source,
    Target,
    /// The source's, and the target's where the flow has a target.
    All,
}

impl Of {
    pub const ALL: [Self; 3] = [Self::Source, Self::Target, Self::All];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::All => "all",
        }
    }
}

/// Blast radius: more tenants than this within the time, and the rule pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub tenants: u32,
    pub per: Duration,
}

/// Storms: once so many Slack messages of one kind were posted on their own within the time, the rest is told in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    pub after: u32,
    pub per: Duration,
}

/// What a step does; texts as they stand in the rulebook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum StepAction {
    /// No channel = the configured one.
    Slack {
        channel: Option<String>,
        text: String,
    },
    EnableSchedule {
        of: Of,
    },
    DisableSchedule {
        of: Of,
    },
    /// No target = the flow's.
    LinkTarget {
        target: Option<String>,
    },
    RunJob {
        tap: String,
        name: String,
    },
}

impl StepAction {
    /// The action's word in the rulebook.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::EnableSchedule { .. } => "enable_schedule",
            Self::DisableSchedule { .. } => "disable_schedule",
            Self::LinkTarget { .. } => "link_target",
            Self::RunJob { .. } => "run_job",
        }
    }

    /// Its texts as they stand in the rulebook.
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Slack { channel, text } => channel.iter().chain([text]).map(String::as_str).collect(),
            Self::EnableSchedule { .. } | Self::DisableSchedule { .. } => Vec::new(),
            Self::LinkTarget { target } => target.iter().map(String::as_str).collect(),
            Self::RunJob { tap, name } => vec![tap, name],
        }
    }
}

/// One `[[rule.do]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRule {
    #[serde(flatten)]
    pub action: StepAction,
    /// All must hold for the step to be taken.
    pub when: Vec<String>,
}

/// One `[[rule]]`, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    pub name: String,
    /// For people.
    pub about: String,
    pub mode: Mode,
    pub on: Vec<Kind>,
    pub when: Vec<String>,
    /// The rule acts only when the value of this expression is another one than last time for the tenant and flow.
    pub changed: Option<String>,
    /// Rules that keep silent when this one matches.
    pub instead_of: Vec<String>,
    pub limit: Option<Limit>,
    pub fold: Option<Fold>,
    pub steps: Vec<StepRule>,
}

impl Rule {
    /// Under which name the last value of `changed` is remembered: a rule in shadow has a memory of its own, so that it
    /// behaves as it would in life, and life goes on as if there were no shadow.
    #[must_use]
    pub fn memory(&self) -> Cow<'_, str> {
        match self.mode {
            Mode::Shadow => Cow::Owned(shadow_memory(&self.name)),
            Mode::Live | Mode::Off => Cow::Borrowed(&self.name),
        }
    }
}

/// Where what a rule in shadow has seen is remembered, and what a worker that only observes lets any rule remember. No rule
/// has this name: none has a slash in it.
#[must_use]
pub fn shadow_memory(rule: &str) -> String {
    if rule.starts_with(SHADOW) { rule.to_owned() } else { format!("{SHADOW}{rule}") }
}

const SHADOW: &str = "shadow/";

/// An event to decide about, with what is known.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub event: &'a Event,
    pub facts: &'a Facts,
    pub flow: &'a FlowSettings,
    /// `strftime` form of the filter `date` without an argument.
    pub date_format: &'a str,
    /// [`crate::plan::LIVE`], or the run of a replay.
    pub run: &'a str,
    pub replayed: bool,
    pub now: Timestamp,
}

/// All rules, checked and compiled. Share it by `Arc`.
pub struct Rulebook {
    text: String,
    version: String,
    rules: Vec<Rule>,
    compiled: Vec<read::Compiled>,
    texts: language::Texts,
    doubts: Vec<Finding>,
}

impl fmt::Debug for Rulebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.rules.iter().map(|rule| &rule.name).collect();
        f.debug_struct("Rulebook")
            .field("version", &self.version)
            .field("rules", &names)
            .finish_non_exhaustive()
    }
}

/// The rulebook that is used unless another one is given; also `deploy/rules.toml`.
const BUILT_IN: &str = include_str!("../../../deploy/rules.toml");

impl Rulebook {
    /// Reads and checks a rulebook.
    ///
    /// # Errors
    /// All that is wrong with it, each with line and column and the nearest right name.
    pub fn parse(text: &str) -> Result<Self, Vec<Complaint>> {
        let read = read::read(text)?;
        let version = hex::encode(&Sha256::digest(text.as_bytes())[..6]);
        Ok(Self {
            text: text.to_owned(),
            version,
            rules: read.rules,
            compiled: read.compiled,
            texts: read.texts,
            doubts: read.doubts,
        })
    }

    /// The rulebook that ships with the program.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the shipped rulebook is checked by the tests")
    }

    /// First 12 hex digits of the SHA-256 of the text.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// A line of a rule's `when` (from 1) as it is written, with its line and column in the file.
    #[must_use]
    pub fn condition(&self, rule: &str, line: usize) -> Option<(&str, Option<(usize, usize)>)> {
        let place = self.rules.iter().position(|one| one.name == rule)?;
        let condition = self.compiled.get(place)?.when.get(line.checked_sub(1)?)?;
        Some((condition.source(), Complaint::at_offset(&self.text, condition.at(), "").at))
    }

    /// What is to be done about an event.
    ///
    /// # Errors
    /// What must be known first. Never empty, and never something that `case.facts` already answers, so asking and
    /// deciding again comes to an end.
    pub fn decide(&self, case: &Case<'_>) -> Result<Plan, Needs> {
        decide::decide(self, case)
    }

    /// Whether only rules in shadow ask for what [`Rulebook::decide`] still needs: nothing may wait for that.
    #[must_use]
    pub fn asks_in_vain(&self, case: &Case<'_>) -> bool {
        decide::asks_in_vain(self, case)
    }

    /// Every line of every rule with whether it held and what it read. Asks nothing: a line that would need to know
    /// more says so.
    #[must_use]
    pub fn explain(&self, case: &Case<'_>) -> Explanation {
        explain::explain(self, case)
    }
}

#[cfg(test)]
mod tests;
