//! `gluehook undo`: puts the schedules back that a rule has changed, as they were before.

mod plan;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::config::{Config, nearest};
use domain::facts::Facts;
use domain::journal::{BEAT, Brake, Claim, StepEnd, Turn, Verdicts};
use domain::plan::{Decision, RuleVerdict, Step, StepKey, Verdict};
use domain::rulebook::Rulebook;
use effects::World;
use jiff::Timestamp;
use serde_json::json;
use service::Clock;
use store::{Access, Store};

use self::plan::{Item, Then};
use crate::output::{self, Cell, Table, When, clean, count};
use crate::{Common, Misused, files};

/// Longer than the calls of one step may take.
const LEASE: Duration = Duration::from_secs(300);

/// Before the name of the rule whose change is undone, which no rule's name begins with: none has a space in it.
pub(crate) const UNDO: &str = "undo ";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The rule whose changes are undone
    #[arg(long, value_name = "NAME")]
    rule: String,

    /// Changes made since: a length of time such as 2h, or a time such as 2026-03-01T14:30:00Z
    #[arg(long, value_name = "WHEN")]
    since: When,

    /// Changes made before; as --since
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,

    /// Those of one tenant
    #[arg(long)]
    tenant: Option<String>,

    /// Where it is not known how a schedule was: switch on what the rule switched off, and off what it switched on
    #[arg(long)]
    opposite: bool,

    /// Do not ask
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    yes: bool,

    /// Show the plan, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let loaded = files::load_config(&common.config)?;
    effects::install_crypto();
    let world =
        World::build(&loaded.config, &loaded.base, &|reference| files::resolve(&loaded.base, reference))
            .map_err(|said| Misused(said.join("\n")))?;
    let access = if args.dry_run { Access::Reader } else { Access::Writer };
    let store = Store::open(&common.store.database_url, access).await?;
    let done = undo(common, &args, &store, &world, &loaded.config).await;
    store.close().await;
    done
}

