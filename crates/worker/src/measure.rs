//! The gauges of the queue, and a word in time when it is about to give nothing more.

use std::time::Duration;

use bus::{Bus, Pending, StreamName};
use tokio_util::sync::CancellationToken;

use crate::Deps;

const EVERY: Duration = Duration::from_secs(5);

const PAUSED: &str = "someone has paused the consumer `worker` of HOOKS: no event is worked on until it is resumed; `gluehook doctor` says for how long";

/// Keeps the gauges of the queue and the readiness of NATS.
pub(crate) async fn measure(deps: &Deps, bus: &Bus, stop: CancellationToken) {
    let gauge = |number| i64::try_from(number).unwrap_or(i64::MAX);
    let mut every = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        match bus.pending(StreamName::Hooks).await {
            Ok(pending) => {
                deps.surplus.measured(StreamName::Hooks, pending);
                deps.metrics.queue_pending.set(gauge(pending.pending));
                deps.metrics.queue_in_flight.set(gauge(pending.in_flight));
                deps.metrics.queue_in_flight_max.set(gauge(pending.most_in_flight));
                deps.readiness.warn_about("queue", crowded(pending).as_deref());
                deps.readiness.warn_about("paused", pending.paused.then_some(PAUSED));
                deps.readiness.set("nats", Ok(()));
            }
            Err(error) => deps.readiness.set("nats", Err(error.to_string())),
        }
        if let Ok(pending) = bus.pending(StreamName::Replay).await {
            deps.surplus.measured(StreamName::Replay, pending);
        }
        deps.readiness.warn_about("nats", bus.state().trouble.as_deref());
    }
}

/// What is said from four fifths on of what NATS lets workers hold: beyond it nobody gets anything new. From half on
/// what has to wait is set aside, so there is a reason why it could not be.
fn crowded(pending: Pending) -> Option<String> {
    let Pending { in_flight, most_in_flight, .. } = pending;
    (most_in_flight > 0 && in_flight >= most_in_flight / 5 * 4).then(|| {
        format!(
            "{in_flight} events are in hand or wait to be tried again, and NATS lets the workers hold {most_in_flight}: beyond that new events wait for these, those of every tenant. It is mostly one tenant with a flood: gluehook events list --outcome retrying, or --outcome open, shows whose"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_before_the_queue_gives_nothing_more() {
        let at = |in_flight| {
            crowded(Pending { pending: 0, in_flight, most_in_flight: 20_000, pulls: 1, paused: false })
        };
        assert_eq!(at(15_999), None);
        let said = at(16_000).unwrap();
        assert!(said.contains("16000") && said.contains("20000") && said.contains("events list"), "{said}");
        assert_eq!(
            crowded(Pending { pending: 0, in_flight: 5, most_in_flight: 0, pulls: 1, paused: false }),
            None
        );
    }
}
