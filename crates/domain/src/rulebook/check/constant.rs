//! What can be said of an expression without an event.

use minijinja::machinery::ast::{BinOpKind, Expr, UnaryOpKind};

/// The text that it is.
pub(super) fn text(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
        _ => None,
    }
}

/// A constant: as heavy as it is written.
pub(super) fn is_plain(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Const(_))
}

/// Is the value a number, whatever the event?
pub(super) fn is_number(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Const(constant) => constant.value.is_number(),
        Expr::Filter(filter) => matches!(filter.name, "int" | "float" | "length" | "count" | "round" | "abs"),
        Expr::UnaryOp(op) => matches!(op.op, UnaryOpKind::Neg),
        Expr::BinOp(op) => match op.op {
            BinOpKind::Add => is_number(&op.left) && is_number(&op.right),
            // These fail with anything but numbers.
            BinOpKind::Sub
            | BinOpKind::Mul
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow => true,
            _ => false,
        },
        _ => false,
    }
}
