//! What the rules of today would do with events of yesterday.

mod limits;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use bus::replay::Selected;
use domain::config::Config;
use domain::facts::{Facts, Need, Needs};
use domain::journal::{Outcome, StepState, counted_as};
use domain::names::EventId;
use domain::plan::Verdict;
use domain::rulebook::{Case, Outlook, RuleOutlook, Rulebook};
use jiff::Timestamp;
use serde::Serialize;
use store::Store;

use self::limits::{Limits, Pause};
use crate::events::short;
use crate::explain;
use crate::output::{bold, clean, count, dim, first_line, yellow};

/// Events that are shown one by one.
const SHOWN: usize = 20;

/// What is to be done with the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Purpose {
    /// Decide everything anew.
    #[default]
    Anew,
    /// Go on with what failed, in the run in which it did.
    Resume,
    /// Post them to a developer's machine.
    Post,
}

/// Works out what would come of an event.
#[derive(Debug)]
pub(super) struct Planner<'a> {
    pub(super) purpose: Purpose,
    /// Events of which nothing failed are left out.
    pub(super) only_failed: bool,
    pub(super) config: &'a Config,
    pub(super) rulebook: &'a Rulebook,
    /// Knows which facts were read when the event was decided.
    pub(super) log: Option<&'a Store>,
    pub(super) run: &'a str,
    pub(super) now: Timestamp,
    /// Events and rules of which something is held.
    pub(super) held: BTreeSet<(EventId, String)>,
}

/// What is held, of all rules.
pub(super) async fn held(log: &Store) -> Result<BTreeSet<(EventId, String)>> {
    let mut held = BTreeSet::new();
    for paused in log.paused().await? {
        let steps = log.held(&paused.rule).await?;
        held.extend(steps.into_iter().map(|step| (step.event, paused.rule.clone())));
    }
    Ok(held)
}

/// What would come of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct EventPlan {
    sequence: u64,
    id: String,
    kind: &'static str,
    status: String,
    tenant: String,
    received_at: Timestamp,
    steps: Vec<StepPlan>,
    /// What must be known first, and nobody knows yet.
    would_ask: Vec<String>,
    /// Rules in shadow mode that would match.
    shadow: Vec<String>,
    /// Rules of which something is held of this event: it gives way to what they decide now.
    gives_way: Vec<String>,
    /// Facts of the recorded decision were used: hotglue may say otherwise by now.
    with_recorded_facts: bool,
    /// The run that is gone on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_in: Option<String>,
    /// Steps of that run that are done, and stay so.
    #[serde(skip_serializing_if = "is_zero")]
    done: usize,
    /// The tenant as limits count it.
    #[serde(skip)]
    counted_as: String,
    /// Where something must be known first: rules that act all the same, and those that depend on it.
    #[serde(skip)]
    act: Vec<String>,
    #[serde(skip)]
    may_act: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct StepPlan {
    rule: String,
    action: &'static str,
    summary: String,
}

