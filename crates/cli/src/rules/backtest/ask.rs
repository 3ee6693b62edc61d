//! Facts that were not read then, asked of hotglue now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use domain::action::Place;
use domain::event::Event;
use domain::facts::{Fact, Need};
use effects::{EffectError, World};
use tokio::runtime::Handle;

use crate::Misused;
use crate::files::{self, Loaded};

/// Asks each question once.
#[derive(Debug)]
pub(super) struct Asking {
    world: World,
    runtime: Handle,
    /// None: hotglue refuses to say, as of a tenant that is gone.
    answers: Mutex<HashMap<(Place, Need), Option<Fact>>>,
}

impl Asking {
    pub(super) fn new(Loaded { config, base }: &Loaded) -> Result<Self, Misused> {
        effects::install_crypto();
        // Slack is asked nothing, so its secret need not be there.
        let mut config = config.clone();
        config.slack = None;
        let world = World::build(&config, base, &|reference| files::resolve(base, reference))
            .map_err(|said| Misused(said.join("\n")))?;
        Ok(Self { world, runtime: Handle::current(), answers: Mutex::default() })
    }

    /// Blocks until hotglue has answered; none when it refuses to. Also tells whether it was asked.
    ///
    /// # Errors
    /// When hotglue can't be reached: going on would count everything as unknown.
    pub(super) fn answer(&self, event: &Event, need: &Need) -> Result<(Option<Fact>, bool)> {
        let (env_id, flow_id, tenant) = (event.env_id.clone(), event.flow_id.clone(), event.tenant.clone());
        let key = (Place { env_id, flow_id, tenant }, need.clone());
        if let Some(fact) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok((fact.clone(), false));
        }
        let fact = match self.runtime.block_on(self.world.observe(&key.0, need)) {
            Ok(fact) => Some(fact),
            Err(EffectError::Permanent { .. } | EffectError::Unknown { .. }) => None,
            Err(error) => {
                let asked = || format!("hotglue was asked about event {}", event.id);
                return Err(anyhow!("{}", error.why())).with_context(asked);
            }
        };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(key, fact.clone());
        Ok((fact, true))
    }
}
