//! The one place that reads the time.

use jiff::Timestamp;

/// Tells the time. Made in `main` and passed down, so that a test decides what "now" is.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Source);

#[derive(Debug, Clone, Copy)]
enum Source {
    Fixed(Timestamp),
    Function(fn() -> Timestamp),
}

impl Clock {
    /// The clock of the machine.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn system() -> Self {
        Self(Source::Function(Timestamp::now))
    }

    /// A clock that stands still.
    pub fn fixed(at: Timestamp) -> Self {
        Self(Source::Fixed(at))
    }

    /// A clock that asks `now` each time: for a test in which time moves.
    pub fn from_fn(now: fn() -> Timestamp) -> Self {
        Self(Source::Function(now))
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::Fixed(at) => at,
            Source::Function(now) => now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_still() {
        let at: Timestamp = "2025-03-01T12:00:00Z".parse().unwrap();
        let clock = Clock::fixed(at);
        assert_eq!((clock.now(), clock.now()), (at, at));
    }

    #[test]
    fn the_system_clock_knows_this_century() {
        assert!(Clock::system().now() > "2025-01-01T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn a_function_is_asked_each_time() {
        assert_eq!(Clock::from_fn(|| Timestamp::UNIX_EPOCH).now(), Timestamp::UNIX_EPOCH);
    }
}
