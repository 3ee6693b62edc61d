//! Conditions and texts: Jinja as minijinja speaks it, strict about what is not there, and bounded in steps and size.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::LazyLock;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Expression, Output, State, UndefinedBehavior};

use super::Case;
use super::context::{Context, Reads};
use super::filters::{self, Bounded};
use super::read::Placed;
use crate::facts::Needs;

/// Steps of the interpreter that one evaluation may take. The longest shipped text takes some hundred.
const FUEL: u64 = 20_000;
/// Longest text that a rule may write, in bytes.
const LONGEST_TEXT: usize = 32 << 10;
/// What may be written while a text is made, with what goes into `{% set %}` blocks.
const MOST_WRITTEN: usize = 4 * LONGEST_TEXT;
/// Ending of the names of texts in which values are escaped for Slack.
const FOR_SLACK: &str = ".slack";

/// Blocks on a line of their own leave no line behind: texts of several lines are what templates here are for.
pub(super) fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the usual delimiters are valid")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_syntax(syntax());
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(100);
    // Also in release builds: only so does an error name what was not there.
    environment.set_debug(true);
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(FOR_SLACK) { AutoEscape::Custom("slack".into()) } else { AutoEscape::None }
    });
    environment.set_formatter(write_value);
    filters::install(&mut environment);
    environment
}

/// Expressions belong to an environment; that of all conditions is one and never changes.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(environment);

struct Written(usize);

/// Values that stand in a Slack text can't make mentions or links, nor end a block of code: `&`, `<` and `>` are escaped, and
/// three backticks are kept apart by spaces of no width, unless `|safe`.
fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let written = state.get_or_insert_extension_with(|| Written(0)).0;
    let room = MOST_WRITTEN.saturating_sub(written);
    let mut bounded = Bounded { text: String::new(), room };
    let text = match value.as_str() {
        Some(text) if text.len() <= room => text,
        _ => {
            write!(bounded, "{value}").map_err(|_| too_long())?;
            &bounded.text
        }
    };
    state.get_or_insert_extension_with(|| Written(0)).0 = written + text.len();
    if value.is_safe() || !matches!(state.auto_escape(), AutoEscape::Custom(_)) {
        out.write_str(text)?;
        return Ok(());
    }
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '`']) {
        out.write_str(&rest[..at])?;
        let backticks = rest[at..].bytes().take_while(|b| *b == b'`').count();
        match rest.as_bytes()[at] {
            b'&' => out.write_str("&amp;")?,
            b'<' => out.write_str("&lt;")?,
            b'>' => out.write_str("&gt;")?,
            _ if backticks < 3 => out.write_str(&rest[at..at + backticks])?,
            _ => (0..backticks).try_for_each(|_| out.write_str("`\u{200b}"))?,
        }
        rest = &rest[at + backticks.max(1)..];
    }
    out.write_str(rest)?;
    Ok(())
}

fn too_long() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!(
            "the text is longer than {} KiB: cut what it quotes, such as event.error[:600]",
            LONGEST_TEXT >> 10
        ),
    )
}

/// How an evaluation ended.
#[derive(Debug)]
pub(super) enum Evaluated<T> {
    Value(T),
    /// Something must be known first.
    Asks(Needs),
    /// It can't be evaluated; the sentence says why.
    Wrong(String),
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Condition {
    expression: Expression<'static, 'static>,
    source: String,
    /// Place in the file, in bytes.
    at: usize,
    reads: Reads,
}

impl Condition {
    /// `source` must have passed the check, which also found what it `reads`.
    pub(super) fn compile(source: &str, at: usize, reads: Reads) -> Result<Self, String> {
        let expression = EXPRESSIONS.compile_expression_owned(source.to_owned()).map_err(|e| sentence(&e))?;
        Ok(Self { expression, source: source.to_owned(), at, reads })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn reads_clock(&self) -> bool {
        self.reads.has_single("now")
    }

    pub(super) fn value(&self, case: &Case<'_>, context: &Context) -> Evaluated<Value> {
        let result = self.expression.eval(context.ready(case, self.reads)).and_then(|value| {
            if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(value) }
        });
        evaluated(result, context)
    }

