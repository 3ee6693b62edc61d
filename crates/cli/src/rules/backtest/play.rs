//! Events are decided about once more, on all processors; those of one tenant by one of them, in their order.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use domain::backtest::{Deeds, Report, Side, compare, done};
use domain::config::{Config, FlowSettings};
use domain::envelope::{Envelope, Source};
use domain::event::{self, Event};
use domain::facts::{Facts, Need};
use domain::journal::Recorded;
use domain::plan::LIVE;
use domain::rulebook::{Case, Rulebook};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Played;
use super::ask::Asking;

/// Pages that may wait for a player.
const WAITING: usize = 4;
/// More rounds of asking than any sensible rule needs.
const ROUNDS: usize = 8;

/// What all players share.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) config: Config,
    pub(super) new: Rulebook,
    pub(super) old: Option<Rulebook>,
    pub(super) asking: Option<Asking>,
    pub(super) examples: usize,
}

pub(super) struct Players {
    players: Vec<Hired>,
    examples: usize,
}

/// Where pages are handed to, and what comes of them.
type Hired = (mpsc::Sender<Vec<Recorded>>, JoinHandle<Played>);

impl Players {
    pub(super) fn start(setup: &Arc<Setup>) -> Self {
        let number = std::thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let (hand, mut pages) = mpsc::channel::<Vec<Recorded>>(WAITING);
            let setup = setup.clone();
            let playing = tokio::task::spawn_blocking(move || {
                let mut player = Player::new(&setup);
                while let Some(page) = pages.blocking_recv() {
                    page.into_iter().for_each(|recorded| player.play(recorded));
                }
                player.played
            });
            (hand, playing)
        };
        Self { players: (0..number).map(start).collect(), examples: setup.examples }
    }

    /// False when a player has given up.
    pub(super) async fn hand_out(&self, page: Vec<Recorded>) -> bool {
        let mut parts: Vec<Vec<Recorded>> = self.players.iter().map(|_| Vec::new()).collect();
        for recorded in page {
            let mut hash = DefaultHasher::new();
            (&recorded.env_id, &recorded.flow_id, &recorded.tenant).hash(&mut hash);
            // The remainder is less than the number of parts, so it is a place in them.
            let place = hash.finish() % parts.len() as u64;
            parts[usize::try_from(place).unwrap_or_default()].push(recorded);
        }
        for (part, (hand, _)) in parts.into_iter().zip(&self.players) {
            if hand.send(part).await.is_err() {
                return false;
            }
        }
        true
    }

    pub(super) async fn end(self) -> Result<Played> {
        let (hands, playing): (Vec<_>, Vec<_>) = self.players.into_iter().unzip();
        drop(hands);
        let mut all = Played::default();
        for player in playing {
            let played = player.await.context("deciding about the events broke off")?;
            all.report.add(played.report, self.examples);
            all.undecided += played.undecided;
            all.unreadable += played.unreadable;
            all.asked += played.asked;
            all.other_settings += played.other_settings;
            all.touches.add(played.touches);
        }
        Ok(all)
    }
}

struct Player<'s> {
    setup: &'s Setup,
    new: Side<'s>,
    old: Option<Side<'s>>,
    /// Settings of flows, which are put together once.
    flows: HashMap<String, FlowSettings>,
    played: Played,
}

impl<'s> Player<'s> {
    fn new(setup: &'s Setup) -> Self {
        let old = setup.old.as_ref().map(Side::new);
        Self { setup, new: Side::new(&setup.new), old, flows: HashMap::new(), played: Played::default() }
    }

    fn play(&mut self, recorded: Recorded) {
        if recorded.rulebook.is_none() && self.old.is_none() {
            self.played.undecided += 1;
            return;
        }
        let (row, id, tenant) = (recorded.row, recorded.id.clone(), recorded.tenant.clone());
        let decided = recorded.decision.as_ref().map(done).unwrap_or_default();
        let then = recorded.decision.as_ref().and_then(|decision| decision.flow.clone());
        let (before, after) = match self.read(recorded) {
            Some((event, facts, now)) => {
                let flows = &mut self.flows;
                let config = &self.setup.config.hotglue;
                if !flows.contains_key(&event.flow_id) {
                    flows.insert(event.flow_id.clone(), config.flow(&event.flow_id));
                }
                let today = &flows[&event.flow_id];
                let is_other = then.as_ref().is_some_and(|then| !then.differing(today).is_empty());
                self.played.other_settings += u64::from(is_other);
                let then = then.filter(|_| is_other).map(|then| then.settings());
                let scene = Scene {
                    setup: self.setup,
                    event: &event,
                    flow: then.as_ref().unwrap_or(today),
                    recorded: &facts,
                    now,
                };
                let before = match &mut self.old {
                    Some(old) => scene.see(old, &mut self.played.asked),
                    None => decided,
                };
                let after = scene.see(&mut self.new, &mut self.played.asked);
                self.played.touches.note(&self.setup.new, (row, now), &event, &after);
                (before, after)
            }
            // No rule is about such an event.
            None if self.old.is_none() => (decided, Deeds::new()),
            None => (Deeds::new(), Deeds::new()),
        };
        let differences = compare(&before, &after);
        let report: &mut Report = &mut self.played.report;
        report.count((row, &id, &tenant), (&before, &after), differences, self.setup.examples);
    }

    fn read(&mut self, recorded: Recorded) -> Option<(Event, Facts, jiff::Timestamp)> {
        let (body, source) = (recorded.body?, Source::from_text(&recorded.source)?);
        let now = recorded.decided_at.unwrap_or(recorded.received_at);
        let facts = recorded.decision.map(|decision| decision.facts).unwrap_or_default();
        let envelope = Envelope::unsealed_from_queue(
            recorded.id,
            recorded.endpoint,
            source,
            recorded.received_at,
            String::new(),
            Vec::new(),
            Bytes::from(body),
        );
        match event::read(&envelope, &self.setup.config.hotglue.failed_records) {
            Ok(event) => Some((event, facts, now)),
            Err(_) => {
                self.played.unreadable += 1;
                None
            }
        }
    }
}

/// An event to be seen by a rulebook.
struct Scene<'a> {
    setup: &'a Setup,
    event: &'a Event,
    flow: &'a FlowSettings,
    recorded: &'a Facts,
    now: jiff::Timestamp,
}

impl Scene<'_> {
    fn see(&self, side: &mut Side<'_>, asked: &mut u64) -> Deeds {
        let mut facts = side.facts(self.event, self.recorded);
        if let Some(asking) = &self.setup.asking {
            for _ in 0..ROUNDS {
                let needs = side.needs(&self.case(&facts));
                if needs.is_empty() {
                    break;
                }
                for need in needs.iter().filter(|need| !matches!(need, Need::LastValue { .. })) {
                    let (fact, was_asked) = asking.answer(self.event, need);
                    *asked += u64::from(was_asked);
                    fact.into_iter().for_each(|fact| facts.learn(fact));
                }
            }
        }
        side.see(&self.case(&facts))
    }

    fn case<'a>(&'a self, facts: &'a Facts) -> Case<'a> {
        Case {
            event: self.event,
            facts,
            flow: self.flow,
            date_format: &self.setup.config.hotglue.date_format,
            run: LIVE,
            replayed: false,
            now: self.now,
        }
    }
}
