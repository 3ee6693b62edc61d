use super::*;

const RULES: &str = r#"
[[rule]]
name  = "loud"
about = "A failed job is told."
on    = ["job"]
when  = ["event.failed", "event.tenant != 'quiet'"]

[[rule.do]]
action = "slack"
text   = "{{ event.tenant }} failed"

[[rule]]
name  = "linked"
about = "A job of a linked tenant."
on    = ["job"]
when  = ["event.completed", """
  'optiply'
    in tenant.linked_targets"""]

[[rule.do]]
action = "slack"
text   = "linked"
"#;

fn explained(body: &str, facts: Facts) -> String {
    let now = "2026-03-02T12:00:00Z".parse().unwrap();
    let rulebook = Rulebook::parse(RULES).unwrap();
    let explained = of_body(&Config::default(), &rulebook, body.as_bytes().to_vec(), facts, now).unwrap();
    let page = page::lines(&explained, now, true).join("\n");
    anstream::adapter::strip_str(&page).to_string()
}

#[test]
fn each_condition_shows_whether_it_held_and_what_it_read() {
    let page = explained(r#"{"job_id":"j","status":"JOB_FAILED","tenant":"ac\u001bme"}"#, Facts::default());
    for expected in [
        "✓ loud ",
        "    ✓ event.failed\n        event.failed = true\n",
        "      1. slack would: Slack: ac",
        "✗ linked ",
        "    ✗ event.completed\n        event.completed = false\n",
        "Matched: loud",
    ] {
        assert!(page.contains(expected), "{expected:?} is not in:\n{page}");
    }
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn no_rule_matched_names_what_each_lacked() {
    let page = explained(r#"{"job_id":"j","status":"JOB_STARTED","tenant":"t"}"#, Facts::default());
    let end = page.split("No rule matched.").nth(1).unwrap();
    assert!(end.contains("loud: event.failed does not hold (event.failed = false)"), "{page}");
    assert!(page.contains("? 'optiply' in tenant.linked_targets\n"), "{page}");
    assert!(end.contains("linked: event.completed does not hold"), "{page}");
    let other = explained(r#"{"event":"LINK","event_id":"e","tenant":"t"}"#, Facts::default());
    assert!(other.contains("loud: is about other kinds of events"), "{other}");
}

#[test]
fn what_nobody_knows_is_said_and_given_facts_are_used() {
    let body = r#"{"job_id":"j","status":"JOB_COMPLETED","tenant":"t"}"#;
    let page = explained(body, Facts::default());
    assert!(page.contains("? linked would ask: the tenant's linked targets"), "{page}");
    assert!(page.contains("Depends on what hotglue would say: linked"), "{page}");
    let facts = toml::from_str("linked_targets = ['optiply']").unwrap();
    let page = explained(body, facts);
    assert!(page.contains("tenant.linked_targets = [\"optiply\"]"), "{page}");
    assert!(page.contains("Matched: linked"), "{page}");
}

#[test]
fn a_rule_that_matched_without_a_change_is_told_as_such() {
    let rules = "[[rule]]\nname = 'r'\nchanged = 'event.status'\n";
    let rulebook = Rulebook::parse(rules).unwrap();
    let facts = toml::from_str("last_values = { r = '\"JOB_FAILED\"' }").unwrap();
    let body = br#"{"job_id":"j","status":"JOB_FAILED","tenant":"t"}"#.to_vec();
    let now = "2026-03-02T12:00:00Z".parse().unwrap();
    let explained = of_body(&Config::default(), &rulebook, body, facts, now).unwrap();
    let page = page::lines(&explained, now, false).join("\n");
    assert!(page.contains("No rule acted.") && page.contains("nothing has changed since"), "{page}");
}

#[test]
fn a_body_that_is_no_json_was_read_by_no_rule() {
    let page = explained("not json", Facts::default());
    assert!(page.contains("It could not be read, so no rule was asked: the body can't be read: "), "{page}");
    assert!(page.contains("dead letters") && !page.contains("No rule matched"), "{page}");
}
