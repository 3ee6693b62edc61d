use proptest::prelude::*;

use super::*;
use crate::facts::Need;

#[test]
fn a_line_that_fails_does_not_hold_and_the_event_goes_on() {
    let text = "[[rule]]\nname='r'\nwhen=['true', 'event.error + 1 > 2']\n[[rule]]\nname='s'\n";
    let plan = decided(&book(text), &failed_job(), &Facts::default());
    assert!(
        matches!(&plan.verdicts[0].verdict, Verdict::NotHeld { line: 2, why: Some(why) } if why.contains("unsupported types"))
    );
    assert_eq!(plan.verdicts[1].verdict, Verdict::Matched { steps: 0 });
}

#[test]
fn facts_are_asked_only_when_read_and_all_of_a_round_together() {
    let text = "[[rule]]\nname='a'\nwhen=['false and tenant.state_is_null']\n[[rule]]\nname='b'\nwhen=['tenant.config_valid']\n[[rule]]\nname='c'\nwhen=['tenant.linked_targets']\n";
    let book = book(text);
    let (event, flow) = (failed_job(), flow());
    let needs = book.decide(&case(&event, &Facts::default(), &flow)).expect_err("asks");
    assert_eq!(needs, [Need::Config, Need::LinkedTargets].into());
    let facts = Facts { config_valid: Some(true), linked_targets: Some(vec![]), ..Facts::default() };
    let plan = book.decide(&case(&event, &facts, &flow)).expect("knows");
    assert_eq!(plan.verdicts[2].verdict, Verdict::NotHeld { line: 1, why: None });
}

#[test]
fn what_hotglue_refuses_breaks_the_rules_that_read_it_and_no_other() {
    const TEXT: &str = r#"
[[rule]]
name = "in a condition"
when = ["event.failed", "tenant.config_valid"]
[[rule]]
name = "in a step"
[[rule.do]]
action = "slack"
text = "{{ tenant.linked_targets }}"
[[rule]]
name = "not read"
when = ["event.completed and tenant.config_valid"]
[[rule]]
name = "nothing to do with it"
[[rule.do]]
action = "slack"
text = "x"
"#;
    let mut facts = Facts::default();
    facts.refuse(Need::Config, "the key is refused".to_owned());
    facts.refuse(Need::LinkedTargets, "no such tenant".to_owned());
    let plan = decided(&book(TEXT), &failed_job(), &facts);
    let verdicts: Vec<_> = plan.verdicts.into_iter().map(|verdict| verdict.verdict).collect();
    assert!(
        matches!(&verdicts[0], Verdict::Broken { why, steps: 0, .. } if why.contains("the key is refused") && why.contains("config_valid")),
        "{verdicts:?}"
    );
    assert!(
        matches!(&verdicts[1], Verdict::Broken { why, steps: 0, .. } if why.contains("no such tenant")),
        "{verdicts:?}"
    );
    assert_eq!(verdicts[2], Verdict::NotHeld { line: 1, why: None });
    assert_eq!(verdicts[3], Verdict::Matched { steps: 1 });
}

const STEPS: &str = r#"
[[rule]]
name = "r"
[[rule.do]]
action = "slack"
text = "one"
[[rule.do]]
action = "slack"
text = "two"
when = "'optiply' in tenant.linked_targets"
[[rule.do]]
action = "run_job"
tap = "{{ tenant.config_problems|join }}"
name = "job"
[[rule.do]]
action = "slack"
text = "four"
"#;

