//! Who acts says so to whoever asks: a worker that only observes must take no event away from one that acts. It is asked of NATS and
//! not of the event log, because the two may have event logs of their own and still share the queue.

use std::time::Duration;

use async_nats::{Message, RequestErrorKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;

use crate::connect::Bus;

/// Asked here. Nobody listens where nobody acts, and then NATS answers at once that nobody does.
pub const SUBJECT: &str = "gluehook.acting";

/// How long an answer may take; then nobody knows.
const PATIENCE: Duration = Duration::from_secs(2);

/// As long as it is kept, whoever asks is told that a worker acts.
#[derive(Debug)]
#[must_use = "dropped, nobody is told any more"]
pub struct Acting(JoinHandle<()>);

impl Drop for Acting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Bus {
    /// Says from now on that a worker acts. Once this returns, the server knows it; it is said again on every new connection.
    ///
    /// # Errors
    /// It can't be said, with the reason: the NATS user may not, or NATS does not answer.
    pub async fn say_acting(&self) -> Result<Acting, String> {
        let subscription = self.client.subscribe(SUBJECT).await;
        let mut asked = subscription.map_err(|error| format!("the NATS client has stopped: {error}"))?;
        let client = self.client.clone();
        let acting = Acting(tokio::spawn(async move {
            while let Some(Message { reply, .. }) = asked.next().await {
                if let Some(reply) = reply {
                    let _asks_again = client.publish(reply, Bytes::from_static(b"acting")).await;
                }
            }
        }));
        match self.is_anyone_acting().await {
            Ok(true) => Ok(acting),
            // Of what is denied to us, the server knows nothing.
            Ok(false) => Err(format!("this NATS user may not subscribe to {SUBJECT}")),
            Err(why) => Err(why),
        }
    }

    /// Does any worker act on the events of this queue, whatever its event log?
    ///
    /// # Errors
    /// Nobody knows, with the reason: we may not ask, NATS does not answer, or one that acts does not.
    pub async fn is_anyone_acting(&self) -> Result<bool, String> {
        let answer = tokio::time::timeout(PATIENCE, self.client.request(SUBJECT, Bytes::new()));
        match self.unless_denied(SUBJECT, answer).await {
            Ok(Ok(Ok(_))) => Ok(true),
            Ok(Ok(Err(error))) if error.kind() == RequestErrorKind::NoResponders => Ok(false),
            Ok(Ok(Err(error))) => Err(self.request_failed("whether a worker acts can't be asked", &error)),
            Ok(Err(_)) => Err(format!(
                "whoever acts does not answer, or this NATS user may not answer: it must be allowed to publish to {}.>",
                self.inbox()
            )),
            Err(denied) => Err(denied.to_string()),
        }
    }
}
