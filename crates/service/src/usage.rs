//! Reading a command line: what is told of a mistake in it repeats no secret.

use std::io::{IsTerminal as _, Write as _};

use clap::Parser;
use clap::error::{ContextKind, ContextValue};

/// Flags whose values are told of nobody, whatever is in them.
const SECRETIVE: [&str; 6] = ["url", "token", "password", "secret", "key", "creds"];
/// A shorter value could be a part of any word.
const SHORTEST: usize = 4;

/// As [`Parser::parse`]: a mistake is told and ends the process, with exit code 2. But a user, password or token that stands in a
/// mistyped URL is not repeated.
#[must_use]
pub fn parse<P: Parser>() -> P {
    P::try_parse().unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        let said = error.render();
        let is_seen = std::io::stderr().is_terminal();
        let said = if is_seen { said.ansi().to_string() } else { said.to_string() };
        // There is nobody left to tell that stderr is closed.
        let _closed = write!(std::io::stderr(), "{}", told(&error, said));
        std::process::exit(error.exit_code())
    })
}

fn told(error: &clap::Error, mut said: String) -> String {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let argument = argument.to_ascii_lowercase();
    let is_secretive = SECRETIVE.iter().any(|word| argument.contains(word));
    for (kind, value) in error.context() {
        let values = match value {
            ContextValue::String(value) => std::slice::from_ref(value),
            ContextValue::Strings(values) => values.as_slice(),
            _ => continue,
        };
        for value in values.iter().filter(|value| value.len() >= SHORTEST) {
            if let Some(hidden) = hidden(value, is_secretive && kind == ContextKind::InvalidValue) {
                said = said.replace(value.as_str(), &hidden);
            }
        }
    }
    said
}

/// The value without what may be secret in it; none if nothing is.
fn hidden(value: &str, is_secretive: bool) -> Option<String> {
    if let Some((before, host)) = value.rsplit_once('@') {
        let scheme = before.find("://").map_or("", |at| &before[..at + 3]);
        let host = host.split(['?', '#']).next().unwrap_or_default();
        return Some(format!("{scheme}***@{host}"));
    }
    if value.contains("://")
        && let Some((before, _)) = value.split_once(['?', '#'])
        && !is_secretive
    {
        return Some(format!("{before}?***"));
    }
    is_secretive.then(|| "***".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long, value_parser = clap::value_parser!(u16))]
        nats_url: Option<u16>,
        #[arg(long, value_parser = clap::value_parser!(u16))]
        since: Option<u16>,
    }

    fn said(args: &[&str]) -> String {
        let error = Program::try_parse_from([&["p"], args].concat()).unwrap_err();
        told(&error, error.render().to_string()) + &told(&error, error.render().ansi().to_string())
    }

    #[test]
    fn a_mistake_is_told_without_the_secret_in_it() {
        for wrong in [
            "--nats-url=http://bob:s3cret@h:1",
            "--nats-url=bob:s3cret@h",
            "--nats-url=nats://bob:s3c 'ret@s3cret@h",
            "--nats-url=nats://s3cret",
            "--since=http://h/?token=s3cret",
            "--nats-ulr=nats://bob:s3cret@h",
            "nats://bob:s3cret@h",
        ] {
            let said = said(&[wrong]);
            assert!(!said.contains("s3c") && !said.contains("bob"), "{said}");
        }
    }

    #[test]
    fn everything_else_is_told_as_it_was_written() {
        let said = said(&["--since=tomorrow"]);
        assert!(said.contains("tomorrow") && said.contains("--since"), "{said}");
        assert!(hidden("http://127.0.0.1:8222", false).is_none());
    }
}
