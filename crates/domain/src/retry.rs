//! When to try again: arithmetic only.

use std::time::Duration;

use serde::Deserialize;

use crate::span;

/// How failed events are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Attempts in all before the event is buried.
    #[schemars(range(min = 1))]
    pub attempts: u32,
    /// Wait after the first failure; doubles with each further one.
    #[serde(deserialize_with = "span::de_duration")]
    #[schemars(schema_with = "span::duration_schema")]
    pub first: Duration,
    /// Longest wait of our own choosing; a service that asks for more is given more, up to [`LONGEST_ASKED`].
    #[serde(deserialize_with = "span::de_duration")]
    #[schemars(schema_with = "span::duration_schema")]
    pub most: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { attempts: 12, first: Duration::from_secs(1), most: Duration::from_secs(300) }
    }
}

/// A service may ask for a longer wait than [`Policy::most`], but a mistaken `Retry-After` must not park an event for days: after so
/// long it is asked again, and may say so again.
pub const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    After(Duration),
    GiveUp,
}

/// After `failures` failed attempts (1 = the first): wait, or give up. `asked` is what the service asked for
/// (`Retry-After`): never sooner. Jitter of up to a quarter is only ever added, and comes from `seed`, so that the same
/// event always waits the same.
#[must_use]
pub fn next(policy: &Policy, failures: u32, asked: Option<Duration>, seed: u64) -> Next {
    if failures >= policy.attempts {
        return Next::GiveUp;
    }
    let doubled =
        policy.first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let own = doubled.min(policy.most);
    let wait = own.max(asked.unwrap_or_default().min(LONGEST_ASKED));
    let mixed = (seed ^ u64::from(failures)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let quarter = u64::try_from(own.as_millis() / 4).unwrap_or(u64::MAX);
    Next::After(wait + Duration::from_millis(if quarter == 0 { 0 } else { mixed % quarter }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_sooner_than_asked(failures in 1u32..11, asked in 0u64..3_600, seed: u64) {
            let asked = Duration::from_secs(asked);
            match next(&Policy::default(), failures, Some(asked), seed) {
                Next::After(wait) => prop_assert!(wait >= asked),
                Next::GiveUp => prop_assert!(false, "gave up too early"),
            }
        }

        #[test]
        fn never_much_later_than_most(failures in 0u32..u32::MAX, seed: u64) {
            let policy = Policy { attempts: u32::MAX, ..Policy::default() };
            match next(&policy, failures, None, seed) {
                Next::After(wait) => prop_assert!(wait <= policy.most + policy.most / 4),
                Next::GiveUp => prop_assert!(failures >= policy.attempts),
            }
        }

        #[test]
        fn whatever_is_asked_waiting_is_bounded_and_comes_to_an_end(
            attempts in 1u32..30,
            first in 0u64..10_000,
            most in 0u64..1_000_000,
            asked in prop::collection::vec(prop::option::of(0u64..u64::MAX), 30),
            seed: u64,
        ) {
            let (first, most) = (Duration::from_millis(first), Duration::from_millis(most));
            let policy = Policy { attempts, first, most };
            let mut waited = Duration::ZERO;
            let mut failures = 0;
            for asked in asked {
                failures += 1;
                match next(&policy, failures, asked.map(Duration::from_secs), seed) {
                    Next::After(wait) => waited += wait,
                    Next::GiveUp => break,
                }
            }
            prop_assert_eq!(failures, attempts);
            prop_assert!(waited <= attempts * (most + most / 4 + LONGEST_ASKED), "{waited:?}");
        }

        #[test]
        fn same_seed_same_wait(failures in 1u32..11, seed: u64) {
            let policy = Policy::default();
            prop_assert_eq!(next(&policy, failures, None, seed), next(&policy, failures, None, seed));
        }
    }

    #[test]
    fn grows_until_most() {
        let policy = Policy { attempts: 50, ..Policy::default() };
        let mut before = Duration::ZERO;
        for failures in 1..9 {
            let Next::After(wait) = next(&policy, failures, None, 0) else { panic!("gave up") };
            assert!(wait > before, "{failures}: {wait:?} after {before:?}");
            before = wait;
        }
    }

    #[test]
    fn gives_up_at_the_limit() {
        let policy = Policy::default();
        assert!(matches!(next(&policy, policy.attempts - 1, None, 1), Next::After(_)));
        assert_eq!(next(&policy, policy.attempts, None, 1), Next::GiveUp);
    }
}
