//! What would have held back or folded what rules in shadow would have done: their `limit` and their `fold`, played on the
//! records alone. A live rule's counters are neither read nor touched, nothing is paused, and nobody is told.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::event::Event;
use crate::journal::counted_as;
use crate::plan::{Decision, RuleVerdict};
use crate::rulebook::{Fold, Limit, Rulebook};
use crate::storm::Kind;

/// What a rule in shadow would have been held back by, as its rulebook had it. Stored with the verdict, so its serialised form is a
/// promise to older records. Only of a rule that has a `limit` or a `fold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Whom the limit counts: `<env>/<tenant>`.
    pub tenant: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// Of which kind each action is as a message, in their order; none for what is no message. Empty without `fold`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Option<String>>,
}

impl Terms {
    /// Those of a verdict in shadow; none where nothing would hold it back.
    #[must_use]
    pub fn of(book: &Rulebook, event: &Event, run: &str, given: &RuleVerdict) -> Option<Self> {
        let actions = given.verdict.rehearsed()?;
        let rule = book.rules().iter().find(|rule| rule.name == given.rule)?;
        if rule.limit.is_none() && rule.fold.is_none() {
            return None;
        }
        let kind = |action: &Action| match action {
            Action::Slack { channel, text } => {
                Some(Kind::of(event, run, &rule.name, channel.as_deref(), text).digest)
            }
            Action::SetSchedule { .. } | Action::LinkTarget { .. } | Action::RunJob { .. } => None,
        };
        let kinds = if rule.fold.is_some() { actions.iter().map(kind).collect() } else { Vec::new() };
        Some(Self { tenant: counted_as(event), limit: rule.limit, fold: rule.fold, kinds })
    }
}

/// What would have become of what a rule in shadow would have done about one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// Its limit would have held all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldBack>,
    /// Places of the messages that would have been told in one with earlier ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<usize>,
}

/// The limit that would have held it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldBack {
    pub tenants: u32,
    pub seconds: u64,
    /// Its tenant is the one too many: with it the rule would have paused. Else it was paused already.
    pub pauses: bool,
}

/// Limits and folds of rules in shadow, from event to event in the order in which they were decided about. A pause is ended by a
/// person, and in shadow nobody ends one: it is taken to last for the `per` of its limit, and the tenants to be counted anew then.
#[derive(Debug, Default)]
pub struct Playing {
    limits: HashMap<String, Touched>,
    /// By kind.
    folds: HashMap<String, Told>,
}

#[derive(Debug, Default)]
struct Touched {
    /// When each tenant was touched last.
    at: HashMap<String, Timestamp>,
    paused: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Told {
    /// Messages on their own.
    alone: Vec<Timestamp>,
    /// The newest that was told with others, while that is not over.
    storm: Option<Timestamp>,
}

impl Playing {
    /// The fates of the rules in shadow that a decision names, by rule. Those without terms are not among them.
    pub fn play(&mut self, decision: &Decision) -> HashMap<String, Fate> {
        let at = decision.decided_at;
        let of_rule = |given: &RuleVerdict| {
            let terms = given.terms.as_ref()?;
            Some((given.rule.clone(), self.of_rule(&given.rule, at, terms)))
        };
        decision.verdicts.iter().filter_map(of_rule).collect()
    }

