//! The flags of `gluehook-ingest`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Takes webhooks, verifies them, and answers once they are stored
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "gluehook-ingest", version)]
#[group(skip)]
pub struct Args {
    /// The configuration file, with the endpoints
    #[arg(long, env = "GLUEHOOK_CONFIG", default_value = "gluehook.toml", value_name = "FILE")]
    pub config: PathBuf,

    /// Where webhooks are posted to, at /hooks/<endpoint>
    #[arg(long, env = "GLUEHOOK_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,

    /// Create the streams first, where they are missing
    #[arg(long, env = "GLUEHOOK_SETUP", value_parser = service::switch)]
    pub setup: bool,

    /// Directory for events while NATS can't take them; without one they are answered 503
    #[arg(long, env = "GLUEHOOK_SPOOL", value_name = "DIR")]
    pub spool: Option<PathBuf>,

    /// Most bytes of events in the spool; the file may take twice as much of the disk
    #[arg(long, env = "GLUEHOOK_SPOOL_MAX", default_value = "1GiB", value_name = "SIZE", value_parser = spool_max)]
    pub spool_max: u64,

    /// What a 2xx stands for: the broker's acknowledgement, or our own journal in --spool
    #[arg(long, env = "GLUEHOOK_DURABILITY", value_enum, default_value_t, value_name = "MODE")]
    pub durability: Durability,

    /// How long an event stays in the journal after NATS has acknowledged it: longer than nats-server's `sync_interval`
    #[arg(long, env = "GLUEHOOK_JOURNAL_KEEP", default_value = "5m", value_name = "TIME", value_parser = domain::span::duration)]
    pub journal_keep: Duration,

    #[command(flatten)]
    pub bus: bus::Args,

    #[command(flatten)]
    pub monitor: bus::MonitorArgs,

    #[command(flatten)]
    pub service: service::Args,
}

/// The values of `--durability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Durability {
    /// JetStream has acknowledged the event; where it can't, the event is in the spool
    #[default]
    Broker,
    /// The event is in the journal on our own disk, and stays there until JetStream surely has it
    Journal,
}

/// A spool that takes no event helps nobody.
const SMALLEST_SPOOL: u64 = 4 * 1024;

fn spool_max(text: &str) -> Result<u64, String> {
    let bytes = domain::span::bytes(text)?;
    if bytes < SMALLEST_SPOOL {
        return Err(format!(
            "a spool of {bytes} bytes has no room for an event: give it as much as an outage brings, such as \"1GiB\""
        ));
    }
    Ok(bytes)
}

impl Args {
    /// Where probes and metrics are served unless a flag says otherwise.
    pub const ADMIN_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn every_flag_is_also_a_variable_of_the_environment() {
        for arg in Args::command().get_arguments() {
            let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else {
                continue;
            };
            let variable = format!("GLUEHOOK_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
        }
    }

    #[test]
    fn a_spool_without_room_for_an_event_is_a_sentence() {
        for wrong in ["0", "1", "100B"] {
            let said =
                Args::try_parse_from(["gluehook-ingest", "--spool-max", wrong]).unwrap_err().to_string();
            assert!(said.contains("has no room for an event"), "{said}");
        }
        assert_eq!(Args::try_parse_from(["gluehook-ingest", "--spool-max=8KiB"]).unwrap().spool_max, 8192);
    }

    #[test]
    fn the_defaults_are_those_of_one_machine() {
        let args = Args::try_parse_from(["gluehook-ingest"]).unwrap();
        assert_eq!(args.config, PathBuf::from("gluehook.toml"));
        assert_eq!(args.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(args.service.admin_listen_or(Args::ADMIN_LISTEN).to_string(), "127.0.0.1:8081");
        assert!(!args.setup);
        assert_eq!((args.spool, args.spool_max), (None, 1 << 30));
        assert_eq!((args.durability, args.journal_keep), (Durability::Broker, Duration::from_secs(300)));
    }
}
