//! The part every double has in front of its model: it counts calls, hands out faults, and wakes those who wait.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::call::Call;
use crate::fault::{Fault, Faults};
use crate::http::{Incoming, Outcome, Reply};

#[derive(Debug, Default)]
pub(crate) struct Door {
    pub(crate) calls: Vec<Call>,
    pub(crate) faults: Faults,
}

impl Door {
    /// Lets one request through to the model, or not, as the faults say. `model` gets the order of this call.
    pub(crate) fn pass(&mut self, request: &Incoming, model: impl FnOnce(usize) -> Reply) -> Outcome {
        let order = self.calls.len();
        let mut delay = Duration::ZERO;
        let reply = match self.faults.take(&request.method, &request.path) {
            None => Some(model(order)),
            Some(Fault::Status(status, body)) => Some(Reply::text(status, body)),
            Some(Fault::StatusAfter(status, body)) => {
                model(order);
                Some(Reply::text(status, body))
            }
            Some(Fault::TooManyRequests { retry_after, body }) => {
                Some(Reply { retry_after, ..Reply::text(429, body) })
            }
            Some(Fault::Delay(length)) => {
                delay = length;
                Some(model(order))
            }
            Some(Fault::Hang(length)) => {
                delay = length;
                None
            }
            Some(Fault::CutBefore) => None,
            Some(Fault::CutAfter) => {
                model(order);
                None
            }
            Some(Fault::EmptyBody(status)) => {
                model(order);
                Some(Reply::text(status, ""))
            }
            Some(Fault::JobIdOnly) => Some(job_id_only(model(order))),
        };
        self.calls.push(Call {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            body: request.body_as_recorded(),
            status: reply.as_ref().map(|reply| reply.status),
            at_order: order,
            at: std::time::Instant::now(),
        });
        Outcome { reply, delay }
    }
}

fn job_id_only(reply: Reply) -> Reply {
    match serde_json::from_str::<Value>(&reply.body) {
        Ok(Value::Object(fields)) if fields.contains_key("job_id") => {
            Reply::json(reply.status, &json!({"job_id": fields["job_id"]}))
        }
        _ => reply,
    }
}

/// Waits until `condition` holds, looking after every call; false when it doesn't within `limit`.
pub(crate) async fn until(moved: &Notify, limit: Duration, condition: impl Fn() -> bool) -> bool {
    let waiting = async {
        loop {
            let next = moved.notified();
            tokio::pin!(next);
            // Listening begins before looking, so that no call slips through between the two.
            next.as_mut().enable();
            if condition() {
                return;
            }
            next.await;
        }
    };
    tokio::time::timeout(limit, waiting).await.is_ok()
}
