//! What each rule would do, as far as that is known: for trying a rulebook on events of the past.

use super::context::Context;
use super::decide::{Fate, fates};
use super::{Case, Rulebook};
use crate::action::Action;
use crate::facts::Needs;
use crate::plan::Verdict;

/// What one rule would do about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// These actions, in order; none when it does not match, or another rule or an unchanged value keeps it silent.
    Acts(Vec<Action>),
    /// Nothing, but in `mode = "live"` these.
    Shadow(Vec<Action>),
    /// It depends on what is not known.
    Unknown(Needs),
    /// Only these, because the step behind them can't be worked out.
    Broken { why: String, acts: Vec<Action> },
    /// Nothing, because this line of `when` (from 1) can't be evaluated.
    NotEvaluated { line: usize, why: String },
}

/// The outlook of a rule, and the new value of its `changed` expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleOutlook<'b> {
    pub rule: &'b str,
    pub outlook: Outlook,
    pub new_value: Option<String>,
}

impl Rulebook {
    /// What each rule would do. Unlike [`Self::decide`], a rule that must know more does not keep the others waiting.
    #[must_use]
    pub fn outlooks(&self, case: &Case<'_>) -> Vec<RuleOutlook<'_>> {
        let fates = fates(self, case, &Context::new(case, false));
        let needs_of = |name: &str| {
            let at = self.rules.iter().position(|rule| rule.name == name);
            match at.and_then(|at| fates.get(at)) {
                Some(Fate::Asks(needs)) => needs.clone(),
                _ => Needs::new(),
            }
        };
        let outlooks: Vec<_> = fates
            .iter()
            .map(|fate| match fate {
                Fate::Asks(needs) => Outlook::Unknown(needs.clone()),
                Fate::Waits { for_rule } => Outlook::Unknown(needs_of(for_rule)),
                Fate::Settled { verdict, actions, .. } => match verdict {
                    Verdict::Shadow { actions } => Outlook::Shadow(actions.clone()),
                    Verdict::Broken { why, .. } => {
                        Outlook::Broken { why: why.clone(), acts: actions.clone() }
                    }
                    Verdict::NotHeld { line, why: Some(why) } => {
                        Outlook::NotEvaluated { line: *line, why: why.clone() }
                    }
                    Verdict::Off
                    | Verdict::OtherKind
                    | Verdict::NotHeld { why: None, .. }
                    | Verdict::Unchanged
                    | Verdict::Silenced { .. }
                    | Verdict::Matched { .. } => Outlook::Acts(actions.clone()),
                },
            })
            .collect();
        let rules = self.rules.iter().zip(fates).zip(outlooks);
        rules
            .map(|((rule, fate), outlook)| RuleOutlook {
                rule: &rule.name,
                outlook,
                new_value: if let Fate::Settled { new_value, .. } = fate { new_value } else { None },
            })
            .collect()
    }
}