impl Planner<'_> {
    /// None when the event is left out, because nothing of it failed.
    pub(super) async fn plan(&self, selected: &Selected) -> Result<Option<EventPlan>> {
        match self.purpose {
            Purpose::Anew => self.decide(selected).await.map(Some),
            Purpose::Resume => self.resume(selected).await,
            Purpose::Post if self.only_failed && self.resume(selected).await?.is_none() => Ok(None),
            Purpose::Post => Ok(Some(self.bare(selected))),
        }
    }

    /// What is known of an event without deciding.
    fn bare(&self, selected: &Selected) -> EventPlan {
        let event = explain::read(&selected.envelope, self.config);
        let counted_as = counted_as(&event);
        EventPlan {
            sequence: selected.sequence,
            id: event.id.to_string(),
            kind: event.kind.as_str(),
            status: event.status,
            tenant: event.tenant,
            received_at: event.received_at,
            steps: Vec::new(),
            would_ask: Vec::new(),
            shadow: Vec::new(),
            gives_way: Vec::new(),
            with_recorded_facts: false,
            decided_in: None,
            done: 0,
            counted_as,
            act: Vec::new(),
            may_act: Vec::new(),
        }
    }

    /// What failed of an event, by the event log.
    async fn resume(&self, selected: &Selected) -> Result<Option<EventPlan>> {
        let log = self.log.context("only the event log knows what failed")?;
        let Some(record) = log.event(selected.envelope.id.as_str()).await? else { return Ok(None) };
        let Some(last) = record.attempts.iter().max_by_key(|attempt| (attempt.at, attempt.number)) else {
            return Ok(None);
        };
        if !matches!(last.outcome, Outcome::Dead | Outcome::Retrying) {
            return Ok(None);
        }
        let of_run = format!("{}/{}/", selected.envelope.id, last.run);
        let (mut steps, mut done) = (Vec::new(), 0);
        for step in record.steps.iter().filter(|step| step.step.key.as_str().starts_with(&of_run)) {
            match step.state {
                StepState::Done | StepState::Superseded => done += 1,
                // A person decides about these elsewhere, or a storm's message tells them.
                StepState::Held | StepState::Dropped | StepState::Folded => {}
                StepState::Pending
                | StepState::Claimed
                | StepState::Failed
                | StepState::Unknown
                | StepState::Skipped => steps.push(StepPlan {
                    rule: step.step.rule.clone(),
                    action: step.step.action.word(),
                    summary: step.step.action.summary(),
                }),
            }
        }
        let decided_in = Some(last.run.clone());
        Ok(Some(EventPlan { steps, done, decided_in, ..self.bare(selected) }))
    }

    async fn decide(&self, selected: &Selected) -> Result<EventPlan> {
        let event = explain::read(&selected.envelope, self.config);
        let flow = self.config.hotglue.flow(&event.flow_id);
        let none = Facts::default();
        let mut case = Case {
            event: &event,
            facts: &none,
            flow: &flow,
            date_format: &self.config.hotglue.date_format,
            run: self.run,
            replayed: true,
            now: self.now,
        };
        let (mut decided, mut with_recorded_facts) = (self.rulebook.decide(&case), false);
        let recorded = if decided.is_err() { self.recorded(event.id.as_str()).await? } else { None };
        if let Some(facts) = &recorded {
            case.facts = facts;
            (decided, with_recorded_facts) = (self.rulebook.decide(&case), true);
        }
        let mut planned = EventPlan { with_recorded_facts, ..self.bare(selected) };
        match decided {
            Ok(plan) => {
                let shadow =
                    plan.verdicts.iter().filter(|rule| matches!(rule.verdict, Verdict::Shadow { .. }));
                planned.shadow = shadow.map(|rule| rule.rule.clone()).collect();
                let steps = plan.steps.into_iter().map(|step| StepPlan {
                    rule: step.rule,
                    action: step.action.word(),
                    summary: step.action.summary(),
                });
                planned.steps = steps.collect();
            }
            Err(needs) => {
                planned.would_ask = names(&needs);
                for RuleOutlook { rule, outlook, .. } in self.rulebook.outlooks(&case) {
                    match outlook {
                        Outlook::Acts(actions) if !actions.is_empty() => planned.act.push(rule.to_owned()),
                        Outlook::Unknown(_) => planned.may_act.push(rule.to_owned()),
                        Outlook::Acts(_)
                        | Outlook::Shadow(_)
                        | Outlook::Broken { .. }
                        | Outlook::NotEvaluated { .. } => {}
                    }
                }
            }
        }
        let acts =
            |rule: &str| !planned.would_ask.is_empty() || planned.steps.iter().any(|step| step.rule == rule);
        let of_event = self.held.iter().filter(|(held, rule)| *held == event.id && acts(rule));
        planned.gives_way = of_event.map(|(_, rule)| rule.clone()).collect();
        Ok(planned)
    }

    async fn recorded(&self, id: &str) -> Result<Option<Facts>> {
        let Some(log) = self.log else { return Ok(None) };
        let record = log.event(id).await?;
        let facts = record.and_then(|record| record.decisions.last().map(|decision| decision.facts.clone()));
        Ok(facts.filter(|facts| !facts.is_empty()))
    }
}

fn names(needs: &Needs) -> Vec<String> {
    let name = |need: &Need| match need {
        Need::Config => "config".to_owned(),
        Need::State => "state".to_owned(),
        Need::LinkedSources => "linked sources".to_owned(),
        Need::LinkedTargets => "linked targets".to_owned(),
        Need::Schedule => "schedule".to_owned(),
        Need::LastValue { rule } => format!("the last value of {rule}"),
    };
    needs.iter().map(name).collect()
}

/// An event that is to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its sequence in `HOOKS`.
    pub(super) sequence: u64,
    pub(super) id: String,
    /// The run that is gone on with; none where everything is decided anew.
    pub(super) decided_in: Option<String>,
}

/// All events, the first of them one by one.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) purpose: Purpose,
    pub(super) items: Vec<Item>,
    /// Of these nothing failed.
    pub(super) sound: usize,
    /// No longer in the stream.
    pub(super) gone: usize,
    /// Messages in the stream that are no events.
    pub(super) unreadable: u64,
    shown: Vec<EventPlan>,
    actions: BTreeMap<&'static str, usize>,
    no_step: usize,
    would_ask: usize,
    /// Events of which something is held that gives way.
    gives_way: usize,
    recorded_facts: usize,
    limits: Limits,
}

/// A plan for other programs.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    /// None when nothing was replayed.
    run: Option<&'a str>,
    events: usize,
    replayed: usize,
    /// In the same run before.
    replayed_before: usize,
    gone: usize,
    unreadable: u64,
    actions: &'a BTreeMap<&'static str, usize>,
    without_steps: usize,
    would_ask: usize,
    would_pause: Vec<Pause<'a>>,
    /// Depending on what hotglue says then.
    may_pause: Vec<Pause<'a>>,
    first: &'a [EventPlan],
}

impl Plan {
    /// `rulebook`: the one that is to decide anew.
    pub(super) fn new(purpose: Purpose, rulebook: &Rulebook) -> Self {
        let limits = if purpose == Purpose::Anew { Limits::of(rulebook) } else { Limits::default() };
        Self { purpose, limits, ..Self::default() }
    }

