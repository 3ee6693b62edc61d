//! The metrics of all processes: the one table [`METRICS`], and a typed handle for each process.
//!
//! Labels are names of the configuration (endpoint, rule) or words of the program; never a tenant, and never
//! anything a stranger sends, or one could fill our memory with series.

mod handles;

pub use handles::{IngestMetrics, Outcome, SpoolFigures, WorkerMetrics};
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
pub use prometheus_client::registry::Registry;

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; begins at 0 with the process.
    Counter,
    /// The present value.
    Gauge,
    /// Durations in seconds, in buckets.
    Histogram,
}

impl Kind {
    /// The word of Prometheus for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric, as `/metrics` names it and the README lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The full name, `_total` of a counter included.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// One sentence without its full stop, which the encoder adds.
    pub help: &'static str,
    /// The names of its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
}

/// Every metric of every process.
pub const METRICS: &[Metric] = &[
    RECEIVED,
    REFUSED,
    LAST_RECEIVED,
    PUBLISH,
    SPOOL_EVENTS,
    SPOOL_KEPT,
    SPOOL_ASIDE,
    SPOOL_BYTES,
    SPOOL_MAX_BYTES,
    SPOOL_OLDEST,
    SPOOLED,
    SPOOL_DRAINED,
    SPOOL_ERRORS,
    PROCESSED,
    NO_RULE,
    RULE_MATCHED,
    RULE_ERRORS,
    STEPS,
    PROCESS,
    RETRIES,
    BURIED,
    CIRCUIT_OPEN,
    RULE_PAUSED,
    STORMS_OPEN,
    STORM_WAITING,
    QUEUE_PENDING,
    QUEUE_IN_FLIGHT,
    QUEUE_IN_FLIGHT_MAX,
    SET_ASIDE,
    RELOAD_FAILURES,
    RULEBOOK_OK,
    RETENTION_DELETED,
];

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, help, labels }
}

const RECEIVED: Metric = metric(
    "gluehook_received_total",
    Kind::Counter,
    &["endpoint", "outcome"],
    "Requests to ingest by what became of them; an endpoint that is not configured is _",
);
const REFUSED: Metric = metric(
    "gluehook_refused_total",
    Kind::Counter,
    &["endpoint", "cause"],
    "Requests that ingest refused, by the cause which the sender is not told",
);
const LAST_RECEIVED: Metric = metric(
    "gluehook_last_received_seconds",
    Kind::Gauge,
    &["endpoint"],
    "When the endpoint last stored an event, in unix seconds; alarm on silence",
);
const PUBLISH: Metric = metric(
    "gluehook_publish_seconds",
    Kind::Histogram,
    &[],
    "From publishing an event to the acknowledgement that it is stored",
);
const SPOOL_EVENTS: Metric = metric(
    "gluehook_spool_events",
    Kind::Gauge,
    &[],
    "Events in ingest's spool that NATS has not acknowledged; alarm if it stays above 0",
);
const SPOOL_KEPT: Metric = metric(
    "gluehook_spool_kept",
    Kind::Gauge,
    &[],
    "Events that NATS has acknowledged and that the journal keeps for a while",
);
const SPOOL_ASIDE: Metric = metric(
    "gluehook_spool_aside",
    Kind::Gauge,
    &[],
    "Events in the spool that are too large for NATS; look at each",
);
const SPOOL_BYTES: Metric =
    metric("gluehook_spool_bytes", Kind::Gauge, &[], "Bytes of all events in the spool, kept ones included");
const SPOOL_MAX_BYTES: Metric = metric(
    "gluehook_spool_max_bytes",
    Kind::Gauge,
    &[],
    "Most bytes that the spool takes; alarm when half of it is used",
);
const SPOOL_OLDEST: Metric = metric(
    "gluehook_spool_oldest_seconds",
    Kind::Gauge,
    &[],
    "Age of the oldest event in the spool that NATS has not acknowledged",
);
const SPOOLED: Metric =
    metric("gluehook_spooled_total", Kind::Counter, &[], "Events that were written to the spool");
