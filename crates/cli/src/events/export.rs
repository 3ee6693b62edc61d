//! `gluehook events export`: a scenario made of what came in.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use domain::config::SecretRef;
use domain::facts::Facts;
use domain::journal::EventRecord;
use domain::plan::LIVE;
use domain::rulebook::scenario::{self, Exported};
use domain::rulebook::{Case, Rulebook};
use domain::standin::Salt;
use secrecy::ExposeSecret as _;
use store::Store;

use super::unknown;
use crate::explain::recorded_event;
use crate::output::{self, clean};
use crate::{Common, Misused, files};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The event, or how its id begins
    id: String,

    /// Put stable tokens in place of tenants, ids, names, addresses, hosts and other words that no rule looks for
    #[arg(long)]
    redact: bool,

    /// What the tokens are made with, as `env:NAME` or `file:PATH`: the same salt, the same token for a value. The event
    /// log's own unless given
    #[arg(long, value_name = "SECRET", requires = "redact")]
    salt: Option<String>,

    /// What the scenario says of itself
    #[arg(long, value_name = "SENTENCE")]
    says: Option<String>,

    /// Write it to this file; printed unless given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write over a file that is there already
    #[arg(long, requires = "output")]
    force: bool,
}

pub(super) async fn run(common: &Common, store: &Store, args: &Args) -> Result<ExitCode> {
    let config = files::load_config_if_there(&common.config)?.config;
    let Some(record) = store.event(&args.id).await? else {
        output::note(format!("gluehook: {}", unknown(&args.id)));
        return Ok(ExitCode::FAILURE);
    };
    let Some(event) = recorded_event(&record, &config) else {
        output::note(format!(
            "gluehook: events of the source {} are not known here",
            record.row.event.source
        ));
        return Ok(ExitCode::FAILURE);
    };
    let rulebook = rulebook(common, store, &record).await?;
    let live = record.decisions.iter().find(|decision| decision.run == LIVE);
    let decision = live.or(record.decisions.last());
    let run = decision.map_or(LIVE, |decision| decision.run.as_str());
    let facts = decision.map_or_else(Facts::default, |decision| decision.facts.clone());
    let today = config.hotglue.flow(&event.flow_id);
    let then = decision.and_then(|decision| decision.flow.as_ref());
    let other = then.map(|flow| flow.differing(&today)).unwrap_or_default();
    let flow = decision.map_or_else(|| today.clone(), |decision| decision.flow_settings(today.clone()));
    let case = Case {
        event: &event,
        facts: &facts,
        flow: &flow,
        date_format: &config.hotglue.date_format,
        run,
        replayed: run != LIVE,
        now: decision.map_or(record.row.event.received_at, |decision| decision.decided_at),
    };
    // An event's id is made of its content: who could guess that could check it by the id.
    let usual = match args.redact {
        true => "as an event came in".to_owned(),
        false => format!("as event {} came in", super::short(event.id.as_str())),
    };
    let says = args.says.as_deref().unwrap_or(&usual);
    let salt = if args.redact { Some(salt(store, args.salt.as_deref()).await?) } else { None };
    let Exported { text, differs, left } = match scenario::export(&rulebook, &case, says, salt.as_ref()) {
        Ok(exported) => exported,
        Err(why) => {
            output::note(format!("gluehook: {}", clean(&why)));
            return Ok(ExitCode::FAILURE);
        }
    };
    let by = decision.map(|decision| decision.rulebook.as_str()).or(record.row.rulebook.as_deref());
    if let Some(by) = by.filter(|by| *by != rulebook.version()) {
        output::note(format!(
            "gluehook: rulebook {} decided about it; what is expected is what {} plans",
            clean(by),
            rulebook.version()
        ));
    }
    if !other.is_empty() {
        output::note(format!(
            "gluehook: settings of its flow are other ones in the configuration of today ({}); the scenario has those of then",
            other.join(", ")
        ));
    }
    for difference in &differs {
        output::note(format!(
            "gluehook: with tokens in it, the event fares otherwise: {}",
            clean(difference)
        ));
    }
    if !left.is_empty() {
        output::note(format!(
            "gluehook: it still holds what looks like {}, because the rules look for it or write it",
            left.join(", ")
        ));
    }
    let head = "# Written by `gluehook events export`, and played before it was written.\n";
    let changed: String =
        differs.iter().map(|said| format!("# Otherwise than the event itself: {}\n", clean(said))).collect();
    let text = format!("{head}{changed}{text}");
    match &args.output {
        Some(path) => write(path, &text, args.force)?,
        None => output::bytes(text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The rules of today; where their file can't be read, those that decided about the event.
async fn rulebook(common: &Common, store: &Store, record: &EventRecord) -> Result<Rulebook> {
    let misused = match files::load_rulebook(common.rules.as_deref()) {
        Ok(rulebook) => return Ok(rulebook),
        Err(misused) => misused,
    };
    let live = record.decisions.iter().find(|decision| decision.run == LIVE);
    let decision = live.or(record.decisions.last());
    let by = decision.map(|decision| decision.rulebook.as_str()).or(record.row.rulebook.as_deref());
    if let Some(by) = by
        && let Some(Ok(decided)) = store.rulebook(by).await?.map(|text| Rulebook::parse(&text))
    {
        output::note(format!(
            "gluehook: the rules of today can't be read; what is expected is what rulebook {} plans, which decided about it: {}",
            clean(by),
            output::first_line(&misused.0)
        ));
        return Ok(decided);
    }
    Err(misused.into())
}

fn write(path: &Path, text: &str, over: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if over {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(anyhow!(
            "{} is there already, and is left as it is: name another file, or add --force to write over it",
            path.display()
        )),
        written => written.with_context(|| format!("the scenario {} can't be written", path.display())),
    }
}

async fn salt(store: &Store, given: Option<&str>) -> Result<Salt> {
    let Some(given) = given else {
        return Salt::new(&store.salt().await?).map_err(|why| anyhow!(why));
    };
    let wrong = |why| Misused(format!("--salt: {why}"));
    let reference = SecretRef::try_from(given.to_owned()).map_err(wrong)?;
    let secret = files::resolve(Path::new("."), &reference).map_err(wrong)?;
    Ok(Salt::new(secret.expose_secret().as_bytes()).map_err(wrong)?)
}
