//! The worker: takes events from the queue, decides once, writes the decision down, then acts step by step and
//! remembers what each step did. It answers no sender and holds no state that the event log does not hold too: killed
//! at any instant, another run of it goes on where it stopped.
//!
//! Start reading at [`run`], then [`intake`] (which way an event goes) and [`process`] (one event).

mod alone;
pub mod args;
mod before;
mod brake;
mod circuits;
mod insist;
mod intake;
mod lanes;
mod lines;
mod measure;
mod observe;
mod process;
mod pulse;
mod quiet;
mod reading;
mod retention;
mod rules;
pub mod run;
mod steps;
mod storms;
mod surplus;

use std::sync::Arc;
use std::time::Duration;

use domain::config::Config;
use domain::redact::Known;
use effects::World;
use service::metrics::WorkerMetrics;
use service::{Clock, probe::Readiness};
use store::Store;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::alone::Alone;
use crate::before::Looks;
use crate::circuits::Circuits;
use crate::observe::Observer;
use crate::pulse::Pulse;
use crate::rules::Rules;
use crate::surplus::Surplus;

/// What processing an event needs. Cloned into tasks behind an [`Arc`].
#[derive(Debug)]
struct Deps {
    config: Config,
    rules: Rules,
    store: Store,
    world: World,
    surplus: Surplus,
    /// Our own secrets: none of them is written down.
    secrets: Known,
    circuits: Circuits,
    /// What rehearsals ask.
    looks: Looks,
    /// For events that workers may die over.
    alone: Alone,
    metrics: WorkerMetrics,
    readiness: Readiness,
    clock: Clock,
    /// Decide and record, do nothing; how not to do so beside a worker that acts.
    observe: Option<Observer>,
    /// How long a claim on a step holds at most: longer than all calls of one step may take.
    lease: Duration,
    /// Claims hold no longer than this beats.
    pulse: Pulse,
    /// Cancelled when the worker can't wait any longer for calls under way.
    cut: CancellationToken,
    /// Told when something is held.
    braked: Notify,
    /// Told when a message has folded.
    stormed: Notify,
    /// Name of this worker in claims and attempts.
    worker: String,
}

type Shared = Arc<Deps>;
