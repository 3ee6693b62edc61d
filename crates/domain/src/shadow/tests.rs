use super::*;
use crate::facts::Facts;
use crate::plan::{LIVE, RuleVerdict, Step, StepKey};

fn slack(text: &str) -> Action {
    Action::Slack { channel: None, text: text.to_owned() }
}

/// What the live rule `old` did, and what `new` in shadow would have done.
fn decision(done: &[&str], would: Option<&[&str]>) -> Decision {
    let event = EventId::from_text("e1");
    let step = |(place, text): (usize, &&str)| {
        let action = slack(text);
        Step { key: StepKey::new(&event, LIVE, "old", &action), rule: "old".to_owned(), place, action }
    };
    let steps: Vec<_> = done.iter().enumerate().map(step).collect();
    let new = match would {
        Some(texts) => Verdict::Shadow { actions: texts.iter().map(|text| slack(text)).collect() },
        None => Verdict::NotHeld { line: 1, why: None },
    };
    let verdict = RuleVerdict::new;
    Decision {
        event: event.clone(),
        run: LIVE.to_owned(),
        rulebook: "r".to_owned(),
        decided_at: jiff::Timestamp::UNIX_EPOCH,
        facts: Facts::default(),
        flow: None,
        verdicts: vec![verdict("old", Verdict::Matched { steps: steps.len() }), verdict("new", new)],
        steps,
        new_values: Vec::new(),
    }
}

fn compared(question: &Question, decisions: &[Decision]) -> BTreeMap<String, Comparison> {
    let mut found = BTreeMap::new();
    for decision in decisions {
        compare(&mut found, question, decision, &HashSet::new(), &HashMap::new());
    }
    found
}

fn replacing() -> Question {
    Question { rule: Some("new".to_owned()), against: Some("old".to_owned()) }
}

#[test]
fn the_same_is_no_difference() {
    let found = compared(&replacing(), &[decision(&["a"], Some(&["a"]))]);
    assert_eq!((found["new"].events, found["new"].same, found["new"].differs()), (1, 1, false));
}

#[test]
fn what_would_be_added_and_left_out_is_told_with_examples() {
    let decisions = vec![decision(&["a"], Some(&["b"])); EXAMPLES + 2];
    let found = compared(&replacing(), &decisions);
    let new = &found["new"];
    assert!(new.differs());
    assert_eq!((new.would_add["slack"], new.would_leave_out["slack"]), (7, 7));
    assert_eq!(new.examples.len(), EXAMPLES);
    assert_eq!(new.examples[0].would_add, ["Slack: b"]);
    assert_eq!(new.examples[0].would_leave_out, ["Slack: a"]);
}

#[test]
fn a_replacement_that_keeps_silent_differs() {
    let found = compared(&replacing(), &[decision(&["a"], None)]);
    assert_eq!(found["new"].would_leave_out["slack"], 1);
    assert!(compared(&replacing(), &[decision(&[], None)]).is_empty());
}

#[test]
fn what_was_decided_when_the_replacement_was_not_in_shadow_is_left_out_and_counted() {
    let mut before = decision(&["a"], None);
    before.verdicts.truncate(1);
    let mut off = decision(&["a"], None);
    off.verdicts[1].verdict = Verdict::Off;
    let found = compared(&replacing(), &[before, off, decision(&["a"], Some(&["a"]))]);
    let new = &found["new"];
    assert_eq!((new.events, new.same, new.left_out, new.differs()), (1, 1, 2, false));
}

#[test]
fn without_a_rule_to_replace_only_what_would_be_added_differs() {
    let found =
        compared(&Question::default(), &[decision(&["a", "b"], Some(&["a"])), decision(&["a"], None)]);
    assert_eq!((found["new"].events, found["new"].same), (1, 1));
}

#[test]
fn a_plan_that_is_only_observed_leaves_nothing_to_do() {
    let before = decision(&["a", "b"], Some(&["c"]));
    let plan = crate::plan::Plan { verdicts: before.verdicts, steps: before.steps, new_values: Vec::new() };
    let observed = plan.observed();
    assert!(observed.steps.is_empty() && observed.takes());
    assert_eq!(observed.verdicts[0].verdict, Verdict::Shadow { actions: vec![slack("a"), slack("b")] });
    assert_eq!(observed.verdicts[1].verdict, Verdict::Shadow { actions: vec![slack("c")] });
}

#[test]
fn what_was_dropped_or_is_held_was_not_done() {
    let decision = decision(&["a", "b"], Some(&["a", "b"]));
    let undone = HashSet::from([decision.steps[1].key.clone()]);
    let mut found = BTreeMap::new();
    compare(&mut found, &replacing(), &decision, &undone, &HashMap::new());
    let new = &found["new"];
    assert_eq!((new.would_add["slack"], new.not_done["slack"], new.would_leave_out.len()), (1, 1, 0));
    assert_eq!(new.examples[0].would_add, ["Slack: b"]);
}

#[test]
fn what_the_shadow_would_have_been_held_back_from_is_nothing_that_it_would_have_done() {
    let decision = decision(&["a"], Some(&["a"]));
    let held = HeldBack { tenants: 1, seconds: 60, pauses: true };
    let fates = HashMap::from([("new".to_owned(), Fate { held: Some(held), folds: Vec::new() })]);
    let mut found = BTreeMap::new();
    compare(&mut found, &replacing(), &decision, &HashSet::new(), &fates);
    let new = &found["new"];
    assert_eq!((new.would_hold, new.would_pause, new.would_leave_out["slack"]), (1, 1, 1));

    let both = HashSet::from([decision.steps[0].key.clone()]);
    let mut found = BTreeMap::new();
    compare(&mut found, &replacing(), &decision, &both, &fates);
    assert_eq!((found["new"].same, found["new"].differs()), (1, false), "both are held");
}

#[test]
fn what_would_have_come_to_nothing_or_after_a_failure_is_not_added() {
    let mut decision = decision(&[], Some(&["a", "b", "c", "d"]));
    let call = || Would::Nothing { why: "hotglue reports none".to_owned() };
    let would = vec![call(), call(), Would::Fail { why: "no channel".to_owned() }, call()];
    decision.verdicts[1].would = would;
    let question = Question::default();
    assert!(!compared(&question, std::slice::from_ref(&decision))["new"].differs());
    // Where it was not recorded, everything counts.
    decision.verdicts[1].would.clear();
    assert_eq!(compared(&question, &[decision])["new"].would_add["slack"], 4);
}
