use domain::action::Place;
use domain::plan::Verdict;

use super::*;
use crate::events::show::tests::record;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An event of a tenant that switched a schedule on or off at that second.
fn switched(row: i64, enabled: bool, second: &str) -> EventRecord {
    let mut record = record();
    record.row.row = row;
    record.row.event.id = EventId::from_text(format!("{row:032}"));
    record.row.outcome = Outcome::Done;
    let place = Place { env_id: "dev".to_owned(), flow_id: "F".to_owned(), tenant: "acme".to_owned() };
    let step = &mut record.steps[0];
    step.step.action =
        Action::SetSchedule { place, which: Which::Source, connector_id: None, expression: None, enabled };
    step.state = StepState::Done;
    step.error = None;
    step.changed_at = at(second);
    record.attempts.clear();
    record
}

fn told(records: &[EventRecord]) -> Vec<String> {
    let lines = Timeline::of("acme\u{1b}", records).lines(at("2026-03-02T12:00:00Z"), true);
    lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
}

#[test]
fn a_story_is_read_downwards_and_names_each_event_once() {
    let told = told(&[record()]);
    assert_eq!(told[..3], [r"Tenant acme\u{1b}", "  events     1 event: 1 dead", ""]);
    assert_eq!(
        told[3..],
        [
            "2026-03-02 11:59:00Z  0123456789ab  job JOB_FAILED exact JClkCC05S: dead by job-failed",
            "                                        Traceback",
            "2026-03-02 11:59:30Z                  failed job-failed: Slack: failed",
            "                                        channel_not_found",
            "2026-03-02 11:59:30Z                  dead: channel_not_found",
        ]
    );
}

#[test]
fn schedules_are_told_as_the_last_change_left_them_whatever_the_order_of_the_records() {
    let (on, off) = (switched(1, true, "2026-03-02T11:00:00Z"), switched(2, false, "2026-03-02T11:30:00Z"));
    for records in [[on.clone(), off.clone()], [off, on]] {
        let told = told(&records);
        assert_eq!(
            told[2],
            "  schedules  source of F off since 2026-03-02 11:30:00Z (30m ago), by job-failed \
             (event 000000000000; as Gluehook last set it)"
        );
        assert!(told[3].is_empty(), "{told:?}");
    }
}

#[test]
fn a_change_that_did_not_happen_changes_no_schedule() {
    let mut record = switched(1, true, "2026-03-02T11:00:00Z");
    record.steps[0].state = StepState::Superseded;
    assert!(Timeline::of("acme", &[record]).schedules.is_empty());
}

#[test]
fn what_a_rule_in_shadow_would_have_done_is_marked() {
    let mut record = record();
    let actions = vec![record.steps[0].step.action.clone()];
    record.decisions[0].verdicts[0].verdict = Verdict::Shadow { actions };
    record.steps.clear();
    let told = told(&[record]);
    assert!(told.iter().any(|line| line.ends_with("  would job-failed: Slack: failed")), "{told:?}");
}
