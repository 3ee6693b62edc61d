//! Which way an event goes: recorded with many others when no rule acts on it, into its tenant's lane otherwise.

use std::sync::Arc;
use std::time::Duration;

use bus::{Burial, Bus, ConsumeError, Consumer, Delivery, SettleError, StreamName};
use domain::event::{self, Event};
use domain::facts::Facts;
use domain::journal::{Arrival, Outcome, Quiet};
use domain::plan::{LIVE, Verdict};
use domain::rulebook::{Case, Rulebook};
use store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::alone::{May, NOT_BESIDE};
use crate::circuits::Gate;
use crate::lanes::{Class, Lanes};
use crate::observe::Observer;
use crate::process::{self, End};
use crate::quiet::Batch;
use crate::reading::{self, Harmless, Refused};
use crate::surplus::Place;
use crate::{Deps, Shared};

/// Between two tries to reach the queue.
const PAUSE: Duration = Duration::from_secs(1);
/// What was asked of the queue and came is kept for so long without room for it; then it goes back, to other workers.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one looks whether the outside is back.
const LOOK: Duration = Duration::from_millis(250);

/// Everything that takes events in shares these.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    pub(crate) deps: Shared,
    pub(crate) bus: Bus,
    pub(crate) lanes: Lanes,
    pub(crate) quiet: mpsc::Sender<Batch>,
    pub(crate) harmless: Arc<Harmless>,
    pub(crate) stop: CancellationToken,
}

