//! What is remembered of an event: the words that the event log is written and read in.

mod access;
mod alive;
mod ending;
mod limits;
mod recorded;
mod storms;
mod turn;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::access::{Access, StoreError};
pub use self::alive::{BEAT, LAPSES, LAPSES_WITH_TURN, held_until};
pub use self::ending::Ending;
pub use self::limits::{Before, Brake, HeldStep, Paused, ScheduleChange, counted_as, pause_alert};
pub use self::recorded::{Recorded, Rows, Span};
pub use self::storms::{MayPost, Message, Post, Posted, Storm, StormEnd, StormState, Telling};
pub use self::turn::{LINGERS, Turn, schedule_scope};
use crate::event::Event;
use crate::names::EventId;
use crate::plan::{Decision, NewValue, Step, Verdict};
use crate::rulebook::shadow_memory;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A worker has it.
    Open,
    /// No rule took it.
    NoRule,
    /// Every step is settled.
    Done,
    /// Something failed for now; it will be tried again.
    Retrying,
    /// Given up; it lies in the dead-letter stream.
    Dead,
    /// A rule that took it is paused: what it would do waits for a person.
    Held,
    /// Everything else is done; a Slack message of it waits to be told with others of its kind.
    Folded,
    /// Given up, and a person has thrown its dead letter away.
    Discarded,
    /// Everything else is done; what a paused rule was to do, a person has dropped.
    Dropped,
}

impl Outcome {
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::NoRule,
        Self::Done,
        Self::Retrying,
        Self::Dead,
        Self::Held,
        Self::Folded,
        Self::Discarded,
        Self::Dropped,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NoRule => "no_rule",
            Self::Done => "done",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
            Self::Held => "held",
            Self::Folded => "folded",
            Self::Discarded => "discarded",
            Self::Dropped => "dropped",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// An event as it enters the log: raw bytes and headers (redacted), and the columns one searches by.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub event: Event,
    /// Sequence in the stream it came from.
    pub stream_sequence: u64,
    pub subject: String,
    pub headers: Vec<(String, String)>,
    /// The raw bytes; with secrets taken out where there were any.
    pub body: Vec<u8>,
    pub body_redacted: bool,
}

/// An event on which no rule acts: written with many others in one transaction.
#[derive(Debug, Clone)]
pub struct Quiet {
    pub arrival: Arrival,
    pub run: String,
    /// Version of the rulebook that found nothing to do.
    pub rulebook: String,
    pub decided_at: Timestamp,
}

/// Was the event in the log before?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    First,
    Again,
}

/// State of a step in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not taken yet, or failed for now.
    Pending,
    /// A worker is at it, until its lease ends.
    Claimed,
    Done,
    /// Failed for good.
    Failed,
    /// May have happened, may not: the outside offers no way to ask. Settled, and shown.
    Unknown,
    /// A newer event had already set the same schedule; or it was held, and its rule has decided about the event anew.
    Superseded,
    /// An earlier step of its rule failed for good.
    Skipped,
    /// Its rule is paused: it waits for a person, who has it done or drops it.
    Held,
    /// Was held, and a person decided that it is not to be done.
    Dropped,
    /// A Slack message that is told in one with others of its kind, and not yet surely told.
    Folded,
}

impl StepState {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Claimed,
        Self::Done,
        Self::Failed,
        Self::Unknown,
        Self::Superseded,
        Self::Skipped,
        Self::Held,
        Self::Dropped,
        Self::Folded,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Superseded => "superseded",
            Self::Skipped => "skipped",
            Self::Held => "held",
            Self::Dropped => "dropped",
            Self::Folded => "folded",
        }
    }

    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Nothing more will be done about it.
    #[must_use]
    pub fn settled(self) -> bool {
        !matches!(self, Self::Pending | Self::Claimed | Self::Held | Self::Folded)
    }
}

/// What one gets when asking for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is ours until the lease ends. `begun` earlier attempts were started and never settled (a crash, a lost
    /// answer): the effect may have taken place.
    Mine { begun: u32 },
    /// Settled before, in this state; or folded, and then others settle it.
    Settled(StepState),
    /// Its rule is paused, and nobody has had it released.
    Held,
    /// Another worker is at it, or a step of another event has the turn. Nothing was taken.
    Busy { until: Timestamp },
    /// A newer event has changed the same schedule, or one of the `same_moment` with a greater id. Nothing was taken.
    Newer { event: EventId, same_moment: bool },
}

impl Claim {
    /// Why a change gives way to that of an event, as in [`Claim::Newer`].
    #[must_use]
    pub fn gives_way_to(event: &EventId, same_moment: bool) -> String {
        if same_moment {
            return format!(
                "event {event} is of the same moment and has already set this schedule: of two such the greater id stands"
            );
        }
        format!("event {event} is newer and has already set this schedule")
    }
}

/// How an attempt at a step ended, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// `request` and `answer` in short, for people.
    Done {
        request: String,
        answer: String,
    },
    /// As `Done`, but an earlier attempt may have had the effect too.
    DonePerhapsTwice {
        request: String,
        answer: String,
    },
    /// Not now. `uncertain`: the effect may have taken place.
    Again {
        why: String,
        uncertain: bool,
    },
    Failed {
        why: String,
    },
    Unknown {
        why: String,
    },
    Superseded {
        why: String,
    },
    Skipped {
        why: String,
    },
}

