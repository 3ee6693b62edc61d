//! What is allowed in a rulebook, and can't or hardly be meant: rules that never act, rules that are there twice, steps
//! that contradict each other, texts that can't be written.

mod logic;
mod rehearsal;

use std::collections::BTreeSet;

use serde::Serialize;

use self::logic::{Conditions, in_one_way};
pub use self::rehearsal::Rehearsal;
use super::read::{Compiled, CompiledAction, CompiledStep};
use super::scenario::Scenario;
use super::{Mode, Of, Rule, Rulebook, StepRule};
use crate::config::Complaint;
use crate::event::Kind;

/// How bad is it?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It can't be meant: the rule can't do what it says.
    Error,
    /// It may be meant.
    Warning,
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something found in a rulebook that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub complaint: Complaint,
}

impl Rulebook {
    /// What can't or hardly be meant, in the order of the file. Rules that are off are left alone.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut lint = Lint { book: self, found: self.doubts.clone() };
        lint.all();
        sorted(lint.found)
    }

    /// All that is found: what [`Self::findings`] sees, and what the events of these scenarios show.
    #[must_use]
    pub fn review(&self, scenarios: &[(String, Scenario)]) -> Rehearsal {
        let Rehearsal { findings, tried } = self.rehearse(scenarios);
        let mut findings = [self.findings(), findings].concat();
        // What a scenario proves need not be suspected, too.
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        let errors: BTreeSet<_> = errors.filter_map(|finding| finding.complaint.at).collect();
        findings.retain(|finding| {
            finding.severity == Severity::Error || finding.complaint.at.is_none_or(|at| !errors.contains(&at))
        });
        Rehearsal { findings: sorted(findings), tried }
    }

    /// Plays the events of scenarios, each with its name, to see whether the conditions and texts of rules that match can be evaluated.
    #[must_use]
    pub fn rehearse(&self, scenarios: &[(String, Scenario)]) -> Rehearsal {
        rehearsal::rehearse(self, scenarios)
    }
}

fn sorted(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| finding.complaint.at);
    found.dedup();
    found
}

/// One rule with both its sides.
#[derive(Clone, Copy)]
struct Sides<'b> {
    rule: &'b Rule,
    compiled: &'b Compiled,
}

impl<'b> Sides<'b> {
    fn all(book: &'b Rulebook) -> Vec<Self> {
        let all = book.rules.iter().zip(&book.compiled);
        all.map(|(rule, compiled)| Self { rule, compiled })
            .filter(|sides| sides.rule.mode != Mode::Off)
            .collect()
    }

    fn conditions(&self) -> Conditions {
        let on = Conditions::on(&self.rule.on);
        self.rule.when.iter().fold(on, |all, line| all.and(line, true))
    }

    /// Does it match wherever these hold for events that all of `rules` are about?
    fn always_where(&self, conditions: &Conditions, rules: &[&Rule]) -> bool {
        let kinds = Kind::ALL.into_iter().filter(|kind| rules.iter().all(|rule| rule.on.contains(kind)));
        self.rule.mode == Mode::Live
            && self.rule.changed.is_none()
            && kinds.into_iter().all(|kind| self.rule.on.contains(&kind))
            && self.rule.when.iter().all(|line| conditions.imply(line))
    }

    fn schedule_steps(&self) -> Vec<ScheduleStep<'b>> {
        let steps = self.compiled.steps.iter().zip(&self.rule.steps).enumerate();
        steps
            .filter_map(|(number, (compiled, step))| match compiled.action {
                CompiledAction::SetSchedule { of, enabled } => {
                    Some(ScheduleStep { number: number + 1, of, enabled, compiled, when: &step.when })
                }
                _ => None,
            })
            .collect()
    }
}

struct ScheduleStep<'b> {
    /// From 1.
    number: usize,
    of: Of,
    enabled: bool,
    compiled: &'b CompiledStep,
    when: &'b [String],
}

impl ScheduleStep<'_> {
    /// Do both set the same schedule, one on and one off?
    fn opposes(&self, other: &Self) -> bool {
        let same = self.of == other.of || self.of == Of::All || other.of == Of::All;
        same && self.enabled != other.enabled
    }

    /// Is it taken wherever these hold?
    fn implied_by(&self, conditions: &Conditions, rule: &Rule) -> bool {
        rule.changed.is_none() && rule.when.iter().chain(self.when).all(|line| conditions.imply(line))
    }

    fn under(&self, conditions: Conditions) -> Conditions {
        self.when.iter().fold(conditions, |all, line| all.and(line, true))
    }
}

struct Lint<'b> {
    book: &'b Rulebook,
    found: Vec<Finding>,
}

