//! The shipped rules do what `deploy/scenarios` says, and every rule has a scenario that fires and one that does not.

use std::path::Path;

use domain::rulebook::Rulebook;
use domain::rulebook::scenario::Scenario;

#[test]
fn the_shipped_rules_do_what_the_scenarios_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/scenarios");
    let book = Rulebook::built_in();
    let mut failed = Vec::new();
    for rule in book.rules() {
        let file = directory.join(format!("{}.toml", rule.name));
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let scenario = Scenario::parse_file(&text).unwrap_or_else(|complaints| {
            let said: Vec<_> = complaints.iter().map(ToString::to_string).collect();
            panic!("{}: {}", file.display(), said.join("\n"))
        });
        let results = scenario.run(&book);
        for result in &results {
            if let Some(difference) = &result.difference {
                failed.push(format!("{}: {}: {difference}", rule.name, result.says));
            }
        }
        let fires = |result: &&domain::rulebook::scenario::CaseResult| result.matched.contains(&rule.name);
        assert!(results.iter().any(|result| fires(&result)), "no scenario in which {} fires", rule.name);
        assert!(
            !results.iter().all(|result| fires(&result)),
            "no scenario in which {} does not fire",
            rule.name
        );
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_file_of_scenarios_belongs_to_a_rule() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/scenarios");
    let book = Rulebook::built_in();
    for entry in std::fs::read_dir(directory).expect("the folder is part of the repository") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let rule = name.strip_suffix(".toml");
        assert!(book.rules().iter().any(|known| Some(known.name.as_str()) == rule), "{name}");
    }
}

#[test]
fn a_scenario_that_is_not_met_says_what_came_instead() {
    let book = Rulebook::built_in();
    let file = |expected: &str| {
        let text = format!(
            "[[case]]\nsays = \"x\"\npayload = {{ job_id = \"j\", tenant = \"t\", status = \"SYNC_FAILED\" }}\n{expected}\n"
        );
        Scenario::parse_file(&text).expect("readable").run(&book)[0].difference.clone().expect("not met")
    };
    assert!(
        file("matches = []")
            .contains("matches: expected none, found job-failed (`job-failed` matches: 1 step)")
    );
    assert!(file("plan = []").contains("step 1: expected none, found `job-failed: slack :x: *t*"));
    assert!(file("plan = [\"job-failed: slack ~ nope\"]").contains("it does not contain `nope`"));
    assert!(file("plan = [\"job-failed: slack !~ SYNC\"]").contains("it contains `SYNC`"));
    assert!(file("plan = [\"link-made: slack\"]").contains("it does not begin with `link-made: slack`"));
    assert!(file("matches = [\"nope\"]").contains("there is no rule `nope`"));
    assert!(file("").contains("it expects nothing"));
    assert!(
        file("matches = []\nflow = { config_schema = \"x\" }\npayload_json = \"{}\"").contains("leave one")
    );
}

#[test]
fn a_scenario_that_asks_for_more_than_it_answers_says_so() {
    let text = "[[case]]\nsays = \"x\"\nmatches = []\npayload = { event = \"LINK\", event_id = \"e\", connector = \"c\", tenant = \"t\" }\n";
    let result = Scenario::parse_file(text).expect("readable").run(&Rulebook::built_in())[0].clone();
    assert_eq!(result.difference.as_deref(), Some("it asks for config_valid: say it under facts"));
}

#[test]
fn a_file_of_scenarios_with_an_unknown_key_is_refused() {
    let complaints = Scenario::parse_file("[[case]]\nsayz = \"x\"\n").expect_err("refused");
    assert_eq!(complaints[0].to_string(), "line 2, column 1: unknown name `sayz`; did you mean `says`?");
    assert!(Scenario::parse_file("").is_err());
}
