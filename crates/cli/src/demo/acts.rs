//! What hotglue posts in the demo, in the order in which it would, and what must come of it.

use domain::journal::Outcome;
use sandbox::webhook;

/// The secret that the demo's webhooks are signed with.
pub(super) const SECRET: &str = "demo-webhook-secret";

/// One post.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) title: &'static str,
    pub(super) body: String,
    /// Signed with another secret than ingest knows?
    pub(super) forged: bool,
    pub(super) must: Must,
}

/// What must come of a post.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Must {
    /// Stored, processed to this end, and taken by exactly these rules.
    Become(Outcome, &'static [&'static str]),
    /// Recognised as a repeat.
    Repeat,
    /// Not believed.
    Refuse,
}

pub(super) fn all() -> Vec<Act> {
    let signed = |title, body, must| Act { title, body, forged: false, must };
    let first_sync = webhook::JOB.to_owned();
    vec![
        signed(
            "hotglue has discovered the fields of a tenant's Salesforce (the documented discover webhook)",
            webhook::DISCOVER.to_owned(),
            Must::Become(Outcome::NoRule, &[]),
        ),
        signed(
            "Tenant 1414_1 links Salesforce (the documented connection webhook)",
            webhook::connection(|v| v["connector"] = "salesforce".into()),
            Must::Become(Outcome::Done, &["link-made"]),
        ),
        signed(
            "Its first full sync is done (the documented job webhook)",
            first_sync.clone(),
            Must::Become(Outcome::Done, &["first-sync-done"]),
        ),
        signed("hotglue posts the same once more", first_sync, Must::Repeat),
        signed(
            "A job in the form of 2020, which named no kind of sync",
            webhook::JOB_GEN1.to_owned(),
            Must::Become(Outcome::NoRule, &[]),
        ),
        signed(
            "A sync fails: Salesforce does not answer",
            webhook::FAILED_JOB.to_owned(),
            Must::Become(Outcome::Done, &["job-failed"]),
        ),
        signed(
            "Exact Online refuses the token of tenant 2077_1 (401)",
            webhook::EXACT_401.to_owned(),
            Must::Become(Outcome::Done, &["exact-unauthorized"]),
        ),
        signed(
            "A job of 3120_1 completes, but Exact Online has refused two of its buy orders",
            webhook::BUY_ORDERS.to_owned(),
            Must::Become(Outcome::Done, &["exact-buy-orders"]),
        ),
        signed(
            "A job of 98_1 completes, but the tenant's config lacks a password and an account",
            job_of_98(),
            Must::Become(Outcome::Done, &["config-invalid"]),
        ),
        Act {
            title: "Someone who does not know the secret posts a webhook",
            body: webhook::job(|v| v["tenant"] = "2077_1".into()),
            forged: true,
            must: Must::Refuse,
        },
    ]
}

fn job_of_98() -> String {
    webhook::job(|v| {
        for (name, value) in [
            ("job_id", "sH0p1"),
            ("job_name", "JClkCC05S-sH0p1"),
            ("tenant", "98_1"),
            ("started_by", "98_1"),
            ("tap", "shopify"),
            ("sync_type", "incremental_sync"),
        ] {
            v[name] = value.into();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_shipped_rulebook_has_its_act_but_the_marked_one() {
        let acts = all();
        let shown: Vec<&str> = acts
            .iter()
            .filter_map(|act| match &act.must {
                Must::Become(_, rules) => Some(*rules),
                Must::Repeat | Must::Refuse => None,
            })
            .flatten()
            .copied()
            .collect();
        let rulebook = domain::rulebook::Rulebook::built_in();
        let missing: Vec<_> = rulebook
            .rules()
            .iter()
            .map(|rule| rule.name.as_str())
            .filter(|name| !shown.contains(name))
            .collect();
        assert_eq!(missing, ["marked-incremental"]);
    }
}
