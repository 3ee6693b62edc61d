//! Dead letters whose event has ended well since, in another run: to retry them does everything a second time.

use std::collections::BTreeMap;

use anyhow::Result;
use bus::dead::DeadLetter;
use domain::journal::{Attempt, Outcome};
use store::{Access, Store};

use crate::Common;

/// By the letter's sequence, the run in which its event has ended well since.
#[derive(Debug, Default)]
pub(super) struct Since(BTreeMap<u64, String>);

impl Since {
    /// None where no event log is at hand: nobody else knows.
    pub(super) async fn of(common: &Common, letters: &[DeadLetter]) -> Result<Option<Self>> {
        if letters.is_empty() {
            return Ok(Some(Self::default()));
        }
        let Ok(store) = Store::open(&common.store.database_url, Access::Reader).await else {
            return Ok(None);
        };
        let mut found = BTreeMap::new();
        for letter in letters {
            let Some(id) = letter.id() else { continue };
            let Some(record) = store.event(id.as_str()).await? else { continue };
            if let Some(run) = ended_well(letter, &record.attempts) {
                found.insert(letter.sequence, run.to_owned());
            }
        }
        store.close().await;
        Ok(Some(Self(found)))
    }

    pub(super) fn run(&self, letter: &DeadLetter) -> Option<&str> {
        self.0.get(&letter.sequence).map(String::as_str)
    }
}

/// Times are those of the event log, where it knows of the death: the queue's clock may be another.
fn ended_well<'a>(letter: &DeadLetter, attempts: &'a [Attempt]) -> Option<&'a str> {
    let deaths = attempts.iter().filter(|it| it.run == letter.run && it.outcome == Outcome::Dead);
    let died = deaths.map(|attempt| attempt.at).max().unwrap_or(letter.buried_at);
    let is_well = |it: &&Attempt| {
        it.run != letter.run && it.at > died && matches!(it.outcome, Outcome::Done | Outcome::Folded)
    };
    attempts.iter().filter(is_well).max_by_key(|attempt| attempt.at).map(|attempt| attempt.run.as_str())
}