const SPOOL_DRAINED: Metric = metric(
    "gluehook_spool_drained_total",
    Kind::Counter,
    &[],
    "Events that were sent from the spool and acknowledged by NATS",
);
const SPOOL_ERRORS: Metric = metric(
    "gluehook_spool_errors_total",
    Kind::Counter,
    &[],
    "Events that the disk of the spool did not take",
);
const PROCESSED: Metric =
    metric("gluehook_processed_total", Kind::Counter, &["outcome"], "Deliveries by what became of them");
const NO_RULE: Metric = metric("gluehook_no_rule_total", Kind::Counter, &[], "Events that no rule matched");
const RULE_MATCHED: Metric =
    metric("gluehook_rule_matched_total", Kind::Counter, &["rule"], "Events that the rule matched");
const RULE_ERRORS: Metric = metric(
    "gluehook_rule_errors_total",
    Kind::Counter,
    &["rule"],
    "Events for which the rule could not be evaluated",
);
const STEPS: Metric = metric(
    "gluehook_steps_total",
    Kind::Counter,
    &["action", "outcome"],
    "Steps of plans by action and by what became of them",
);
const PROCESS: Metric =
    metric("gluehook_process_seconds", Kind::Histogram, &[], "From taking a delivery in hand to settling it");
const RETRIES: Metric =
    metric("gluehook_retries_total", Kind::Counter, &[], "Deliveries given back to be tried again later");
const BURIED: Metric = metric(
    "gluehook_buried_total",
    Kind::Counter,
    &["cause"],
    "Events moved to the dead letters; look at each",
);
const CIRCUIT_OPEN: Metric = metric(
    "gluehook_circuit_open",
    Kind::Gauge,
    &["service"],
    "1 while the service is taken for down as a whole and events wait in the queue",
);
const RULE_PAUSED: Metric = metric(
    "gluehook_rule_paused",
    Kind::Gauge,
    &["rule"],
    "1 while the rule is paused and what it would do is held for a person",
);
const STORMS_OPEN: Metric = metric(
    "gluehook_storms_open",
    Kind::Gauge,
    &[],
    "Storms of Slack messages of one kind that are not over and summed up",
);
const STORM_WAITING: Metric = metric(
    "gluehook_storm_messages_waiting",
    Kind::Gauge,
    &[],
    "Slack messages that are to be told in a storm's message and are not yet surely told; alarm if it stays above 0",
);
const QUEUE_PENDING: Metric =
    metric("gluehook_queue_pending", Kind::Gauge, &[], "Events in the queue that no worker has taken yet");
const QUEUE_IN_FLIGHT: Metric = metric(
    "gluehook_queue_in_flight",
    Kind::Gauge,
    &[],
    "Events that workers have taken and not yet settled, those waiting to be tried again included",
);
const QUEUE_IN_FLIGHT_MAX: Metric = metric(
    "gluehook_queue_in_flight_max",
    Kind::Gauge,
    &[],
    "Events that may be in flight; beyond that nothing new is delivered: alarm at four fifths",
);
const SET_ASIDE: Metric = metric(
    "gluehook_set_aside_total",
    Kind::Counter,
    &[],
    "Times that an event went to the end of HOOKS_REPLAY because it had to wait and very many waited already",
);
const RELOAD_FAILURES: Metric = metric(
    "gluehook_rulebook_reload_failures_total",
    Kind::Counter,
    &[],
    "Changed rulebooks that were bad, so that the old rules stayed",
);
const RULEBOOK_OK: Metric = metric(
    "gluehook_rulebook_ok",
    Kind::Gauge,
    &[],
    "1 if the rules in use are those of the file, 0 if the file is bad and older rules are in use",
);
const RETENTION_DELETED: Metric = metric(
    "gluehook_retention_deleted_total",
    Kind::Counter,
    &[],
    "Events deleted from the event log because they are older than the retention",
);

#[cfg(test)]
mod tests;
