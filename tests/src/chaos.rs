//! Nothing lost, nothing twice: real processes under a load, someone who kills, stops and starves them, and a tally when all
//! is quiet again. Every random choice comes from one seed. Start reading at [`run`], then `scenario.rs` and `tally.rs`.

mod broker;
mod disturb;
mod house;
pub mod load;
mod process;
pub mod scenario;
mod steps;
pub mod tally;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use domain::journal::Outcome;
use fastrand::Rng;
use sandbox::Change;
use tokio::time::{Instant, sleep};

use self::house::House;
use self::load::Load;
use self::scenario::Scenario;
use self::tally::{Seen, Tally, tally};
use crate::stage::{ENV, FLOW};

/// Longest wait for anything that the house should do by itself.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One run of one scenario.
#[derive(Debug)]
pub struct Round {
    pub scenario: Scenario,
    /// Kills, stops and the like.
    pub blows: usize,
    pub tally: Tally,
}

/// Runs a scenario for `length` and then until all is quiet. Everything that was written lies under `home` afterwards.
///
/// # Panics
/// When a process does not come up again by itself.
pub async fn run(scenario: Scenario, home: &Path, length: Duration, seed: u64) -> Round {
    let mut dice = Rng::with_seed(seed);
    let mut house = House::start(home, scenario.needs(), &Load::tenants()).await;
    let mut load = Load::new(house.hooks(), dice.u64(..));
    let done = disturb::disturb(scenario, &mut house, &mut load, &mut dice, length).await;
    let mended = disturb::mend(scenario, &mut house).await;
    house.expects(&load);
    house.quiet().await;
    let mut tally = tally(&look(&house, load).await);
    let complaints = done.complaints.into_iter().chain(mended.err());
    tally.violations.extend(complaints.map(|complaint| format!("wrong: {complaint}")));
    if scenario.refuses_nothing() && tally.refused > 0 {
        tally
            .violations
            .push(format!("wrong: {} requests were not answered 2xx, and none may be", tally.refused));
    }
    let most = most_admitted(scenario, tally.steps);
    if tally.admitted > most {
        let admitted = tally.admitted;
        tally.violations.push(format!("wrong: {admitted} steps say that they are uncertain, and {most} may"));
    }
    Round { scenario, blows: done.blows, tally }
}

/// How many steps may say of themselves that their effect is uncertain: none where no call and no worker was interrupted. A
/// house that called everything uncertain would keep all other promises.
fn most_admitted(scenario: Scenario, steps: usize) -> usize {
    match scenario {
        Scenario::Calm
        | Scenario::IngestKilled
        | Scenario::BrokerKilled
        | Scenario::BrokerAway
        | Scenario::SlowedDown
        | Scenario::SpoolBrokerAway
        | Scenario::SpoolDiskFull
        | Scenario::ManyWorkers => 0,
        _ => steps / 3,
    }
}

async fn look(house: &House, load: Load) -> Seen {
    let mut seen = Seen { waiting: house.waiting().await, texts: house.slack.texts(), ..Seen::default() };
    for effect in house.hotglue.effects() {
        match effect.change {
            Change::JobStarted { job_name, .. } => seen.jobs.push(job_name),
            Change::SchedulePut { .. } => seen.schedule_changes += 1,
            Change::TargetLinked { .. } | Change::ConfigSet => {}
        }
    }
    let letters = house.letters_in_the_end().await;
    seen.letters =
        letters.iter().filter_map(|letter| Some((letter.id()?.to_string(), letter.run.clone()))).collect();
    let log = house.log().await.expect("the event log can be read");
    for row in house.rows().await.expect("the event log can be read") {
        let id = row.event.id.to_string();
        let record = log.event(&id).await.expect("an event can be read").expect("it is there");
        seen.log.insert(id, record);
    }
    for tenant in load.sent.iter().map(|sent| &sent.tenant).collect::<BTreeSet<_>>() {
        if let Some(schedule) = house.hotglue.tenant(ENV, FLOW, tenant).schedule(None) {
            seen.schedules.insert(tenant.clone(), schedule.is_on());
        }
        let scope = format!("{ENV}/{FLOW}/{tenant}");
        if let Ok(Some(value)) = log.last_value("news", &scope).await {
            // It is kept as JSON.
            seen.news.insert(tenant.clone(), value.trim_matches('"').to_owned());
        }
    }
    log.close().await;
    seen.sent = load.sent;
    seen
}

impl House {
    /// Waits until every event that must have an end has one, and the queue is empty. What has not by then is counted.
    async fn quiet(&self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.waiting().await == Some(0) && self.all_ended().await {
                return;
            }
            sleep(LOOK_EVERY * 5).await;
        }
    }

    /// The dead letters, as soon as they can be read: a cluster that has just lost a node may not answer at once, and a list
    /// that was not read is no empty one.
    async fn letters_in_the_end(&self) -> Vec<bus::dead::DeadLetter> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(letters) = self.letters().await {
                return letters;
            }
            assert!(Instant::now() < deadline, "the dead letters can't be read");
            sleep(LOOK_EVERY).await;
        }
    }

    async fn all_ended(&self) -> bool {
        let Some(rows) = self.rows().await else { return false };
        let ended: BTreeSet<_> = rows
            .iter()
            .filter(|row| !matches!(row.outcome, Outcome::Open | Outcome::Retrying))
            .map(|row| row.event.id.as_str())
            .collect();
        ended.len() == rows.len() && self.expected.iter().all(|id| ended.contains(id.as_str()))
    }
}

/// Waits until something holds.
///
/// # Panics
/// When it does not come to that.
async fn reached(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "it did not come to that: {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// The figures of all rounds, by scenario, and in all.
#[must_use]
pub fn table(rounds: &[Round]) -> String {
    const HEADS: [&str; 14] = [
        "scenario", "runs", "blows", "posted", "2xx", "not 2xx", "in log", "steps", "effects", "dead",
        "admitted", "lost", "repeated", "broken",
    ];
    let mut lines = vec![HEADS.map(str::to_owned)];
    let figures = |name: &str, rounds: &[&Round]| {
        let sum = |of: fn(&Round) -> usize| rounds.iter().map(|round| of(round)).sum::<usize>().to_string();
        [
            name.to_owned(),
            rounds.len().to_string(),
            sum(|round| round.blows),
            sum(|round| round.tally.posted),
            sum(|round| round.tally.answered),
            sum(|round| round.tally.refused),
            sum(|round| round.tally.logged),
            sum(|round| round.tally.steps),
            sum(|round| round.tally.effects),
            sum(|round| round.tally.dead),
            sum(|round| round.tally.admitted),
            sum(|round| round.tally.lost),
            sum(|round| round.tally.repeated),
            sum(|round| round.tally.violations.len()),
        ]
    };
    for scenario in Scenario::ALL {
        let of_it: Vec<_> = rounds.iter().filter(|round| round.scenario == scenario).collect();
        if !of_it.is_empty() {
            lines.push(figures(scenario.name(), &of_it));
        }
    }
    lines.push(figures("all", &rounds.iter().collect::<Vec<_>>()));
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..HEADS.len()).map(width).collect();
    let row = |line: &[String; HEADS.len()]| {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(place, (cell, width))| match place {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    lines.iter().map(row).collect::<Vec<_>>().join("\n")
}
