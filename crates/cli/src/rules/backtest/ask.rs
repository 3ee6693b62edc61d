//! Facts that were not read then, asked of hotglue now.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::action::Place;
use domain::event::Event;
use domain::facts::{Fact, Need};
use effects::{EffectError, World};
use tokio::runtime::Handle;

use crate::Misused;
use crate::files::{self, Loaded};

/// So many questions in a row without an answer, and no more are asked: hotglue is down, or our key is refused.
const MOST_IN_VAIN: u32 = 20;

/// Asks each question once.
#[derive(Debug)]
pub(super) struct Asking {
    world: World,
    runtime: Handle,
    /// None: hotglue refuses to say, as of a tenant that is gone, or gave no answer.
    answers: Mutex<HashMap<(Place, Need), Option<Fact>>>,
    /// Why there was no answer, with the number of questions.
    unanswered: Mutex<BTreeMap<String, u64>>,
    /// In a row.
    in_vain: AtomicU32,
}

/// What hotglue did not say.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// Why, and how many questions.
    pub(super) why: BTreeMap<String, u64>,
    /// It was given up to ask.
    pub(super) gave_up: bool,
}

impl Asking {
    pub(super) fn new(Loaded { config, base }: &Loaded) -> Result<Self, Misused> {
        if config.hotglue.environment.is_empty() {
            let why = "--ask-hotglue needs to know whom to ask: there is no [[hotglue.environment]] in the configuration";
            return Err(Misused(why.to_owned()));
        }
        effects::install_crypto();
        // Slack is asked nothing, so its secret need not be there.
        let mut config = config.clone();
        config.slack = None;
        let world = World::build(&config, base, &|reference| files::resolve(base, reference))
            .map_err(|said| Misused(said.join("\n")))?;
        Ok(Self {
            world,
            runtime: Handle::current(),
            answers: Mutex::default(),
            unanswered: Mutex::default(),
            in_vain: AtomicU32::new(0),
        })
    }

    /// Blocks until hotglue has answered; none when it refuses to or can't. Also tells whether it was asked.
    pub(super) fn answer(&self, event: &Event, need: &Need) -> (Option<Fact>, bool) {
        let (env_id, flow_id, tenant) = (event.env_id.clone(), event.flow_id.clone(), event.tenant.clone());
        let key = (Place { env_id, flow_id, tenant }, need.clone());
        if let Some(fact) = lock(&self.answers).get(&key) {
            return (fact.clone(), false);
        }
        if self.gave_up() {
            return (None, false);
        }
        let fact = match self.runtime.block_on(self.world.observe(&key.0, need)) {
            Ok(fact) => {
                self.in_vain.store(0, Ordering::Relaxed);
                Some(fact)
            }
            Err(EffectError::Permanent { .. } | EffectError::Unknown { .. }) => {
                self.in_vain.store(0, Ordering::Relaxed);
                None
            }
            Err(error) => {
                self.in_vain.fetch_add(1, Ordering::Relaxed);
                *lock(&self.unanswered).entry(error.why().to_owned()).or_default() += 1;
                None
            }
        };
        lock(&self.answers).insert(key, fact.clone());
        (fact, true)
    }

    fn gave_up(&self) -> bool {
        self.in_vain.load(Ordering::Relaxed) >= MOST_IN_VAIN
    }

    pub(super) fn unanswered(&self) -> Unanswered {
        Unanswered { why: lock(&self.unanswered).clone(), gave_up: self.gave_up() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
