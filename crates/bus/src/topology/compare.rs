//! Live against expected, field by field. Only what Gluehook relies on is compared: tags, placement and the like are
//! the operator's.

use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, pull};
use async_nats::jetstream::stream;

use super::{Difference, StreamName};

/// What a difference means to the events that are being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// One of them would be lost or refused, or acknowledged before it is safe: nothing may be sent to the stream as it is.
    Events,
    /// None: what is acknowledged is stored as promised. Something else is not as it was configured.
    Nothing,
}

pub(super) fn streams(name: StreamName, live: &stream::Config, expected: &stream::Config) -> Vec<Difference> {
    let mut found = Found::new(format!("stream {}", name.name()));
    // Received events go to this one alone; work on what the others hold can wait until someone has mended them.
    let events = if name == StreamName::Hooks { Harm::Events } else { Harm::Nothing };
    let uncovered = expected.subjects.iter().any(|ours| !live.subjects.iter().any(|live| covers(live, ours)));
    found.harm = if uncovered { events } else { Harm::Nothing };
    found.compare("subjects", live.subjects.join(", "), expected.subjects.join(", "));
    found.harm = events;
    found.compare("retention", word(live.retention), word(expected.retention));
    found.compare("storage", word(live.storage), word(expected.storage));
    found.compare("discard", word(live.discard), word(expected.discard));
    // Even of a stream that discards nothing old, this limit takes out the oldest of its subject.
    found.compare(
        "max_msgs_per_subject",
        limit(live.max_messages_per_subject),
        limit(expected.max_messages_per_subject),
    );
    found.compare("no_ack", live.no_ack.to_string(), expected.no_ack.to_string());
    found.compare("sealed", live.sealed.to_string(), expected.sealed.to_string());
    // Asynchronous, it acknowledges what is not written yet.
    found.compare(
        "persist_mode",
        live.persist_mode.map_or_else(|| "default".to_owned(), word),
        expected.persist_mode.map_or_else(|| "default".to_owned(), word),
    );
    found.compare(
        "subject_transform",
        live.subject_transform.is_some().to_string(),
        expected.subject_transform.is_some().to_string(),
    );
    // A limit that is reached refuses, and that is seen when it does.
    found.harm = Harm::Nothing;
    found.compare("max_age", span(live.max_age), span(expected.max_age));
    found.compare("max_bytes", limit(live.max_bytes), limit(expected.max_bytes));
    found.compare("max_msgs", limit(live.max_messages), limit(expected.max_messages));
    found.compare(
        "max_msg_size",
        limit(live.max_message_size.into()),
        limit(expected.max_message_size.into()),
    );
    found.compare("duplicate_window", span(live.duplicate_window), span(expected.duplicate_window));
    found.compare("replicas", live.num_replicas.to_string(), expected.num_replicas.to_string());
    found.compare("allow_direct", live.allow_direct.to_string(), expected.allow_direct.to_string());
    // What is called off, sent back or released leaves these streams; of `HOOKS` nothing is ever taken out.
    if name != StreamName::Hooks {
        found.compare("deny_delete", live.deny_delete.to_string(), expected.deny_delete.to_string());
    }
    found.compare("max_consumers", limit(live.max_consumers.into()), limit(expected.max_consumers.into()));
    found.differences
}

/// A consumer that someone has paused gives nothing, and says so nowhere else.
pub(super) fn paused(name: &str, remaining: Option<Duration>) -> Option<Difference> {
    let whole = Duration::from_secs(remaining?.as_secs().max(1));
    let text = format!(
        "consumer {name} is paused for {} more, so that no event is worked on: `nats consumer resume` lets it go on",
        span(whole)
    );
    Some(Difference { harm: Harm::Nothing, passing: true, text })
}

