//! Laws of the neutral question.

use super::*;

fn askable() -> Breaker {
    let mut breaker = Breaker::with_question();
    for number in 0..TRIP {
        breaker.saw(&format!("t{number}"), Sign::Failing, at(0));
    }
    assert!(breaker.is_open());
    breaker
}

#[test]
fn after_the_pause_the_question_goes_first_and_its_answer_lets_probes_through() {
    let mut breaker = askable();
    assert!(!breaker.asks(at(999)));
    assert_eq!(breaker.asks_in(at(999)), Some(Duration::from_millis(1)));
    assert!(matches!(breaker.permit("a", at(1_000)), Permit::No(_)), "no call before the answer");
    assert!(matches!(breaker.flow(at(1_000)), Flow::Stopped(_)));
    assert!(breaker.asks(at(1_000)));
    assert!(!breaker.asks(at(1_000)), "once at a time");
    assert!(breaker.heard(Heard::Trouble, at(1_100)));
    assert_eq!(breaker.asks_in(at(1_100)), Some(FIRST_PAUSE * 2), "the pause has doubled");
    assert!(breaker.asks(at(3_100)));
    breaker.heard(Heard::Well, at(3_200));
    assert_eq!(breaker.flow(at(3_200)), Flow::Probing(PROBES));
    assert_eq!(breaker.permit("a", at(3_200)), Permit::Yes);
    assert!(!breaker.saw("a", Sign::Well, at(3_300)));
    assert_eq!((breaker.flow(at(3_300)), breaker.asks(at(3_300))), (Flow::Free, false));
}

#[test]
fn a_key_that_the_question_is_refused_for_does_not_keep_it_shut() {
    let mut breaker = askable();
    assert!(breaker.asks(at(1_000)));
    breaker.heard(Heard::Somebody, at(1_000));
    assert_eq!(breaker.permit("a", at(1_000)), Permit::Yes, "the key may do more than be asked about");
    assert!(breaker.saw("a", Sign::Refused, at(1_000)));
    assert_eq!(breaker.asks_in(at(1_000)), Some(FIRST_PAUSE * 2));
}

#[test]
fn a_question_that_is_asked_to_slow_down_waits_for_as_long() {
    let mut breaker = askable();
    assert!(breaker.asks(at(1_000)));
    assert!(breaker.heard(Heard::SlowDown(Some(Duration::from_secs(60))), at(1_000)));
    assert_eq!((breaker.asks(at(60_999)), breaker.asks(at(61_000))), (false, true));
}

#[test]
fn failures_of_one_tenant_are_an_outage_only_when_the_question_is_not_answered() {
    let mut breaker = Breaker::with_question();
    for _ in 0..3 {
        for _ in 0..TRIP {
            assert!(!breaker.asks(at(0)) && breaker.asks_in(at(0)).is_none());
            assert!(!breaker.saw("only", Sign::Failing, at(0)));
        }
        assert_eq!(breaker.asks_in(at(0)), Some(Duration::ZERO));
        assert!(breaker.asks(at(0)));
        assert!(!breaker.heard(Heard::Well, at(0)), "its own trouble");
    }
    for _ in 0..TRIP {
        breaker.saw("only", Sign::Failing, at(0));
    }
    assert!(breaker.asks(at(0)) && breaker.heard(Heard::Trouble, at(0)));
    assert!(matches!(breaker.permit("only", at(0)), Permit::No(_)));
    assert!(breaker.asks(at(1_000)));
    assert!(!breaker.heard(Heard::Well, at(1_000)), "it was asked over one tenant alone: it is back");
    assert_eq!(breaker.permit("only", at(1_000)), Permit::Yes);
}

#[test]
fn of_several_tenants_whose_calls_all_fail_one_that_was_broken_before_hides_no_outage() {
    let mut breaker = Breaker { broken: ["a".to_owned()].into(), ..Breaker::with_question() };
    let opened = ["a", "b", "c", "d"].into_iter().cycle().take(12).any(|tenant| {
        let opened = breaker.saw(tenant, Sign::Failing, at(0));
        // What has no effect is answered all the while.
        if breaker.asks(at(0)) {
            breaker.heard(Heard::Well, at(0));
        }
        opened
    });
    assert!(opened, "{breaker:?}");
}

#[test]
fn an_answer_that_came_while_it_was_asked_counts_more_than_no_answer() {
    let mut breaker = Breaker::with_question();
    for _ in 0..TRIP {
        breaker.saw("only", Sign::Failing, at(0));
    }
    assert!(breaker.asks(at(0)));
    breaker.saw("other", Sign::Well, at(1));
    assert!(!breaker.heard(Heard::Trouble, at(2)));
}

