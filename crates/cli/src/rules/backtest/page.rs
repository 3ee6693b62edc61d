//! What came of a backtest, for people and for programs.

use domain::backtest::{Book, Change, Example, Limited, Tally, Wrong};
use domain::names::EventId;
use serde_json::{Value, json};

use super::Tried;
use super::ask::Unanswered;
use super::findings::Finding;
use super::play::Setup;
use crate::events::short;
use crate::output::{Cell, Table, bold, clean, count, dim, first_line, green, red, yellow};

/// The columns of each rule and tenant.
const COLUMNS: [&str; 6] = ["rule", "~tenant", "added", "dropped", "changed", "broken"];

/// Ids in one line.
const MOST_NAMED: usize = 10;
/// Reasons why hotglue gave no answer.
const MOST_REASONS: usize = 5;

pub(super) fn json(tried: &Tried, setup: &Setup) -> Value {
    let played = &tried.played;
    let report = &played.report;
    let differences: Vec<_> = report
        .tallies
        .iter()
        .map(|((rule, tenant), tally)| {
            json!({
                "rule": rule, "tenant": tenant, "added": tally.added, "dropped": tally.dropped,
                "changed": tally.changed, "broken": tally.broken, "examples": tally.examples,
            })
        })
        .collect();
    let unknown: Vec<_> = report
        .unknown
        .iter()
        .map(|(rule, unknown)| {
            json!({ "rule": rule, "events": unknown.events, "facts": unknown.needs, "examples": unknown.examples })
        })
        .collect();
    let wrong = report.wrong.iter().map(|((book, rule, line), wrong)| {
        let written = condition(setup, *book, rule, *line);
        json!({
            "of": book, "rule": rule, "line": line, "when": written.map(|(text, _)| text),
            "at": written.and_then(|(_, at)| at).map(|(line, column)| json!({ "line": line, "column": column })),
            "events": wrong.events, "why": wrong.why, "examples": wrong.examples,
        })
    });
    let sum = sum(tried);
    json!({
        "new": { "file": tried.new, "version": tried.version },
        "against": tried.against.as_ref().map(|(file, version)| json!({ "file": file, "version": version })),
        "since": tried.since,
        "until": tried.until,
        "events": report.events,
        "undecided": played.undecided,
        "unreadable": played.unreadable,
        "asked": played.asked,
        "other_settings": played.other_settings,
        "unanswered": tried.unanswered.as_ref().map_or_else(Vec::new, |unanswered| {
            unanswered.why.iter().map(|(why, questions)| json!({ "why": why, "questions": questions })).collect()
        }),
        "gave_up_asking": tried.unanswered.as_ref().is_some_and(|unanswered| unanswered.gave_up),
        "limits": tried.limits,
        "differs": report.differs(),
        "differing_events": report.differing,
        "unknown_events": report.unknown_events,
        "added": sum.added,
        "dropped": sum.dropped,
        "changed": sum.changed,
        "broken": sum.broken,
        "differences": differences,
        "unknown": unknown,
        "errors": wrong.collect::<Vec<_>>(),
        "moved": report.moved.iter().map(|((from, to), actions)| {
            json!({ "from": from, "to": to, "actions": actions })
        }).collect::<Vec<_>>(),
        "findings": Finding::all(tried),
        "allowed": tried.allowed,
        "shadow": report.shadow,
    })
}

/// All tallies in one, without examples.
fn sum(tried: &Tried) -> Tally {
    let mut sum = Tally::default();
    for tally in tried.played.report.tallies.values() {
        sum.added += tally.added;
        sum.dropped += tally.dropped;
        sum.changed += tally.changed;
        sum.broken += tally.broken;
    }
    sum
}

