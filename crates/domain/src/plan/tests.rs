use super::*;

fn step(rule: &str, place: usize, text: &str) -> Step {
    let action = Action::Slack { channel: None, text: text.to_owned() };
    Step {
        key: StepKey::new(&EventId::from_text("e"), LIVE, rule, &action),
        rule: rule.to_owned(),
        place,
        action,
    }
}

fn verdict(rule: &str, verdict: Verdict) -> RuleVerdict {
    RuleVerdict::new(rule, verdict)
}

fn broken_after(steps: usize) -> Verdict {
    Verdict::Broken { why: "no tap".to_owned(), steps, shadow: false, before: Vec::new() }
}

fn decision(verdicts: Vec<RuleVerdict>, steps: Vec<Step>) -> Decision {
    Decision {
        event: EventId::from_text("e"),
        run: LIVE.to_owned(),
        rulebook: "r".to_owned(),
        decided_at: Timestamp::UNIX_EPOCH,
        facts: Facts::default(),
        flow: None,
        verdicts,
        steps,
        new_values: Vec::new(),
    }
}

fn texts(steps: &[Step]) -> Vec<String> {
    let text = |step: &Step| match &step.action {
        Action::Slack { text, .. } => format!("{}: {text}", step.rule),
        other => panic!("{other:?}"),
    };
    steps.iter().map(text).collect()
}

#[test]
fn a_mended_rule_goes_on_behind_what_it_had_done() {
    let before = decision(
        vec![verdict("a", broken_after(2)), verdict("b", Verdict::Matched { steps: 1 })],
        vec![step("a", 0, "one"), step("a", 1, "two"), step("b", 0, "b")],
    );
    let after = Plan {
        verdicts: vec![verdict("a", Verdict::Matched { steps: 3 }), verdict("b", Verdict::Off)],
        // The second has other words now; that of `b` is done and stays as it was.
        steps: vec![
            step("a", 0, "one"),
            step("a", 1, "two, reworded"),
            step("a", 2, "three"),
            step("b", 0, "B"),
        ],
        new_values: Vec::new(),
    };
    let plan = before.mended(after);
    assert_eq!(texts(&plan.steps), ["a: one", "a: two", "a: three", "b: b"]);
    assert_eq!(plan.verdicts[0].verdict, Verdict::Matched { steps: 3 });
    assert_eq!(plan.verdicts[1].verdict, Verdict::Matched { steps: 1 });
}

#[test]
fn a_step_put_before_what_was_done_is_a_step_of_its_own() {
    let before = decision(vec![verdict("a", broken_after(1))], vec![step("a", 0, "one")]);
    let after = Plan {
        verdicts: vec![verdict("a", Verdict::Matched { steps: 3 })],
        steps: vec![step("a", 0, "zero"), step("a", 1, "one"), step("a", 2, "two")],
        new_values: Vec::new(),
    };
    assert_eq!(texts(&before.mended(after).steps), ["a: one", "a: zero", "a: two"]);
}

#[test]
fn a_decision_stored_before_steps_were_counted_is_read() {
    let old = r#"{"rule":"a","verdict":"broken","why":"no tap"}"#;
    let read: RuleVerdict = serde_json::from_str(old).expect("read");
    assert_eq!(read, verdict("a", broken_after(0)));
    assert_eq!(serde_json::to_string(&read).expect("written"), old);
}

#[test]
fn what_a_decision_was_made_from_is_read_as_it_was_written_without_what_may_be_secret() {
    let settings: FlowSettings =
        toml::from_str("target = 'optiply'\nschedule = 'cron(0 6 * * *)'\ntarget_config = { key = 'hush' }")
            .expect("settings");
    let facts = Facts { schedule: Some(None), linked_targets: Some(vec![]), ..Facts::default() };
    let flow = Some(RecordedFlow::from(&settings));
    let decision = Decision { facts, flow, ..decision(vec![], vec![]) };
    let written = serde_json::to_string(&decision.basis()).expect("JSON");
    assert!(!written.contains("hush"), "{written}");
    let read: Basis = serde_json::from_str(&written).expect("what was written");
    assert_eq!(read, decision.basis());
    let settings_then = FlowSettings { target_config: None, ..settings.clone() };
    assert_eq!(decision.flow_settings(FlowSettings::default()), settings_then);
    assert_eq!(decision.basis().flow.expect("kept").differing(&settings), Vec::<&str>::new());
    let today = FlowSettings { target: None, ..settings };
    assert_eq!(decision.flow.expect("kept").differing(&today), ["target"]);
}

#[test]
fn a_decision_of_a_version_that_kept_no_flow_is_read_with_the_settings_of_today() {
    let old: Basis = serde_json::from_str(r#"{"schedule":null,"linked_targets":["optiply"]}"#).expect("read");
    assert_eq!((old.facts.schedule.clone(), &old.flow), (Some(None), &None));
    assert_eq!(old.facts.linked_targets, Some(vec!["optiply".to_owned()]));
    let old = Decision { facts: old.facts, flow: old.flow, ..decision(vec![], vec![]) };
    let today = FlowSettings { target: Some("other".to_owned()), ..FlowSettings::default() };
    assert_eq!(old.flow_settings(today.clone()), today);
    assert_eq!(serde_json::to_string(&Decision::basis(&decision(vec![], vec![]))).expect("JSON"), "{}");
}
