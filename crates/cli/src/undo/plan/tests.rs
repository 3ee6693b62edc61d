use super::*;

fn action(enabled: bool) -> Action {
    Action::SetSchedule {
        place: Place { env_id: "dev".to_owned(), flow_id: "f".to_owned(), tenant: "t".to_owned() },
        which: Which::Source,
        connector_id: None,
        expression: Some("cron(1)".to_owned()),
        enabled,
    }
}

fn change(event: &str, second: i64, before: Option<Before>) -> ScheduleChange {
    let at = Timestamp::from_second(second).unwrap();
    ScheduleChange {
        event: EventId::from_text(event),
        occurred_at: at,
        action: action(false),
        done_at: at,
        rulebook: Some("r".to_owned()),
        before,
        newest: Some(EventId::from_text(event)),
    }
}

fn schedule(expression: &str, state: &str) -> Before {
    Before::Schedule { expression: expression.to_owned(), state: state.to_owned() }
}

fn planned(changes: Vec<ScheduleChange>, present: Before, opposite: bool) -> Then {
    let waves = waves(changes, &[]);
    assert_eq!(waves.len(), 1);
    item(&waves[0], Ok(present), opposite).then
}

#[test]
fn a_schedule_goes_back_to_how_it_was_before_the_first_change_of_the_wave() {
    let mut first = change("a", 1, Some(schedule("cron(0)", "ENABLED")));
    first.newest = Some(EventId::from_text("b"));
    let second = change("b", 2, Some(schedule("cron(1)", "DISABLED")));
    let then = planned(vec![first, second], schedule("cron(1)", "DISABLED"), false);
    let Then::PutBack { action: Action::SetSchedule { expression, enabled, .. } } = then else {
        panic!("{then:?}")
    };
    assert_eq!((expression.as_deref(), enabled), (Some("cron(0)"), true));
}

#[test]
fn what_a_newer_event_or_a_person_has_changed_since_is_left() {
    let was = || Some(schedule("cron(1)", "ENABLED"));
    let by_event = ScheduleChange { newest: Some(EventId::from_text("z")), ..change("a", 1, was()) };
    let then = planned(vec![by_event], schedule("cron(1)", "DISABLED"), true);
    assert!(matches!(&then, Then::Left { why } if why.contains("event z")), "{then:?}");
    let off_before = change("a", 1, Some(schedule("cron(1)", "DISABLED")));
    let then = planned(vec![off_before], schedule("cron(9)", "ENABLED"), false);
    assert!(matches!(&then, Then::Left { why } if why.contains("by hand")), "{then:?}");
    assert_eq!(planned(vec![change("a", 1, was())], schedule("cron(1)", "ENABLED"), false), Then::AlreadySo);
}

#[test]
fn an_expression_that_a_person_has_changed_since_is_left_too() {
    let was = schedule("cron(1 2 * * *)", "ENABLED");
    let mut kept = change("a", 1, Some(was.clone()));
    let Action::SetSchedule { expression, .. } = &mut kept.action else { panic!() };
    *expression = None;
    let then = planned(vec![kept.clone()], schedule("cron(9 9 * * *)", "DISABLED"), true);
    assert!(matches!(&then, Then::Left { why } if why.contains("by hand")), "{then:?}");
    for present in ["cron(1  2 * * ?)", "cron(1 2 * * ? *)", " cron(1 2 ? * * *) "] {
        let then = planned(vec![kept.clone()], schedule(present, "DISABLED"), false);
        assert!(matches!(then, Then::PutBack { .. }), "written in hotglue's own way: {present} {then:?}");
    }
    for present in ["cron(1 2 * * 3 *)", "cron(1 2 * *)", "rate(1 2 * * *)"] {
        let then = planned(vec![kept.clone()], schedule(present, "DISABLED"), false);
        assert!(matches!(then, Then::Left { .. }), "{present} {then:?}");
    }
    let set = change("a", 1, Some(was));
    let then = planned(vec![set], schedule("cron(9 9 * * *)", "DISABLED"), false);
    assert!(matches!(&then, Then::Left { why } if why.contains("by hand")), "{then:?}");
}