impl Lint<'_> {
    fn say(&mut self, severity: Severity, at: usize, sentence: String) {
        let complaint = Complaint::at_offset(&self.book.text, at, sentence);
        self.found.push(Finding { severity, complaint });
    }

    fn all(&mut self) {
        let rules = Sides::all(self.book);
        for (number, sides) in rules.iter().enumerate() {
            let name = &sides.rule.name;
            self.nothing_to_do(sides);
            self.nothing_to_fold(sides);
            if self.never(sides) {
                continue;
            }
            self.own_schedules(sides);
            self.own_twice(sides);
            if let Some(earlier) = rules[..number].iter().find(|earlier| same(earlier, sides)) {
                let sentence = format!(
                    "rule `{name}` is rule `{}` once more: it does the same on the same events; leave one",
                    earlier.rule.name
                );
                self.say(Severity::Error, sides.compiled.at, sentence);
                continue;
            }
            for earlier in &rules[..number] {
                self.opposed(earlier, sides, &rules);
            }
            self.silent(sides, &rules);
        }
    }

    fn nothing_to_do(&mut self, sides: &Sides<'_>) {
        let rule = sides.rule;
        if rule.steps.is_empty() && rule.instead_of.is_empty() {
            let sentence = format!("rule `{}` does nothing: it has no [[rule.do]]", rule.name);
            self.say(Severity::Warning, sides.compiled.at, sentence);
        }
    }

    fn nothing_to_fold(&mut self, sides: &Sides<'_>) {
        let posts =
            sides.compiled.steps.iter().any(|step| matches!(step.action, CompiledAction::Slack { .. }));
        if let Some(at) = sides.compiled.fold_at.filter(|_| !posts) {
            let sentence = format!(
                "rule `{}`, fold: it has no effect, because the rule posts nothing to Slack",
                sides.rule.name
            );
            self.say(Severity::Warning, at, sentence);
        }
    }

    /// A rule, or a step of it, whose conditions exclude each other.
    fn never(&mut self, sides: &Sides<'_>) -> bool {
        let mut conditions = Conditions::on(&sides.rule.on);
        for (line, compiled) in sides.rule.when.iter().zip(&sides.compiled.when) {
            conditions = conditions.and(line, true);
            if !conditions.possible() {
                let sentence = format!(
                    "rule `{}` can never match: this line can't hold together with what stands before it",
                    sides.rule.name
                );
                self.say(Severity::Error, compiled.at(), sentence);
                return true;
            }
        }
        self.undocumented(sides);
        for (number, (step, compiled)) in sides.rule.steps.iter().zip(&sides.compiled.steps).enumerate() {
            let under = step.when.iter().fold(conditions.clone(), |all, line| all.and(line, true));
            if !under.possible() {
                let sentence = format!(
                    "rule `{}`, step {} ({}) is never taken: its `when` can't hold where the rule matches",
                    sides.rule.name,
                    number + 1,
                    step.action.word()
                );
                self.say(Severity::Error, compiled.at, sentence);
            }
        }
        false
    }

    /// A rule that takes kinds of events that do not have what it looks for.
    fn undocumented(&mut self, sides: &Sides<'_>) {
        let mut conditions = Conditions::on(&sides.rule.on);
        for (line, compiled) in sides.rule.when.iter().zip(&sides.compiled.when) {
            conditions = conditions.and(line, true);
            if !conditions.documented() {
                let on: Vec<_> = sides.rule.on.iter().map(|kind| kind.as_str()).collect();
                let sentence = format!(
                    "rule `{}` matches nothing that hotglue is known to send: this line asks for a status that comes with another kind of events than {}; mend `on` or the line",
                    sides.rule.name,
                    on.join(" and ")
                );
                self.say(Severity::Warning, compiled.at(), sentence);
                return;
            }
        }
    }

    /// Steps of one rule that turn one schedule on and off.
    fn own_schedules(&mut self, sides: &Sides<'_>) {
        let steps = sides.schedule_steps();
        for (number, step) in steps.iter().enumerate() {
            for earlier in steps[..number].iter().filter(|earlier| earlier.opposes(step)) {
                let conditions = sides.conditions();
                let always =
                    [step, earlier].iter().all(|step| step.when.iter().all(|line| conditions.imply(line)));
                let (name, one, two) = (&sides.rule.name, earlier.number, step.number);
                if always {
                    let sentence = format!(
                        "rule `{name}`, steps {one} and {two} turn the same schedule on and off: neither is ever taken"
                    );
                    self.say(Severity::Error, step.compiled.at, sentence);
                } else if earlier.under(step.under(conditions)).possible() {
                    let sentence = format!(
                        "rule `{name}`, steps {one} and {two} turn the same schedule on and off; when both conditions hold, neither is taken and the event is buried"
                    );
                    self.say(Severity::Warning, step.compiled.at, sentence);
                }
            }
        }
    }

    /// Steps of one rule that do the same: it is done once.
    fn own_twice(&mut self, sides: &Sides<'_>) {
        let steps = &sides.rule.steps;
        let under =
            |step: &StepRule| step.when.iter().fold(sides.conditions(), |all, line| all.and(line, true));
        let covers = |one: &StepRule, other: &StepRule| {
            let conditions = under(other);
            one.when.iter().all(|line| conditions.imply(line))
        };
        for (number, (step, compiled)) in steps.iter().zip(&sides.compiled.steps).enumerate() {
            let earlier = steps[..number].iter().position(|earlier| {
                action_in_one_way(earlier) == action_in_one_way(step)
                    && (covers(earlier, step) || covers(step, earlier))
            });
            let Some(earlier) = earlier else { continue };
            let sentence = format!(
                "rule `{}`, step {} ({}) is step {} once more: it is done once; leave one",
                sides.rule.name,
                number + 1,
                step.action.word(),
                earlier + 1
            );
            // The earlier one may be there for its place in the order.
            let severity = if covers(&steps[earlier], step) { Severity::Error } else { Severity::Warning };
            self.say(severity, compiled.at, sentence);
        }
    }

    /// Two rules that can match the same event and want the opposite of one schedule: an error where one matches wherever
    /// the other does.
    fn opposed(&mut self, one: &Sides<'_>, two: &Sides<'_>, rules: &[Sides<'_>]) {
        let silences = |a: &Rule, b: &Rule| a.mode == Mode::Live && a.instead_of.contains(&b.name);
        if silences(one.rule, two.rule) || silences(two.rule, one.rule) {
            return;
        }
        if one.rule.mode != Mode::Live || two.rule.mode != Mode::Live {
            return;
        }
        let third = |rule: &&Sides<'_>| silences(rule.rule, one.rule) || silences(rule.rule, two.rule);
        let thirds: Vec<_> = rules.iter().filter(third).collect();
        let mut worst = None;
        for step in two.schedule_steps() {
            for earlier in one.schedule_steps().iter().filter(|earlier| earlier.opposes(&step)) {
                let both = earlier.under(step.under(one.conditions().and_all(&two.conditions())));
                let silenced = |third: &&Sides<'_>| third.always_where(&both, &[one.rule, two.rule]);
                if !both.possible() || thirds.iter().copied().any(|third| silenced(&third)) {
                    continue;
                }
                let (first, second) = (step.under(two.conditions()), earlier.under(one.conditions()));
                let surely = thirds.is_empty()
                    && (within(&two.rule.on, &one.rule.on) && earlier.implied_by(&first, one.rule)
                        || within(&one.rule.on, &two.rule.on) && step.implied_by(&second, two.rule));
                let severity = if surely { Severity::Error } else { Severity::Warning };
                if worst.is_none_or(|(worst, _)| severity < worst) {
                    worst = Some((severity, step.compiled.at));
                }
            }
        }
        let Some((severity, at)) = worst else { return };
        let which = match severity {
            Severity::Error => "one matches wherever the other does, and then",
            Severity::Warning => "an event that both match is buried, and",
        };
        let sentence = format!(
            "rules `{}` and `{}` want the opposite of one schedule; {which} neither is taken: let one name the other in instead_of, or tell their conditions apart",
            one.rule.name, two.rule.name
        );
        self.say(severity, at, sentence);
    }

    /// A rule that another one silences whenever it matches; and names in `instead_of` that have no effect.
    fn silent(&mut self, sides: &Sides<'_>, rules: &[Sides<'_>]) {
        let (name, conditions) = (&sides.rule.name, sides.conditions());
        let silencer = rules.iter().find(|other| {
            other.rule.instead_of.contains(name) && other.always_where(&conditions, &[sides.rule])
        });
        if let Some(silencer) = silencer {
            let sentence = format!(
                "rule `{name}` never acts: wherever it matches, `{}` matches too and keeps it silent by instead_of",
                silencer.rule.name
            );
            self.say(Severity::Error, sides.compiled.at, sentence);
        }
        for (other, at) in sides.rule.instead_of.iter().zip(&sides.compiled.instead_of_at) {
            let Some(silenced) = rules.iter().find(|rule| rule.rule.name == *other) else { continue };
            if !conditions.clone().and_all(&silenced.conditions()).possible() {
                let sentence = format!("rule `{name}`, instead_of: `{other}` never matches the same event");
                self.say(Severity::Warning, *at, sentence);
            }
        }
    }
}

