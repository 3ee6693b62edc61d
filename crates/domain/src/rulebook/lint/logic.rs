//! Can conditions hold together? Answers no only where that can be proven from how they are written and from what an
//! event is; everything else may hold.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::machinery::ast::{BinOpKind, CallArg, CallType, Expr, UnaryOpKind};
use minijinja::machinery::parse_expr;

use crate::event::Kind;

/// More alternatives than these are not followed.
const MOST_ALTERNATIVES: usize = 256;

/// Something that holds or doesn't. A subject is an expression as written, such as `event.status`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Atom {
    Never,
    True { subject: String },
    Among { subject: String, texts: BTreeSet<String> },
    Contains { subject: String, part: String },
}

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

    /// Does the expression hold wherever these do?
    pub(super) fn imply(&self, source: &str) -> bool {
        !self.clone().and(source, false).possible()
    }
}

/// None when there are too many.
fn alternatives(expr: &Expr<'_>, holds: bool) -> Option<Vec<All>> {
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
        other => {
            let (atom, upside) = atom(other);
            Some(vec![vec![Literal { atom, holds: holds == upside }]])
        }
    }
}

/// The atom, and whether it holds when the expression does.
fn atom(expr: &Expr<'_>) -> (Atom, bool) {
    if let Some(value) = expr.as_const() {
        return (Atom::Never, !value.is_true());
    }
    let Expr::BinOp(op) = expr else { return (Atom::True { subject: written(expr) }, true) };
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

/// An expression as one text: the same for the same expression, however it is spaced and quoted.
fn written(expr: &Expr<'_>) -> String {
    let list = |items: &[Expr<'_>]| items.iter().map(written).collect::<Vec<_>>().join(", ");
    let args = |args: &[CallArg<'_>]| {
        let each = args.iter().map(|arg| match arg {
            CallArg::Pos(expr) => written(expr),
            CallArg::Kwarg(name, expr) => format!("{name}={}", written(expr)),
            CallArg::PosSplat(expr) => format!("*{}", written(expr)),
            CallArg::KwargSplat(expr) => format!("**{}", written(expr)),
        });
        each.collect::<Vec<_>>().join(", ")
    };
    match expr {
        Expr::Var(var) => var.id.to_owned(),
        Expr::Const(constant) => format!("{:?}", constant.value),
        Expr::GetAttr(get) => format!("{}.{}", written(&get.expr), get.name),
        Expr::GetItem(get) => match get.subscript_expr.as_const() {
            Some(name) if name.as_str().is_some() => format!("{}.{name}", written(&get.expr)),
            _ => format!("{}[{}]", written(&get.expr), written(&get.subscript_expr)),
        },
        Expr::Slice(slice) => {
            let part = |part: &Option<Expr<'_>>| part.as_ref().map(written).unwrap_or_default();
            let (start, stop, step) = (part(&slice.start), part(&slice.stop), part(&slice.step));
            format!("{}[{start}:{stop}:{step}]", written(&slice.expr))
        }
        Expr::UnaryOp(op) => {
            let sign = if matches!(op.op, UnaryOpKind::Not) { "not " } else { "-" };
            format!("({sign}{})", written(&op.expr))
        }
        Expr::BinOp(op) => format!("({} {} {})", written(&op.left), op.op as u8, written(&op.right)),
        Expr::Compare(compare) => {
            let ops = compare.ops.iter().map(|op| format!(" {} {}", op.op as u8, written(&op.expr)));
            format!("({}{})", written(&compare.expr), ops.collect::<String>())
        }
        Expr::IfExpr(cond) => format!(
            "({} if {} else {})",
            written(&cond.true_expr),
            written(&cond.test_expr),
            cond.false_expr.as_ref().map(written).unwrap_or_default()
        ),
        Expr::Filter(filter) => {
            let of = filter.expr.as_ref().map(written).unwrap_or_default();
            format!("{of}|{}({})", filter.name, args(&filter.args))
        }
        Expr::Test(test) => format!("({} is {}({}))", written(&test.expr), test.name, args(&test.args)),
        Expr::Call(call) => {
            let name = match call.identify_call() {
                CallType::Function(name) => name.to_owned(),
                CallType::Method(of, name) => format!("{}.{name}", written(of)),
                CallType::Block(name) => format!("self.{name}"),
                CallType::Object(of) => written(of),
            };
            format!("{name}({})", args(&call.args))
        }
        Expr::List(items) => format!("[{}]", list(&items.items)),
        Expr::Tuple(items) => format!("({})", list(&items.items)),
        Expr::Map(map) => format!("{{{}: {}}}", list(&map.keys), list(&map.values)),
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
}

impl Known {
    fn narrow(&mut self, texts: &BTreeSet<String>) {
        self.among = Some(match self.among.take() {
            Some(among) => among.intersection(texts).cloned().collect(),
            None => texts.clone(),
        });
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
            || self.among.as_ref().is_some_and(|among| !among.iter().any(|text| fits(&text)))
            // Nothing is in what is empty, but the empty text.
            || (self.truth.contains(&false) && self.parts.iter().any(|part| !part.is_empty()))
            || self.parts.iter().any(|part| self.not_parts.iter().any(|other| part.contains(other)))
            || (self.ending.is_some() && self.ending == self.not_ending)
    }
}

fn possible(all: &All) -> bool {
    let mut known: BTreeMap<&str, Known> = BTreeMap::new();
    for Literal { atom, holds } in all {
        match atom {
            Atom::Never if *holds => return false,
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
        }
    }
    !known.values().any(Known::contradictory)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn together(lines: &[&str]) -> bool {
        let all = Conditions::on(&Kind::ALL);
        lines.iter().fold(all, |all, line| all.and(line, true)).possible()
    }

    #[test]
    fn what_can_be_proven_to_exclude_each_other_does() {
        for lines in [
            ["event.failed", "not event.failed"].as_slice(),
            &["event.failed", "event.completed"],
            &["event.status == 'JOB_COMPLETED'", "event.failed"],
            &["event.status in ['SYNC_FAILED', 'ETL_FAILED']", "not event.failed"],
            &["event.tap == 'a'", "event.tap == 'b'"],
            &["event.tap == 'a'", "event.tap != \"a\""],
            &["event.tap == 'a'", "event.tap not in ('a', 'b')"],
            &["event.tap in ['a', 'b']", "'c' in event.tap"],
            &["'abc' in event.error", "'b' not in event.error"],
            &["not event.error", "'b' in event.error"],
            &["event.tap == ''", "event.tap"],
            &["event.kind == 'discover' and event.completed"],
            &["event.first_link is none", "not (event.first_link is none)"],
            &["payload.a > 3", "not payload['a'] > 3"],
            &["false"],
            &["event.tap and (event.failed or event.completed)", "event.status == 'LINK'"],
            &["not (event.failed or event.tap)", "event.tap"],
        ] {
            assert!(!together(lines), "{lines:?}");
        }
    }

    #[test]
    fn everything_else_may_hold_together() {
        for lines in [
            ["event.failed", "event.tap == 'a'"].as_slice(),
            &["event.completed or event.status == 'EXPORT_FAILED'", "event.failed"],
            &["event.tap == 'a' or event.tap == 'b'", "event.tap == 'b'"],
            &["'a' in event.error", "'b' not in event.error"],
            &["payload.a > 3", "payload.a < 2"],
            &["event.tap|lower == 'a'", "event.tap == 'A'"],
            &["event.tap in event.error", "event.tap not in event.target"],
            &["not event.tap", "'' in event.tap"],
            &["true"],
        ] {
            assert!(together(lines), "{lines:?}");
        }
    }

    #[test]
    fn one_condition_follows_from_others() {
        let all = Conditions::on(&[Kind::Job]).and("event.completed", true).and("event.tap == 'a'", true);
        assert!(all.imply("event.status == 'JOB_COMPLETED'") && all.imply("event.tap in ['a', 'b']"));
        assert!(!all.imply("event.target") && !all.imply("event.tap == 'b'"));
    }
}