#[test]
fn the_steps_before_one_that_can_not_be_worked_out_are_planned_and_none_behind_it() {
    let book = book(STEPS);
    let (event, flow) = (failed_job(), flow());
    let mut facts = Facts::default();
    facts.refuse(Need::Config, "the key is refused".to_owned());
    let needs =
        book.decide(&case(&event, &facts, &flow)).expect_err("asks for what the steps before it read");
    assert_eq!(needs, [Need::LinkedTargets].into());
    facts.linked_targets = Some(vec!["optiply".to_owned()]);
    let plan = decided(&book, &event, &facts);
    let Verdict::Broken { why, steps: 2, .. } = &plan.verdicts[0].verdict else { panic!("{plan:?}") };
    assert!(why.starts_with("rule `r`, step 3 (run_job): ") && why.contains("the key is refused"), "{why}");
    let words: Vec<_> = plan.steps.iter().map(|step| step.action.summary()).collect();
    assert_eq!(words, ["Slack: one", "Slack: two"]);
    assert!(plan.takes());
    let explanation = book.explain(&case(&event, &facts, &flow));
    let rule = &explanation.rules[0];
    assert!(rule.says.starts_with("takes 2 steps, then can't be worked out: "), "{}", rule.says);
    assert_eq!(rule.steps[3].would, Vec::<String>::new(), "nothing behind it");
    let shadow = decided(
        &super::book(&STEPS.replace("name = \"r\"", "name = \"r\"\nmode = \"shadow\"")),
        &event,
        &facts,
    );
    assert!(shadow.steps.is_empty(), "a rule in shadow does nothing");
}

#[test]
fn a_step_without_a_tap_leaves_those_before_it() {
    let text = "[[rule]]\nname='r'\n[[rule.do]]\naction='slack'\ntext='one'\n[[rule.do]]\naction='run_job'\nname='j'\n";
    let event =
        event(&json!({"tenant": "t", "flow_id": "f", "status": "JOB_COMPLETED", "job_id": "j", "tap": null}));
    let plan = decided(&book(text), &event, &Facts::default());
    assert!(
        matches!(&plan.verdicts[0].verdict, Verdict::Broken { why, steps: 1, .. } if why.contains("step 2 (run_job)"))
    );
    assert_eq!(plan.steps.len(), 1);
}

#[test]
fn a_rulebook_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Rulebook::built_in());
}

#[test]
fn modes_and_kinds() {
    let rule = |more: &str| format!("[[rule]]\nname='r'\n{more}\n[[rule.do]]\naction='slack'\ntext='x'\n");
    let verdict = |more: &str| only_verdict(&book(&rule(more)), &failed_job(), &Facts::default());
    assert_eq!(verdict("mode='off'"), Verdict::Off);
    assert_eq!(verdict("on=['connection']"), Verdict::OtherKind);
    assert_eq!(verdict("on=['job']"), Verdict::Matched { steps: 1 });
    assert!(matches!(verdict("mode='shadow'"), Verdict::Shadow { actions } if actions.len() == 1));
    let plan = decided(&book(&rule("mode='shadow'")), &failed_job(), &Facts::default());
    assert!(plan.steps.is_empty() && plan.takes());
}

#[test]
fn only_a_live_rule_silences_another() {
    for (mode, silenced) in [("live", true), ("shadow", false), ("off", false)] {
        let text = format!("[[rule]]\nname='a'\n[[rule]]\nname='b'\nmode='{mode}'\ninstead_of=['a']\n");
        let verdict = only_verdict(&book(&text), &failed_job(), &Facts::default());
        assert_eq!(verdict == Verdict::Silenced { by: "b".to_owned() }, silenced, "{mode}: {verdict:?}");
    }
}

#[test]
fn changed_acts_once_until_the_value_is_another_one() {
    let text =
        "[[rule]]\nname='r'\nchanged='tenant.config_problems'\n[[rule.do]]\naction='slack'\ntext='x'\n";
    let book = book(text);
    let (event, flow) = (failed_job(), flow());
    let needs = book.decide(&case(&event, &Facts::default(), &flow)).expect_err("asks");
    assert_eq!(needs, [Need::Config, Need::LastValue { rule: "r".to_owned() }].into());
    for (problems, last, acts, remembered) in [
        (vec!["/a is missing"], None, true, Some("[\"/a is missing\"]")),
        (vec!["/a is missing"], Some("[\"/a is missing\"]"), false, None),
        (vec![], None, false, Some("[]")),
        (vec![], Some("[]"), false, None),
        (vec![], Some("[\"/a is missing\"]"), true, Some("[]")),
    ] {
        let facts = Facts {
            config_problems: Some(problems.into_iter().map(str::to_owned).collect()),
            last_values: [("r".to_owned(), last.map(str::to_owned))].into(),
            ..Facts::default()
        };
        let plan = book.decide(&case(&event, &facts, &flow)).expect("knows");
        assert_eq!(plan.steps.len(), usize::from(acts), "{facts:?}");
        assert_eq!(plan.verdicts[0].verdict == Verdict::Unchanged, !acts);
        assert_eq!(plan.new_values.first().map(|new| new.value.as_str()), remembered);
    }
}

