//! Values that are compared with words of a known set: one that is none of them is hardly meant.

use minijinja::machinery::ast::Expr;

use super::{Problem, Walk, constant};
use crate::envelope::Source;
use crate::event::{Kind, hotglue};
use crate::rulebook::lint::Severity;

/// The words of a name; `open` when the vendor may send others.
struct Words {
    known: Vec<&'static str>,
    open: bool,
}

impl Words {
    fn of(path: &[&str]) -> Option<Self> {
        let (known, open) = match path {
            ["event", "status"] => (hotglue::STATUSES.to_vec(), true),
            ["event", "sync_type"] => (hotglue::SYNC_TYPES.to_vec(), true),
            ["event", "kind"] => (Kind::ALL.map(Kind::as_str).to_vec(), false),
            ["event", "source"] => (Source::ALL.map(Source::as_str).to_vec(), false),
            ["tenant", "schedule", "state"] => (vec!["ENABLED", "DISABLED"], true),
            _ => return None,
        };
        Some(Self { known, open })
    }

    /// What is doubtful about a word, if anything is.
    fn doubt(&self, path: &str, word: &str) -> Option<String> {
        if word.is_empty() || self.known.contains(&word) {
            return None;
        }
        let near = self.known.iter().find(|known| known.eq_ignore_ascii_case(word)).or_else(|| {
            // Near enough for a slip of the finger; further off it is a word of its own.
            let distance = |known: &&&str| strsim::damerau_levenshtein(word, known);
            self.known.iter().min_by_key(distance).filter(|known| distance(known) <= 1 + word.len() / 5)
        });
        match near {
            Some(near) => Some(format!("`{path}` is compared with `{word}`; did you mean `{near}`?")),
            None if self.open => None,
            None => Some(format!("`{path}` is never `{word}`; known here: {}", self.known.join(", "))),
        }
    }
}

impl<'a> Walk<'a> {
    /// One side of a comparison is a name with words of its own, the other a word, or a list of words.
    pub(super) fn compared(&mut self, left: &Expr<'a>, right: &Expr<'a>) {
        for (name, value) in [(left, right), (right, left)] {
            let Some(path) = self.words_path(name) else { continue };
            let Some(words) = Words::of(&path) else { continue };
            let items = match value {
                Expr::List(list) => list.items.as_slice(),
                Expr::Tuple(tuple) => tuple.items.as_slice(),
                other => std::slice::from_ref(other),
            };
            for item in items {
                let doubt = constant::text(item).and_then(|word| words.doubt(&path.join("."), &word));
                self.doubts
                    .extend(doubt.map(|sentence| (Severity::Warning, Problem::at(item.span(), sentence))));
            }
        }
    }

    fn words_path(&self, expr: &Expr<'a>) -> Option<Vec<&'a str>> {
        match expr {
            Expr::Var(var) => self.bound(var.id).is_none().then(|| vec![var.id]),
            Expr::GetAttr(get) => {
                let mut path = self.words_path(&get.expr)?;
                path.push(get.name);
                Some(path)
            }
            _ => None,
        }
    }
}
