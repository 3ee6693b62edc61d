//! Keeps watch over NATS: is it there, will it do, are the streams as they must be.

use std::time::Duration;

use bus::permissions::{self, Duty};
use bus::{Bus, CheckError, ConnectError, Existing, SetupError};
use domain::config::Jetstream;
use service::CancellationToken;
use service::probe::Readiness;
use tokio::time::{sleep, timeout};

use crate::queue::Queue;

/// How long the start waits for NATS before it goes on without.
const PATIENCE_AT_START: Duration = Duration::from_secs(2);
const EVERY_WHILE_GOOD: Duration = Duration::from_secs(10);
const EVERY_WHILE_BAD: Duration = Duration::from_secs(1);

/// Checks of `/readyz`.
pub(crate) const CHECKS: [&str; 2] = ["nats", "streams"];

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Good,
    /// Nobody answers; it may come back.
    Away(String),
    /// Someone must change something: one sentence.
    Wrong(String),
}

pub(crate) struct Watch {
    bus: Bus,
    jetstream: Jetstream,
    /// The streams are still to be created.
    setup: bool,
    /// Largest body that any endpoint takes.
    largest_body: u64,
    /// Names of the endpoints: what they are stored under must be allowed.
    endpoints: Vec<String>,
    readiness: Readiness,
    queue: Queue,
    last: Option<Found>,
}

impl Watch {
    pub(crate) fn new(
        bus: Bus,
        jetstream: Jetstream,
        setup: bool,
        largest_body: u64,
        endpoints: Vec<String>,
        readiness: Readiness,
        queue: Queue,
    ) -> Self {
        Self { bus, jetstream, setup, largest_body, endpoints, readiness, queue, last: None }
    }

    /// The first look, before anything is served. NATS may be away: then every webhook is answered 503 until it comes.
    ///
    /// # Errors
    /// The sentence, when NATS is there and will not do as it is.
    pub(crate) async fn begin(&mut self) -> Result<(), String> {
        let mut connected = self.bus.connected();
        let _ = timeout(PATIENCE_AT_START, connected.wait_for(|connected| *connected)).await;
        self.look().await;
        match &self.last {
            Some(Found::Wrong(why)) => Err(why.clone()),
            Some(Found::Away(why)) => {
                tracing::warn!("{why}; until then every webhook is answered 503");
                Ok(())
            }
            Some(Found::Good) | None => Ok(()),
        }
    }

    /// Looks again and again until `stop`.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        let mut connected = self.bus.connected();
        loop {
            let pause = if self.last == Some(Found::Good) { EVERY_WHILE_GOOD } else { EVERY_WHILE_BAD };
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = connected.changed() => {}
                () = sleep(pause) => {}
            }
            let before = self.last.clone();
            self.look().await;
            if let Some(Found::Wrong(why)) = &self.last
                && before != self.last
            {
                tracing::error!("webhooks are answered 503: {why}");
            }
        }
    }

    async fn look(&mut self) {
        let found = self.find().await;
        let [nats, streams] = CHECKS;
        match &found {
            Found::Good => {
                self.readiness.set(nats, Ok(()));
                self.readiness.set(streams, Ok(()));
                self.queue.set_fit(true);
            }
            // What was good before it went away is still good: publishing fails by itself meanwhile.
            Found::Away(why) => self.readiness.set(nats, Err(why.clone())),
            Found::Wrong(why) => {
                self.readiness.set(nats, Ok(()));
                self.readiness.set(streams, Err(why.clone()));
                self.queue.set_fit(false);
            }
        }
        self.readiness.warn_about("nats", self.bus.state().trouble.as_deref());
        let too_small = self.too_small();
        self.readiness.warn_about("max_payload", too_small.as_deref());
        self.last = Some(found);
    }

    async fn find(&mut self) -> Found {
        if !self.bus.state().connected {
            let nobody = || format!("NATS at {} does not answer", self.bus.url());
            return Found::Away(self.bus.locked_out().await.unwrap_or_else(nobody));
        }
        if self.setup {
            match bus::setup(&self.bus, &self.jetstream, Existing::MustMatch).await {
                Ok(changes) => {
                    self.setup = false;
                    for change in changes {
                        tracing::info!("{change}");
                    }
                }
                Err(SetupError::Connection(ConnectError::Unreachable(why))) => return Found::Away(why),
                Err(error) => return Found::Wrong(error.to_string()),
            }
        }
        match bus::check(&self.bus, &self.jetstream).await {
            Ok(()) => self.permitted().await,
            Err(CheckError::Connection(ConnectError::Unreachable(why))) => Found::Away(why),
            Err(error) => Found::Wrong(error.to_string()),
        }
    }

    /// A denied publish would look like a server that does not answer.
    async fn permitted(&self) -> Found {
        for endpoint in &self.endpoints {
            for duty in [Duty::Receive { endpoint }, Duty::Quarantine { endpoint }] {
                match permissions::missing(&self.bus, duty).await.map(|denied| denied.into_iter().next()) {
                    Ok(None) => {}
                    Ok(Some(denied)) => return Found::Wrong(denied.to_string()),
                    Err(why) => return Found::Away(why),
                }
            }
        }
        Found::Good
    }

    /// Does the server take the largest body that we take, with its headers?
    fn too_small(&self) -> Option<String> {
        let most = self.bus.max_payload() as u64;
        (self.largest_body.saturating_add(4096) > most).then(|| {
            format!(
                "nats-server takes messages of at most {most} bytes, an endpoint bodies of {}: what does not fit is answered 413; raise max_payload of nats-server, or lower max_body",
                self.largest_body
            )
        })
    }
}
