//! What is wrong with an expression or a text before it is ever evaluated: unknown names, filters, tests and functions
//! (with the nearest right one), what the language leaves out here, and what could grow without measure.
//!
//! Statements that define code (`macro`, `include`, …) and `namespace()` are left out, so nothing is carried from one
//! turn of a loop to the next; what operators can make is then bounded by the expression itself: `*` takes numbers
//! only, and at most [`HEAVIEST`] values are joined into one.

mod constant;
mod syntax;
mod types;
mod words;

use minijinja::machinery::ast::{BinOpKind, Call, CallArg, CallType, CompareOpKind, Expr, Filter, Stmt};
use minijinja::machinery::{Span, parse, parse_expr};

use self::syntax::{nesting, unreadable};
pub(super) use self::types::{Type, type_of};
use super::context::{Group, Reads, SCHEDULE_FIELDS, roots};
use super::filters::{FILTERS, FUNCTIONS, TESTS, write_date};
use super::language::syntax;
use super::lint::Severity;
use crate::config::nearest;

/// Longest expression, in bytes. With [`DEEPEST`] it keeps parsing and compiling off the end of the stack.
const LONGEST_EXPRESSION: usize = 4 << 10;
/// Longest text with template code in it, in bytes.
const LONGEST_TEXT: usize = 8 << 10;
/// Deepest nesting; also longest chain of operators.
const DEEPEST: usize = 120;
/// How many values may be joined into one.
const HEAVIEST: u32 = 64;

/// One thing wrong, with its line and column (from 1 and from 0) within the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) sentence: String,
}

impl Problem {
    fn at(at: Span, sentence: String) -> Self {
        Self { line: usize::from(at.start_line).max(1), column: usize::from(at.start_col), sentence }
    }

    fn general(sentence: String) -> Vec<Self> {
        vec![Self { line: 1, column: 0, sentence }]
    }
}

/// What was learned of a source in which nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// What it can read.
    pub(super) reads: Reads,
    /// What is allowed, and can't or hardly be meant.
    pub(super) doubts: Vec<(Severity, Problem)>,
}

/// Checks an expression.
pub(super) fn expression(source: &str) -> Result<Checked, Vec<Problem>> {
    if source.trim().is_empty() {
        return Err(Problem::general("it is empty".to_owned()));
    }
    if source.len() > LONGEST_EXPRESSION {
        return Err(Problem::general(format!("it is longer than {} KiB", LONGEST_EXPRESSION >> 10)));
    }
    nesting(source, true)?;
    let tree = parse_expr(source).map_err(|error| unreadable(&error, source))?;
    let mut walk = Walk::new();
    walk.expr(&tree);
    walk.finish()
}

/// Checks a text with template code in it.
pub(super) fn text(source: &str) -> Result<Checked, Vec<Problem>> {
    if source.len() > LONGEST_TEXT {
        return Err(Problem::general(format!("it is longer than {} KiB", LONGEST_TEXT >> 10)));
    }
    nesting(source, false)?;
    let tree = parse(source, "<text>", syntax()).map_err(|error| unreadable(&error, source))?;
    let mut walk = Walk::new();
    walk.stmt(&tree);
    walk.finish()
}

fn as_binary(op: CompareOpKind) -> BinOpKind {
    match op {
        CompareOpKind::Eq => BinOpKind::Eq,
        CompareOpKind::Ne => BinOpKind::Ne,
        CompareOpKind::Lt => BinOpKind::Lt,
        CompareOpKind::Lte => BinOpKind::Lte,
        CompareOpKind::Gt => BinOpKind::Gt,
        CompareOpKind::Gte => BinOpKind::Gte,
        CompareOpKind::In | CompareOpKind::NotIn => BinOpKind::In,
    }
}

