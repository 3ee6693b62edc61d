//! Which events: the flags that listings, following and replays share.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use domain::event::Kind;
use domain::journal::{Filter, Outcome};
use jiff::Timestamp;

use crate::output::When;

/// Narrows by what one searches events for. All that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Which events")]
pub(crate) struct Select {
    /// Of this tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,

    /// Of this flow
    #[arg(long, value_name = "FLOW_ID")]
    pub(crate) flow: Option<String>,

    /// Of this tap
    #[arg(long)]
    pub(crate) tap: Option<String>,

    /// Of this job
    #[arg(long, value_name = "JOB_ID")]
    pub(crate) job: Option<String>,

    /// Of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
    pub(crate) kind: Option<String>,

    /// With this status as sent, such as `JOB_FAILED`
    #[arg(long)]
    pub(crate) status: Option<String>,

    /// Of which this became
    #[arg(long, value_parser = outcomes())]
    pub(crate) outcome: Option<Outcome>,

    /// That this rule took
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: Option<String>,

    /// With this in the error text
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Option<String>,

    /// With this in what kept us from it, or in what we can't be sure of. The column WHY of the listing shows that; where there
    /// is none, the error that the source sent, which --error finds
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,

    /// That came in at this endpoint
    #[arg(long, value_name = "NAME")]
    pub(crate) endpoint: Option<String>,

    /// Of this hotglue environment
    #[arg(long, value_name = "ENV_ID")]
    pub(crate) env: Option<String>,

    /// Received since: a length of time such as 2h, or a time such as 2026-03-01T14:30:00Z
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<When>,

    /// Received before; as --since
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<When>,
}

fn outcomes() -> impl TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(Outcome::ALL.map(Outcome::as_str))
        .map(|text| Outcome::from_text(&text).unwrap_or(Outcome::Open))
}

impl Select {
    /// Was nothing given?
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn filter(&self, now: Timestamp) -> Filter {
        Filter {
            endpoint: self.endpoint.clone(),
            tenant: self.tenant.clone(),
            env_id: self.env.clone(),
            flow_id: self.flow.clone(),
            tap: self.tap.clone(),
            job_id: self.job.clone(),
            kind: self.kind.clone(),
            status: self.status.clone(),
            outcome: self.outcome,
            rule: self.rule.clone(),
            error: self.error.clone(),
            why: self.why.clone(),
            since: self.since.map(|when| when.at(now)),
            until: self.until.map(|when| when.at(now)),
            ..Filter::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        select: Select,
    }

    fn select(flags: &[&str]) -> Result<Select, clap::Error> {
        Program::try_parse_from([&["p"], flags].concat()).map(|program| program.select)
    }

    #[test]
    fn without_flags_nothing_narrows() {
        let none = select(&[]).unwrap();
        assert!(none.is_empty());
        assert_eq!(none.filter(Timestamp::UNIX_EPOCH), Filter::default());
    }

    #[test]
    fn every_flag_narrows() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let flags = [
            "--tenant=a",
            "--flow=b",
            "--tap=c",
            "--job=d",
            "--kind=job",
            "--status=JOB_FAILED",
            "--outcome=no_rule",
            "--rule=e",
            "--error=401",
            "--why=timeout",
            "--endpoint=f",
            "--env=g",
            "--since=2h",
            "--until=2026-03-02T11:00:00Z",
        ];
        let text = |text: &str| Some(text.to_owned());
        let expected = Filter {
            endpoint: text("f"),
            tenant: text("a"),
            env_id: text("g"),
            flow_id: text("b"),
            tap: text("c"),
            job_id: text("d"),
            kind: text("job"),
            status: text("JOB_FAILED"),
            outcome: Some(Outcome::NoRule),
            rule: text("e"),
            error: text("401"),
            why: text("timeout"),
            since: Some("2026-03-02T10:00:00Z".parse().unwrap()),
            until: Some("2026-03-02T11:00:00Z".parse().unwrap()),
            from_sequence: None,
            to_sequence: None,
            before_row: None,
            after_row: None,
        };
        assert_eq!(select(&flags).unwrap().filter(now), expected);
    }

    #[test]
    fn words_that_are_none_are_wrong_usage() {
        for flag in ["--kind=jobs", "--outcome=lost", "--since=soon"] {
            assert_eq!(select(&[flag]).unwrap_err().exit_code(), 2, "{flag}");
        }
    }
}
