//! `gluehook events`: what came in, what was decided and what was done.

mod export;
mod list;
mod select;
pub(crate) mod show;
mod tail;

use std::process::ExitCode;

use anyhow::Result;
use service::Clock;
use store::{Access, Store};

pub(crate) use self::list::{Row, SHORT, rules, short};
pub(crate) use self::select::Select;
pub(crate) use self::show::{facts, outcome, state, verdict};
use crate::{Common, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List events, newest first
    List {
        #[command(flatten)]
        select: Select,

        /// Most events to list, the newest of them; that there are more is said on stderr
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
    },
    /// Show everything that is known of one event
    Show {
        /// The event, or how its id begins
        id: String,

        /// Print the body alone, byte for byte as it is kept
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    /// Write an event as a scenario for `gluehook rules test`: payload, facts and what the rules of today plan
    Export(export::Args),
    /// Print the newest events, then each that comes in, until Ctrl-C
    Tail {
        #[command(flatten)]
        select: Select,

        /// Events to begin with
        #[arg(long, short = 'n', value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100_000))]
        lines: u32,
    },
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode> {
    let clock = Clock::system();
    let store = open_log(common, Access::Reader).await?;
    match command {
        Command::List { select, limit } => {
            list::run(common, &store, &select.filter(clock.now()), limit, clock).await
        }
        Command::Show { id, raw } => show(common, &store, &id, raw, clock).await,
        Command::Export(args) => export::run(common, &store, &args).await,
        Command::Tail { select, lines } => tail::run(common, &store, select.filter(clock.now()), lines).await,
    }
}

/// Opens the event log that the flags name.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) async fn open_log(common: &Common, access: Access) -> Result<Store> {
    Ok(Store::open(&common.store.database_url, access).await?)
}

async fn show(common: &Common, store: &Store, id: &str, raw: bool, clock: Clock) -> Result<ExitCode> {
    let Some(record) = store.event(id).await? else {
        output::note(format!("gluehook: {}", unknown(id)));
        return Ok(ExitCode::FAILURE);
    };
    if raw {
        output::bytes(&record.body)?;
    } else if common.json {
        output::print_json(&WithBody { record: &record, body: String::from_utf8_lossy(&record.body) })?;
    } else {
        for line in show::lines(&record, clock.now(), output::on_terminal()) {
            output::line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The sentence for an id that is none.
pub(crate) fn unknown(id: &str) -> String {
    format!(
        "there is no event {} in the event log: gluehook events list shows those there are",
        output::clean(id)
    )
}

/// A record as JSON; its body as text.
#[derive(serde::Serialize)]
struct WithBody<'a> {
    #[serde(flatten)]
    record: &'a domain::journal::EventRecord,
    body: std::borrow::Cow<'a, str>,
}