    pub(super) fn holds(&self, case: &Case<'_>, context: &Context) -> Evaluated<bool> {
        match self.value(case, context) {
            Evaluated::Value(value) => Evaluated::Value(value.is_true()),
            Evaluated::Asks(needs) => Evaluated::Asks(needs),
            Evaluated::Wrong(why) => Evaluated::Wrong(why),
        }
    }
}

fn evaluated<T>(result: Result<T, Error>, context: &Context) -> Evaluated<T> {
    let needs = context.take_needs();
    if !needs.is_empty() {
        return Evaluated::Asks(needs);
    }
    match result {
        Ok(value) => Evaluated::Value(value),
        Err(error) => Evaluated::Wrong(sentence(&error)),
    }
}

/// All compiled texts of a rulebook.
#[derive(Debug)]
pub(super) struct Texts {
    environment: Environment<'static>,
    reads: BTreeMap<String, Reads>,
}

/// A compiled text; belongs to one [`Texts`].
#[derive(Debug, Clone)]
pub(super) struct Text {
    name: String,
    /// Place in the file, in bytes.
    at: usize,
}

impl Text {
    pub(super) fn at(&self) -> usize {
        self.at
    }
}

impl Texts {
    pub(super) fn new() -> Self {
        Self { environment: environment(), reads: BTreeMap::new() }
    }

    /// `source` must have passed the check. `name` must be new.
    pub(super) fn add(
        &mut self,
        name: &str,
        for_slack: bool,
        source: &Placed,
        reads: Reads,
    ) -> Result<Text, String> {
        let name = format!("{name}{}", if for_slack { FOR_SLACK } else { "" });
        self.environment.add_template_owned(name.clone(), source.text.clone()).map_err(|e| sentence(&e))?;
        self.reads.insert(name.clone(), reads);
        Ok(Text { name, at: source.span.start })
    }

    /// The text, without blanks around it.
    pub(super) fn render(&self, text: &Text, case: &Case<'_>, context: &Context) -> Evaluated<String> {
        let reads = self.reads.get(&text.name).copied().unwrap_or_default();
        let mut written = Short(Vec::new());
        let result = self
            .environment
            .get_template(&text.name)
            .and_then(|template| {
                template.render_captured_to(context.ready(case, reads), &mut written).map(drop)
            })
            .map_err(|error| if error.kind() == ErrorKind::WriteFailure { too_long() } else { error });
        match evaluated(result, context) {
            Evaluated::Value(()) => Evaluated::Value(String::from_utf8_lossy(&written.0).trim().to_owned()),
            Evaluated::Asks(needs) => Evaluated::Asks(needs),
            Evaluated::Wrong(why) => Evaluated::Wrong(why),
        }
    }
}

struct Short(Vec<u8>);

impl io::Write for Short {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.0.len() + part.len() > LONGEST_TEXT {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One sentence of why something can't be evaluated or compiled.
pub(super) fn sentence(error: &Error) -> String {
    let detail = || error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.kind() {
        ErrorKind::OutOfFuel => format!("it was stopped after {FUEL} steps: is there an endless loop?"),
        ErrorKind::UndefinedError => match error.detail() {
            Some(detail) => format!("it reads something that is not there ({detail})"),
            None => "it reads something that is not there".to_owned(),
        },
        ErrorKind::SyntaxError => format!("it can't be read: {}", detail()),
        _ => detail(),
    }
}

/// The texts that stand in an expression or a template as constants.
pub(super) fn texts_in(source: &str, expression: bool) -> Vec<String> {
    let tokens = tokenize(source, expression, syntax()).map_while(Result::ok);
    tokens
        .filter_map(|(token, _)| match token {
            Token::Str(text) => Some(text.to_owned()),
            Token::String(text) => Some(text.into()),
            _ => None,
        })
        .collect()
}
