//! What a 2xx means in this deployment, in one line: as far as it can be known, and no further.

use std::time::Duration;

use bus::Sync;

use crate::queue::Durability;

/// What is known of NATS once it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) version: String,
    /// Servers on which `HOOKS` lies.
    pub(crate) replicas: usize,
    pub(crate) syncs: Syncs,
}

/// What is known of how nats-server syncs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// Its monitoring port was not named.
    NotAsked,
    Told(Sync),
    /// It was asked in vain: why.
    Silent(String),
}

/// nats-server's `sync_interval` unless its configuration says otherwise.
pub(crate) const DEFAULT_SYNC: Duration = Duration::from_secs(120);

/// The line; `broker` is none while NATS does not answer, `url` has no password.
pub(crate) fn promise(durability: &Durability, url: &str, broker: Option<&Broker>) -> String {
    let acknowledged = match broker {
        Some(broker) => format!("JetStream at {url} has acknowledged the event ({broker})"),
        None => format!("JetStream at {url}, which does not answer yet, has acknowledged the event"),
    };
    let survives = survives(broker);
    match durability {
        Durability::Broker { spool: None } => {
            format!(
                "a 2xx means that {acknowledged}; {survives}; while NATS is away it is 503: --spool DIR changes that"
            )
        }
        Durability::Broker { spool: Some(spool) } => format!(
            "a 2xx means that {acknowledged}, or that the event is synced to the spool {}, up to {} bytes; {survives}",
            spool.directory().display(),
            spool.limits().max_bytes
        ),
        Durability::Journal { spool } => {
            let keep = spool.limits().keep.unwrap_or_default();
            let known = broker.map(|broker| &broker.syncs);
            let (told, interval) = match known {
                Some(Syncs::Told(Sync::Always)) => ("", Duration::ZERO),
                Some(Syncs::Told(Sync::Every(interval))) => ("", *interval),
                Some(Syncs::NotAsked | Syncs::Silent(_)) | None => ("default ", DEFAULT_SYNC),
            };
            let limits = match interval {
                Duration::ZERO => "and that syncs before it acknowledges".to_owned(),
                _ => format!(
                    "{} than nats-server's {told}sync_interval of {} s",
                    if keep > interval { "longer" } else { "NOT longer" },
                    interval.as_secs_f64()
                ),
            };
            let broker = broker.map_or_else(|| "not answering yet".to_owned(), ToString::to_string);
            format!(
                "a 2xx means that the event is synced to the journal {}, up to {} bytes, and stays there until {} s after JetStream at {url} ({broker}) has acknowledged it, {limits}",
                spool.directory().display(),
                spool.limits().max_bytes,
                keep.as_secs(),
            )
        }
    }
}

/// Whether what JetStream has acknowledged survives a power cut. No client is told how a server syncs, but its monitoring
/// port tells.
fn survives(broker: Option<&Broker>) -> String {
    let Some(broker) = broker else { return format!("{UNSEEN} yet; {MEANS}") };
    let whose = if broker.replicas == 1 { "the server" } else { "all its servers at once" };
    match &broker.syncs {
        Syncs::NotAsked => format!("{UNSEEN} from here (--nats-monitor-url shows it): {MEANS}"),
        Syncs::Silent(why) => format!("{UNSEEN} ({why}): {MEANS}"),
        Syncs::Told(Sync::Always) if broker.stops_short() => {
            format!("that does NOT survive a power cut of {whose}, although sync_interval is always")
        }
        Syncs::Told(Sync::Always) => {
            format!(
                "that survives a power cut of {whose}: it syncs before it acknowledges (sync_interval: always)"
            )
        }
        Syncs::Told(Sync::Every(interval)) => format!(
            "that does NOT survive a power cut of {whose}, which can lose what was acknowledged in the last {} s (sync_interval); with sync_interval: always in its configuration it would",
            interval.as_secs_f64()
        ),
    }
}

const UNSEEN: &str =
    "whether that survives a power cut, nats-server's sync_interval decides, which can't be seen";
const MEANS: &str = "\"always\" does, the default of two minutes does not";

impl Broker {
    fn stops_short(&self) -> bool {
        self.replicas > 1 && always_stops_short(&self.version)
    }
}

impl std::fmt::Display for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers =
            if self.replicas == 1 { "1 server".to_owned() } else { format!("{} servers", self.replicas) };
        write!(f, "nats-server {}, HOOKS on {servers}", self.version)?;
        if self.stops_short() {
            f.write_str(", a version whose sync_interval: always does not reach replicated streams: use 2.10.23 or newer")?;
        }
        Ok(())
    }
}

/// From 2.10.0 to 2.10.22 the log that replicas agree on was synced every five minutes, whatever `sync_interval` said
/// (nats-server, pull request 6041).
fn always_stops_short(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(str::parse::<u32>);
    let (major, minor, patch) = (parts.next(), parts.next(), parts.next());
    matches!((major, minor, patch), (Some(Ok(2)), Some(Ok(10)), Some(Ok(patch))) if patch < 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_spool_the_line_says_who_acknowledges_and_what_is_not_known() {
        let nothing = Durability::Broker { spool: None };
        let broker = Broker { version: "2.14.6".into(), replicas: 3, syncs: Syncs::NotAsked };
        let said = promise(&nothing, "nats://n:4222", Some(&broker));
        assert!(said.starts_with("a 2xx means that JetStream at nats://n:4222 has acknowledged the event (nats-server 2.14.6, HOOKS on 3 servers)"), "{said}");
        assert!(said.contains("sync_interval") && said.contains("--spool"), "{said}");
        assert!(promise(&nothing, "nats://n:4222", None).contains("does not answer yet"));
    }

    #[test]
    fn replicas_of_versions_that_do_not_sync_them_are_named() {
        for (version, short) in [
            ("2.10.0", true),
            ("2.10.22", true),
            ("2.10.23", false),
            ("2.11.0", false),
            ("2.10.27-RC.1", false),
        ] {
            assert_eq!(always_stops_short(version), short, "{version}");
        }
        let old = |replicas| Broker { version: "2.10.7".into(), replicas, syncs: Syncs::Told(Sync::Always) };
        let told = old(3).to_string();
        assert!(told.contains("2.10.23 or newer"), "{told}");
        assert!(!old(1).to_string().contains("2.10.23"));
        assert!(survives(Some(&old(3))).contains("does NOT survive"));
        assert!(survives(Some(&old(1))).starts_with("that survives a power cut of the server"));
    }

    #[test]
    fn what_the_monitoring_port_tells_is_said_and_nothing_is_said_that_it_does_not_tell() {
        let line = |syncs| {
            let broker = Broker { version: "2.14.6".into(), replicas: 1, syncs };
            promise(&Durability::Broker { spool: None }, "nats://n:4222", Some(&broker))
        };
        let said = line(Syncs::Told(Sync::Always));
        assert!(said.contains("that survives a power cut of the server") && !said.contains("NOT"), "{said}");
        let said = line(Syncs::Told(Sync::Every(DEFAULT_SYNC)));
        assert!(said.contains("does NOT survive") && said.contains("last 120 s"), "{said}");
        let said = line(Syncs::Silent("it is asleep".into()));
        assert!(said.contains("can't be seen (it is asleep)") && !said.contains("NOT"), "{said}");
        assert!(line(Syncs::NotAsked).contains("--nats-monitor-url"));
    }
}
