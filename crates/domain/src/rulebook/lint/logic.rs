//! Can conditions hold together? Answers no only where that can be proven from how they are written and from what an
//! event is; everything else may hold.

#[cfg(test)]
mod tests;
mod written;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use minijinja::machinery::ast::{BinOpKind, CompareOpKind, Expr, UnaryOpKind};
use minijinja::machinery::parse_expr;

pub(super) use self::written::in_one_way;
use self::written::{Against, against_truth, is_exact, written};
use crate::event::{Kind, hotglue};

/// More alternatives than these are not followed.
const MOST_ALTERNATIVES: usize = 256;

/// Something that holds or doesn't. A subject is an expression as written, such as `event.status`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Atom {
    Never,
    True {
        subject: String,
    },
    Among {
        subject: String,
        texts: BTreeSet<String>,
    },
    Contains {
        subject: String,
        part: String,
    },
    /// Values of all kinds have one order, in which numbers are compared as numbers.
    Compared {
        subject: String,
        how: How,
        number: Number,
    },
}

/// `>` and `>=` are what is not `<=` and `<`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Less,
    LessOrEqual,
    Equal,
}

#[derive(Debug, Clone, Copy)]
struct Number(f64);

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        // Minus zero is zero.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

/// An atom, or that it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Literal {
    atom: Atom,
    holds: bool,
}

type All = Vec<Literal>;

/// Conditions that hold together: one of these alternatives.
#[derive(Debug, Clone)]
pub(super) struct Conditions(Vec<All>);

impl Conditions {
    /// Nothing but the kind of the event is known.
    pub(super) fn on(kinds: &[Kind]) -> Self {
        let texts = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        Self(vec![vec![Literal {
            atom: Atom::Among { subject: "event.kind".to_owned(), texts },
            holds: true,
        }]])
    }

    /// And this expression holds, or doesn't.
    #[must_use]
    pub(super) fn and(mut self, source: &str, holds: bool) -> Self {
        let Ok(tree) = parse_expr(source) else { return self };
        if let Some(more) = alternatives(&tree, holds) {
            self = self.and_all(&Self(more));
        }
        self
    }

    /// And all of these.
    #[must_use]
    pub(super) fn and_all(self, other: &Self) -> Self {
        if self.0.len().saturating_mul(other.0.len()) > MOST_ALTERNATIVES {
            return self;
        }
        let both = |one: &All| -> Vec<All> {
            other.0.iter().map(|more| one.iter().chain(more).cloned().collect()).collect()
        };
        Self(self.0.iter().flat_map(both).filter(possible).collect())
    }

    pub(super) fn possible(&self) -> bool {
        self.0.iter().any(possible)
    }

    /// Might they hold for an event of a kind and a status that hotglue documents to come together?
    pub(super) fn documented(&self) -> bool {
        self.0.iter().any(|all| possible(all) && documented(all))
    }

    /// Does the expression hold wherever these do?
    pub(super) fn imply(&self, source: &str) -> bool {
        !self.clone().and(source, false).possible()
    }
}

/// None when there are too many.
fn alternatives(expr: &Expr<'_>, holds: bool) -> Option<Vec<All>> {
    if let Some(Against { subject, truth, equal }) = against_truth(expr) {
        if is_exact(subject, truth) {
            return alternatives(subject, (truth == equal) == holds);
        }
        // Other values are true or not without being `true` or `false`.
        let own = Literal {
            atom: Atom::True { subject: format!("({} == {truth})", written(subject)) },
            holds: holds == equal,
        };
        if holds != equal {
            return Some(vec![vec![own]]);
        }
        let all = alternatives(subject, truth)?;
        return Some(all.into_iter().map(|all| [all, vec![own.clone()]].concat()).collect());
    }
    match expr {
        Expr::UnaryOp(op) if matches!(op.op, UnaryOpKind::Not) => alternatives(&op.expr, !holds),
        Expr::BinOp(op) if matches!(op.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
            let (left, right) = (alternatives(&op.left, holds)?, alternatives(&op.right, holds)?);
            if matches!(op.op, BinOpKind::ScAnd) == holds {
                if left.len().saturating_mul(right.len()) > MOST_ALTERNATIVES {
                    return None;
                }
                let both = |one: &All| -> Vec<All> {
                    right.iter().map(|more| one.iter().chain(more).cloned().collect()).collect()
                };
                Some(left.iter().flat_map(both).collect())
            } else {
                Some(left.into_iter().chain(right).collect())
            }
        }
        // `1 < x < 5` is `1 < x and x < 5`.
        Expr::Compare(compare) => {
            let before = std::iter::once(&compare.expr).chain(compare.ops.iter().map(|op| &op.expr));
            let mut each = Vec::new();
            for (left, op) in before.zip(&compare.ops) {
                let Some((atom, upside)) = compared(kind_of(op.op), left, &op.expr) else {
                    let (atom, upside) = (Atom::True { subject: written(expr) }, true);
                    return Some(vec![vec![Literal { atom, holds: holds == upside }]]);
                };
                each.push(Literal { atom, holds: holds == upside });
            }
            Some(if holds { vec![each] } else { each.into_iter().map(|one| vec![one]).collect() })
        }
        other => {
            let (atom, upside) = atom(other);
            Some(vec![vec![Literal { atom, holds: holds == upside }]])
        }
    }
}

