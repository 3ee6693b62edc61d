//! Refused requests as a person and a program see them.

use std::collections::BTreeMap;

use bus::rejected::Quarantined;
use domain::redact;
use jiff::Timestamp;
use serde::Serialize;

use super::release::Keyring;
use crate::Common;
use crate::output::{
    self, Cell, Table, bold, clean, clean_block, count, dim, green, pretty_json, stamp, yellow,
};

/// A refused request without secrets.
#[derive(Debug, Serialize)]
pub(super) struct View {
    sequence: u64,
    endpoint: String,
    cause: String,
    received_at: Timestamp,
    headers: Vec<(String, String)>,
    /// Of the body as it came.
    bytes: usize,
    /// As text, secrets taken out.
    body: String,
    /// Whether the secrets of today prove it.
    proven_now: bool,
    /// Why not, if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
}

impl View {
    pub(super) fn of(quarantined: &Quarantined, keyring: &Keyring) -> Self {
        let request = &quarantined.request;
        let proven = keyring.prove(request);
        let hide = |(name, value): &(String, String)| (name.clone(), keyring.hide(value));
        let body = redact::body(&request.body);
        Self {
            sequence: quarantined.sequence,
            endpoint: request.endpoint.clone(),
            cause: request.cause.clone(),
            received_at: request.received_at,
            headers: request.headers.iter().map(hide).collect(),
            bytes: request.body.len(),
            body: keyring.hide(&String::from_utf8_lossy(&body)),
            proven_now: proven.is_ok(),
            why_not: proven.err(),
        }
    }

    pub(super) fn lines(&self, now: Timestamp, for_person: bool) -> Vec<String> {
        let mut lines = vec![bold(format!("Refused request {}", self.sequence))];
        let bytes = format!("{} bytes", self.bytes);
        for (name, value) in [
            ("endpoint", self.endpoint.clone()),
            ("cause", self.cause.clone()),
            ("received", stamp(self.received_at, now, for_person)),
            ("body", bytes),
        ] {
            lines.push(format!("  {}{}", dim(format!("{name:<10}")), clean(&value)));
        }
        let today = match &self.why_not {
            None => green("proven: gluehook rejected release makes it an event"),
            Some(why) => yellow(format!("still refused: {}", clean(why))),
        };
        lines.push(format!("  {}{today}", dim(format!("{:<10}", "by now"))));
        lines.extend([String::new(), bold("Headers")]);
        for (name, value) in &self.headers {
            lines.push(format!("  {} {}", dim(format!("{}:", clean(name))), clean(value)));
        }
        let pretty = pretty_json(&self.body);
        let body = clean_block(pretty.as_deref().unwrap_or(&self.body), "  ");
        lines.extend([String::new(), bold("Body"), body]);
        lines
    }
}

pub(super) fn table(found: &[Quarantined], now: Timestamp) -> Table {
    let mut table = Table::new(&["seq", "received", "~endpoint", "~cause", "bytes"]);
    for one in found {
        table.row(cells(one, now).into_iter().chain([Cell::number(one.request.body.len())]));
    }
    table
}

/// What verifying again came to, request by request.
pub(super) fn verified(found: &[Quarantined], stay: &[(u64, String)], now: Timestamp) -> Table {
    let mut table = Table::new(&["seq", "received", "~endpoint", "~refused for", "~by now"]);
    for one in found {
        let why = stay.iter().find(|(sequence, _)| *sequence == one.sequence);
        let today = why.map_or_else(|| Cell::new("proven").green(), |(_, why)| Cell::new(why).yellow());
        table.row(cells(one, now).into_iter().chain([today]));
    }
    table
}

fn cells(one: &Quarantined, now: Timestamp) -> [Cell; 4] {
    [
        Cell::number(one.sequence),
        Cell::new(stamp(one.request.received_at, now, output::on_terminal())),
        Cell::new(&one.request.endpoint),
        Cell::new(&one.request.cause),
    ]
}

/// How many have the same endpoint and cause.
pub(super) fn counts(common: &Common, found: &[Quarantined], now: Timestamp) -> std::io::Result<()> {
    let mut counts = BTreeMap::<_, (usize, Timestamp)>::new();
    for one in found {
        let at = one.request.received_at;
        let count = counts.entry((&one.request.endpoint, &one.request.cause)).or_insert((0, at));
        *count = (count.0 + 1, count.1.max(at));
    }
    if common.json {
        let counts: Vec<_> = counts
            .iter()
            .map(|((endpoint, cause), (count, newest))| {
                serde_json::json!({"endpoint": endpoint, "cause": cause, "count": count, "newest": newest})
            })
            .collect();
        return output::print_json(&serde_json::json!({"count": found.len(), "by": counts}));
    }
    output::line(count(found.len(), "refused request"))?;
    if counts.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["count", "~endpoint", "~cause", "newest"]);
    for ((endpoint, cause), (count, newest)) in counts {
        table.row([
            Cell::number(count),
            Cell::new(endpoint),
            Cell::new(cause),
            Cell::new(stamp(newest, now, output::on_terminal())),
        ]);
    }
    table.print()
}

#[cfg(test)]
mod tests {
    use bus::Rejected;

    use super::*;

    #[test]
    fn a_request_is_shown_without_secrets_and_control_characters() {
        let at: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let body = br#"{"job_id":"j","tenant":"a\u001b[2J","override_source_config":{"k":"s3cret"}}"#;
        let quarantined = Quarantined {
            sequence: 5,
            request: Rejected {
                endpoint: "hotglue".to_owned(),
                cause: "mismatch".to_owned(),
                received_at: at,
                headers: vec![("x-hub-signature".to_owned(), "ab\u{7}".to_owned())],
                body: bytes::Bytes::from_static(body),
            },
        };
        let view = View::of(&quarantined, &Keyring::default());
        let shown = view.lines(at, true).join("\n");
        let shown = anstream::adapter::strip_str(&shown).to_string();
        assert!(shown.contains("x-hub-signature: ab\\u{7}") && shown.contains("still refused"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains('\u{1b}'), "{shown}");
        assert!(!serde_json::to_string(&view).unwrap().contains("s3cret"));
    }
}
