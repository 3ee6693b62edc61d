//! Keeps watch over NATS: is it there, will it do, are the streams as they must be.

use std::time::{Duration, Instant};

use bus::permissions::{self, Duty};
use bus::{
    Bus, CheckError, ConnectError, Difference, Existing, Harm, Mark, MonitorUrl, Room, SetupError, StreamName,
};
use domain::config::Jetstream;
use jiff::Timestamp;
use service::CancellationToken;
use service::probe::Readiness;
use tokio::time::{sleep, timeout};

use crate::promise::{Broker, Syncs, promise};
use crate::queue::Queue;

/// How long the start waits for NATS before it goes on without.
const PATIENCE_AT_START: Duration = Duration::from_secs(2);
const EVERY_WHILE_GOOD: Duration = Duration::from_secs(10);
const EVERY_WHILE_BAD: Duration = Duration::from_secs(1);

/// Checks of `/readyz`. Where there is a spool, NATS may be away: then it is a warning.
pub(crate) const NATS: &str = "nats";
pub(crate) const STREAMS: &str = "streams";

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Good,
    /// Events are stored as promised, but not all is as it was configured, as when it was changed and this process was
    /// not told: one sentence.
    Differs(String),
    /// Nobody answers; it may come back.
    Away(String),
    /// Events would be lost or refused, so that someone must change something: one sentence.
    Wrong(String),
}

impl Found {
    fn takes_events(&self) -> bool {
        match self {
            Self::Good | Self::Differs(_) => true,
            Self::Away(_) | Self::Wrong(_) => false,
        }
    }
}

