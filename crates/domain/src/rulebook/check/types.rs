//! Values whose type is known whatever the event. What compares a text with a number can't be meant.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOpKind, Expr, UnaryOpKind};
use minijinja::value::ValueKind;

use super::{Problem, Walk};
use crate::event::Event;
use crate::rulebook::lint::Severity;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rulebook) enum Type {
    Text,
    Number,
    Truth,
    List,
    Table,
    Nothing,
}

impl Type {
    fn said(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::List => "a list",
            Self::Table => "a table",
            Self::Nothing => "none",
        }
    }

    /// How to mend a comparison of the two.
    fn hint(self, other: Self) -> &'static str {
        let either = |one: Self| self == one || other == one;
        match () {
            () if either(Self::List) => "; `in` looks into a list, `|length` counts it",
            () if either(Self::Table) => "; name a field of the table, or count them by `|length`",
            () if either(Self::Text) && either(Self::Number) => {
                "; put the number in quotes, or `|int` behind the text"
            }
            () if either(Self::Text) && either(Self::Truth) => "; true and false stand without quotes",
            () => "",
        }
    }
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rulebook) struct Typed {
    pub(in crate::rulebook) is: Type,
    pub(in crate::rulebook) or_none: bool,
}

impl Typed {
    fn always(is: Type) -> Option<Self> {
        Some(Self { is, or_none: false })
    }

    fn or_none(is: Type) -> Option<Self> {
        Some(Self { is, or_none: true })
    }
}

/// The type of an expression; `bound` tells names that a text has given a meaning of its own.
pub(in crate::rulebook) fn type_of(expr: &Expr<'_>, bound: &dyn Fn(&str) -> bool) -> Option<Typed> {
    let both = |left: &Expr<'_>, right: &Expr<'_>| {
        type_of(left, bound).filter(|left| type_of(right, bound).is_some_and(|right| right.is == left.is))
    };
    match expr {
        Expr::Const(constant) => Typed::always(match constant.value.kind() {
            ValueKind::String => Type::Text,
            ValueKind::Number => Type::Number,
            ValueKind::Bool => Type::Truth,
            ValueKind::Seq => Type::List,
            ValueKind::Map => Type::Table,
            ValueKind::None => Type::Nothing,
            _ => return None,
        }),
        Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => {
            let path = path(expr)?;
            if path.first().is_some_and(|root| bound(root)) { None } else { of_name(&path) }
        }
        Expr::Slice(slice) => {
            type_of(&slice.expr, bound).filter(|of| matches!(of.is, Type::Text | Type::List))
        }
        Expr::UnaryOp(op) => Typed::always(match op.op {
            UnaryOpKind::Not => Type::Truth,
            UnaryOpKind::Neg => Type::Number,
        }),
        Expr::BinOp(op) => match op.op {
            // These give one of their sides.
            BinOpKind::ScAnd | BinOpKind::ScOr => None,
            BinOpKind::Add => both(&op.left, &op.right),
            BinOpKind::Concat => Typed::always(Type::Text),
            BinOpKind::Sub
            | BinOpKind::Mul
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow => Typed::always(Type::Number),
            BinOpKind::Eq
            | BinOpKind::Ne
            | BinOpKind::Lt
            | BinOpKind::Lte
            | BinOpKind::Gt
            | BinOpKind::Gte
            | BinOpKind::In => Typed::always(Type::Truth),
        },
        Expr::Compare(_) | Expr::Test(_) => Typed::always(Type::Truth),
        Expr::IfExpr(cond) => both(&cond.true_expr, cond.false_expr.as_ref()?),
        Expr::Filter(filter) => Typed::always(match filter.name {
            "lower" | "upper" | "title" | "capitalize" | "replace" | "trim" | "join" | "string"
            | "first_line" | "letters" | "date" | "format" | "indent" | "tojson" | "pprint" => Type::Text,
            "length" | "count" | "int" | "float" | "abs" | "round" => Type::Number,
            "list" | "split" | "lines" | "sort" => Type::List,
            "bool" => Type::Truth,
            _ => return None,
        }),
        Expr::List(_) | Expr::Tuple(_) => Typed::always(Type::List),
        Expr::Map(_) => Typed::always(Type::Table),
        Expr::Call(_) => None,
    }
}

