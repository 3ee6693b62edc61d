use proptest::prelude::*;

use super::*;

mod question;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap()
}

fn opened() -> Breaker {
    let mut breaker = Breaker::default();
    for number in 0..TRIP {
        breaker.saw(&format!("t{number}"), Sign::Failing, at(0));
    }
    assert!(breaker.is_open());
    breaker
}

#[test]
fn failures_of_several_tenants_in_a_row_open_it() {
    let mut breaker = Breaker::default();
    for number in 1..TRIP {
        assert!(!breaker.saw(&format!("t{number}"), Sign::Failing, at(0)));
    }
    assert_eq!(breaker.permit("t", at(0)), Permit::Yes);
    assert!(breaker.saw("last", Sign::Failing, at(0)));
    assert_eq!(breaker.permit("t", at(0)), Permit::No(FIRST_PAUSE));
    assert_eq!(breaker.flow(at(0)), Flow::Stopped(FIRST_PAUSE));
}

#[test]
fn one_tenant_alone_never_opens_it() {
    let mut breaker = Breaker::default();
    for _ in 0..1_000 {
        assert!(!breaker.saw("broken", Sign::Failing, at(0)));
    }
    assert_eq!(breaker.permit("other", at(0)), Permit::Yes);
}

#[test]
fn nobody_at_the_door_opens_it_even_for_one_tenant() {
    let mut breaker = Breaker::default();
    for _ in 0..TRIP {
        breaker.saw("only", Sign::Unreachable, at(0));
    }
    assert!(breaker.is_open());
}

#[test]
fn a_success_in_between_begins_the_count_anew() {
    let mut breaker = Breaker::default();
    for round in 0..100 {
        for number in 1..TRIP {
            breaker.saw(&format!("t{number}"), Sign::Failing, at(round));
        }
        breaker.saw("fine", Sign::Well, at(round));
    }
    assert_eq!(breaker.flow(at(100)), Flow::Free);
}

#[test]
fn after_the_pause_a_few_probes_go_through_and_the_first_answer_closes_it() {
    let mut breaker = opened();
    assert_eq!(breaker.flow(at(1_000)), Flow::Probing(PROBES));
    for tenant in ["a", "b", "c"] {
        assert_eq!(breaker.permit(tenant, at(1_000)), Permit::Yes);
    }
    assert!(matches!(breaker.permit("d", at(1_000)), Permit::No(_)));
    assert!(matches!(breaker.flow(at(1_000)), Flow::Stopped(_)), "more would only wait");
    assert!(breaker.saw("a", Sign::Failing, at(1_100)));
    assert!(!breaker.saw("b", Sign::Well, at(1_200)));
    assert_eq!(breaker.permit("d", at(1_200)), Permit::Yes);
    assert_eq!(breaker.flow(at(1_200)), Flow::Free);
}

#[test]
fn probes_that_fail_double_the_pause_up_to_the_longest() {
    let mut breaker = opened();
    let mut now = 0;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let Flow::Stopped(pause) = breaker.flow(at(now)) else { panic!("{breaker:?}") };
        pauses.push(pause.as_secs());
        now += i64::try_from(pause.as_millis()).unwrap();
        assert_eq!(breaker.permit("a", at(now)), Permit::Yes);
        breaker.saw("a", Sign::Unreachable, at(now));
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
}

#[test]
fn one_broken_tenant_among_the_probes_does_not_keep_it_open() {
    let mut breaker = opened();
    assert_eq!(breaker.permit("broken", at(1_000)), Permit::Yes);
    breaker.saw("broken", Sign::Failing, at(1_000));
    assert!(matches!(breaker.permit("broken", at(1_001)), Permit::No(_)), "it had its turn");
    assert_eq!(breaker.permit("fine", at(1_001)), Permit::Yes);
    breaker.saw("fine", Sign::Well, at(1_002));
    assert_eq!(breaker.permit("broken", at(1_003)), Permit::Yes);
}

#[test]
fn a_handful_of_broken_tenants_is_no_outage_for_long() {
    let mut breaker = opened();
    let (mut now, mut asked) = (0, 0);
    // Six broken tenants are always the first to ask, as events that come again are; a healthy one is the last.
    'outage: loop {
        now += 250;
        for tenant in ["b1", "b2", "b3", "b4", "b5", "b6"] {
            if breaker.permit(tenant, at(now)) == Permit::Yes {
                breaker.saw(tenant, Sign::Failing, at(now));
            }
        }
        if breaker.permit("healthy", at(now)) == Permit::Yes {
            breaker.saw("healthy", Sign::Well, at(now));
            break 'outage;
        }
        asked += 1;
        assert!(asked < 400, "{breaker:?}");
    }
    assert!(!breaker.is_open());
}

#[test]
fn tenants_that_are_broken_do_not_open_it_again_and_again() {
    let mut breaker = Breaker::default();
    let (mut now, mut openings, mut refused) = (0, 0, 0);
    for round in 0..400 {
        now += 250;
        let before = breaker.is_open();
        for tenant in ["b1", "b2", "b1", "b2", "b1", "b2"] {
            if breaker.permit(tenant, at(now)) == Permit::Yes {
                breaker.saw(tenant, Sign::Failing, at(now));
            }
        }
        openings += u32::from(!before && breaker.is_open());
        if round % 4 == 0 {
            match breaker.permit("healthy", at(now)) {
                Permit::Yes => drop(breaker.saw("healthy", Sign::Well, at(now))),
                Permit::No(_) => refused += 1,
            }
        }
    }
    assert_eq!((openings, refused), (1, 1), "{breaker:?}");
    // They are like all others once they have been answered.
    breaker.saw("b1", Sign::Well, at(now));
    for number in 0..TRIP {
        breaker.saw(["b1", "new"][usize::try_from(number % 2).unwrap()], Sign::Failing, at(now));
    }
    assert!(breaker.is_open());
}

