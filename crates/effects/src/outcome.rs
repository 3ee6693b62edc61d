//! What comes back: a receipt or an error that says what to do next.

use std::fmt;
use std::time::Duration;

use domain::breaker::Sign;
use domain::journal::Message;

use crate::scrub::Scrub;

/// Who is called: what is down as a whole is one of these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Hotglue { env_id: String },
    Slack,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hotglue { env_id } => write!(f, "hotglue (environment `{env_id}`)"),
            Self::Slack => f.write_str("Slack"),
        }
    }
}

/// What was sent and what was answered, in short and without secrets; kept with the step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Such as `PUT /env/flow/tenant/jobs/schedule {…}`.
    pub request: String,
    /// Such as `200 {}`; or why nothing had to be sent.
    pub answer: String,
    /// An earlier attempt, whose answer was lost, may have had the effect too, and nobody could look.
    pub perhaps_twice: bool,
}

impl Receipt {
    pub(crate) fn new(request: impl Into<String>, answer: impl Into<String>) -> Self {
        Self { request: request.into(), answer: answer.into(), perhaps_twice: false }
    }
}

/// Why a fact could not be had or an action could not be done. `why` is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectError {
    /// Trying again may help.
    Transient {
        /// What was wrong.
        why: String,
        /// The service asks for at least this long a wait (`Retry-After`), or we do.
        after: Option<Duration>,
        /// The effect may have taken place: the request was sent and its outcome is not known.
        uncertain: bool,
        /// What the failure says about the service as a whole.
        sign: Sign,
    },
    /// Trying the same again can't help.
    Permanent {
        /// What was wrong and how to mend it.
        why: String,
    },
    /// It may have been done, nobody can look, and it must not be done once more.
    Unknown {
        /// What is not known, and why.
        why: String,
    },
}

/// What became of a message that is told again and again in other words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A new one; `message` names it where it can be updated.
    Posted {
        receipt: Receipt,
        message: Option<Message>,
    },
    Updated(Receipt),
    /// It can't be updated any more. Nothing was told.
    Gone {
        why: String,
    },
}

impl EffectError {
    pub(crate) fn permanent(why: impl Into<String>) -> Self {
        Self::Permanent { why: why.into() }
    }

    /// The sentence.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Transient { why, .. } | Self::Permanent { why } | Self::Unknown { why } => why,
        }
    }

    /// What it says about the service as a whole. A refusal is an answer: the service is well.
    #[must_use]
    pub fn sign(&self) -> Sign {
        match self {
            Self::Transient { sign, .. } => *sign,
            Self::Permanent { .. } | Self::Unknown { .. } => Sign::Well,
        }
    }

    pub(crate) fn scrubbed(self, scrub: &Scrub) -> Self {
        match self {
            Self::Transient { why, after, uncertain, sign } => {
                Self::Transient { why: scrub.literal(&why), after, uncertain, sign }
            }
            Self::Permanent { why } => Self::Permanent { why: scrub.literal(&why) },
            Self::Unknown { why } => Self::Unknown { why: scrub.literal(&why) },
        }
    }
}

impl fmt::Display for EffectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for EffectError {}

/// One line of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What was found; or what is wrong, as a sentence.
    pub result: Result<String, String>,
}
