//! What of a backtest a person, or CI, has to look at: it decides the exit code.

use clap::ValueEnum;
use serde::Serialize;

use super::Tried;

/// What a backtest may find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Finding {
    /// Actions would be added, dropped or changed
    Differences,
    /// A rule depends on a fact that was never read
    Unknown,
    /// NEW has a rule that can't be evaluated or carried out
    Errors,
    /// A rule of NEW would pause, because it touches more tenants than its limit
    Pauses,
}

impl Finding {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Differences => "differences",
            Self::Unknown => "unknown",
            Self::Errors => "errors",
            Self::Pauses => "pauses",
        }
    }

    /// All that there are in what came of it.
    pub(super) fn all(tried: &Tried) -> Vec<Self> {
        let report = &tried.played.report;
        let there = |finding: &Self| match finding {
            Self::Differences => report.differs(),
            Self::Unknown => report.unknown_events > 0,
            Self::Errors => report.errs(),
            Self::Pauses => tried.limits.iter().any(|limited| limited.paused.is_some()),
        };
        Self::value_variants().iter().copied().filter(there).collect()
    }
}
