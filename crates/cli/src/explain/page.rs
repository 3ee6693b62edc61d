//! An explanation as a person reads it.

use std::borrow::Cow;

use domain::action::Action;
use domain::facts::Need;
use domain::journal::{StepRecord, StepState};
use domain::plan::{LIVE, RuleVerdict, Verdict};
use domain::rulebook::{LineExplanation, RuleExplanation, StepExplanation};
use domain::shadow::Fate;
use domain::would::Would;
use jiff::Timestamp;
use serde_json::Value;

use super::Explained;
use super::recorded::same;
use crate::events::{facts, verdict};
use crate::output::{bold, clean, clean_block, dim, first_line, green, red, stamp, yellow};

pub(super) fn lines(explained: &Explained, now: Timestamp, for_person: bool) -> Vec<String> {
    let mut lines = vec![bold(&explained.headline)];
    if let Some(why) = &explained.unreadable {
        lines.push(red(format!("It could not be read, so no rule was asked: {}", clean(why))));
        return lines;
    }
    lines.push(match explained.decided_at {
        Some(at) => format!(
            "decided {} in run {} by rulebook {}",
            stamp(at, now, for_person),
            clean(&explained.run),
            clean(explained.decided_by.as_deref().unwrap_or("unknown"))
        ),
        None => match &explained.decided_by {
            Some(version) => format!("no rule took it when it came in, by rulebook {}", clean(version)),
            None => format!("as rulebook {} sees it", clean(&explained.explanation.rulebook)),
        },
    });
    lines.extend(explained.notes.iter().map(|note| yellow(format!("note: {note}"))));
    lines.extend(facts(&explained.facts));
    for rule in &explained.explanation.rules {
        lines.push(String::new());
        lines.extend(of_rule(rule, explained));
    }
    lines.push(String::new());
    lines.extend(conclusion(&explained.explanation.rules));
    for other in &explained.other_runs {
        let what = match (&other.undid, other.run == LIVE) {
            (Some(rule), _) => format!("a change of {} was undone", clean(rule)),
            (None, true) => "it was first decided live".to_owned(),
            (None, false) => "it was decided anew".to_owned(),
        };
        lines.push(format!(
            "Also: {what} {}, in run {} ({}): {}",
            stamp(other.at, now, for_person),
            clean(&other.run),
            first_line(&other.became),
            clean(&other.command)
        ));
    }
    lines
}

fn of_rule(rule: &RuleExplanation, explained: &Explained) -> Vec<String> {
    let mark = match &rule.verdict {
        Some(said) => verdict(said).0,
        None => yellow("?"),
    };
    let mut lines = vec![format!("{mark} {} {}", bold(clean(&rule.name)), clean(&rule.says))];
    if !rule.about.is_empty() {
        lines.push(dim(format!("    {}", first_line(&rule.about))));
    }
    let today = explained.flow_of_today;
    if matches!(rule.verdict, Some(Verdict::Off | Verdict::OtherKind)) {
        lines.extend(not_looked_at(rule));
    } else {
        rule.lines.iter().for_each(|line| lines.extend(of_line(line, "    ", today)));
        if let Some(changed) = &rule.changed {
            lines.push(dim("    changed"));
            lines.extend(of_value(changed, "      ", today));
        }
    }
    let recorded = explained.recorded.iter().find(|recorded| recorded.rule == rule.name);
    if let Some(recorded) = recorded.filter(|recorded| Some(&recorded.verdict) != rule.verdict.as_ref()) {
        let then = verdict(&recorded.verdict).1;
        lines.push(if same(Some(&recorded.verdict), rule.verdict.as_ref()) {
            dim(format!("    decided by a worker that only observes: {then}"))
        } else {
            yellow(format!("    when it was decided: {then} (settings may have changed since)"))
        });
    }
    let fate = explained.rehearsed.get(&rule.name);
    lines.extend(fate.and_then(|fate| fate.held).map(|held| {
        let limit = format!("more than {} tenants in {} s", held.tenants, held.seconds);
        yellow(if held.pauses {
            format!("    would have been held: {limit}, the rule would have paused here")
        } else {
            format!(
                "    would have been held: {limit}, the rule would have been paused since an earlier event"
            )
        })
    }));
    let mut done: Vec<_> =
        explained.recorded_steps.iter().filter(|record| record.step.rule == rule.name).collect();
    done.sort_by_key(|record| record.step.place);
    let mut would = recorded.map(|given| of_shadow(given, fate)).unwrap_or_default();
    if !rule.steps.is_empty() || !done.is_empty() || !would.is_empty() {
        let silent = matches!(rule.verdict, Some(Verdict::Silenced { .. })) && done.is_empty();
        lines.push(dim(if silent { "    steps, were it not kept silent" } else { "    steps" }));
    }
    for (number, step) in rule.steps.iter().enumerate() {
        lines.extend(of_step(number + 1, step, &mut done, &mut would, today));
    }
    // Steps that the rules see otherwise today.
    for record in done {
        lines.extend(of_record("      - ", record));
    }
    for rehearsed in would {
        lines.extend(of_would("      - ", rehearsed));
    }
    lines
}

