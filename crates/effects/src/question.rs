//! Is a service there at all? A question that changes nothing and is about no tenant.

use domain::breaker::{Heard, Sign};

use crate::hotglue::Api;
use crate::scrub::Scrub;
use crate::slack::Slack;

/// The neutral question of one service: `GET /tenants/{env_id}` of hotglue, `auth.test` of Slack with a bot token. An incoming
/// webhook has none.
#[derive(Debug, Clone)]
pub struct Question {
    to: To,
    scrub: Scrub,
}

#[derive(Debug, Clone)]
enum To {
    Hotglue(Api),
    Slack(Slack),
}

impl Question {
    pub(crate) fn to_hotglue(api: &Api, scrub: &Scrub) -> Self {
        Self { to: To::Hotglue(api.clone()), scrub: scrub.clone() }
    }

    /// None when it can't be asked without posting.
    pub(crate) fn to_slack(slack: &Slack, scrub: &Scrub) -> Option<Self> {
        slack.can_be_asked().then(|| Self { to: To::Slack(slack.clone()), scrub: scrub.clone() })
    }

    /// Asks, for no longer than the service's timeout. A word for the service speaks only its own answer, as it must be: gateways
    /// answer, too, and so do pages about maintenance.
    pub async fn ask(&self) -> Answered {
        let asked = match &self.to {
            To::Hotglue(api) => api.answers().await,
            To::Slack(slack) => slack.answers().await,
        };
        match asked {
            Ok((heard, said)) => Answered { heard, why: self.scrub.literal(&said) },
            Err(error) => {
                let heard = match error.sign() {
                    Sign::Failing | Sign::Unreachable => Heard::Trouble,
                    Sign::SlowDown(asked) => Heard::SlowDown(asked),
                    // What can't even be sent, or is answered with too much, is no trouble of the service: the calls find out.
                    Sign::Well | Sign::Refused => Heard::Somebody,
                };
                Answered { heard, why: self.scrub.literal(error.why()) }
            }
        }
    }
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub heard: Heard,
    /// For people, free of secrets; empty where all is well.
    pub why: String,
}
