//! The HTTP skin both doubles share: an accept loop of our own over hyper, because a double must be able to close a
//! connection without a status line, which a handler of a framework can't.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming as Body;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::call::param;

/// API Gateway's payload limit.
const LARGEST_BODY: usize = 10 * 1024 * 1024;

/// A double that is listening. It stops when dropped; the model it shows lives on and can be served again.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// `http://127.0.0.1:port`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it and returns when the port is free again and every connection is closed.
    pub async fn stop(mut self) {
        self.task.abort();
        // Being aborted is the outcome asked for.
        (&mut self.task).await.unwrap_or_default();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request, read to its end.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The path's segments, each decoded on its own, so that `%2F` stays inside its segment.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Incoming {
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        param(&self.query, name)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON, or `None` when it isn't JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What a [`crate::Call`] keeps of the body.
    pub(crate) fn body_as_recorded(&self) -> Option<Value> {
        if self.body.is_empty() {
            return None;
        }
        Some(self.json().unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned().into()))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
}

impl Reply {
    /// The content type follows from how the text begins.
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, retry_after: None, body: body.into() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string())
    }

    fn content_type(&self) -> &'static str {
        match self.body.as_bytes().first() {
            Some(b'{' | b'[') => "application/json",
            Some(b'<') => "text/html",
            _ if serde_json::from_str::<Value>(&self.body).is_ok() => "application/json",
            _ => "text/plain; charset=utf-8",
        }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let content_type = HeaderValue::from_static(self.content_type());
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What happens to a connection after the model was asked.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` closes the connection without a byte.
    pub(crate) reply: Option<Reply>,
    pub(crate) delay: Duration,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self { reply: Some(reply), delay: Duration::ZERO }
    }
}

/// Returned to hyper as a service error: hyper then drops the socket and writes nothing.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the double cut this connection on purpose")
    }
}

impl std::error::Error for Cut {}

/// Serves `handle` on a bound listener. Must be called inside a tokio runtime.
pub(crate) fn serve<H>(listener: TcpListener, handle: H) -> Server
where
    H: Fn(&Incoming) -> Outcome + Clone + Send + Sync + 'static,
{
    let address = listener.local_addr().expect("a bound listener has an address");
    let task = tokio::spawn(async move {
        // Dropped with this task, and with it every connection.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // A failed accept (client gone, descriptors used up) says nothing about the next one.
                    let Ok((stream, _)) = accepted else { tokio::task::yield_now().await; continue };
                    let handle = handle.clone();
                    connections.spawn(async move {
                        let service = service_fn(move |request| answer(request, handle.clone()));
                        let served = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                        // A cut or a client that went away: the model has recorded what matters.
                        drop(served);
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Server { address, task }
}

/// Binds a free port of 127.0.0.1.
///
/// # Panics
/// When the machine has no free port on 127.0.0.1.
pub(crate) async fn free_listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.expect("127.0.0.1 has a free port")
}

async fn answer<H>(request: Request<Body>, handle: H) -> Result<Response<Full<Bytes>>, Cut>
where
    H: Fn(&Incoming) -> Outcome,
{
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(Reply::text(413, r#"{"message":"Request Too Long"}"#).into_response());
        }
        Err(_) => return Err(Cut),
    };
    let path = head.uri.path().to_owned();
    let Some(segments) = path.trim_start_matches('/').split('/').map(decode).collect() else {
        return Ok(Reply::text(400, r#"{"message":"Bad Request"}"#).into_response());
    };
    let incoming = Incoming {
        method: head.method.as_str().to_owned(),
        segments,
        query: pairs(head.uri.query().unwrap_or_default()),
        path,
        headers: head.headers,
        body,
    };
    let Outcome { reply, delay } = handle(&incoming);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    reply.map(Reply::into_response).ok_or(Cut)
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(name), plain(value))
        })
        .collect()
}

/// A client for the tests of the doubles.
#[cfg(test)]
pub(crate) mod testing {
    use std::time::Duration;

    pub(crate) fn client() -> reqwest::Client {
        // Fails when another test of this process was first, which is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a plain client")
    }
}
