//! `gluehook dead`: events that were given up. Each is looked at by a person, then sent back to work or thrown away.

mod letters;
mod narrow;
mod since;

use std::process::ExitCode;

use anyhow::Result;
use bus::{Bus, dead::DeadLetter};
use service::Clock;
use store::{Access, Store, StoreError};

use self::letters::{Target, View};
use self::narrow::Narrow;
use self::since::Since;
use crate::output::{self, Cell, Table, clean, count, first_line, stamp};
use crate::{Common, Misused, events, files};

/// Who the event log says has thrown a dead letter away.
const DISCARD: &str = "gluehook dead discard";

/// Most sequences that one sentence names.
const NAMED: usize = 20;

/// Most dead letters that one command looks through.
const MOST: usize = 10_000;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List dead letters, newest first
    List {
        /// How many there are, by endpoint and reason, in place of each
        #[arg(long)]
        count: bool,

        /// Most to list
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,

        #[command(flatten)]
        narrow: Narrow,
    },
    /// Show one with its reason and body
    Show {
        /// Its sequence, or the id of the event or how that begins
        #[arg(value_name = "SEQ|ID")]
        target: Target,
    },
    /// Send dead letters back to work: what was decided stays, what failed is tried again
    Retry(Chosen),
    /// Throw dead letters away; the event log keeps what it knows of them, and that a person did so
    Discard(Chosen),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Chosen {
    /// Their sequences, or the ids of their events or how those begin
    #[arg(value_name = "SEQ|ID", conflicts_with = "all")]
    targets: Vec<Target>,

    /// All there are
    #[arg(long)]
    all: bool,

    /// Do not ask
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    yes: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    narrow: Narrow,
}

/// What is done with dead letters.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Retry,
    Discard,
}

impl Verb {
    fn asks(self, letters: &str) -> String {
        match self {
            Self::Retry => format!("Send {letters} back to work?"),
            Self::Discard => format!("Throw {letters} away?"),
        }
    }

    fn would(self, letters: &str) -> String {
        match self {
            Self::Retry => format!("{letters} would go back to work"),
            Self::Discard => format!("{letters} would be thrown away"),
        }
    }

    fn did(self, letters: &str) -> String {
        match self {
            Self::Retry => format!("{letters} went back to work"),
            Self::Discard => format!("{letters} thrown away"),
        }
    }

    async fn perform(self, bus: &Bus, letter: &DeadLetter) -> Result<()> {
        match self {
            Self::Retry => {
                bus::dead::revive(bus, letter.sequence).await?;
            }
            Self::Discard => {
                bus::dead::discard(bus, letter.sequence).await?;
            }
        }
        Ok(())
    }
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode> {
    let clock = Clock::system();
    let bus = Bus::connect(&common.bus, "gluehook").await?;
    let done = match command {
        Command::List { narrow, count, limit } => {
            let limit = if count { MOST } else { usize::from(limit) };
            list(common, &bus, &narrow, count, limit, clock).await
        }
        Command::Show { target } => show(common, &bus, &target, clock).await,
        Command::Retry(chosen) => change(common, &bus, Verb::Retry, &chosen, clock).await,
        Command::Discard(chosen) => change(common, &bus, Verb::Discard, &chosen, clock).await,
    };
    bus.drain().await;
    done
}

async fn list(
    common: &Common,
    bus: &Bus,
    narrow: &Narrow,
    only_count: bool,
    limit: usize,
    clock: Clock,
) -> Result<ExitCode> {
    let config = files::load_config_if_there(&common.config)?.config;
    let mut letters = narrow.find(common, bus, &config, limit + 1, clock.now()).await?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    if only_count {
        counts(common, &letters, clock)?;
    } else if common.json {
        let since = Since::of(common, &letters).await?.unwrap_or_default();
        let views = letters.iter().map(|letter| View {
            ended_well_in: since.run(letter).map(str::to_owned),
            ..View::of(letter, &config)
        });
        output::print_json(&views.collect::<Vec<_>>())?;
    } else if letters.is_empty() {
        output::note(none(narrow));
    } else {
        let since = Since::of(common, &letters).await?.unwrap_or_default();
        table(common, &letters, &since, clock)?.print()?;
    }
    if more {
        output::note(format!("these are the newest {limit}; --limit lists more"));
    }
    Ok(ExitCode::SUCCESS)
}

fn none(narrow: &Narrow) -> &'static str {
    if narrow.is_empty() { "there are no dead letters" } else { "no dead letter is like that" }
}

