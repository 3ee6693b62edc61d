//! Rules that are paused: what is held of each, and what a person decides about it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bus::Bus;
use domain::journal::{HeldStep, Paused};
use jiff::Timestamp;
use serde_json::json;
use service::Clock;
use store::{Access, Store};

use crate::output::{self, Cell, Table, clean, count, stamp};
use crate::{Common, events};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The rule; also one that is in the rulebook no more
    #[arg(value_name = "NAME")]
    rule: String,

    /// Do not ask
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    yes: bool,

    /// Show what is held, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DropArgs {
    #[command(flatten)]
    args: Args,

    /// Who decides so: it is written down with each action
    #[arg(long, value_name = "WHO", env = "USER")]
    by: Option<String>,
}

pub(super) async fn list(common: &Common) -> Result<ExitCode> {
    let store = Store::open(&common.store.database_url, Access::Reader).await?;
    let paused = store.paused().await;
    store.close().await;
    let paused = paused?;
    if common.json {
        output::print_json(&paused)?;
        return Ok(ExitCode::SUCCESS);
    }
    if paused.is_empty() {
        output::note("no rule is paused");
        return Ok(ExitCode::SUCCESS);
    }
    let now = Clock::system().now();
    let mut table = Table::new(&["~rule", "paused", "limit", "events", "tenants", "actions", "told"]);
    for rule in &paused {
        table.row([
            Cell::new(&rule.rule),
            Cell::new(rule.since.map_or_else(
                || "resumed; not all taken up".to_owned(),
                |since| stamp(since, now, output::on_terminal()),
            )),
            Cell::new(limit(rule)),
            Cell::number(rule.held_events),
            Cell::number(rule.held_tenants),
            Cell::number(rule.held_steps),
            Cell::new(rule.alert.map_or("", domain::journal::StepState::as_str)),
        ]);
    }
    table.print()?;
    output::note("gluehook rules resume NAME has what is held done; gluehook rules drop NAME lets it be");
    Ok(ExitCode::SUCCESS)
}

fn limit(rule: &Paused) -> String {
    match (rule.limit_tenants, rule.limit_seconds) {
        (Some(tenants), Some(seconds)) => format!("{tenants} in {seconds}s"),
        _ => String::new(),
    }
}

/// What is held of the rule, shown; none when there is nothing to decide.
async fn shown(common: &Common, store: &Store, args: &Args) -> Result<Option<Vec<HeldStep>>> {
    let rule = &args.rule;
    if !store.paused().await?.iter().any(|paused| &paused.rule == rule) {
        output::note(format!(
            "gluehook: rule `{}` is not paused, and nothing of it is held: gluehook rules paused lists those that are",
            clean(rule)
        ));
        return Ok(None);
    }
    let held = store.held(rule).await?;
    if !common.json {
        print(&held)?;
    }
    Ok(Some(held))
}

fn print<'a>(held: impl IntoIterator<Item = &'a HeldStep>) -> Result<()> {
    let mut held = held.into_iter().peekable();
    if held.peek().is_none() {
        return Ok(());
    }
    let mut table = Table::new(&["id", "~tenant", "run", "~action"]);
    for step in held {
        table.row([
            Cell::new(events::short(step.event.as_str())),
            Cell::new(&step.tenant),
            Cell::new(&step.run),
            Cell::new(step.action.summary()),
        ]);
    }
    Ok(table.print()?)
}

/// Asks until nothing more is held than what was shown: in a wave, what a person agrees to grows while they read.
async fn agreed(
    common: &Common,
    store: &Store,
    args: &Args,
    mut held: Vec<HeldStep>,
    question: impl Fn(&str) -> String,
) -> Result<bool> {
    loop {
        if !output::agreed(&question(&said(&held)), args.yes)? {
            output::note("nothing was changed");
            return Ok(false);
        }
        if args.yes {
            return Ok(true);
        }
        let now = store.held(&args.rule).await?;
        let new = came(&held, &now);
        if new.is_empty() {
            return Ok(true);
        }
        output::note(format!("gluehook: {} came while you were asked", count(new.len(), "more action")));
        if !common.json {
            print(new.iter().copied())?;
        }
        held = now;
    }
}

/// What is held now and was not before.
fn came<'a>(before: &[HeldStep], now: &'a [HeldStep]) -> Vec<&'a HeldStep> {
    let before: BTreeSet<_> = before.iter().map(|step| step.key.as_str()).collect();
    now.iter().filter(|step| !before.contains(step.key.as_str())).collect()
}

