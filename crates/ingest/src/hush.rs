//! Says something at most once a second, and then how often it was left unsaid.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Limits log lines that strangers can cause.
#[derive(Debug, Default)]
pub(crate) struct Hush(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    unsaid: u64,
}

impl Hush {
    /// `Some` if it is to be said now, with how many were left unsaid before it.
    pub(crate) fn may_say(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.said.is_some_and(|said| now.saturating_duration_since(said) < EVERY) {
            state.unsaid += 1;
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_second_and_then_how_many_were_left_out() {
        let hush = Hush::default();
        let start = Instant::now();
        assert_eq!(hush.may_say(start), Some(0));
        assert_eq!(hush.may_say(start + Duration::from_millis(10)), None);
        assert_eq!(hush.may_say(start + Duration::from_millis(999)), None);
        assert_eq!(hush.may_say(start + EVERY), Some(2));
        assert_eq!(hush.may_say(start + 2 * EVERY), Some(0));
    }
}
