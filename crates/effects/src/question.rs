//! Is a service there at all? A question that changes nothing and is about no tenant.

use domain::breaker::Sign;

use crate::hotglue::Api;
use crate::outcome::EffectError;
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

    /// Asks, for no longer than the service's timeout. Any answer is one, also that there is no such question or that our key is
    /// refused; only that it is in trouble, or asks us to slow down, is none.
    ///
    /// # Errors
    /// [`EffectError::Transient`]; never uncertain, and with the sign of trouble of the service as a whole.
    pub async fn ask(&self) -> Result<(), EffectError> {
        let asked = match &self.to {
            To::Hotglue(api) => api.answers().await,
            To::Slack(slack) => slack.answers().await,
        };
        match asked {
            Err(error) if says_trouble(&error) => Err(error.scrubbed(&self.scrub)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What can't even be sent, or is answered with too much, is no trouble of the service: the calls find out by themselves.
fn says_trouble(error: &EffectError) -> bool {
    match error.sign() {
        Sign::Failing | Sign::Unreachable | Sign::SlowDown(_) => true,
        Sign::Well | Sign::Refused => false,
    }
}