#[test]
fn in_shadow_changed_remembers_on_its_own_what_it_would_have_told() {
    let text = "[[rule]]\nname='r'\nmode='shadow'\nchanged='tenant.config_problems'\n[[rule.do]]\naction='slack'\ntext='x'\n";
    let book = book(text);
    let (event, flow) = (failed_job(), flow());
    let needs = book.decide(&case(&event, &Facts::default(), &flow)).expect_err("asks");
    assert_eq!(needs, [Need::Config, Need::LastValue { rule: "shadow/r".to_owned() }].into());
    for (last, acts) in [(None, true), (Some("[\"/a is missing\"]"), false), (Some("[]"), true)] {
        let facts = Facts {
            config_problems: Some(vec!["/a is missing".to_owned()]),
            last_values: [("shadow/r".to_owned(), last.map(str::to_owned))].into(),
            ..Facts::default()
        };
        let plan = book.decide(&case(&event, &facts, &flow)).expect("knows");
        assert!(plan.steps.is_empty());
        assert_eq!(matches!(plan.verdicts[0].verdict, Verdict::Shadow { .. }), acts, "{last:?}");
        assert!(plan.new_values.iter().all(|new| new.rule == "shadow/r"), "life is not touched");
        assert_eq!(plan.new_values.len(), usize::from(acts));
    }
}

#[test]
fn in_shadow_what_comes_before_a_step_that_breaks_is_known_as_it_would_be_done_live() {
    let text = "[[rule]]\nname='r'\nmode='MODE'\n[[rule.do]]\naction='disable_schedule'\nof='source'\n[[rule.do]]\naction='slack'\ntext='{{ payload.zz.y }}'\n";
    let (event, facts, flow) = (failed_job(), Facts::default(), flow());
    let decided = |mode: &str| {
        let book = book(&text.replace("MODE", mode));
        book.decide(&case(&event, &facts, &flow)).expect("asks nothing")
    };
    let (live, shadow) = (decided("live"), decided("shadow"));
    let done: Vec<_> = live.steps.iter().map(|step| step.action.clone()).collect();
    assert_eq!(done.len(), 1);
    assert_eq!(shadow.verdicts[0].verdict.rehearsed(), Some(done.as_slice()));
    assert!(shadow.steps.is_empty() && shadow.broken().is_none());
    assert_eq!(live.verdicts[0].verdict.rehearsed(), None);
    assert_eq!(live.observed().verdicts[0].verdict.rehearsed(), Some(done.as_slice()));
}

#[test]
fn of_all_means_the_target_too_where_there_is_one() {
    let text = "[[rule]]\nname='r'\n[[rule.do]]\naction='disable_schedule'\n";
    let book = book(text);
    let (event, facts) = (failed_job(), Facts::default());
    let plan = |flow: &FlowSettings| book.decide(&case(&event, &facts, flow)).expect("knows");
    let both: Vec<_> = plan(&flow()).steps.iter().map(describe).collect();
    assert_eq!(
        both,
        [
            "r: disable_schedule source of 1414_1 in f at the flow, cron(0 */4 * * *)",
            "r: disable_schedule target of 1414_1 in f at optiply, cron(30 */4 * * *)"
        ]
    );
    assert_eq!(plan(&FlowSettings::default()).steps.len(), 1);
}

