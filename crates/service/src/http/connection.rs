//! One connection: hyper serves it, and a watch beside it cuts it when a limit is passed.
//!
//! hyper's own header limit also counts the time between two requests, so that one cannot be short and the other
//! long; nor does it begin before the first byte. The watch therefore sees what passes through the socket.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::{Json, Router};
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::Limits;

/// How long a shutdown waits for the first byte of a connection that was made just before it.
const FIRST_BYTE_IN_SHUTDOWN: Duration = Duration::from_millis(500);

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) limits: Limits,
    router: Router,
    http: http1::Builder,
}

impl Server {
    pub(super) fn new(router: Router, limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(limits.header_bytes.max(8192));
        Self { limits, router, http }
    }

    /// Serves one connection to its end.
    pub(super) async fn connection(&self, stream: TcpStream, peer: SocketAddr, shutdown: &CancellationToken) {
        // Answers are small and written at once; waiting to fill a packet only delays them. If it fails, it only delays.
        let _ = stream.set_nodelay(true);
        let phase = Watch::new();
        let socket = Socket { stream, phase: phase.clone() };
        let service = service_fn(|request: Request<Incoming>| {
            phase.set(Phase::Busy);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = answer(self.router.clone(), request);
            let phase = phase.clone();
            async move {
                let response = answer.await;
                phase.set(Phase::Idle(Instant::now()));
                Ok::<_, Infallible>(response)
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(socket), service);
        match self.watched(connection, &phase, shutdown).await {
            End::Closed(Ok(())) => {}
            // Clients that go away or speak something else are daily bread, not our trouble.
            End::Closed(Err(error)) => tracing::debug!(%peer, %error, "a connection ended badly"),
            End::TooSlow(Phase::Idle(_)) => {}
            End::TooSlow(phase) => tracing::debug!(%peer, ?phase, "a client was too slow and was cut"),
        }
    }

    async fn watched<C>(&self, connection: C, watch: &Watch, shutdown: &CancellationToken) -> End
    where
        C: Future<Output = hyper::Result<()>> + Graceful,
    {
        let mut connection = pin!(connection);
        let mut alarm = pin!(sleep_until(Instant::now() + self.limits.first_byte));
        let mut stop = pin!(shutdown.cancelled());
        // When the shutdown reached this connection, and whether hyper was told of it.
        let mut stopping: Option<Instant> = None;
        let mut told = false;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(End::Closed(result));
                }
                if stopping.is_none() && stop.as_mut().poll(cx).is_ready() {
                    stopping = Some(Instant::now());
                }
                let phase = watch.get();
                // hyper closes a connection without a byte at once when told; its first request may be on the way.
                if stopping.is_some() && !told && !matches!(phase, Phase::Fresh(_)) {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                let Some(deadline) = phase.deadline(&self.limits, stopping) else { return Poll::Pending };
                // An alarm that is too early is moved when it rings, so that the usual request moves none.
                if deadline < alarm.deadline() {
                    alarm.as_mut().reset(deadline);
                }
                ready!(alarm.as_mut().poll(cx));
                if deadline <= Instant::now() {
                    return Poll::Ready(End::TooSlow(phase));
                }
                alarm.as_mut().reset(deadline);
            }
        })
        .await
    }
}

enum End {
    Closed(hyper::Result<()>),
    TooSlow(Phase),
}

/// hyper's connection, whose full type cannot be written because it holds a closure.
trait Graceful {
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<S> Graceful for http1::Connection<TokioIo<Socket>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

/// Asks the router; a panic of a handler becomes an answer. What it said was already logged by the panic hook.
async fn answer(router: Router, request: Request<Body>) -> Response<Body> {
    match AssertUnwindSafe(router.oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_panic) => {
            let body = serde_json::json!({ "error": "something went wrong on our side" });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
    }
}

/// What a connection is doing, and since when.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Connected; not a byte has come.
    Fresh(Instant),
    /// A request has begun; its header is not complete.
    Header(Instant),
    /// A handler has it.
    Busy,
    /// An answer is being written, or the next request awaited.
    Idle(Instant),
}

impl Phase {
    fn deadline(self, limits: &Limits, stopping: Option<Instant>) -> Option<Instant> {
        match self {
            Self::Fresh(since) => {
                let deadline = since + limits.first_byte;
                Some(stopping.map_or(deadline, |at| deadline.min(at + FIRST_BYTE_IN_SHUTDOWN)))
            }
            Self::Header(since) => Some(since + limits.header),
            Self::Busy => None,
            Self::Idle(since) => Some(since + limits.idle),
        }
    }
}

/// The phase of a connection, shared by its socket, its handler and its watch (all in one task, so never contended).
#[derive(Debug, Clone)]
struct Watch(Arc<Mutex<Phase>>);

impl Watch {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase::Fresh(Instant::now()))))
    }

    fn get(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn bytes_came(&self) {
        if matches!(self.get(), Phase::Fresh(_) | Phase::Idle(_)) {
            self.set(Phase::Header(Instant::now()));
        }
    }

    fn bytes_went(&self) {
        if matches!(self.get(), Phase::Idle(_)) {
            self.set(Phase::Idle(Instant::now()));
        }
    }
}

/// A socket that tells the watch what passes.
struct Socket {
    stream: TcpStream,
    phase: Watch,
}

impl Socket {
    fn went(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = result {
            self.phase.bytes_went();
        }
        result
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.phase.bytes_came();
        }
        result
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.went(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.went(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