#[test]
fn what_was_deleted_since_is_not_made_anew() {
    let off = change("a", 1, Some(schedule("cron(1)", "ENABLED")));
    for opposite in [false, true] {
        let then = planned(vec![off.clone()], Before::Absent, opposite);
        assert!(matches!(&then, Then::Left { why } if why.contains("deleted")), "{then:?}");
    }
}

#[test]
fn what_can_not_be_read_now_is_put_back_only_when_asked() {
    let off = change("a", 1, Some(schedule("cron(1)", "ENABLED")));
    let waves = waves(vec![off], &[]);
    for present in [Err("502".to_owned()), Ok(Before::No { why: "502".to_owned() })] {
        let planned = item(&waves[0], present.clone(), false);
        assert!(planned.then.said().starts_with("not now: ") && planned.then.said().contains("502"));
        assert_eq!(item(&waves[0], present, true).then, Then::PutBack { action: action(true) });
    }
}

#[test]
fn what_was_undone_before_is_not_undone_again() {
    let was = || Some(schedule("cron(1)", "ENABLED"));
    let undo = |second| ScheduleChange { action: action(true), ..change("a", second, None) };
    // Since then, a person has switched it off.
    let present = || Ok(schedule("cron(1)", "DISABLED"));
    let all = waves(vec![change("a", 1, was())], &[undo(2)]);
    let then = item(&all[0], present(), false).then;
    assert!(matches!(&then, Then::Left { why } if why.contains("undone before")), "{then:?}");
    // What the rule did later is its own, from how it was then.
    let again = change("a", 5, Some(schedule("cron(1)", "DISABLED")));
    let all = waves(vec![change("a", 1, was()), again], &[undo(2), undo(3)]);
    assert_eq!(item(&all[0], present(), false).then, Then::AlreadySo);
    let other = ScheduleChange {
        action: Action::SetSchedule {
            place: Place { env_id: "dev".to_owned(), flow_id: "f".to_owned(), tenant: "other".to_owned() },
            which: Which::Source,
            connector_id: None,
            expression: None,
            enabled: true,
        },
        ..undo(9)
    };
    let all = waves(vec![change("a", 1, was())], &[other]);
    assert!(matches!(item(&all[0], present(), false).then, Then::PutBack { .. }));
}

#[test]
fn what_is_not_known_is_turned_round_only_when_asked() {
    let unread = Before::No { why: "404".to_owned() };
    for before in [None, Some(unread.clone()), Some(schedule("cron(1)", ""))] {
        let then = planned(vec![change("a", 1, before.clone())], unread.clone(), false);
        assert!(matches!(&then, Then::Unknown { why } if why.contains("--opposite")), "{then:?}");
        assert!(then.said().starts_with("can't be restored: before-value unknown ("), "{then:?}");
        let then = planned(vec![change("a", 1, before)], unread.clone(), true);
        assert_eq!(then, Then::PutBack { action: action(true) });
    }
}

#[test]
fn what_had_not_been_there_is_at_most_switched_off() {
    let off = change("a", 1, Some(Before::Absent));
    let then = planned(vec![off.clone()], Before::Absent, false);
    assert!(matches!(then, Then::Unknown { .. }), "it was put, so hotglue can't be asked: {then:?}");
    let mut nothing = off.clone();
    if let Action::SetSchedule { expression, .. } = &mut nothing.action {
        *expression = None;
    }
    assert_eq!(planned(vec![nothing], Before::Absent, false), Then::AlreadySo);
    assert_eq!(planned(vec![off], schedule("cron(1)", "DISABLED"), false), Then::AlreadySo);
    let on = ScheduleChange { action: action(true), ..change("a", 1, Some(Before::Absent)) };
    let then = planned(vec![on], schedule("cron(1)", "ENABLED"), false);
    assert_eq!(then, Then::PutBack { action: action(false) });
}
