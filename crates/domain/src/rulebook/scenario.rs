//! Scenarios: what must come of an event, written down beside the rules.
//!
//! ```toml
//! [payload]                       # what every case of the file starts from
//! job_id = "tVN_B"
//! status = "JOB_COMPLETED"
//!
//! [flow]                          # settings of the flow, as in [[hotglue.flow]]
//! schedule = "cron(0 */4 * * *)"
//!
//! [[case]]
//! says    = "the first good sync turns the schedule on"
//! payload = { sync_type = "full_sync" }   # laid over the payload of the file; or payload_json = '''…''', whole
//! facts   = { linked_targets = [] }       # what hotglue answers; asking for more fails the case
//! matches = ["first-sync-done"]           # exactly these rules match
//! plan    = ["first-sync-done: enable_schedule source", "first-sync-done: slack ~ schedule is on"]
//! ```
//! `plan` is the whole plan in order; each line is how a step begins, then parts it contains (`~ part`) or must not
//! contain (`!~ part`). `silenced` and `unchanged` list rules of those verdicts. What a case leaves out is not compared.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Case, Rulebook};
use crate::action::Action;
use crate::config::{Complaint, FlowSettings};
use crate::envelope::{Envelope, Source};
use crate::event::{self, Event, Unreadable, hotglue};
use crate::facts::{Facts, Need};
use crate::names::{EventId, Identity};
use crate::plan::{LIVE, Plan, Step, Verdict};

/// When a scenario plays, unless its payload says otherwise.
const NOW: &str = "2024-12-31T00:00:00Z";
/// More rounds of asking than any sensible rule needs.
const ROUNDS: usize = 16;

/// One file of scenarios.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(default)]
    payload: toml::Table,
    #[serde(default)]
    flow: FlowSettings,
    #[serde(default, rename = "case")]
    cases: Vec<ScenarioCase>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioCase {
    says: String,
    #[serde(default)]
    payload: toml::Table,
    payload_json: Option<String>,
    flow: Option<FlowSettings>,
    #[serde(default)]
    facts: Facts,
    #[serde(default)]
    replayed: bool,
    matches: Option<Vec<String>>,
    silenced: Option<Vec<String>>,
    unchanged: Option<Vec<String>>,
    plan: Option<Vec<String>>,
}

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    pub says: String,
    pub passed: bool,
    /// What was expected and what came instead; none when it passed.
    pub difference: Option<String>,
    /// Rules that matched.
    pub matched: Vec<String>,
}

impl Scenario {
    /// Reads a file of scenarios.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn parse_file(text: &str) -> Result<Self, Vec<Complaint>> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| vec![Complaint::from_toml(&error, text)])?;
        if scenario.cases.is_empty() {
            return Err(vec![Complaint::general("there is no [[case]] in it")]);
        }
        Ok(scenario)
    }

    /// Plays every case.
    #[must_use]
    pub fn run(&self, book: &Rulebook) -> Vec<CaseResult> {
        self.cases.iter().map(|case| self.run_case(book, case)).collect()
    }

    fn run_case(&self, book: &Rulebook, case: &ScenarioCase) -> CaseResult {
        let result = self.decide(book, case);
        let matched = result.as_ref().map(|plan| names(plan, takes)).unwrap_or_default();
        let difference = match result {
            Ok(plan) => compare(case, book, &plan).err(),
            Err(why) => Some(why),
        };
        CaseResult { says: case.says.clone(), passed: difference.is_none(), difference, matched }
    }

    fn decide(&self, book: &Rulebook, case: &ScenarioCase) -> Result<Plan, String> {
        let body = match &case.payload_json {
            Some(json) if case.payload.is_empty() => json.trim().to_owned(),
            Some(_) => return Err("it has a payload and a payload_json: leave one".to_owned()),
            None => {
                let mut payload = self.payload.clone();
                payload.extend(case.payload.clone());
                serde_json::to_string(&payload).map_err(|error| format!("its payload is no JSON: {error}"))?
            }
        };
        let event = read_event(body.as_bytes()).map_err(|error| error.to_string())?;
        let mut facts = case.facts.clone();
        for _ in 0..ROUNDS {
            let question = Case {
                event: &event,
                facts: &facts,
                flow: case.flow.as_ref().unwrap_or(&self.flow),
                date_format: "%Y%m%d",
                run: LIVE,
                replayed: case.replayed,
                now: now(),
            };
            let needs = match book.decide(&question) {
                Ok(plan) => return Ok(plan),
                Err(needs) => needs,
            };
            for need in needs {
                match need {
                    // Unless a case says what was seen before, nothing was.
                    Need::LastValue { rule } => {
                        facts.last_values.insert(rule, None);
                    }
                    other => return Err(format!("it asks for {}: say it under facts", fact_name(&other))),
                }
            }
        }
        Err("it never stops asking".to_owned())
    }
}

/// The event that a scenario's payload makes: posted to the endpoint `hotglue` when the scenario plays.
///
/// # Errors
/// When it is no JSON.
pub fn read_event(body: &[u8]) -> Result<Event, Unreadable> {
    let envelope = Envelope::unsealed_from_queue(
        EventId::derive("hotglue", Identity::Body(body)),
        "hotglue".to_owned(),
        Source::Hotglue,
        now(),
        String::new(),
        Vec::new(),
        Bytes::copy_from_slice(body),
    );
    let pointers: Vec<_> = hotglue::DEFAULT_POINTERS.iter().map(ToString::to_string).collect();
    event::read(&envelope, &pointers)
}