#[test]
fn an_outage_of_all_that_pauses_for_a_moment_is_still_one() {
    let mut breaker = Breaker::default();
    let tenants: Vec<_> = (0..20).map(|number| format!("t{number}")).collect();
    let mut now = 0;
    for _ in 0..3 {
        for tenant in &tenants {
            breaker.saw(tenant, Sign::Failing, at(now));
        }
        assert!(breaker.is_open());
        now += 60_000;
        assert_eq!(breaker.permit("t0", at(now)), Permit::Yes);
        breaker.saw("t0", Sign::Well, at(now));
        assert!(!breaker.is_open());
    }
}

#[test]
fn when_only_broken_tenants_are_there_they_are_asked_again() {
    let mut breaker = opened();
    let mut now = 0;
    let mut calls = 0;
    while now < 600_000 {
        now += 250;
        for tenant in ["b1", "b2", "b3", "b4"] {
            if breaker.permit(tenant, at(now)) == Permit::Yes {
                calls += 1;
                breaker.saw(tenant, Sign::Failing, at(now));
            }
        }
    }
    assert!(calls > 20, "{calls}");
}

#[test]
fn a_probe_that_is_given_up_makes_room_for_another() {
    let mut breaker = opened();
    for tenant in ["a", "b", "c"] {
        breaker.permit(tenant, at(1_000));
    }
    breaker.abandoned("a");
    assert_eq!(breaker.permit("d", at(1_000)), Permit::Yes);
}

#[test]
fn slowing_down_holds_calls_for_as_long_as_asked_and_stops_nothing_else() {
    let mut breaker = Breaker::default();
    breaker.saw("a", Sign::SlowDown(Some(Duration::from_secs(7))), at(0));
    assert_eq!(breaker.permit("b", at(1_000)), Permit::No(Duration::from_secs(6)));
    assert_eq!(breaker.flow(at(1_000)), Flow::Free);
    assert_eq!(breaker.permit("b", at(7_000)), Permit::Yes);
    // A mistaken wait of days is cut.
    breaker.saw("a", Sign::SlowDown(Some(Duration::from_secs(1 << 40))), at(0));
    assert_eq!(breaker.permit("b", at(0)), Permit::No(LONGEST_ASKED));
}

proptest! {
    /// Whatever happens, waiting long enough lets a call through again, and a success after it closes the breaker.
    #[test]
    fn it_never_stays_shut(happenings in proptest::collection::vec((0u8..6, 0u8..4, 0i64..5_000), 0..200)) {
        let mut breaker = Breaker::default();
        let mut now = 0;
        for (what, tenant, passed) in happenings {
            now += passed;
            let tenant = format!("t{tenant}");
            match what {
                0 => { breaker.permit(&tenant, at(now)); }
                1 => { breaker.saw(&tenant, Sign::Well, at(now)); }
                2 => { breaker.saw(&tenant, Sign::Failing, at(now)); }
                3 => { breaker.saw(&tenant, Sign::Unreachable, at(now)); }
                4 => { breaker.saw(&tenant, Sign::SlowDown(Some(Duration::from_secs(3))), at(now)); }
                _ => breaker.abandoned(&tenant),
            }
        }
        let mut asked = 0;
        while let Permit::No(wait) = breaker.permit("new", at(now)) {
            prop_assert!(!wait.is_zero());
            now += i64::try_from(wait.as_millis()).unwrap().max(1);
            asked += 1;
            prop_assert!(asked < 1_000, "{breaker:?}");
        }
        breaker.saw("new", Sign::Well, at(now));
        prop_assert_eq!(breaker.flow(at(now)), Flow::Free);
    }
}

#[test]
fn one_refusal_of_our_key_opens_it_and_one_success_closes_it() {
    let mut breaker = Breaker::default();
    let at = |second: i64| at(second * 1000);
    assert_eq!(breaker.permit("a", at(0)), Permit::Yes);
    assert!(breaker.saw("a", Sign::Refused, at(0)) && breaker.is_open());
    assert!(matches!(breaker.permit("b", at(0)), Permit::No(_)));
    // Probed with the same tenant again: it is not that tenant's.
    assert_eq!(breaker.permit("a", at(1)), Permit::Yes);
    assert!(breaker.saw("a", Sign::Refused, at(1)));
    assert!(matches!(breaker.permit("a", at(2)), Permit::No(_)), "the pause has doubled");
    assert_eq!(breaker.permit("a", at(3)), Permit::Yes);
    assert!(!breaker.saw("a", Sign::Well, at(3)) && !breaker.is_open());
}

#[test]
fn a_service_that_goes_on_asking_us_to_slow_down_is_left_alone_longer_each_time() {
    let mut breaker = Breaker::default();
    let mut now = at(0);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        for tenant in ["a", "b", "c"] {
            breaker.saw(tenant, Sign::SlowDown(None), now);
        }
        let wait = Duration::from_secs(seconds);
        assert_eq!(breaker.permit("d", now), Permit::No(wait), "calls under way together count as one");
        now = now.checked_add(wait).unwrap();
        assert_eq!(breaker.permit("d", now), Permit::Yes);
    }
    breaker.saw("a", Sign::SlowDown(Some(Duration::from_secs(3))), now);
    assert_eq!(breaker.permit("d", now), Permit::No(Duration::from_secs(3)), "what is asked for counts");
    now = now.checked_add(Duration::from_secs(3)).unwrap();
    breaker.saw("a", Sign::Well, now);
    breaker.saw("a", Sign::SlowDown(None), now);
    assert_eq!(breaker.permit("d", now), Permit::No(Duration::from_secs(1)), "once answered, it begins anew");
}
