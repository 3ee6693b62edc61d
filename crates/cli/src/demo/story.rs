//! One act of the story: the post, its answer, what was decided, what changed. Nothing here is taken on trust: it is
//! read back from the event log and from the doubles.

use anyhow::{Context as _, Result, bail};
use domain::envelope::{Envelope, Source};
use domain::event::{self, Event};
use domain::facts::Facts;
use domain::journal::{EventRecord, Outcome, StepState};
use domain::names::EventId;
use domain::plan::{LIVE, RuleVerdict, Verdict};
use domain::rulebook::{Case, Rulebook};
use sandbox::{Change, webhook};
use serde_json::Value;
use tokio::time::Instant;

use super::PATIENCE;
use super::acts::{Act, Must, SECRET};
use super::house::House;
use crate::{output, processes};

/// Widest text of a line before it is cut.
const WIDEST: usize = 106;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) posted: usize,
    /// Ids that ingest called stored, in order.
    pub(super) stored: Vec<EventId>,
    pub(super) repeats: usize,
    pub(super) refused: usize,
    /// What was not as it must be.
    pub(super) wrong: Vec<String>,
    /// Effects at hotglue and messages in Slack that were told already.
    effects: usize,
    messages: usize,
    /// The event with most steps: the one worth explaining.
    telling: Option<(usize, EventId)>,
}

impl Told {
    pub(super) fn telling_id(&self) -> Option<&str> {
        self.telling.as_ref().map(|(_, id)| id.as_str())
    }

    /// Posts and tells one act.
    pub(super) async fn act(&mut self, house: &mut House, act: &Act) -> Result<()> {
        self.posted += 1;
        output::line(format!("\n{}", output::bold(format!("{:>2}  {}", self.posted, act.title))))?;
        let sent = Instant::now();
        let (status, answer) = post(house, act).await?;
        let took = format!("in {} ms", sent.elapsed().as_millis());
        let id = answer.get("id").and_then(Value::as_str).map(EventId::from_text);
        let duplicate = answer.get("duplicate").and_then(Value::as_bool).unwrap_or_default();
        match (status, id) {
            (200, Some(id)) if duplicate => {
                self.repeats += 1;
                let known = self.stored.contains(&id);
                let same = if known { "the same id as before" } else { "an id never seen before" };
                say("answer", &format!("200 {took}: a repeat, {same}; nothing is done twice"))?;
                self.expect(known && act.must == Must::Repeat, act, "was taken for a repeat");
            }
            (200, Some(id)) => {
                say("answer", &format!("200 {took}: stored as {id}"))?;
                self.stored.push(id.clone());
                let record = settled(house, &id).await?;
                self.decided(act, &record)?;
                self.changed(house, &record)?;
            }
            _ => {
                self.refused += 1;
                let error = answer.get("error").and_then(Value::as_str).unwrap_or("no reason given");
                say("answer", &format!("{status} {took}: {}", output::clean(error)))?;
                self.expect(status == 401 && act.must == Must::Refuse, act, "was refused");
            }
        }
        Ok(())
    }

    fn expect(&mut self, good: bool, act: &Act, instead: &str) {
        if !good {
            self.wrong.push(format!("\"{}\" {instead}, but must {:?}", act.title, act.must));
        }
    }

