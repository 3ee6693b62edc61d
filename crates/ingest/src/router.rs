//! The way of one request: endpoint, method, rate, content type, length, body, proof, seal, queue, answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bytes::Bytes;
use service::Clock;
use service::metrics::{IngestMetrics, Outcome};

use crate::admit::admit;
use crate::body;
use crate::endpoint::{Endpoint, Endpoints};
use crate::queue::{Queue, Stored};
use crate::refusal::Refusal;
use crate::room::Room;

/// What a body may take.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// From the end of the header to the end of the body.
    pub(crate) body_time: Duration,
    /// Bytes of all bodies in hand.
    pub(crate) bodies: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_time: Duration::from_secs(10), bodies: 256 << 20 }
    }
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) endpoints: Endpoints,
    pub(crate) queue: Queue,
    pub(crate) metrics: IngestMetrics,
    pub(crate) clock: Clock,
    room: Room,
    body_time: Duration,
}

impl Door {
    pub(crate) fn new(
        endpoints: Endpoints,
        queue: Queue,
        metrics: IngestMetrics,
        clock: Clock,
        limits: &Limits,
    ) -> Self {
        Self { endpoints, queue, metrics, clock, room: Room::new(limits.bodies), body_time: limits.body_time }
    }
}

/// The routes of the public port: `/hooks/{endpoint}` and nothing else.
pub(crate) fn router(door: Arc<Door>) -> Router {
    // One handler for every path, because every answer is one of ours: axum's own 404 and 405 have no body.
    Router::new().fallback(receive).with_state(door)
}

async fn receive(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let endpoint = parts.uri.path().strip_prefix("/hooks/").and_then(|name| door.endpoints.get(name));
    let Some(endpoint) = endpoint else {
        body::discard_unread(&parts.headers, body);
        door.metrics.received(None, Outcome::NotFound);
        return Refusal::UnknownEndpoint.into_response();
    };
    let result = door.take(endpoint, &parts, body).await;
    let outcome = match &result {
        Ok(stored) if stored.duplicate => Outcome::Duplicate,
        Ok(_) => Outcome::Stored,
        Err(refusal) => refusal.outcome(),
    };
    door.metrics.received(Some(endpoint.name()), outcome);
    match result {
        Ok(stored) => stored.into_response(),
        Err(refusal) => {
            door.metrics.refused(Some(endpoint.name()), refusal.cause());
            refusal.into_response()
        }
    }
}

impl Door {
    async fn take(&self, endpoint: &Arc<Endpoint>, parts: &Parts, body: Body) -> Result<Stored, Refusal> {
        if let Err(refusal) = look(endpoint, &parts.method, &parts.headers) {
            body::discard_unread(&parts.headers, body);
            return Err(refusal);
        }
        let mut share = self.room.share();
        let body = body::read(body, endpoint.max_body(), self.body_time, &mut share).await?;
        match admit(endpoint, &parts.headers, &body, self.clock.now()) {
            // Only what is proven counts, or a stranger could use up the sender's rate.
            Ok(envelope) => {
                endpoint.within_rate().map_err(|retry_after| Refusal::TooMany { retry_after })?;
                self.queue.store(envelope, share).await
            }
            Err(refusal) => {
                self.record(endpoint, parts, body, &refusal);
                Err(refusal)
            }
        }
    }

    /// Keeps what was refused for want of proof, and says so, without making its sender wait.
    fn record(&self, endpoint: &Arc<Endpoint>, parts: &Parts, body: Bytes, refusal: &Refusal) {
        let Refusal::Unproven(why) = refusal else { return };
        let kept = self.queue.quarantine(endpoint, &parts.headers, body, *why, self.clock.now());
        if let Some(unsaid) = endpoint.refusals.may_say(Instant::now()) {
            let client = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.to_string());
            tracing::warn!(
                endpoint = endpoint.name(),
                cause = why.cause(),
                client,
                kept,
                not_told_before = unsaid,
                "a request was refused with 401: {why}"
            );
        }
    }
}

/// Looks at a request before its body is read.
fn look(endpoint: &Endpoint, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method != Method::POST {
        return Err(Refusal::Method);
    }
    let accepted = match headers.get(CONTENT_TYPE).map(HeaderValue::to_str) {
        None => endpoint.source().accepts(None),
        Some(Ok(text)) => endpoint.source().accepts(Some(text)),
        Some(Err(_)) => false,
    };
    if !accepted {
        return Err(Refusal::ContentType(endpoint.source()));
    }
    let most = endpoint.max_body();
    // A length that is no number never comes this far: the HTTP server refuses it.
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(Refusal::TooLarge { most });
    }
    Ok(())
}

impl IntoResponse for Stored {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

#[cfg(test)]
mod tests;
