use super::*;

fn together(lines: &[&str]) -> bool {
    let all = Conditions::on(&Kind::ALL);
    lines.iter().fold(all, |all, line| all.and(line, true)).possible()
}

#[test]
fn what_can_be_proven_to_exclude_each_other_does() {
    for lines in [
        ["event.failed", "not event.failed"].as_slice(),
        &["event.failed", "event.completed"],
        &["event.status == 'JOB_COMPLETED'", "event.failed"],
        &["event.status in ['SYNC_FAILED', 'ETL_FAILED']", "not event.failed"],
        &["event.tap == 'a'", "event.tap == 'b'"],
        &["event.tap == 'a'", "event.tap != \"a\""],
        &["event.tap == 'a'", "event.tap not in ('a', 'b')"],
        &["event.tap in ['a', 'b']", "'c' in event.tap"],
        &["'abc' in event.error", "'b' not in event.error"],
        &["not event.error", "'b' in event.error"],
        &["event.tap == ''", "event.tap"],
        &["event.kind == 'discover' and event.completed"],
        &["event.first_link is none", "not (event.first_link is none)"],
        &["payload.a > 3", "not payload['a'] > 3"],
        &["false"],
        &["payload.a > 5", "payload.a < 3"],
        &["payload.a == 1", "payload.a == 2"],
        &["payload.a == 1", "1 != payload['a']"],
        &["payload.a > 3", "payload.a <= 3"],
        &["payload.a >= 3", "3 > payload.a"],
        &["1 < payload.a < 5", "payload.a > 4.5", "payload.a == 4"],
        &["payload.a == 0", "payload.a"],
        &["event.error|length > 10", "event.error|length < 5 or event.error|length == -1"],
        &["event.tap and (event.failed or event.completed)", "event.status == 'LINK'"],
        &["not (event.failed or event.tap)", "event.tap"],
    ] {
        assert!(!together(lines), "{lines:?}");
    }
}

#[test]
fn everything_else_may_hold_together() {
    for lines in [
        ["event.failed", "event.tap == 'a'"].as_slice(),
        &["event.completed or event.status == 'EXPORT_FAILED'", "event.failed"],
        &["event.tap == 'a' or event.tap == 'b'", "event.tap == 'b'"],
        &["'a' in event.error", "'b' not in event.error"],
        &["payload.a > 3", "payload.a < 5"],
        &["payload.a > 3", "payload.b < 2"],
        &["payload.a >= 3", "payload.a <= 3"],
        &["payload.a != 3", "payload.a >= 3"],
        &["1 < payload.a < 5", "payload.a == 4"],
        &["not 1 < payload.a < 5", "payload.a == 5"],
        &["payload.a", "payload.a == 1.0"],
        &["payload.a|length > 1", "payload.a == 1"],
        &["event.tap|lower == 'a'", "event.tap == 'A'"],
        &["event.tap in event.error", "event.tap not in event.target"],
        &["not event.tap", "'' in event.tap"],
        &["true"],
    ] {
        assert!(together(lines), "{lines:?}");
    }
}

#[test]
fn one_condition_follows_from_others() {
    let all = Conditions::on(&[Kind::Job]).and("event.completed", true).and("event.tap == 'a'", true);
    assert!(all.imply("event.status == 'JOB_COMPLETED'") && all.imply("event.tap in ['a', 'b']"));
    assert!(!all.imply("event.target") && !all.imply("event.tap == 'b'"));
}

#[test]
fn a_weaker_bound_follows_from_a_stronger_one() {
    let all = Conditions::on(&[Kind::Job]).and("payload.a > 5", true);
    assert!(all.imply("payload.a > 3") && all.imply("payload.a >= 5") && all.imply("payload.a != 2"));
    assert!(!all.imply("payload.a > 6") && !all.imply("payload.b > 3"));
}

#[test]
fn a_status_comes_with_the_kinds_that_hotglue_documents_for_it() {
    let on = |kind: Kind, line: &str| Conditions::on(&[kind]).and(line, true).documented();
    for (kind, line) in [
        (Kind::Job, "event.status == 'LINK'"),
        (Kind::Job, "event.status in ['LINK', 'UNLINK']"),
        (Kind::Connection, "event.failed"),
        (Kind::Connection, "event.status == 'JOB_COMPLETED'"),
        (Kind::Discover, "event.status == 'SYNC_FAILED'"),
    ] {
        assert!(!on(kind, line), "{line}");
    }
    for (kind, line) in [
        (Kind::Job, "event.status == 'DISCOVER_FAILED'"),
        (Kind::Job, "event.status in ['LINK', 'JOB_CREATED']"),
        (Kind::Job, "event.status == 'TELEPORTED'"),
        (Kind::Connection, "event.status == 'LINK'"),
        (Kind::Discover, "event.failed"),
        (Kind::Unknown, "event.status == 'LINK'"),
        (Kind::Connection, "event.status != 'LINK'"),
    ] {
        assert!(on(kind, line), "{line}");
    }
}