async fn undo(
    common: &Common,
    args: &Args,
    store: &Store,
    world: &World,
    config: &Config,
) -> Result<ExitCode> {
    let now = Clock::system().now();
    let (since, until) = (args.since.at(now), args.until.map_or(Timestamp::MAX, |until| until.at(now)));
    let mut changes = store.schedule_changes(&args.rule, since, until).await?;
    if let Some(tenant) = &args.tenant {
        changes.retain(|change| plan::place(&change.action).is_some_and(|place| &place.tenant == tenant));
    }
    let undone = store.schedule_changes(&format!("{UNDO}{}", args.rule), since, Timestamp::MAX).await?;
    let mut items = Vec::new();
    for wave in plan::waves(changes, &undone) {
        pace(config).await;
        let present = world.schedule_before(&wave.last().action).await;
        items.push(plan::item(&wave, present.map_err(|error| error.why().to_owned()), args.opposite));
    }
    if items.is_empty() {
        if common.json {
            output::print_json(&json!({"rule": args.rule, "plan": items}))?;
        }
        let cut = shortened(&args.rule).or_else(|| args.tenant.as_deref().and_then(shortened));
        let rulebook = files::load_rulebook(common.rules.as_deref())?;
        output::note(cut.unwrap_or_else(|| nothing_to_undo(&rulebook, &args.rule)));
        return Ok(ExitCode::FAILURE);
    }
    let todo = items.iter().filter(|item| item.then.action().is_some()).count();
    if !common.json {
        table(&items).print()?;
    }
    if args.dry_run || todo == 0 {
        if common.json {
            output::print_json(&json!({"rule": args.rule, "plan": items}))?;
        }
        output::note(format!("{} would be put back{}", count(todo, "schedule"), unknown(&items)));
        return Ok(tries_again(unread(&items)));
    }
    if !output::agreed(&format!("Put {} back{}?", count(todo, "schedule"), unknown(&items)), args.yes)? {
        if common.json {
            output::print_json(&json!({"rule": args.rule, "plan": items}))?;
        }
        output::note("nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    let run = format!("undo-{}", now.as_microsecond());
    // A decision that is gone can't say which rules it was made by; then those of today stand for it.
    let today = if items.iter().all(|item| item.rulebook.is_some()) {
        String::new()
    } else {
        files::load_rulebook(common.rules.as_deref())?.version().to_owned()
    };
    // Killed in the midst of it, it must not hold a tenant's schedules for as long as a call may take.
    let me = format!("gluehook {run}");
    let beating = tokio::spawn(beat(store.clone(), me.clone()));
    let (mut done, mut failed) = (0, 0);
    for (place, item) in items.iter_mut().enumerate() {
        if item.then.action().is_none() {
            continue;
        }
        pace(config).await;
        let made = Made {
            me: &me,
            rule: &args.rule,
            run: &format!("{run}-{place}"),
            rulebook: item.rulebook.as_deref().unwrap_or(&today),
        };
        match put_back(store, world, made, item).await? {
            Ok(answer) => {
                done += 1;
                item.result = Some(answer);
            }
            Err(why) => {
                failed += 1;
                output::note(format!("gluehook: {}: {}", clean(&item.tenant), clean(&why)));
                item.result = Some(why);
            }
        }
    }
    beating.abort();
    if common.json {
        output::print_json(
            &json!({"rule": args.rule, "run": run, "done": done, "failed": failed, "plan": items}),
        )?;
    } else {
        output::note(format!("{} put back{}", count(done, "schedule"), unknown(&items)));
    }
    Ok(tries_again(failed + unread(&items)))
}

/// How many can't be put back now because nobody knows how they are.
fn unread(items: &[Item]) -> usize {
    items.iter().filter(|item| matches!(item.then, Then::Unread { .. })).count()
}

fn tries_again(failed: usize) -> ExitCode {
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    output::note(format!("{} not put back: the same command tries again", count(failed, "schedule")));
    ExitCode::FAILURE
}

/// How many can't be put back because nobody knows how they were.
fn unknown(items: &[Item]) -> String {
    match items.iter().filter(|item| matches!(item.then, Then::Unknown { .. })).count() {
        0 => String::new(),
        1 => " (1 can't be: its before-value is unknown)".to_owned(),
        several => format!(" ({several} can't be: their before-values are unknown)"),
    }
}

/// What is said of a name that is not found and looks as if a table had cut it short.
pub(crate) fn shortened(name: &str) -> Option<String> {
    name.contains('…').then(|| {
        let shown = clean(name);
        format!(
            "`{shown}` was shortened where it was shown: give the whole name, as --json or a wider terminal shows it"
        )
    })
}

/// A rule may have left the rulebook since; so its name is looked at only when it has changed nothing.
fn nothing_to_undo(rulebook: &Rulebook, rule: &str) -> String {
    let names = || rulebook.rules().iter().map(|rule| rule.name.as_str());
    let shown = clean(rule);
    if names().any(|name| name == rule) {
        return format!(
            "rule `{shown}` has changed no schedule in that time: gluehook events list --rule NAME shows what it took"
        );
    }
    let hint = nearest(rule, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("there is no rule `{shown}` in the rulebook, and it has changed no schedule in that time{hint}")
}

/// Keeps to the configured rate.
async fn pace(config: &Config) {
    if let Some(rate) = config.hotglue.max_per_second {
        tokio::time::sleep(Duration::from_secs(1) / rate.get()).await;
    }
}

fn table(items: &[Item]) -> Table {
    let mut table = Table::new(&["~tenant", "flow", "schedule", "~now", "~back to"]);
    for item in items {
        let back = match &item.then {
            Then::PutBack { .. } => Cell::new(item.then.said()).yellow(),
            Then::Unknown { .. } | Then::Unread { .. } => Cell::new(item.then.said()).red(),
            Then::AlreadySo | Then::Left { .. } => Cell::new(item.then.said()).dim(),
        };
        table.row([
            Cell::new(&item.tenant),
            Cell::new(&item.flow_id),
            Cell::new(item.which.as_str()),
            Cell::new(&item.now),
            back,
        ]);
    }
    table
}

/// What is undone, and as what it is written down.
#[derive(Debug, Clone, Copy)]
struct Made<'a> {
    /// Who claims it.
    me: &'a str,
    /// The rule whose change it is.
    rule: &'a str,
    run: &'a str,
    /// Version of the rulebook whose decision is undone.
    rulebook: &'a str,
}

/// Says again and again that this command lives, as a worker does; never returns.
async fn beat(store: Store, me: String) {
    let clock = Clock::system();
    let mut beats = tokio::time::interval(BEAT);
    loop {
        beats.tick().await;
        // Not heard of, it is taken for dead, and its turn passes on: no more than a kill would do.
        let _unheard = store.alive(&me, clock.now()).await;
    }
}

/// Written down first, as a step of the event whose change is undone, in a run of its own: what is newer than that event is
/// not undone. It carries the version of the rulebook by which the change was made. Each schedule has a run of its own, because an event may have changed several. What it came to.
async fn put_back(
    store: &Store,
    world: &World,
    made: Made<'_>,
    item: &Item,
) -> Result<Result<String, String>> {
    let Made { me, rule, run, rulebook } = made;
    let Some(action) = item.then.action() else { return Ok(Ok(String::new())) };
    let rule = format!("{UNDO}{rule}");
    let clock = Clock::system();
    let step = Step {
        key: StepKey::new(&item.event, run, &rule, action),
        rule: rule.clone(),
        place: 0,
        action: action.clone(),
    };
    let decision = Decision {
        event: item.event.clone(),
        run: run.to_owned(),
        rulebook: rulebook.to_owned(),
        decided_at: clock.now(),
        facts: Facts::default(),
        flow: None,
        verdicts: vec![RuleVerdict::new(&rule, Verdict::Matched { steps: 1 })],
        steps: vec![step.clone()],
        new_values: Vec::new(),
    };
    let verdicts =
        Verdicts { decision: &decision, scope: "", occurred_at: item.occurred_at, brake: Brake::Off };
    store.record_decision(verdicts).await?.context("the event log did not take the plan")?;
    let turn = Turn::of(action, item.occurred_at);
    let turn = turn.as_ref();
    match store.claim(&step.key, turn, me, clock.now(), LEASE).await? {
        Claim::Mine { .. } => {}
        Claim::Newer { event, same_moment } => {
            let why = Claim::gives_way_to(&event, same_moment);
            store.settle(&step.key, None, me, &StepEnd::Superseded { why: why.clone() }, clock.now()).await?;
            return Ok(Err(why));
        }
        Claim::Busy { .. } => {
            let why = "a worker, or another undo, is changing this tenant's schedules".to_owned();
            store.settle(&step.key, None, me, &StepEnd::Failed { why: why.clone() }, clock.now()).await?;
            return Ok(Err(why));
        }
        Claim::Settled(_) | Claim::Held => return Ok(Err("it was settled by someone else".to_owned())),
    }
    // The plan was made a while ago, and a person may have thought about it for long.
    if let Some(planned) = &item.present {
        let why = match world.schedule_before(action).await {
            Ok(present) if &present == planned => None,
            Ok(present) => {
                Some(format!("it has been changed since the plan was made: {}", present.summary()))
            }
            Err(error) => Some(error.why().to_owned()),
        };
        if let Some(why) = why {
            store.settle(&step.key, turn, me, &StepEnd::Failed { why: why.clone() }, clock.now()).await?;
            return Ok(Err(why));
        }
    }
    let (end, result) = match world.perform(action).await {
        Ok(receipt) => {
            let result = Ok(receipt.answer.clone());
            (StepEnd::Done { request: receipt.request, answer: receipt.answer }, result)
        }
        Err(error) => {
            let why = error.why().to_owned();
            (StepEnd::Failed { why: why.clone() }, Err(why))
        }
    };
    store.settle(&step.key, turn, me, &end, clock.now()).await?;
    Ok(result)
}

/// The rule whose change a decision undoes, if it is one of these.
pub(crate) fn undone(decision: &Decision) -> Option<&str> {
    decision.verdicts.iter().find_map(|given| given.rule.strip_prefix(UNDO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_is_not_there_is_told_with_the_nearest_that_is() {
        let rulebook = Rulebook::built_in();
        assert!(nothing_to_undo(&rulebook, "exact-unauthorized").contains("has changed no schedule"));
        let said = nothing_to_undo(&rulebook, "exact-unauthorised");
        assert!(
            said.starts_with("there is no rule `exact-unauthorised`")
                && said.contains("did you mean `exact-unauthorized`?"),
            "{said}"
        );
    }
}
