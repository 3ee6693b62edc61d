//! Rules with a limit that a replay would pause.

use std::collections::{BTreeMap, BTreeSet};

use domain::rulebook::{Limit, Mode, Rulebook};
use serde::Serialize;

use crate::output::{clean, count, yellow};

/// Rules with a limit, and whom they would touch.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<String, Touched>);

#[derive(Debug)]
struct Touched {
    limit: Limit,
    /// Tenants for whom the rule would act.
    surely: BTreeSet<String>,
    /// Those, and tenants for whom it depends on what hotglue says then.
    at_most: BTreeSet<String>,
}

/// A rule that the replay would, or may, pause.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Pause<'a> {
    rule: &'a str,
    /// For so many it would act.
    tenants: usize,
    limit_tenants: u32,
    limit_seconds: u64,
}

impl Limits {
    pub(super) fn of(rulebook: &Rulebook) -> Self {
        let of = |limit| Touched { limit, surely: BTreeSet::new(), at_most: BTreeSet::new() };
        let rules = rulebook.rules().iter().filter(|rule| rule.mode == Mode::Live);
        Self(rules.filter_map(|rule| Some((rule.name.clone(), of(rule.limit?)))).collect())
    }

    /// A rule acts for a tenant.
    pub(super) fn note(&mut self, rule: &str, tenant: &str) {
        self.note_perhaps(rule, tenant);
        if let Some(touched) = self.0.get_mut(rule) {
            touched.surely.insert(tenant.to_owned());
        }
    }

    /// Whether a rule acts for a tenant depends on what hotglue says then.
    pub(super) fn note_perhaps(&mut self, rule: &str, tenant: &str) {
        if let Some(touched) = self.0.get_mut(rule) {
            touched.at_most.insert(tenant.to_owned());
        }
    }

    /// Rules that would act for more tenants than they may: a replay comes all at once.
    pub(super) fn would_pause(&self) -> Vec<Pause<'_>> {
        let over = self.0.iter().filter(|(_, touched)| touched.exceeds(touched.surely.len()));
        over.map(|(rule, touched)| touched.pause(rule, touched.surely.len())).collect()
    }

    /// Rules that pause if hotglue says what makes them act.
    pub(super) fn may_pause(&self) -> Vec<Pause<'_>> {
        let over = self.0.iter().filter(|(_, touched)| {
            touched.exceeds(touched.at_most.len()) && !touched.exceeds(touched.surely.len())
        });
        over.map(|(rule, touched)| touched.pause(rule, touched.at_most.len())).collect()
    }

    /// `more`: what some events lead to is not known yet.
    pub(super) fn notes(&self, more: bool) -> Vec<String> {
        let least = if more { "at least " } else { "" };
        let note = |Pause { rule, tenants, limit_tenants, limit_seconds }| {
            let rule = clean(rule);
            yellow(format!(
                "this replay pauses the rule {rule}, for live events, too: it acts for {least}{}, and may for {limit_tenants} in {limit_seconds} s; what is beyond that is held until gluehook rules resume {rule}",
                count(tenants, "tenant")
            ))
        };
        let perhaps = |Pause { rule, tenants, limit_tenants, limit_seconds }| {
            let rule = clean(rule);
            yellow(format!(
                "this replay may pause the rule {rule}, for live events, too: depending on what hotglue says it acts for up to {}, and may for {limit_tenants} in {limit_seconds} s",
                count(tenants, "tenant")
            ))
        };
        let would = self.would_pause().into_iter().map(note);
        would.chain(self.may_pause().into_iter().map(perhaps)).collect()
    }
}

impl Touched {
    fn exceeds(&self, tenants: usize) -> bool {
        tenants as u64 > self.limit.tenants.into()
    }

    fn pause<'a>(&self, rule: &'a str, tenants: usize) -> Pause<'a> {
        let (limit_tenants, limit_seconds) = (self.limit.tenants, self.limit.per.as_secs());
        Pause { rule, tenants, limit_tenants, limit_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_the_replay_would_pause_is_named_with_its_tenants_and_its_limit() {
        let text = "[[rule]]\nname = \"r\"\nlimit = { tenants = 2, per = \"10m\" }\n[[rule.do]]\naction = \"slack\"\ntext = \"x\"\n";
        let mut limits = Limits::of(&Rulebook::parse(text).unwrap());
        for tenant in ["e/a", "e/b", "e/b"] {
            limits.note("r", tenant);
            limits.note("another", tenant);
        }
        assert_eq!((limits.would_pause(), limits.notes(false)), (vec![], vec![]));
        limits.note("r", "e/c");
        let paused = Pause { rule: "r", tenants: 3, limit_tenants: 2, limit_seconds: 600 };
        assert_eq!(limits.would_pause(), [paused]);
        let said = limits.notes(false).join("");
        assert!(
            said.contains(
                "pauses the rule r, for live events, too: it acts for 3 tenants, and may for 2 in 600 s"
            ),
            "{said}"
        );
        assert!(limits.notes(true).join("").contains("at least 3 tenants"));
    }

    #[test]
    fn a_rule_that_the_replay_may_pause_by_what_hotglue_says_is_named_as_such() {
        let rule = |name: &str, mode: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\nmode = \"{mode}\"\nlimit = {{ tenants = 2, per = \"10m\" }}\n[[rule.do]]\naction = \"slack\"\ntext = \"x\"\n"
            )
        };
        let book = Rulebook::parse(&[rule("r", "live"), rule("s", "shadow")].concat()).unwrap();
        let mut limits = Limits::of(&book);
        limits.note("r", "e/a");
        for tenant in ["e/a", "e/b", "e/c"] {
            limits.note_perhaps("r", tenant);
            limits.note_perhaps("s", tenant);
        }
        let pause = Pause { rule: "r", tenants: 3, limit_tenants: 2, limit_seconds: 600 };
        assert_eq!((limits.would_pause(), limits.may_pause()), (vec![], vec![pause]));
        let said = limits.notes(true).join("");
        assert!(said.contains("may pause the rule r") && said.contains("up to 3 tenants"), "{said}");
        assert!(!said.contains("the rule s"), "a rule in shadow never pauses: {said}");
        limits.note("r", "e/b");
        limits.note("r", "e/c");
        assert_eq!((limits.would_pause().len(), limits.may_pause()), (1, vec![]));
    }
}