/// `a.b['c']` as its parts.
fn path(expr: &Expr<'_>) -> Option<Vec<String>> {
    match expr {
        Expr::Var(var) => Some(vec![var.id.to_owned()]),
        Expr::GetAttr(get) => {
            let mut path = path(&get.expr)?;
            path.push(get.name.to_owned());
            Some(path)
        }
        Expr::GetItem(get) => {
            let mut path = path(&get.expr)?;
            path.push(super::constant::text(&get.subscript_expr)?);
            Some(path)
        }
        _ => None,
    }
}

/// As `context` makes the values.
fn of_name(path: &[String]) -> Option<Typed> {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["now"] => Typed::always(Type::Text),
        ["replayed"] | ["event", "completed" | "failed"] | ["tenant", "config_valid" | "state_is_null"] => {
            Typed::always(Type::Truth)
        }
        ["event", "first_link"] => Typed::or_none(Type::Truth),
        ["event", "failed_records"] => Typed::always(Type::Table),
        ["event", name] if Event::FIELDS.contains(name) => Typed::always(Type::Text),
        ["flow", "flow_id"] | ["tenant", "schedule", "expression" | "state"] => Typed::always(Type::Text),
        ["flow", _] => Typed::or_none(Type::Text),
        ["tenant", "config_problems" | "linked_sources" | "linked_targets"] => Typed::always(Type::List),
        ["tenant", "schedule"] => Typed::or_none(Type::Table),
        _ => None,
    }
}

impl<'a> Walk<'a> {
    /// Do the types of both sides go together?
    pub(super) fn fitting(&mut self, op: BinOpKind, left: &Expr<'a>, right: &Expr<'a>, at: Span) {
        let bound = |name: &str| self.bound(name).is_some();
        let (Some(one), Some(two)) = (type_of(left, &bound), type_of(right, &bound)) else { return };
        let said = |expr: &Expr<'a>, typed: Typed| match path(expr) {
            Some(path) => format!("`{}`, {},", path.join("."), typed.is.said()),
            None => typed.is.said().to_owned(),
        };
        let (this, that) = (said(left, one), said(right, two));
        let (this, that) = (this.as_str(), that.trim_end_matches(','));
        let hint = one.is.hint(two.is);
        let is = |wanted: Type| one.is == wanted || two.is == wanted;
        let sentence = match op {
            BinOpKind::In => {
                let items = match right {
                    Expr::List(list) => Some(&list.items),
                    Expr::Tuple(tuple) => Some(&tuple.items),
                    _ => None,
                };
                if let Some(items) = items {
                    for item in items {
                        self.fitting(BinOpKind::Eq, left, item, item.span());
                    }
                    return;
                }
                match (one.is, two.is) {
                    (_, Type::Truth | Type::Number) if !two.or_none => {
                        format!("`in` looks into a text, a list or a table, not into {that}")
                    }
                    (Type::List | Type::Table, Type::Text) => format!("{this} is in no text{hint}"),
                    _ => return,
                }
            }
            BinOpKind::Eq | BinOpKind::Ne if is(Type::Nothing) => {
                let other = if one.is == Type::Nothing { two } else { one };
                if other.or_none || other.is == Type::Nothing {
                    return;
                }
                let this = if one.is == Type::Nothing { right } else { left };
                let this =
                    path(this).map_or_else(|| "this".to_owned(), |path| format!("`{}`", path.join(".")));
                let hint = if other.is == Type::Text { ": a text that was not sent is empty" } else { "" };
                format!("{this} is never none{hint}")
            }
            _ if is(Type::Nothing) || one.is == two.is => return,
            // True is one, and false is zero.
            _ if is(Type::Truth) && is(Type::Number) => return,
            BinOpKind::Eq | BinOpKind::Ne => {
                format!("{this} is compared with {that}: they are never equal{hint}")
            }
            BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte => {
                format!("{this} is compared with {that}: neither is more than the other{hint}")
            }
            BinOpKind::Add if is(Type::Text) => {
                format!("{this} and {that} can't be added; `~` joins texts, `|int` makes a number")
            }
            _ => return,
        };
        let problem = Problem::at(at, sentence);
        if !self.doubts.iter().any(|(_, doubt)| *doubt == problem) {
            self.doubts.push((Severity::Error, problem));
        }
    }
}
