//! Rules with a limit that a replay would pause.

use std::collections::{BTreeMap, BTreeSet};

use domain::rulebook::{Limit, Rulebook};
use serde::Serialize;

use crate::output::{clean, count, yellow};

/// Rules with a limit, and the tenants for whom they would act.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<String, (Limit, BTreeSet<String>)>);

/// A rule that the replay would pause.
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
        let rules = rulebook.rules().iter();
        Self(rules.filter_map(|rule| Some((rule.name.clone(), (rule.limit?, BTreeSet::new())))).collect())
    }

    /// A rule acts for a tenant.
    pub(super) fn note(&mut self, rule: &str, tenant: &str) {
        if let Some((_, tenants)) = self.0.get_mut(rule) {
            tenants.insert(tenant.to_owned());
        }
    }

    /// Rules that would act for more tenants than they may: a replay comes all at once.
    pub(super) fn would_pause(&self) -> Vec<Pause<'_>> {
        let over = self.0.iter().filter(|(_, (limit, tenants))| tenants.len() as u64 > limit.tenants.into());
        over.map(|(rule, (limit, tenants))| Pause {
            rule,
            tenants: tenants.len(),
            limit_tenants: limit.tenants,
            limit_seconds: limit.per.as_secs(),
        })
        .collect()
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
        self.would_pause().into_iter().map(note).collect()
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
}