/// A step as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRecord {
    #[serde(flatten)]
    pub step: Step,
    pub state: StepState,
    /// How often it was begun.
    pub attempts: u32,
    pub perhaps_twice: bool,
    pub request: Option<String>,
    pub answer: Option<String>,
    pub error: Option<String>,
    /// The schedule as it was before a step changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    pub changed_at: Timestamp,
}

/// One attempt at an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    pub run: String,
    /// From 1.
    pub number: u32,
    pub worker: String,
    pub at: Timestamp,
    pub outcome: Outcome,
    pub why: Option<String>,
    /// How often it had to wait for the same reason; `at` is the last time.
    pub times: u32,
}

/// The answer of a step that was to switch a schedule off of which nobody knows: neither the flow's settings nor hotglue.
/// Messages that follow in the same rule tell from it that nothing was switched off.
pub const NOTHING_TO_SWITCH_OFF: &str = "nothing to switch off: hotglue reports no schedule";

/// An event in a listing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRow {
    /// Order of arrival in the log; newest highest.
    pub row: i64,
    #[serde(flatten)]
    pub event: EventColumns,
    pub outcome: Outcome,
    /// Names of the rules that took it.
    pub rules: Vec<String>,
    /// Those of them that took it in shadow, and did nothing.
    pub shadow: Vec<String>,
    pub rulebook: Option<String>,
    /// How often it was delivered to a worker.
    pub deliveries: u32,
    /// Failed attempts.
    pub failures: u32,
    pub why: Option<String>,
    pub stream_sequence: u64,
}

/// The searchable columns of an event; the names are those of the rulebook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventColumns {
    pub id: EventId,
    pub kind: String,
    pub source: String,
    pub endpoint: String,
    pub env_id: String,
    pub flow_id: String,
    pub tenant: String,
    pub job_id: String,
    pub job_name: String,
    pub tap: String,
    pub target: String,
    pub connector: String,
    pub status: String,
    pub sync_type: String,
    pub error: String,
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
}

/// All that is known of one event.
#[derive(Debug, Clone, Serialize)]
pub struct EventRecord {
    #[serde(flatten)]
    pub row: EventRow,
    pub subject: String,
    pub headers: Vec<(String, String)>,
    #[serde(skip)]
    pub body: Vec<u8>,
    pub body_redacted: bool,
    /// Oldest first; one per run.
    pub decisions: Vec<Decision>,
    pub steps: Vec<StepRecord>,
    pub attempts: Vec<Attempt>,
}

/// What to list. Fields that are none do not narrow; texts match whole unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub endpoint: Option<String>,
    pub tenant: Option<String>,
    pub env_id: Option<String>,
    pub flow_id: Option<String>,
    pub tap: Option<String>,
    pub job_id: Option<String>,
    pub kind: Option<String>,
    pub status: Option<String>,
    /// [`Outcome::Retrying`] also finds what is open and had to wait: for a service that is down, or asks us to slow down.
    pub outcome: Option<Outcome>,
    /// A rule that took the event.
    pub rule: Option<String>,
    /// Part of the error text, case ignored (ASCII).
    pub error: Option<String>,
    /// Part of what went wrong with us, case ignored (ASCII).
    pub why: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub from_sequence: Option<u64>,
    pub to_sequence: Option<u64>,
    /// Only rows before this one (for the next page).
    pub before_row: Option<i64>,
    /// Only rows after this one (for following).
    pub after_row: Option<i64>,
}

/// Scope of a rule's remembered value: `<env>/<flow>/<tenant>`.
#[must_use]
pub fn scope(event: &Event) -> String {
    format!("{}/{}/{}", event.env_id, event.flow_id, event.tenant)
}

/// Decision with what must be written in the same transaction.
#[derive(Debug, Clone, Copy)]
pub struct Verdicts<'a> {
    pub decision: &'a Decision,
    /// Where `decision.new_values` are remembered.
    pub scope: &'a str,
    /// A value of an older event never replaces that of a newer one.
    pub occurred_at: Timestamp,
    /// What holds steps of rules back.
    pub brake: Brake<'a>,
}

/// Of a decision whose run is `run`: what becomes of steps of the same rule about the same event that are still held. A person
/// who has an event decided anew wants one of the two, and not both.
#[must_use]
pub fn decided_anew(run: &str) -> String {
    format!(
        "its rule has decided about this event anew, in run {run}: what that one says is done, and this is not"
    )
}

impl Verdicts<'_> {
    #[must_use]
    pub fn new_values(&self) -> &[NewValue] {
        &self.decision.new_values
    }

    /// Names under which a value is remembered that this event has met again ([`crate::rulebook::Rule::memory`]).
    pub fn met_again(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let unchanged = self.decision.verdicts.iter().filter(|given| given.verdict == Verdict::Unchanged);
        unchanged.map(|given| {
            let of_shadow = shadow_memory(&given.rule);
            let read = self.decision.facts.last_values.contains_key(&of_shadow);
            if read { Cow::Owned(of_shadow) } else { Cow::Borrowed(given.rule.as_str()) }
        })
    }
}
