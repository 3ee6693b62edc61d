//! `gluehook explain`: why did the rules act on an event, or why not. Asks nobody: it evaluates again what was recorded.

mod page;
mod recorded;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use domain::config::Config;
use domain::envelope::{Envelope, Source};
use domain::event::{self, Event};
use domain::facts::Facts;
use domain::journal::{Outcome, StepRecord};
use domain::plan::{LIVE, RuleVerdict};
use domain::rulebook::{Case, Explanation, Rulebook};
use domain::shadow::Fate;
use domain::signature::{Proof, verify};
use jiff::Timestamp;
use serde::Serialize;
use service::Clock;
use store::{Access, Store};

use crate::events::open_log;
use crate::files::{load_config_if_there, load_rulebook};
use crate::{Common, Misused, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The event, or how its id begins
    #[arg(required_unless_present = "payload")]
    id: Option<String>,

    /// The run to explain: a replay's name; the live one unless given
    #[arg(long, value_name = "RUN", conflicts_with = "payload")]
    run: Option<String>,

    /// Evaluate the rules of today in place of those that decided
    #[arg(long, conflicts_with = "payload")]
    current: bool,

    /// Explain a webhook's body in a file, or - for stdin, in place of a recorded event
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    payload: Option<PathBuf>,

    /// What hotglue would say of the tenant, as in `linked_targets = ["optiply"]`
    #[arg(long, value_name = "FILE", requires = "payload")]
    facts: Option<PathBuf>,
}

/// What is explained, and how.
#[derive(Debug, Serialize)]
struct Explained {
    run: String,
    /// None when no rule took it at once, or nothing was decided in that run.
    decided_at: Option<Timestamp>,
    /// Version of the rulebook that decided, also where no rule took the event.
    decided_by: Option<String>,
    /// Version of the rules of today; none when their file can't be read.
    current_rulebook: Option<String>,
    /// What a reader must know of how this came about.
    notes: Vec<String>,
    /// Why the body is no event at all: no rule was asked.
    unreadable: Option<String>,
    #[serde(skip)]
    headline: String,
    facts: Facts,
    /// The settings of its flow were not recorded when it was decided: those of today were read.
    flow_of_today: bool,
    #[serde(flatten)]
    explanation: Explanation,
    /// What was written down when it was decided.
    recorded: Vec<RuleVerdict>,
    /// What the limits and folds of rules in shadow would have made of what they would have done, by rule.
    rehearsed: BTreeMap<String, Fate>,
    /// What became of the steps.
    recorded_steps: Vec<StepRecord>,
    /// What else was decided about the event.
    other_runs: Vec<OtherRun>,
}

