//! From `rules.toml` to checked and compiled rules. All that is wrong is said at once, with line and column.

mod action;
mod fields;
mod per;
mod table;
mod written;

use std::ops::Range;

use toml::de::{DeTable, DeValue};

pub(super) use self::action::{ACTIONS, STEP};
pub(super) use self::fields::Placed;
use self::fields::{Reader, get};
use self::table::names as table_names;
pub(super) use self::table::{Field, RULE, Shape};
use super::check::{self, Checked, Problem};
use super::context::Reads;
use super::language::{Condition, Text, Texts};
use super::lint::Finding;
use super::{Mode, Of, Rule, StepRule};
use crate::config::{Complaint, nearest};
use crate::event::Kind;

/// What [`read`] makes of a file.
pub(super) struct Read {
    pub(super) rules: Vec<Rule>,
    pub(super) compiled: Vec<Compiled>,
    pub(super) texts: Texts,
    /// What is allowed, and can't or hardly be meant.
    pub(super) doubts: Vec<Finding>,
}

/// The compiled side of a [`Rule`], with its places in the file (offsets in bytes).
pub(super) struct Compiled {
    /// Of the rule's name.
    pub(super) at: usize,
    /// Of `fold`, where there is one.
    pub(super) fold_at: Option<usize>,
    /// Of the names in `instead_of`.
    pub(super) instead_of_at: Vec<usize>,
    pub(super) when: Vec<Condition>,
    pub(super) changed: Option<Condition>,
    pub(super) steps: Vec<CompiledStep>,
}

pub(super) struct CompiledStep {
    /// Of the action's word.
    pub(super) at: usize,
    pub(super) when: Vec<Condition>,
    pub(super) action: CompiledAction,
}

pub(super) enum CompiledAction {
    Slack { channel: Option<Text>, text: Text },
    SetSchedule { of: Of, enabled: bool },
    LinkTarget { target: Option<Text> },
    RunJob { tap: Text, name: Text },
}

/// A rule with the places of what is checked once all rules are known.
struct Draft {
    rule: Rule,
    compiled: Compiled,
    name_at: Range<usize>,
    instead_of: Vec<Placed>,
}

pub(super) fn read(text: &str) -> Result<Read, Vec<Complaint>> {
    let mut reader = Reader::new(text);
    let (file, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What follows the first is mostly caused by it.
        return Err(errors.iter().take(1).map(|error| Complaint::from_toml(error, text)).collect());
    }
    let file = file.get_ref();
    reader.only(file, &["rule"], "");
    let mut texts = Texts::new();
    let tables = get(file, "rule").map(|rules| reader.tables(rules, "rule")).unwrap_or_default();
    let drafts: Vec<Draft> = tables
        .iter()
        .enumerate()
        .filter_map(|(number, (table, at))| rule(&mut reader, &mut texts, number, table, at))
        .collect();
    names(&mut reader, &drafts);
    instead_of(&mut reader, &drafts);
    if reader.complaints.is_empty() {
        let (rules, compiled) = drafts.into_iter().map(|draft| (draft.rule, draft.compiled)).unzip();
        Ok(Read { rules, compiled, texts, doubts: reader.doubts })
    } else {
        reader.complaints.sort_by_key(|complaint| complaint.at);
        Err(reader.complaints)
    }
}

