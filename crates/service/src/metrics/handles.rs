//! The typed handles: what a process counts, without a name or a label at the place of counting.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric as Encodable, Registry};

use super::{Kind, Metric};

/// What became of a request to ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// 200: stored.
    Stored,
    /// 200: was stored before.
    Duplicate,
    /// 401: no valid proof of where it comes from.
    Unauthorized,
    /// 400: proven, but no event.
    BadRequest,
    /// 404: no such endpoint.
    NotFound,
    /// 405: the endpoint does not take this method.
    MethodNotAllowed,
    /// 413: longer than the endpoint takes.
    TooLarge,
    /// 415: not the content type of the source.
    UnsupportedType,
    /// 429: more than the configured rate.
    RateLimited,
    /// 503: could not be stored.
    Unavailable,
    /// The sender was too slow.
    TimedOut,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &[Self] = &[
        Self::Stored,
        Self::Duplicate,
        Self::Unauthorized,
        Self::BadRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::UnsupportedType,
        Self::RateLimited,
        Self::Unavailable,
        Self::TimedOut,
    ];

    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Unauthorized => "unauthorized",
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge => "too_large",
            Self::UnsupportedType => "unsupported_type",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
        }
    }
}

/// A word that the program or its configuration wrote, never the sender of a request.
type Word = Cow<'static, str>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEndpoint {
    endpoint: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEndpointAndOutcome {
    endpoint: Word,
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEndpointAndCause {
    endpoint: Word,
    cause: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRule {
    rule: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByActionAndOutcome {
    action: Word,
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByService {
    service: Word,
}

/// What ingest counts. Clones count into the same series.
#[derive(Debug, Clone)]
pub struct IngestMetrics {
    received: Family<ByEndpointAndOutcome, Counter>,
    refused: Family<ByEndpointAndCause, Counter>,
    last_received: Family<ByEndpoint, Gauge>,
    publish: Histogram,
    spool_events: Gauge,
    spool_kept: Gauge,
    spool_aside: Gauge,
    spool_bytes: Gauge,
    spool_max_bytes: Gauge,
    spool_oldest: Gauge,
    /// Events written to the spool.
    pub spooled: Counter,
    /// Events sent from the spool and acknowledged.
    pub drained: Counter,
    /// Events that the disk of the spool did not take.
    pub spool_errors: Counter,
}

/// How the spool is at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpoolFigures {
    /// Not acknowledged by NATS.
    pub events: u64,
    /// Acknowledged, and kept for a while.
    pub kept: u64,
    /// Too large for NATS.
    pub aside: u64,
    /// Of all of them.
    pub bytes: u64,
    /// The limit.
    pub max_bytes: u64,
    /// Age of the oldest that is not acknowledged.
    pub oldest_seconds: u64,
}

impl IngestMetrics {
    /// Makes the handles and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            received: Family::default(),
            refused: Family::default(),
            last_received: Family::default(),
            publish: durations(),
            spool_events: Gauge::default(),
            spool_kept: Gauge::default(),
            spool_aside: Gauge::default(),
            spool_bytes: Gauge::default(),
            spool_max_bytes: Gauge::default(),
            spool_oldest: Gauge::default(),
            spooled: Counter::default(),
            drained: Counter::default(),
            spool_errors: Counter::default(),
        };
        add(registry, &super::RECEIVED, metrics.received.clone());
        add(registry, &super::REFUSED, metrics.refused.clone());
        add(registry, &super::LAST_RECEIVED, metrics.last_received.clone());
        add(registry, &super::PUBLISH, metrics.publish.clone());
        add(registry, &super::SPOOL_EVENTS, metrics.spool_events.clone());
        add(registry, &super::SPOOL_KEPT, metrics.spool_kept.clone());
        add(registry, &super::SPOOL_ASIDE, metrics.spool_aside.clone());
        add(registry, &super::SPOOL_BYTES, metrics.spool_bytes.clone());
        add(registry, &super::SPOOL_MAX_BYTES, metrics.spool_max_bytes.clone());
        add(registry, &super::SPOOL_OLDEST, metrics.spool_oldest.clone());
        add(registry, &super::SPOOLED, metrics.spooled.clone());
        add(registry, &super::SPOOL_DRAINED, metrics.drained.clone());
        add(registry, &super::SPOOL_ERRORS, metrics.spool_errors.clone());
        metrics
    }

    /// Counts a request that was answered. `endpoint` is a configured one; `None` for any other, whose name a
    /// stranger chose.
    pub fn received(&self, endpoint: Option<&str>, outcome: Outcome) {
        let labels =
            ByEndpointAndOutcome { endpoint: endpoint_label(endpoint), outcome: outcome.as_str().into() };
        self.received.get_or_create(&labels).inc();
    }

    /// Counts a refused request by its cause, which the sender is not told: `cause` is a word of the program.
    pub fn refused(&self, endpoint: Option<&str>, cause: &'static str) {
        let labels = ByEndpointAndCause { endpoint: endpoint_label(endpoint), cause: cause.into() };
        self.refused.get_or_create(&labels).inc();
    }

    /// Notes when `endpoint` last received an event.
    pub fn last_received(&self, endpoint: &str, at: Timestamp) {
        let labels = ByEndpoint { endpoint: Word::Owned(endpoint.to_owned()) };
        self.last_received.get_or_create(&labels).set(at.as_second());
    }

    /// Notes how the spool is.
    pub fn spool(&self, figures: &SpoolFigures) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.spool_events.set(number(figures.events));
        self.spool_kept.set(number(figures.kept));
        self.spool_aside.set(number(figures.aside));
        self.spool_bytes.set(number(figures.bytes));
        self.spool_max_bytes.set(number(figures.max_bytes));
        self.spool_oldest.set(number(figures.oldest_seconds));
    }

    /// Notes how long a publish took, from sending to the acknowledgement.
    pub fn published(&self, took: Duration) {
        self.publish.observe(took.as_secs_f64());
    }
}

