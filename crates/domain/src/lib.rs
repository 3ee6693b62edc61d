//! What an event is, what we know of the world, what we decide. Pure: no IO, no `async`, no clock, no logging;
//! values in, values out. Whatever compiles here can be tested with values alone.
//!
//! Start reading at [`envelope`] (how an event is sealed at the door), then [`event`] (what it means),
//! [`rulebook`] (what should be done about it) and [`plan`] (the steps).

pub mod action;
pub mod backtest;
pub mod breaker;
pub mod config;
pub mod correction;
pub mod envelope;
pub mod event;
pub mod facts;
pub mod journal;
pub mod names;
pub mod plan;
pub mod redact;
pub mod retry;
pub mod rulebook;
pub mod schema;
pub mod shadow;
pub mod signature;
pub mod span;
pub mod standin;
pub mod storm;
pub mod would;
