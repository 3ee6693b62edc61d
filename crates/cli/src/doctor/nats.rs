//! What `gluehook doctor` looks at in NATS.

use bus::permissions::{self, Duty};
use bus::{Bus, CheckError, MonitorUrl, Room, StreamName, Sync};
use domain::config::Config;

use super::Checks;
use crate::Common;

pub(super) async fn look(
    common: &Common,
    config: Option<&Config>,
    monitor: Option<&MonitorUrl>,
    checks: &mut Checks,
) {
    let what = format!("NATS at {}", common.bus.nats_url);
    let bus = match Bus::connect(&common.bus, "gluehook-doctor").await {
        Ok(bus) => bus,
        Err(why) => {
            checks.bad(what, why.to_string(), "`gluehook up` starts one; --nats-url names another");
            return;
        }
    };
    let version = bus.server_version().unwrap_or_else(|| "of unknown version".to_owned());
    checks.good(what, format!("nats-server {version} with JetStream"));
    permitted(&bus, config, checks).await;
    largest_body(&bus, config, checks);
    match config {
        Some(config) => as_configured(&bus, config, checks).await,
        None if !common.config.exists() => as_configured(&bus, &Config::default(), checks).await,
        // Compared with the defaults, what is right would be called wrong.
        None => checks.warning(
            "streams and consumers",
            format!(
                "were not compared: {} can't be read, so nobody knows how they are meant to be",
                common.config.display()
            ),
            "mend the configuration first",
        ),
    }
    syncs(&bus, monitor, checks).await;
    bus.drain().await;
}

/// Are streams and consumers as the configuration has them?
async fn as_configured(bus: &Bus, config: &Config, checks: &mut Checks) {
    match bus::check(bus, &config.jetstream).await {
        Ok(()) => {
            checks.good("streams and consumers", "as they must be");
            match bus::mark(bus, StreamName::Hooks).await.map(|mark| mark.room()) {
                Ok(Room::Enough) => {}
                Ok(Room::Little(why)) => checks.warning("room in the queue", why, ""),
                Ok(Room::None(why)) => {
                    checks.bad("room in the queue", why, "without a spool, ingest answers every webhook 503");
                }
                Err(why) => checks.bad("room in the queue", why.to_string(), ""),
            }
        }
        Err(CheckError::Differs(differences)) => {
            let said: Vec<_> = differences.iter().map(ToString::to_string).collect();
            checks.bad(
                "streams and consumers",
                said.join("\n"),
                "`gluehook setup` creates what is missing; `gluehook setup --update` changes what differs; a paused consumer goes on by itself or when it is resumed",
            );
        }
        Err(CheckError::Connection(why)) => checks.bad("streams and consumers", why.to_string(), ""),
    }
}

/// Does what NATS has acknowledged survive a power cut?
async fn syncs(bus: &Bus, monitor: Option<&MonitorUrl>, checks: &mut Checks) {
    const WHAT: &str = "sync_interval of nats-server";
    const ALWAYS: &str = "make sure its jetstream block says sync_interval: always, as `gluehook up` and deploy/nats.conf do; otherwise a power cut may lose two minutes";
    let Some(monitor) = monitor else {
        let mend = format!("--nats-monitor-url http://HOST:8222 asks its monitoring port; or {ALWAYS}");
        checks.warning(WHAT, "can't be asked over NATS", &mend);
        return;
    };
    match bus::monitored(monitor).await {
        Ok(told) => {
            let whose = if bus.server_id().as_ref() == Some(&told.server_id) {
                String::new()
            } else {
                format!(" (told by {monitor}, another server than the one at {})", bus.url())
            };
            match told.sync {
                Sync::Always => {
                    checks.good(WHAT, format!("always: an acknowledged event survives a power cut{whose}"));
                }
                Sync::Every(interval) => checks.warning(
                    WHAT,
                    format!(
                        "{} s: a power cut can lose what was acknowledged since the last time{whose}",
                        interval.as_secs_f64()
                    ),
                    "say sync_interval: always in its jetstream block, as `gluehook up` and deploy/nats.conf do",
                ),
            }
        }
        Err(why) => checks.warning(WHAT, why, ALWAYS),
    }
}

/// What may this NATS user do? Looking is a must; the rest is an operator's, and a developer does without.
async fn permitted(bus: &Bus, config: Option<&Config>, checks: &mut Checks) {
    let endpoint = config.and_then(|config| config.endpoint.first()).map_or("_", |endpoint| &endpoint.name);
    let (mut may, mut may_not) = (Vec::new(), Vec::new());
    for (what, duty, must) in [
        ("look", Duty::Look, true),
        ("replay", Duty::Replay, false),
        ("cancel replays", Duty::Remove(StreamName::Replay), false),
        ("retry and discard dead letters", Duty::Remove(StreamName::Dead), false),
        ("release refused requests", Duty::Receive { endpoint }, false),
        ("remove released requests", Duty::Remove(StreamName::Rejected), false),
        ("set up", Duty::SetUp, false),
    ] {
        match permissions::missing(bus, duty).await {
            Ok(missing) => match missing.first() {
                None => may.push(what),
                Some(denied) if must => checks.bad("NATS permissions", denied.to_string(), ""),
                Some(denied) => may_not.push(format!("{what}: {denied}")),
            },
            Err(why) => {
                checks.bad("NATS permissions", why, "");
                return;
            }
        }
    }
    if may_not.is_empty() {
        checks.good("NATS permissions", format!("this user may {}", may.join(", ")));
    } else {
        checks.warning(
            "NATS permissions",
            format!("this user may {}; it may not\n{}", may.join(", "), may_not.join("\n")),
            "as it should be for a developer; an operator needs all of them",
        );
    }
}

/// A body that ingest takes must fit into a message, with its headers.
fn largest_body(bus: &Bus, config: Option<&Config>, checks: &mut Checks) {
    const HEADERS: u64 = 16 * 1024;
    let most = bus.max_payload() as u64;
    for endpoint in config.into_iter().flat_map(|config| &config.endpoint) {
        if endpoint.max_body + HEADERS > most {
            checks.warning(
                format!("endpoint {}", endpoint.name),
                format!(
                    "takes bodies up to {} bytes, but nats-server takes messages up to {most}",
                    endpoint.max_body
                ),
                "raise max_payload of nats-server, or lower max_body of the endpoint",
            );
        }
    }
}
