//! Faults a test can order, and the queue that hands them out.

use std::collections::VecDeque;
use std::time::Duration;

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answer this status and body; nothing takes effect.
    Status(u16, String),
    /// The call takes effect, then this status and body are answered (a gateway that gave up too early).
    StatusAfter(u16, String),
    /// 429 with this body; `retry_after` in seconds becomes the header. Nothing takes effect.
    TooManyRequests {
        /// Seconds of the `Retry-After` header; `None` leaves the header out.
        retry_after: Option<u64>,
        /// The body.
        body: String,
    },
    /// The call takes effect at once, its answer comes this much later.
    Delay(Duration),
    /// Nothing takes effect, and the connection is closed without an answer this much later.
    Hang(Duration),
    /// The connection is closed without an answer; nothing takes effect.
    CutBefore,
    /// The call takes effect, then the connection is closed without an answer.
    CutAfter,
    /// The call takes effect, then this status with an empty body is answered.
    EmptyBody(u16),
    /// The call takes effect; of a JSON object answered only `job_id` remains (hotglue's oldest form).
    JobIdOnly,
}

impl Fault {
    /// API Gateway's 429, with or without `Retry-After` (seconds).
    #[must_use]
    pub fn too_many_requests(retry_after: Option<u64>) -> Self {
        Self::TooManyRequests { retry_after, body: r#"{"message":"Too Many Requests"}"#.into() }
    }

    /// hotglue's 423 `Locked`.
    #[must_use]
    pub fn locked() -> Self {
        Self::Status(423, "Locked".into())
    }

    /// 500 with a text body.
    #[must_use]
    pub fn text_500() -> Self {
        Self::Status(500, "Internal Server Error".into())
    }

    /// 502 with an HTML body, as a load balancer writes it.
    #[must_use]
    pub fn html_502() -> Self {
        Self::Status(
            502,
            "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
                .into(),
        )
    }

    /// API Gateway's 504 with nothing done.
    #[must_use]
    pub fn gateway_504() -> Self {
        Self::Status(504, r#"{"message":"Endpoint request timed out"}"#.into())
    }

    /// API Gateway's 504 after the work was done behind it.
    #[must_use]
    pub fn gateway_504_after() -> Self {
        Self::StatusAfter(504, r#"{"message":"Endpoint request timed out"}"#.into())
    }

    /// API Gateway's 403 for a bad key.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::Status(403, r#"{"message":"Forbidden"}"#.into())
    }

    /// A 400 in lower-case keys, which hotglue's own client tolerates.
    #[must_use]
    pub fn lower_case_400(message: &str) -> Self {
        Self::Status(400, serde_json::json!({"code": "BadRequestError", "message": message}).to_string())
    }

    /// Slack's `200 {"ok":false,"error":…}`.
    #[must_use]
    pub fn slack_error(error: &str) -> Self {
        Self::Status(200, serde_json::json!({"ok": false, "error": error}).to_string())
    }

    /// Slack's 429 with `Retry-After` in seconds.
    #[must_use]
    pub fn slack_rate_limited(retry_after: u64) -> Self {
        Self::TooManyRequests {
            retry_after: Some(retry_after),
            body: r#"{"ok":false,"error":"ratelimited"}"#.into(),
        }
    }
}

/// Which calls a fault is meant for.
#[derive(Debug, Clone, Default)]
struct Matcher {
    method: Option<String>,
    path_part: String,
}

impl Matcher {
    fn on(method: &str, path_part: &str) -> Self {
        Self { method: Some(method.to_ascii_uppercase()), path_part: path_part.into() }
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method) && path.contains(&self.path_part)
    }
}

#[derive(Debug)]
struct Every {
    matcher: Matcher,
    n: usize,
    seen: usize,
    fault: Fault,
}

/// Faults that are waiting for their call.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    queue: VecDeque<(Matcher, Fault)>,
    every: Vec<Every>,
}

impl Faults {
    pub(crate) fn next(&mut self, fault: Fault) {
        self.queue.push_back((Matcher::default(), fault));
    }

    pub(crate) fn next_on(&mut self, method: &str, path_part: &str, fault: Fault) {
        self.queue.push_back((Matcher::on(method, path_part), fault));
    }

    pub(crate) fn every(&mut self, n: usize, fault: Fault) {
        self.every.push(Every { matcher: Matcher::default(), n: n.max(1), seen: 0, fault });
    }

    pub(crate) fn every_on(&mut self, n: usize, method: &str, path_part: &str, fault: Fault) {
        self.every.push(Every { matcher: Matcher::on(method, path_part), n: n.max(1), seen: 0, fault });
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The fault for this call. Queued ones go first; the counters of `every` go on counting either way.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        let mut periodic = None;
        for every in self.every.iter_mut().filter(|every| every.matcher.matches(method, path)) {
            every.seen += 1;
            if every.seen % every.n == 0 && periodic.is_none() {
                periodic = Some(every.fault.clone());
            }
        }
        let place = self.queue.iter().position(|(matcher, _)| matcher.matches(method, path));
        place.and_then(|at| self.queue.remove(at)).map(|(_, fault)| fault).or(periodic)
    }
}
