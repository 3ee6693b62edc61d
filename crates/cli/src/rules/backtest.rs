//! `gluehook rules backtest`: what would a rulebook have done about the events that were recorded?
//!
//! Exit codes: 0 nothing would differ and nothing needs a person, 1 something does, 2 it could not be tried.

mod ask;
mod findings;
mod page;
mod play;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use domain::backtest::{Limited, Report, Touches};
use domain::event::Kind;
use domain::journal::{Rows, Span};
use domain::rulebook::{Mode, Rulebook};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use service::Clock;
use store::{Access, Store};

use self::ask::{Asking, Unanswered};
use self::findings::Finding;
use self::play::{Players, Setup};
use crate::events::open_log;
use crate::output::{self, When};
use crate::{Common, Misused, files};

/// Exit code: it could not be tried.
const TROUBLE: u8 = 2;
/// Events that are read at once.
const PAGE: u32 = 2_000;

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The rulebook to try
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// Compare with what this rulebook would have done; with what was decided then, unless given
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,

    /// Events received since: a length of time such as 7d, or a time; all that are recorded unless given
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// Events received before; as --since
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,

    /// Events of this tenant alone
    #[arg(long)]
    tenant: Option<String>,

    /// Ask hotglue for facts that were not read then; its answers are those of today
    #[arg(long)]
    ask_hotglue: bool,

    /// Examples of each rule and tenant
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=1000))]
    examples: u16,

    /// What does not count for the exit code, such as differences in a change that is meant; several with commas between
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    allow: Vec<Finding>,
}

/// Told with `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0  nothing would be done otherwise, and nothing needs a person; or --allow takes what was found
  1  something would be done otherwise (differences), depends on facts that were never read (unknown), can't be evaluated or
     carried out by NEW (errors), or would pause a rule because of its limit (pauses)
  2  it could not be tried: wrong usage, a rulebook or configuration that can't be read, an event log that does not answer";

impl Args {
    /// What can't be meant together.
    fn check(&self, now: Timestamp) -> Result<(), Misused> {
        let at = |when: &Option<When>| when.as_ref().map(|when| when.at(now));
        if let (Some(since), Some(until)) = (at(&self.since), at(&self.until))
            && since >= until
        {
            return Err(Misused(format!(
                "no event is both received since {since} and before {until}: --since has to be earlier than --until"
            )));
        }
        if self.against.as_ref() == Some(&self.new) {
            return Err(Misused(format!(
                "{} is the rulebook to try and the one to compare with: nothing could differ; name two, or leave out --against",
                self.new.display()
            )));
        }
        Ok(())
    }
}

/// What was tried on what, and what came of it.
#[derive(Debug)]
struct Tried {
    new: String,
    version: String,
    /// None: what was decided then.
    against: Option<(String, String)>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    played: Played,
    /// None: hotglue was not to be asked.
    unanswered: Option<Unanswered>,
    limits: Vec<Limited>,
    /// What does not count for the exit code.
    allowed: Vec<Finding>,
}

impl Tried {
    /// What the exit code is 1 for.
    fn counts(&self) -> Vec<Finding> {
        Finding::all(self).into_iter().filter(|finding| !self.allowed.contains(finding)).collect()
    }
}

/// What came of the events.
#[derive(Debug, Default)]
struct Played {
    report: Report,
    /// Events about which nothing was decided, so that there is nothing to compare with.
    undecided: u64,
    /// Bodies that can't be read; no rule sees them.
    unreadable: u64,
    /// Facts that hotglue was asked for.
    asked: u64,
    /// Events whose flow has other settings today than were recorded: those of then were read.
    other_settings: u64,
    /// Whom rules with a limit would touch.
    touches: Touches,
}

pub(super) async fn run(common: &Common, args: &Args) -> ExitCode {
    match try_it(common, args).await {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format!("gluehook: {}", output::clean_block(&format!("{error:#}"), "")));
            ExitCode::from(TROUBLE)
        }
    }
}

async fn try_it(common: &Common, args: &Args) -> Result<ExitCode> {
    let now = Clock::system().now();
    args.check(now)?;
    let loaded = files::load_config_if_there(&common.config)?;
    let new = files::load_rulebook(Some(&args.new))?;
    let old = args.against.as_deref().map(|path| files::load_rulebook(Some(path))).transpose()?;
    let span = Span {
        since: args.since.as_ref().map(|when| when.at(now)),
        until: args.until.as_ref().map(|when| when.at(now)),
        tenant: args.tenant.clone(),
        bodies_of: kinds(&new, old.as_ref()),
    };
    let store = open_log(common, Access::Reader).await?;
    let asking = if args.ask_hotglue { Some(Asking::new(&loaded)?) } else { None };
    let examples = usize::from(args.examples);
    let setup = Arc::new(Setup { config: loaded.config, new, old, asking, examples });
    let mut played = match store.recorded_rows(&span).await? {
        Some(rows) => play(&store, &span, rows, setup.clone()).await?,
        None => Played::default(),
    };
    store.close().await;
    let limits = std::mem::take(&mut played.touches).judge(&setup.new);
    let name = |path: &Path| path.display().to_string();
    let tried = Tried {
        new: name(&args.new),
        version: setup.new.version().to_owned(),
        against: args
            .against
            .as_deref()
            .zip(setup.old.as_ref())
            .map(|(path, old)| (name(path), old.version().to_owned())),
        since: span.since,
        until: span.until,
        played,
        unanswered: setup.asking.as_ref().map(Asking::unanswered),
        limits,
        allowed: args.allow.clone(),
    };
    if common.json {
        output::print_json(&page::json(&tried, &setup))?;
    } else {
        for line in page::lines(&tried, &setup) {
            output::line(line)?;
        }
    }
    Ok(if tried.counts().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Kinds of events that a rule which is not off is about; bodies of others need not be read.
fn kinds(new: &Rulebook, old: Option<&Rulebook>) -> Vec<Kind> {
    let rules = || std::iter::once(new).chain(old).flat_map(Rulebook::rules);
    let wanted = |kind: &Kind| rules().any(|rule| rule.mode != Mode::Off && rule.on.contains(kind));
    Kind::ALL.into_iter().filter(wanted).collect()
}

/// Reads page by page, and has the pages played by as many as there are processors.
async fn play(store: &Store, span: &Span, rows: Rows, setup: Arc<Setup>) -> Result<Played> {
    let bar = bar(rows.number);
    let players = Players::start(&setup);
    let mut after = rows.first.saturating_sub(1);
    loop {
        let page = store.recorded(span, rows, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.row;
        let number = page.len() as u64;
        if !players.hand_out(page).await {
            // One of them has failed; it says why.
            break;
        }
        bar.inc(number);
    }
    bar.finish_and_clear();
    players.end().await
}

/// On stderr, and only when a person watches.
fn bar(events: u64) -> ProgressBar {
    let bar = ProgressBar::new(events);
    if let Ok(style) = ProgressStyle::with_template("trying {pos}/{len} events {wide_bar} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}
