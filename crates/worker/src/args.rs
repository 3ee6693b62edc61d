//! The flags of `gluehook-worker`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where the admin port is unless told otherwise.
pub const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8082);

/// Takes events from the queue, evaluates the rulebook, acts, and keeps the event log.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "gluehook-worker", version)]
#[group(skip)]
pub struct Args {
    /// The configuration file
    #[arg(long, env = "GLUEHOOK_CONFIG", value_name = "FILE", default_value = "gluehook.toml")]
    pub config: PathBuf,

    /// The rulebook; reloaded when it changes. The rules that ship with Gluehook unless given
    #[arg(long, env = "GLUEHOOK_RULES", value_name = "FILE")]
    pub rules: Option<PathBuf>,

    #[command(flatten)]
    pub store: store::Args,

    #[command(flatten)]
    pub bus: bus::Args,

    /// Create missing streams and consumers before starting
    #[arg(long, env = "GLUEHOOK_SETUP", value_parser = service::switch)]
    pub setup: bool,

    /// Events acted upon at the same time; events of one tenant are always taken one by one
    #[arg(long, env = "GLUEHOOK_CONCURRENCY", value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Do nothing: decide, and record what would have been done, as if every live rule were in shadow
    #[arg(long, env = "GLUEHOOK_OBSERVE", value_parser = service::switch)]
    pub observe: bool,

    /// Seconds that events in hand may take to end after a signal to stop; then their calls are cut, and other workers
    /// go on with them. Shorter than the grace period of whatever sends the signal
    #[arg(long, env = "GLUEHOOK_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=3600))]
    pub drain_seconds: u16,

    #[command(flatten)]
    pub service: service::Args,
}