#[test]
fn a_step_that_can_not_be_worked_out_breaks_its_rule_only() {
    for (action, why) in [
        ("action='enable_schedule'\nof='target'", "the settings of flow `f` name no target"),
        ("action='link_target'", "the settings of flow `f` name no target"),
        ("action='run_job'\nname=' {{ event.target }} '", "the name of the job comes out empty"),
        ("action='run_job'\nname='x'\ntap='{{ event.target }}'", "the event names no tap"),
        ("action='slack'\ntext='{{ event.target }}'", "its text comes out empty"),
        (
            "action='slack'\ntext='x'\nwhen='payload.nope'",
            "`payload.nope`: it reads something that is not there",
        ),
    ] {
        let text = format!(
            "[[rule]]\nname='r'\n[[rule.do]]\naction='slack'\ntext='x'\n[[rule.do]]\n{action}\n[[rule]]\nname='s'\n[[rule.do]]\naction='slack'\ntext='y'\n"
        );
        let (event, facts, flow) = (failed_job(), Facts::default(), FlowSettings::default());
        let plan = book(&text).decide(&case(&event, &facts, &flow)).expect("knows");
        let (rule, said) = plan.broken().expect("broken");
        assert!(rule == "r" && said.starts_with("rule `r`, step 2 (") && said.contains(why), "{said}");
        assert_eq!(plan.steps.iter().map(|step| step.rule.as_str()).collect::<Vec<_>>(), ["r", "s"]);
    }
}

#[test]
fn an_event_without_a_tenant_changes_no_schedule() {
    let nameless = event(&json!({"job_id": "j", "status": "SYNC_FAILED", "flow_id": "f"}));
    let text = "[[rule]]\nname='r'\n[[rule.do]]\naction='disable_schedule'\n";
    let verdict = only_verdict(&book(text), &nameless, &Facts::default());
    assert!(
        matches!(verdict, Verdict::Broken { why, steps: 0, .. } if why.contains("the event names no tenant"))
    );
}

#[test]
fn rules_that_contradict_each_other_are_both_broken_and_named() {
    let text = "[[rule]]\nname='on'\n[[rule.do]]\naction='enable_schedule'\n[[rule]]\nname='off'\n[[rule.do]]\naction='disable_schedule'\n";
    let plan = decided(&book(text), &failed_job(), &Facts::default());
    assert!(plan.steps.is_empty());
    for verdict in &plan.verdicts {
        let Verdict::Broken { why, steps: 0, .. } = &verdict.verdict else { panic!("{verdict:?}") };
        assert_eq!(why, "rules `on` and `off` want the opposite of the source schedule of 1414_1");
    }
}

#[test]
fn of_three_rules_that_contradict_each_other_none_is_taken() {
    let rule = |name: &str, action: &str| {
        format!("[[rule]]\nname='{name}'\n[[rule.do]]\naction='{action}'\nof='source'\n")
    };
    let text = [
        rule("on", "enable_schedule"),
        rule("off", "disable_schedule"),
        rule("also-off", "disable_schedule"),
    ]
    .concat();
    let plan = decided(&book(&text), &failed_job(), &Facts::default());
    assert_eq!(plan.steps, []);
    assert!(plan.verdicts.iter().all(|of| matches!(of.verdict, Verdict::Broken { .. })), "{plan:?}");
}

#[test]
fn the_same_step_twice_is_one_step() {
    let text = "[[rule]]\nname='r'\n[[rule.do]]\naction='slack'\ntext='x'\n[[rule.do]]\naction='slack'\ntext='{{ \"x\" }}'\n";
    assert_eq!(decided(&book(text), &failed_job(), &Facts::default()).steps.len(), 1);
}

