//! The outside's HTTP: hotglue's REST API and Slack. [`World::observe`] answers a need with a fact, [`World::perform`]
//! does an action and gives a receipt. It must never decide anything, never try again on its own (what failed is a
//! value, [`EffectError`], and whoever calls knows the retry policy), and never let a secret out: not in an error, not
//! in a receipt, not in what it logs, not in a message to Slack.
//!
//! Start reading at [`World`]; how failures are told apart is in `classify`.

mod classify;
mod hotglue;
mod http;
mod outcome;
mod question;
mod request;
mod scrub;
mod slack;
#[cfg(test)]
mod tests;
mod world;

pub use http::Leave;
pub use outcome::{Check, EffectError, Receipt, Service, Told};
pub use question::{Answered, Question};
pub use world::World;

/// Chooses the cryptography of this process (rustls with ring). Safe to call more than once; binaries call it first
/// thing in `main`, because other clients need it too.
pub fn install_crypto() {
    // An error says that a provider is installed already, which is what is wanted.
    rustls::crypto::ring::default_provider().install_default().ok();
}
