use serde_json::json;

use super::*;
use crate::config::FlowSettings;
use crate::plan::LIVE;
use crate::rulebook::scenario::read_event;

fn job(more: &serde_json::Value) -> Event {
    let mut payload =
        json!({"job_id": "j", "env_id": "e", "flow_id": "f", "tenant": "t", "status": "SYNC_FAILED"});
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    read_event(payload.to_string().as_bytes()).unwrap()
}

fn slack(name: &str, when: &str, text: &str) -> String {
    format!("[[rule]]\nname='{name}'\nwhen=[\"{when}\"]\n[[rule.do]]\naction='slack'\ntext=\"{text}\"\n")
}

fn see(side: &mut Side<'_>, event: &Event, recorded: &Facts) -> Deeds {
    let flow = FlowSettings::default();
    let facts = side.facts(event, recorded);
    side.see(&Case {
        event,
        facts: &facts,
        flow: &flow,
        date_format: "%Y",
        run: LIVE,
        replayed: false,
        now: Timestamp::UNIX_EPOCH,
    })
}

fn against(old: &str, new: &str, event: &Event, facts: &Facts) -> Vec<(String, Difference)> {
    let (old, new) = (Rulebook::parse(old).unwrap(), Rulebook::parse(new).unwrap());
    compare(&see(&mut Side::new(&old), event, facts), &see(&mut Side::new(&new), event, facts))
}

fn told(difference: &Difference) -> String {
    match difference {
        Difference::Added(action) => format!("+ {}", action.summary()),
        Difference::Dropped(action) => format!("- {}", action.summary()),
        Difference::Changed { before, after } => format!("~ {} > {}", before.summary(), after.summary()),
        Difference::Broken(why) => format!("! {why}"),
        Difference::Unknown(needs) => format!("? {needs:?}"),
    }
}

fn lines(differences: &[(String, Difference)]) -> Vec<String> {
    differences.iter().map(|(rule, difference)| format!("{rule}: {}", told(difference))).collect()
}

#[test]
fn what_is_added_dropped_and_changed_is_told_rule_by_rule() {
    let old = [slack("a", "event.failed", "one"), slack("b", "event.failed", "same")].concat();
    let new =
        [slack("a", "event.failed", "two"), slack("b", "event.failed", "same"), slack("c", "true", "new")];
    let found = against(&old, &new.concat(), &job(&json!({})), &Facts::default());
    assert_eq!(lines(&found), ["a: ~ Slack: one > Slack: two", "c: + Slack: new"]);
    let found = against(&old, &slack("b", "event.completed", "same"), &job(&json!({})), &Facts::default());
    assert_eq!(lines(&found), ["a: - Slack: one", "b: - Slack: same"]);
}

#[test]
fn a_fact_that_was_never_read_makes_a_rule_unknown_and_no_other() {
    let new = [slack("a", "tenant.state_is_null", "x"), slack("b", "event.failed", "y")].concat();
    let found = against("", &new, &job(&json!({})), &Facts::default());
    assert_eq!(lines(&found), ["a: ? {State}", "b: + Slack: y"]);
    let known = Facts { state_is_null: Some(false), ..Facts::default() };
    assert_eq!(lines(&against("", &new, &job(&json!({})), &known)), ["b: + Slack: y"]);
}

#[test]
fn a_rule_that_an_unknown_one_may_silence_is_unknown_too() {
    let new = [
        slack("a", "event.failed", "x"),
        slack("b", "tenant.state_is_null", "y").replace("when", "instead_of=['a']\nwhen"),
    ];
    let found = against("", &new.concat(), &job(&json!({})), &Facts::default());
    assert_eq!(lines(&found), ["a: ? {State}", "b: ? {State}"]);
}

#[test]
fn a_rule_that_can_no_more_be_carried_out_is_told_with_the_cause() {
    let found = against(
        &slack("a", "true", "x"),
        &slack("a", "true", "{{ payload.nope }}"),
        &job(&json!({})),
        &Facts::default(),
    );
    let [(_, Difference::Dropped(_)), (rule, Difference::Broken(why))] = &found[..] else {
        panic!("{found:?}")
    };
    assert!(rule == "a" && why.contains("nope"), "{found:?}");
}

#[test]
fn what_a_rule_would_do_before_the_step_that_breaks_it_is_told_too() {
    let more =
        format!("{}[[rule.do]]\naction='slack'\ntext='{{{{ payload.nope }}}}'\n", slack("a", "true", "x"));
    let found = against("", &more, &job(&json!({})), &Facts::default());
    assert!(
        matches!(&found[..], [(_, Difference::Added(_)), (_, Difference::Broken(_))]),
        "what comes before it is done live: {found:?}"
    );
}

#[test]
fn what_a_rule_did_before_the_step_that_broke_it_is_not_counted_as_new_once_it_is_mended() {
    let more =
        |text: &str| format!("{}[[rule.do]]\naction='slack'\ntext='{text}'\n", slack("a", "true", "x"));
    let found = against(&more("{{ payload.nope }}"), &more("two"), &job(&json!({})), &Facts::default());
    assert_eq!(lines(&found), ["a: + Slack: two"]);
}

