use super::*;
use crate::rulebook::scenario::{self, Scenario};

fn found(text: &str) -> String {
    let lines = book(text).findings().into_iter().map(|finding| {
        let Complaint { at, sentence } = finding.complaint;
        let (line, column) = at.expect("every finding has its place");
        format!("{line}:{column}: {}: {sentence}", finding.severity.as_str())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn rule(name: &str, more: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\n{more}\n[[rule.do]]\naction = \"slack\"\ntext = \"{name}\"\n")
}

#[test]
fn nothing_is_found_in_the_shipped_rulebook_and_every_rule_of_it_is_rehearsed() {
    let book = Rulebook::built_in();
    assert_eq!(book.findings(), []);
    let rehearsal = book.rehearse(&scenario::shipped());
    assert_eq!(rehearsal.findings, []);
    assert_eq!(rehearsal.tried.len(), book.rules().len());
}

#[test]
fn a_rule_that_can_never_match_is_an_error_at_the_line_that_excludes_the_others() {
    let text = rule("r", "when = [\n  \"event.completed\",\n  \"event.tap\",\n  \"event.failed\",\n]");
    assert_eq!(
        found(&text),
        "6:3: error: rule `r` can never match: this line can't hold together with what stands before it"
    );
    let text = rule("r", "on = [\"connection\"]\nwhen = [\"event.completed\"]");
    assert!(found(&text).contains("4:9: error: rule `r` can never match"), "{}", found(&text));
    assert_eq!(found(&rule("r", "mode = \"off\"\nwhen = [\"false\"]")), "");
}

#[test]
fn a_step_that_is_never_taken_is_an_error() {
    let text = format!("{}when = \"not event.failed\"\n", rule("r", "when = [\"event.failed\"]"));
    assert!(
        found(&text).contains("5:10: error: rule `r`, step 1 (slack) is never taken"),
        "{}",
        found(&text)
    );
}

#[test]
fn a_rule_that_is_there_twice_is_an_error_whatever_its_name_and_the_order_of_its_lines() {
    let one = "[[rule]]\nname = \"a\"\nwhen = [\"event.failed\", \"event.tap\"]\n[[rule.do]]\naction = \"slack\"\ntext = \"x\"\n";
    let other = one
        .replace("\"a\"", "\"b\"")
        .replace("\"event.failed\", \"event.tap\"", "\"event.tap\", \"event.failed\"");
    assert_eq!(
        found(&format!("{one}{other}")),
        "8:8: error: rule `b` is rule `a` once more: it does the same on the same events; leave one"
    );
    assert_eq!(found(&format!("{one}{}", other.replace("\"x\"", "\"y\""))), "");
}

#[test]
fn a_rule_that_is_there_twice_is_found_however_it_is_spaced_quoted_and_split() {
    let one = "[[rule]]\nname = \"a\"\nwhen = [\"event.tap == 'x'\", \"payload.n > 5\"]\n[[rule.do]]\naction = \"slack\"\ntext = \"x {{ event.tap }}\"\nwhen = [\"event.target == 'y'\"]\n";
    let other = "[[rule]]\nname = \"b\"\nwhen = ['5<payload[\"n\"] and  event.tap==\"x\"']\n[[rule.do]]\naction = \"slack\"\ntext = \"x  {{ event.tap }}\"\nwhen = ['event.target == \"y\"']\n";
    assert!(
        found(&format!("{one}{other}")).contains("error: rule `b` is rule `a` once more"),
        "{}",
        found(&format!("{one}{other}"))
    );
    for (was, is) in [("5<", "6<"), ("event.target == \"y\"", "event.target == \"z\""), ("x  {{", "y  {{")] {
        assert_eq!(found(&format!("{one}{}", other.replace(was, is))), "", "{is}");
    }
}

#[test]
fn numbers_that_exclude_each_other_are_an_error_and_kinds_that_do_a_warning() {
    let text = rule("r", "when = [\"payload.a > 5\", \"payload.a < 3\"]");
    assert!(found(&text).contains("error: rule `r` can never match"), "{}", found(&text));
    let text = rule("r", "on = [\"job\"]\nwhen = [\"event.tap\", \"event.status == 'LINK'\"]");
    assert!(
        found(&text).contains("4:22: warning: rule `r` matches nothing that hotglue is known to send"),
        "{}",
        found(&text)
    );
    assert_eq!(found(&text.replace("\"job\"", "\"job\", \"connection\"")), "");
}

#[test]
fn a_rule_is_silenced_also_by_one_with_a_weaker_number() {
    let quiet = rule("quiet", "when = [\"payload.n > 5\", \"event.tap\"]");
    let loud = |line: &str| rule("loud", &format!("when = [\"{line}\"]\ninstead_of = [\"quiet\"]"));
    assert!(found(&format!("{quiet}{}", loud("payload.n >= 3"))).contains("error: rule `quiet` never acts"));
    assert_eq!(found(&format!("{quiet}{}", loud("payload.n > 6"))), "");
}

#[test]
fn a_rule_that_is_always_silenced_is_an_error() {
    let silenced = rule("quiet", "when = [\"event.completed\"]");
    let text = format!(
        "{silenced}{}",
        rule("loud", "when = [\"event.status == 'JOB_COMPLETED'\"]\ninstead_of = [\"quiet\"]")
    );
    assert!(
        found(&text).contains("error: rule `quiet` never acts: wherever it matches, `loud` matches too"),
        "{}",
        found(&text)
    );
    let text = format!(
        "{silenced}{}",
        rule("loud", "when = [\"event.completed\", \"event.tap\"]\ninstead_of = [\"quiet\"]")
    );
    assert_eq!(found(&text), "");
    let text = format!("{silenced}{}", rule("loud", "when = [\"event.failed\"]\ninstead_of = [\"quiet\"]"));
    assert_eq!(found(&text), "10:15: warning: rule `loud`, instead_of: `quiet` never matches the same event");
}

#[test]
fn one_schedule_on_and_off_is_an_error_within_a_rule_unless_conditions_may_tell_the_steps_apart() {
    let steps = |of_one: &str, of_other: &str| {
        format!(
            "[[rule]]\nname = \"r\"\non = [\"job\"]\n[[rule.do]]\naction = \"enable_schedule\"\n{of_one}\n[[rule.do]]\naction = \"disable_schedule\"\n{of_other}\n"
        )
    };
    assert_eq!(
        found(&steps("", "")),
        "8:10: error: rule `r`, steps 1 and 2 turn the same schedule on and off: neither is ever taken"
    );
    assert_eq!(found(&steps("of = \"target\"", "of = \"source\"")), "");
    assert!(found(&steps("when = \"event.tap\"", "")).contains("8:10: warning: rule `r`, steps 1 and 2"));
    assert_eq!(found(&steps("when = \"event.tap\"", "when = \"not event.tap\"")), "");
}

#[test]
fn rules_that_may_want_the_opposite_of_one_schedule_for_one_event_are_warned_of() {
    let step = |action: &str| format!("[[rule.do]]\naction = \"{action}\"\n");
    let head = |name: &str, more: &str| format!("[[rule]]\nname = \"{name}\"\n{more}\n");
    let text = |of_on: &str, of_off: &str| {
        [head("on", of_on), step("enable_schedule"), head("off", of_off), step("disable_schedule")].concat()
    };
    let both = found(&text("when = [\"event.tap\"]", "when = [\"event.failed\"]"));
    assert!(both.starts_with("10:10: warning: rules `on` and `off` want the opposite"), "{both}");
    assert_eq!(found(&text("when = [\"event.completed\"]", "when = [\"event.failed\"]")), "");
    assert_eq!(
        found(&text("when = [\"event.tap\"]", "when = [\"event.target\"]\ninstead_of = [\"on\"]")),
        ""
    );
    assert_eq!(found(&text("mode = \"shadow\"", "")), "");
}

#[test]
fn rules_that_surely_want_the_opposite_for_one_event_are_an_error() {
    let step = |action: &str| format!("[[rule.do]]\naction = \"{action}\"\n");
    let head = |name: &str, more: &str| format!("[[rule]]\nname = \"{name}\"\n{more}\n");
    let text = |of_on: &str, of_off: &str| {
        [head("on", of_on), step("enable_schedule"), head("off", of_off), step("disable_schedule")].concat()
    };
    let said =
        "error: rules `on` and `off` want the opposite of one schedule; one matches wherever the other does";
    for (one, other) in [
        ("when = [\"event.tap\"]", "when = [\"event.tap\"]"),
        ("when = [\"event.tap\"]", "when = [\"event.tap\", \"event.target\"]"),
        ("when = [\"event.completed\", \"event.tap\"]", "when = [\"event.status == 'JOB_COMPLETED'\"]"),
        ("on = [\"job\"]", ""),
    ] {
        assert!(found(&text(one, other)).contains(said), "{one} {other}: {}", found(&text(one, other)));
    }
    let third = |line: &str| {
        format!(
            "{}{}",
            text("when = [\"event.tap\"]", ""),
            rule("third", &format!("{line}\ninstead_of = [\"on\"]"))
        )
    };
    assert!(
        !found(&third("")).contains("opposite"),
        "where a third always silences one, none of both is buried"
    );
    assert!(found(&third("when = [\"event.target\"]")).contains("warning: rules `on` and `off`"));
    assert!(found(&text("changed = \"event.tap\"", "when = [\"event.tap\"]")).contains("warning: rules"));
}

#[test]
fn rules_that_want_the_opposite_in_a_scenario_are_an_error_that_names_it() {
    let scenario = Scenario::parse_file(
        "[flow]\nschedule = \"cron(0 1 * * *)\"\n[[case]]\nsays = \"a sync failed\"\npayload = { job_id = \"j\", tenant = \"t\", flow_id = \"f\", status = \"SYNC_FAILED\", tap = \"x\" }\nmatches = []\n",
    )
    .expect("a scenario");
    let rules = "[[rule]]\nname = \"on\"\nwhen = [\"event.tap\"]\n[[rule.do]]\naction = \"enable_schedule\"\n[[rule]]\nname = \"off\"\nwhen = [\"event.failed\"]\n[[rule.do]]\naction = \"disable_schedule\"\nof = \"source\"\n";
    let rehearsal = book(rules).rehearse(&[("own.toml".to_owned(), scenario)]);
    let said: Vec<_> =
        rehearsal.findings.iter().map(|finding| (finding.severity, finding.complaint.to_string())).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].0, Severity::Error);
    assert!(
        said[0].1.starts_with("line 10, column 10: rules `on` and `off` want the opposite of one schedule in the scenario \"a sync failed\" of own.toml"),
        "{said:?}"
    );
}

