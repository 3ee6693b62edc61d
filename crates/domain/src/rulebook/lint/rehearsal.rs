//! Rules tried on the events of scenarios.

use std::collections::BTreeSet;

use super::{Finding, Severity, Sides, sorted};
use crate::config::Complaint;
use crate::facts::{Fact, Facts, Need, Schedule};
use crate::plan::Verdict;
use crate::rulebook::context::Context;
use crate::rulebook::decide::{self, Fate, Opposite};
use crate::rulebook::language::{Condition, Evaluated, Text};
use crate::rulebook::read::{CompiledAction, CompiledStep};
use crate::rulebook::scenario::{Scenario, Staged};
use crate::rulebook::{Case, Rulebook};

/// More rounds of asking than any sensible rule needs.
const ROUNDS: usize = 8;

/// What came of playing scenarios.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rehearsal {
    pub findings: Vec<Finding>,
    /// Rules that matched in some scenario, so that their texts were tried.
    pub tried: BTreeSet<String>,
}

pub(super) fn rehearse(book: &Rulebook, scenarios: &[(String, Scenario)]) -> Rehearsal {
    let mut rehearsal = Rehearsal::default();
    for (file, scenario) in scenarios {
        for staged in scenario.staged() {
            // What a scenario does not answer is answered in two ways.
            for kindly in [true, false] {
                let facts = complete(book, &staged, kindly);
                let scene = format!("in the scenario \"{}\" of {file}", staged.says);
                play(book, &staged.with(&facts), &scene, &mut rehearsal);
            }
        }
    }
    rehearsal.findings = sorted(rehearsal.findings);
    // One scenario is enough to show what is wrong with a line.
    rehearsal.findings.dedup_by(|later, earlier| {
        later.complaint.at == earlier.complaint.at && later.severity == earlier.severity
    });
    rehearsal
}

fn complete(book: &Rulebook, staged: &Staged<'_>, kindly: bool) -> Facts {
    let mut facts = staged.facts.clone();
    for _ in 0..ROUNDS {
        let Err(needs) = book.decide(&staged.with(&facts)) else { break };
        needs.iter().for_each(|need| facts.learn(answer(need, kindly)));
    }
    facts
}

fn answer(need: &Need, kindly: bool) -> Fact {
    let names = |name: &str| if kindly { Vec::new() } else { vec![name.to_owned()] };
    match need {
        Need::Config => Fact::Config { problems: names("/field is missing") },
        Need::State => Fact::State { is_null: kindly },
        Need::LinkedSources => Fact::LinkedSources(names("source")),
        Need::LinkedTargets => Fact::LinkedTargets(names("target")),
        Need::Schedule => Fact::Schedule(
            (!kindly)
                .then(|| Schedule { expression: "cron(0 6 * * *)".to_owned(), state: "ENABLED".to_owned() }),
        ),
        Need::LastValue { rule } => Fact::LastValue { rule: rule.clone(), value: None },
    }
}

fn play(book: &Rulebook, case: &Case<'_>, scene: &str, rehearsal: &mut Rehearsal) {
    let context = Context::new(case, false);
    let apart = decide::apart(book, case, &context);
    opposed(book, &decide::opposites(&apart), scene, rehearsal);
    let fates = decide::fates(book, case, &context);
    for ((rule, compiled), fate) in book.rules.iter().zip(&book.compiled).zip(&fates) {
        let Fate::Settled { verdict, .. } = fate else { continue };
        let mut say = |severity, at, sentence: String| {
            let sentence = format!("rule `{}`, {sentence}", rule.name);
            let complaint = Complaint::at_offset(&book.text, at, sentence);
            rehearsal.findings.push(Finding { severity, complaint });
        };
        match verdict {
            Verdict::NotHeld { line, why: Some(why) } => {
                let at = compiled.when.get(line.saturating_sub(1)).map_or(compiled.at, Condition::at);
                say(Severity::Warning, at, format!("when line {line} can't be evaluated {scene}: {why}"));
            }
            Verdict::Matched { .. } | Verdict::Shadow { .. } => {
                rehearsal.tried.insert(rule.name.clone());
            }
            Verdict::Broken { .. } => {
                rehearsal.tried.insert(rule.name.clone());
                let sides = Sides { rule, compiled };
                for (at, sentence) in faults(book, sides, case, &context) {
                    say(Severity::Error, at, format!("{sentence} {scene}"));
                }
            }
            Verdict::Off
            | Verdict::OtherKind
            | Verdict::NotHeld { why: None, .. }
            | Verdict::Unchanged
            | Verdict::Silenced { .. } => {}
        }
    }
}

/// Rules that both match and want the opposite of one schedule: said of the later one.
fn opposed(book: &Rulebook, opposites: &[Opposite], scene: &str, rehearsal: &mut Rehearsal) {
    for Opposite { rule, other, .. } in opposites.iter().filter(|opposite| opposite.rule >= opposite.other) {
        let (Some(one), Some(two)) = (book.rules.get(*other), book.rules.get(*rule)) else { continue };
        let Some(compiled) = book.compiled.get(*rule) else { continue };
        let sets = |step: &&CompiledStep| matches!(step.action, CompiledAction::SetSchedule { .. });
        let at = compiled.steps.iter().find(sets).map_or(compiled.at, |step| step.at);
        let sentence = if rule == other {
            format!("rule `{}` turns one schedule on and off {scene}: it is not taken", two.name)
        } else {
            format!(
                "rules `{}` and `{}` want the opposite of one schedule {scene}: neither is taken; let one name the other in instead_of, or tell their conditions apart",
                one.name, two.name
            )
        };
        let complaint = Complaint::at_offset(&book.text, at, sentence);
        rehearsal.findings.push(Finding { severity: Severity::Error, complaint });
    }
}

/// Which lines and texts of a rule that can't be carried out are at fault. None when its settings are.
fn faults(book: &Rulebook, sides: Sides<'_>, case: &Case<'_>, context: &Context) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if let Some(changed) = &sides.compiled.changed
        && let Evaluated::Wrong(why) = changed.value(case, context)
    {
        found.push((changed.at(), format!("changed: {why},")));
    }
    for (number, (step, compiled)) in sides.rule.steps.iter().zip(&sides.compiled.steps).enumerate() {
        let place = format!("step {} ({})", number + 1, step.action.word());
        let mut taken = true;
        for condition in &compiled.when {
            match condition.holds(case, context) {
                Evaluated::Value(holds) => taken &= holds,
                Evaluated::Asks(_) => taken = false,
                Evaluated::Wrong(why) => {
                    found
                        .push((condition.at(), format!("{place}: its condition can't be evaluated: {why},")));
                    taken = false;
                }
            }
            if !taken {
                break;
            }
        }
        if !taken {
            continue;
        }
        for text in texts(&compiled.action) {
            if let Evaluated::Wrong(why) = book.texts.render(text, case, context) {
                found.push((text.at(), format!("{place}: its text can't be written: {why},")));
            }
        }
        if let CompiledAction::Slack { text, .. } = &compiled.action
            && let Evaluated::Value(written) = book.texts.render(text, case, context)
            && written.is_empty()
        {
            found.push((text.at(), format!("{place}: its text comes out empty")));
        }
    }
    found
}

fn texts(action: &CompiledAction) -> Vec<&Text> {
    match action {
        CompiledAction::Slack { channel, text } => channel.iter().chain([text]).collect(),
        CompiledAction::SetSchedule { .. } => Vec::new(),
        CompiledAction::LinkTarget { target } => target.iter().collect(),
        CompiledAction::RunJob { tap, name } => vec![tap, name],
    }
}