#[test]
fn a_rule_in_shadow_does_nothing_and_is_counted() {
    let shadow = slack("a", "true", "x").replace("when", "mode='shadow'\nwhen");
    let (book, event) = (Rulebook::parse(&shadow).unwrap(), job(&json!({})));
    let after = see(&mut Side::new(&book), &event, &Facts::default());
    let mut report = Report::default();
    let before = Deeds::new();
    report.count((1, &event.id, "t"), (&before, &after), compare(&before, &after), 3);
    assert_eq!((report.differs(), report.shadow.get("a")), (false, Some(&1)));
}

#[test]
fn values_are_remembered_from_event_to_event_and_begin_with_what_was_recorded() {
    let rule =
        "[[rule]]\nname='r'\nchanged='payload.v'\n[[rule.do]]\naction='slack'\ntext='{{ payload.v }}'\n";
    let book = Rulebook::parse(rule).unwrap();
    let mut side = Side::new(&book);
    let at = |v: &str, minute: u32| {
        job(&json!({"v": v, "last_updated": format!("2024-10-07T08:{minute:02}:00Z")}))
    };
    let recorded =
        Facts { last_values: [("r".to_owned(), Some("\"a\"".to_owned()))].into(), ..Facts::default() };
    let mut acted = |event: &Event| !see(&mut side, event, &recorded).is_empty();
    assert!(!acted(&at("a", 1)), "the recorded value is the first");
    assert!(acted(&at("b", 3)));
    assert!(!acted(&at("b", 4)), "what was seen wins over what was recorded");
    assert!(acted(&at("c", 2)), "an older event with another value acts");
    assert!(!acted(&at("b", 5)), "and does not replace the newer value");
    let other = job(&json!({"v": "a", "tenant": "u"}));
    assert!(see(&mut Side::new(&book), &other, &Facts::default()).len() == 1, "each tenant has its own");
}