impl Intake {
    /// Takes events from one stream until asked to stop. While the outside is down, or there is no room, nothing is taken
    /// and nothing is held.
    pub(crate) async fn take(&self, stream: StreamName, most: usize) {
        let class = if stream == StreamName::Replay { Class::Replay } else { Class::Live };
        let mut taking: Option<Consumer> = None;
        while !self.stop.is_cancelled() {
            if self.deps.observe.as_ref().is_some_and(Observer::is_joined) {
                if let Some(consumer) = taking.take() {
                    consumer.drain().await;
                }
                self.stop.cancelled().await;
                break;
            }
            let Some(room) = self.room(class, most, &mut taking).await else { break };
            let consumer = match taking.take() {
                Some(consumer) => consumer,
                None => match self.stop.run_until_cancelled(self.bus.consumer(stream)).await {
                    None => break,
                    Some(Ok(consumer)) => consumer,
                    Some(Err(error)) => {
                        self.nothing_comes(&error).await;
                        continue;
                    }
                },
            };
            let consumer = taking.insert(consumer);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                // What was asked for and did not come is given back.
                () = self.deps.circuits.shuts() => {}
                batch = consumer.next_batch(room) => match batch {
                    Ok(deliveries) => self.have(deliveries, class).await,
                    Err(error) => self.nothing_comes(&error).await,
                },
            }
        }
        if let Some(consumer) = taking {
            consumer.drain().await;
        }
    }

    /// How many events may be taken; waits until it is one at least. None when asked to stop.
    async fn room(&self, class: Class, most: usize, taking: &mut Option<Consumer>) -> Option<usize> {
        let mut looked = false;
        loop {
            let (most, wait) = match self.deps.circuits.gate() {
                Gate::Open => (most, None),
                // What was taken last has had the time to make its calls.
                Gate::Ajar(few) if looked => (most.min(few), None),
                Gate::Ajar(_) => (0, Some(LOOK)),
                Gate::Shut(wait) => (0, Some(wait.min(LOOK))),
            };
            if let Some(wait) = wait {
                if let Some(consumer) = taking.take() {
                    consumer.drain().await;
                }
                self.stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
                looked = true;
                continue;
            }
            let room = self.lanes.room(class);
            if room > 0 {
                return Some(room.min(most));
            }
            let waiting = tokio::time::timeout(PATIENCE, self.lanes.some_room(class));
            if self.stop.run_until_cancelled(waiting).await?.is_err()
                && let Some(consumer) = taking.take()
            {
                consumer.drain().await;
            }
        }
    }

    async fn nothing_comes(&self, error: &ConsumeError) {
        tracing::warn!(%error, "the queue gives nothing right now; trying again");
        let _stopped = self.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }

    /// What a worker that only observes has taken is another's, where that one acts.
    async fn have(&self, deliveries: Vec<Delivery>, class: Class) {
        let Some(observer) = &self.deps.observe else { return self.sort(deliveries, class).await };
        let Err(why) = observer.may().await else { return self.sort(deliveries, class).await };
        let end = || End::Again { after: process::HANDED_BACK, why: why.clone() };
        let handed_back = deliveries.into_iter().map(|delivery| settle(&self.deps, delivery, end()));
        futures_util::future::join_all(handed_back).await;
        if !observer.is_joined() {
            let _stopped = self.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }

    async fn sort(&self, deliveries: Vec<Delivery>, class: Class) {
        let rulebook = self.deps.rules.current();
        let mut batch = Vec::with_capacity(deliveries.len());
        let mut away = None;
        let mut busy = Vec::new();
        for delivery in deliveries {
            match self.carefully(delivery, &rulebook, away.as_ref()).await {
                Way::Quiet(quiet, delivery) => batch.push((*quiet, delivery)),
                Way::Lane(arrival, delivery) => busy.extend(self.act(*arrival, delivery, class)),
                Way::Unreadable(refused, delivery, died) => {
                    let deps = self.deps.clone();
                    self.lanes.push(String::new(), class, async move {
                        bury_unreadable(&deps, *refused, delivery, died).await
                    });
                }
                Way::Later(delivery, error) => {
                    let end = process::store_trouble(&self.deps, &error);
                    settle(&self.deps, delivery, end).await;
                    away = Some(error);
                }
                Way::Alien(delivery, why) => {
                    tracing::error!(why, "a message in the stream was not written by ingest");
                    settle(&self.deps, delivery, End::Bury { why, attempts: 1, since: None }).await;
                }
            }
        }
        // All at once: each may wait for NATS to store it elsewhere.
        let handed_back = busy.into_iter().map(|(delivery, end)| settle(&self.deps, delivery, end));
        futures_util::future::join_all(handed_back).await;
        if !batch.is_empty() && self.quiet.send(batch).await.is_err() {
            tracing::debug!("the worker is stopping; the events come back");
        }
    }

    /// Reads a delivery. A worker that dies over reading one can't say so: of what has come several times it is written down
    /// before that it is read, and what many workers began to read and none has read is buried without another try.
    /// Of an event log that is `away` it is not asked for each of a batch again.
    async fn carefully(&self, delivery: Delivery, rulebook: &Rulebook, away: Option<&StoreError>) -> Way {
        let suspect = delivery.envelope().ok().map(|envelope| envelope.id.clone());
        let Some(event) = suspect.filter(|event| self.harmless.is_suspicious(event, delivery.attempt()))
        else {
            return self.way(delivery, rulebook);
        };
        if let Some(error) = away {
            return Way::Later(delivery, error.clone());
        }
        let store = &self.deps.store;
        let died = match store.reading(&event, self.deps.clock.now()).await {
            Ok(begun) => begun.saturating_sub(1),
            Err(error) => return Way::Later(delivery, error),
        };
        if let (true, Ok(envelope)) = (died >= process::MAX_CRASHES, delivery.envelope()) {
            let why = format!(
                "reading this event was begun {died} times and never came to an end: a worker may die over it"
            );
            let refused = reading::untouched(envelope, delivery.hooks_sequence(), why);
            return Way::Unreadable(refused, delivery, died);
        }
        let way = self.way(delivery, rulebook);
        if let Err(error) = store.was_read(&event).await {
            tracing::debug!(%error, "an event was read; the event log does not know");
        }
        self.harmless.was_read(event);
        way
    }

    fn way(&self, delivery: Delivery, rulebook: &Rulebook) -> Way {
        let envelope = match delivery.envelope() {
            Ok(envelope) => envelope,
            Err(why) => {
                let why = why.to_owned();
                return Way::Alien(delivery, why);
            }
        };
        let hotglue = &self.deps.config.hotglue;
        let parse = |envelope: &_| event::read(envelope, &hotglue.failed_records);
        let secrets = &self.deps.secrets;
        let arrival = match reading::read(envelope, delivery.hooks_sequence(), secrets, parse) {
            Ok(arrival) => arrival,
            Err(refused) => return Way::Unreadable(refused, delivery, 0),
        };
        // A first delivery of a live event that no rule takes has nothing to resume: it needs no ledger.
        let fresh = delivery.attempt() == 1 && delivery.replay().is_none();
        // Deciding that ends in a panic ends in one in its tenant's lane too, where such attempts are counted.
        let takes_nothing = || takes_nothing(&self.deps, rulebook, &arrival.event);
        if fresh && reading::caught(takes_nothing).unwrap_or(false) {
            let quiet = Box::new(Quiet {
                arrival,
                run: LIVE.to_owned(),
                rulebook: rulebook.version().to_owned(),
                decided_at: self.deps.clock.now(),
            });
            return Way::Quiet(quiet, delivery);
        }
        Way::Lane(Box::new(arrival), delivery)
    }

    /// Gives an event to its tenant's lane; it is handed back where that has no room, or its wait is not over.
    fn act(&self, arrival: Arrival, delivery: Delivery, class: Class) -> Option<(Delivery, End)> {
        let now = self.deps.clock.now();
        let left = delivery.not_before().map(|until| Duration::try_from(until.duration_since(now)));
        if let Some(Ok(after)) = left
            && !after.is_zero()
        {
            return Some((delivery, End::Again { after, why: "its wait is not over".to_owned() }));
        }
        let key = format!("{}\0{}", arrival.event.env_id, arrival.event.tenant);
        if !self.lanes.has_room(&key, class) {
            let after = self.lanes.comes_again_in(&key, class, now);
            return Some((
                delivery,
                End::Again { after, why: "its tenant has many events waiting".to_owned() },
            ));
        }
        let (deps, stop) = (self.deps.clone(), self.stop.clone());
        // Also while it waits behind others.
        let alive = delivery.keep_alive();
        self.lanes.push(key, class, async move {
            let end = if stop.is_cancelled() {
                End::Again { after: process::HANDED_BACK, why: "the worker is stopping".to_owned() }
            } else {
                let (run, resume) =
                    delivery.replay().map_or((LIVE, false), |replay| (replay.run.as_str(), replay.resume));
                let new = delivery.attempt() == 1 && delivery.replay().is_none();
                let again = Again { resume, new };
                act(&deps, &arrival, run, delivery.replay().is_some(), again).await
            };
            settle(&deps, delivery, end).await;
            drop(alive);
        });
        None
    }
}