#[test]
fn an_outage_that_only_broken_tenants_meet_is_found_too() {
    let mut breaker = askable();
    assert!(breaker.asks(at(1_000)));
    breaker.heard(Heard::Well, at(1_000));
    breaker.permit("fine", at(1_000));
    breaker.saw("fine", Sign::Well, at(1_000));
    for _ in 0..TRIP {
        assert!(!breaker.saw("t0", Sign::Failing, at(2_000)), "a broken one says nothing");
    }
    assert!(breaker.asks(at(2_000)) && breaker.heard(Heard::Trouble, at(2_000)));
}

#[test]
fn a_question_whose_answer_is_lost_keeps_nobody_out_for_ever() {
    let mut breaker = askable();
    assert!(breaker.asks(at(1_000)));
    assert!(matches!(breaker.permit("a", at(120_999)), Permit::No(_)));
    assert_eq!(breaker.permit("a", at(121_000)), Permit::Yes);
}

/// An open breaker whose question is answered, and the time: two tenants are there to be probed, in turns, and both fail.
fn two_are_probed(breaker: &mut Breaker, from: i64, question: Heard) -> i64 {
    two_are_probed_for(breaker, from, question, 300_000)
}

fn two_are_probed_for(breaker: &mut Breaker, from: i64, question: Heard, millis: i64) -> i64 {
    let mut now = from;
    while breaker.is_open() && now < from + millis {
        if breaker.asks(at(now)) {
            breaker.heard(question, at(now));
        }
        for tenant in ["a", "b"] {
            if breaker.permit(tenant, at(now)) == Permit::Yes && breaker.is_open() {
                breaker.saw(tenant, Sign::Failing, at(now));
            }
        }
        now += 250;
    }
    now
}

fn opened_by_two(breaker: &mut Breaker) {
    for tenant in ["a", "b", "a", "b", "a"] {
        breaker.saw(tenant, Sign::Failing, at(0));
    }
    assert!(breaker.is_open());
}

#[test]
fn two_tenants_who_are_alone_there_and_both_fail_are_broken_themselves() {
    let mut breaker = Breaker::with_question();
    opened_by_two(&mut breaker);
    let now = two_are_probed(&mut breaker, 0, Heard::Well);
    assert!((120_000..180_000).contains(&now) && !breaker.is_open(), "{now} {breaker:?}");
    for tenant in ["a", "b"].repeat(10) {
        assert_eq!(breaker.permit(tenant, at(now)), Permit::Yes);
        assert!(!breaker.saw(tenant, Sign::Failing, at(now)), "they answer for it");
    }
    // Whoever else comes is not held up, and not thought less of.
    for round in 0..20 {
        assert!(!breaker.saw(if round % 2 == 0 { "c" } else { "a" }, Sign::Well, at(now)));
    }
    for tenant in ["c", "d", "c", "d"] {
        assert!(!breaker.saw(tenant, Sign::Failing, at(now)));
    }
    assert!(breaker.saw("c", Sign::Failing, at(now)));
}

#[test]
fn of_a_third_who_fails_before_anyone_is_answered_it_was_an_outage() {
    let mut breaker = Breaker::with_question();
    opened_by_two(&mut breaker);
    let now = two_are_probed(&mut breaker, 0, Heard::Well);
    assert!(breaker.saw("c", Sign::Failing, at(now)), "and no attempt of it counts");
    two_are_probed(&mut breaker, now, Heard::Well);
    assert!(breaker.is_open(), "{breaker:?}");
    breaker.saw("c", Sign::Well, at(now));
    assert!(!breaker.is_open());
}

#[test]
fn who_is_there_to_be_probed_is_taken_for_broken_only_on_a_good_answer() {
    for (question, mut breaker) in [
        (Heard::Somebody, Breaker::with_question()),
        (Heard::Stranger, Breaker::with_question()),
        (Heard::Trouble, Breaker::with_question()),
        // Nobody can be asked.
        (Heard::Well, Breaker::default()),
    ] {
        opened_by_two(&mut breaker);
        two_are_probed(&mut breaker, 0, question);
        assert!(breaker.is_open(), "{question:?} {breaker:?}");
    }
}

#[test]
fn one_bad_answer_to_the_question_begins_the_patience_anew() {
    let mut breaker = Breaker::with_question();
    opened_by_two(&mut breaker);
    let now = two_are_probed_for(&mut breaker, 0, Heard::Well, 100_000);
    assert!(breaker.is_open(), "not long enough");
    let now = two_are_probed_for(&mut breaker, now, Heard::Stranger, 60_000);
    let now = two_are_probed_for(&mut breaker, now, Heard::Well, 100_000);
    assert!(breaker.is_open(), "{breaker:?}");
    two_are_probed(&mut breaker, now, Heard::Well);
    assert!(!breaker.is_open(), "{breaker:?}");
}