/// The lines of a rule that does not look at the event, with the reason once.
fn not_looked_at(rule: &RuleExplanation) -> Vec<String> {
    let mut lines = Vec::new();
    let why = rule.lines.iter().chain(&rule.changed).find_map(|line| line.why.as_deref());
    lines.extend(why.map(|why| dim(format!("    {}", first_line(why)))));
    lines.extend(rule.lines.iter().map(|line| dim(format!("    – {}", in_one_line(&line.text)))));
    if let Some(changed) = &rule.changed {
        lines.push(dim("    changed"));
        lines.push(dim(format!("      – {}", in_one_line(&changed.text))));
    }
    lines
}

/// What a rule in shadow would have done, and what it would have called for it where that was recorded.
#[derive(Debug, Clone, Copy)]
struct Rehearsed<'a> {
    action: &'a Action,
    would: Option<&'a Would>,
    /// It would have been told in one with earlier messages.
    folds: bool,
}

fn of_shadow<'a>(recorded: &'a RuleVerdict, fate: Option<&Fate>) -> Vec<Rehearsed<'a>> {
    let Some(actions) = recorded.verdict.rehearsed() else { return Vec::new() };
    let of = |(place, action)| Rehearsed {
        action,
        would: recorded.would.get(place),
        folds: fate.is_some_and(|fate| fate.folds.contains(&place)),
    };
    actions.iter().enumerate().map(of).collect()
}

/// `today`: settings were not recorded, so those of today were read.
fn of_line(line: &LineExplanation, indent: &str, today: bool) -> Vec<String> {
    let mark = match line.held {
        Some(true) => green("✓"),
        Some(false) => red("✗"),
        None => yellow("?"),
    };
    marked(&mark, line, indent, today)
}

/// The expression of `changed`, which is no condition.
fn of_value(line: &LineExplanation, indent: &str, today: bool) -> Vec<String> {
    let mark = if line.held.is_some() { dim("·") } else { yellow("?") };
    marked(&mark, line, indent, today)
}

fn marked(mark: &str, line: &LineExplanation, indent: &str, today: bool) -> Vec<String> {
    let mut lines = vec![format!("{indent}{mark} {}", in_one_line(&line.text))];
    if let Some(why) = &line.why {
        lines.push(format!("{indent}    {}", yellow(first_line(why))));
    }
    for (name, value) in &line.read {
        let when = if today && name.starts_with("flow.") { " (as configured today)" } else { "" };
        let read = format!("{} = {}{when}", clean(name), clean(&value.to_string()));
        lines.push(format!("{indent}    {}", dim(read)));
    }
    lines
}

