//! A scenario made of an event that came in.

use serde::Serialize;
use serde_json::Value;

use super::compare::{expectation, names, takes};
use super::{Scenario, fact_name};
use crate::action::Action;
use crate::config::FlowSettings;
use crate::facts::Facts;
use crate::plan::{Plan, Verdict};
use crate::rulebook::{Case, Rulebook, language};
use crate::standin::{Salt, StandIns, left_within};

/// A file of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    pub text: String,
    /// What comes of it otherwise than of the event itself, a sentence each.
    pub differs: Vec<String>,
    /// What looks like a person's or an account's and stays, because the rules look for it or write it, such as
    /// `a telephone number in payload.owner.phone`. Only where tokens were to stand in for it.
    pub left: Vec<String>,
}

#[derive(Serialize)]
struct File<'a> {
    now: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    date_format: &'a str,
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    flow: toml::Table,
    case: [OneCase<'a>; 1],
}

#[derive(Serialize)]
struct OneCase<'a> {
    says: &'a str,
    payload_json: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silenced: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unchanged: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<String>>,
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    facts: toml::Table,
}

/// Writes the event of `case` as a scenario, with what comes of it by these rules. `redact`: tokens of this salt stand in for
/// what is a customer's. The file was played before it is returned, and passes.
///
/// # Errors
/// A sentence that says why there can be no such scenario.
pub fn export(
    book: &Rulebook,
    case: &Case<'_>,
    says: &str,
    redact: Option<&Salt>,
) -> Result<Exported, String> {
    let original = decide(book, case)?;
    let mut stand_ins = redact.map(|salt| StandIns::new(salt, &looked_for(book)));
    let payload = match &mut stand_ins {
        Some(stand_ins) => stand_ins.payload(&case.event.payload),
        None => case.event.payload.clone(),
    };
    let payload_json = serde_json::to_string_pretty(&payload).map_err(|error| error.to_string())?;
    let file = File {
        now: case.now.to_string(),
        date_format: if case.date_format == super::usual_date_format() { "" } else { case.date_format },
        flow: flow(case.flow, stand_ins.as_mut()),
        case: [OneCase {
            says,
            payload_json,
            replayed: case.replayed,
            matches: None,
            silenced: Vec::new(),
            unchanged: Vec::new(),
            plan: None,
            facts: facts(case.facts, stand_ins.as_mut()),
        }],
    };
    // First without what is expected: what comes of it is then written down.
    let text = write(&file)?;
    let scenario = read(&text)?;
    let played = scenario.cases.first().map(|case| scenario.decide(book, case));
    let plan = played.unwrap_or_else(|| Err("there is no case in it".to_owned()))?;
    if let Some((_, why)) = plan.broken() {
        return Err(format!("a scenario passes only when its rules can be carried out: {why}"));
    }
    let [case_] = file.case;
    let file = File {
        case: [OneCase {
            matches: Some(names(&plan, takes)),
            silenced: names(&plan, |verdict| matches!(verdict, Verdict::Silenced { .. })),
            unchanged: names(&plan, |verdict| matches!(verdict, Verdict::Unchanged)),
            plan: Some(plan.steps.iter().map(expectation).collect()),
            ..case_
        }],
        ..file
    };
    let text = write(&file)?;
    for result in read(&text)?.run(book) {
        if let Some(difference) = result.difference {
            return Err(format!("the scenario does not pass, and is not written: {difference}"));
        }
    }
    let left = if redact.is_some() { left(&payload, &file)? } else { Vec::new() };
    Ok(Exported { text, differs: differences(book, &original, &plan), left })
}

fn left(payload: &Value, file: &File<'_>) -> Result<Vec<String>, String> {
    let [case] = &file.case;
    let json = |table: &toml::Table| serde_json::to_value(table).map_err(|error| error.to_string());
    Ok([
        left_within("payload", payload),
        left_within("facts", &json(&case.facts)?),
        left_within("flow", &json(&file.flow)?),
        left_within("plan", &Value::from(case.plan.clone().unwrap_or_default())),
        left_within("says", &Value::from(case.says)),
    ]
    .concat())
}

fn decide(book: &Rulebook, case: &Case<'_>) -> Result<Plan, String> {
    book.decide(case).map_err(|needs| {
        let facts: Vec<_> = needs.iter().map(|need| format!("tenant.{}", fact_name(need))).collect();
        format!(
            "these rules read {}, which was not read when the event was decided: name the rulebook that decided with --rules",
            facts.join(", ")
        )
    })
}

fn write(file: &File<'_>) -> Result<String, String> {
    toml::to_string_pretty(file).map_err(|error| format!("the scenario can't be written: {error}"))
}

