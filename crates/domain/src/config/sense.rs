//! What is wrong with a configuration that can be read: settings that contradict each other, or mean nothing.

use std::collections::BTreeMap;

use super::place::{self, At};
use super::{Complaint, Config, cron};
use crate::signature::Proof;

impl Config {
    pub(super) fn complaints(&self, text: &str) -> Vec<Complaint> {
        let mut found = Vec::new();
        let mut say = |path: &[At<'_>], sentence: String| {
            found.push(match place::offset(text, path) {
                Some(offset) => Complaint::at_offset(text, offset, sentence),
                None => Complaint::general(sentence),
            });
        };
        let mut seen = BTreeMap::new();
        for (number, endpoint) in self.endpoint.iter().enumerate() {
            let at = |key| [At::Key("endpoint"), At::Item(number), At::Key(key)];
            let name = &endpoint.name;
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            {
                say(
                    &at("name"),
                    format!("endpoint `{name}`: a name is made of lower-case letters, digits and `-`"),
                );
            }
            if seen.insert(name, ()).is_some() {
                say(&at("name"), format!("endpoint `{name}` is there twice: give one of them another name"));
            }
            if endpoint.max_body == 0 {
                say(
                    &at("max_body"),
                    format!(
                        "endpoint `{name}`: max_body = \"0\" takes no body at all: leave it out for \"1MiB\", or write another size"
                    ),
                );
            }
            match endpoint.proof() {
                Proof::None if !endpoint.secrets.is_empty() => say(
                    &at("proof"),
                    format!(
                        "endpoint `{name}` has secrets and proof = \"none\", which verifies nothing: leave one of them out"
                    ),
                ),
                Proof::None => {}
                Proof::Hmac { .. } if endpoint.secrets.is_empty() => say(
                    &at("name"),
                    format!(
                        "endpoint `{name}` has no secrets: add secrets = [\"env:NAME\"], or proof = \"none\" to take everything unverified"
                    ),
                ),
                Proof::Hmac { .. } => {}
            }
        }
        for (i, environment) in self.hotglue.environment.iter().enumerate() {
            let at = |key| [At::Key("hotglue"), At::Key("environment"), At::Item(i), At::Key(key)];
            let id = &environment.env_id;
            if self.hotglue.environment[..i].iter().any(|other| other.env_id == *id) {
                say(&at("env_id"), format!("the hotglue environment `{id}` is there twice: leave one"));
            }
            if !environment.base_url.starts_with("http://") && !environment.base_url.starts_with("https://") {
                say(
                    &at("base_url"),
                    format!("the hotglue environment `{id}`: base_url must begin with http:// or https://"),
                );
            }
        }
        for (i, flow) in self.hotglue.flow.iter().enumerate() {
            if self.hotglue.flow[..i].iter().any(|other| other.flow_id == flow.flow_id) {
                let at = [At::Key("hotglue"), At::Key("flow"), At::Item(i), At::Key("flow_id")];
                say(&at, format!("the flow `{}` is there twice: leave one", flow.flow_id));
            }
        }
        for Scheduled { flow, path, expression } in self.schedules() {
            if !expression.starts_with("cron(") || !expression.ends_with(')') {
                say(
                    &path,
                    format!(
                        "flow `{flow}`: the schedule `{expression}` must be written as cron(0 */4 * * *)"
                    ),
                );
            }
        }
        if let Some(slack) = &self.slack {
            match (&slack.token, &slack.webhook_url) {
                (None, None) => say(&[At::Key("slack")], "[slack] needs a token or a webhook_url".to_owned()),
                (Some(_), Some(_)) => say(
                    &[At::Key("slack"), At::Key("webhook_url")],
                    "[slack] has a token and a webhook_url: leave one".to_owned(),
                ),
                (Some(_), None) if slack.channel.is_none() => {
                    say(
                        &[At::Key("slack")],
                        "[slack] needs a channel, such as channel = \"#hotglue-webhooks\"".to_owned(),
                    );
                }
                _ => {}
            }
        }
        if self.jetstream.duplicate_window > self.jetstream.max_age {
            say(
                &[At::Key("jetstream"), At::Key("duplicate_window")],
                "[jetstream] duplicate_window can't be longer than max_age".to_owned(),
            );
        }
        if self.event_log.keep < self.jetstream.max_age {
            say(&[At::Key("event_log"), At::Key("keep")], "[event_log] keep can't be shorter than max_age in [jetstream]: a dead letter whose ledger was forgotten would be acted upon once more".to_owned());
        }
        if self.retry.attempts == 0 {
            say(&[At::Key("retry"), At::Key("attempts")], "[retry] attempts must be at least 1".to_owned());
        }
        found
    }

    /// What can't or hardly be meant by the schedules: the flow with the setting, and what is to be said. It refuses nothing,
    /// because hotglue may take more than it documents.
    #[must_use]
    pub fn doubtful_schedules(&self) -> Vec<(String, cron::Doubt)> {
        let doubt = |Scheduled { flow, path, expression }: Scheduled<'_>| {
            let key = path.iter().rev().find_map(|step| match step {
                At::Key(key) => Some(*key),
                At::Item(_) => None,
            });
            let said = |said: String| format!("`{expression}`: {said}");
            let doubt = match cron::look(expression).err()? {
                cron::Doubt::Wrong(sentence) => cron::Doubt::Wrong(said(sentence)),
                cron::Doubt::Unusual(sentence) => cron::Doubt::Unusual(said(sentence)),
            };
            Some((format!("{} of flow {flow}", key.unwrap_or_default()), doubt))
        };
        self.schedules().into_iter().filter_map(doubt).collect()
    }

    fn schedules(&self) -> Vec<Scheduled<'_>> {
        let flows = self.hotglue.flow.iter().enumerate().map(|(number, flow)| {
            let path = vec![At::Key("hotglue"), At::Key("flow"), At::Item(number)];
            (flow.flow_id.as_str(), path, &flow.schedule, &flow.target_schedule)
        });
        let defaults = &self.hotglue.defaults;
        let path = vec![At::Key("hotglue"), At::Key("defaults")];
        let all = flows.chain([("defaults", path, &defaults.schedule, &defaults.target_schedule)]);
        all.flat_map(|(flow, path, schedule, target)| {
            [("schedule", schedule), ("target_schedule", target)].into_iter().filter_map(
                move |(key, given)| {
                    let expression = given.as_deref().filter(|text| !text.is_empty())?;
                    Some(Scheduled { flow, path: [path.clone(), vec![At::Key(key)]].concat(), expression })
                },
            )
        })
        .collect()
    }
}

/// A schedule that is written in the file.
struct Scheduled<'c> {
    flow: &'c str,
    path: Vec<At<'c>>,
    expression: &'c str,
}