/// A run of the event that is not the one explained.
#[derive(Debug, Serialize)]
struct OtherRun {
    run: String,
    /// When it was decided; of a run in which nothing was decided, its last attempt.
    at: Timestamp,
    /// None when nothing was decided in it.
    decided_at: Option<Timestamp>,
    /// Of the last attempt; none where a worker made none, as in an undo.
    outcome: Option<Outcome>,
    /// What became of it, in words.
    became: String,
    /// The rule whose change of a schedule it undid; none = the event was decided anew.
    undid: Option<String>,
    /// What shows it.
    command: String,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    if args.facts.is_some() && args.payload.is_none() {
        // clap lets it pass beside an event.
        return Err(Misused(
            "--facts goes with --payload: a recorded event is explained from the facts that were recorded"
                .to_owned(),
        )
        .into());
    }
    let config = load_config_if_there(&common.config)?.config;
    let current = load_rulebook(common.rules.as_deref());
    let clock = Clock::system();
    let explained = match (&args.payload, &args.id) {
        (Some(payload), _) => of_file(&config, &current?, payload, args.facts.as_deref(), clock.now())?,
        (None, Some(id)) => {
            let wanted = recorded::Wanted { id, run: args.run.as_deref(), with_current: args.current };
            let store = open_log(common, Access::Reader).await?;
            let explained = recorded::explain(&store, &config, current, wanted).await;
            store.close().await;
            match explained? {
                Ok(explained) => explained,
                Err(sentence) => {
                    output::note(format!("gluehook: {sentence}"));
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        (None, None) => return Err(Misused("name an event, or a file with --payload".to_owned()).into()),
    };
    if common.json {
        output::print_json(&explained)?;
    } else {
        for line in page::lines(&explained, clock.now(), output::on_terminal()) {
            output::line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the command says of a recorded event. The inner error is a sentence: it can't be explained.
pub(crate) async fn recorded_lines(
    common: &Common,
    config: &Config,
    store: &Store,
    id: &str,
) -> Result<Result<Vec<String>, String>> {
    let current = load_rulebook(common.rules.as_deref());
    let wanted = recorded::Wanted { id, run: None, with_current: false };
    let explained = recorded::explain(store, config, current, wanted).await?;
    let now = Clock::system().now();
    Ok(explained.map(|explained| page::lines(&explained, now, true)))
}

/// Reads a recorded event again; none when this version does not know its source.
pub(crate) fn recorded_event(record: &domain::journal::EventRecord, config: &Config) -> Option<Event> {
    Some(read(&recorded::envelope(record)?, config))
}

/// Reads a sealed event again, as the worker does; one that can't be read is of unknown kind.
pub(crate) fn read(envelope: &Envelope, config: &Config) -> Event {
    event::read(envelope, &config.hotglue.failed_records)
        .unwrap_or_else(|why| Event::unreadable(envelope, &why))
}

/// Why a body is no event of its source.
fn unreadable(envelope: &Envelope, config: &Config) -> Option<String> {
    event::read(envelope, &config.hotglue.failed_records).err().map(|why| why.to_string())
}

fn of_file(
    config: &Config,
    rulebook: &Rulebook,
    payload: &Path,
    facts: Option<&Path>,
    now: Timestamp,
) -> Result<Explained> {
    let read = if payload == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(payload)
    };
    let body =
        read.map_err(|error| Misused(format!("the payload {} can't be read: {error}", payload.display())))?;
    let facts = match facts {
        Some(path) => read_facts(path)?,
        None => Facts::default(),
    };
    let mut explained = of_body(config, rulebook, body, facts, now)?;
    explained.headline = format!("{}: {}", payload.display(), explained.headline);
    Ok(explained)
}

fn of_body(
    config: &Config,
    rulebook: &Rulebook,
    body: Vec<u8>,
    facts: Facts,
    now: Timestamp,
) -> Result<Explained> {
    let envelope = envelope_of(config, body, now)?;
    let event = read(&envelope, config);
    let flow = config.hotglue.flow(&event.flow_id);
    let case = Case {
        event: &event,
        facts: &facts,
        flow: &flow,
        date_format: &config.hotglue.date_format,
        run: LIVE,
        replayed: false,
        now,
    };
    let explanation = rulebook.explain(&case);
    Ok(Explained {
        run: LIVE.to_owned(),
        decided_at: None,
        decided_by: None,
        current_rulebook: Some(rulebook.version().to_owned()),
        notes: Vec::new(),
        unreadable: unreadable(&envelope, config)
            .map(|why| format!("{why}; sent as a webhook, it would go to the dead letters")),
        headline: headline(&event),
        facts,
        flow_of_today: false,
        explanation,
        recorded: Vec::new(),
        rehearsed: BTreeMap::new(),
        recorded_steps: Vec::new(),
        other_runs: Vec::new(),
    })
}

/// Seals a body as the first endpoint would, had it come in there.
fn envelope_of(config: &Config, body: Vec<u8>, now: Timestamp) -> Result<Envelope> {
    let (endpoint, source) = match config.endpoint.first() {
        Some(endpoint) => (endpoint.name.as_str(), endpoint.source),
        None => ("hotglue", Source::Hotglue),
    };
    let body = bytes::Bytes::from(body);
    let shared = body.clone();
    let verified = verify(&Proof::None, &[], None, &body).context("a file has no proof to give")?;
    Ok(Envelope::seal(endpoint, source, verified, shared, Vec::new(), now))
}

fn read_facts(path: &Path) -> Result<Facts, Misused> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Misused(format!("the facts {shown} can't be read: {error}")))?;
    toml::from_str(&text)
        .map_err(|error| Misused(format!("{shown}: {}", domain::config::Complaint::from_toml(&error, &text))))
}

/// An event in one line.
fn headline(event: &Event) -> String {
    let mut words: Vec<Cow<'_, str>> = vec![event.kind.as_str().into()];
    for (before, text) in
        [("", &event.status), ("of tenant ", &event.tenant), ("flow ", &event.flow_id), ("tap ", &event.tap)]
    {
        if !text.is_empty() {
            words.push(format!("{before}{}", output::clean(text)).into());
        }
    }
    words.join(", ").replacen(", ", " ", 1)
}

#[cfg(test)]
mod tests;