/// A step, with what became of it: the records that it accounts for are taken out of `done`.
/// And so are those of `would`.
fn of_step(
    number: usize,
    step: &StepExplanation,
    done: &mut Vec<&StepRecord>,
    would: &mut Vec<Rehearsed<'_>>,
    today: bool,
) -> Vec<String> {
    let skipped = step.when.iter().any(|line| line.held == Some(false));
    let head = format!("      {number}. ");
    let mut lines = Vec::new();
    match (&step.why, step.actions.is_empty()) {
        (Some(why), _) => lines.push(format!("{head}{} {}", step.action, yellow(first_line(why)))),
        (None, true) if skipped => {
            lines.push(format!("{head}{} {}", step.action, dim("not taken: its condition does not hold")));
        }
        (None, true) => lines.push(format!("{head}{} {}", step.action, dim("nothing to do"))),
        (None, false) => {
            for (place, one) in step.actions.iter().enumerate() {
                let head = if place == 0 { head.clone() } else { " ".repeat(head.len()) };
                if let Some(at) = done.iter().position(|record| record.step.action.summary() == one.summary())
                {
                    lines.extend(of_record(&head, done.remove(at)));
                    continue;
                }
                let noted = would.iter().position(|noted| noted.action == one).map(|at| would.remove(at));
                let bare = Rehearsed { action: one, would: None, folds: false };
                lines.extend(of_would(&head, noted.unwrap_or(bare)));
            }
        }
    }
    step.when.iter().for_each(|line| lines.extend(of_line(line, "         ", today)));
    lines
}

/// What would be done, whole: a text is judged by all of its lines.
fn of_would(head: &str, rehearsed: Rehearsed<'_>) -> Vec<String> {
    let Rehearsed { action, would, folds } = rehearsed;
    let mut lines = Vec::new();
    let word = action.word();
    let mut text = match action {
        Action::Slack { text, .. } => Some(text.clone()),
        Action::SetSchedule { .. } | Action::LinkTarget { .. } | Action::RunJob { .. } => None,
    };
    match would {
        Some(Would::Call(call)) => {
            lines.push(format!("{head}{word} would call: {} {}", call.method, clean(&call.url)));
            let mut body = call.body.clone();
            // What is cut or blanked before it is posted is so here, too.
            if let Some(fields) = body.as_object_mut()
                && let (Some(_), Some(Value::String(posted))) = (&text, fields.remove("text"))
            {
                text = Some(posted);
            }
            lines.push(format!("         {}", clean(&body.to_string())));
            lines.extend(call.condition.iter().map(|told| format!("         {}", yellow(first_line(told)))));
        }
        Some(Would::Nothing { why }) => {
            lines.push(format!("{head}{word} would call nothing: {}", first_line(why)));
            return lines;
        }
        Some(Would::Fail { why }) => {
            lines.push(format!("{head}{word} would fail: {}", red(first_line(why))));
            return lines;
        }
        None => {
            lines.push(format!("{head}{word} would: {}", first_line(&action.summary())));
            text = text.filter(|text| text.trim_end().lines().count() > 1);
        }
    }
    if folds {
        lines.push(format!(
            "         {}",
            yellow("would fold: told in one message with earlier ones of its kind")
        ));
    }
    if let Some(text) = text {
        lines.push(format!("         {}", dim("text")));
        lines.extend(clean_block(&text, "           ").lines().map(str::to_owned));
    }
    lines
}

fn of_record(head: &str, record: &StepRecord) -> Vec<String> {
    let state = match record.state {
        StepState::Done => green(record.state.as_str()),
        StepState::Failed => red(record.state.as_str()),
        StepState::Pending
        | StepState::Claimed
        | StepState::Unknown
        | StepState::Held
        | StepState::Folded => yellow(record.state.as_str()),
        StepState::Superseded | StepState::Skipped | StepState::Dropped => dim(record.state.as_str()),
    };
    let action = &record.step.action;
    let mut lines = vec![format!("{head}{} {state}: {}", action.word(), first_line(&action.summary()))];
    let mut field = |name: &str, text: &str| {
        lines.push(format!("         {}{}", dim(format!("{name:<8}")), first_line(text)));
    };
    for (name, text) in [("asked", &record.request), ("answer", &record.answer), ("error", &record.error)] {
        if let Some(text) = text {
            field(name, text);
        }
    }
    if let Some(before) = &record.before {
        field("before", &before.summary());
    }
    if record.attempts > 1 {
        field("begun", &format!("{} times", record.attempts));
    }
    if record.perhaps_twice {
        field("note", "an earlier attempt may have had the effect too");
    }
    lines
}

