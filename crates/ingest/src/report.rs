//! Tells how the spool is: in the metrics, and in `/readyz`.

use std::time::Duration;

use jiff::Timestamp;
use service::probe::Readiness;
use service::{CancellationToken, Clock};
use tokio::time::sleep;

use crate::queue::{Durability, Queue};
use crate::spool::{Spool, Stats};

/// The check of `/readyz`.
pub(crate) const CHECK: &str = "spool";
const EVERY: Duration = Duration::from_millis(250);

/// Tells it again and again until `stop`. Beyond `too_old` NATS may no longer recognise an event as a repeat.
pub(crate) async fn report(
    queue: Queue,
    spool: Spool,
    readiness: Readiness,
    clock: Clock,
    too_old: Duration,
    stop: CancellationToken,
) {
    let max = spool.limits().max_bytes;
    let journal = matches!(queue.durability(), Durability::Journal { .. });
    loop {
        let stats = spool.stats();
        let age = stats.oldest.map_or(0, |oldest| age(oldest, clock.now()));
        let direct = !journal && queue.is_fit() && !queue.circuit().is_open();
        queue.metrics().spool(&service::metrics::SpoolFigures {
            events: stats.unsent,
            kept: stats.kept,
            aside: stats.aside,
            bytes: stats.bytes,
            max_bytes: max,
            oldest_seconds: age,
        });
        let state = usable(&stats, max);
        // While NATS takes events, a spool that takes none hinders nobody yet.
        readiness.set(CHECK, if direct { Ok(()) } else { state.clone() });
        readiness.warn_about(CHECK, state.err().as_deref().filter(|_| direct));
        let why = queue.circuit().open();
        readiness.warn_about("circuit", why.map(|why| backlog(&stats, max, age, &why)).as_deref());
        readiness.warn_about("aside", aside(&stats).as_deref());
        let old = (stats.unsent > stats.aside && age > too_old.as_secs()).then(|| {
            format!(
                "the oldest event of the spool is {age} s old, more than half of duplicate_window: if NATS has it already, it may come to lie there twice; the event log still acts on it once"
            )
        });
        readiness.warn_about("age", old.as_deref());
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EVERY) => {}
        }
    }
}

/// Seconds, whole.
fn age(oldest: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(oldest).as_secs()).unwrap_or(0)
}

/// Can the spool take an event? If not: one sentence.
fn usable(stats: &Stats, max: u64) -> Result<(), String> {
    match &stats.trouble {
        Some(why) => Err(why.clone()),
        None if stats.full => {
            let mend = if stats.kept > stats.unsent {
                "raise --spool-max, or lower --journal-keep as far as nats-server's sync_interval allows"
            } else {
                "see why NATS takes nothing, or raise --spool-max"
            };
            Err(format!(
                "the spool is full ({} of {max} bytes, {} events that NATS has not acknowledged and {} kept): {mend}",
                stats.bytes, stats.unsent, stats.kept
            ))
        }
        None => Ok(()),
    }
}

fn backlog(stats: &Stats, max: u64, age: u64, why: &str) -> String {
    format!(
        "events are kept in the spool ({} events, the oldest {age} s old, {} of {max} bytes): {why}",
        stats.unsent, stats.bytes
    )
}

fn aside(stats: &Stats) -> Option<String> {
    (stats.aside > 0).then(|| {
        format!(
            "{} events lie aside in the spool because NATS does not take them, most likely for their size: raise max_payload of nats-server, or max_msg_size of the stream, and start nats-server or ingest again",
            stats.aside
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_spool_says_what_it_is_full_of() {
        let stats = Stats { unsent: 3, kept: 2, bytes: 99, full: true, ..Stats::default() };
        let said = usable(&stats, 100).unwrap_err();
        assert!(
            said.contains("99 of 100 bytes") && said.contains("3 events") && said.contains("2 kept"),
            "{said}"
        );
        assert!(said.contains("why NATS takes nothing"), "{said}");
        // NATS is well; what it has acknowledged stays for its time.
        let kept = usable(&Stats { unsent: 0, kept: 5, ..stats.clone() }, 100).unwrap_err();
        assert!(kept.contains("--journal-keep") && !kept.contains("why NATS"), "{kept}");
        let broken = Stats { trouble: Some("the disk is gone".into()), ..stats };
        assert_eq!(usable(&broken, 100), Err("the disk is gone".into()));
        assert_eq!(usable(&Stats::default(), 100), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_old() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!((age(at(5), at(9)), age(at(9), at(5))), (4, 0));
    }
}
