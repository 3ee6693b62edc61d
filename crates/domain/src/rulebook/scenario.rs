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
//! `now` of the file is the time at which its events come in and are decided.

mod compare;
mod export;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

pub use self::compare::describe;
use self::compare::{compare, names, takes};
pub use self::export::{Exported, export};
use super::{Case, Rulebook};
use crate::config::{Complaint, FlowSettings};
use crate::envelope::{Envelope, Source};
use crate::event::{self, Event, Unreadable, hotglue};
use crate::facts::{Facts, Need};
use crate::names::{EventId, Identity};
use crate::plan::{LIVE, Plan};

/// When a scenario plays, unless its payload says otherwise.
const NOW: &str = "2024-12-31T00:00:00Z";
/// More rounds of asking than any sensible rule needs.
const ROUNDS: usize = 16;

/// One file of scenarios.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// When it plays: the time at which its events come in and are decided.
    #[serde(default = "usual_time")]
    now: Timestamp,
    /// As in `[hotglue]`.
    #[serde(default = "usual_date_format")]
    date_format: String,
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
    says: toml::Spanned<String>,
    /// Of `says`, from 1.
    #[serde(skip)]
    line: usize,
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

/// A case with everything that deciding about it takes.
#[derive(Debug)]
pub(super) struct Staged<'s> {
    pub(super) says: &'s str,
    pub(super) event: Event,
    pub(super) facts: Facts,
    flow: &'s FlowSettings,
    date_format: &'s str,
    replayed: bool,
    now: Timestamp,
}

impl Staged<'_> {
    pub(super) fn with<'a>(&'a self, facts: &'a Facts) -> Case<'a> {
        Case {
            event: &self.event,
            facts,
            flow: self.flow,
            date_format: self.date_format,
            run: LIVE,
            replayed: self.replayed,
            now: self.now,
        }
    }
}

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    pub says: String,
    /// Where it says so, from 1.
    pub line: usize,
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
        let mut scenario: Self =
            toml::from_str(text).map_err(|error| vec![Complaint::from_toml(&error, text)])?;
        if scenario.cases.is_empty() {
            return Err(vec![Complaint::general("there is no [[case]] in it")]);
        }
        for case in &mut scenario.cases {
            let place = Complaint::at_offset(text, case.says.span().start, "");
            case.line = place.at.map_or(1, |(line, _)| line);
        }
        Ok(scenario)
    }

    /// Plays every case.
    #[must_use]
    pub fn run(&self, book: &Rulebook) -> Vec<CaseResult> {
        self.results(book).collect()
    }

    /// Plays one case after the other, each as its result is taken.
    pub fn results<'s>(&'s self, book: &'s Rulebook) -> impl Iterator<Item = CaseResult> + 's {
        self.cases.iter().map(|case| self.run_case(book, case))
    }

    fn run_case(&self, book: &Rulebook, case: &ScenarioCase) -> CaseResult {
        let result = self.decide(book, case);
        let matched = result.as_ref().map(|plan| names(plan, takes)).unwrap_or_default();
        let difference = match result {
            Ok(plan) => compare(case, book, &plan).err(),
            Err(why) => Some(why),
        };
        let (says, line) = (case.says.get_ref().clone(), case.line);
        CaseResult { says, line, passed: difference.is_none(), difference, matched }
    }

    /// Every case, ready to be decided; one that can't be read is left out.
    pub(super) fn staged(&self) -> impl Iterator<Item = Staged<'_>> {
        self.cases.iter().filter_map(|case| self.stage(case).ok())
    }

    fn stage<'s>(&'s self, case: &'s ScenarioCase) -> Result<Staged<'s>, String> {
        let body = match &case.payload_json {
            Some(json) if case.payload.is_empty() => json.trim().to_owned(),
            Some(_) => return Err("it has a payload and a payload_json: leave one".to_owned()),
            None => {
                let mut payload = self.payload.clone();
                payload.extend(case.payload.clone());
                serde_json::to_string(&payload).map_err(|error| format!("its payload is no JSON: {error}"))?
            }
        };
        Ok(Staged {
            says: case.says.get_ref(),
            event: event_at(body.as_bytes(), self.now).map_err(|error| error.to_string())?,
            facts: case.facts.clone(),
            flow: case.flow.as_ref().unwrap_or(&self.flow),
            date_format: &self.date_format,
            replayed: case.replayed,
            now: self.now,
        })
    }

    fn decide(&self, book: &Rulebook, case: &ScenarioCase) -> Result<Plan, String> {
        let staged = self.stage(case)?;
        let mut facts = staged.facts.clone();
        for _ in 0..ROUNDS {
            let needs = match book.decide(&staged.with(&facts)) {
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

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// The scenarios of the rules that ship, with the names of their files.
        ///
        /// # Panics
        /// Never: the tests read them all.
        #[must_use]
        pub fn shipped() -> Vec<(String, Scenario)> {
            let read = |name: &str, text| {
                let scenario = Scenario::parse_file(text).expect("the shipped scenarios are checked by the tests");
                (format!("{name}.toml"), scenario)
            };
            vec![$(read($name, include_str!(concat!("../../../../deploy/scenarios/", $name, ".toml")))),*]
        }
    };
}

shipped! {
    "config-invalid",
    "exact-buy-orders",
    "exact-unauthorized",
    "first-sync-done",
    "job-failed",
    "link-made",
    "marked-incremental",
}

/// The event that a scenario's payload makes: posted to the endpoint `hotglue` when the scenario plays.
///
/// # Errors
/// When it is no JSON.
pub fn read_event(body: &[u8]) -> Result<Event, Unreadable> {
    event_at(body, usual_time())
}

fn event_at(body: &[u8], now: Timestamp) -> Result<Event, Unreadable> {
    let envelope = Envelope::unsealed_from_queue(
        EventId::derive("hotglue", Identity::Body(body)),
        "hotglue".to_owned(),
        Source::Hotglue,
        now,
        String::new(),
        Vec::new(),
        Bytes::copy_from_slice(body),
    );
    let pointers: Vec<_> = hotglue::DEFAULT_POINTERS.iter().map(ToString::to_string).collect();
    event::read(&envelope, &pointers)
}

fn usual_time() -> Timestamp {
    NOW.parse().unwrap_or_default()
}

fn usual_date_format() -> String {
    "%Y%m%d".to_owned()
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
