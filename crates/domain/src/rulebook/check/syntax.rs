//! What the parser says of a source that it can't read, and what is not even given to it.

use minijinja::machinery::{Token, tokenize};

use super::{DEEPEST, Problem};
use crate::config::nearest;
use crate::rulebook::language::{sentence, syntax};

/// Most brackets open at once.
const MOST_OPEN: usize = 30;
/// What may begin a `{% … %}`.
const STATEMENTS: &[&str] = &[
    "if",
    "elif",
    "else",
    "endif",
    "for",
    "endfor",
    "set",
    "endset",
    "with",
    "endwith",
    "filter",
    "endfilter",
    "raw",
    "endraw",
];

/// The parser calls itself for each of these and is not bounded for all of them; so they are counted before it starts.
pub(super) fn nesting(source: &str, expression: bool) -> Result<(), Vec<Problem>> {
    let (mut open, mut calls) = (0_usize, 0_usize);
    for token in tokenize(source, expression, syntax()) {
        let (token, at) = token.map_err(|error| unreadable(&error, source))?;
        match token {
            Token::VariableStart | Token::BlockStart => (open, calls) = (0, 0),
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => open += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => open = open.saturating_sub(1),
            Token::Minus | Token::Pow | Token::Ident("not" | "if") => calls += 1,
            _ => {}
        }
        if open > MOST_OPEN || calls > DEEPEST {
            return Err(vec![Problem::at(at, "it is nested too deep; split it".to_owned())]);
        }
    }
    Ok(())
}

pub(super) fn unreadable(error: &minijinja::Error, source: &str) -> Vec<Problem> {
    let before = error.range().and_then(|range| source.get(..range.start));
    let (line, column) = match before {
        Some(before) => {
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
            (before.matches('\n').count() + 1, column)
        }
        None => (error.line().unwrap_or(1), 0),
    };
    let statement = error.detail().and_then(|detail| detail.strip_prefix("unknown statement "));
    let sentence = match statement {
        Some(name) => {
            let hint = nearest(name, STATEMENTS.iter().copied()).map_or_else(
                || format!("known here: {}", STATEMENTS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            format!("unknown statement `{name}`; {hint}")
        }
        None => sentence(error),
    };
    vec![Problem { line, column, sentence }]
}
