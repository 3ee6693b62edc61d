//! From the steps of a rule that matched to actions with all names and texts filled in.

use super::context::Context;
use super::language::{Evaluated, Text};
use super::read::{CompiledAction, CompiledStep};
use super::{Case, Of, Rule, Rulebook};
use crate::action::{Action, Place, Which};
use crate::facts::Needs;

/// What a rule's steps come to.
#[derive(Debug)]
pub(super) enum Planned {
    Actions(Vec<Action>),
    /// Something must be known first.
    Asks(Needs),
    /// A step can't be worked out: the sentence names it and the cause. The steps before it can.
    Broken {
        why: String,
        before: Vec<Action>,
    },
}

/// What one step comes to: nothing when its own condition does not hold.
pub(super) type Worked = Evaluated<Vec<Action>>;

pub(super) fn plan(
    book: &Rulebook,
    rule: &Rule,
    steps: &[CompiledStep],
    case: &Case<'_>,
    context: &Context,
) -> Planned {
    let (mut actions, mut needs) = (Vec::new(), Needs::new());
    for (number, step) in steps.iter().enumerate() {
        match work_out(book, step, case, context) {
            Evaluated::Value(more) => actions.extend(more),
            // Further steps may ask too: all that is needed is asked together.
            Evaluated::Asks(more) => needs.extend(more),
            // The steps before it are done all the same, once what they ask for is known.
            Evaluated::Wrong(_) if !needs.is_empty() => break,
            Evaluated::Wrong(why) => {
                let word = rule.steps.get(number).map_or("", |step| step.action.word());
                let why = format!("rule `{}`, step {} ({word}): {why}", rule.name, number + 1);
                return Planned::Broken { why, before: actions };
            }
        }
    }
    if needs.is_empty() { Planned::Actions(actions) } else { Planned::Asks(needs) }
}

pub(super) fn work_out(book: &Rulebook, step: &CompiledStep, case: &Case<'_>, context: &Context) -> Worked {
    for condition in &step.when {
        match condition.holds(case, context) {
            Evaluated::Value(true) => {}
            Evaluated::Value(false) => return Evaluated::Value(Vec::new()),
            Evaluated::Asks(needs) => return Evaluated::Asks(needs),
            Evaluated::Wrong(why) => return Evaluated::Wrong(format!("`{}`: {why}", condition.source())),
        }
    }
    let mut asks = Needs::new();
    let mut text = |text: &Text| match book.texts.render(text, case, context) {
        Evaluated::Value(text) => Ok(text),
        Evaluated::Asks(needs) => {
            asks.extend(needs);
            Ok(String::new())
        }
        Evaluated::Wrong(why) => Err(why),
    };
    let result = match &step.action {
        CompiledAction::Slack { channel, text: source } => slack(channel.as_ref(), source, &mut text),
        CompiledAction::SetSchedule { of, enabled } => schedules(*of, *enabled, case),
        CompiledAction::LinkTarget { target } => link(target.as_ref(), case, &mut text),
        CompiledAction::RunJob { tap, name } => run(tap, name, case, &mut text),
    };
    match result {
        // A text that could not be written yet is empty; what was found missing then is not.
        _ if !asks.is_empty() => Evaluated::Asks(asks),
        Ok(actions) => Evaluated::Value(actions),
        Err(why) => Evaluated::Wrong(why),
    }
}

type Write<'a> = &'a mut dyn FnMut(&Text) -> Result<String, String>;

fn slack(channel: Option<&Text>, source: &Text, write: Write<'_>) -> Result<Vec<Action>, String> {
    let channel = channel.map(&mut *write).transpose()?.filter(|channel| !channel.is_empty());
    let text = write(source)?;
    if text.is_empty() {
        return Err("its text comes out empty".to_owned());
    }
    Ok(vec![Action::Slack { channel, text }])
}

fn place(case: &Case<'_>) -> Result<Place, String> {
    let event = case.event;
    for (name, value) in [("tenant", &event.tenant), ("flow", &event.flow_id)] {
        if value.is_empty() {
            return Err(format!("the event names no {name}"));
        }
    }
    Ok(Place { env_id: event.env_id.clone(), flow_id: event.flow_id.clone(), tenant: event.tenant.clone() })
}

fn schedules(of: Of, enabled: bool, case: &Case<'_>) -> Result<Vec<Action>, String> {
    let flow = case.flow;
    let place = place(case)?;
    // Without a scope of its own the target's schedule would be the flow's, which is the source's.
    let target = flow.target_connector_id.as_ref().or(flow.target.as_ref());
    let source = || Action::SetSchedule {
        place: place.clone(),
        which: Which::Source,
        connector_id: flow.schedule_connector_id.clone(),
        expression: flow.schedule.clone(),
        enabled,
    };
    let of_target = |connector: &String| Action::SetSchedule {
        place: place.clone(),
        which: Which::Target,
        connector_id: Some(connector.clone()),
        expression: flow.target_schedule.clone(),
        enabled,
    };
    match (of, target) {
        (Of::Source, _) | (Of::All, None) => Ok(vec![source()]),
        (Of::Target, Some(connector)) => Ok(vec![of_target(connector)]),
        (Of::All, Some(connector)) => Ok(vec![source(), of_target(connector)]),
        (Of::Target, None) => Err(no_target(case)),
    }
}

fn no_target(case: &Case<'_>) -> String {
    format!("the settings of flow `{}` name no target", case.event.flow_id)
}

fn link(target: Option<&Text>, case: &Case<'_>, write: Write<'_>) -> Result<Vec<Action>, String> {
    let target = match target {
        Some(text) => write(text)?,
        None => case.flow.target.clone().ok_or_else(|| no_target(case))?,
    };
    if target.is_empty() {
        return Err("the name of the target comes out empty".to_owned());
    }
    Ok(vec![Action::LinkTarget { place: place(case)?, target }])
}

fn run(tap: &Text, name: &Text, case: &Case<'_>, write: Write<'_>) -> Result<Vec<Action>, String> {
    let (tap, name) = (write(tap)?, write(name)?);
    if name.is_empty() {
        return Err("the name of the job comes out empty".to_owned());
    }
    if tap.is_empty() {
        return Err("the event names no tap to run".to_owned());
    }
    Ok(vec![Action::RunJob { place: place(case)?, tap, name }])
}