/// `3 actions of 2 events, for 2 tenants`
fn said(held: &[HeldStep]) -> String {
    let of = |what: fn(&HeldStep) -> (&str, &str)| {
        let mut all: Vec<_> = held.iter().map(what).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    format!(
        "{} of {}, for {}",
        count(held.len(), "action"),
        count(of(|step| (step.event.as_str(), "")), "event"),
        count(of(|step| (&step.env_id, &step.tenant)), "tenant")
    )
}

pub(super) async fn resume(common: &Common, args: &Args) -> Result<ExitCode> {
    let store = Store::open(&common.store.database_url, Access::Writer).await?;
    let done = resume_in(common, &store, args).await;
    store.close().await;
    done
}

async fn resume_in(common: &Common, store: &Store, args: &Args) -> Result<ExitCode> {
    let Some(held) = shown(common, store, args).await? else { return Ok(ExitCode::FAILURE) };
    if args.dry_run {
        if common.json {
            output::print_json(&json!({"rule": args.rule, "would_do": held}))?;
        }
        output::note(format!("{} would be done, and the rule would act again", said(&held)));
        return Ok(ExitCode::SUCCESS);
    }
    // Before anything is changed: who can't tell the workers changes nothing.
    let bus = Bus::connect(&common.bus, "gluehook").await?;
    let question = |held: &str| format!("Have {held} done, and let the rule act again?");
    if !agreed(common, store, args, held, question).await? {
        bus.drain().await;
        return Ok(ExitCode::FAILURE);
    }
    let now = Clock::system().now();
    store.release(&args.rule, now).await?;
    // Once more: what came in the moment before is released too.
    let sent = send(&bus, &store.held(&args.rule).await?, now).await;
    bus.drain().await;
    let Sent { events, gone } = sent.context(format!(
        "the rule acts again, but not all that is held was sent to the workers: \
         gluehook rules resume {} once more sends the rest",
        args.rule
    ))?;
    if common.json {
        output::print_json(&json!({"rule": args.rule, "sent": events, "gone": gone}))?;
    } else {
        output::note(format!("the rule acts again; {} went to the workers", count(events, "held event")));
    }
    if gone > 0 {
        output::note(format!(
            "{} left the stream: what is held of such can only be dropped, by gluehook rules drop {}",
            count(gone, "event"),
            args.rule
        ));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the workers were told.
struct Sent {
    events: usize,
    gone: usize,
}

/// Each event goes on in the run in which it was decided. Being sent twice does no harm: what is done stays done.
async fn send(bus: &Bus, held: &[HeldStep], now: Timestamp) -> Result<Sent> {
    let mut sent = Sent { events: 0, gone: 0 };
    let mut runs = BTreeMap::new();
    let mut last = None;
    for step in held {
        if last == Some((&step.event, &step.run)) {
            continue;
        }
        last = Some((&step.event, &step.run));
        let place = runs.len();
        let place = *runs.entry(&step.run).or_insert(place);
        // One event may be held in several runs, and is sent once in each of ours.
        let run = format!("resume-{}-{place}", now.as_microsecond());
        let found = bus::replay::get(bus, step.stream_sequence).await.context("reading an event")?;
        match found.filter(|found| found.envelope.id == step.event) {
            Some(selected) => {
                bus::replay::resume(bus, &run, &step.run, &selected).await?;
                sent.events += 1;
            }
            None => sent.gone += 1,
        }
    }
    Ok(sent)
}

pub(super) async fn drop_held(common: &Common, args: &DropArgs) -> Result<ExitCode> {
    let store = Store::open(&common.store.database_url, Access::Writer).await?;
    let done = drop_in(common, &store, &args.args, args.by.as_deref()).await;
    store.close().await;
    done
}

async fn drop_in(common: &Common, store: &Store, args: &Args, by: Option<&str>) -> Result<ExitCode> {
    let Some(held) = shown(common, store, args).await? else { return Ok(ExitCode::FAILURE) };
    if args.dry_run {
        if common.json {
            output::print_json(&json!({"rule": args.rule, "would_drop": held}))?;
        }
        output::note(format!("{} would never be done, and the rule would act again", said(&held)));
        return Ok(ExitCode::SUCCESS);
    }
    let question = |held: &str| format!("Never do {held}, and let the rule act again?");
    if !agreed(common, store, args, held, question).await? {
        return Ok(ExitCode::FAILURE);
    }
    let by = by.filter(|by| !by.is_empty()).unwrap_or("a person");
    let why = format!("dropped by {by}");
    let dropped = store.drop_held(&args.rule, &why, Clock::system().now()).await?;
    if common.json {
        output::print_json(&json!({"rule": args.rule, "dropped": dropped}))?;
    } else {
        let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
        output::note(format!("the rule acts again; {} dropped", count(dropped, "held action")));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use domain::action::Action;
    use domain::names::EventId;
    use domain::plan::StepKey;

    use super::*;

    fn held(key: &str) -> HeldStep {
        HeldStep {
            event: EventId::from_text("e"),
            run: "live".to_owned(),
            env_id: "dev".to_owned(),
            tenant: "t".to_owned(),
            occurred_at: Timestamp::UNIX_EPOCH,
            stream_sequence: 1,
            key: StepKey(key.to_owned()),
            action: Action::Slack { channel: None, text: "x".to_owned() },
            released: false,
        }
    }

    #[test]
    fn what_came_while_a_person_was_asked_is_not_agreed_to() {
        let (before, now) = ([held("a"), held("b")], [held("b"), held("c")]);
        assert_eq!(came(&before, &now).iter().map(|step| step.key.as_str()).collect::<Vec<_>>(), ["c"]);
        assert!(came(&now, &now[..1]).is_empty(), "what is gone is no reason to ask again");
    }
}
