//! Reading a TOML table field by field: every complaint with its place, and all of them at once.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::written;
use crate::config::{Complaint, nearest};
use crate::rulebook::lint::{Finding, Severity};

/// A text with its place in the file.
#[derive(Debug, Clone)]
pub(in crate::rulebook) struct Placed {
    pub(in crate::rulebook) text: String,
    pub(in crate::rulebook) span: Range<usize>,
}

/// Collects complaints about one file.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) complaints: Vec<Complaint>,
    /// What is allowed, and can't or hardly be meant.
    pub(super) doubts: Vec<Finding>,
}

type Item<'i> = Spanned<DeValue<'i>>;

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, complaints: Vec::new(), doubts: Vec::new() }
    }

    pub(super) fn say(&mut self, at: &Range<usize>, sentence: impl Into<String>) {
        self.complaints.push(Complaint::at_offset(self.text, at.start, sentence));
    }

    /// Something that is allowed, and hardly meant.
    pub(super) fn doubt(&mut self, at: &Range<usize>, sentence: impl Into<String>) {
        let complaint = Complaint::at_offset(self.text, at.start, sentence);
        self.doubts.push(Finding { severity: Severity::Warning, complaint });
    }

    /// Complains about something within a text value.
    pub(super) fn say_within(&mut self, value: &Range<usize>, line: usize, column: usize, sentence: String) {
        let complaint = self.within(value, line, column, sentence);
        self.complaints.push(complaint);
    }

    /// Something within a text value. `line` counts from 1, `column` from 0, in the value.
    pub(super) fn within(
        &self,
        value: &Range<usize>,
        line: usize,
        column: usize,
        sentence: String,
    ) -> Complaint {
        let raw = self.text.get(value.clone()).unwrap_or_default();
        Complaint::at_offset(self.text, value.start + written::offset(raw, line, column), sentence)
    }

    /// Every key must be one of `known`.
    pub(super) fn only(&mut self, table: &DeTable<'_>, known: &[&str], place: &str) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let hint = nearest(name, known.iter().copied()).map_or_else(
                || format!("known here: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.say(&key.span(), format!("{place}unknown name `{name}`; {hint}"));
        }
    }

    pub(super) fn text(&mut self, item: &Item<'_>, name: &str, place: &str) -> Option<Placed> {
        match item.get_ref() {
            DeValue::String(text) => Some(Placed { text: text.to_string(), span: item.span() }),
            other => {
                self.say(&item.span(), format!("{place}`{name}` is a text in quotes, not {}", kind(other)));
                None
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, item: &Item<'_>, name: &str, place: &str) -> Vec<Placed> {
        match item.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| self.text(item, name, place)).collect(),
            other => {
                let kind = kind(other);
                self.say(
                    &item.span(),
                    format!("{place}`{name}` is a list of texts, such as [\"…\"], not {kind}"),
                );
                Vec::new()
            }
        }
    }

    /// A list of texts, or one text.
    pub(super) fn texts_or_one(&mut self, item: &Item<'_>, name: &str, place: &str) -> Vec<Placed> {
        match item.get_ref() {
            DeValue::String(text) => vec![Placed { text: text.to_string(), span: item.span() }],
            _ => self.texts(item, name, place),
        }
    }

    pub(super) fn tables<'i, 'd>(
        &mut self,
        item: &'d Item<'i>,
        name: &str,
    ) -> Vec<(&'d DeTable<'i>, Range<usize>)> {
        let DeValue::Array(items) = item.get_ref() else {
            self.say(&item.span(), format!("write [[{name}]], with two brackets on each side"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, item.span())),
                other => self.say(&item.span(), format!("[[{name}]] is a table, not {}", kind(other))),
            }
        }
        tables
    }

    /// One of a closed set of words.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        given: &Placed,
        name: &str,
        place: &str,
        all: &[T],
        word: fn(T) -> &'static str,
    ) -> Option<T> {
        let found = all.iter().copied().find(|one| word(*one) == given.text);
        if found.is_none() {
            let words: Vec<_> = all.iter().map(|one| word(*one)).collect();
            let hint = nearest(&given.text, words.iter().copied()).map_or_else(
                || format!("known here: {}", words.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.say(&given.span, format!("{place}unknown {name} `{}`; {hint}", given.text));
        }
        found
    }
}

pub(super) fn get<'d, 'i>(table: &'d DeTable<'i>, name: &str) -> Option<&'d Item<'i>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

fn kind(value: &DeValue<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    })
}