/// How many letters have the same endpoint and reason, most first.
fn counts(common: &Common, letters: &[DeadLetter], clock: Clock) -> Result<()> {
    let mut counts = std::collections::BTreeMap::<_, (usize, jiff::Timestamp)>::new();
    for letter in letters {
        let reason = first_line(&letter.reason).into_owned();
        let count = counts.entry((letter.endpoint(), reason)).or_insert((0, letter.buried_at));
        *count = (count.0 + 1, count.1.max(letter.buried_at));
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    if common.json {
        let counts: Vec<_> = counts
            .iter()
            .map(|((endpoint, reason), (count, newest))| {
                serde_json::json!({"endpoint": endpoint, "reason": reason, "count": count, "newest": newest})
            })
            .collect();
        output::print_json(&serde_json::json!({"count": letters.len(), "by": counts}))?;
        return Ok(());
    }
    output::line(count(letters.len(), "dead letter"))?;
    if counts.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["count", "endpoint", "newest", "~reason"]);
    for ((endpoint, reason), (count, newest)) in counts {
        table.row([
            Cell::number(count),
            Cell::new(endpoint),
            Cell::new(stamp(newest, clock.now(), output::on_terminal())),
            Cell::new(reason),
        ]);
    }
    table.print()?;
    Ok(())
}

fn table(common: &Common, letters: &[DeadLetter], since: &Since, clock: Clock) -> Result<Table, Misused> {
    let config = files::load_config_if_there(&common.config)?.config;
    let mut table = Table::new(&["seq", "time", "id", "~tenant", "~status", "attempts", "~reason"]);
    for letter in letters {
        let view = View::of(letter, &config);
        let reason = first_line(&letter.reason);
        let reason = match since.run(letter) {
            Some(run) => format!("ended well since, in run {run}: {reason}"),
            None => reason.into_owned(),
        };
        table.row([
            Cell::number(letter.sequence),
            Cell::new(stamp(letter.buried_at, clock.now(), output::on_terminal())),
            Cell::new(view.id.as_deref().map_or("?", events::short)),
            Cell::new(&view.tenant),
            Cell::new(&view.status),
            Cell::number(letter.attempts),
            Cell::new(reason),
        ]);
    }
    Ok(table)
}