/// A condition as it is written; one of several lines is joined.
fn in_one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    clean(&lines.join(" ")).into_owned()
}

/// Which rules matched, and which did all the same nothing; when none did, what each lacked.
fn conclusion(rules: &[RuleExplanation]) -> Vec<String> {
    let names = |wanted: fn(&RuleExplanation) -> bool| -> Vec<_> {
        rules.iter().filter(|rule| wanted(rule)).map(|rule| clean(&rule.name)).collect()
    };
    let silenced: Vec<_> = rules
        .iter()
        .filter_map(|rule| match &rule.verdict {
            Some(Verdict::Silenced { by }) => {
                Some(Cow::from(format!("{} ({} tells it)", clean(&rule.name), clean(by))))
            }
            _ => None,
        })
        .collect();
    let wrong: Vec<_> = rules
        .iter()
        .filter_map(|rule| match &rule.verdict {
            Some(Verdict::NotHeld { line, why: Some(_) }) => {
                Some(Cow::from(format!("{} (line {line})", clean(&rule.name))))
            }
            _ => None,
        })
        .collect();
    let told = [
        ("Matched:", names(|rule| matches!(rule.verdict, Some(Verdict::Matched { .. })))),
        ("Matched in shadow:", names(|rule| matches!(rule.verdict, Some(Verdict::Shadow { .. })))),
        ("Could not be carried out:", names(|rule| matches!(rule.verdict, Some(Verdict::Broken { .. })))),
        ("Kept silent:", silenced),
        (
            "Depends on what hotglue would say:",
            names(|rule| rule.verdict.is_none() && !asks_the_log_alone(rule)),
        ),
        ("Depends on the value of `changed` that was last seen:", names(asks_the_log_alone)),
    ];
    let mut lines = Vec::new();
    for (what, names) in told.into_iter().filter(|(_, names)| !names.is_empty()) {
        lines.push(format!("{} {}", bold(what), names.join(", ")));
    }
    if !lines.is_empty() {
        if !wrong.is_empty() {
            lines.push(format!("{} {}", bold("Could not be evaluated:"), wrong.join(", ")));
        }
        return lines;
    }
    let unchanged = rules.iter().any(|rule| rule.verdict == Some(Verdict::Unchanged));
    lines.push(bold(if unchanged { "No rule acted." } else { "No rule matched." }));
    for rule in rules {
        if let Some(lacked) = lacked(rule) {
            lines.push(format!("  {}: {lacked}", clean(&rule.name)));
        }
    }
    lines
}

/// hotglue has said all that it was asked; the event log knows the rest.
fn asks_the_log_alone(rule: &RuleExplanation) -> bool {
    let of_log = |need: &Need| matches!(need, Need::LastValue { .. });
    rule.verdict.is_none() && !rule.would_ask.is_empty() && rule.would_ask.iter().all(of_log)
}

/// The first condition that failed.
fn lacked(rule: &RuleExplanation) -> Option<String> {
    match &rule.verdict {
        Some(Verdict::NotHeld { line, why }) => {
            let failed = rule.lines.get(line.checked_sub(1)?)?;
            let read: Vec<_> = failed
                .read
                .iter()
                .map(|(name, value)| format!("{} = {}", clean(name), clean(&value.to_string())))
                .collect();
            let read = if read.is_empty() { String::new() } else { dim(format!(" ({})", read.join(", "))) };
            let how = match why {
                Some(why) => format!("can't be evaluated: {}", first_line(why)),
                None => "does not hold".to_owned(),
            };
            Some(format!("{} {how}{read}", in_one_line(&failed.text)))
        }
        Some(Verdict::Unchanged) => Some("matches, but nothing has changed since the last time".to_owned()),
        Some(Verdict::Off) => Some("is off".to_owned()),
        Some(Verdict::OtherKind) => Some("is about other kinds of events".to_owned()),
        _ => None,
    }
}