#[test]
fn a_misspelt_word_is_warned_of_with_the_nearest_right_one() {
    for (line, said) in [
        ("event.status == 'JOB_COMPLETE'", "did you mean `JOB_COMPLETED`?"),
        ("event.status != 'job_failed'", "did you mean `JOB_FAILED`?"),
        (
            "'incremental' == event.sync_type or event.sync_type in ['fullsync', 'x']",
            "did you mean `full_sync`?",
        ),
        ("tenant.schedule.state == 'enabled'", "did you mean `ENABLED`?"),
        ("event.kind != 'jobs'", "`event.kind` is compared with `jobs`; did you mean `job`?"),
        ("event.source != 'github'", "`event.source` is never `github`; known here: hotglue"),
    ] {
        let said_ = found(&rule("r", &format!("when = [\"{line}\"]")));
        assert!(
            said_.contains(said) && said_.contains("warning: rule `r`, when line 1: "),
            "{line}: {said_}"
        );
    }
    assert_eq!(
        found(&rule("r", "when = [\"event.status == 'JOB_TELEPORTED'\", \"event.sync_type != ''\"]")),
        ""
    );
    let text = slack("{% if event.status == 'SYNC_FAILD' %}a{% endif %}b");
    assert!(found(&text).contains("5:33: warning: rule `r`, step 1 (slack) text: "), "{}", found(&text));
}