fn kind_of(op: CompareOpKind) -> Option<BinOpKind> {
    match op {
        CompareOpKind::Eq => Some(BinOpKind::Eq),
        CompareOpKind::Ne => Some(BinOpKind::Ne),
        CompareOpKind::Lt => Some(BinOpKind::Lt),
        CompareOpKind::Lte => Some(BinOpKind::Lte),
        CompareOpKind::Gt => Some(BinOpKind::Gt),
        CompareOpKind::Gte => Some(BinOpKind::Gte),
        CompareOpKind::In | CompareOpKind::NotIn => None,
    }
}

/// A comparison with a number: the atom, and whether it holds when the comparison does.
fn compared(op: Option<BinOpKind>, left: &Expr<'_>, right: &Expr<'_>) -> Option<(Atom, bool)> {
    let number = |expr: &Expr<'_>| {
        let value = expr.as_const().filter(minijinja::Value::is_number)?;
        f64::try_from(value).ok().filter(|number| number.is_finite()).map(Number)
    };
    let (subject, number, turned) = match (number(left), number(right)) {
        (None, Some(number)) => (written(left), number, false),
        (Some(number), None) => (written(right), number, true),
        _ => return None,
    };
    let (how, upside) = match (op?, turned) {
        (BinOpKind::Eq, _) => (How::Equal, true),
        (BinOpKind::Ne, _) => (How::Equal, false),
        (BinOpKind::Lt, false) | (BinOpKind::Gt, true) => (How::Less, true),
        (BinOpKind::Lte, false) | (BinOpKind::Gte, true) => (How::LessOrEqual, true),
        (BinOpKind::Gt, false) | (BinOpKind::Lt, true) => (How::LessOrEqual, false),
        (BinOpKind::Gte, false) | (BinOpKind::Lte, true) => (How::Less, false),
        _ => return None,
    };
    Some((Atom::Compared { subject, how, number }, upside))
}

/// The atom, and whether it holds when the expression does.
fn atom(expr: &Expr<'_>) -> (Atom, bool) {
    if let Some(value) = expr.as_const() {
        return (Atom::Never, !value.is_true());
    }
    let Expr::BinOp(op) = expr else { return (Atom::True { subject: written(expr) }, true) };
    if let Some(found) = compared(Some(op.op), &op.left, &op.right) {
        return found;
    }
    let text = |expr: &Expr<'_>| expr.as_const().and_then(|value| value.as_str().map(str::to_owned));
    match op.op {
        BinOpKind::Eq | BinOpKind::Ne => {
            for (subject, value) in [(&op.left, &op.right), (&op.right, &op.left)] {
                if let Some(value) = text(value) {
                    let atom = Atom::Among { subject: written(subject), texts: [value].into() };
                    return (atom, matches!(op.op, BinOpKind::Eq));
                }
            }
            // `a != b` is the opposite of `a == b`.
            let subject = format!("({} == {})", written(&op.left), written(&op.right));
            (Atom::True { subject }, matches!(op.op, BinOpKind::Eq))
        }
        BinOpKind::In => {
            if let (Some(part), None) = (text(&op.left), op.right.as_const()) {
                return (Atom::Contains { subject: written(&op.right), part }, true);
            }
            let items = op.right.as_const().filter(|value| value.as_str().is_none());
            let texts: Option<BTreeSet<_>> = items.and_then(|items| {
                items.try_iter().ok()?.map(|item| item.as_str().map(str::to_owned)).collect()
            });
            match texts {
                Some(texts) => (Atom::Among { subject: written(&op.left), texts }, true),
                None => (Atom::True { subject: written(expr) }, true),
            }
        }
        _ => (Atom::True { subject: written(expr) }, true),
    }
}

/// What is known of one subject.
#[derive(Debug, Default)]
struct Known {
    truth: BTreeSet<bool>,
    /// It is one of these.
    among: Option<BTreeSet<String>>,
    none_of: BTreeSet<String>,
    parts: BTreeSet<String>,
    not_parts: BTreeSet<String>,
    ending: Option<&'static str>,
    not_ending: Option<&'static str>,
    /// The number, and whether it may be that itself.
    least: Option<(Number, bool)>,
    most: Option<(Number, bool)>,
    no_numbers: BTreeSet<Number>,
}

impl Known {
    fn narrow(&mut self, texts: &BTreeSet<String>) {
        self.among = Some(match self.among.take() {
            Some(among) => among.intersection(texts).cloned().collect(),
            None => texts.clone(),
        });
    }

    fn at_least(&mut self, number: Number, itself: bool) {
        let tighter = |least: &(Number, bool)| number > least.0 || (number == least.0 && !itself);
        if self.least.as_ref().is_none_or(tighter) {
            self.least = Some((number, itself));
        }
    }

