//! A worker that only observes, and the workers beside it. They share the queue: what it takes, nobody who acts gets. So it takes
//! nothing while one acts: each that acts says so to whoever asks, and it asks about every handful that it has taken, before it looks at
//! any of it. What comes in once an acting one is ready, that one has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use bus::{Bus, StreamName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Between two questions while nothing comes.
const ASK: Duration = Duration::from_secs(1);

/// How a worker that only observes knows whether one acts.
#[derive(Debug)]
pub(crate) struct Observer {
    bus: Bus,
    joined: AtomicBool,
    told: Notify,
}

impl Observer {
    /// Of a worker that is the only one.
    ///
    /// # Errors
    /// It is not, or that can't be known.
    pub(crate) async fn alone(bus: &Bus) -> Result<Self> {
        const BESIDE: &str = "another worker takes events from this queue, and --observe would take them away from it: stop that one, or give the service that is observed a queue of its own";
        match bus.is_anyone_acting().await {
            Ok(false) => {}
            Ok(true) => bail!(BESIDE),
            Err(why) => bail!(
                "--observe must know whether a worker acts on this queue, or it would take events away from it: {why}"
            ),
        }
        // One that has just been stopped may be asking still, as far as NATS knows.
        for _ in 0..20 {
            if bus.pending(StreamName::Hooks).await?.pulls == 0 {
                return Ok(Self { bus: bus.clone(), joined: AtomicBool::new(false), told: Notify::new() });
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        bail!(BESIDE)
    }

    /// May what has been taken be observed?
    ///
    /// # Errors
    /// It may not, and why: it is to be handed back, because a worker acts, or nobody knows whether one does.
    pub(crate) async fn may(&self) -> Result<(), String> {
        match self.bus.is_anyone_acting().await {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.joined.store(true, Ordering::Relaxed);
                self.told.notify_one();
                Err("another worker acts".to_owned())
            }
            Err(why) => {
                tracing::warn!(
                    why,
                    "what was taken goes back: whether another worker acts is not known, and this one only observes"
                );
                Err(why)
            }
        }
    }

    /// Has one come that acts? Then nothing more is taken.
    pub(crate) fn is_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Returns when another worker takes events beside this one; false when asked to stop before.
    pub(crate) async fn joined(&self, stop: &CancellationToken) -> bool {
        let asking = async {
            loop {
                let _sooner = tokio::time::timeout(ASK, self.told.notified()).await;
                if self.is_joined() || matches!(self.bus.is_anyone_acting().await, Ok(true)) {
                    self.joined.store(true, Ordering::Relaxed);
                    return true;
                }
            }
        };
        // One that can't say that it acts is seen all the same, if late.
        tokio::select! {
            acting = asking => acting,
            taking = joined(&self.bus, stop) => taking,
        }
    }
}

/// Returns when the queue is asked for more by others than this worker; false when asked to stop before.
pub(crate) async fn joined(bus: &Bus, stop: &CancellationToken) -> bool {
    const EVERY: Duration = Duration::from_secs(5);
    // A request of ours that was lost with its connection counts for half a minute. Between two requests a worker asks for
    // nothing, for a moment: one such look is no proof that it has gone.
    const SURELY: u32 = 7;
    const DOUBT: u32 = 2;
    let mut seen: u32 = 0;
    let mut every = tokio::time::interval(EVERY);
    while seen < SURELY {
        if stop.run_until_cancelled(every.tick()).await.is_none() {
            return false;
        }
        let others = bus.pending(StreamName::Hooks).await.is_ok_and(|pending| pending.pulls > 1);
        seen = if others { seen + 1 } else { seen.saturating_sub(DOUBT) };
    }
    true
}