pub(crate) struct Watch {
    bus: Bus,
    jetstream: Jetstream,
    /// The streams are still to be created.
    setup: bool,
    /// Largest body that any endpoint takes.
    largest_body: u64,
    /// Where the server tells how it syncs.
    monitor: Option<MonitorUrl>,
    /// Names of the endpoints: what they are stored under must be allowed.
    endpoints: Vec<String>,
    readiness: Readiness,
    queue: Queue,
    last: Option<Found>,
    /// The server that was seen last, and how far the stream had come.
    server: Option<String>,
    created: Option<Timestamp>,
    told: Option<Option<Broker>>,
    /// Of the stream, when it was last looked at.
    room: Room,
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
        Self {
            bus,
            jetstream,
            setup,
            largest_body,
            monitor: None,
            endpoints,
            readiness,
            queue,
            last: None,
            server: None,
            created: None,
            told: None,
            room: Room::Enough,
        }
    }

    pub(crate) fn asking(self, monitor: Option<MonitorUrl>) -> Self {
        Self { monitor, ..self }
    }

    /// The first look, before anything is served. NATS may be away: then events go to the spool, or every webhook is
    /// answered 503 until it comes.
    ///
    /// # Errors
    /// The sentence, when NATS is there and is not as it must be, and there is no spool.
    pub(crate) async fn begin(&mut self) -> Result<(), String> {
        let mut connected = self.bus.connected();
        let _ = timeout(PATIENCE_AT_START, connected.wait_for(|connected| *connected)).await;
        self.look().await;
        let meanwhile = self.meanwhile();
        match &self.last {
            // Whoever starts it is there to mend it; later only what does harm to events keeps them out.
            Some(Found::Wrong(why) | Found::Differs(why)) if !self.spools() => return Err(why.clone()),
            Some(Found::Differs(why)) => tracing::warn!("{why}"),
            Some(Found::Wrong(why)) => tracing::error!("{meanwhile}: {why}"),
            Some(Found::Away(why)) => {
                tracing::warn!("{why}; until then {meanwhile}");
                self.tell(None);
            }
            Some(Found::Good) | None => {}
        }
        Ok(())
    }

    /// Looks again and again until `stop`.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        let mut connected = self.bus.connected();
        loop {
            let is_good =
                self.last.as_ref().is_some_and(Found::takes_events) && !matches!(self.room, Room::None(_));
            let pause = if is_good { EVERY_WHILE_GOOD } else { EVERY_WHILE_BAD };
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = connected.changed() => {}
                () = sleep(pause) => {}
            }
            let before = self.last.clone();
            self.look().await;
            if before != self.last {
                match &self.last {
                    Some(Found::Wrong(why)) => tracing::error!("{}: {why}", self.meanwhile()),
                    Some(Found::Differs(why)) => tracing::warn!("{why}"),
                    Some(Found::Good | Found::Away(_)) | None => {}
                }
            }
        }
    }

    fn spools(&self) -> bool {
        self.queue.durability().spool().is_some()
    }

    /// What becomes of webhooks while NATS does not take them.
    fn meanwhile(&self) -> &'static str {
        if self.spools() { "webhooks are kept in the spool" } else { "every webhook is answered 503" }
    }

    async fn look(&mut self) {
        let found = self.find().await;
        let away = match &found {
            Found::Good | Found::Differs(_) => {
                // What is refused now may be taken in a minute: old events make room.
                let room = match &self.room {
                    Room::None(why) if !self.spools() => Err(format!("{why}; {}", self.meanwhile())),
                    Room::None(_) | Room::Little(_) | Room::Enough => Ok(()),
                };
                self.readiness.set(STREAMS, room);
                self.queue.set_fit(true);
                let differs = if let Found::Differs(why) = &found { Some(why.as_str()) } else { None };
                self.readiness.warn_about(STREAMS, differs);
                None
            }
            // What was good before it went away is still good: publishing fails by itself meanwhile.
            Found::Away(why) => {
                if self.spools() && self.last.is_none() {
                    // Nothing is known against the streams, and events can be taken.
                    self.readiness.set(STREAMS, Ok(()));
                }
                Some(why.clone())
            }
            Found::Wrong(why) => {
                self.readiness.set(STREAMS, Err(why.clone()));
                self.readiness.warn_about(STREAMS, None);
                self.queue.set_fit(false);
                None
            }
        };
        if self.spools() {
            let warning = away.map(|why| format!("{why}: {}", self.meanwhile()));
            self.readiness.warn_about("away", warning.as_deref());
        } else {
            self.readiness.set(NATS, away.map_or(Ok(()), Err));
        }
        self.readiness.warn_about("nats", self.bus.state().trouble.as_deref());
        let full = match &self.room {
            Room::Enough => None,
            Room::Little(why) => Some(why.clone()),
            Room::None(why) => Some(format!("{why}; {}", self.meanwhile())),
        };
        self.readiness.warn_about("room", full.as_deref());
        let too_small = self.too_small();
        self.readiness.warn_about("max_payload", too_small.as_deref());
        self.last = Some(found);
    }

    /// Whether the server still has what it has acknowledged. A server that was started anew, or whose stream went
    /// back, may have lost what it had not written to its disk.
    fn compare(&mut self, asked: Instant, highest: u64, mark: &Mark) {
        let server = self.bus.server_id();
        let other = self.server.is_some() && self.server != server;
        let anew = self.created.is_some_and(|created| created != mark.created);
        let back = mark.last_sequence < highest;
        if anew || back {
            let what = if anew { "was made anew" } else { "has lost events that it had acknowledged" };
            tracing::error!(
                "stream HOOKS {what}: its last sequence is {}, it was {highest}",
                mark.last_sequence
            );
        }
        if let Some(spool) = self.queue.durability().spool() {
            if (other || anew || back) && !spool.rewind() {
                // Remembered as it was: the next look finds the same again.
                return;
            }
            spool.alive(asked);
        }
        if anew || back {
            self.queue.forget();
        }
        (self.server, self.created) = (server, Some(mark.created));
    }

    /// Says what a 2xx means, once and whenever that changes.
    fn tell(&mut self, broker: Option<Broker>) {
        if self.told.as_ref() != Some(&broker) {
            tracing::info!("{}", promise(self.queue.durability(), self.bus.url(), broker.as_ref()));
            self.told = Some(broker);
        }
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
                // What is missing was created; the rest is looked at below.
                Err(SetupError::Differs(found)) if harmless(&found) => {}
                Err(SetupError::Connection(ConnectError::Unreachable(why))) => return Found::Away(why),
                Err(error) => return Found::Wrong(error.to_string()),
            }
        }
        let differs = match bus::check(&self.bus, &self.jetstream).await {
            Ok(()) => None,
            Err(error) => match &error {
                CheckError::Differs(found) if harmless(found) => Some(error.to_string()),
                CheckError::Connection(ConnectError::Unreachable(why)) => return Found::Away(why.clone()),
                _ => return Found::Wrong(error.to_string()),
            },
        };
        let found = match self.permitted().await {
            Found::Good => self.measure().await,
            found => found,
        };
        match (found, differs) {
            (Found::Good, Some(why)) => Found::Differs(why),
            (found, _) => found,
        }
    }

    async fn measure(&mut self) -> Found {
        // Before the question: what is acknowledged after it may be more than the answer knows of.
        let (asked, highest) = (Instant::now(), self.queue.highest());
        match bus::mark(&self.bus, StreamName::Hooks).await {
            Ok(mark) => {
                self.compare(asked, highest, &mark);
                self.room = mark.room();
                let version = self.bus.server_version().unwrap_or_default();
                let syncs = self.syncs(mark.replicas).await;
                self.tell(Some(Broker { version, replicas: mark.replicas, syncs }));
                Found::Good
            }
            Err(error) => Found::Away(error.to_string()),
        }
    }

    /// How the server syncs. That it does not tell hinders nobody.
    async fn syncs(&self, replicas: usize) -> Syncs {
        let Some(url) = &self.monitor else { return Syncs::NotAsked };
        let told = bus::monitored(url).await.and_then(|told| {
            // Of several that replicate, any may be asked: they are expected to be configured alike.
            if replicas > 1 || self.bus.server_id().as_ref() == Some(&told.server_id) {
                return Ok(told.sync);
            }
            Err(format!(
                "{url} is the monitoring port of another nats-server than that at {}",
                self.bus.url()
            ))
        });
        self.readiness.warn_about("monitor", told.as_ref().err().map(String::as_str));
        told.map_or_else(Syncs::Silent, Syncs::Told)
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

    /// Does the server take the largest body that we take, with its headers? None as well before it was reached.
    fn too_small(&self) -> Option<String> {
        self.bus.server_version()?;
        let most = self.bus.max_payload() as u64;
        (self.largest_body.saturating_add(4096) > most).then(|| {
            format!(
                "nats-server takes messages of at most {most} bytes, an endpoint bodies of {}: what does not fit is answered 503; raise max_payload of nats-server, or lower max_body",
                self.largest_body
            )
        })
    }
}

fn harmless(found: &[Difference]) -> bool {
    found.iter().all(|difference| difference.harm() == Harm::Nothing)
}