enum Way {
    Quiet(Box<Quiet>, Delivery),
    Lane(Box<Arrival>, Delivery),
    /// Verified, but not JSON, or nothing that we can read; so many workers may have died over it.
    Unreadable(Box<Refused>, Delivery, u32),
    /// The event log must have a word first, and does not answer.
    Later(Delivery, StoreError),
    /// Not an envelope at all.
    Alien(Delivery, String),
}

fn takes_nothing(deps: &Deps, rulebook: &Rulebook, event: &Event) -> bool {
    let flow = deps.config.hotglue.flow(&event.flow_id);
    let case = Case {
        event,
        facts: &Facts::default(),
        flow: &flow,
        date_format: &deps.config.hotglue.date_format,
        run: LIVE,
        replayed: false,
        now: deps.clock.now(),
    };
    let Ok(plan) = rulebook.decide(&case) else { return false };
    if plan.takes() {
        return false;
    }
    for verdict in &plan.verdicts {
        if let Verdict::NotHeld { why: Some(_), .. } = verdict.verdict {
            deps.metrics.rule_error(&verdict.rule);
        }
    }
    true
}

/// What is known of attempts before this one.
#[derive(Debug, Clone, Copy)]
struct Again {
    /// It was given up, and a person has sent it back.
    resume: bool,
    /// It came live and for the first time: there are none.
    new: bool,
}

