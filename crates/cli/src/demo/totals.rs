//! The end of the story, counted: what ingest called stored against the event log, what the event log calls done
//! against the doubles.

use std::collections::BTreeSet;

use anyhow::Result;
use domain::action::Action;
use domain::journal::{EventRecord, Outcome, StepState};
use sandbox::{Change, Effect};

use super::house::House;
use super::story::Told;
use crate::output;

/// Counts and tells; true when nothing was lost, nothing repeated, and every act became what it must.
pub(super) async fn tell(house: &House, told: &Told) -> Result<bool> {
    let mut wrong = told.wrong.clone();
    let mut records = Vec::new();
    for id in &told.stored {
        records.extend(house.store.event(id.as_str()).await?);
    }
    let lost = told.stored.len() - records.len();
    let open = records.iter().filter(|record| !ended(record)).count();
    let dead = records.iter().filter(|record| record.row.outcome == Outcome::Dead).count();
    let posts = slack_steps(&records);
    let messages = house.slack.messages().len();
    let effects = house.hotglue.effects();
    let repeated = messages.saturating_sub(posts) + repeats(&effects);
    let distinct = told.stored.iter().collect::<BTreeSet<_>>().len();

    for (what, number) in [
        ("webhooks were lost", lost),
        ("webhooks are not done", open),
        ("webhooks were given up", dead),
        ("things were done twice", repeated),
        ("messages did not reach Slack", posts.saturating_sub(messages)),
        ("ids belong to several webhooks", told.stored.len() - distinct),
    ] {
        if number > 0 {
            wrong.push(format!("{number} {what}"));
        }
    }
    output::line(format!("\n{}", output::bold("In the end")))?;
    output::line(format!(
        "    {} posted: {} stored, {} recognised as a repeat, {} refused",
        output::count(told.posted, "webhook"),
        told.stored.len(),
        told.repeats,
        told.refused
    ))?;
    output::line(format!(
        "    {} of {} in the event log with their end; {} at hotglue, {} in Slack (#hotglue-webhooks)",
        records.len() - open,
        told.stored.len(),
        output::count(effects.len(), "change"),
        output::count(messages, "message")
    ))?;
    let counted = format!("lost {lost}, repeated {repeated}, given up {dead}");
    if wrong.is_empty() {
        output::line(format!("    {}", output::green(counted)))?;
    } else {
        output::line(format!("    {}", output::red(counted)))?;
        for sentence in &wrong {
            output::line(format!("    {} {}", output::red("✗"), output::clean(sentence)))?;
        }
    }
    Ok(wrong.is_empty())
}

fn ended(record: &EventRecord) -> bool {
    matches!(record.row.outcome, Outcome::NoRule | Outcome::Done | Outcome::Dead)
}

/// Messages that the event log calls sent.
fn slack_steps(records: &[EventRecord]) -> usize {
    let steps = records.iter().flat_map(|record| &record.steps);
    steps
        .filter(|step| matches!(step.step.action, Action::Slack { .. }) && step.state == StepState::Done)
        .count()
}

/// Jobs of one name started twice and targets linked twice. (Putting a schedule to what it is already is no harm, and
/// other events may ask for it.)
fn repeats(effects: &[Effect]) -> usize {
    let mut jobs = BTreeSet::new();
    effects
        .iter()
        .filter(|effect| match &effect.change {
            Change::TargetLinked { again, .. } => *again,
            Change::JobStarted { job_name, .. } => {
                !jobs.insert((&effect.env, &effect.flow, &effect.tenant, job_name))
            }
            Change::SchedulePut { .. } | Change::ConfigSet => false,
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(tenant: &str, change: Change) -> Effect {
        Effect { at_order: 0, env: "e".into(), flow: Some("f".into()), tenant: tenant.into(), change }
    }

    fn job(name: &str) -> Change {
        Change::JobStarted { job_id: "j".into(), job_name: name.into(), tap: None }
    }

    #[test]
    fn a_second_job_of_one_name_and_a_second_link_are_repeats() {
        let again = |again| Change::TargetLinked { target: "t".into(), again };
        let good = [effect("a", job("x")), effect("b", job("x")), effect("a", again(false))];
        assert_eq!(repeats(&good), 0);
        let bad = [effect("a", job("x")), effect("a", job("x")), effect("a", again(true))];
        assert_eq!(repeats(&bad), 2);
    }
}
