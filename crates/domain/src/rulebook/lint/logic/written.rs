//! Expressions in one way, however they are spaced, quoted and worded.

use minijinja::machinery::ast::{BinOpKind, CallArg, CallType, Expr, UnaryOpKind};
use minijinja::machinery::parse_expr;
use minijinja::value::ValueKind;

use crate::rulebook::check::{Type, type_of};

/// A condition as one text: the same for the same condition, however it is spaced and quoted.
pub(in crate::rulebook::lint) fn in_one_way(source: &str) -> String {
    parse_expr(source).map_or_else(|_| source.to_owned(), |tree| written(&tree))
}

/// An expression as one text: the same for the same expression, however it is spaced and quoted.
pub(super) fn written(expr: &Expr<'_>) -> String {
    if let Some(Against { subject, truth, equal }) =
        against_truth(expr).filter(|it| is_exact(it.subject, it.truth))
    {
        let subject = written(subject);
        return if truth == equal { subject } else { format!("(not {subject})") };
    }
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

/// `subject == true`, `subject != false`, `subject is true`.
pub(super) struct Against<'e, 's> {
    pub(super) subject: &'e Expr<'s>,
    pub(super) truth: bool,
    pub(super) equal: bool,
}

pub(super) fn against_truth<'e, 's>(expr: &'e Expr<'s>) -> Option<Against<'e, 's>> {
    let truth = |expr: &Expr<'_>| match expr {
        Expr::Const(constant) => {
            bool::try_from(constant.value.clone()).ok().filter(|_| constant.value.kind() == ValueKind::Bool)
        }
        _ => None,
    };
    match expr {
        Expr::BinOp(op) if matches!(op.op, BinOpKind::Eq | BinOpKind::Ne) => {
            let equal = matches!(op.op, BinOpKind::Eq);
            match (truth(&op.left), truth(&op.right)) {
                (None, Some(truth)) => Some(Against { subject: &op.left, truth, equal }),
                (Some(truth), None) => Some(Against { subject: &op.right, truth, equal }),
                _ => None,
            }
        }
        Expr::Test(test) if test.args.is_empty() && test.expr.as_const().is_none() => match test.name {
            "true" => Some(Against { subject: &test.expr, truth: true, equal: true }),
            "false" => Some(Against { subject: &test.expr, truth: false, equal: true }),
            _ => None,
        },
        _ => None,
    }
}

/// Is the value this very truth wherever it is taken for it?
pub(super) fn is_exact(subject: &Expr<'_>, truth: bool) -> bool {
    type_of(subject, &|_| false).is_some_and(|of| of.is == Type::Truth && (truth || !of.or_none))
}
