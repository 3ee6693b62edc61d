use super::*;

fn event(sequence: u64, actions: &[&'static str], would_ask: &[&str]) -> EventPlan {
    let step = |action: &&'static str| StepPlan {
        rule: "job-failed".to_owned(),
        action,
        summary: "Slack: a\u{1b}b\nmore".to_owned(),
    };
    EventPlan {
        sequence,
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        kind: "job",
        status: "JOB_FAILED".to_owned(),
        tenant: "acme".to_owned(),
        received_at: "2026-03-02T12:00:00Z".parse().unwrap(),
        steps: actions.iter().map(step).collect(),
        would_ask: would_ask.iter().map(ToString::to_string).collect(),
        shadow: Vec::new(),
        gives_way: Vec::new(),
        with_recorded_facts: false,
        decided_in: None,
        done: 0,
        counted_as: format!("dev/tenant-{sequence}"),
        act: Vec::new(),
        may_act: Vec::new(),
    }
}

fn shown(plan: &Plan) -> String {
    anstream::adapter::strip_str(&plan.lines().join("\n")).to_string()
}

#[test]
fn totals_count_all_events_and_the_first_are_shown() {
    let mut plan = Plan::default();
    for sequence in 1..=22 {
        plan.take(Some(event(sequence, &["slack"], &[])));
    }
    plan.take(Some(event(23, &[], &["linked targets"])));
    plan.take(Some(event(24, &[], &[])));
    let shown = shown(&plan);
    for expected in [
        "1 0123456789ab job JOB_FAILED acme received 2026-03-02 12:00:00Z\n    job-failed slack Slack: a",
        "… and 4 more\n",
        "24 events by the rules of today:\n  slack 22×\n",
        "  1 event without anything to do\n  1 event whose steps depend on what hotglue says then",
    ] {
        assert!(shown.contains(expected), "{expected:?} is not in:\n{shown}");
    }
    assert!(!shown.contains('\u{1b}') && !shown.contains("\n21 "), "{shown}");
}

#[test]
fn what_would_be_asked_is_named() {
    let mut plan = Plan::default();
    plan.take(Some(event(1, &[], &["linked targets", "state"])));
    assert!(shown(&plan).contains("would ask hotglue for: linked targets, state"));
}

#[test]
fn what_is_done_is_told_apart_from_what_is_gone_on_with() {
    let mut plan = Plan::new(Purpose::Resume, &Rulebook::built_in());
    let failed = event(1, &["slack"], &[]);
    plan.take(Some(EventPlan { decided_in: Some("live".to_owned()), done: 2, ..failed }));
    plan.take(None);
    let shown = shown(&plan);
    assert!(shown.contains("2 steps done already, and not done again"), "{shown}");
    assert!(shown.contains("1 event to be gone on with, each where it failed:\n  slack 1×"), "{shown}");
    assert_eq!(plan.items[0].decided_in.as_deref(), Some("live"));
    assert!(plan.notes()[0].contains("1 event of which nothing failed"), "{:?}", plan.notes());
}
