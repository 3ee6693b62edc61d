//! Logs: to stderr, one line each, at RFC 3339 times in UTC.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::clock::Clock;

/// The crates whose lines a bare level is about; all others stay at `warn`.
const OURS: &[&str] = &[
    "bus",
    "domain",
    "effects",
    "gluehook",
    "gluehook_ingest",
    "gluehook_worker",
    "ingest",
    "provision",
    "sandbox",
    "service",
    "store",
    "store_postgres",
    "store_sqlite",
    "worker",
];

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people: time, level, module, message, fields
    #[default]
    Text,
    /// For machines: one JSON object per line
    Json,
}

/// Which lines are logged: comma-separated, each a level (`debug`: for Gluehook's own modules) or `module=level`.
///
/// Levels are `off`, `error`, `warn`, `info`, `debug`, `trace`. What is not named stays at `info` for our own
/// modules and at `warn` for libraries.
#[derive(Debug, Clone)]
pub struct LogFilter {
    text: String,
    targets: Targets,
}

impl Default for LogFilter {
    fn default() -> Self {
        Self { text: "info".to_owned(), targets: targets(LevelFilter::INFO) }
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut ours = LevelFilter::INFO;
        let mut named = Vec::new();
        for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            match directive.split_once('=') {
                None => ours = level(directive)?,
                Some((module, wanted)) => named.push((module.trim().to_owned(), level(wanted.trim())?)),
            }
        }
        if named.iter().any(|(module, _)| module.is_empty()) {
            return Err(format!("'{text}' has a level without a module; write for example 'info,bus=debug'"));
        }
        Ok(Self { text: text.to_owned(), targets: targets(ours).with_targets(named) })
    }
}

fn targets(ours: LevelFilter) -> Targets {
    // Who asks for less than warnings of ours wants no warnings of libraries either.
    let rest = ours.min(LevelFilter::WARN);
    Targets::new().with_default(rest).with_targets(OURS.iter().map(|name| (*name, ours)))
}

fn level(word: &str) -> Result<LevelFilter, String> {
    // tracing also takes digits and the empty word; we take words only.
    match word.to_ascii_lowercase().as_str() {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(format!("'{word}' is no level; levels are off, error, warn, info, debug and trace")),
    }
}

/// Starts logging for the whole process, panics included. The first call wins; a later one changes nothing.
pub fn init(format: LogFormat, filter: &LogFilter) {
    let lines = lines(format, use_colour(), std::io::stderr);
    if Registry::default().with(lines.with_filter(filter.targets.clone())).try_init().is_ok() {
        // A panic is told like everything else, or a JSON log would have lines that are no JSON.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let why = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(place, why, "the program panicked: this is a fault of ours, please report it");
        }));
    }
}

fn lines<W>(format: LogFormat, colour: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_timer(Utc).with_ansi(colour);
    match format {
        LogFormat::Text => Box::new(layer),
        LogFormat::Json => Box::new(layer.json().flatten_event(true)),
    }
}

/// No colour where no person watches, or where one asked for none (<https://no-color.org>).
fn use_colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes RFC 3339 in UTC, to the microsecond.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{:.6}", Clock::system().now())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::*;

    fn filter(text: &str) -> Targets {
        text.parse::<LogFilter>().unwrap().targets
    }

    #[test]
    fn by_default_ours_are_at_info_and_the_rest_at_warn() {
        for targets in [LogFilter::default().targets, filter("info"), filter("")] {
            assert!(targets.would_enable("gluehook_ingest::admit", &Level::INFO));
            assert!(!targets.would_enable("bus::publisher", &Level::DEBUG));
            assert!(targets.would_enable("sqlx::query", &Level::WARN));
            assert!(!targets.would_enable("sqlx::query", &Level::INFO));
        }
    }

    #[test]
    fn a_bare_level_is_about_our_own_modules() {
        let targets = filter("debug");
        assert!(targets.would_enable("worker::process", &Level::DEBUG));
        assert!(!targets.would_enable("hyper", &Level::DEBUG));
        assert!(!filter("error").would_enable("hyper", &Level::WARN));
        assert!(!filter("off").would_enable("bus", &Level::ERROR));
    }

    #[test]
    fn a_named_module_has_its_own_level() {
        let targets = filter("warn, sqlx=debug,bus::publisher=trace");
        assert!(targets.would_enable("sqlx::query", &Level::DEBUG));
        assert!(targets.would_enable("bus::publisher", &Level::TRACE));
        assert!(!targets.would_enable("bus::consumer", &Level::INFO));
    }

    #[test]
    fn nonsense_is_refused_with_the_words_that_are_known() {
        for text in ["loud", "bus=loud", "=debug", "bus=", "3"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
        assert!("loud".parse::<LogFilter>().unwrap_err().contains("off, error, warn, info, debug and trace"));
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = Registry::default().with(lines(format, false, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || tracing::info!(attempt = 2, "stored"));
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_text_line_begins_with_the_time_in_utc_and_has_no_colour() {
        let line = written(LogFormat::Text);
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert_eq!(time.len(), "2025-03-01T12:00:00.000000Z".len(), "{line}");
        assert!(rest.contains("stored attempt=2") && !line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields() {
        let line = written(LogFormat::Json);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["message"], "stored");
        assert_eq!(json["attempt"], 2);
        assert!(json["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }
}