#[test]
fn a_text_that_cannot_be_written_is_an_error_that_names_the_scenario() {
    let scenario = Scenario::parse_file(
        "[[case]]\nsays = \"a sync failed\"\npayload = { job_id = \"j\", tenant = \"t\", status = \"SYNC_FAILED\" }\nmatches = []\n",
    )
    .expect("a scenario");
    let scenarios = [("own.toml".to_owned(), scenario)];
    let text =
        rule("r", "when = [\"event.failed\", \"tenant.state_is_null\"]").replace("\"r\"\n[[", "\"r\"\n\n[[");
    let text = text.replace("text = \"r\"", "text = \"{{ payload.metrics.rows }}\"");
    let rehearsal = book(&text).rehearse(&scenarios);
    assert_eq!(rehearsal.findings.len(), 1, "{rehearsal:?}");
    let finding = &rehearsal.findings[0];
    let said = finding.complaint.to_string();
    assert_eq!(finding.severity, Severity::Error);
    assert!(
        said.starts_with("line 6, column 8: rule `r`, step 1 (slack): its text can't be written: it reads something that is not there")
            && said.ends_with("in the scenario \"a sync failed\" of own.toml"),
        "{said}"
    );
    let text = rule("r", "when = [\"payload.nope.deeper\"]");
    let rehearsal = book(&text).rehearse(&scenarios);
    assert_eq!((rehearsal.findings[0].severity, rehearsal.tried.len()), (Severity::Warning, 0));
}

