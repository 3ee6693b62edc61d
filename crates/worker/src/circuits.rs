//! Whether the outside is called at all right now: a breaker per service, and the configured rate.
//!
//! When hotglue or Slack is down as a whole, trying on burns the attempts of every event and helps nobody: the events
//! wait in the queue, where nothing is lost. Now and then the service is asked something that changes nothing (`asking`), and once
//! it answers, or where it can't be asked so, a few events are let through to find out. What needs something
//! else goes on: those that can't are handed back, and only when many are is nothing taken any more.

mod asking;
mod parked;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::breaker::{Breaker, Flow, Permit, Sign};
use domain::config::Config;
use effects::{Question, Service};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use service::Clock;
use service::metrics::WorkerMetrics;
use service::probe::Readiness;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::process::HANDED_BACK;
use parked::Parked;

/// A wait no longer than this is spent in place, and its slot held: handing the event back would be no quicker, and while the
/// slots are held, nothing is taken from the queue that would have to wait too.
pub(crate) const LONGEST_IN_PLACE: Duration = Duration::from_secs(5);

/// Who needs what is down comes again no sooner: while probes are under way, that is soon enough and no burden.
const LEAST_PARKED: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Circuits {
    breakers: Mutex<BTreeMap<Service, Breaker>>,
    /// Of the services that can be asked without an effect.
    questions: BTreeMap<Service, Question>,
    /// Why those that are down are, in the words of the call that said so first: the same for all that waits.
    causes: Mutex<BTreeMap<Service, String>>,
    parked: Parked,
    hotglue: Option<DefaultDirectRateLimiter>,
    slack: Option<DefaultDirectRateLimiter>,
    /// Of hotglue: one of several that is down is not hotglue as a whole.
    environments: usize,
    opened: Notify,
    clock: Clock,
    metrics: WorkerMetrics,
    readiness: Readiness,
    /// Cancelled when nobody may wait any longer.
    cut: CancellationToken,
}

/// How much may be taken from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// A few, at most so many, then a look at what became of them.
    Ajar(usize),
    /// Nothing for so long.
    Shut(Duration),
}

impl Circuits {
    pub(crate) fn new(
        config: &Config,
        questions: BTreeMap<Service, Question>,
        clock: Clock,
        metrics: WorkerMetrics,
        readiness: Readiness,
        cut: CancellationToken,
    ) -> Self {
        let limit = |most: Option<std::num::NonZeroU32>| {
            most.map(|most| RateLimiter::direct(Quota::per_second(most)))
        };
        Self {
            breakers: Mutex::default(),
            questions,
            causes: Mutex::default(),
            parked: Parked::default(),
            hotglue: limit(config.hotglue.max_per_second),
            slack: limit(config.slack.as_ref().and_then(|slack| slack.max_per_second)),
            environments: config.hotglue.environment.len(),
            opened: Notify::new(),
            clock,
            metrics,
            readiness,
            cut,
        }
    }

