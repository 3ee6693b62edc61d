//! Stateful doubles of hotglue and Slack behind real HTTP, and the webhooks hotglue would send, for the demo, for
//! docker compose and for tests. A double is a *model* that tests speak to and assert on; HTTP is its skin. Faults are
//! ordered on the model (`next`, `every`). It must never reach out: no double opens a connection, reads the clock, or
//! needs a real key, and all its ids and times are counted, so that two runs say the same.
//!
//! Start reading at [`Hotglue`], [`Slack`] and [`webhook`].

mod call;
mod door;
mod fault;
pub mod hotglue;
mod http;
pub mod slack;
pub mod webhook;

pub use call::Call;
pub use fault::Fault;
pub use hotglue::{Change, Effect, Hotglue, NullState, Schedule, ScheduleState, TenantHandle};
pub use http::Server;
pub use slack::{Message, Slack};
