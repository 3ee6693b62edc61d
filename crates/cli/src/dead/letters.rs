//! Dead letters as a person names and sees them.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use bus::Bus;
use bus::dead::DeadLetter;
use domain::config::Config;
use jiff::Timestamp;
use serde::Serialize;

use super::MOST;
use crate::explain;
use crate::output::{bold, clean, clean_block, dim, pretty_json, stamp};

/// Longest text that is taken for a sequence; a longer one is the beginning of an id.
const SEQUENCE_DIGITS: usize = 10;

/// How a person names a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Sequence(u64),
    /// Id of the event, or how it begins.
    Event(String),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let text = text.trim();
        let sequence = if text.len() <= SEQUENCE_DIGITS { text.parse().ok() } else { None };
        Ok(sequence.map_or_else(|| Self::Event(text.to_ascii_lowercase()), Self::Sequence))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequence(sequence) => write!(f, "{sequence}"),
            Self::Event(id) => write!(f, "of event {}", clean(id)),
        }
    }
}

/// The letters that are meant, newest first: one event may have died in several runs.
pub(super) async fn find(bus: &Bus, target: &Target) -> Result<Vec<DeadLetter>> {
    match target {
        Target::Sequence(sequence) => Ok(bus::dead::get(bus, *sequence).await?.into_iter().collect()),
        Target::Event(begin) => {
            let mut letters = bus::dead::list(bus, MOST).await?;
            letters.retain(|letter| letter.id().is_some_and(|id| id.as_str().starts_with(begin.as_str())));
            Ok(letters)
        }
    }
}

/// A dead letter without its secrets.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) sequence: u64,
    pub(super) id: Option<String>,
    pub(super) endpoint: String,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) tenant: String,
    pub(super) flow_id: String,
    pub(super) tap: String,
    pub(super) subject: String,
    pub(super) reason: String,
    pub(super) attempts: u64,
    pub(super) first_failed_at: Option<Timestamp>,
    pub(super) last_failed_at: Option<Timestamp>,
    pub(super) buried_at: Timestamp,
    pub(super) run: String,
    pub(super) worker: String,
    /// The run in which the event has ended well since, as the event log knows.
    pub(super) ended_well_in: Option<String>,
    /// Sequence of the event in `HOOKS`.
    pub(super) of_sequence: u64,
    /// As text, secrets taken out.
    pub(super) body: Option<String>,
}

impl View {
    pub(super) fn of(letter: &DeadLetter, config: &Config) -> Self {
        let readable =
            letter.envelope.as_ref().ok().map(|envelope| (envelope, explain::read(envelope, config)));
        let body = readable
            .as_ref()
            .map(|(envelope, event)| String::from_utf8_lossy(&event.storable_body(envelope).0).into_owned());
        let event = readable.map(|(_, event)| event);
        let text = |of: fn(&domain::event::Event) -> String| event.as_ref().map(of).unwrap_or_default();
        Self {
            sequence: letter.sequence,
            id: event.as_ref().map(|event| event.id.to_string()),
            endpoint: letter.endpoint().to_owned(),
            kind: text(|event| event.kind.as_str().to_owned()),
            status: text(|event| event.status.clone()),
            tenant: text(|event| event.tenant.clone()),
            flow_id: text(|event| event.flow_id.clone()),
            tap: text(|event| event.tap.clone()),
            subject: letter.subject.clone(),
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            first_failed_at: letter.first_failed_at,
            last_failed_at: letter.last_failed_at,
            buried_at: letter.buried_at,
            run: letter.run.clone(),
            worker: letter.worker.clone(),
            ended_well_in: None,
            of_sequence: letter.of_sequence,
            body,
        }
    }
}

/// One letter for a person.
pub(super) fn lines(letter: &DeadLetter, view: &View, now: Timestamp, for_person: bool) -> Vec<String> {
    let mut lines = vec![bold(format!("Dead letter {}", letter.sequence))];
    let time = |at: Option<Timestamp>| at.map(|at| stamp(at, now, for_person)).unwrap_or_default();
    let id = view.id.clone().unwrap_or_default();
    for (name, value) in [
        ("reason", view.reason.clone()),
        ("event", id.clone()),
        ("kind", view.kind.clone()),
        ("status", view.status.clone()),
        ("tenant", view.tenant.clone()),
        ("flow", view.flow_id.clone()),
        ("tap", view.tap.clone()),
        ("run", view.run.clone()),
        ("attempts", view.attempts.to_string()),
        ("first failed", time(view.first_failed_at)),
        ("last failed", time(view.last_failed_at)),
        ("buried", time(Some(view.buried_at))),
        ("worker", view.worker.clone()),
        ("subject", view.subject.clone()),
        ("sequence", format!("{} in HOOKS", view.of_sequence)),
    ] {
        if !value.is_empty() {
            lines.push(format!("  {}{}", dim(format!("{name:<14}")), clean(&value)));
        }
    }
    match (&letter.envelope, &view.body) {
        (Err(why), _) => lines.push(format!("  {}{}", dim(format!("{:<14}", "unreadable")), clean(why))),
        (Ok(_), Some(body)) => {
            let pretty = pretty_json(body);
            lines.extend([String::new(), bold("Body"), clean_block(pretty.as_deref().unwrap_or(body), "  ")]);
        }
        (Ok(_), None) => {}
    }
    if !id.is_empty() {
        lines.extend([String::new(), dim(format!("gluehook events show {id} has every attempt and step"))]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use domain::envelope::{Envelope, Source};
    use domain::names::EventId;

    use super::*;

    #[test]
    fn a_short_number_is_a_sequence_and_anything_else_an_id() {
        let target = |text: &str| text.parse::<Target>().unwrap();
        assert_eq!(target("17"), Target::Sequence(17));
        assert_eq!(target("012345678901"), Target::Event("012345678901".to_owned()));
        assert_eq!(target("AB12"), Target::Event("ab12".to_owned()));
    }

    #[test]
    fn a_letter_is_shown_without_secrets_and_control_characters() {
        let at: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let body = br#"{"job_id":"j","status":"JOB_FAILED","tenant":"a\u001b[2J","override_source_config":{"k":"s3cret"}}"#;
        let letter = DeadLetter {
            sequence: 5,
            subject: "dead.hotglue.job.JOB_FAILED.a".to_owned(),
            buried_at: at,
            reason: "Slack said\n\u{7}no".to_owned(),
            attempts: 11,
            first_failed_at: None,
            last_failed_at: Some(at),
            run: "live".to_owned(),
            worker: "w".to_owned(),
            of_sequence: 9,
            envelope: Ok(Envelope::unsealed_from_queue(
                EventId::from_text("ab12"),
                "hotglue".to_owned(),
                Source::Hotglue,
                at,
                "hooks.hotglue.job.JOB_FAILED.a".to_owned(),
                vec![],
                bytes::Bytes::from_static(body),
            )),
        };
        let view = View::of(&letter, &Config::default());
        let shown = lines(&letter, &view, at, true).join("\n");
        let shown = anstream::adapter::strip_str(&shown).to_string();
        assert!(shown.contains(r"Slack said\n\u{7}no") && shown.contains("9 in HOOKS"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains('\u{1b}'), "{shown}");
        assert!(!serde_json::to_string(&view).unwrap().contains("s3cret"));
    }
}