async fn show(common: &Common, bus: &Bus, target: &Target, clock: Clock) -> Result<ExitCode> {
    let config = files::load_config_if_there(&common.config)?.config;
    let found = letters::find(bus, target).await?;
    let Some(letter) = found.first() else { return Ok(not_there(target)) };
    let view = View::of(letter, &config);
    if common.json {
        output::print_json(&view)?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in letters::lines(letter, &view, clock.now(), output::on_terminal()) {
        output::line(line)?;
    }
    for other in &found[1..] {
        output::note(format!("the same event lies in dead letter {} too", other.sequence));
    }
    Ok(ExitCode::SUCCESS)
}

fn not_there(target: &Target) -> ExitCode {
    output::note(format!(
        "gluehook: there is no dead letter {target}: gluehook dead list shows those there are"
    ));
    ExitCode::FAILURE
}

async fn change(common: &Common, bus: &Bus, verb: Verb, chosen: &Chosen, clock: Clock) -> Result<ExitCode> {
    let by_flags = chosen.all || !chosen.narrow.is_empty();
    if by_flags != chosen.targets.is_empty() {
        let how = "say which: sequences or ids, or flags such as --tenant and --reason, or --all";
        return Err(Misused(how.to_owned()).into());
    }
    let mut letters = Vec::new();
    if by_flags {
        let config = files::load_config_if_there(&common.config)?.config;
        letters = chosen.narrow.find(common, bus, &config, MOST, clock.now()).await?;
    } else {
        for target in &chosen.targets {
            let found = letters::find(bus, target).await?;
            if found.is_empty() {
                return Ok(not_there(target));
            }
            letters.extend(found);
        }
    }
    // Oldest first: the order in which the events came.
    letters.sort_by_key(|letter| letter.sequence);
    letters.dedup_by_key(|letter| letter.sequence);
    if letters.is_empty() {
        output::note(none(&chosen.narrow));
        return Ok(ExitCode::FAILURE);
    }
    let (since, left_out) = match verb {
        Verb::Retry => leave_out(common, &mut letters, by_flags).await?,
        Verb::Discard => (Since::of(common, &letters).await?.unwrap_or_default(), Vec::new()),
    };
    if letters.is_empty() {
        output::note("gluehook: no other dead letter is meant: nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    let many = count(letters.len(), "dead letter");
    if !common.json {
        table(common, &letters, &since, clock)?.print()?;
    }
    if chosen.dry_run {
        if common.json {
            let would: Vec<_> = letters.iter().map(|letter| letter.sequence).collect();
            output::print_json(&serde_json::json!({ "would": would, "left_out": left_out }))?;
        }
        output::note(verb.would(&many));
        return Ok(ExitCode::SUCCESS);
    }
    if !output::agreed(&verb.asks(&many), chosen.yes)? {
        output::note("nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for letter in &letters {
        match verb.perform(bus, letter).await {
            Ok(()) => done.push(letter.sequence),
            Err(error) => {
                output::note(format!("gluehook: {}", clean(&format!("{error:#}"))));
                failed.push(letter.sequence);
            }
        }
    }
    if let Verb::Discard = verb {
        letters.retain(|letter| done.contains(&letter.sequence));
        if let Err(error) = tell_log(common, &letters, clock).await {
            let why = clean(&error.to_string()).into_owned();
            output::note(format!(
                "gluehook: the event log was not told that these were thrown away, and still calls them dead: {why}"
            ));
        }
    }
    if common.json {
        output::print_json(&serde_json::json!({ "done": done, "failed": failed, "left_out": left_out }))?;
    } else {
        output::note(verb.did(&count(done.len(), "dead letter")));
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Takes out of what is to be retried the letters whose event has ended well in another run since; named one by one, they
/// stay, and it is said. Returns the sequences of those that were taken out.
async fn leave_out(
    common: &Common,
    letters: &mut Vec<DeadLetter>,
    by_flags: bool,
) -> Result<(Since, Vec<u64>)> {
    let Some(since) = Since::of(common, letters).await? else {
        output::note(
            "gluehook: no event log is at hand: whether an event has ended well in another run since is not known",
        );
        return Ok((Since::default(), Vec::new()));
    };
    let well = letters.iter().filter(|letter| since.run(letter).is_some());
    let well: Vec<_> = well.map(|letter| letter.sequence).collect();
    let what =
        format!("{} whose event has ended well in another run since", count(well.len(), "dead letter"));
    if well.is_empty() {
        return Ok((since, well));
    }
    if !by_flags {
        output::note(format!("gluehook: {what}: to retry does a second time what that run has done"));
        return Ok((since, Vec::new()));
    }
    letters.retain(|letter| since.run(letter).is_none());
    let named = well.iter().take(NAMED).map(u64::to_string).collect::<Vec<_>>().join(" ");
    let more = if well.len() > NAMED { " …" } else { "" };
    output::note(format!(
        "gluehook: left out: {what}. To retry does all of it a second time: gluehook dead retry {named}{more}; to throw away: gluehook dead discard {named}{more}"
    ));
    Ok((since, well))
}

/// Has the event log know that a person threw these away: what it calls dead is taken again by `replay --only-failed`. Letters that hold no
/// event it does not know.
async fn tell_log(common: &Common, letters: &[DeadLetter], clock: Clock) -> Result<(), StoreError> {
    if letters.is_empty() {
        return Ok(());
    }
    let store = Store::open(&common.store.database_url, Access::Writer).await?;
    let told = async {
        for letter in letters {
            if let Some(event) = letter.id() {
                store.discard(event, &letter.run, DISCARD, clock.now()).await?;
            }
        }
        Ok(())
    };
    let told = told.await;
    store.close().await;
    told
}