#[test]
fn every_file_of_scenarios_ships() {
    let names: Vec<_> = scenario::shipped().into_iter().map(|(name, _)| name).collect();
    let mut rules: Vec<_> =
        Rulebook::built_in().rules().iter().map(|rule| format!("{}.toml", rule.name)).collect();
    rules.sort();
    assert_eq!(names, rules);
}

#[test]
fn a_fold_that_folds_nothing_is_found() {
    let silent = "[[rule]]\nname = \"r\"\nfold = { after = 3, per = \"10m\" }\n[[rule.do]]\naction = \"disable_schedule\"\n";
    assert_eq!(
        found(silent),
        "3:8: warning: rule `r`, fold: it has no effect, because the rule posts nothing to Slack"
    );
    assert_eq!(found(&rule("r", "fold = { after = 3, per = \"10m\" }")), "");
}

#[test]
fn a_truth_that_is_compared_with_true_is_the_same_condition() {
    let one = rule("one", "when = [\"event.failed\"]");
    for line in
        ["event.failed == true", "true == event.failed", "event.failed is true", "event.failed != false"]
    {
        let other = rule("two", &format!("when = [\"{line}\"]")).replace("text = \"two\"", "text = \"one\"");
        let said = found(&format!("{one}{other}"));
        assert!(said.contains("error: rule `two` is rule `one` once more"), "{line}: {said}");
    }
    for lines in [
        "\"event.failed\", \"event.failed == false\"",
        "\"event.first_link\", \"event.first_link != true\"",
        "\"payload.x == true\", \"not payload.x\"",
        "\"not replayed\", \"replayed is true\"",
    ] {
        let said = found(&rule("r", &format!("when = [{lines}]")));
        assert!(said.contains("error: rule `r` can never match"), "{lines}: {said}");
    }
    // What is none or any other value may be neither.
    for lines in [
        "\"payload.x\", \"payload.x != true\"",
        "\"not payload.x\", \"payload.x != false\"",
        "\"not event.first_link\", \"event.first_link != false\"",
    ] {
        assert_eq!(found(&rule("r", &format!("when = [{lines}]"))), "", "{lines}");
    }
}

