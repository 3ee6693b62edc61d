//! Who puts the neutral questions, and when: while a service is taken for down, to hear that it is back; and when all failures are
//! of one tenant, to hear whether they are an outage. Never while all is well, and each service once at a time.

use std::time::Duration;

use domain::breaker::Breaker;
use effects::{Answered, Service};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Circuits;

impl Circuits {
    /// Asks whenever there is cause to, each service on its own, until asked to stop.
    pub(crate) async fn keep_asking(&self, stop: &CancellationToken) {
        let all = join_all(self.questions.keys().map(|service| self.ask_with_cause(service)));
        if stop.run_until_cancelled(all).await.is_some() {
            // There is nobody to ask.
            stop.cancelled().await;
        }
    }

    async fn ask_with_cause(&self, service: &Service) {
        loop {
            // Before the look, so that none in between is missed.
            let opened = self.opened.notified();
            let wait = self.with(service, |breaker| breaker.asks_in(self.clock.now()));
            match wait {
                None => opened.await,
                Some(Duration::ZERO) => self.ask(service).await,
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Asks if it is time to.
    async fn ask(&self, service: &Service) {
        let is_due = |breaker: &mut Breaker| breaker.asks(self.clock.now());
        if let Some(question) = self.questions.get(service)
            && self.with(service, is_due)
        {
            let asked = Asked { circuits: self, service, heard: false };
            if let Some(answer) = self.cut.run_until_cancelled(question.ask()).await {
                asked.heard(&answer);
            }
        }
    }
}

/// A question under way. Dropped without a word, it was not asked.
#[derive(Debug)]
struct Asked<'a> {
    circuits: &'a Circuits,
    service: &'a Service,
    heard: bool,
}

impl Asked<'_> {
    fn heard(mut self, Answered { heard, why }: &Answered) {
        self.heard = true;
        let Self { circuits, service, .. } = &self;
        let now = circuits.clock.now();
        // Only a call is refused a key: whether it is good for what is asked here says little.
        let is_down = circuits.noting(service, false, why, |breaker| breaker.heard(*heard, now));
        tracing::debug!(%service, ?heard, why, is_down, "asked whether it is there");
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.heard {
            self.circuits.with(self.service, Breaker::not_asked);
        }
    }
}

#[cfg(test)]
mod tests;
