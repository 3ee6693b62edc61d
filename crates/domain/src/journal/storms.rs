//! Storms: many Slack messages of one kind that are told in one, as the event log keeps them. And the line in which every
//! message to a channel waits.

use jiff::Timestamp;
use serde::Serialize;

use super::Claim;
use crate::names::EventId;
use crate::plan::StepKey;
use crate::storm::MayFold;
use crate::storm::pace::{Pace, Spell};

/// A Slack message that is about to be posted.
#[derive(Debug, Clone, Copy)]
pub struct Post<'a> {
    pub step: &'a StepKey,
    /// Whose line it waits in.
    pub line: &'a str,
    pub pace: Pace,
    /// Behind those that asked before; else it has the next turn.
    pub queues: bool,
    /// Of a replay: behind everything that is not.
    pub replays: bool,
    /// None: it is posted on its own, whatever comes.
    pub fold: Option<&'a MayFold>,
}

/// What becomes of it, as written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MayPost {
    /// It may be claimed and posted now; what turn it has in its line, which must be left.
    Yes(Option<Spell>),
    /// It can't be claimed, and this is what a claim would be told. It has no turn: should it come free a moment later, it is to be asked
    /// about again.
    No(Claim),
    /// It is told with others of its kind ([`super::StepState::Folded`]).
    Folded,
    /// Others are before it, or Slack has asked for quiet.
    NotBefore(Timestamp),
}

/// What became of messages that were to be posted on their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Posted {
    pub alone_posted: u32,
    /// They wait for their turn, or are in a worker's hands.
    pub alone_waiting: u32,
    /// Their rule is paused.
    pub alone_held: u32,
    /// They may have been posted, or twice, or not at all.
    pub alone_unknown: u32,
    /// Slack has not taken them.
    pub alone_failed: u32,
    /// They were held, and a person decided that they are not to be posted.
    pub alone_dropped: u32,
}

/// Many messages of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Storm {
    pub id: i64,
    pub rule: String,
    pub env_id: String,
    pub flow_id: String,
    /// [`crate::plan::LIVE`], or that of a replay.
    pub run: String,
    /// None: the configured one.
    pub channel: Option<String>,
    /// The error with placeholders.
    pub shape: String,
    pub state: StormState,
    /// It is over when none came for so long.
    pub per_seconds: u64,
    /// The first message of the kind, posted on its own or not.
    pub since: Timestamp,
    /// The newest message.
    pub last_at: Timestamp,
    /// How many were posted on their own before it began.
    pub alone: u32,
    /// And what became of these, as far as they are still known.
    #[serde(flatten)]
    pub posted: Posted,
    /// How many are told in it, or are to be.
    pub messages: u32,
    /// How many of these are not in a message that Slack is known to have taken.
    pub waiting: u32,
    /// So many of the messages follow a change of a schedule that a newer event had already set.
    pub superseded: u32,
    /// So many of the messages follow a schedule to be switched off of which hotglue knows nothing.
    pub nothing_to_switch_off: u32,
    /// Of the messages told in it.
    pub tenants: u32,
    /// Newest first; at most [`crate::storm::MOST_TENANTS`].
    pub newest: Vec<String>,
    /// The first of its events.
    pub example: EventId,
    /// What its rule has to say of that event; none when it is not known any more.
    pub example_text: Option<String>,
    /// Where steps before it turned out otherwise ([`crate::correction`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub example_corrections: Vec<String>,
    /// The message in Slack that is updated; none as long as there is none, and with an incoming webhook.
    pub message: Option<Message>,
    pub told_at: Option<Timestamp>,
    /// Calls in a row that Slack did not take, and the last cause.
    pub failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How far a storm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StormState {
    /// Messages of its kind fold into it.
    Open,
    /// No message has come for its time: it has to be summed up.
    Over,
    /// It is summed up.
    Closed,
}

impl StormState {
    pub const ALL: [Self; 3] = [Self::Open, Self::Over, Self::Closed];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Over => "over",
            Self::Closed => "closed",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A message as Slack names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The channel's id.
    pub channel: String,
    pub ts: String,
}

/// A storm that is ours to tell until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// As of now; its messages are those that the text counts.
    pub storm: Storm,
    /// Which time it was taken: who comes too late with what it has told changes nothing.
    pub taken: i64,
    /// Of earlier posts whose answer was lost, and that may have arrived, how much the last one counted.
    pub begun_upto: i64,
}

/// How telling a storm ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StormEnd {
    /// Slack took it. `message`: what can be updated from now on. Not to be told again before `next`.
    Told { message: Option<Message>, request: String, answer: String, next: Timestamp },
    /// No call was made.
    NotNow { next: Timestamp },
    /// Slack did not take it. `uncertain`: it may have arrived all the same.
    Failed { why: String, uncertain: bool, next: Timestamp },
    /// The message can't be updated any more: another one is to be posted at once.
    Gone,
}