    fn decided(&mut self, act: &Act, record: &EventRecord) -> Result<()> {
        let steps = record.steps.len();
        if self.telling.as_ref().is_none_or(|(most, _)| steps > *most) {
            self.telling = Some((steps, record.row.event.id.clone()));
        }
        let decision = record.decisions.last();
        // A rule may hold and yet find nothing to do: what counts here is who acted.
        let mut rules: Vec<&str> = record.steps.iter().map(|step| step.step.rule.as_str()).collect();
        rules.dedup();
        let expected = match act.must {
            Must::Become(outcome, must) => outcome == record.row.outcome && rules == must,
            Must::Repeat | Must::Refuse => false,
        };
        let became = format!("became {} by [{}]", record.row.outcome.as_str(), rules.join(", "));
        self.expect(expected, act, &became);
        if rules.is_empty() {
            let why = match decision {
                Some(decision) => {
                    why_nothing(&Rulebook::built_in(), &decision.verdicts, &record.row.event.kind)
                }
                None => decide_again(act, record)?,
            };
            return say("rule", &format!("none acts: {why}"));
        }
        let mut line = output::green(rules.join(", "));
        for verdict in decision.map(|decision| decision.verdicts.as_slice()).unwrap_or_default() {
            if let Verdict::Silenced { by } = &verdict.verdict {
                line += &format!("; {} keeps silent, because {by} tells it", verdict.rule);
            }
        }
        match decision.map(|decision| facts(&decision.facts)).filter(|facts| !facts.is_empty()) {
            Some(facts) => say("rule", &format!("{line} ({facts})")),
            None => say("rule", &line),
        }
    }

    fn changed(&mut self, house: &House, record: &EventRecord) -> Result<()> {
        let effects = house.hotglue.effects();
        let new = effects.get(self.effects..).unwrap_or_default();
        self.effects = effects.len();
        for effect in new {
            say("hotglue", &output::clean(&effect.to_string()))?;
        }
        let started = new.iter().any(|effect| matches!(effect.change, Change::JobStarted { .. }));
        for step in &record.steps {
            let what = step.step.action.summary();
            match step.state {
                StepState::Done if step.step.action.word() == "run_job" && !started => {
                    let answer = step.answer.as_deref().unwrap_or("nothing to do");
                    let columns = &record.row.event;
                    let place = format!("{}/{}", columns.flow_id, columns.tenant);
                    say("hotglue", &cut(&output::clean(&format!("{place}: {answer}"))))?;
                }
                StepState::Done => {}
                other => {
                    let why = step.error.as_deref().unwrap_or("no reason given");
                    let line =
                        format!("{}: {}: {}", other.as_str(), output::clean(&what), output::clean(why));
                    say("step", &output::red(line))?;
                    self.wrong.push(format!("a step is {}: {what}", other.as_str()));
                }
            }
        }
        let messages = house.slack.messages();
        for message in messages.get(self.messages..).unwrap_or_default() {
            // What is set as code in Slack needs no fences here.
            let mut lines = message.text.lines().map(str::trim).filter(|line| !matches!(*line, "" | "```"));
            say("Slack", &cut(&output::clean(lines.next().unwrap_or_default())))?;
            let rest: Vec<&str> = lines.collect();
            if !rest.is_empty() {
                say("", &output::dim(cut(&output::clean(&rest.join(" ⏎ ")))))?;
            }
        }
        self.messages = messages.len();
        Ok(())
    }
}