    /// Waits for the configured rate and out short requests to slow down, then says whether `tenant`'s call may be made.
    /// `Err` is how long to leave it.
    pub(crate) async fn enter(&self, service: &Service, tenant: &str) -> Result<Pass<'_>, Duration> {
        self.cut.run_until_cancelled(self.wait(service, tenant)).await.unwrap_or(Err(HANDED_BACK))
    }

    async fn wait(&self, service: &Service, tenant: &str) -> Result<Pass<'_>, Duration> {
        // Whoever has its turn in a channel of Slack makes the call now or loses the turn: several that wait here would all
        // call at once in the end.
        let mut patience = match service {
            Service::Hotglue { .. } => LONGEST_IN_PLACE,
            Service::Slack => Duration::ZERO,
        };
        while let Err(wait) = self.permit(service, tenant) {
            if self.is_down(service) {
                return Err(wait.max(LEAST_PARKED));
            }
            if wait > patience {
                return Err(wait);
            }
            patience -= wait;
            tokio::time::sleep(wait).await;
        }
        let limit = match service {
            Service::Hotglue { .. } => &self.hotglue,
            Service::Slack => &self.slack,
        };
        if let Some(limit) = limit
            && limit.check().is_err()
        {
            self.abandoned(service, tenant);
            limit.until_ready().await;
            // Much may have happened meanwhile.
            self.permit(service, tenant)?;
        }
        Ok(Pass { circuits: self, service: service.clone(), tenant: tenant.to_owned(), told: false })
    }

    /// What is said of an event whose call is not made now.
    pub(crate) fn why_held(&self, service: &Service) -> String {
        let causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        match causes.get(service) {
            Some(cause) => format!("{service} is not called right now: {cause}"),
            None => format!(
                "{service} is not called right now: it asked us to slow down, or was down until a moment ago"
            ),
        }
    }

    /// An event of `tenant` goes back to the queue for so long at least, because something that it needs is not called now. Answers for
    /// how long.
    pub(crate) fn parks(&self, tenant: &str, wait: Duration) -> Duration {
        let (wait, many) = self.parked.add(tenant, self.clock.now(), wait);
        if many {
            self.opened.notify_waiters();
        }
        wait
    }

    /// How much may be taken from the queue.
    pub(crate) fn gate(&self) -> Gate {
        let now = self.clock.now();
        if !self.parked.many(now) {
            return Gate::Open;
        }
        let mut gate = Gate::Open;
        let mut breakers = self.lock();
        let is_hotglue = |service: &Service| matches!(service, Service::Hotglue { .. });
        let down =
            breakers.iter().filter(|(service, breaker)| is_hotglue(service) && breaker.is_open()).count();
        let hotglue_is_down = down >= self.environments.max(1);
        for (service, breaker) in breakers.iter_mut() {
            // Events of one environment that is down go back for a while; those of the others go on.
            if is_hotglue(service) && !hotglue_is_down {
                continue;
            }
            gate = match (gate, breaker.flow(now)) {
                (gate, Flow::Free) => gate,
                (Gate::Open, Flow::Probing(free)) => Gate::Ajar(free),
                (Gate::Ajar(known), Flow::Probing(free)) => Gate::Ajar(known.min(free)),
                (Gate::Shut(wait), Flow::Probing(_)) => Gate::Shut(wait),
                (Gate::Open | Gate::Ajar(_), Flow::Stopped(wait)) => Gate::Shut(wait),
                (Gate::Shut(known), Flow::Stopped(wait)) => Gate::Shut(known.min(wait)),
            };
        }
        gate
    }

    /// Returns when the gate shuts.
    pub(crate) async fn shuts(&self) {
        loop {
            // Before the look, so that none in between is missed.
            let opened = self.opened.notified();
            if matches!(self.gate(), Gate::Shut(_)) {
                return;
            }
            opened.await;
        }
    }

    fn permit(&self, service: &Service, tenant: &str) -> Result<(), Duration> {
        let now = self.clock.now();
        match self.with(service, |breaker| breaker.permit(tenant, now)) {
            Permit::Yes => Ok(()),
            Permit::No(wait) => Err(wait),
        }
    }

    fn is_down(&self, service: &Service) -> bool {
        self.lock().get(service).is_some_and(Breaker::is_open)
    }

    fn abandoned(&self, service: &Service, tenant: &str) {
        if let Some(breaker) = self.lock().get_mut(service) {
            breaker.abandoned(tenant);
        }
    }

    /// Whether this call opened the breaker, or kept it open.
    fn saw(&self, service: &Service, tenant: &str, sign: Sign, why: &str, now: Timestamp) -> bool {
        self.noting(service, sign == Sign::Refused, why, |breaker| breaker.saw(tenant, sign, now))
    }

    /// Changes a breaker by what was seen, and tells people when that opens or closes it. Answers what `note` does: whether the service
    /// is down by that. `refused`: it was our key or token that did not do.
    fn noting(
        &self,
        service: &Service,
        refused: bool,
        why: &str,
        note: impl FnOnce(&mut Breaker) -> bool,
    ) -> bool {
        let now = self.clock.now();
        let (before, is_down, after, asks) = self.with(service, |breaker| {
            let before = breaker.is_open();
            let is_down = note(breaker);
            let after = breaker.is_open();
            // Before anyone is told to wait.
            if before != after {
                let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
                if after {
                    causes.insert(service.clone(), why.to_owned())
                } else {
                    causes.remove(service)
                };
            }
            (before, is_down, after, breaker.asks_in(now).is_some())
        });
        if is_down || asks {
            self.opened.notify_waiters();
        }
        if before != after {
            self.metrics.circuit(&service.to_string(), after);
            let topic = format!("circuit of {service}");
            if after {
                let how = if refused { "refuses our key or token" } else { "is down" };
                let sentence = format!("{service} {how}, so what needs it waits in the queue: {why}");
                self.readiness.warn_about(&topic, Some(&sentence));
                tracing::warn!(%service, why, "{service} {how}: what needs it waits in the queue until it is back");
            } else {
                tracing::info!(%service, "{service} is back");
                self.readiness.warn_about(&topic, None);
            }
        }
        is_down
    }

    fn with<T>(&self, service: &Service, work: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breakers = self.lock();
        let breaker = breakers.entry(service.clone()).or_insert_with(|| {
            if self.questions.contains_key(service) { Breaker::with_question() } else { Breaker::default() }
        });
        work(breaker)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Service, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to make one call. Dropped without a word, the call counts as not made.
#[derive(Debug)]
#[must_use = "the breaker waits to hear how the call ended"]
pub(crate) struct Pass<'a> {
    circuits: &'a Circuits,
    service: Service,
    tenant: String,
    told: bool,
}

impl Pass<'_> {
    /// The call ended; `why` it failed, if it did. Answers whether the service is down as a whole, by now.
    pub(crate) fn ended(mut self, sign: Sign, why: &str) -> bool {
        self.told = true;
        let now = self.circuits.clock.now();
        self.circuits.saw(&self.service, &self.tenant, sign, why, now)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.circuits.abandoned(&self.service, &self.tenant);
        }
    }
}

#[cfg(test)]
mod tests;
