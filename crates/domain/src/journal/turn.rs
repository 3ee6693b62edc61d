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
    /// The turn that an action needs; none for what others do not change. Schedules of one tenant are changed
    /// one at a time, in whichever flow; a job of one name is looked up and started by one step at a time, and a link likewise, because
    /// looking up and doing are two calls.
    #[must_use]
    pub fn of(action: &Action, occurred_at: Timestamp) -> Option<Self> {
        let scope = match action {
            Action::Slack { .. } => return None,
            Action::SetSchedule { place: Place { env_id, tenant, .. }, .. } => {
                format!("{env_id}/{tenant}/schedules")
            }
            Action::LinkTarget { place, target } => scope(place, &format!("link/{target}")),
            Action::RunJob { place, name, .. } => scope(place, &format!("job/{name}")),
        };
        Some(Self { scope, schedule: schedule_scope(action), occurred_at })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Which;

    fn switch_on(env: &str, flow: &str, tenant: &str, which: Which) -> Turn {
        let place = Place { env_id: env.into(), flow_id: flow.into(), tenant: tenant.into() };
        let action =
            Action::SetSchedule { place, which, connector_id: None, expression: None, enabled: true };
        Turn::of(&action, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn all_schedules_of_a_tenant_share_a_turn_and_each_has_an_order_of_its_own() {
        let first = switch_on("dev", "f1", "t", Which::Source);
        for other in [switch_on("dev", "f2", "t", Which::Source), switch_on("dev", "f1", "t", Which::Target)]
        {
            assert_eq!(first.scope, other.scope, "one at a time");
            assert_ne!(
                first.schedule, other.schedule,
                "a later change of one is no reason to leave the other"
            );
        }
        for other in [switch_on("dev", "f1", "u", Which::Source), switch_on("prod", "f1", "t", Which::Source)]
        {
            assert_ne!(first.scope, other.scope, "nobody else waits");
        }
    }
}