fn rule(
    reader: &mut Reader<'_>,
    texts: &mut Texts,
    number: usize,
    table: &DeTable<'_>,
    at: &Range<usize>,
) -> Option<Draft> {
    let name = get(table, "name").map(|item| reader.text(item, "name", ""));
    let place = match &name {
        Some(Some(name)) if !name.text.is_empty() => format!("rule `{}`, ", name.text),
        _ => format!("rule {}, ", number + 1),
    };
    let headless = place.trim_end_matches(", ");
    match &name {
        None => reader.say(at, format!("{headless} needs a name")),
        Some(Some(given)) if given.text.trim().is_empty() => {
            reader.say(&given.span, format!("{headless} needs a name: this one is empty"));
        }
        Some(Some(given)) if given.text.contains(|c: char| c == '/' || c.is_control()) => {
            reader.say(&given.span, format!("{headless}: a name can't have `/` or line breaks in it"));
        }
        _ => {}
    }
    reader.only(table, &table_names(RULE), &place);
    let about = get(table, "about").and_then(|item| reader.text(item, "about", &place));
    let mode = get(table, "mode")
        .and_then(|item| reader.text(item, "mode", &place))
        .and_then(|given| reader.one_of(&given, "mode", &place, &Mode::ALL, Mode::as_str));
    let on = match get(table, "on") {
        None => Kind::ALL.to_vec(),
        Some(item) => {
            let given = reader.texts(item, "on", &place);
            if matches!(item.get_ref(), DeValue::Array(kinds) if kinds.is_empty()) {
                reader.say(&item.span(), format!("{place}`on` names no kind; leave it out for all kinds"));
            }
            given
                .iter()
                .filter_map(|kind| reader.one_of(kind, "kind", &place, &Kind::ALL, Kind::as_str))
                .collect()
        }
    };
    let lines = get(table, "when").map(|item| reader.texts(item, "when", &place)).unwrap_or_default();
    let mut when = Vec::new();
    for (line, source) in lines.iter().enumerate() {
        when.extend(condition(reader, source, &format!("{place}when line {}: ", line + 1)));
    }
    let changed_text = get(table, "changed").and_then(|item| reader.text(item, "changed", &place));
    let changed =
        changed_text.as_ref().and_then(|source| condition(reader, source, &format!("{place}changed: ")));
    if let Some(source) =
        changed_text.as_ref().filter(|_| changed.as_ref().is_some_and(Condition::reads_clock))
    {
        reader.doubt(&source.span, format!("{place}changed: `now` is another value each time"));
    }
    let instead_of =
        get(table, "instead_of").map(|item| reader.texts(item, "instead_of", &place)).unwrap_or_default();
    let limit = get(table, "limit").and_then(|item| per::limit(reader, item, &place));
    let fold = get(table, "fold").and_then(|item| per::fold(reader, item, &place));
    let (mut steps, mut compiled_steps) = (Vec::new(), Vec::new());
    let tables = get(table, "do").map(|item| reader.tables(item, "rule.do")).unwrap_or_default();
    for (step, (table, at)) in tables.into_iter().enumerate() {
        let place = format!("{place}step {}", step + 1);
        let conditions =
            get(table, "when").map(|item| reader.texts_or_one(item, "when", &format!("{place}: ")));
        let conditions = conditions.unwrap_or_default();
        let when: Vec<_> = conditions
            .iter()
            .filter_map(|source| condition(reader, source, &format!("{place} when: ")))
            .collect();
        let text_name = format!("{number}.{step}");
        if let Some((action, compiled)) = action::read(reader, texts, table, &at, &place, &text_name) {
            steps.push(StepRule { action, when: conditions.into_iter().map(|source| source.text).collect() });
            let at = get(table, "action").map_or(at.start, |item| item.span().start);
            compiled_steps.push(CompiledStep { at, when, action: compiled });
        }
    }
    let name = name.flatten()?;
    Some(Draft {
        rule: Rule {
            name: name.text,
            about: about.map(|about| about.text).unwrap_or_default(),
            mode: mode.unwrap_or(Mode::Live),
            on,
            when: lines.into_iter().map(|line| line.text).collect(),
            changed: changed_text.map(|changed| changed.text),
            instead_of: instead_of.iter().map(|name| name.text.clone()).collect(),
            limit,
            fold,
            steps,
        },
        compiled: Compiled {
            at: name.span.start,
            fold_at: get(table, "fold").map(|item| item.span().start),
            instead_of_at: instead_of.iter().map(|name| name.span.start).collect(),
            when,
            changed,
            steps: compiled_steps,
        },
        name_at: name.span,
        instead_of,
    })
}

fn condition(reader: &mut Reader<'_>, source: &Placed, place: &str) -> Option<Condition> {
    let reads = checked(reader, source, place, check::expression(&source.text))?;
    match Condition::compile(&source.text, source.span.start, reads) {
        Ok(condition) => Some(condition),
        Err(why) => {
            reader.say(&source.span, format!("{place}{why}"));
            None
        }
    }
}

fn checked(
    reader: &mut Reader<'_>,
    source: &Placed,
    place: &str,
    found: Result<Checked, Vec<Problem>>,
) -> Option<Reads> {
    match found {
        Ok(Checked { reads, doubts }) => {
            for (severity, doubt) in doubts {
                let sentence = format!("{place}{}", doubt.sentence);
                let complaint = reader.within(&source.span, doubt.line, doubt.column, sentence);
                reader.doubts.push(Finding { severity, complaint });
            }
            Some(reads)
        }
        Err(problems) => {
            for problem in problems {
                let sentence = format!("{place}{}", problem.sentence);
                reader.say_within(&source.span, problem.line, problem.column, sentence);
            }
            None
        }
    }
}

fn names(reader: &mut Reader<'_>, drafts: &[Draft]) {
    for (number, draft) in drafts.iter().enumerate() {
        if drafts[..number].iter().any(|earlier| earlier.rule.name == draft.rule.name) {
            let sentence = format!("there are two rules named `{}`; each name is used once", draft.rule.name);
            reader.say(&draft.name_at, sentence);
        }
    }
}

fn instead_of(reader: &mut Reader<'_>, drafts: &[Draft]) {
    let names: Vec<_> = drafts.iter().map(|draft| draft.rule.name.as_str()).collect();
    let listed = |from: &str| {
        drafts.iter().find(|draft| draft.rule.name == from).map_or(&[][..], |draft| &draft.rule.instead_of)
    };
    for draft in drafts {
        let name = draft.rule.name.as_str();
        for other in &draft.instead_of {
            let place = format!("rule `{name}`, instead_of: ");
            if other.text == name {
                reader.say(&other.span, format!("{place}a rule can't silence itself"));
            } else if !names.contains(&other.text.as_str()) {
                let hint = nearest(&other.text, names.iter().copied()).map_or_else(
                    || "no rule has this name".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                reader.say(&other.span, format!("{place}unknown rule `{}`; {hint}", other.text));
            } else {
                // Rules that silence each other in a circle would all be silent.
                let mut reached = vec![other.text.as_str()];
                let mut next = 0;
                while let Some(from) = reached.get(next).copied() {
                    for further in listed(from) {
                        if !reached.contains(&further.as_str()) {
                            reached.push(further);
                        }
                    }
                    next += 1;
                }
                if reached.contains(&name) {
                    let sentence = format!(
                        "{place}`{}` leads back to `{name}`: when both match, nothing is told",
                        other.text
                    );
                    reader.say(&other.span, sentence);
                }
            }
        }
    }
}
