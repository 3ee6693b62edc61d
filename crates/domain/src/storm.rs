//! Many messages of one kind are told in one: what makes messages one kind, and what the message about all of them says.
//! How fast messages may follow one another is [`pace`].

mod fingerprint;
pub mod pace;
mod text;

use std::borrow::Cow;

use sha2::{Digest, Sha256};

pub use self::text::{MOST_TENANTS, running, summary};
use crate::event::Event;
use crate::plan::LIVE;
use crate::rulebook::Fold;

/// What messages have in common that fold into one. Made of the rule, the environment, the flow, the channel, the error
/// without what differs from one tenant or time to another ([`Kind::shape`]), and the run: what a replay tells is not mixed
/// with what happens now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Short, and the same only for the same kind.
    pub digest: String,
    pub rule: String,
    pub env_id: String,
    pub flow_id: String,
    pub run: String,
    /// None: the configured one.
    pub channel: Option<String>,
    /// For people: the error with placeholders.
    pub shape: String,
}

impl Kind {
    /// The kind of the message `text` that a rule posts about an event. Where the event reports no error, the text itself
    /// says what kind it is.
    #[must_use]
    pub fn of(event: &Event, run: &str, rule: &str, channel: Option<&str>, text: &str) -> Self {
        let shape = fingerprint::shape(event, text);
        let parts = [rule, &event.env_id, &event.flow_id, run, channel.unwrap_or_default(), &shape];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        Self {
            digest: hex::encode(&digest.finalize()[..8]),
            rule: rule.to_owned(),
            env_id: event.env_id.clone(),
            flow_id: event.flow_id.clone(),
            run: run.to_owned(),
            channel: channel.map(str::to_owned),
            shape,
        }
    }

    /// Is it told by a replay?
    #[must_use]
    pub fn replayed(&self) -> bool {
        self.run != LIVE
    }
}

/// A message that may fold, and when it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MayFold {
    pub kind: Kind,
    pub fold: Fold,
}

/// What is kept of the call that has told a storm with each message but one, in characters.
const SHORT: usize = 200;

/// The beginning of such a call.
#[must_use]
pub fn in_short(request: &str) -> Cow<'_, str> {
    match request.char_indices().nth(SHORT) {
        Some((end, _)) => Cow::Owned(format!("{}…", &request[..end])),
        None => Cow::Borrowed(request),
    }
}

#[cfg(test)]
mod tests;
