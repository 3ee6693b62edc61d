//! `gluehook rules diff-shadow`: what rules in shadow would have done, held against what was done.
//!
//! Exit codes are those of `diff`: 0 nothing differs, 1 something does, 2 it could not be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Result, bail};
use domain::journal::Span;
use domain::shadow::{Comparison, Playing, Question, compare, unknown};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use service::Clock;
use store::Access;

use crate::Common;
use crate::events::{open_log, short};
use crate::output::{self, When, bold, clean, count, green, red};

/// Exit code: it could not be compared.
const TROUBLE: u8 = 2;
/// Events that are read at once.
const PAGE: u32 = 2_000;
/// So long before `--since` tenants and messages are counted, for limits and folds.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The rule in shadow; all of them unless given
    #[arg(value_name = "RULE")]
    rule: Option<String>,

    /// The live rule that it is to replace: what that one did and the shadow would not counts, too
    #[arg(long, value_name = "RULE", requires = "rule")]
    against: Option<String>,

    /// Events received since: a length of time such as 7d, or a time; all that are recorded unless given
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// Events of this tenant alone
    #[arg(long)]
    tenant: Option<String>,
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
    let since = args.since.as_ref().map(|when| when.at(now));
    let span = Span {
        // A limit counts, and a storm goes on, from before.
        since: since.map(|since| since.checked_sub(BEFORE).unwrap_or(Timestamp::MIN)),
        until: None,
        // A limit counts all tenants.
        tenant: None,
        // Everything that is compared is in the decisions.
        bodies_of: Vec::new(),
    };
    let question = Question { rule: args.rule.clone(), against: args.against.clone() };
    let store = open_log(common, Access::Reader).await?;
    let undone = store.undone().await?.into_iter().collect();
    let mut playing = Playing::default();
    let (mut found, mut known) = (BTreeMap::new(), BTreeSet::new());
    if let Some(rows) = store.recorded_rows(&span).await? {
        let mut after = rows.first.saturating_sub(1);
        loop {
            let page = store.recorded(&span, rows, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            for event in &page {
                let Some(decision) = &event.decision else { continue };
                let fates = playing.play(decision);
                let asked_for = args.tenant.as_ref().is_none_or(|tenant| *tenant == event.tenant);
                if !asked_for || since.is_some_and(|since| event.received_at < since) {
                    continue;
                }
                compare(&mut found, &question, decision, &undone, &fates);
                for verdict in &decision.verdicts {
                    if !known.contains(&verdict.rule) {
                        known.insert(verdict.rule.clone());
                    }
                }
            }
        }
    }
    store.close().await;
    if let Some(rule) = unknown(&question, &known) {
        let known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        bail!("no decision that is recorded knows a rule `{rule}`; it may be {known}");
    }
    let differs = found.values().any(Comparison::differs);
    if common.json {
        output::print_json(&json!({ "differs": differs, "rules": found }))?;
    } else {
        tell(&found)?;
    }
    Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(found: &BTreeMap<String, Comparison>) -> std::io::Result<()> {
    if found.is_empty() {
        return output::line("no rule in shadow has matched: there is nothing to compare");
    }
    for (rule, comparison) in found {
        let Comparison { events, same, left_out, would_add, would_leave_out, examples, .. } = comparison;
        output::line(format!(
            "{}: {}, the same about {}",
            bold(clean(rule)),
            count(usize::try_from(*events).unwrap_or(usize::MAX), "event"),
            same
        ))?;
        if *left_out > 0 {
            let events = count(usize::try_from(*left_out).unwrap_or(usize::MAX), "event");
            output::line(format!(
                "  left out: {events}, decided by rulebooks that did not have it in shadow"
            ))?;
        }
        for sentence in held_back(comparison) {
            output::line(format!("  {sentence}"))?;
        }
        for (what, counts) in [
            ("would add", would_add),
            ("would leave out", would_leave_out),
            ("planned and not done: held, dropped by a person, or failed", &comparison.not_done),
        ] {
            let counts: Vec<_> = counts.iter().map(|(word, count)| format!("{count} × {word}")).collect();
            if !counts.is_empty() {
                output::line(format!("  {what}: {}", counts.join(", ")))?;
            }
        }
        for example in examples {
            let id = short(example.event.as_str());
            for text in &example.would_add {
                output::line(format!("  {} {id} {}", green("+"), clean(text)))?;
            }
            for text in &example.would_leave_out {
                output::line(format!("  {} {id} {}", red("-"), clean(text)))?;
            }
        }
    }
    Ok(())
}

/// What its own limit and fold would have made of it.
fn held_back(comparison: &Comparison) -> Vec<String> {
    let said = |number: u64, word: &str| count(usize::try_from(number).unwrap_or(usize::MAX), word);
    let mut sentences = Vec::new();
    if comparison.would_hold > 0 {
        sentences.push(format!(
            "would have been held by its limit: {}; the rule would have paused {}",
            said(comparison.would_hold, "event"),
            said(comparison.would_pause, "time")
        ));
    }
    if comparison.would_fold > 0 {
        sentences.push(format!(
            "would have folded into earlier messages: {}",
            said(comparison.would_fold, "Slack message")
        ));
    }
    sentences
}