struct Walk<'a> {
    /// Names bound by `for`, `set` and `with`, innermost scope last, with the weight of their values.
    scopes: Vec<Vec<(&'a str, u32)>>,
    reads: Reads,
    problems: Vec<Problem>,
    doubts: Vec<(Severity, Problem)>,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn new() -> Self {
        let (problems, doubts) = (Vec::new(), Vec::new());
        Self { scopes: vec![Vec::new()], reads: Reads::default(), problems, doubts, depth: 0 }
    }

    fn finish(self) -> Result<Checked, Vec<Problem>> {
        let Self { reads, problems, doubts, .. } = self;
        if problems.is_empty() { Ok(Checked { reads, doubts }) } else { Err(problems) }
    }

    fn say(&mut self, at: Span, sentence: String) {
        let problem = Problem::at(at, sentence);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn bound(&self, name: &str) -> Option<u32> {
        self.scopes.iter().rev().flatten().find(|(bound, _)| *bound == name).map(|(_, weight)| *weight)
    }

    fn bind(&mut self, target: &Expr<'a>, weight: u32) {
        match target {
            Expr::Var(var) => {
                if let Some(scope) = self.scopes.last_mut() {
                    // The newest binding of a name is found first.
                    scope.insert(0, (var.id, weight));
                }
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.bind(item, weight)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item, weight)),
            other => self.say(other.span(), "only a plain name can be set".to_owned()),
        }
    }

    fn deeper(&mut self, at: Span) -> bool {
        if self.depth >= DEEPEST {
            self.say(at, format!("it is nested more than {DEEPEST} deep; split it into several lines"));
            return false;
        }
        self.depth += 1;
        true
    }

    fn stmts(&mut self, stmts: &[Stmt<'a>]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn scoped(&mut self, inside: impl FnOnce(&mut Self)) {
        self.scopes.push(Vec::new());
        inside(self);
        self.scopes.pop();
    }

    fn stmt(&mut self, stmt: &Stmt<'a>) {
        if !self.deeper(Span::default()) {
            return;
        }
        match stmt {
            Stmt::Template(template) => self.stmts(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => {
                self.expr(&emit.expr);
            }
            Stmt::ForLoop(each) => {
                if each.recursive {
                    self.say(each.span(), "`recursive` is not available in a rule".to_owned());
                }
                let weight = self.expr(&each.iter);
                self.scoped(|walk| {
                    walk.bind(&each.target, weight);
                    if let Some(filter) = &each.filter_expr {
                        walk.expr(filter);
                    }
                    if let Some(scope) = walk.scopes.last_mut() {
                        scope.push(("loop", 1));
                    }
                    walk.stmts(&each.body);
                });
                self.scoped(|walk| walk.stmts(&each.else_body));
            }
            Stmt::IfCond(cond) => {
                self.expr(&cond.expr);
                self.stmts(&cond.true_body);
                self.stmts(&cond.false_body);
            }
            Stmt::WithBlock(with) => self.scoped(|walk| {
                for (target, value) in &with.assignments {
                    let weight = walk.expr(value);
                    walk.bind(target, weight);
                }
                walk.stmts(&with.body);
            }),
            Stmt::Set(set) => {
                let weight = self.expr(&set.expr);
                self.bind(&set.target, weight);
            }
            Stmt::SetBlock(set) => {
                self.scoped(|walk| walk.stmts(&set.body));
                if let Some(filter) = &set.filter {
                    self.expr(filter);
                }
                self.bind(&set.target, 1);
            }
            Stmt::FilterBlock(block) => {
                self.expr(&block.filter);
                self.scoped(|walk| walk.stmts(&block.body));
            }
            Stmt::AutoEscape(it) => self.left_out(it.span(), "autoescape"),
            Stmt::Block(it) => self.left_out(it.span(), "block"),
            Stmt::Import(it) => self.left_out(it.span(), "import"),
            Stmt::FromImport(it) => self.left_out(it.span(), "from"),
            Stmt::Extends(it) => self.left_out(it.span(), "extends"),
            Stmt::Include(it) => self.left_out(it.span(), "include"),
            Stmt::Macro(it) => self.left_out(it.span(), "macro"),
            Stmt::CallBlock(it) => self.left_out(it.span(), "call"),
            Stmt::Do(it) => self.left_out(it.span(), "do"),
        }
        self.depth -= 1;
    }

    fn left_out(&mut self, at: Span, word: &str) {
        self.say(at, format!("`{{% {word} %}}` is not available in a rule"));
    }

    /// Gives the weight of the value: how many values of the event may be joined in it.
    fn expr(&mut self, expr: &Expr<'a>) -> u32 {
        if !self.deeper(expr.span()) {
            return 1;
        }
        let weight = match expr {
            Expr::Const(_) => 1,
            Expr::Var(var) => self.root(var.id, expr.span()),
            Expr::GetAttr(get) => self.field(expr, &get.expr, get.name),
            Expr::GetItem(get) => {
                let name = constant::text(&get.subscript_expr);
                let inner = self.expr(&get.subscript_expr);
                match name {
                    Some(name) => self.field(expr, &get.expr, &name),
                    None => self.expr(&get.expr).max(inner),
                }
            }
            Expr::Slice(slice) => {
                for part in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.expr(part);
                }
                self.expr(&slice.expr)
            }
            Expr::UnaryOp(op) => self.expr(&op.expr),
            Expr::BinOp(op) => {
                if matches!(op.op, BinOpKind::Eq | BinOpKind::Ne | BinOpKind::In) {
                    self.compared(&op.left, &op.right);
                }
                self.fitting(op.op, &op.left, &op.right, op.left.span());
                let (left, right) = (self.expr(&op.left), self.expr(&op.right));
                match op.op {
                    BinOpKind::Add | BinOpKind::Concat => left.saturating_add(right),
                    BinOpKind::Mul => {
                        if !(constant::is_number(&op.left) && constant::is_number(&op.right)) {
                            self.say(
                                expr.span(),
                                "`*` is for numbers only: put `|int` behind each side, such as (a|int) * 2"
                                    .to_owned(),
                            );
                        }
                        1
                    }
                    _ => left.max(right),
                }
            }
            Expr::Compare(compare) => {
                self.expr(&compare.expr);
                let mut left = &compare.expr;
                for op in &compare.ops {
                    self.fitting(as_binary(op.op), left, &op.expr, left.span());
                    self.expr(&op.expr);
                    left = &op.expr;
                }
                1
            }
            Expr::IfExpr(cond) => {
                self.expr(&cond.test_expr);
                let yes = self.expr(&cond.true_expr);
                cond.false_expr.as_ref().map_or(yes, |no| self.expr(no).max(yes))
            }
            Expr::Filter(filter) => self.filter(filter, expr.span()),
            Expr::Test(test) => {
                let name: String = test.name.split_whitespace().collect();
                self.known("test", &name, TESTS, expr.span());
                self.expr(&test.expr);
                self.args(&test.args);
                1
            }
            Expr::Call(call) => self.call(call, expr.span()),
            Expr::List(list) => self.sum(&list.items),
            Expr::Tuple(tuple) => self.sum(&tuple.items),
            Expr::Map(map) => self.sum(&map.keys).saturating_add(self.sum(&map.values)),
        };
        self.depth -= 1;
        if weight > HEAVIEST {
            self.say(expr.span(), format!("it joins more than {HEAVIEST} values into one"));
            return 1;
        }
        weight
    }

    fn sum(&mut self, items: &[Expr<'a>]) -> u32 {
        items
            .iter()
            .map(|item| if constant::is_plain(item) { 0 } else { self.expr(item) })
            .fold(1, u32::saturating_add)
    }

    fn args(&mut self, args: &[CallArg<'a>]) -> u32 {
        let exprs = args.iter().map(|arg| match arg {
            CallArg::Pos(expr)
            | CallArg::Kwarg(_, expr)
            | CallArg::PosSplat(expr)
            | CallArg::KwargSplat(expr) => expr,
        });
        exprs
            .map(|expr| if constant::is_plain(expr) { 0 } else { self.expr(expr) })
            .fold(0, u32::saturating_add)
    }

    fn root(&mut self, name: &'a str, at: Span) -> u32 {
        if let Some(weight) = self.bound(name) {
            return weight;
        }
        if let Some(group) = Group::named(name) {
            self.reads.add_group(group);
        } else if roots().any(|root| root == name) {
            self.reads.add_single(name);
        } else {
            let of_group = Group::ALL.into_iter().find(|group| group.fields().contains(&name));
            let hint = of_group.map(|group| format!("{}.{name}", group.name())).or_else(|| {
                let bound = self.scopes.iter().flatten().map(|(name, _)| *name);
                let own = roots().map(|root| -> &str { root });
                nearest(name, bound.chain(own)).map(str::to_owned)
            });
            let known = || roots().collect::<Vec<_>>().join(", ");
            self.unknown("name", name, hint, known, at);
        }
        1
    }

    fn field(&mut self, whole: &Expr<'a>, of: &Expr<'a>, name: &str) -> u32 {
        let Some(path) = self.path(of) else { return self.expr(of) };
        match path.as_slice() {
            [root] => {
                if let Some(group) = Group::named(root) {
                    self.reads.add_field(group, name);
                    self.known_field(group.name(), name, group.fields(), whole.span());
                    return 1;
                }
            }
            ["tenant", "schedule"] => {
                self.reads.add_field(Group::Tenant, "schedule");
                self.known_field("tenant.schedule", name, SCHEDULE_FIELDS, whole.span());
                return 1;
            }
            _ => {}
        }
        self.expr(of)
    }

    /// `a.b.c` as its parts, when `a` is no bound name.
    fn path(&self, expr: &Expr<'a>) -> Option<Vec<&'a str>> {
        match expr {
            Expr::Var(var) if self.bound(var.id).is_none() => Some(vec![var.id]),
            Expr::GetAttr(get) => {
                // Only the first two parts are ever known.
                let Expr::Var(var) = &get.expr else { return None };
                self.bound(var.id).is_none().then(|| vec![var.id, get.name])
            }
            _ => None,
        }
    }

    fn known_field(&mut self, group: &str, name: &str, fields: &[&str], at: Span) {
        if fields.contains(&name) {
            return;
        }
        let hint = nearest(name, fields.iter().copied()).map(|near| format!("{group}.{near}"));
        self.unknown("name", &format!("{group}.{name}"), hint, || fields.join(", "), at);
    }

    fn known(&mut self, what: &str, name: &str, names: &[&str], at: Span) -> bool {
        let known = names.contains(&name);
        if !known {
            let hint = nearest(name, names.iter().copied()).map(str::to_owned);
            self.unknown(what, name, hint, || names.join(", "), at);
        }
        known
    }

    fn unknown(
        &mut self,
        what: &str,
        name: &str,
        hint: Option<String>,
        known: impl FnOnce() -> String,
        at: Span,
    ) {
        let hint =
            hint.map_or_else(|| format!("known here: {}", known()), |near| format!("did you mean `{near}`?"));
        self.say(at, format!("unknown {what} `{name}`; {hint}"));
    }

    fn filter(&mut self, filter: &Filter<'a>, at: Span) -> u32 {
        self.known("filter", filter.name, FILTERS, at);
        let first = filter.args.first().and_then(|arg| match arg {
            CallArg::Pos(expr) => Some((expr, constant::text(expr))),
            _ => None,
        });
        match (filter.name, first) {
            ("map", Some((_, Some(name)))) => {
                self.known("filter", &name, FILTERS, at);
            }
            ("select" | "reject", Some((_, Some(name)))) => {
                self.known("test", &name, TESTS, at);
            }
            ("map" | "select" | "reject", Some((expr, None))) => {
                self.say(expr.span(), format!("`{}` needs the name written out, in quotes", filter.name));
            }
            ("attr", Some((_, Some(name)))) => {
                let group = filter.expr.as_ref().and_then(|of| match self.path(of)?.as_slice() {
                    [root] => Group::named(root),
                    _ => None,
                });
                if let Some(group) = group {
                    self.known_field(group.name(), &name, group.fields(), at);
                }
            }
            ("date", Some((_, Some(form)))) => {
                if let Err(why) = write_date(jiff::Timestamp::UNIX_EPOCH, &form) {
                    self.say(at, format!("`{form}` is not a form of date: {why}"));
                }
            }
            _ => {}
        }
        let of = filter.expr.as_ref().map_or(1, |expr| self.expr(expr));
        let weight = of.saturating_add(self.args(&filter.args));
        match filter.name {
            "length" | "count" | "int" | "float" | "date" | "letters" | "first_line" => 1,
            _ => weight,
        }
    }

    fn call(&mut self, call: &Call<'a>, at: Span) -> u32 {
        match call.identify_call() {
            CallType::Function(name) => {
                self.known("function", name, FUNCTIONS, at);
            }
            CallType::Method(of, name) => {
                self.expr(of);
                let hint = if FILTERS.contains(&name) {
                    format!("write it as a filter: `|{name}`")
                } else {
                    "filters do such things, behind a `|`".to_owned()
                };
                self.say(at, format!("`.{name}()` can't be called here; {hint}"));
            }
            CallType::Block(name) => self.say(at, format!("`self.{name}()` is not available in a rule")),
            CallType::Object(of) => {
                self.expr(of);
                self.say(at, "this can't be called".to_owned());
            }
        }
        self.args(&call.args).max(1)
    }
}
