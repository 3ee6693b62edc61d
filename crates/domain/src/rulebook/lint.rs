//! What is allowed in a rulebook, and can't or hardly be meant: rules that never act, rules that are there twice, steps
//! that contradict each other, texts that can't be written.

mod logic;
mod rehearsal;

use serde::Serialize;

use self::logic::Conditions;
pub use self::rehearsal::Rehearsal;
use super::read::{Compiled, CompiledAction, CompiledStep};
use super::scenario::Scenario;
use super::{Mode, Of, Rule, Rulebook};
use crate::config::Complaint;

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
        let warning =
            |complaint: &Complaint| Finding { severity: Severity::Warning, complaint: complaint.clone() };
        let mut lint = Lint { book: self, found: self.doubts.iter().map(warning).collect() };
        lint.all();
        sorted(lint.found)
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
            if let Some(earlier) = rules[..number].iter().find(|earlier| same(earlier.rule, sides.rule)) {
                let sentence = format!(
                    "rule `{name}` is rule `{}` once more: it does the same on the same events; leave one",
                    earlier.rule.name
                );
                self.say(Severity::Error, sides.compiled.at, sentence);
                continue;
            }
            for earlier in &rules[..number] {
                self.opposed(earlier, sides);
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

    /// Two rules that can match the same event and want the opposite of one schedule.
    fn opposed(&mut self, one: &Sides<'_>, two: &Sides<'_>) {
        let silences = |a: &Rule, b: &Rule| a.mode == Mode::Live && a.instead_of.contains(&b.name);
        if silences(one.rule, two.rule) || silences(two.rule, one.rule) {
            return;
        }
        if one.rule.mode != Mode::Live || two.rule.mode != Mode::Live {
            return;
        }
        for step in two.schedule_steps() {
            let opposite = one.schedule_steps().into_iter().find(|earlier| {
                let both = one.conditions().and_all(&two.conditions());
                earlier.opposes(&step) && earlier.under(step.under(both)).possible()
            });
            if opposite.is_some() {
                let sentence = format!(
                    "rules `{}` and `{}` want the opposite of one schedule; an event that both match is buried, and neither is taken: let one name the other in instead_of, or tell their conditions apart",
                    one.rule.name, two.rule.name
                );
                self.say(Severity::Warning, step.compiled.at, sentence);
                return;
            }
        }
    }

    /// A rule that another one silences whenever it matches; and names in `instead_of` that have no effect.
    fn silent(&mut self, sides: &Sides<'_>, rules: &[Sides<'_>]) {
        let (name, conditions) = (&sides.rule.name, sides.conditions());
        let silencer = rules.iter().find(|other| {
            other.rule.mode == Mode::Live
                && other.rule.changed.is_none()
                && other.rule.instead_of.contains(name)
                && sides.rule.on.iter().all(|kind| other.rule.on.contains(kind))
                && other.rule.when.iter().all(|line| conditions.imply(line))
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
fn same(one: &Rule, other: &Rule) -> bool {
    let set = |lines: &[String]| -> std::collections::BTreeSet<String> {
        lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    one.mode == other.mode
        && one.on.len() == other.on.len()
        && one.on.iter().all(|kind| other.on.contains(kind))
        && set(&one.when) == set(&other.when)
        && one.changed == other.changed
        && one.steps == other.steps
}