#[test]
fn an_explanation_shows_every_line_and_what_it_read() {
    let event = failed_job();
    let (facts, flow) = (Facts::default(), flow());
    let said = Rulebook::built_in().explain(&case(&event, &facts, &flow));
    let rule = |name: &str| said.rules.iter().find(|rule| rule.name == name).expect("there");
    let failed = rule("job-failed");
    assert_eq!((failed.says.as_str(), failed.lines[0].held), ("matches: 1 step", Some(true)));
    assert_eq!(failed.lines[0].read["event.failed"], json!(true));
    assert!(failed.steps[0].would[0].starts_with("Slack: :x: *1414_1*"), "{:?}", failed.steps);
    let first = rule("first-sync-done");
    assert_eq!(first.says, "line 1 does not hold");
    assert_eq!(first.lines.iter().map(|line| line.held).collect::<Vec<_>>(), [Some(false), Some(false)]);
    let link = rule("link-made");
    assert!(
        link.lines[3].held.is_none()
            && link.lines[3].why.as_deref().is_some_and(|why| why.contains("not looked at"))
    );
    let config = rule("config-invalid");
    let changed = config.changed.as_ref().and_then(|line| line.why.as_deref());
    assert!(changed.is_some_and(|why| why.contains("would ask")), "{config:?}");
    assert!(serde_json::to_string(&said).is_ok());
}

#[test]
fn lines_of_a_rule_that_is_off_or_about_other_kinds_are_shown_as_not_looked_at() {
    let text = "[[rule]]\nname='other'\non=['discover','connection']\nwhen=['event.failed','payload.nope']\n\
                [[rule]]\nname='off'\nmode='off'\nchanged='payload.nope'\nwhen=['event.failed']\n";
    let event = failed_job();
    let (facts, flow) = (Facts::default(), flow());
    let said = book(text).explain(&case(&event, &facts, &flow));
    let [other, off] = &said.rules[..] else { panic!("{said:?}") };
    assert_eq!(
        other.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["event.failed", "payload.nope"]
    );
    let why = "not looked at: the rule is on discover, connection, and this event is of the kind job";
    assert!(
        other.lines.iter().all(|line| line.held.is_none() && line.why.as_deref() == Some(why)),
        "{other:?}"
    );
    let of_off = off.lines.iter().chain(&off.changed);
    assert_eq!(
        of_off.filter(|line| line.why.as_deref() == Some("not looked at: the rule is off")).count(),
        2
    );
    assert!(said.rules.iter().flat_map(|rule| &rule.lines).all(|line| line.read.is_empty()));
}

#[test]
fn an_explanation_cuts_long_values() {
    let long = event(&json!({"job_id": "j", "status": "SYNC_FAILED", "error": "é".repeat(5000)}));
    let book = book("[[rule]]\nname='r'\nwhen=['event.error']\n");
    let (facts, flow) = (Facts::default(), flow());
    let said = book.explain(&case(&long, &facts, &flow));
    let value = said.rules[0].lines[0].read["event.error"].as_str().expect("text").to_owned();
    assert_eq!(value.chars().count(), 201);
}

#[test]
fn a_million_bytes_of_error_are_told_in_short() {
    let error = "Traceback\n".to_owned() + &"x".repeat(1 << 20) + "\nlast line";
    let event = event(&json!({"job_id": "j", "tenant": "t", "status": "SYNC_FAILED", "error": error}));
    let (facts, flow) = (Facts::default(), FlowSettings::default());
    let plan = Rulebook::built_in().decide(&case(&event, &facts, &flow)).expect("knows");
    let said = describe(&plan.steps[0]);
    assert!(said.len() < 1000 && said.contains("Traceback") && said.contains("last line"), "{said}");
}

/// A world that answers anything, by chance.
fn answer(facts: &mut Facts, need: &Need, chance: u8) {
    let yes = chance & 1 == 1;
    let names = if chance & 2 == 2 { vec!["optiply".to_owned()] } else { vec![] };
    facts.learn(match need {
        Need::Config => {
            Fact::Config { problems: if yes { vec![] } else { vec!["/a is missing".to_owned()] } }
        }
        Need::State => Fact::State { is_null: chance & 4 == 4 },
        Need::LinkedSources => Fact::LinkedSources(names),
        Need::LinkedTargets => Fact::LinkedTargets(names),
        Need::Schedule => Fact::Schedule(None),
        Need::LastValue { rule } => {
            Fact::LastValue { rule: rule.clone(), value: (chance & 8 == 8).then(|| "[]".to_owned()) }
        }
    });
}