fn now() -> Timestamp {
    NOW.parse().unwrap_or_default()
}

fn fact_name(need: &Need) -> &'static str {
    match need {
        Need::Config => "config_valid",
        Need::State => "state_is_null",
        Need::LinkedSources => "linked_sources",
        Need::LinkedTargets => "linked_targets",
        Need::Schedule => "schedule",
        Need::LastValue { .. } => "last_values",
    }
}

fn takes(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Matched { .. } | Verdict::Shadow { .. })
}

type IsOf = fn(&Verdict) -> bool;

fn names(plan: &Plan, of: IsOf) -> Vec<String> {
    plan.verdicts.iter().filter(|v| of(&v.verdict)).map(|v| v.rule.clone()).collect()
}

fn compare(case: &ScenarioCase, book: &Rulebook, plan: &Plan) -> Result<(), String> {
    if let Some((_, why)) = plan.broken() {
        return Err(why.to_owned());
    }
    let lists: [(&str, &Option<Vec<String>>, IsOf); 3] = [
        ("matches", &case.matches, takes),
        ("silenced", &case.silenced, |verdict| matches!(verdict, Verdict::Silenced { .. })),
        ("unchanged", &case.unchanged, |verdict| matches!(verdict, Verdict::Unchanged)),
    ];
    if case.plan.is_none() && lists.iter().all(|(_, list, _)| list.is_none()) {
        return Err("it expects nothing: say matches or plan".to_owned());
    }
    let verdicts: BTreeMap<_, _> = plan.verdicts.iter().map(|v| (v.rule.as_str(), &v.verdict)).collect();
    for (word, expected, of) in lists {
        let Some(expected) = expected else { continue };
        if let Some(unknown) =
            expected.iter().find(|name| !book.rules().iter().any(|rule| rule.name == **name))
        {
            return Err(format!("{word}: there is no rule `{unknown}`"));
        }
        let found = names(plan, of);
        let (mut one, mut other) = (expected.clone(), found.clone());
        one.sort();
        other.sort();
        if one != other {
            let verdict = |name: &String| format!("{name}: {:?}", verdicts.get(name.as_str()));
            let differing = one
                .iter()
                .filter(|name| !other.contains(name))
                .chain(other.iter().filter(|name| !one.contains(name)));
            let differing: Vec<_> = differing.map(verdict).collect();
            return Err(format!("{word}: expected {expected:?}, found {found:?} ({})", differing.join("; ")));
        }
    }
    let Some(expected) = &case.plan else { return Ok(()) };
    let found: Vec<_> = plan.steps.iter().map(describe).collect();
    for at in 0..expected.len().max(found.len()) {
        match (expected.get(at), found.get(at)) {
            (Some(expected), Some(found)) => fits(expected, found)
                .map_err(|why| format!("step {}: expected `{expected}`, found `{found}` ({why})", at + 1))?,
            (Some(expected), None) => {
                return Err(format!("step {}: expected `{expected}`, found none", at + 1));
            }
            (None, Some(found)) => return Err(format!("step {}: expected none, found `{found}`", at + 1)),
            (None, None) => {}
        }
    }
    Ok(())
}

/// A step as scenarios write it: `rule: word what`.
#[must_use]
pub fn describe(step: &Step) -> String {
    let what = match &step.action {
        Action::Slack { channel, text } => match channel {
            Some(channel) => format!("{channel} {text}"),
            None => text.clone(),
        },
        Action::SetSchedule { place, which, connector_id, expression, .. } => format!(
            "{} of {} in {} at {}, {}",
            which.as_str(),
            place.tenant,
            place.flow_id,
            connector_id.as_deref().unwrap_or("the flow"),
            expression.as_deref().unwrap_or("expression unknown")
        ),
        Action::LinkTarget { place, target } => format!("{target} for {} in {}", place.tenant, place.flow_id),
        Action::RunJob { place, tap, name } => {
            format!("{name} of {tap} for {} in {}", place.tenant, place.flow_id)
        }
    };
    format!("{}: {} {what}", step.rule, step.action.word())
}

fn fits(expected: &str, found: &str) -> Result<(), String> {
    let mut rest = expected;
    let (mut wanted, mut part) = (None, String::new());
    let mut parts = Vec::new();
    loop {
        let next = [(" !~ ", false), (" ~ ", true)]
            .into_iter()
            .filter_map(|(mark, holds)| rest.find(mark).map(|at| (at, mark.len(), holds)))
            .min_by_key(|(at, ..)| *at);
        let end = next.map_or(rest.len(), |(at, ..)| at);
        part.push_str(&rest[..end]);
        parts.push((wanted, std::mem::take(&mut part)));
        let Some((at, length, holds)) = next else { break };
        wanted = Some(holds);
        rest = &rest[at + length..];
    }
    for (wanted, part) in parts {
        match wanted {
            None if !found
                .strip_prefix(part.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')) =>
            {
                return Err(format!("it does not begin with `{part}`"));
            }
            Some(true) if !found.contains(&part) => return Err(format!("it does not contain `{part}`")),
            Some(false) if found.contains(&part) => return Err(format!("it contains `{part}`")),
            _ => {}
        }
    }
    Ok(())
}