/// Do two rules do the same on the same events?
fn same(one: &Sides<'_>, other: &Sides<'_>) -> bool {
    let changed = |rule: &Rule| rule.changed.as_deref().map(in_one_way);
    let each_implies = |a: &Sides<'_>, b: &Sides<'_>| {
        let conditions = a.conditions();
        within(&a.rule.on, &b.rule.on) && b.rule.when.iter().all(|line| conditions.imply(line))
    };
    one.rule.mode == other.rule.mode
        && changed(one.rule) == changed(other.rule)
        && steps(one.rule) == steps(other.rule)
        && each_implies(one, other)
        && each_implies(other, one)
}

fn within(kinds: &[Kind], others: &[Kind]) -> bool {
    kinds.iter().all(|kind| others.contains(kind))
}

/// What is done, in any order and however it is spaced and quoted.
fn steps(rule: &Rule) -> BTreeSet<String> {
    let step = |step: &StepRule| {
        let when: BTreeSet<_> = step.when.iter().map(|line| in_one_way(line)).collect();
        format!("{} {when:?}", action_in_one_way(step))
    };
    rule.steps.iter().map(step).collect()
}

fn action_in_one_way(step: &StepRule) -> String {
    let action = format!("{:?}", step.action).replace("\\\"", "'");
    action.split_whitespace().collect::<Vec<_>>().join(" ")
}
