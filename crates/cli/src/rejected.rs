//! `gluehook rejected`: requests that were refused for want of proof. After a wrong secret is mended they are verified
//! again, and what is proven then becomes an event as if it had been at the time.

mod page;
mod release;

use std::process::ExitCode;

use anyhow::Result;
use bus::rejected::Quarantined;
use bus::{Bus, rejected};
use jiff::Timestamp;
use service::Clock;

use self::page::View;
use self::release::{Keyring, Proven};
use crate::output::{self, When, clean, count};
use crate::{Common, Misused, files};

/// Most refused requests that one command looks through: the newest 1,000 of each endpoint are kept.
const MOST: usize = 100_000;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List refused requests by endpoint and cause, newest first
    List {
        /// How many there are, by endpoint and cause, in place of each
        #[arg(long)]
        count: bool,

        /// Most to list
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,

        #[command(flatten)]
        narrow: Narrow,
    },
    /// Show one with its headers and body, and whether it would be proven by now
    Show {
        /// Its sequence
        #[arg(value_name = "SEQ")]
        sequence: u64,

        /// Print the body alone, byte for byte as it came
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    /// Verify refused requests again with the secrets of today; what is proven becomes an event, received when it was
    Release(Chosen),
}

/// Narrows by what one looks for. All that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Which requests")]
pub(crate) struct Narrow {
    /// That came in at this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,

    /// That were refused for this cause, such as mismatch
    #[arg(long, value_name = "WORD")]
    cause: Option<String>,

    /// Received since: a length of time such as 2h, or a time such as 2026-03-01T14:30:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// Received before; as --since
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
}

impl Narrow {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn takes(&self, quarantined: &Quarantined, now: Timestamp) -> bool {
        let request = &quarantined.request;
        self.cause.as_ref().is_none_or(|cause| *cause == request.cause)
            && self.since.is_none_or(|since| request.received_at >= since.at(now))
            && self.until.is_none_or(|until| request.received_at < until.at(now))
    }