    fn at_most(&mut self, number: Number, itself: bool) {
        let tighter = |most: &(Number, bool)| number < most.0 || (number == most.0 && !itself);
        if self.most.as_ref().is_none_or(tighter) {
            self.most = Some((number, itself));
        }
    }

    /// Is there no number between the bounds?
    fn no_number(&self) -> bool {
        let (Some((least, with_least)), Some((most, with_most))) = (self.least, self.most) else {
            return false;
        };
        let only = least == most && with_least && with_most;
        // What equals a number other than zero is true, and what equals zero is not.
        let untrue = only && self.truth.contains(&(least == Number(0.0)));
        least > most || (least == most && !only) || (only && self.no_numbers.contains(&least)) || untrue
    }

    fn contradictory(&self) -> bool {
        let fits = |text: &&String| {
            !self.none_of.contains(*text)
                && self.truth.iter().all(|truth| *truth != text.is_empty())
                && self.parts.iter().all(|part| text.contains(part))
                && !self.not_parts.iter().any(|part| text.contains(part))
                && self.ending.is_none_or(|ending| text.ends_with(ending))
                && self.not_ending.is_none_or(|ending| !text.ends_with(ending))
        };
        self.truth.len() > 1
            || self.no_number()
            || self.among.as_ref().is_some_and(|among| !among.iter().any(|text| fits(&text)))
            // Nothing is in what is empty, but the empty text.
            || (self.truth.contains(&false) && self.parts.iter().any(|part| !part.is_empty()))
            || self.parts.iter().any(|part| self.not_parts.iter().any(|other| part.contains(other)))
            || (self.ending.is_some() && self.ending == self.not_ending)
    }
}

fn possible(all: &All) -> bool {
    !all.iter().any(|literal| literal.holds && literal.atom == Atom::Never)
        && known(all).values().all(|known| !known.contradictory())
}

fn known(all: &All) -> BTreeMap<&str, Known> {
    let mut known: BTreeMap<&str, Known> = BTreeMap::new();
    for Literal { atom, holds } in all {
        match atom {
            Atom::Never => {}
            Atom::True { subject } => {
                known.entry(subject).or_default().truth.insert(*holds);
                of_an_event(&mut known, subject, *holds);
            }
            Atom::Among { subject, texts } => {
                let known = known.entry(subject).or_default();
                if *holds { known.narrow(texts) } else { known.none_of.extend(texts.iter().cloned()) }
            }
            Atom::Contains { subject, part } => {
                let known = known.entry(subject).or_default();
                let parts = if *holds { &mut known.parts } else { &mut known.not_parts };
                parts.insert(part.clone());
            }
            Atom::Compared { subject, how, number } => {
                let known = known.entry(subject).or_default();
                match (how, holds) {
                    (How::Less, true) => known.at_most(*number, false),
                    (How::Less, false) => known.at_least(*number, true),
                    (How::LessOrEqual, true) => known.at_most(*number, true),
                    (How::LessOrEqual, false) => known.at_least(*number, false),
                    (How::Equal, true) => {
                        known.at_least(*number, true);
                        known.at_most(*number, true);
                    }
                    (How::Equal, false) => {
                        known.no_numbers.insert(*number);
                    }
                }
            }
        }
    }
    known
}

/// Does hotglue document one of the statuses for one of the kinds?
fn documented(all: &All) -> bool {
    let known = known(all);
    let (Some(kind), Some(status)) = (known.get("event.kind"), known.get("event.status")) else {
        return true;
    };
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|one| kind.among.as_ref().is_none_or(|among| among.contains(one.as_str())))
        .filter(|one| !kind.none_of.contains(one.as_str()))
        .collect();
    match (&status.among, status.ending) {
        (Some(among), _) => {
            let left = among.iter().filter(|text| !status.none_of.contains(*text));
            left.into_iter().any(|text| kinds.iter().any(|kind| hotglue::comes_with(text, *kind)))
        }
        (None, Some(ending)) => {
            let ends = hotglue::STATUSES.iter().filter(|status| status.ends_with(ending));
            ends.into_iter().any(|text| kinds.iter().any(|kind| hotglue::comes_with(text, *kind)))
        }
        (None, None) => true,
    }
}

/// What [`crate::event::hotglue`] makes of a status.
fn of_an_event(known: &mut BTreeMap<&str, Known>, subject: &str, holds: bool) {
    match (subject, holds) {
        ("event.completed", true) => {
            known.entry("event.status").or_default().narrow(&["JOB_COMPLETED".to_owned()].into());
            known.entry("event.kind").or_default().narrow(&[Kind::Job.as_str().to_owned()].into());
        }
        ("event.failed", true) => known.entry("event.status").or_default().ending = Some("_FAILED"),
        ("event.failed", false) => known.entry("event.status").or_default().not_ending = Some("_FAILED"),
        _ => {}
    }
}
