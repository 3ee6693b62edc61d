//! What went in, what came of it, and whether that is what was promised. A function of values, so that it can be tried
//! on houses that lie.

use std::collections::{BTreeMap, BTreeSet};

use domain::action::Action;
use domain::journal::{EventRecord, Outcome, StepRecord, StepState};
use domain::plan::LIVE;

use super::load::{Kind, Sent};

/// Everything that could be seen when all was quiet again.
#[derive(Debug, Default)]
pub struct Seen {
    pub sent: Vec<Sent>,
    /// By id.
    pub log: BTreeMap<String, EventRecord>,
    /// In Slack.
    pub texts: Vec<String>,
    /// Names of the jobs at hotglue.
    pub jobs: Vec<String>,
    /// How often a schedule was set at hotglue.
    pub schedule_changes: usize,
    /// Of each tenant at hotglue, in the end.
    pub schedules: BTreeMap<String, bool>,
    /// What the rule `news` remembers of each tenant.
    pub news: BTreeMap<String, String>,
    /// Event and run of each dead letter.
    pub letters: Vec<(String, String)>,
    /// In the queue; none when it did not say.
    pub waiting: Option<u64>,
}

/// The figures of a run, and every promise that was broken.
#[derive(Debug, Default)]
pub struct Tally {
    pub posted: usize,
    /// Events that were answered 2xx at least once.
    pub answered: usize,
    /// Answers that were none, or no 2xx.
    pub refused: usize,
    pub logged: usize,
    /// Done in the ledger.
    pub steps: usize,
    /// Messages, jobs and changes of schedules seen by the doubles.
    pub effects: usize,
    pub dead: usize,
    /// Steps that say themselves that their effect may be there twice, or may not be there.
    pub admitted: usize,
    pub lost: usize,
    pub repeated: usize,
    /// One sentence each.
    pub violations: Vec<String>,
}

impl Tally {
    fn lost(&mut self, why: &str) {
        self.lost += 1;
        self.violations.push(format!("lost: {why}"));
    }

    fn repeated(&mut self, why: &str) {
        self.repeated += 1;
        self.violations.push(format!("repeated: {why}"));
    }

    fn wrong(&mut self, why: &str) {
        self.violations.push(format!("wrong: {why}"));
    }
}

/// Counts, and compares with what was promised.
#[must_use]
pub fn tally(seen: &Seen) -> Tally {
    let mut tally = Tally { posted: seen.sent.len(), logged: seen.log.len(), ..Tally::default() };
    let known: BTreeSet<&str> = seen.sent.iter().map(|sent| sent.id.as_str()).collect();
    for id in seen.log.keys().filter(|id| !known.contains(id.as_str())) {
        tally.wrong(&format!("event {id} is in the log, and nobody posted it"));
    }
    for sent in &seen.sent {
        tally.answered += usize::from(sent.stored > 0);
        tally.refused += sent.refused + sent.unanswered;
        for complaint in &sent.complaints {
            tally.wrong(&format!("event {}: {complaint}", sent.id));
        }
        match seen.log.get(&sent.id) {
            Some(record) => ended(&mut tally, sent, record),
            None if sent.stored > 0 => {
                tally.lost(&format!("event {} was answered 2xx and is not in the log", sent.id))
            }
            None => {}
        }
    }
    letters(&mut tally, seen);
    messages(&mut tally, seen);
    jobs(&mut tally, seen);
    newest(&mut tally, seen);
    if seen.waiting != Some(0) {
        tally.wrong(&format!("the queue holds {:?} events when all is quiet", seen.waiting));
    }
    tally.effects = seen.texts.len() + seen.jobs.len() + seen.schedule_changes;
    tally
}

fn ended(tally: &mut Tally, sent: &Sent, record: &EventRecord) {
    let outcome = record.row.outcome;
    let meant = match sent.kind {
        Kind::Quiet => Outcome::NoRule,
        Kind::Poison => Outcome::Dead,
        Kind::Failed | Kind::Completed | Kind::Start => Outcome::Done,
    };
    if outcome != meant {
        let what = format!(
            "event {} ({:?}) is {}, not {}: {}",
            sent.id,
            sent.kind,
            outcome.as_str(),
            meant.as_str(),
            record.row.why.as_deref().unwrap_or("no reason is told")
        );
        match outcome {
            Outcome::Open | Outcome::Retrying | Outcome::Folded => tally.lost(&what),
            // No rule of chaos has a limit, and nobody throws anything away.
            Outcome::NoRule
            | Outcome::Done
            | Outcome::Dead
            | Outcome::Held
            | Outcome::Discarded
            | Outcome::Dropped => tally.wrong(&what),
        }
    }
    tally.dead += usize::from(outcome == Outcome::Dead);
    for step in &record.steps {
        match step.state {
            StepState::Done => tally.steps += 1,
            StepState::Pending | StepState::Claimed | StepState::Folded => {
                tally.lost(&format!("step {} is {}", step.step.key.as_str(), step.state.as_str()));
            }
            StepState::Failed | StepState::Skipped | StepState::Held | StepState::Dropped => {
                tally.wrong(&format!(
                    "step {} is {}: {}",
                    step.step.key.as_str(),
                    step.state.as_str(),
                    step.error.as_deref().unwrap_or_default()
                ))
            }
            StepState::Unknown | StepState::Superseded => {}
        }
        tally.admitted += usize::from(step.perhaps_twice || step.state == StepState::Unknown);
    }
    // Independent of what was decided: the rules are known here too.
    for word in words(sent.kind) {
        if !record.steps.iter().any(|step| step.step.action.word() == *word) {
            tally.lost(&format!("event {} ({:?}) has no step {word}", sent.id, sent.kind));
        }
    }
}

