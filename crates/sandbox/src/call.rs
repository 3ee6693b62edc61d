//! What a double received.

use serde::Serialize;
use serde_json::Value;

/// One request that reached a double, whether it was answered or not. Headers are not kept: they carry keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// Upper-case method.
    pub method: String,
    /// The path as sent, still percent-encoded, without the query.
    pub path: String,
    /// The query's pairs in order, decoded.
    pub query: Vec<(String, String)>,
    /// The body as JSON; a body that isn't JSON is a JSON string of its text; an empty body is `None`.
    pub body: Option<Value>,
    /// The status answered; `None` when the connection was cut instead.
    pub status: Option<u16>,
    /// Place among all calls of this double, from 0. Effects carry the number of the call that made them.
    pub at_order: usize,
    /// When it arrived.
    #[serde(skip)]
    pub at: std::time::Instant,
}

impl Call {
    /// The first value of a query parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.query, name)
    }

    /// True when the method is `method` and the path contains `path_part`.
    #[must_use]
    pub fn is(&self, method: &str, path_part: &str) -> bool {
        self.method.eq_ignore_ascii_case(method) && self.path.contains(path_part)
    }
}

pub(crate) fn param<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
