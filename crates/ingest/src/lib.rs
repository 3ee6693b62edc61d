//! The door: takes webhooks over HTTP, proves where they come from, seals them and has the queue or its own spool store
//! them before it answers. It must never answer 2xx for what is not stored, nor 4xx for trouble of our own; it knows no rule,
//! no database and no API key, and it must never change a byte of what was sent.
//!
//! Start reading at [`router`] (the way of one request) and [`admit`] (what makes it an event, pure); what happens
//! while NATS is away is in `queue` and `spool`.

pub mod admit;
mod args;
mod body;
mod circuit;
mod drain;
pub mod endpoint;
mod hush;
mod promise;
mod queue;
pub mod refusal;
mod report;
mod room;
pub mod router;
mod run;
mod spool;
mod watch;

pub use args::Args;
pub use run::{Failure, run};
