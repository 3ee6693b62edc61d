//! What has to have happened before a sender is told that its event is stored.

use crate::spool::Spool;

/// What a 2xx stands for.
#[derive(Debug, Clone)]
pub(crate) enum Durability {
    /// `JetStream` has acknowledged the event; where it does not and there is a spool, the event is on the disk there.
    Broker { spool: Option<Spool> },
    /// The event is on our own disk, whatever `JetStream` says, and stays there until `JetStream` surely has it.
    Journal { spool: Spool },
}

impl Durability {
    pub(crate) fn spool(&self) -> Option<&Spool> {
        match self {
            Self::Broker { spool } => spool.as_ref(),
            Self::Journal { spool } => Some(spool),
        }
    }
}
