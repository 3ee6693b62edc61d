//! Which dead letters: the flags that listing, retrying and discarding share.

use anyhow::{Context as _, Result};
use bus::Bus;
use bus::dead::DeadLetter;
use clap::builder::PossibleValuesParser;
use domain::config::Config;
use domain::event::Kind;
use jiff::Timestamp;
use store::{Access, Store};

use super::MOST;
use super::letters::View;
use crate::Common;
use crate::events::open_log;
use crate::output::When;

/// Narrows by what one looks for. All that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Which dead letters")]
pub(crate) struct Narrow {
    /// Of this tenant
    #[arg(long)]
    tenant: Option<String>,

    /// Of this flow
    #[arg(long, value_name = "FLOW_ID")]
    flow: Option<String>,

    /// Of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
    kind: Option<String>,

    /// With this status as sent, such as `JOB_FAILED`
    #[arg(long)]
    status: Option<String>,

    /// That came in at this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,

    /// That this rule took, as the event log knows
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,

    /// That died in this run: `live`, or that of a replay
    #[arg(long, value_name = "RUN")]
    run: Option<String>,

    /// With this in the reason; case is ignored
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Given up since: a length of time such as 2h, or a time such as 2026-03-01T14:30:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// Given up before; as --since
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
}

impl Narrow {
    /// Was nothing given?
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The letters that are meant, newest first, at most `limit`.
    pub(super) async fn find(
        &self,
        common: &Common,
        bus: &Bus,
        config: &Config,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<DeadLetter>> {
        if self.is_empty() {
            return Ok(bus::dead::list(bus, limit).await?);
        }
        let log = match &self.rule {
            Some(_) => {
                Some(open_log(common, Access::Reader).await.context("only the event log knows rules")?)
            }
            None => None,
        };
        let mut found = Vec::new();
        for letter in bus::dead::list(bus, MOST).await? {
            if self.takes(&letter, &View::of(&letter, config), now)
                && self.of_rule(&letter, log.as_ref()).await?
            {
                found.push(letter);
            }
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    fn takes(&self, letter: &DeadLetter, view: &View, now: Timestamp) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        let lower = letter.reason.to_lowercase();
        is(&self.tenant, &view.tenant)
            && is(&self.flow, &view.flow_id)
            && is(&self.kind, &view.kind)
            && is(&self.status, &view.status)
            && is(&self.endpoint, &view.endpoint)
            && is(&self.run, &view.run)
            && self.reason.as_ref().is_none_or(|reason| lower.contains(&reason.to_lowercase()))
            && self.since.is_none_or(|since| letter.buried_at >= since.at(now))
            && self.until.is_none_or(|until| letter.buried_at < until.at(now))
    }

    async fn of_rule(&self, letter: &DeadLetter, log: Option<&Store>) -> Result<bool> {
        let (Some(rule), Some(log)) = (&self.rule, log) else { return Ok(true) };
        let Some(id) = letter.id() else { return Ok(false) };
        Ok(log.event(id.as_str()).await?.is_some_and(|record| record.row.rules.contains(rule)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(reason: &str) -> DeadLetter {
        DeadLetter {
            sequence: 5,
            subject: "dead.hotglue.job.JOB_FAILED.a".to_owned(),
            buried_at: "2026-03-02T12:00:00Z".parse().unwrap(),
            reason: reason.to_owned(),
            attempts: 11,
            first_failed_at: None,
            last_failed_at: None,
            run: "live".to_owned(),
            worker: "w".to_owned(),
            of_sequence: 9,
            envelope: Err("x".to_owned()),
        }
    }

    #[test]
    fn each_flag_narrows_and_all_must_hold() {
        let letter = letter("Slack answered 503");
        let view = View::of(&letter, &Config::default());
        let now = "2026-03-02T13:00:00Z".parse().unwrap();
        let takes = |narrow: Narrow| narrow.takes(&letter, &view, now);
        let text = |text: &str| Some(text.to_owned());
        assert!(takes(Narrow::default()));
        assert!(takes(Narrow { reason: text("SLACK"), endpoint: text("hotglue"), ..Narrow::default() }));
        assert!(takes(Narrow { since: "2h".parse().ok(), run: text("live"), ..Narrow::default() }));
        for other in [
            Narrow { reason: text("hotglue"), ..Narrow::default() },
            Narrow { endpoint: text("other"), reason: text("slack"), ..Narrow::default() },
            Narrow { since: "30m".parse().ok(), ..Narrow::default() },
            Narrow { until: "2h".parse().ok(), ..Narrow::default() },
            Narrow { tenant: text("a"), ..Narrow::default() },
        ] {
            assert!(!takes(other.clone()), "{other:?}");
        }
    }
}