fn endpoint_label(endpoint: Option<&str>) -> Word {
    endpoint.map_or(Word::Borrowed("_"), |name| Word::Owned(name.to_owned()))
}

/// What the worker counts. Clones count into the same series.
#[derive(Debug, Clone)]
pub struct WorkerMetrics {
    processed: Family<ByOutcome, Counter>,
    rule_matched: Family<ByRule, Counter>,
    rule_errors: Family<ByRule, Counter>,
    steps: Family<ByActionAndOutcome, Counter>,
    buried: Family<ByCause, Counter>,
    circuit_open: Family<ByService, Gauge>,
    rule_paused: Family<ByRule, Gauge>,
    process: Histogram,
    rulebook_ok: Gauge,
    /// Events that no rule matched.
    pub no_rule: Counter,
    /// Deliveries given back to be tried again later.
    pub retries: Counter,
    /// Changed rulebooks that were bad; [`WorkerMetrics::rulebook_bad`] counts it too.
    pub reload_failures: Counter,
    /// Events deleted by the retention sweep.
    pub retention_deleted: Counter,
    /// Storms that are not summed up.
    pub storms_open: Gauge,
    /// Messages that are to be told in them.
    pub storm_waiting: Gauge,
    /// Events that no worker has taken yet.
    pub queue_pending: Gauge,
    /// Events taken and not yet settled.
    pub queue_in_flight: Gauge,
    /// So many may be.
    pub queue_in_flight_max: Gauge,
    /// Events set aside because too many waited.
    pub set_aside: Counter,
}