fn words(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Quiet | Kind::Poison => &[],
        Kind::Failed => &["slack", "disable_schedule"],
        Kind::Completed => &["enable_schedule"],
        Kind::Start => &["enable_schedule", "run_job", "slack"],
    }
}

/// One for each event that was given up, and for each replay of it that was given up as well.
fn letters(tally: &mut Tally, seen: &Seen) {
    let mut letters: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (id, run) in &seen.letters {
        *letters.entry((id, run)).or_default() += 1;
    }
    for (id, record) in &seen.log {
        let is_dead = record.row.outcome == Outcome::Dead;
        let live = letters.get(&(id.as_str(), LIVE)).copied().unwrap_or(0);
        if is_dead && live == 0 {
            tally.lost(&format!("event {id} is dead, and has no dead letter"));
        }
        if !is_dead && live > 0 {
            tally.wrong(&format!("event {id} is {}, and has a dead letter", record.row.outcome.as_str()));
        }
    }
    for ((id, run), count) in letters {
        if !seen.log.contains_key(id) {
            tally.lost(&format!("a dead letter is about event {id}, which is not in the log"));
        }
        if count > 1 {
            tally.wrong(&format!("event {id} has {count} dead letters of run {run}"));
        }
    }
}

/// At least and at most so many effects.
#[derive(Debug, Default, Clone, Copy)]
struct Bounds(usize, usize);

impl Bounds {
    /// What one step that must not be repeated may come to.
    fn add(&mut self, step: &StepRecord) {
        let (least, most) = match step.state {
            StepState::Done if step.perhaps_twice => (1, 2),
            StepState::Done => (1, 1),
            // It says so itself.
            StepState::Unknown => (0, 2),
            // A failure that came after a lost answer.
            StepState::Failed => (0, 1),
            // Reported already.
            StepState::Pending | StepState::Claimed | StepState::Folded => (0, 2),
            StepState::Superseded | StepState::Skipped | StepState::Held | StepState::Dropped => (0, 0),
        };
        self.0 += least;
        self.1 += most;
    }
}

fn messages(tally: &mut Tally, seen: &Seen) {
    let mut bounds: BTreeMap<&str, Bounds> = BTreeMap::new();
    for step in seen.log.values().flat_map(|record| &record.steps) {
        if let Action::Slack { text, .. } = &step.step.action {
            bounds.entry(text).or_default().add(step);
        }
    }
    compare(tally, "message", &seen.texts, bounds);
}

fn jobs(tally: &mut Tally, seen: &Seen) {
    let mut bounds: BTreeMap<&str, Bounds> = BTreeMap::new();
    for step in seen.log.values().flat_map(|record| &record.steps) {
        if let Action::RunJob { name, .. } = &step.step.action {
            let bound = bounds.entry(name).or_default();
            bound.add(step);
            // Its name is its identity, however often it is asked for: never a second one.
            *bound = Bounds(bound.0.min(1), 1);
        }
    }
    compare(tally, "job", &seen.jobs, bounds);
}

fn compare(tally: &mut Tally, what: &str, there: &[String], bounds: BTreeMap<&str, Bounds>) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in there {
        *counts.entry(one).or_default() += 1;
    }
    for (name, Bounds(least, most)) in bounds {
        let count = counts.remove(name).unwrap_or(0);
        if count < least {
            tally.lost(&format!("{what} {name:?} is there {count} times, and by the ledger {least}"));
        }
        if count > most {
            tally.repeated(&format!(
                "{what} {name:?} is there {count} times, and by the ledger {most} at most"
            ));
        }
    }
    for name in counts.keys() {
        tally.wrong(&format!("{what} {name:?} is there, and no step says so"));
    }
}

/// What the newest event of each tenant says is what is left.
fn newest(tally: &mut Tally, seen: &Seen) {
    let mut newest: BTreeMap<&str, &Sent> = BTreeMap::new();
    for sent in &seen.sent {
        let done = seen.log.get(&sent.id).is_some_and(|record| record.row.outcome == Outcome::Done);
        if done && sent.schedule().is_some() {
            let last = newest.entry(&sent.tenant).or_insert(sent);
            if sent.at > last.at {
                *last = sent;
            }
        }
    }
    for (tenant, sent) in newest {
        let state = seen.schedules.get(tenant).copied();
        if state != sent.schedule() {
            tally.wrong(&format!(
                "the schedule of {tenant} is {state:?}, but its newest event {} says {:?}",
                sent.id,
                sent.schedule()
            ));
        }
        let news = seen.news.get(tenant).map(String::as_str);
        if news != Some(sent.status()) {
            tally.wrong(&format!(
                "what is remembered of {tenant} is {news:?}, but its newest event {} says {:?}",
                sent.id,
                sent.status()
            ));
        }
    }
}

#[cfg(test)]
mod tests;