#[test]
fn a_round_that_ends_by_time_is_followed_by_the_question() {
    let mut breaker = askable();
    assert!(breaker.asks(at(1_000)));
    breaker.heard(Heard::Well, at(1_000));
    breaker.permit("a", at(1_000));
    breaker.saw("a", Sign::Failing, at(1_000));
    assert!(breaker.asks_in(at(1_000)).is_some(), "who asks looks again, though nobody calls");
    assert_eq!(breaker.asks_in(at(11_000)), Some(FIRST_PAUSE * 2));
}

#[test]
fn a_page_in_place_of_an_answer_lets_no_event_of_one_tenant_answer_for_it_either() {
    let mut breaker = Breaker::with_question();
    for _ in 0..TRIP {
        assert!(!breaker.saw("only", Sign::Failing, at(0)));
    }
    assert!(breaker.asks(at(0)) && breaker.heard(Heard::Stranger, at(0)));
    assert!(breaker.asks(at(1_000)) && breaker.heard(Heard::Stranger, at(1_000)), "still the same page");
    assert_eq!(breaker.permit("only", at(1_000)), Permit::Yes, "the calls find out");
    assert!(breaker.saw("only", Sign::Failing, at(1_000)));
    // That there is no such question says nothing, of one tenant alone.
    let mut breaker = Breaker::with_question();
    for _ in 0..TRIP {
        breaker.saw("only", Sign::Failing, at(0));
    }
    assert!(breaker.asks(at(0)) && !breaker.heard(Heard::Somebody, at(0)));
}

#[test]
fn of_two_who_are_presumed_broken_one_that_can_not_connect_opens_nothing_at_once() {
    let mut breaker = Breaker::with_question();
    opened_by_two(&mut breaker);
    let now = two_are_probed(&mut breaker, 0, Heard::Well);
    assert!(!breaker.is_open());
    for _ in 1..TRIP {
        assert!(!breaker.saw("a", Sign::Unreachable, at(now)), "{breaker:?}");
    }
    assert!(breaker.saw("a", Sign::Unreachable, at(now)), "nobody has been at the door so often");

    let mut breaker = Breaker { presumed: ["a".to_owned()].into(), ..Breaker::with_question() };
    for _ in 1..TRIP {
        assert!(!breaker.saw("a", Sign::Unreachable, at(0)), "one is not two");
    }
}

/// What the outside does to those who call it.
#[derive(Debug, Clone, Copy)]
struct Outside {
    /// Fails for all from the first on; else only for the first so many tenants.
    broken: usize,
    tenants: usize,
    question: Heard,
}

/// What came of ten minutes, in which each tenant tries every `step`.
#[derive(Debug, Default)]
struct Told {
    calls: usize,
    /// Failures for which an event has to answer.
    blamed: usize,
    questions: usize,
    answered: usize,
    refused_in_a_row: i64,
}