pub(super) fn lines(tried: &Tried, setup: &Setup) -> Vec<String> {
    let report = &tried.played.report;
    let mut lines = vec![headline(tried), String::new()];
    if report.differs() {
        let mut table = Table::new(&COLUMNS);
        for ((rule, tenant), tally) in &report.tallies {
            let numbers = [tally.added, tally.dropped, tally.changed, tally.broken];
            let numbers =
                numbers.map(|number| if number == 0 { Cell::new("").dim() } else { Cell::number(number) });
            table.row([Cell::new(rule), Cell::new(tenant)].into_iter().chain(numbers));
        }
        lines.extend(table.lines(None));
        lines.push(String::new());
        for ((rule, tenant), tally) in &report.tallies {
            if !tally.examples.is_empty() {
                lines.push(format!("{} {}", bold(clean(rule)), dim(clean(tenant))));
                lines.extend(tally.examples.iter().flat_map(example));
            }
        }
        lines.push(String::new());
    }
    for ((book, rule, line), wrong) in &report.wrong {
        lines.push(cannot(tried, setup, (*book, rule, *line), wrong));
    }
    lines.extend(notes(tried));
    lines.push(total(tried));
    let counts: Vec<_> = tried.counts().into_iter().map(Finding::as_str).collect();
    if !counts.is_empty() {
        lines.push(dim(format!("exit code 1, for: {}", counts.join(", "))));
    }
    lines
}

/// The text of a line of `when`, with its place in the file; none where it is not known which rulebook decided.
fn condition<'s>(
    setup: &'s Setup,
    book: Book,
    rule: &str,
    line: Option<usize>,
) -> Option<(&'s str, Option<(usize, usize)>)> {
    let rulebook = match book {
        Book::New => &setup.new,
        Book::Old => setup.old.as_ref()?,
    };
    rulebook.condition(rule, line?)
}

/// What a rulebook can't evaluate or carry out.
fn cannot(
    tried: &Tried,
    setup: &Setup,
    (book, rule, line): (Book, &str, Option<usize>),
    wrong: &Wrong,
) -> String {
    let file = match book {
        Book::New => Some(&tried.new),
        Book::Old => tried.against.as_ref().map(|(file, _)| file),
    };
    let events = count(usize::try_from(wrong.events).unwrap_or(usize::MAX), "event");
    let what = match line {
        Some(line) => {
            let written = condition(setup, book, rule, Some(line));
            let text = written.map(|(text, _)| format!(" `{}`", first_line(text))).unwrap_or_default();
            let at = written
                .and_then(|(_, at)| at)
                .zip(file)
                .map(|((line, column), file)| format!(" ({}:{line}:{column})", clean(file)));
            format!("can't evaluate {}, line {line} of `when`{text}{}", clean(rule), at.unwrap_or_default())
        }
        None => format!("can't carry out {}", clean(rule)),
    };
    let told = format!("for {events}: {}{}", first_line(&wrong.why), such_as(&wrong.examples));
    match (book, file) {
        (Book::New, _) => red(format!("error: the rulebook {what} {told}")),
        (Book::Old, Some(file)) => yellow(format!("{} {what} {told}", clean(file))),
        (Book::Old, None) => yellow(format!("the rules that decided then {what} {told}")),
    }
}

/// Examples in short.
fn such_as(examples: &[EventId]) -> String {
    let ids: Vec<_> = examples.iter().take(MOST_NAMED).map(|id| short(id.as_str())).collect();
    if ids.is_empty() { String::new() } else { format!("; such as {}", ids.join(", ")) }
}

fn headline(tried: &Tried) -> String {
    let against = match &tried.against {
        Some((file, version)) => format!("what {} (version {version}) would have done", clean(file)),
        None => "what was decided".to_owned(),
    };
    format!("{} (version {}) against {against}", bold(clean(&tried.new)), tried.version)
}

fn example(example: &Example) -> Vec<String> {
    let id = short(example.event.as_str());
    let text = |text: &Option<String>| first_line(text.as_deref().unwrap_or_default()).into_owned();
    match example.change {
        Change::Added => vec![format!("  {} {id} {}", green("+"), text(&example.after))],
        Change::Dropped => vec![format!("  {} {id} {}", red("-"), text(&example.before))],
        Change::Broken => vec![format!("  {} {id} can't be carried out: {}", red("!"), text(&example.after))],
        Change::Changed => {
            let pad = " ".repeat(id.chars().count());
            vec![
                format!("  {} {id} {}", yellow("~"), text(&example.before)),
                format!("    {pad} {}", text(&example.after)),
            ]
        }
    }
}

