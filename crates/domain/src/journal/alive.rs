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