fn say(label: &str, text: &str) -> Result<()> {
    Ok(output::line(format!("    {} {text}", output::dim(format!("{label:<8}"))))?)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDEST {
        return text.to_owned();
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

async fn post(house: &House, act: &Act) -> Result<(u16, Value)> {
    let secret = if act.forged { "not-the-secret" } else { SECRET };
    let mut request = house.http.post(&house.hooks).body(act.body.clone());
    for (name, value) in webhook::headers(Some(secret), &act.body) {
        request = request.header(name, value);
    }
    let answer = request.send().await.context("ingest does not answer")?;
    let status = answer.status().as_u16();
    let text = answer.text().await.context("the answer of ingest broke off")?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// What the event log says of an event once nothing more will happen to it.
async fn settled(house: &mut House, id: &EventId) -> Result<EventRecord> {
    let store = house.store.clone();
    let look = processes::found(|| async {
        let record = store.event(id.as_str()).await?;
        Ok(record
            .filter(|record| matches!(record.row.outcome, Outcome::NoRule | Outcome::Done | Outcome::Dead)))
    });
    house.processes.wait_for(&format!("the worker was not done with event {id}"), PATIENCE, look).await?
}

/// Events on which no rule acts are recorded many at a time, without a verdict for each rule; deciding is pure, so
/// doing it again says the same.
fn decide_again(act: &Act, record: &EventRecord) -> Result<String> {
    let rulebook = Rulebook::built_in();
    let columns = &record.row.event;
    let envelope = Envelope::unsealed_from_queue(
        columns.id.clone(),
        columns.endpoint.clone(),
        Source::Hotglue,
        columns.received_at,
        record.subject.clone(),
        record.headers.clone(),
        act.body.clone().into(),
    );
    let event: Event = event::read(&envelope, &[])?;
    let config = domain::config::Hotglue::default();
    let case = Case {
        event: &event,
        facts: &Facts::default(),
        flow: &config.flow(&event.flow_id),
        date_format: &config.date_format,
        run: LIVE,
        replayed: false,
        now: columns.received_at,
    };
    match rulebook.decide(&case) {
        Ok(plan) => Ok(why_nothing(&rulebook, &plan.verdicts, &columns.kind)),
        Err(needs) => bail!("an event that needs {needs:?} was recorded without a decision"),
    }
}

/// The rule that came closest, and the condition that did not hold.
fn why_nothing(rulebook: &Rulebook, verdicts: &[RuleVerdict], kind: &str) -> String {
    let closest = verdicts
        .iter()
        .filter_map(|verdict| match verdict.verdict {
            Verdict::NotHeld { line, .. } => Some((line, verdict.rule.as_str())),
            _ => None,
        })
        // Of equals the first: max_by_key takes the last.
        .rev()
        .max_by_key(|(line, _)| *line);
    let Some((line, name)) = closest else { return format!("no rule is about {kind} events") };
    let rule = rulebook.rules().iter().find(|rule| rule.name == name);
    match rule.and_then(|rule| rule.when.get(line.saturating_sub(1))) {
        Some(condition) => cut(&format!("{name} came closest, but not `{condition}`")),
        None => format!("{name} came closest"),
    }
}

/// What was read at hotglue before deciding.
fn facts(facts: &Facts) -> String {
    let list = |what: &str, names: &[String]| {
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("{what}: {names}")
    };
    let mut said = Vec::new();
    match (&facts.config_valid, &facts.config_problems) {
        (Some(true), _) => said.push("the config is valid".to_owned()),
        (Some(false), Some(problems)) => said.push(list("the config is not valid", problems)),
        (Some(false), None) => said.push("the config is not valid".to_owned()),
        (None, _) => {}
    }
    match facts.state_is_null {
        Some(true) => said.push("the state is null".to_owned()),
        Some(false) => said.push("there is a state".to_owned()),
        None => {}
    }
    said.extend(facts.linked_sources.as_deref().map(|names| list("linked sources", names)));
    said.extend(facts.linked_targets.as_deref().map(|names| list("linked targets", names)));
    cut(&output::clean(&said.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_rules_that_do_not_hold_the_one_that_came_closest_is_named() {
        let rulebook = Rulebook::built_in();
        let verdict = RuleVerdict::new;
        let verdicts = [
            verdict("job-failed", Verdict::NotHeld { line: 1, why: None }),
            verdict("link-made", Verdict::OtherKind),
        ];
        let said = why_nothing(&rulebook, &verdicts, "job");
        assert!(said.starts_with("job-failed came closest, but not `"), "{said}");
        assert_eq!(why_nothing(&rulebook, &verdicts[1..], "discover"), "no rule is about discover events");
    }

    #[test]
    fn a_long_line_is_cut_by_characters() {
        let long = "é".repeat(WIDEST + 1);
        assert_eq!(cut(&long).chars().count(), WIDEST);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn facts_are_said_in_words() {
        let known = Facts {
            config_valid: Some(false),
            config_problems: Some(vec!["/a is missing".into()]),
            state_is_null: Some(true),
            linked_targets: Some(vec![]),
            ..Facts::default()
        };
        assert_eq!(
            facts(&known),
            "the config is not valid: /a is missing; the state is null; linked targets: none"
        );
        assert_eq!(facts(&Facts::default()), "");
    }
}
