//! Which worker is dead: each says every few seconds that it lives, and whoever has said nothing for a while is not
//! waited for.

use std::time::Duration;

/// How often a worker says that it lives.
pub const BEAT: Duration = Duration::from_secs(5);

/// A worker that has not said for so long that it lives is taken for dead: what it had claimed is free. It makes no call
/// any more by then, should it live after all. Clocks of workers must differ by much less.
pub const LAPSES: Duration = Duration::from_secs(30);

/// So long after its last word a call of a dead worker may still be under way: the turns that it had stay with their steps
/// until then.
pub const LAPSES_WITH_TURN: Duration = LAPSES.saturating_add(super::LINGERS);

/// Until when something is held: to the end of its lease, or until its holder, seen last at `seen_at`, is taken for dead. Who never
/// said that it lives is only known by its lease. All in microseconds since 1970.
#[must_use]
pub fn held_until(lease_until: i64, seen_at: Option<i64>, lapses: Duration) -> i64 {
    let lapses = i64::try_from(lapses.as_micros()).unwrap_or(i64::MAX);
    seen_at.map_or(lease_until, |seen_at| lease_until.min(seen_at.saturating_add(lapses)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_ends_with_its_lease_or_its_holder() {
        assert_eq!(held_until(90_000_000, None, LAPSES), 90_000_000);
        assert_eq!(held_until(90_000_000, Some(10_000_000), LAPSES), 40_000_000);
        assert_eq!(held_until(30_000_000, Some(10_000_000), LAPSES), 30_000_000);
        assert_eq!(held_until(i64::MAX, Some(i64::MAX), LAPSES), i64::MAX);
    }
}
