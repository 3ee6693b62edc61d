//! hotglue is asked for the jobs of many places.

use std::time::Duration;

use domain::action::Place;
use domain::config::Config;
use effects::{EffectError, World};
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::missing::Found;
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
    pub(super) found: Vec<(Place, Found)>,
    /// Of which hotglue lists as many jobs as were asked for, none of them older than the time.
    pub(super) cut: Vec<Place>,
    /// Of which hotglue shows no list, as of a tenant that is gone.
    pub(super) unlisted: usize,
    pub(super) unanswered: Vec<(Place, String)>,
}

/// Asks for the newest so many jobs of each place, no faster than the configuration lets a worker ask. `read` keeps of a list
/// what is wanted: all lists together may be large.
pub(super) async fn all(
    world: &World,
    config: &Config,
    places: Vec<Place>,
    newest: u32,
    read: impl Fn(&Place, Vec<Value>) -> Found,
) -> Asked {
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
            Ok(jobs) => {
                asked.unlisted += usize::from(jobs.is_none());
                let jobs = jobs.unwrap_or_default();
                let is_full = jobs.len() >= usize::try_from(newest).unwrap_or(usize::MAX);
                let found = read(&place, jobs);
                if is_full && !found.reaches_back {
                    asked.cut.push(place.clone());
                }
                asked.found.push((place, found));
            }
            Err(error) => asked.unanswered.push((place, error.why().to_owned())),
        }
    }
    bar.finish_and_clear();
    asked.found.sort_by(|(one, _), (other, _)| one.cmp(other));
    asked.cut.sort();
    asked.unanswered.sort();
    asked
}

async fn ask(world: &World, place: &Place, newest: u32) -> Result<Option<Vec<Value>>, EffectError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match world.jobs(place, newest).await {
            Ok(jobs) => return Ok(jobs),
            Err(EffectError::Transient { after, .. }) if tries < TRIES => {
                sleep(after.unwrap_or(PAUSE).min(LONGEST_PAUSE)).await;
            }
            Err(error) => return Err(error),
        }
    }
}