impl WorkerMetrics {
    /// Makes the handles and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            processed: Family::default(),
            rule_matched: Family::default(),
            rule_errors: Family::default(),
            steps: Family::default(),
            buried: Family::default(),
            circuit_open: Family::default(),
            rule_paused: Family::default(),
            process: durations(),
            rulebook_ok: Gauge::default(),
            no_rule: Counter::default(),
            retries: Counter::default(),
            reload_failures: Counter::default(),
            retention_deleted: Counter::default(),
            storms_open: Gauge::default(),
            storm_waiting: Gauge::default(),
            queue_pending: Gauge::default(),
            queue_in_flight: Gauge::default(),
            queue_in_flight_max: Gauge::default(),
            set_aside: Counter::default(),
        };
        add(registry, &super::PROCESSED, metrics.processed.clone());
        add(registry, &super::NO_RULE, metrics.no_rule.clone());
        add(registry, &super::RULE_MATCHED, metrics.rule_matched.clone());
        add(registry, &super::RULE_ERRORS, metrics.rule_errors.clone());
        add(registry, &super::STEPS, metrics.steps.clone());
        add(registry, &super::CIRCUIT_OPEN, metrics.circuit_open.clone());
        add(registry, &super::RULE_PAUSED, metrics.rule_paused.clone());
        add(registry, &super::PROCESS, metrics.process.clone());
        add(registry, &super::RETRIES, metrics.retries.clone());
        add(registry, &super::BURIED, metrics.buried.clone());
        add(registry, &super::STORMS_OPEN, metrics.storms_open.clone());
        add(registry, &super::STORM_WAITING, metrics.storm_waiting.clone());
        add(registry, &super::QUEUE_PENDING, metrics.queue_pending.clone());
        add(registry, &super::QUEUE_IN_FLIGHT, metrics.queue_in_flight.clone());
        add(registry, &super::QUEUE_IN_FLIGHT_MAX, metrics.queue_in_flight_max.clone());
        add(registry, &super::SET_ASIDE, metrics.set_aside.clone());
        add(registry, &super::RELOAD_FAILURES, metrics.reload_failures.clone());
        add(registry, &super::RULEBOOK_OK, metrics.rulebook_ok.clone());
        add(registry, &super::RETENTION_DELETED, metrics.retention_deleted.clone());
        metrics
    }

    /// Counts `count` deliveries that ended as `outcome`.
    pub fn processed(&self, outcome: &'static str, count: u64) {
        self.processed.get_or_create(&ByOutcome { outcome: outcome.into() }).inc_by(count);
    }

    /// Counts an event that `rule` matched.
    pub fn rule_matched(&self, rule: &str) {
        self.rule_matched.get_or_create(&by_rule(rule)).inc();
    }

    /// Counts an event for which `rule` could not be evaluated.
    pub fn rule_error(&self, rule: &str) {
        self.rule_errors.get_or_create(&by_rule(rule)).inc();
    }

    /// Counts a step.
    pub fn step(&self, action: &'static str, outcome: &'static str) {
        self.steps(action, outcome, 1);
    }

    /// Counts `count` steps that ended alike.
    pub fn steps(&self, action: &'static str, outcome: &'static str, count: u64) {
        let labels = ByActionAndOutcome { action: action.into(), outcome: outcome.into() };
        self.steps.get_or_create(&labels).inc_by(count);
    }

    /// Counts an event moved to the dead letters.
    pub fn buried(&self, cause: &'static str) {
        self.buried.get_or_create(&ByCause { cause: cause.into() }).inc();
    }

    /// Notes whether `service` is taken for down as a whole: a word of the program or of its configuration.
    pub fn circuit(&self, service: &str, open: bool) {
        let labels = ByService { service: Word::Owned(service.to_owned()) };
        self.circuit_open.get_or_create(&labels).set(i64::from(open));
    }

    /// Notes whether `rule` is paused.
    pub fn rule_paused(&self, rule: &str, paused: bool) {
        self.rule_paused.get_or_create(&by_rule(rule)).set(i64::from(paused));
    }

    /// Notes how long a delivery was in hand.
    pub fn process_took(&self, took: Duration) {
        self.process.observe(took.as_secs_f64());
    }

    /// The rules in use are those of the file.
    pub fn rulebook_good(&self) {
        self.rulebook_ok.set(1);
    }

    /// The file is bad and older rules are in use.
    pub fn rulebook_bad(&self) {
        self.rulebook_ok.set(0);
        self.reload_failures.inc();
    }
}

fn by_rule(rule: &str) -> ByRule {
    ByRule { rule: Word::Owned(rule.to_owned()) }
}

/// From 0.5 ms (a publish on one machine) to 30 s (an API that hangs).
fn durations() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

fn add(registry: &mut Registry, metric: &Metric, handle: impl Encodable) {
    // The encoder adds the suffix of a counter itself.
    let name = match metric.kind {
        Kind::Counter => metric.name.strip_suffix("_total").unwrap_or(metric.name),
        Kind::Gauge | Kind::Histogram => metric.name,
    };
    registry.register(name, metric.help, handle);
}
