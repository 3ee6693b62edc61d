//! The queue: the only crate that knows NATS. It publishes envelopes, hands out deliveries that are settled by value,
//! keeps dead letters, replays and refused requests, and creates and verifies the streams they live in. It must never
//! decide what an event means, never call a message stored before NATS has acknowledged it, and never print a
//! password. Start reading at [`Bus`], then [`StreamName`], [`Publisher`] and [`Consumer`].

pub mod acting;
mod args;
mod connect;
mod consumer;
pub mod dead;
mod delivery;
mod denied;
mod mark;
mod monitor;
pub mod permissions;
mod publisher;
mod read;
pub mod rejected;
pub mod replay;
pub mod topology;
pub mod wire;

pub use args::{Args, NatsUrl};
pub use connect::{Bus, ConnectError, State};
pub use consumer::{ConsumeError, Consumer, Pending};
pub use delivery::{Burial, Delivery, KeepAlive, Replay, SettleError};
pub use denied::Denied;
pub use mark::{Mark, Room, mark};
pub use monitor::{MonitorArgs, MonitorUrl, Monitored, Sync, monitored};
pub use publisher::{PUBLISH_TIMEOUT, PublishError, Published, Publisher};
pub use read::ReadError;
pub use rejected::Rejected;
pub use topology::{Change, CheckError, Difference, Existing, Harm, SetupError, StreamName, check, setup};
