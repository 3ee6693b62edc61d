//! An HTTP/1 server that nobody can hold up: axum's own `serve` (0.8) has no limit on how long a header may take,
//! so a client that sends nothing keeps a connection and a shutdown for ever.

mod connection;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a listener rests after an error that is ours (no file descriptors left), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
/// At most one line per this time says that all connections are taken.
const FULL_TOLD_EVERY: Duration = Duration::from_secs(10);

/// What a client may take. All times are per connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time; the next ones wait in the backlog of the operating system.
    pub connections: usize,
    /// From connecting to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a request to the end of its header.
    pub header: Duration,
    /// From one request to the next, and between two writes of an answer.
    ///
    /// Longer than the idle time of the usual proxies (60 s), so that they close first: a request that meets our
    /// closing is lost to a sender that does not try again.
    pub idle: Duration,
    /// Bytes of a header, request line included; beyond it the answer is 431. At least 8192.
    pub header_bytes: usize,
    /// How long a shutdown waits for requests in hand before it cuts them.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            first_byte: Duration::from_secs(5),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            header_bytes: 64 * 1024,
            // Under the 30 s after which Kubernetes kills.
            drain: Duration::from_secs(25),
        }
    }
}

/// Serves `router` on `listener` until `shutdown` is cancelled; then takes no more connections, lets requests in
/// hand finish, closes idle connections, and returns at the latest after [`Limits::drain`].
///
/// A handler finds the peer's address as `ConnectInfo<SocketAddr>`. A handler that panics is answered with a 500
/// and nothing else is disturbed. A handler is dropped when its client goes away, and how long it may take is its
/// own business: so is a body that is sent slowly. Dropping the future cuts all connections.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: CancellationToken) {
    let server = Arc::new(connection::Server::new(router, limits));
    let mut tasks = JoinSet::new();
    accept(listener, &server, &mut tasks, &shutdown).await;

    let open = tasks.len();
    let finished = async { while tasks.join_next().await.is_some() {} };
    if timeout(server.limits.drain, finished).await.is_err() {
        tracing::warn!(
            cut = tasks.len(),
            open,
            "requests did not finish within {:?} of the shutdown and were cut",
            server.limits.drain
        );
        tasks.shutdown().await;
    }
}

/// Takes connections until the shutdown, and then those that the operating system had already taken for us.
async fn accept(
    listener: TcpListener,
    server: &Arc<connection::Server>,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) {
    let room = Arc::new(Semaphore::new(server.limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut full_told = None;
    let mut stop = pin!(shutdown.cancelled());
    loop {
        if room.available_permits() == 0 {
            tell_full(&mut full_told, server.limits.connections);
        }
        let permit = tokio::select! {
            biased;
            () = &mut stop => break,
            Ok(permit) = Arc::clone(&room).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => spawn(server, tasks, shutdown, stream, peer, permit),
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted; trying again");
                tokio::select! { () = &mut stop => break, () = sleep(ACCEPT_PAUSE) => {} }
            }
        }
        while tasks.try_join_next().is_some() {}
    }
    // Their clients believe to be connected and may have sent a webhook; closing the listener would reset them.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
        let Ok((stream, peer)) = listener.accept() else { break };
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            spawn(server, tasks, shutdown, stream, peer, permit);
        }
    }
}

fn spawn(
    server: &Arc<connection::Server>,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let (server, shutdown) = (Arc::clone(server), shutdown.clone());
    tasks.spawn(async move {
        server.connection(stream, peer, &shutdown).await;
        drop(permit);
    });
}

/// The client went away while it waited: nothing to do with us.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn tell_full(told: &mut Option<Instant>, connections: usize) {
    if told.is_none_or(|at| at.elapsed() > FULL_TOLD_EVERY) {
        tracing::warn!(connections, "all connections are taken; the next clients wait");
        *told = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests;