#[test]
fn reports_of_parts_add_up_and_keep_the_oldest_examples() {
    let new = slack("a", "true", "{{ event.job_id }}");
    let book = Rulebook::parse(&new).unwrap();
    let part = |rows: &[i64]| {
        let mut report = Report::default();
        for row in rows {
            let event = job(&json!({"job_id": row.to_string()}));
            let after = see(&mut Side::new(&book), &event, &Facts::default());
            let before = Deeds::new();
            report.count((*row, &event.id, "t"), (&before, &after), compare(&before, &after), 2);
        }
        report
    };
    let mut all = part(&[2, 4]);
    all.add(part(&[1, 3, 5]), 2);
    let tally = &all.tallies[&("a".to_owned(), "t".to_owned())];
    assert_eq!((all.events, all.differing, tally.added), (5, 5, 5));
    assert_eq!(tally.examples.iter().map(|example| example.row).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_cannot_be_evaluated_is_counted_by_rulebook_rule_and_line_with_the_oldest_events() {
    let old = Rulebook::parse(&slack("a", "payload.n.o > 3", "x")).unwrap();
    let new = slack("a", "event.failed\",\"payload.nope", "x");
    let new = Rulebook::parse(&[new, slack("b", "true", "{{ payload.nope }}")].concat()).unwrap();
    let part = |rows: &[i64]| {
        let mut report = Report::default();
        for row in rows {
            let event = job(&json!({"n": "four", "job_id": row.to_string()}));
            let before = see(&mut Side::new(&old), &event, &Facts::default());
            let after = see(&mut Side::new(&new), &event, &Facts::default());
            report.count((*row, &event.id, "t"), (&before, &after), compare(&before, &after), 2);
        }
        report
    };
    let mut all = part(&[2, 4]);
    all.add(part(&[1, 3, 5]), 2);
    let found: Vec<_> = all
        .wrong
        .iter()
        .map(|((book, rule, line), wrong)| {
            (*book, rule.as_str(), *line, wrong.events, wrong.examples.clone())
        })
        .collect();
    let oldest = ["1", "2"].map(|row| job(&json!({"n": "four", "job_id": row})).id).to_vec();
    assert_eq!(
        found,
        [
            (Book::New, "a", Some(2), 5, oldest.clone()),
            (Book::New, "b", None, 5, oldest.clone()),
            (Book::Old, "a", Some(1), 5, oldest),
        ]
    );
    assert!(all.errs() && all.wrong.values().all(|wrong| !wrong.why.is_empty()), "{all:?}");
    let decided = Decision {
        event: job(&json!({})).id,
        run: LIVE.to_owned(),
        rulebook: String::new(),
        decided_at: Timestamp::UNIX_EPOCH,
        facts: Facts::default(),
        flow: None,
        verdicts: vec![crate::plan::RuleVerdict::new(
            "a",
            Verdict::NotHeld { line: 3, why: Some("no".into()) },
        )],
        steps: Vec::new(),
        new_values: Vec::new(),
    };
    let told = Outlook::NotEvaluated { line: 3, why: "no".to_owned() };
    assert_eq!(done(&decided), [("a".to_owned(), told)], "also of what was recorded");
}

#[test]
fn what_another_rule_does_in_its_place_is_told_as_moved() {
    let (event, facts) = (job(&json!({})), Facts::default());
    let old = Rulebook::parse(&[slack("a", "true", "x"), slack("c", "true", "y")].concat()).unwrap();
    let new = Rulebook::parse(&[slack("b", "true", "x"), slack("c", "true", "z")].concat()).unwrap();
    let (before, after) =
        (see(&mut Side::new(&old), &event, &facts), see(&mut Side::new(&new), &event, &facts));
    let mut report = Report::default();
    report.count((1, &event.id, "t"), (&before, &after), compare(&before, &after), 3);
    let mut both = report.clone();
    both.add(report, 3);
    assert_eq!(both.moved, [(("a".to_owned(), "b".to_owned()), 2)].into());
}

#[test]
fn texts_that_begin_alike_are_told_apart_by_the_first_line_that_differs() {
    let event = job(&json!({}));
    let told = |before: &str, after: &str| {
        let deeds = |text: &str| {
            let slack = Action::Slack { channel: None, text: text.to_owned() };
            vec![("r".to_owned(), Outlook::Acts(vec![slack]))]
        };
        let (before, after) = (deeds(before), deeds(after));
        let mut report = Report::default();
        report.count((1, &event.id, "t"), (&before, &after), compare(&before, &after), 3);
        let example = report.tallies.values().next().unwrap().examples[0].clone();
        [example.before.unwrap(), example.after.unwrap()]
    };
    assert_eq!(told("a\nb\nc", "a\nB\nc"), ["Slack, line 2: b", "Slack, line 2: B"]);
    assert_eq!(told("a\nb", "a"), ["Slack, line 2: b", "Slack, line 2: (none)"]);
    assert_eq!(told("a", "b"), ["Slack: a", "Slack: b"]);
}

#[test]
fn settings_alone_make_no_difference() {
    let set = |expression: &str| Action::SetSchedule {
        place: crate::action::Place { env_id: "e".into(), flow_id: "f".into(), tenant: "t".into() },
        which: crate::action::Which::Source,
        connector_id: None,
        expression: Some(expression.to_owned()),
        enabled: true,
    };
    let deeds = |expression| vec![("r".to_owned(), Outlook::Acts(vec![set(expression)]))];
    assert_eq!(compare(&deeds("cron(1)"), &deeds("cron(2)")), []);
}

/// What comes of a rule with `limit = { tenants = 2, per = "10m" }` when it acts for each tenant in its minute.
fn limited(touched: &[(&str, i64)]) -> Limited {
    let text = slack("r", "event.failed", "x").replace("when", "limit={tenants=2, per='10m'}\nwhen");
    let book = Rulebook::parse(&text).unwrap();
    let mut side = Side::new(&book);
    let (mut first, mut second) = (Touches::default(), Touches::default());
    for (row, (tenant, minute)) in (0..).zip(touched) {
        let event = job(&json!({ "tenant": tenant, "status": "SYNC_FAILED" }));
        let deeds = see(&mut side, &event, &Facts::default());
        let at = Timestamp::from_second(minute * 60).unwrap();
        // As two that play the events of different tenants note them.
        let of = if *tenant == "a" { &mut first } else { &mut second };
        of.note(&book, (row, at), &event, &deeds);
    }
    second.add(first);
    second.judge(&book).remove(0)
}

#[test]
fn a_rule_pauses_for_the_tenant_that_is_one_too_many_within_the_time() {
    let found = limited(&[("a", 1), ("b", 2), ("a", 3), ("c", 4), ("c", 5), ("d", 90)]);
    let paused = found.paused.expect("paused");
    assert_eq!((paused.at.as_second(), paused.tenant.as_str()), (240, "e/c"));
    assert_eq!(
        (paused.touched, paused.held_events, paused.held_tenants),
        (vec!["e/a".into(), "e/b".into()], 3, 2)
    );
    assert_eq!((found.most, found.tenants, found.seconds), (2, 2, 600));
}

#[test]
fn a_rule_does_not_pause_where_tenants_come_one_after_the_other() {
    for touched in [
        [("a", 1), ("b", 2), ("c", 12)].as_slice(),
        &[("a", 1), ("b", 2), ("c", 11)],
        &[("a", 1), ("a", 2), ("b", 3), ("b", 4)],
        &[],
    ] {
        assert_eq!(limited(touched).paused, None, "{touched:?}");
    }
    assert!(
        limited(&[("a", 1), ("b", 2), ("a", 9), ("c", 11)]).paused.is_some(),
        "touched again, it counts anew"
    );
}
