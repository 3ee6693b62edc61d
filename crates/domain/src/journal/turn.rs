//! Whose turn it is: what steps of several events change, they change one at a time, whichever workers have them.

use std::time::Duration;

use jiff::Timestamp;

use crate::action::{Action, Place};

/// So long an effect may still be on its way after its call ended without an answer: hotglue's gateway gives a call up
/// after 29 seconds.
pub const LINGERS: Duration = Duration::from_secs(30);

/// What a step must have to itself while it is performed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Two steps of the same scope are never performed at once.
    pub scope: String,
    /// The schedule that the step changes: an older event never changes it after a newer one. None for what has no
    /// order: a link, a job.
    pub schedule: Option<String>,
    /// When what the event tells of took place.
    pub occurred_at: Timestamp,
}

impl Turn {
    /// The turn that an action needs; none for what others do not change. Schedules of one tenant and flow are changed
    /// one at a time; a job of one name is looked up and started by one step at a time, and a link likewise, because
    /// looking up and doing are two calls.
    #[must_use]
    pub fn of(action: &Action, occurred_at: Timestamp) -> Option<Self> {
        let (place, what) = match action {
            Action::Slack { .. } => return None,
            Action::SetSchedule { place, .. } => (place, "schedules".to_owned()),
            Action::LinkTarget { place, target } => (place, format!("link/{target}")),
            Action::RunJob { place, name, .. } => (place, format!("job/{name}")),
        };
        Some(Self { scope: scope(place, &what), schedule: schedule_scope(action), occurred_at })
    }
}

/// The schedule that an action would change: changes of one schedule are applied in event time.
#[must_use]
pub fn schedule_scope(action: &Action) -> Option<String> {
    match action {
        Action::SetSchedule { place, which, connector_id, .. } => {
            let connector = connector_id.as_deref().unwrap_or_default();
            Some(scope(place, &format!("{}/{connector}", which.as_str())))
        }
        Action::Slack { .. } | Action::LinkTarget { .. } | Action::RunJob { .. } => None,
    }
}

fn scope(place: &Place, what: &str) -> String {
    format!("{}/{}/{}/{what}", place.env_id, place.flow_id, place.tenant)
}
