//! How an attempt at a step ends, and how that is written down: the same in every event log.

use super::{StepEnd, StepState};

/// What makes the law true that a repeatable step ends applied, and one that must not be repeated is done once at most, or
/// twice at most with a word about it. `begun` is that of [`super::Claim::Mine`].
impl StepEnd {
    /// The end of a step that must not be tried once more: twice it may have been done, and no answer came.
    #[must_use]
    pub fn untried(repeatable: bool, begun: u32) -> Option<Self> {
        let why = "it was sent twice and no answer came back: it may have arrived once, twice or not at all";
        (begun > 1 && !repeatable).then(|| Self::Unknown { why: why.to_owned() })
    }

    /// The end of an attempt that did what it was to do.
    #[must_use]
    pub fn of_success(repeatable: bool, begun: u32, request: String, answer: String) -> Self {
        if begun > 0 && !repeatable {
            Self::DonePerhapsTwice { request, answer }
        } else {
            Self::Done { request, answer }
        }
    }

    /// The end of an attempt that failed for now. `uncertain`: it may have been done all the same.
    #[must_use]
    pub fn of_trouble(repeatable: bool, begun: u32, why: String, uncertain: bool) -> Self {
        if uncertain && begun > 0 && !repeatable {
            Self::Unknown { why }
        } else {
            Self::Again { why, uncertain }
        }
    }
}

/// A [`StepEnd`] as the columns of the ledger hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending<'a> {
    pub state: StepState,
    pub request: Option<&'a str>,
    pub answer: Option<&'a str>,
    pub error: Option<&'a str>,
    pub perhaps_twice: bool,
    /// The attempt certainly had no effect: it is taken back.
    pub taken_back: bool,
    /// The effect may still take place, behind our back: for [`super::LINGERS`] nobody else gets the turn.
    pub keeps_turn: bool,
}

impl<'a> Ending<'a> {
    #[must_use]
    pub fn of(end: &'a StepEnd) -> Self {
        let ending = |state, error| Self {
            state,
            request: None,
            answer: None,
            error,
            perhaps_twice: false,
            taken_back: false,
            keeps_turn: false,
        };
        match end {
            StepEnd::Done { request, answer } => {
                Self { request: Some(request), answer: Some(answer), ..ending(StepState::Done, None) }
            }
            StepEnd::DonePerhapsTwice { request, answer } => Self {
                request: Some(request),
                answer: Some(answer),
                perhaps_twice: true,
                ..ending(StepState::Done, None)
            },
            StepEnd::Again { why, uncertain } => Self {
                taken_back: !uncertain,
                keeps_turn: *uncertain,
                ..ending(StepState::Pending, Some(why))
            },
            StepEnd::Failed { why } => ending(StepState::Failed, Some(why)),
            StepEnd::Unknown { why } => ending(StepState::Unknown, Some(why)),
            StepEnd::Superseded { why } => ending(StepState::Superseded, Some(why)),
            StepEnd::Skipped { why } => ending(StepState::Skipped, Some(why)),
        }
    }
}
