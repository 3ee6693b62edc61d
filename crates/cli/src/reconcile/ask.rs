//! hotglue is asked for the jobs of many places.

use std::time::Duration;

use domain::action::Place;
use domain::config::Config;
use effects::{EffectError, World};
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::page::bar;

/// Questions under way at once.
const AT_ONCE: usize = 4;
/// So often a question is asked that hotglue did not answer.
const TRIES: u32 = 3;
/// Between two tries, unless hotglue asks for more; and the longest that is waited for it.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What hotglue said.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) jobs: Vec<(Place, Vec<Value>)>,
    pub(super) unanswered: Vec<(Place, String)>,
}

/// Asks for the newest so many jobs of each place, no faster than the configuration lets a worker ask.
pub(super) async fn all(world: &World, config: &Config, places: Vec<Place>, newest: u32) -> Asked {
    let apart = config.hotglue.max_per_second.map(|most| Duration::from_secs(1) / most.get());
    let begun = Instant::now();
    let bar = bar("asking hotglue", places.len().try_into().unwrap_or(u64::MAX));
    let mut asked = Asked::default();
    let mut answers = stream::iter((0..).zip(places))
        .map(|(number, place)| async move {
            // Each has its own time, which comes later the more there are.
            sleep_until(begun + apart.unwrap_or_default() * number).await;
            let answer = ask(world, &place, newest).await;
            (place, answer)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((place, answer)) = answers.next().await {
        bar.inc(1);
        match answer {
            Ok(jobs) => asked.jobs.push((place, jobs)),
            Err(error) => asked.unanswered.push((place, error.why().to_owned())),
        }
    }
    bar.finish_and_clear();
    asked.jobs.sort_by(|(one, _), (other, _)| one.cmp(other));
    asked.unanswered.sort();
    asked
}

/// A tenant of which hotglue shows no list has no jobs.
async fn ask(world: &World, place: &Place, newest: u32) -> Result<Vec<Value>, EffectError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match world.jobs(place, newest).await {
            Ok(jobs) => return Ok(jobs.unwrap_or_default()),
            Err(EffectError::Transient { after, .. }) if tries < TRIES => {
                sleep(after.unwrap_or(PAUSE).min(LONGEST_PAUSE)).await;
            }
            Err(error) => return Err(error),
        }
    }
}