fn read(text: &str) -> Result<Scenario, String> {
    Scenario::parse_file(text).map_err(|complaints| {
        let said: Vec<_> = complaints.iter().map(ToString::to_string).collect();
        format!("the scenario can't be read back: {}", said.join("; "))
    })
}

/// Every text that stands in a condition or a template.
fn looked_for(book: &Rulebook) -> Vec<String> {
    let mut found = Vec::new();
    for rule in book.rules() {
        let lines = rule.when.iter().chain(&rule.changed);
        for line in lines.chain(rule.steps.iter().flat_map(|step| &step.when)) {
            found.extend(language::texts_in(line, true));
        }
        for text in rule.steps.iter().flat_map(|step| step.action.texts()) {
            found.extend(language::texts_in(text, false));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn flow(flow: &FlowSettings, stand_ins: Option<&mut StandIns>) -> toml::Table {
    let mut schema = flow.config_schema.as_ref().map(|path| path.display().to_string());
    let mut name = flow.name.clone();
    if let Some(stand_ins) = stand_ins {
        name = name.map(|name| stand_ins.text(&name));
        schema = schema.map(|_| "schemas/schema.json".to_owned());
    }
    // What is sent when a target is linked is read by no rule, and may hold anything.
    let settings = [
        ("name", &name),
        ("schedule", &flow.schedule),
        ("schedule_connector_id", &flow.schedule_connector_id),
        ("target", &flow.target),
        ("target_schedule", &flow.target_schedule),
        ("target_connector_id", &flow.target_connector_id),
        ("config_schema", &schema),
    ];
    let given = settings.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    given.map(|(name, value)| (name.to_owned(), toml::Value::String(value))).collect()
}

fn facts(facts: &Facts, stand_ins: Option<&mut StandIns>) -> toml::Table {
    let mut facts = facts.clone();
    if let Some(stand_ins) = stand_ins {
        for list in [&mut facts.linked_sources, &mut facts.linked_targets].into_iter().flatten() {
            list.iter_mut().for_each(|name| *name = stand_ins.connector(name));
        }
        if let Some(problems) = &mut facts.config_problems {
            problems.iter_mut().for_each(|problem| *problem = stand_ins.problem(problem));
        }
        facts.refused.iter_mut().for_each(|refused| refused.why = stand_ins.text(&refused.why));
        for value in facts.last_values.values_mut().flatten() {
            if let Ok(json) = serde_json::from_str::<Value>(value) {
                *value = stand_ins.remembered(&json).to_string();
            }
        }
    }
    // Unless a scenario says what was seen before, nothing was.
    facts.last_values.retain(|_, value| value.is_some());
    let nothing = facts.schedule == Some(None);
    let mut table =
        match serde_json::to_value(Facts { schedule: facts.schedule.filter(|_| !nothing), ..facts }) {
            Ok(json) => toml::Table::try_from(json).unwrap_or_default(),
            Err(_) => toml::Table::new(),
        };
    if nothing {
        table.insert("schedule".to_owned(), "none".into());
    }
    table
}

/// Which rules fare otherwise, and over which line.
fn differences(book: &Rulebook, before: &Plan, after: &Plan) -> Vec<String> {
    let mut differences = Vec::new();
    for (rule, (one, two)) in book.rules().iter().zip(before.verdicts.iter().zip(&after.verdicts)) {
        let line = |number: &usize| rule.when.get(number - 1).map_or("", |line| line.as_str());
        let said = match (&one.verdict, &two.verdict) {
            (Verdict::NotHeld { line: one, .. }, Verdict::NotHeld { line: two, .. }) if one == two => {
                continue;
            }
            (_, Verdict::NotHeld { line: number, .. }) => format!("`{}` holds no more", line(number)),
            (Verdict::NotHeld { line: number, .. }, _) => format!("`{}` holds now", line(number)),
            (Verdict::Matched { steps: one }, Verdict::Matched { steps: two }) if one != two => {
                format!("it takes {two} steps and not {one}")
            }
            (one, two) if std::mem::discriminant(one) != std::mem::discriminant(two) => {
                "it fares otherwise".to_owned()
            }
            _ => continue,
        };
        differences.push(format!("rule `{}`: {said}", rule.name));
    }
    if differences.is_empty() && kinds(before) != kinds(after) {
        differences.push("its steps are others".to_owned());
    }
    differences
}

/// What its steps do, without what is a customer's.
fn kinds(plan: &Plan) -> Vec<(&str, &'static str, Option<&'static str>)> {
    let which = |action: &Action| match action {
        Action::SetSchedule { which, .. } => Some(which.as_str()),
        Action::Slack { .. } | Action::LinkTarget { .. } | Action::RunJob { .. } => None,
    };
    plan.steps.iter().map(|step| (step.rule.as_str(), step.action.word(), which(&step.action))).collect()
}
