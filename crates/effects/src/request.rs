//! What a call that changes something consists of.

use reqwest::Method;
use serde_json::Value;

use crate::http::Call;

/// Put together in one place ([`crate::World::would`] and what is sent both have it from there), so that what a rule in
/// shadow is recorded to have sent is what a live one sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Begins with `/` and is percent-encoded.
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn call(&self) -> Call<'_> {
        Call { method: self.method.clone(), path: &self.path, query: &[], body: Some(&self.body) }
    }
}