fn ten_minutes(breaker: &mut Breaker, outside: Outside, step: i64) -> Told {
    let (mut told, mut now, mut refused) = (Told::default(), 0, 0);
    while now < 600_000 {
        now += step;
        if breaker.asks(at(now)) {
            told.questions += 1;
            breaker.heard(outside.question, at(now));
        }
        for tenant in 0..outside.tenants {
            let name = format!("t{tenant}");
            if breaker.permit(&name, at(now)) != Permit::Yes {
                if tenant >= outside.broken {
                    refused += step;
                    told.refused_in_a_row = told.refused_in_a_row.max(refused);
                }
                continue;
            }
            told.calls += 1;
            if tenant >= outside.broken {
                breaker.saw(&name, Sign::Well, at(now));
                (told.answered, refused) = (told.answered + 1, 0);
            } else if !breaker.saw(&name, Sign::Failing, at(now)) {
                told.blamed += 1;
            }
        }
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A service that answers the question and fails every call of more than two is probed no more often than one that answers
    /// nothing, and no event has to answer for it.
    #[test]
    fn a_question_that_is_answered_while_all_calls_fail_burns_no_attempts(tenants in 3usize..40, step in 200i64..2_000) {
        let outside = Outside { broken: tenants, tenants, question: Heard::Well };
        let told = ten_minutes(&mut Breaker::with_question(), outside, step);
        // Pauses of 1, 2, 4, 8, 16 and then 30 seconds.
        prop_assert!(told.calls <= usize::try_from(TRIP).unwrap() + PROBES * 25, "{told:?}");
        prop_assert!(told.blamed < usize::try_from(TRIP).unwrap(), "{told:?}");
        prop_assert!(told.questions <= 25, "{told:?}");
    }

    /// Nobody waits for ever: where so few are there, it is theirs, and each of their events comes to an end.
    #[test]
    fn two_whose_calls_all_fail_answer_for_it_when_the_question_is_answered(tenants in 1usize..3, step in 200i64..2_000) {
        let outside = Outside { broken: tenants, tenants, question: Heard::Well };
        let told = ten_minutes(&mut Breaker::with_question(), outside, step);
        let rounds = usize::try_from(600_000 / step).unwrap();
        prop_assert!(told.blamed > rounds * tenants * if tenants == 1 { 9 } else { 6 } / 10, "{told:?}");
    }

    /// While the question is not answered, no call is made.
    #[test]
    fn no_call_is_risked_while_the_question_is_not_answered(tenants in 1usize..40, step in 200i64..2_000) {
        for question in [Heard::Trouble, Heard::SlowDown(None)] {
            let outside = Outside { broken: tenants, tenants, question };
            let told = ten_minutes(&mut Breaker::with_question(), outside, step);
            prop_assert!(told.calls <= usize::try_from(TRIP).unwrap() + tenants, "{told:?}");
            prop_assert!((2..=25).contains(&told.questions), "{told:?}");
        }
    }

    /// A few tenants whose calls always fail keep no other out for long, and are asked about no more than once in TRIP failures.
    #[test]
    fn broken_tenants_do_not_keep_it_shut_to_others(broken in 1usize..8, step in 200i64..2_000) {
        let outside = Outside { broken, tenants: broken + 1, question: Heard::Well };
        let told = ten_minutes(&mut Breaker::with_question(), outside, step);
        prop_assert!(told.answered > 0 && told.refused_in_a_row < 120_000, "{told:?}");
        prop_assert!(told.questions <= 25 + told.calls / usize::try_from(TRIP).unwrap(), "{told:?}");
    }

    /// Never while all is well, and never twice at a time.
    #[test]
    fn it_is_asked_only_with_a_cause(happenings in proptest::collection::vec((0u8..6, 0u8..4, 0i64..5_000), 0..200)) {
        let mut breaker = Breaker::with_question();
        let (mut now, mut asking, mut failures) = (0, false, 0);
        for (what, tenant, passed) in happenings {
            now += passed;
            let tenant = format!("t{tenant}");
            match what {
                0 => { breaker.permit(&tenant, at(now)); }
                1 => { breaker.saw(&tenant, Sign::Well, at(now)); failures = 0; }
                2 => { breaker.saw(&tenant, Sign::Failing, at(now)); failures += 1; }
                3 => { breaker.saw(&tenant, Sign::Refused, at(now)); failures += TRIP; }
                4 => {
                    let asks = breaker.asks(at(now));
                    prop_assert!(!asks || (!asking && (breaker.is_open() || failures >= TRIP)), "{breaker:?}");
                    asking |= asks;
                }
                _ if asking => {
                    asking = false;
                    breaker.heard(if passed % 2 == 0 { Heard::Well } else { Heard::Trouble }, at(now));
                }
                _ => {}
            }
        }
    }

    /// Whatever happens, who waits long enough is let through, once the question is answered or its answer is given up.
    #[test]
    fn with_a_question_it_never_stays_shut_either(
        happenings in proptest::collection::vec((0u8..6, 0u8..4, 0i64..5_000), 0..200),
        answered: bool,
    ) {
        let mut breaker = Breaker::with_question();
        let mut now = 0;
        for (what, tenant, passed) in happenings {
            now += passed;
            let tenant = format!("t{tenant}");
            match what {
                0 => { breaker.permit(&tenant, at(now)); }
                1 => { breaker.saw(&tenant, Sign::Well, at(now)); }
                2 => { breaker.saw(&tenant, Sign::Failing, at(now)); }
                3 => { breaker.saw(&tenant, Sign::Unreachable, at(now)); }
                4 => { breaker.asks(at(now)); }
                _ => { breaker.heard(Heard::Trouble, at(now)); }
            }
        }
        breaker.not_asked();
        let mut asked = 0;
        while let Permit::No(wait) = breaker.permit("new", at(now)) {
            now += i64::try_from(wait.as_millis()).unwrap().max(1);
            if breaker.asks(at(now)) && answered {
                breaker.heard(Heard::Well, at(now));
            }
            asked += 1;
            prop_assert!(asked < 1_000, "{breaker:?}");
        }
        breaker.saw("new", Sign::Well, at(now));
        prop_assert_eq!(breaker.flow(at(now)), Flow::Free);
    }
}