    fn of_rule(&mut self, rule: &str, at: Timestamp, terms: &Terms) -> Fate {
        if let Some(limit) = terms.limit
            && let Some(pauses) =
                self.limits.entry(rule.to_owned()).or_default().holds(&terms.tenant, at, limit)
        {
            let held = HeldBack { tenants: limit.tenants, seconds: limit.per.as_secs(), pauses };
            return Fate { held: Some(held), folds: Vec::new() };
        }
        let Some(fold) = terms.fold else { return Fate::default() };
        let mut folds = Vec::new();
        for (place, kind) in terms.kinds.iter().enumerate() {
            if let Some(kind) = kind
                && self.folds.entry(kind.clone()).or_default().folds(at, fold)
            {
                folds.push(place);
            }
        }
        Fate { held: None, folds }
    }
}

impl Touched {
    /// Would it be held? Then whether the rule pauses with it.
    fn holds(&mut self, tenant: &str, at: Timestamp, limit: Limit) -> Option<bool> {
        if let Some(paused) = self.paused {
            if within(paused, at, limit.per) {
                return Some(false);
            }
            *self = Self::default();
        }
        self.at.retain(|_, touched| within(*touched, at, limit.per));
        if !self.at.contains_key(tenant) && self.at.len() as u64 >= u64::from(limit.tenants) {
            self.paused = Some(at);
            return Some(true);
        }
        self.at.insert(tenant.to_owned(), at);
        None
    }
}

impl Told {
    /// Is it told with others, or on its own?
    fn folds(&mut self, at: Timestamp, fold: Fold) -> bool {
        if self.storm.is_some_and(|last| within(last, at, fold.per)) {
            self.storm = Some(at);
            return true;
        }
        self.storm = None;
        self.alone.retain(|told| within(*told, at, fold.per));
        if self.alone.len() as u64 >= u64::from(fold.after) {
            self.storm = Some(at);
            return true;
        }
        self.alone.push(at);
        false
    }
}

/// Is `then` less than `per` ago? What was decided a little out of order is taken to be of now.
fn within(then: Timestamp, now: Timestamp, per: Duration) -> bool {
    Duration::try_from(now.duration_since(then)).is_ok_and(|age| age < per) || then > now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn terms(tenant: &str, limit: Option<u32>, fold: Option<u32>) -> Terms {
        let per = Duration::from_secs(60);
        Terms {
            tenant: tenant.to_owned(),
            limit: limit.map(|tenants| Limit { tenants, per }),
            fold: fold.map(|after| Fold { after, per }),
            kinds: if fold.is_some() { vec![None, Some("k".to_owned())] } else { Vec::new() },
        }
    }

    fn held(playing: &mut Playing, second: i64, tenant: &str) -> Option<bool> {
        let fate = playing.of_rule("r", at(second), &terms(tenant, Some(2), None));
        fate.held.map(|held| held.pauses)
    }

    #[test]
    fn the_tenant_that_is_one_too_many_would_pause_the_rule_and_what_follows_would_be_held() {
        let mut playing = Playing::default();
        assert_eq!(
            [held(&mut playing, 0, "a"), held(&mut playing, 1, "b"), held(&mut playing, 2, "a")],
            [None; 3]
        );
        assert_eq!(held(&mut playing, 3, "c"), Some(true));
        assert_eq!(held(&mut playing, 4, "a"), Some(false), "a paused rule holds everything");
        assert_eq!(held(&mut playing, 62, "d"), Some(false));
        assert_eq!(
            [held(&mut playing, 63, "d"), held(&mut playing, 64, "e"), held(&mut playing, 65, "f")],
            [None, None, Some(true)],
            "a pause is taken to end after the time of the limit, and the counting begins anew"
        );
        assert_eq!(playing.of_rule("other", at(65), &terms("f", Some(2), None)), Fate::default());
    }

    #[test]
    fn tenants_are_counted_within_the_time_of_the_limit() {
        let mut playing = Playing::default();
        assert_eq!([held(&mut playing, 0, "a"), held(&mut playing, 1, "b")], [None; 2]);
        assert_eq!(held(&mut playing, 60, "c"), None, "the first is past");
        assert_eq!(held(&mut playing, 60, "d"), Some(true));
    }

    #[test]
    fn messages_of_one_kind_would_fold_after_so_many_until_none_has_come_for_a_while() {
        let mut playing = Playing::default();
        let mut folds = |second: i64| playing.of_rule("r", at(second), &terms("a", None, Some(2))).folds;
        assert_eq!([folds(0), folds(1)], [Vec::<usize>::new(), Vec::new()]);
        assert_eq!(
            [folds(2), folds(50), folds(109)],
            [vec![1], vec![1], vec![1]],
            "the message is the second action"
        );
        assert_eq!(folds(169), Vec::<usize>::new(), "the storm is over");
    }

    #[test]
    fn what_would_be_held_would_fold_into_nothing() {
        let mut playing = Playing::default();
        let mut fate =
            |second: i64, tenant: &str| playing.of_rule("r", at(second), &terms(tenant, Some(1), Some(1)));
        assert_eq!(fate(0, "a"), Fate::default());
        assert!(fate(1, "b").held.is_some_and(|held| held.pauses));
        assert_eq!(fate(61, "a").folds, Vec::<usize>::new(), "what was held was not told either");
    }
}
