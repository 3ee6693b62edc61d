//! Puts what was planned into the queue of replays.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bus::dead::ReviveError;
use bus::replay::Selected;
use bus::replay::runs::Queued;
use bus::{Bus, dead};
use domain::names::EventId;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::bar;
use super::plan::{Item, Plan, Purpose};
use crate::output;

/// Events that are on their way to the queue at once.
const AT_ONCE: usize = 64;
/// Most dead letters that are looked through.
const MOST_LETTERS: usize = 10_000;

/// How far publishing got.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// In the order of the queue.
    pub(super) queued: Vec<Queued>,
    /// Those of them that lay there before: the run was interrupted, and is gone on with.
    pub(super) already: usize,
    /// No longer in the stream.
    pub(super) gone: usize,
    pub(super) stopped: Option<anyhow::Error>,
}

/// Publishes in the order of the stream, many at once. Ctrl-C stops it. `now` is before the first of them.
pub(super) async fn publish(bus: &Bus, run: &str, plan: &Plan, now: Timestamp) -> Published {
    let letters = match plan.purpose {
        Purpose::Resume => letters(bus).await,
        Purpose::Anew | Purpose::Post => BTreeMap::new(),
    };
    let bar = bar("replaying");
    bar.set_length(plan.items.len().try_into().unwrap_or(u64::MAX));
    let mut answers = stream::iter(&plan.items)
        .map(|item| async move {
            let selected = bus::replay::get(bus, item.sequence).await.context("reading an event")?;
            anyhow::Ok((item, selected))
        })
        .buffered(AT_ONCE)
        .map(|read| async {
            let (item, selected) = read?;
            let Some(selected) = selected else { return Ok(None) };
            let letters = of(&letters, item);
            let published = match &item.decided_in {
                None => bus::replay::publish(bus, run, &selected).await?,
                Some(decided_in) => go_on(bus, run, decided_in, &selected, letters).await?,
            };
            let queued = Queued {
                sequence: published.sequence,
                of: selected.sequence,
                id: Some(selected.envelope.id),
                decided_in: item.decided_in.clone().unwrap_or_else(|| run.to_owned()),
                stored_at: now,
                letter: !letters.is_empty(),
            };
            anyhow::Ok(Some((queued, published.duplicate)))
        })
        .buffered(AT_ONCE);
    let mut done = Published::default();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let next = tokio::select! {
            biased;
            _ = &mut interrupted => Err(anyhow::anyhow!("interrupted")),
            next = answers.try_next() => next,
        };
        match next {
            Ok(Some(Some((queued, already)))) => {
                done.queued.push(queued);
                done.already += usize::from(already);
            }
            Ok(Some(None)) => done.gone += 1,
            Ok(None) => break,
            Err(error) => {
                done.stopped = Some(error);
                break;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    done.queued.sort_by_key(|queued| queued.sequence);
    done
}

/// Has an event gone on with. Its newest dead letter goes back to work as by `dead retry`, and comes back if the run is called
/// off; older ones of the same run say nothing that it doesn't.
async fn go_on(
    bus: &Bus,
    run: &str,
    decided_in: &str,
    selected: &Selected,
    letters: &[u64],
) -> anyhow::Result<bus::Published> {
    let revived = match letters.iter().max() {
        Some(newest) => match dead::revive_in(bus, run, *newest).await {
            Ok(published) => Some(published),
            // Someone was faster.
            Err(ReviveError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let Some(published) = revived else {
        return Ok(bus::replay::resume(bus, run, decided_in, selected).await?);
    };
    for letter in letters {
        // One that stays is a dead letter with nothing left to do. The newest is gone already.
        if let Err(error) = dead::discard(bus, *letter).await {
            output::note(format!("dead letter {letter} stays where it is: {error}"));
        }
    }
    Ok(published)
}

/// Sequences of the dead letters by event and run.
type Letters = BTreeMap<(EventId, String), Vec<u64>>;

async fn letters(bus: &Bus) -> Letters {
    let mut letters = Letters::new();
    match dead::list(bus, MOST_LETTERS).await {
        Ok(list) => {
            for letter in list {
                if let Some(id) = letter.id() {
                    letters.entry((id.clone(), letter.run.clone())).or_default().push(letter.sequence);
                }
            }
        }
        Err(error) => output::note(format!("dead letters stay where they are: {error}")),
    }
    letters
}

fn of<'a>(letters: &'a Letters, item: &Item) -> &'a [u64] {
    let key = item.decided_in.as_ref().map(|run| (EventId::from_text(item.id.as_str()), run.clone()));
    key.and_then(|key| letters.get(&key)).map_or(&[], Vec::as_slice)
}