proptest! {
    #[test]
    fn deciding_comes_to_an_end_after_at_most_four_rounds(
        status in prop::sample::select(vec!["JOB_COMPLETED", "SYNC_FAILED", "EXPORT_FAILED", "LINK", "JOB_CREATED", "ODD"]),
        sync in prop::sample::select(vec!["full_sync", "auto_sync", "incremental_sync", ""]),
        name in prop::sample::select(vec!["a full sync", "x62112121925143 971415185", "", "{{ 7 }}\n\"😀"]),
        error in prop::sample::select(vec![
            "", "buy orders", "401 Client Error: Unauthorized for url: https://start.exactonline.nl/api/oauth2/token",
        ]),
        tap in "[a-z]{0,6}|exact",
        tenant in "\\PC{0,12}",
        connection: bool,
        settings: bool,
        chances: [u8; 8],
    ) {
        let payload = if connection {
            json!({"event": status, "event_id": "e", "connector": tap, "tenant": tenant, "flow_id": "f"})
        } else {
            json!({"job_id": "j", "status": status, "sync_type": sync, "job_name": name, "error": error, "tap": tap,
                "tenant": tenant, "flow_id": "f"})
        };
        let event = event(&payload);
        let mut settings = if settings { flow() } else { FlowSettings::default() };
        settings.config_schema = Some("s.json".into());
        let book = Rulebook::built_in();
        let mut facts = Facts::default();
        let mut rounds = 0;
        let plan = loop {
            match book.decide(&case(&event, &facts, &settings)) {
                Ok(plan) => break plan,
                Err(needs) => {
                    prop_assert!(!needs.is_empty() && needs.iter().all(|need| !facts.knows(need)));
                    for (at, need) in needs.iter().enumerate() {
                        answer(&mut facts, need, chances[(rounds + at) % 8]);
                    }
                }
            }
            rounds += 1;
            prop_assert!(rounds <= 4, "{facts:?}");
        };
        prop_assert_eq!(plan.verdicts.len(), book.rules().len());
        prop_assert_eq!(&plan, &book.decide(&case(&event, &facts, &settings)).expect("the same again"));
        let keys: std::collections::BTreeSet<_> = plan.steps.iter().map(|step| &step.key).collect();
        prop_assert_eq!(keys.len(), plan.steps.len());
        if !tenant.is_empty() && !tap.is_empty() {
            prop_assert_eq!(plan.broken(), None);
        }
    }
}

#[test]
fn a_fold_is_read_as_strictly_as_a_limit() {
    let text = |fold: &str| {
        format!("{}fold = {fold}\n[[rule.do]]\naction='slack'\ntext='x'\n", "[[rule]]\nname='r'\n")
    };
    let read = book(&text("{ after = 0, per = \"90s\" }")).rules()[0].fold;
    assert_eq!(read, Some(Fold { after: 0, per: Duration::from_secs(90) }));
    for (fold, said) in [
        ("3", "`fold` is a table, such as { after = 3, per = \"10m\" }"),
        ("{ after = 3 }", "fold: `per` is missing"),
        ("{ per = \"10m\" }", "fold: `after` is a whole number of at least 0"),
        ("{ after = -1, per = \"10m\" }", "fold: `after` is a whole number of at least 0"),
        ("{ after = 3, per = \"10ms\" }", "`per` is too short: write \"1s\" or more"),
        ("{ after = 3, per = \"soon\" }", "is not a length of time"),
        ("{ after = 3, per = \"10m\", within = 1 }", "within"),
    ] {
        let complaint = refused(&text(fold));
        assert!(complaint.contains(said) && complaint.contains("line 3"), "{fold}: {complaint}");
    }
}