async fn act(deps: &Deps, arrival: &Arrival, run: &str, replayed: bool, again: Again) -> End {
    if again.resume
        && let Err(error) = reopen(deps, arrival, run).await
    {
        return process::store_trouble(deps, &error);
    }
    let alone = match deps.alone.may_begin(&deps.store, &arrival.event.id, again.new).await {
        Ok(May::Wait) => {
            let why = "workers have died with it in hand, and another such event comes first".to_owned();
            return End::Again { after: NOT_BESIDE, why };
        }
        Ok(may) => may,
        Err(error) => return process::store_trouble(deps, &error),
    };
    let end = process::process(deps, arrival, run, replayed && run != LIVE).await;
    drop(alone);
    end
}

/// A dead letter that a person sent back: what failed for good is tried once more, what is done stays done. Only once
/// for each time it was given up, however often the letter is delivered.
async fn reopen(deps: &Deps, arrival: &Arrival, run: &str) -> Result<(), StoreError> {
    deps.store.resume(&arrival.event.id, run, deps.clock.now()).await?;
    Ok(())
}

async fn bury_unreadable(deps: &Deps, refused: Refused, delivery: Delivery, died: u32) {
    let Refused { arrival, why } = refused;
    let run = LIVE;
    let now = deps.clock.now();
    let recorded = async {
        deps.store.remember(&arrival, run).await?;
        deps.store.attempted(&arrival.event.id, run, &deps.worker, Outcome::Dead, Some(&why), now).await
    };
    let end = match recorded.await {
        Ok(attempts) => {
            tracing::warn!(event = %arrival.event.id, ?why, "buried");
            End::Bury { why, attempts: attempts + died, since: None }
        }
        Err(error) => process::store_trouble(deps, &error),
    };
    settle(deps, delivery, end).await;
    // Sent back by a person, it is read again.
    if died > 0
        && let Err(error) = deps.store.was_read(&arrival.event.id).await
    {
        tracing::debug!(%error, "an event was buried over reading it; the event log still counts");
    }
}

/// Hands a delivery back for so long; where very many wait, out of the way of others. While the outside is down, nothing is
/// taken, and there are no others.
async fn again(deps: &Deps, delivery: Delivery, after: Duration) -> Result<(), SettleError> {
    if deps.circuits.gate() != Gate::Open {
        return delivery.again_in(after).await;
    }
    let again = delivery.not_before().map(|_| delivery.attempt());
    match deps.surplus.place(delivery.stream(), again, after, deps.clock.now()) {
        Place::Here(wait) => delivery.again_in(wait).await,
        Place::Aside(until) => {
            delivery.set_aside(until).await?;
            deps.metrics.set_aside.inc();
            Ok(())
        }
    }
}

/// Settles a delivery by value; what the queue can't be told now, it finds out by itself after its ack wait.
async fn settle(deps: &Deps, delivery: Delivery, end: End) {
    let told = match end {
        End::Done(outcome) => {
            deps.metrics.processed(outcome.as_str(), 1);
            if outcome == Outcome::NoRule {
                deps.metrics.no_rule.inc();
            }
            delivery.done_sure().await
        }
        End::Again { after, why } => {
            tracing::debug!(?after, ?why, "an event goes back to the queue");
            again(deps, delivery, after).await
        }
        End::NoLog { after, why } => {
            tracing::debug!(?after, ?why, "an event goes back to the queue");
            delivery.again_in(after).await
        }
        End::Bury { why, attempts, since } => {
            deps.metrics.processed(Outcome::Dead.as_str(), 1);
            deps.metrics.buried("failed");
            let now = deps.clock.now();
            let burial = Burial {
                reason: why,
                attempts: u64::from(attempts),
                first_failed_at: since.unwrap_or(now),
                last_failed_at: now,
                worker: deps.worker.clone(),
            };
            delivery.bury(&burial).await
        }
    };
    if let Err(error) = told {
        tracing::warn!(%error, "the queue could not be told how an event ended; it will be delivered again");
    }
}
