use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::*;

/// Far beyond any limit that a test sets: whoever waits so long waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

struct Served {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    /// `/wait` tells that it has begun, and ends when told.
    begun: Arc<Notify>,
    release: Arc<Notify>,
}

impl Served {
    async fn with(limits: Limits) -> Self {
        let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, told) = (Arc::clone(&begun), Arc::clone(&release));
        let wait = || async move {
            tell.notify_one();
            told.notified().await;
            "waited"
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
            .route("/panic", get(|| async { panic!("handler fell over") as &'static str }))
            .route("/wait", get(wait));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
        Self { address, shutdown, task, begun, release }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits for the server to return.
    async fn ended(self) {
        timeout(PATIENCE, self.task).await.expect("the server does not return").unwrap();
    }
}

async fn ask(client: &mut TcpStream, path: &str) {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
}

/// Reads one answer, whose body has a length: status and body.
async fn answer(client: &mut TcpStream) -> (u16, String) {
    let mut text = String::new();
    loop {
        if let Some((header, body)) = text.split_once("\r\n\r\n") {
            let length = header.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() == length.parse::<usize>().unwrap() {
                return (header[9..12].parse().unwrap(), body.to_owned());
            }
        }
        let mut bytes = [0; 1024];
        let read = timeout(PATIENCE, client.read(&mut bytes)).await.expect("no answer").unwrap();
        assert_ne!(read, 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
}

/// Waits for the server to end the connection; what it said before is returned.
async fn cut(client: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // An error is a reset: cut as well.
    let _ = timeout(PATIENCE, client.read_to_end(&mut said)).await.expect("the connection stays open");
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_and_the_peer_is_known() {
    let served = Served::with(Limits::default()).await;
    let mut client = served.connect().await;
    ask(&mut client, "/").await;
    assert_eq!(answer(&mut client).await, (200, "hello".to_owned()));
    ask(&mut client, "/peer").await;
    assert_eq!(answer(&mut client).await.1, client.local_addr().unwrap().to_string());
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_cut() {
    let served = Served::with(Limits { first_byte: SHORT, ..Limits::default() }).await;
    let mut client = served.connect().await;
    let start = Instant::now();
    assert_eq!(cut(&mut client).await, "");
    assert!(start.elapsed() >= SHORT / 2 && start.elapsed() < Limits::default().first_byte);
}

#[tokio::test]
async fn half_a_header_is_cut_after_the_header_limit() {
    let served = Served::with(Limits { header: SHORT, ..Limits::default() }).await;
    let mut client = served.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let start = Instant::now();
    cut(&mut client).await;
    assert!(start.elapsed() < Limits::default().first_byte, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_header_sent_byte_by_byte_is_cut_although_something_always_comes() {
    let served = Served::with(Limits { header: SHORT, ..Limits::default() }).await;
    let mut client = served.connect().await;
    // The second request of the connection, so that the limit holds for each.
    ask(&mut client, "/").await;
    answer(&mut client).await;
    let (mut reads, mut writes) = client.split();
    let drip = async {
        let mut tick = interval(SHORT / 10);
        while writes.write_all(b"X").await.is_ok() {
            tick.tick().await;
        }
    };
    let mut said = Vec::new();
    let end = async {
        let _ = reads.read_to_end(&mut said).await;
    };
    timeout(PATIENCE, async {
        tokio::select! { () = drip => {}, () = end => {} }
    })
    .await
    .expect("never cut");
}

#[tokio::test]
async fn an_idle_connection_is_cut_after_the_idle_limit() {
    let served = Served::with(Limits { idle: SHORT, ..Limits::default() }).await;
    let mut client = served.connect().await;
    ask(&mut client, "/").await;
    answer(&mut client).await;
    assert_eq!(cut(&mut client).await, "");
}

#[tokio::test]
async fn between_two_requests_only_the_idle_limit_counts() {
    let limits = Limits { header: SHORT, first_byte: SHORT, ..Limits::default() };
    let served = Served::with(limits).await;
    let mut client = served.connect().await;
    ask(&mut client, "/").await;
    answer(&mut client).await;
    // That nothing happens can only be seen by waiting.
    assert!(timeout(SHORT * 3, client.readable()).await.is_err(), "cut too early");
    ask(&mut client, "/").await;
    assert_eq!(answer(&mut client).await.0, 200);
}

#[tokio::test]
async fn a_handler_may_take_longer_than_all_limits_of_a_connection() {
    let limits = Limits { header: SHORT, first_byte: SHORT, idle: SHORT, ..Limits::default() };
    let served = Served::with(limits).await;
    let mut client = served.connect().await;
    ask(&mut client, "/wait").await;
    assert!(timeout(SHORT * 3, client.readable()).await.is_err(), "cut too early");
    served.release.notify_one();
    assert_eq!(answer(&mut client).await.0, 200);
}

#[tokio::test]
async fn a_header_that_is_too_large_is_answered_431() {
    let served = Served::with(Limits { header_bytes: 8192, ..Limits::default() }).await;
    let mut client = served.connect().await;
    let header = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(10_000));
    client.write_all(header.as_bytes()).await.unwrap();
    assert!(cut(&mut client).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_panic_of_a_handler_is_a_500_and_disturbs_nothing_else() {
    let served = Served::with(Limits::default()).await;
    let mut client = served.connect().await;
    ask(&mut client, "/panic").await;
    let (status, body) = answer(&mut client).await;
    assert_eq!((status, body.as_str()), (500, r#"{"error":"something went wrong on our side"}"#));
    ask(&mut client, "/").await;
    assert_eq!(answer(&mut client).await.0, 200);
}

#[tokio::test]
async fn beyond_the_limit_a_client_waits_until_another_leaves() {
    let served = Served::with(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = served.connect().await;
    ask(&mut first, "/").await;
    answer(&mut first).await;
    let mut second = served.connect().await;
    ask(&mut second, "/").await;
    assert!(timeout(SHORT, second.readable()).await.is_err(), "served beyond the limit");
    drop(first);
    assert_eq!(answer(&mut second).await.0, 200);
}

#[tokio::test]
async fn a_request_in_hand_is_finished_on_shutdown_and_new_clients_are_refused() {
    let served = Served::with(Limits::default()).await;
    let mut client = served.connect().await;
    ask(&mut client, "/wait").await;
    served.begun.notified().await;
    served.shutdown.cancel();
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(served.address).await.is_ok() {
        assert!(Instant::now() < deadline, "still listening");
        tokio::task::yield_now().await;
    }
    assert!(!served.task.is_finished());
    served.release.notify_one();
    assert_eq!(answer(&mut client).await, (200, "waited".to_owned()));
    assert_eq!(cut(&mut client).await, "");
    served.ended().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_idle_or_silent_connections() {
    let served = Served::with(Limits::default()).await;
    let mut idle = served.connect().await;
    ask(&mut idle, "/").await;
    answer(&mut idle).await;
    let _silent = served.connect().await;
    let start = Instant::now();
    served.shutdown.cancel();
    served.ended().await;
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_request_of_a_connection_made_just_before_the_shutdown_is_answered() {
    let served = Served::with(Limits { connections: 8, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(served.connect().await);
    }
    served.shutdown.cancel();
    for client in &mut clients {
        ask(client, "/").await;
    }
    for client in &mut clients {
        assert_eq!(answer(client).await.0, 200);
    }
    served.ended().await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_when_the_drain_is_over() {
    let served = Served::with(Limits { drain: SHORT, ..Limits::default() }).await;
    let mut client = served.connect().await;
    ask(&mut client, "/wait").await;
    served.begun.notified().await;
    served.shutdown.cancel();
    assert_eq!(cut(&mut client).await, "");
    served.ended().await;
}

const CHILD: &str = "ACCEPT_TEST_CHILD";

/// Runs itself as a child that may have few files open.
#[test]
fn running_out_of_file_descriptors_only_delays_a_client() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(without_descriptors());
    }
    let child = std::process::Command::new("sh")
        .args(["-c", r#"ulimit -n 64 && exec "$0" --exact --nocapture "$1""#])
        .arg(std::env::current_exe().unwrap())
        .arg("http::tests::running_out_of_file_descriptors_only_delays_a_client")
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

async fn without_descriptors() {
    let served = Served::with(Limits::default()).await;
    // On one thread the server cannot accept before we wait.
    let client = std::net::TcpStream::connect(served.address).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut client = TcpStream::from_std(client).unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    assert!(taken.len() < 64, "the limit is not in force");
    ask(&mut client, "/").await;
    assert!(timeout(SHORT, client.readable()).await.is_err(), "accepted without a descriptor");
    drop(taken);
    assert_eq!(answer(&mut client).await.0, 200);
}
