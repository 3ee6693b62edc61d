//! What is printed on stdout: the one place that knows whether a person or a program reads.
//!
//! A person on a terminal gets colours, relative times and cells cut to the width; anything else gets plain aligned
//! text with whole values. Text that came from outside (tenants, job names, errors) must pass through [`clean`] or
//! [`clean_block`]: a control sequence in it would otherwise be obeyed by the terminal.

mod table;
mod text;
mod time;

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use crate::Misused;

pub(crate) use self::table::{Cell, Table};
pub(crate) use self::text::{clean, clean_block, first_line, pretty_json, telling_line};
pub(crate) use self::time::{When, ago, stamp};

/// Does a person read stdout?
pub(crate) fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Does a person see what is said on stderr, where progress is shown?
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Can a person be asked? Only when both the question can be read and the answer typed.
fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Prints a line on stdout; colours are taken out where nobody would see them.
///
/// # Errors
/// When stdout can't be written to; see [`is_broken_pipe`].
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{}", text.as_ref())
}

/// Prints a note for a person on stderr, out of the way of what a program reads. Nobody there to read it is no error.
pub(crate) fn note(text: impl AsRef<str>) {
    let _nobody_reads = writeln!(anstream::stderr().lock(), "{}", text.as_ref());
}

/// Prints bytes as they are.
///
/// # Errors
/// When stdout can't be written to.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints a value as JSON: over several lines on a terminal, else as one line.
///
/// # Errors
/// When stdout can't be written to.
pub(crate) fn print_json<T: Serialize + ?Sized>(value: &T) -> io::Result<()> {
    let json = if on_terminal() { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    io_line(&text::json_safe(&json?))
}

/// Prints a value as one line of JSON, for listings without an end.
///
/// # Errors
/// When stdout can't be written to.
pub(crate) fn print_json_line<T: Serialize + ?Sized>(value: &T) -> io::Result<()> {
    io_line(&text::json_safe(&serde_json::to_string(value)?))
}

fn io_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Asks a question that is answered with yes or no; anything but yes is no.
///
/// # Errors
/// When the terminal can't be read.
fn ask(question: &str) -> io::Result<bool> {
    let mut err = io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// May something be done that changes what is outside? `yes` is `--yes`; without it a person is asked.
///
/// # Errors
/// [`Misused`] when there is nobody to ask.
pub(crate) fn agreed(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !can_ask() {
        let asked = "nobody is there to be asked: add --yes to do it, or --dry-run to see what would be done";
        return Err(Misused(asked.to_owned()).into());
    }
    Ok(ask(question)?)
}

/// Did the reader of our output go away (`| head`)? It has what it wanted: no failure.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

macro_rules! styles {
    ($($(#[$doc:meta])* $name:ident = $style:expr;)*) => { $(
        $(#[$doc])*
        pub(crate) fn $name(text: impl std::fmt::Display) -> String {
            let style: anstyle::Style = $style;
            format!("{style}{text}{style:#}")
        }
    )* };
}

styles! {
    /// Headings.
    bold = anstyle::Style::new().bold();
    /// What is there for completeness.
    dim = anstyle::Style::new().dimmed();
    /// What went well.
    green = anstyle::AnsiColor::Green.on_default();
    /// What failed.
    red = anstyle::AnsiColor::Red.on_default();
    /// What is under way or needs a look.
    yellow = anstyle::AnsiColor::Yellow.on_default();
}

/// `1 event`, `2 events`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_recognised_however_deep() {
        let gone = anyhow::Error::from(io::Error::from(ErrorKind::BrokenPipe)).context("printing");
        assert!(is_broken_pipe(&gone));
        assert!(!is_broken_pipe(&anyhow::anyhow!("broken pipe")));
        let json = serde_json::Error::io(io::Error::from(ErrorKind::BrokenPipe));
        assert!(is_broken_pipe(&anyhow::Error::from(io::Error::from(json))));
    }

    #[test]
    fn things_are_counted_as_people_do() {
        assert_eq!((count(1, "event").as_str(), count(0, "event").as_str()), ("1 event", "0 events"));
    }
}
