//! An explanation as a person reads it.

use domain::journal::{StepRecord, StepState};
use domain::plan::Verdict;
use domain::rulebook::{LineExplanation, RuleExplanation, StepExplanation};
use jiff::Timestamp;

use super::Explained;
use crate::events::{facts, verdict};
use crate::output::{bold, clean, dim, first_line, green, red, stamp, yellow};

pub(super) fn lines(explained: &Explained, now: Timestamp, for_person: bool) -> Vec<String> {
    let mut lines = vec![bold(&explained.headline)];
    lines.push(match explained.decided_at {
        Some(at) => format!(
            "decided {} in run {} by rulebook {}",
            stamp(at, now, for_person),
            clean(&explained.run),
            clean(&explained.explanation.rulebook)
        ),
        None => format!("as rulebook {} sees it", clean(&explained.explanation.rulebook)),
    });
    lines.extend(explained.notes.iter().map(|note| yellow(format!("note: {note}"))));
    lines.extend(facts(&explained.facts));
    for rule in &explained.explanation.rules {
        lines.push(String::new());
        lines.extend(of_rule(rule, explained));
    }
    lines.push(String::new());
    lines.extend(conclusion(&explained.explanation.rules));
    lines
}

fn of_rule(rule: &RuleExplanation, explained: &Explained) -> Vec<String> {
    let mark = match &rule.verdict {
        Some(said) => verdict(said).0,
        None => yellow("?"),
    };
    let mut lines = vec![format!("{mark} {} {}", bold(clean(&rule.name)), clean(&rule.says))];
    if matches!(rule.verdict, Some(Verdict::Off | Verdict::OtherKind)) {
        return lines;
    }
    if !rule.about.is_empty() {
        lines.push(dim(format!("    {}", first_line(&rule.about))));
    }
    rule.lines.iter().for_each(|line| lines.extend(of_line(line, "    ")));
    if let Some(changed) = &rule.changed {
        lines.push(dim("    changed"));
        lines.extend(of_line(changed, "      "));
    }
    let recorded = explained.recorded.iter().find(|recorded| recorded.rule == rule.name);
    if let Some(recorded) = recorded.filter(|recorded| Some(&recorded.verdict) != rule.verdict.as_ref()) {
        let then = verdict(&recorded.verdict).1;
        lines.push(yellow(format!("    when it was decided: {then} (settings may have changed since)")));
    }
    let mut done: Vec<_> =
        explained.recorded_steps.iter().filter(|record| record.step.rule == rule.name).collect();
    done.sort_by_key(|record| record.step.place);
    if !rule.steps.is_empty() || !done.is_empty() {
        lines.push(dim("    steps"));
    }
    if done.is_empty() {
        for (number, step) in rule.steps.iter().enumerate() {
            lines.extend(of_step(number + 1, step));
        }
    } else {
        for (number, record) in done.into_iter().enumerate() {
            lines.extend(of_record(number + 1, record));
        }
    }
    lines
}

fn of_line(line: &LineExplanation, indent: &str) -> Vec<String> {
    let mark = match line.held {
        Some(true) => green("✓"),
        Some(false) => red("✗"),
        None => yellow("?"),
    };
    let mut lines = vec![format!("{indent}{mark} {}", in_one_line(&line.text))];
    if let Some(why) = &line.why {
        lines.push(format!("{indent}    {}", yellow(first_line(why))));
    }
    for (name, value) in &line.read {
        lines
            .push(format!("{indent}    {}", dim(format!("{} = {}", clean(name), clean(&value.to_string())))));
    }
    lines
}

fn of_step(number: usize, step: &StepExplanation) -> Vec<String> {
    let skipped = step.when.iter().any(|line| line.held == Some(false));
    let head = format!("      {number}. {}", step.action);
    let mut lines = match (&step.why, step.would.as_slice()) {
        (Some(why), _) => vec![format!("{head} {}", yellow(first_line(why)))],
        (None, []) if skipped => vec![format!("{head} {}", dim("not taken: its condition does not hold"))],
        (None, []) => vec![format!("{head} {}", dim("nothing to do"))],
        (None, [one]) => vec![format!("{head} would: {}", first_line(one))],
        (None, many) => {
            let each = many.iter().map(|one| format!("           {}", first_line(one)));
            std::iter::once(format!("{head} would:")).chain(each).collect()
        }
    };
    step.when.iter().for_each(|line| lines.extend(of_line(line, "         ")));
    lines
}

fn of_record(number: usize, record: &StepRecord) -> Vec<String> {
    let state = match record.state {
        StepState::Done => green(record.state.as_str()),
        StepState::Failed => red(record.state.as_str()),
        StepState::Pending | StepState::Claimed | StepState::Unknown | StepState::Held => {
            yellow(record.state.as_str())
        }
        StepState::Superseded | StepState::Skipped | StepState::Dropped => dim(record.state.as_str()),
    };
    let mut lines = vec![format!("      {number}. {state} {}", first_line(&record.step.action.summary()))];
    for (name, text) in [("asked", &record.request), ("answer", &record.answer), ("error", &record.error)] {
        if let Some(text) = text {
            lines.push(format!("         {}{}", dim(format!("{name:<8}")), first_line(text)));
        }
    }
    lines
}

/// A condition as it is written; one of several lines is joined.
fn in_one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    clean(&lines.join(" ")).into_owned()
}

/// Which rules matched; when none did, what each lacked.
fn conclusion(rules: &[RuleExplanation]) -> Vec<String> {
    let names = |matched: fn(&RuleExplanation) -> bool| -> Vec<_> {
        rules.iter().filter(|rule| matched(rule)).map(|rule| clean(&rule.name)).collect()
    };
    let matched = names(|rule| {
        matches!(
            rule.verdict,
            Some(
                Verdict::Matched { .. }
                    | Verdict::Shadow { .. }
                    | Verdict::Unchanged
                    | Verdict::Silenced { .. }
                    | Verdict::Broken { .. }
            )
        )
    });
    let open = names(|rule| rule.verdict.is_none());
    if !matched.is_empty() {
        return vec![format!("{} {}", bold("Matched:"), matched.join(", "))];
    }
    if !open.is_empty() {
        let said = format!("{} {}", bold("Depends on what hotglue would say:"), open.join(", "));
        return vec![said];
    }
    let mut lines = vec![bold("No rule matched.")];
    for rule in rules {
        if let Some(lacked) = lacked(rule) {
            lines.push(format!("  {}: {lacked}", clean(&rule.name)));
        }
    }
    lines
}

/// The first condition that failed.
fn lacked(rule: &RuleExplanation) -> Option<String> {
    match &rule.verdict {
        Some(Verdict::NotHeld { line, .. }) => {
            let failed = rule.lines.get(line.checked_sub(1)?)?;
            let read: Vec<_> = failed
                .read
                .iter()
                .map(|(name, value)| format!("{} = {}", clean(name), clean(&value.to_string())))
                .collect();
            let read = if read.is_empty() { String::new() } else { dim(format!(" ({})", read.join(", "))) };
            Some(format!("{} does not hold{read}", in_one_line(&failed.text)))
        }
        Some(Verdict::Off) => Some("is off".to_owned()),
        Some(Verdict::OtherKind) => Some("is about other kinds of events".to_owned()),
        _ => None,
    }
}
