//! Whether events go to NATS or straight to the spool. It opens with the first publish that NATS does not answer, so
//! that the next requests do not wait for the same silence, and closes when NATS has acknowledged something again,
//! which whoever empties the spool tries for.

use tokio::sync::watch;

/// Clones are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct Circuit(watch::Sender<Option<String>>);

impl Default for Circuit {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Circuit {
    /// Why events go straight to the spool; none while they go to NATS.
    pub(crate) fn open(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// NATS did not take an event: one sentence.
    pub(crate) fn trip(&self, why: &str) {
        let tripped = self.0.send_if_modified(|state| {
            let first = state.is_none();
            let new = state.as_deref() != Some(why);
            if new {
                *state = Some(why.to_owned());
            }
            first
        });
        if tripped {
            tracing::warn!("events are kept in the spool from now on: {why}");
        }
    }

    /// NATS took an event.
    pub(crate) fn close(&self) {
        if self.0.send_if_modified(|state| state.take().is_some()) {
            tracing::info!("NATS takes events again; what is in the spool is sent to it");
        }
    }

    /// Waits until it opens.
    pub(crate) async fn opened(&self) {
        // The sender lives as long as we do.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_an_answer_is_told_when_others_got_none() {
        let circuit = Circuit::default();
        assert!(!circuit.is_open());
        let waiting = tokio::spawn({
            let circuit = circuit.clone();
            async move { circuit.opened().await }
        });
        circuit.trip("no answer");
        circuit.trip("not connected");
        waiting.await.unwrap();
        assert_eq!(circuit.open().as_deref(), Some("not connected"));
        circuit.close();
        assert!(!circuit.is_open());
    }
}