    /// The requests that are meant, newest first, at most `limit`.
    async fn find(&self, bus: &Bus, limit: usize, now: Timestamp) -> Result<Vec<Quarantined>> {
        let endpoint = self.endpoint.as_deref();
        if (Self { endpoint: None, ..self.clone() }).is_empty() {
            return Ok(rejected::list(bus, endpoint, limit).await?);
        }
        let mut found = rejected::list(bus, endpoint, MOST).await?;
        found.retain(|quarantined| self.takes(quarantined, now));
        found.truncate(limit);
        Ok(found)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Chosen {
    /// Their sequences
    #[arg(value_name = "SEQ", conflicts_with = "all")]
    sequences: Vec<u64>,

    /// All there are
    #[arg(long)]
    all: bool,

    /// Do not ask
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    yes: bool,

    /// Verify, say what would be released, and do nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    narrow: Narrow,
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode> {
    let now = Clock::system().now();
    let bus = Bus::connect(&common.bus, "gluehook").await?;
    let done = match command {
        Command::List { narrow, count, limit } => {
            let limit = if count { MOST } else { usize::from(limit) };
            list(common, &bus, &narrow, count, limit, now).await
        }
        Command::Show { sequence, raw } => show(common, &bus, sequence, raw, now).await,
        Command::Release(chosen) => release(common, &bus, &chosen, now).await,
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
    now: Timestamp,
) -> Result<ExitCode> {
    let mut found = narrow.find(bus, limit + 1, now).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    if only_count {
        page::counts(common, &found, now)?;
    } else if common.json {
        let keyring = Keyring::open(common);
        output::print_json(&found.iter().map(|one| View::of(one, &keyring)).collect::<Vec<_>>())?;
    } else if found.is_empty() {
        output::note(if narrow.is_empty() {
            "no request was refused for want of proof"
        } else {
            "no refused request is like that"
        });
    } else {
        page::table(&found, now).print()?;
        output::note("gluehook rejected release verifies them again with the secrets of today");
    }
    if more {
        output::note(format!("these are the newest {limit}; --limit lists more"));
    }
    Ok(ExitCode::SUCCESS)
}

fn not_there(sequence: u64) -> ExitCode {
    output::note(format!(
        "gluehook: there is no refused request {sequence}: gluehook rejected list shows those there are"
    ));
    ExitCode::FAILURE
}

async fn show(common: &Common, bus: &Bus, sequence: u64, raw: bool, now: Timestamp) -> Result<ExitCode> {
    let Some(found) = rejected::get(bus, sequence).await? else { return Ok(not_there(sequence)) };
    let keyring = Keyring::open(common);
    if raw {
        let body = String::from_utf8_lossy(&found.request.body);
        let hidden = keyring.hide(&body);
        output::bytes(if hidden == body { &found.request.body } else { hidden.as_bytes() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let view = View::of(&found, &keyring);
    if common.json {
        output::print_json(&view)?;
    } else {
        view.lines(now, output::on_terminal()).iter().try_for_each(output::line)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn chosen(bus: &Bus, chosen: &Chosen, now: Timestamp) -> Result<Result<Vec<Quarantined>, ExitCode>> {
    let by_flags = chosen.all || !chosen.narrow.is_empty();
    if by_flags != chosen.sequences.is_empty() {
        let how = "say which: sequences, or flags such as --endpoint and --since, or --all";
        return Err(Misused(how.to_owned()).into());
    }
    let mut found = Vec::new();
    if by_flags {
        found = chosen.narrow.find(bus, MOST, now).await?;
    } else {
        for &sequence in &chosen.sequences {
            let Some(one) = rejected::get(bus, sequence).await? else { return Ok(Err(not_there(sequence))) };
            found.push(one);
        }
    }
    // Oldest first: the order in which they came.
    found.sort_by_key(|one| one.sequence);
    found.dedup_by_key(|one| one.sequence);
    if found.is_empty() {
        output::note("no refused request is like that");
        return Ok(Err(ExitCode::FAILURE));
    }
    Ok(Ok(found))
}

async fn release(common: &Common, bus: &Bus, which: &Chosen, now: Timestamp) -> Result<ExitCode> {
    // Without the secrets of today there is nothing to verify with: a file that is not there is wrong usage.
    files::load_config(&common.config)?;
    let found = match chosen(bus, which, now).await? {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    let keyring = Keyring::open(common);
    let mut proven = Vec::new();
    let mut stay = Vec::new();
    for one in &found {
        match keyring.prove(&one.request) {
            Ok(envelope) => proven.push(Proven { sequence: one.sequence, envelope }),
            Err(why) => stay.push((one.sequence, why)),
        }
    }
    if !common.json {
        page::verified(&found, &stay, now).print()?;
    }
    let many = count(proven.len(), "request");
    if proven.is_empty() {
        return finish(common, which.dry_run, &release::Released::default(), &stay);
    }
    if which.dry_run {
        output::note(format!("{many} would be released, {} stay", stay.len()));
        let would = release::Released::would(&proven);
        return finish(common, true, &would, &stay);
    }
    if !output::agreed(&format!("Release {many}? They become events."), which.yes)? {
        output::note("nothing was released");
        return Ok(ExitCode::FAILURE);
    }
    let released = release::publish(bus, proven).await;
    finish(common, false, &released, &stay)
}

fn finish(
    common: &Common,
    dry_run: bool,
    released: &release::Released,
    stay: &[(u64, String)],
) -> Result<ExitCode> {
    let failed = &released.failed;
    for (sequence, why) in failed {
        output::note(format!("gluehook: request {sequence} stays: {}", clean(why)));
    }
    if common.json {
        let stay: Vec<_> = stay
            .iter()
            .chain(failed)
            .map(|(sequence, cause)| serde_json::json!({"sequence": sequence, "cause": cause}))
            .collect();
        let key = if dry_run { "would" } else { "released" };
        output::print_json(&serde_json::json!({ key: released.events, "stay": stay }))?;
    } else if !dry_run {
        let stay = stay.len() + failed.len();
        let new = released.events.iter().filter(|event| !event.duplicate).count();
        let repeats = released.events.len() - new;
        let repeats = if repeats > 0 { format!(", {repeats} had come again before") } else { String::new() };
        output::line(format!("{} released{repeats}, {stay} stay", count(released.events.len(), "request")))?;
    }
    // Nothing that could be released is a failure; that some stay, as a stranger's do, is not.
    let any = !released.events.is_empty();
    Ok(if any && failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use bus::Rejected;

    use super::*;

    #[test]
    fn each_flag_narrows() {
        let quarantined = Quarantined {
            sequence: 1,
            request: Rejected {
                endpoint: "hotglue".to_owned(),
                cause: "mismatch".to_owned(),
                received_at: "2026-03-02T12:00:00Z".parse().unwrap(),
                headers: Vec::new(),
                body: bytes::Bytes::new(),
            },
        };
        let now = "2026-03-02T13:00:00Z".parse().unwrap();
        let takes = |narrow: Narrow| narrow.takes(&quarantined, now);
        assert!(takes(Narrow { since: "2h".parse().ok(), ..Narrow::default() }));
        assert!(takes(Narrow { cause: Some("mismatch".to_owned()), ..Narrow::default() }));
        assert!(!takes(Narrow { cause: Some("missing".to_owned()), ..Narrow::default() }));
        assert!(!takes(Narrow { since: "30m".parse().ok(), ..Narrow::default() }));
        assert!(!takes(Narrow { until: "2h".parse().ok(), ..Narrow::default() }));
    }
}