#[test]
fn a_comparison_of_values_that_do_not_go_together_is_an_error_that_says_how_to_mend_it() {
    for (line, said) in [
        ("event.tenant > 5", "`event.tenant`, a text, is compared with a number: neither is more"),
        ("5 <= event.job_name", "or `|int` behind the text"),
        ("event['tenant'] == 1414", "they are never equal; put the number in quotes"),
        ("event.failed == 'true'", "true and false stand without quotes"),
        ("tenant.linked_targets == 'optiply'", "`in` looks into a list"),
        ("event.tenant in [1414, 'a']", "they are never equal"),
        ("event.error == none", "`event.error` is never none: a text that was not sent is empty"),
        ("'x' in event.failed", "`in` looks into a text, a list or a table"),
        ("1 < event.tenant < 3", "neither is more than the other"),
        ("event.tenant + 1 == '2'", "can't be added"),
        ("event.failed_records > 3", "count them by `|length`"),
    ] {
        let found = found(&rule("r", &format!("when = [\"{line}\"]")));
        assert!(found.contains(said) && found.contains("error: rule `r`, when line 1"), "{line}: {found}");
    }
    for line in [
        "event.tenant|int > 5",
        "event.failed_records.BuyOrders > 0",
        "event.failed_records|length > 1",
        "payload.n > 5 and payload.n == 'x'",
        "flow.target == none or flow.target == event.target",
        "event.first_link is none or event.first_link == true",
        "(event.error ~ 5) == 'x5'",
        "event.error[:3] == 'abc'",
        "event.occurred_at|date('%H')|int < 6",
        "tenant.schedule == none or tenant.schedule.state == 'ENABLED'",
        "(event.tap if event.tap else event.target) == 'x'",
    ] {
        assert_eq!(found(&rule("r", &format!("when = [\"{line}\"]"))), "", "{line}");
    }
    let text = rule("r", "").replace(
        "text = \"r\"",
        "text = \"\"\"\né\n{% set n = 'a' %}{% if n == 5 or event.tap == 5 %}x{% endif %}y\"\"\"",
    );
    assert!(
        found(&text).contains("8:34: error: rule `r`, step 1 (slack) text: `event.tap`"),
        "{}",
        found(&text)
    );
}

#[test]
fn a_step_that_is_there_twice_is_found_however_its_condition_is_written() {
    let twice = |one: &str, other: &str| {
        let step = |when: &str| {
            format!("[[rule.do]]\naction = \"slack\"\ntext = \"x  {{{{ event.tap }}}}\"\n{when}\n")
        };
        found(&format!("[[rule]]\nname = \"r\"\n{}{}", step(one), step(other).replace("x  ", "x ")))
    };
    let said = "8:10: error: rule `r`, step 2 (slack) is step 1 once more: it is done once; leave one";
    assert_eq!(twice("", ""), said);
    assert_eq!(twice("when = \"event.failed\"", "when = [\"event.failed == true\"]"), said);
    assert!(twice("", "when = \"event.failed\"").contains(": error: "));
    assert!(twice("when = \"event.failed\"", "").contains(": warning: "));
    assert_eq!(twice("when = \"event.failed\"", "when = \"event.completed\""), "");
}

#[test]
fn a_name_that_is_made_of_the_clock_is_warned_of() {
    let job = |name: &str| {
        format!("[[rule]]\nname = \"r\"\n[[rule.do]]\naction = \"run_job\"\nname = \"{name}\"\n")
    };
    let said = found(&job("wh-{{ event.tap }}-{{ now|date }}"));
    assert!(said.contains("5:8: warning: rule `r`, step 1 (run_job) name: it reads `now`"), "{said}");
    assert_eq!(found(&job("wh-{{ event.occurred_at|date }}")), "");
    assert!(found(&rule("r", "changed = \"now\"")).contains("3:11: warning: rule `r`, changed: `now`"));
    assert_eq!(found(&rule("r", "").replace("text = \"r\"", "text = \"at {{ now }}\"")), "");
}

#[test]
fn a_place_in_a_text_is_that_of_the_file_also_behind_escapes_and_letters_of_several_bytes() {
    let wrong = |text: &str| {
        let text = format!("[[rule]]\nname = \"r\"\n[[rule.do]]\naction = \"slack\"\ntext = {text}\n");
        Rulebook::parse(&text).expect_err("refused")[0].at
    };
    assert_eq!(wrong("\"é {{ event.tennant }}\""), Some((5, 14)));
    assert_eq!(wrong("\"\\u00e9 \\\"{{ event.tennant }}\""), Some((5, 21)));
    assert_eq!(wrong("\"one\\n{{ event.tennant }}\""), Some((5, 17)));
    assert_eq!(wrong("\"\"\"\r\né\r\nü {{ event.tennant }}\"\"\""), Some((7, 6)));
    assert_eq!(wrong("\"\"\"\né\n{% iff event.failed %}\"\"\""), Some((7, 4)));
    let bom = Rulebook::parse("\u{feff}rul = 1\n").expect_err("refused");
    assert_eq!(bom[0].to_string(), "line 1, column 1: unknown name `rul`; did you mean `rule`?");
}