fn notes(tried: &Tried) -> Vec<String> {
    let played = &tried.played;
    let events = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX), "event");
    let mut notes = Vec::new();
    for (rule, unknown) in &played.report.unknown {
        let facts: Vec<_> = unknown.needs.iter().map(|fact| format!("tenant.{fact}")).collect();
        let more = match tried.unanswered {
            Some(_) => ", and hotglue does not say it",
            None => "; --ask-hotglue asks for it",
        };
        notes.push(yellow(format!(
            "unknown for {}: {} depends on {}, which was not read then{more}{}",
            events(unknown.events),
            clean(rule),
            facts.join(", "),
            such_as(&unknown.examples)
        )));
    }
    for ((from, to), actions) in &played.report.moved {
        notes.push(format!(
            "the same by another rule: {} that {} would drop {} would do, word for word",
            count(usize::try_from(*actions).unwrap_or(usize::MAX), "action"),
            clean(from),
            clean(to)
        ));
    }
    notes.extend(tried.unanswered.iter().flat_map(unanswered));
    notes.extend(tried.limits.iter().map(limit));
    for (rule, number) in &played.report.shadow {
        notes.push(format!("in shadow: {} would act on {}", clean(rule), events(*number)));
    }
    if played.asked > 0 {
        notes.push(format!("hotglue was asked for {} facts: these are of today, not of then", played.asked));
    }
    if played.other_settings > 0 {
        notes.push(format!(
            "settings of their flow are other ones in the configuration of today, and those of then were read: {}",
            events(played.other_settings)
        ));
    }
    if played.undecided > 0 {
        notes.push(format!(
            "left out, because nothing has been decided about them: {}",
            events(played.undecided)
        ));
    }
    if played.unreadable > 0 {
        notes.push(format!("can't be read, so no rule sees them: {}", events(played.unreadable)));
    }
    notes
}

/// Why hotglue did not answer: what it was asked for counts as unknown.
fn unanswered(unanswered: &Unanswered) -> Vec<String> {
    let mut lines = Vec::new();
    let all: u64 = unanswered.why.values().sum();
    if all > 0 {
        let why: Vec<_> = unanswered.why.iter().collect();
        let told =
            why.iter().take(MOST_REASONS).map(|(why, number)| format!("{number}× {}", first_line(why)));
        let mut told = told.collect::<Vec<_>>().join("; ");
        if why.len() > MOST_REASONS {
            told.push_str("; …");
        }
        lines.push(yellow(format!(
            "hotglue gave no answer to {}, what depends on it is unknown: {told}",
            count(usize::try_from(all).unwrap_or(usize::MAX), "question")
        )));
    }
    if unanswered.gave_up {
        lines.push(yellow(
            "hotglue was not asked any more after too many questions in a row without an answer",
        ));
    }
    lines
}

/// When a rule with a limit would have paused.
fn limit(limited: &Limited) -> String {
    let Limited { rule, tenants, seconds, most, paused } = limited;
    let rule = clean(rule);
    let limit = format!("{} in {seconds} s", count(*tenants as usize, "tenant"));
    match paused {
        None => {
            format!("limit: {rule} would not have paused; it touches {most} at most, and may touch {limit}")
        }
        Some(paused) => yellow(format!(
            "limit: {rule} would have paused at {} (event {} of {}) for {}, one more than {limit}; touched before: {}; held from then on, unless resumed: {} of {}",
            paused.at,
            short(paused.event.as_str()),
            paused.occurred_at,
            clean(&paused.tenant),
            clean(&paused.touched.join(", ")),
            count(usize::try_from(paused.held_events).unwrap_or(usize::MAX), "event"),
            count(usize::try_from(paused.held_tenants).unwrap_or(usize::MAX), "tenant"),
        )),
    }
}

fn total(tried: &Tried) -> String {
    let report = &tried.played.report;
    let events = count(usize::try_from(report.events).unwrap_or(usize::MAX), "event");
    if report.events == 0 {
        return yellow("no event that was decided about is recorded in that time: nothing was tried");
    }
    if !report.differs() {
        return match report.unknown_events {
            0 => format!("nothing would differ in {events}"),
            unknown => format!(
                "nothing would differ in {events}, as far as is known: {unknown} depend on what is not"
            ),
        };
    }
    let sum = sum(tried);
    let mut said = format!("{} added, {} dropped, {} changed", sum.added, sum.dropped, sum.changed);
    if sum.broken > 0 {
        said.push_str(&format!(", {} can't be carried out", sum.broken));
    }
    format!("{said}; {} of {events} differ", report.differing)
}
