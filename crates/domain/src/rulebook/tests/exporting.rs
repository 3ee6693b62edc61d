use super::*;
use crate::rulebook::scenario::{self, Scenario};
use crate::standin::Salt;

fn salt() -> Salt {
    Salt::new(b"a salt of sixteen bytes").expect("long enough")
}

fn exported(book: &Rulebook, event: &Event, facts: &Facts, redact: bool) -> scenario::Exported {
    let salt = redact.then(salt);
    scenario::export(book, &case(event, facts, &flow()), "from life", salt.as_ref()).expect("exported")
}

fn passes(text: &str, book: &Rulebook) {
    let results = Scenario::parse_file(text).unwrap_or_else(|why| panic!("{why:?}\n{text}")).run(book);
    assert!(results.iter().all(|result| result.passed), "{results:?}\n{text}");
}

/// Every event of the shipped scenarios, with what they answer.
fn events() -> Vec<(Event, Facts)> {
    let scenarios = scenario::shipped();
    scenarios
        .iter()
        .flat_map(|(_, scenario)| {
            scenario.staged().map(|staged| (staged.event, staged.facts)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_event_of_the_scenarios_fares_alike_with_tokens_in_it() {
    let book = Rulebook::built_in();
    let mut number = 0;
    for (event, mut facts) in events() {
        for _ in 0..8 {
            let Err(needs) = book.decide(&case(&event, &facts, &flow())) else { break };
            for need in needs {
                facts.learn(match need {
                    Need::Config => Fact::Config { problems: vec!["/a/b is missing".to_owned()] },
                    Need::State => Fact::State { is_null: true },
                    Need::LinkedSources => Fact::LinkedSources(vec![]),
                    Need::LinkedTargets => Fact::LinkedTargets(vec![]),
                    Need::Schedule => Fact::Schedule(None),
                    Need::LastValue { rule } => Fact::LastValue { rule, value: None },
                });
            }
        }
        let found = exported(&book, &event, &facts, true);
        assert_eq!(found.differs, Vec::<String>::new(), "{}", found.text);
        assert!(!found.text.contains("1414_1") && !found.text.contains("tVN_B"), "{}", found.text);
        passes(&found.text, &book);
        number += 1;
    }
    assert!(number > 30, "{number}");
}

#[test]
fn without_tokens_an_event_is_written_as_it_came_in() {
    let found = exported(&Rulebook::built_in(), &failed_job(), &Facts::default(), false);
    assert!(
        found.text.contains("\"tenant\": \"1414_1\"") && found.text.contains("boom <!channel>"),
        "{}",
        found.text
    );
    passes(&found.text, &Rulebook::built_in());
}

#[test]
fn facts_that_toml_has_no_words_for_come_back() {
    let text = "[[rule]]\nname='r'\nwhen=['not tenant.schedule', 'tenant.state_is_null']\nchanged='tenant.config_problems'\n[[rule.do]]\naction='slack'\ntext='a ~ b'\n";
    let facts = Facts {
        schedule: Some(None),
        state_is_null: Some(true),
        config_problems: Some(vec!["/jan@x.example is missing".to_owned()]),
        last_values: [("r".to_owned(), Some("[\"/jan@x.example is missing\"]".to_owned()))].into(),
        ..Facts::default()
    };
    let found = exported(&book(text), &failed_job(), &facts, true);
    assert!(found.text.contains("schedule = \"none\"") && !found.text.contains("jan"), "{}", found.text);
    assert!(found.text.contains("unchanged = [\"r\"]"), "{}", found.text);
    let other = Facts { last_values: [("r".to_owned(), None)].into(), ..facts };
    let found = exported(&book(text), &failed_job(), &other, true);
    assert!(found.text.contains("plan = [\"r: slack\"]"), "{}", found.text);
}

#[test]
fn a_condition_that_tokens_change_is_named() {
    let book = book("[[rule]]\nname='r'\nwhen=['event.failed', 'event.job_name|length == 7']\n");
    let found = exported(&book, &failed_job(), &Facts::default(), true);
    assert_eq!(found.differs, ["rule `r`: `event.job_name|length == 7` holds no more"]);
    passes(&found.text, &book);
}

#[test]
fn no_personal_data_is_left_in_payload_facts_and_rendered_texts_but_what_the_rules_themselves_say() {
    let text = |more: &str| {
        format!(
            "[[rule]]\nname='r'\nwhen=['event.failed', 'tenant.linked_targets']\n[[rule.do]]\naction='slack'\ntext='{more}{{{{ event.error }}}} {{{{ payload.owner.phone }}}} {{{{ tenant.linked_targets|join }}}}'\n"
        )
    };
    let body = br#"{"job_id":"j","tenant":"t","status":"SYNC_FAILED","error":"user@data.com from 10.0.0.7: NL91 ABNA 0417 1643 00, BSN 1112.22.333",
        "owner":{"name":"Max","phone":"06-12345678","born":"x","date_of_birth":"1980-03-02"},"10.0.0.8":1}"#;
    let event = read_event(body).expect("an event");
    let facts =
        Facts { linked_targets: Some(vec!["10.0.0.9".to_owned(), "optiply".to_owned()]), ..Facts::default() };
    let rules = book(&text(""));
    let found = exported(&rules, &event, &facts, true);
    passes(&found.text, &rules);
    assert!(found.left.is_empty() && found.differs.is_empty(), "{found:?}");
    for gone in ["user@", "10.0.0.", "NL91", "0417", "1112", "Max", "12345678", "1980"] {
        assert!(!found.text.contains(gone), "{gone}:\n{}", found.text);
    }
    assert!(found.text.contains("optiply") && found.text.contains("r: slack ~ email-"), "{}", found.text);
    let own = exported(&book(&text("call 020-1234567 ")), &event, &facts, true);
    assert_eq!(own.left, ["a telephone number in plan[0]"], "{}", own.text);
    assert!(exported(&rules, &event, &facts, false).left.is_empty());
}

#[test]
fn an_event_whose_facts_were_never_read_is_refused_with_the_facts() {
    let book = book("[[rule]]\nname='r'\nwhen=['tenant.state_is_null']\n");
    let why = scenario::export(&book, &case(&failed_job(), &Facts::default(), &flow()), "x", None);
    assert!(why.expect_err("refused").contains("these rules read tenant.state_is_null"));
}