    pub(super) fn take(&mut self, event: Option<EventPlan>) {
        let Some(event) = event else {
            self.sound += 1;
            return;
        };
        self.items.push(Item {
            sequence: event.sequence,
            id: event.id.clone(),
            decided_in: event.decided_in.clone(),
        });
        for step in &event.steps {
            *self.actions.entry(step.action).or_default() += 1;
            self.limits.note(&step.rule, &event.counted_as);
        }
        event.act.iter().for_each(|rule| self.limits.note(rule, &event.counted_as));
        event.may_act.iter().for_each(|rule| self.limits.note_perhaps(rule, &event.counted_as));
        self.recorded_facts += usize::from(event.with_recorded_facts);
        self.gives_way += usize::from(!event.gives_way.is_empty());
        match (event.steps.is_empty(), event.would_ask.is_empty()) {
            (_, false) => self.would_ask += 1,
            (true, true) => self.no_step += 1,
            (false, true) => {}
        }
        if self.shown.len() < SHOWN {
            self.shown.push(event);
        }
    }

    pub(super) fn report<'a>(&'a self, run: Option<&'a str>, replayed: usize, before: usize) -> Report<'a> {
        Report {
            run,
            events: self.items.len(),
            replayed,
            replayed_before: before,
            gone: self.gone,
            unreadable: self.unreadable,
            actions: &self.actions,
            without_steps: self.no_step,
            would_ask: self.would_ask,
            would_pause: self.limits.would_pause(),
            may_pause: self.limits.may_pause(),
            first: &self.shown,
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.shown.iter().flat_map(|event| of_event(event, self.purpose)).collect();
        let more = self.items.len().saturating_sub(self.shown.len());
        if more > 0 {
            lines.push(dim(format!("… and {more} more")));
        }
        lines.push(String::new());
        let events = count(self.items.len(), "event");
        lines.push(bold(match self.purpose {
            Purpose::Anew => format!("{events} by the rules of today:"),
            Purpose::Resume => format!("{events} to be gone on with, each where it failed:"),
            Purpose::Post => return [lines, vec![bold(events)]].concat(),
        }));
        lines.extend(self.actions.iter().map(|(action, times)| format!("  {action} {times}×")));
        let no_step = match self.purpose {
            Purpose::Resume => "that failed before a step was planned, and are decided then",
            Purpose::Anew | Purpose::Post => "without anything to do",
        };
        for (number, what) in
            [(self.no_step, no_step), (self.would_ask, "whose steps depend on what hotglue says then")]
        {
            if number > 0 {
                lines.push(format!("  {} {what}", count(number, "event")));
            }
        }
        lines
    }

    /// What a reader must know beside the plan.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.recorded_facts > 0 {
            let events = count(self.recorded_facts, "event");
            notes.push(format!("for {events} what hotglue had said then was used; it will be asked again"));
        }
        if self.gives_way > 0 {
            let events = count(self.gives_way, "event");
            notes.push(format!(
                "of {events} something is held by a paused rule: it gives way to what the rule decides now, and is not done as well"
            ));
        }
        notes.extend(self.limits.notes(self.would_ask > 0));
        if self.sound > 0 {
            notes.push(format!("left out: {} of which nothing failed", count(self.sound, "event")));
        }
        if self.gone > 0 {
            notes.push(format!("left out: {}, no longer in the stream", count(self.gone, "event")));
        }
        if self.unreadable > 0 {
            notes.push(format!("left out: {} in the stream that can't be read", self.unreadable));
        }
        notes
    }
}

fn of_event(event: &EventPlan, purpose: Purpose) -> Vec<String> {
    let mut head = format!("{} {} {}", event.sequence, short(&event.id), event.kind);
    for text in [&event.status, &event.tenant] {
        if !text.is_empty() {
            head.push_str(&format!(" {}", clean(text)));
        }
    }
    let mut lines = vec![format!(
        "{head} {}",
        dim(format!("received {}", event.received_at.strftime("%Y-%m-%d %H:%M:%SZ")))
    )];
    for step in &event.steps {
        lines.push(format!("    {} {} {}", clean(&step.rule), bold(step.action), first_line(&step.summary)));
    }
    if event.done > 0 {
        lines.push(dim(format!("    {} done already, and not done again", count(event.done, "step"))));
    }
    if purpose == Purpose::Post {
        return lines;
    }
    if !event.would_ask.is_empty() {
        let asked = yellow(format!("would ask hotglue for: {}", clean(&event.would_ask.join(", "))));
        lines.push(format!("    {asked}"));
    } else if event.steps.is_empty() {
        lines.push(dim(match purpose {
            Purpose::Resume => "    nothing was decided yet",
            Purpose::Anew | Purpose::Post => "    nothing to do",
        }));
    }
    lines.extend(event.gives_way.iter().map(|rule| {
        yellow(format!("    what is held of {} gives way to this, and is not done as well", clean(rule)))
    }));
    lines.extend(
        event.shadow.iter().map(|rule| dim(format!("    {} would match in shadow mode", clean(rule)))),
    );
    lines
}

#[cfg(test)]
mod tests;