pub(super) fn consumers(name: &str, live: &consumer::Config, expected: &pull::Config) -> Vec<Difference> {
    let mut found = Found::new(format!("consumer {name}"));
    let kind = if live.deliver_subject.is_some() { "push" } else { "pull" };
    found.compare("kind", kind.to_owned(), "pull".to_owned());
    found.compare("deliver_policy", word(live.deliver_policy), word(expected.deliver_policy));
    found.compare("ack_policy", word(live.ack_policy), word(expected.ack_policy));
    found.compare("ack_wait", span(live.ack_wait), span(expected.ack_wait));
    found.compare("max_deliver", limit(live.max_deliver), limit(expected.max_deliver));
    found.compare("max_ack_pending", limit(live.max_ack_pending), limit(expected.max_ack_pending));
    found.compare("backoff", format!("{:?}", live.backoff), format!("{:?}", expected.backoff));
    let filters = |one: &str, many: &[String]| {
        let all: Vec<&str> =
            many.iter().map(String::as_str).chain([one]).filter(|text| !text.is_empty()).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    found.compare(
        "filter",
        filters(&live.filter_subject, &live.filter_subjects),
        filters(&expected.filter_subject, &expected.filter_subjects),
    );
    found.compare("headers_only", live.headers_only.to_string(), expected.headers_only.to_string());
    found.compare("max_batch", limit(live.max_batch), limit(expected.max_batch));
    // A consumer that is forgotten while no worker runs would begin anew.
    found.compare("inactive_threshold", span(live.inactive_threshold), span(expected.inactive_threshold));
    found.compare("replicas", replicas(live.num_replicas), replicas(expected.num_replicas));
    found.compare("max_expires", span(live.max_expires), span(expected.max_expires));
    found.differences
}

/// The live configuration with everything that is compared as it must be: what the operator added stays.
pub(super) fn merged(live: stream::Config, expected: &stream::Config) -> stream::Config {
    let expected = expected.clone();
    stream::Config {
        subjects: expected.subjects,
        retention: expected.retention,
        storage: expected.storage,
        discard: expected.discard,
        max_age: expected.max_age,
        max_bytes: expected.max_bytes,
        max_messages: expected.max_messages,
        max_messages_per_subject: expected.max_messages_per_subject,
        max_message_size: expected.max_message_size,
        duplicate_window: expected.duplicate_window,
        num_replicas: expected.num_replicas,
        allow_direct: expected.allow_direct,
        no_ack: expected.no_ack,
        sealed: expected.sealed,
        persist_mode: expected.persist_mode,
        subject_transform: expected.subject_transform,
        ..live
    }
}

/// Does the subject `wide`, which may hold wildcards, take every subject that `narrow` takes?
fn covers(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('.');
    for token in wide.split('.') {
        match (token, narrow.next()) {
            (">", Some(_)) => return true,
            ("*", Some(theirs)) if theirs != ">" => {}
            (token, Some(theirs)) if token == theirs => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

struct Found {
    whose: String,
    /// Of the fields that are compared next.
    harm: Harm,
    differences: Vec<Difference>,
}

impl Found {
    fn new(whose: String) -> Self {
        Self { whose, harm: Harm::Nothing, differences: Vec::new() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the callers make the texts for this call")]
    fn compare(&mut self, field: &str, live: String, expected: String) {
        if live != expected {
            let text = format!("{}: {field} is {live}, expected {expected}", self.whose);
            self.differences.push(Difference { harm: self.harm, passing: false, text });
        }
    }
}

/// The word for a variant.
fn word(variant: impl Debug) -> String {
    format!("{variant:?}").to_lowercase()
}

/// A limit; 0 and -1 both say that there is none.
fn limit(number: i64) -> String {
    if number <= 0 { "unlimited".to_owned() } else { number.to_string() }
}

/// Of a consumer; none is as many as its stream has.
fn replicas(number: usize) -> String {
    if number == 0 { "those of the stream".to_owned() } else { number.to_string() }
}

/// A length of time in the largest unit that keeps it whole.
fn span(length: Duration) -> String {
    let millis = length.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis > 0 && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    if millis == 0 { "none".to_owned() } else { format!("{millis}ms") }
}

#[cfg(test)]
mod tests {
    use domain::config::Jetstream;

    use super::super::{expected, expected_consumer};
    use super::*;

    fn texts(differences: &[Difference]) -> Vec<String> {
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stream_equals_itself_and_its_merger() {
        for (name, config) in expected(&Jetstream::default()) {
            assert_eq!(texts(&streams(name, &config, &config)), Vec::<String>::new());
            let mut live = stream::Config { name: config.name.clone(), ..Default::default() };
            live.metadata.insert("owner".into(), "team".into());
            let merged = merged(live, &config);
            assert_eq!(texts(&streams(name, &merged, &config)), Vec::<String>::new());
            assert_eq!(merged.metadata.len(), 1);
        }
    }

    #[test]
    fn each_difference_is_a_sentence() {
        let (name, config) = expected(&Jetstream::default()).remove(0);
        let live = stream::Config {
            discard: stream::DiscardPolicy::Old,
            max_age: Duration::from_secs(3_600),
            max_bytes: 1_024,
            ..config.clone()
        };
        assert_eq!(
            texts(&streams(name, &live, &config)),
            [
                "stream HOOKS: discard is old, expected new",
                "stream HOOKS: max_age is 1h, expected 30d",
                "stream HOOKS: max_bytes is 1024, expected unlimited",
            ]
        );
    }

    #[test]
    fn only_what_would_lose_or_refuse_an_event_does_harm_to_events() {
        let all = expected(&Jetstream::default());
        let (name, config) = all[0].clone();
        let harm = |change: fn(&mut stream::Config)| {
            let mut live = config.clone();
            change(&mut live);
            let found = streams(name, &live, &config);
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].harm()
        };
        let harmful: [fn(&mut stream::Config); 10] = [
            |live| live.subjects = vec!["hooks.hotglue.>".into()],
            |live| live.subjects = vec!["hooks.*".into()],
            |live| live.retention = stream::RetentionPolicy::WorkQueue,
            |live| live.retention = stream::RetentionPolicy::Interest,
            |live| live.storage = stream::StorageType::Memory,
            |live| live.discard = stream::DiscardPolicy::Old,
            |live| live.max_messages_per_subject = 1,
            |live| live.no_ack = true,
            |live| live.sealed = true,
            |live| {
                live.subject_transform =
                    Some(stream::SubjectTransform { source: "hooks.>".into(), destination: "other.>".into() })
            },
        ];
        assert!(harmful.into_iter().all(|change| harm(change) == Harm::Events));
        let harmless: [fn(&mut stream::Config); 7] = [
            |live| live.subjects.push("more.>".into()),
            |live| live.subjects = vec![">".into()],
            |live| live.max_bytes = 300 << 20,
            |live| live.max_age = Duration::from_secs(3_600),
            |live| live.duplicate_window = Duration::from_secs(60),
            |live| live.num_replicas = 3,
            |live| live.allow_direct = false,
        ];
        assert!(harmless.into_iter().all(|change| harm(change) == Harm::Nothing));
        for (name, config) in &all[1..] {
            let live = stream::Config { no_ack: true, subjects: vec![], ..config.clone() };
            let found = streams(*name, &live, config);
            assert!(found.len() == 2 && found.iter().all(|found| found.harm() == Harm::Nothing), "{found:?}");
        }
    }

    #[test]
    fn a_consumer_that_backs_off_is_told() {
        use async_nats::jetstream::consumer::IntoConsumerConfig as _;
        let expected = expected_consumer("worker", &Jetstream::default());
        let same = expected.clone().into_consumer_config();
        assert_eq!(texts(&consumers("worker", &same, &expected)), Vec::<String>::new());
        let live = consumer::Config { backoff: vec![Duration::from_secs(1)], max_ack_pending: 10, ..same };
        assert_eq!(
            texts(&consumers("worker", &live, &expected)),
            [
                "consumer worker: max_ack_pending is 10, expected 20000",
                "consumer worker: backoff is [1s], expected []",
            ]
        );
    }
}
