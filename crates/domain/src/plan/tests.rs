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
    Verdict::Broken { why: "no tap".to_owned(), steps, shadow: false }
}

fn decision(verdicts: Vec<RuleVerdict>, steps: Vec<Step>) -> Decision {
    Decision {
        event: EventId::from_text("e"),
        run: LIVE.to_owned(),
        rulebook: "r".to_owned(),
        decided_at: Timestamp::UNIX_EPOCH,
        facts: Facts::default(),
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
