//! What every long-running process of Gluehook has: a clock, logs, metrics, probes, shutdown and an HTTP server with time limits.
//!
//! It must never know what an event, a rule or a queue is (it does not depend on `domain`), and it is the only
//! crate that reads the time ([`clock`]) or a secret out of the environment ([`secrets`]).
//! Start reading at [`http::serve`] and [`metrics::METRICS`].

mod args;
pub mod clock;
pub mod http;
pub mod metrics;
pub mod probe;
pub mod secrets;
pub mod shutdown;
pub mod telemetry;
pub mod usage;
pub mod vital;

pub use args::{Args, switch};
pub use clock::Clock;
pub use shutdown::Shutdown;
pub use tokio_util::sync::CancellationToken;
pub use vital::Vital;
