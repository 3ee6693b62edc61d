//! What nats-server tells on its monitoring port and no client is told: whether what it has acknowledged is on its disk.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// Longest wait for the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of an answer; it has less than two thousand.
const ANSWER_MOST: usize = 1 << 20;

/// The flag that says where the monitoring port is: `#[command(flatten)]` it.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "NATS")]
#[group(skip)]
pub struct MonitorArgs {
    /// Monitoring port of nats-server: it tells whether an acknowledged event survives a power cut
    #[arg(long, env = "GLUEHOOK_NATS_MONITOR_URL", hide_env_values = true, value_name = "URL")]
    pub nats_monitor_url: Option<MonitorUrl>,
}

/// `http://HOST:PORT` of a monitoring port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorUrl(String);

impl FromStr for MonitorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What was written may hold a password.
        let wrong =
            || "write http://HOST:PORT, such as http://127.0.0.1:8222, without user and password".to_owned();
        let authority = text.trim().strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        let fits = |c: char| c.is_ascii_graphic() && !"/?#@".contains(c);
        if host.is_empty() || !host.chars().all(fits) || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self(authority.to_owned()))
    }
}

impl fmt::Display for MonitorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// When what a server has acknowledged is on its disk (`sync_interval` in its configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before it acknowledges.
    Always,
    /// So long after it has, at the latest.
    Every(Duration),
}

/// What a server tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitored {
    /// As [`crate::Bus::server_id`].
    pub server_id: String,
    pub sync: Sync,
}

/// Asks the server behind `url`.
///
/// # Errors
/// One sentence, where it does not answer, or not as nats-server does.
pub async fn monitored(url: &MonitorUrl) -> Result<Monitored, String> {
    let told = tokio::time::timeout(PATIENCE, ask(url)).await;
    let told = told.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
    told.map_err(|why| format!("nats-server's monitoring port {url} does not tell how it syncs: {why}"))
}

/// The part of `/jsz` that matters; it has had the two fields of the configuration since 2.10.
#[derive(Deserialize)]
struct Jsz {
    server_id: String,
    #[serde(default)]
    disabled: bool,
    config: Option<JszConfig>,
}

#[derive(Deserialize)]
struct JszConfig {
    /// In nanoseconds.
    sync_interval: Option<u64>,
    #[serde(default)]
    sync_always: bool,
}

async fn ask(url: &MonitorUrl) -> Result<Monitored, String> {
    let stream = TcpStream::connect(&url.0).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with the sender.
    tokio::spawn(connection);
    let request = Request::get("/jsz").header(HOST, &url.0).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("/jsz answers {}", answer.status()));
    }
    let body =
        Limited::new(answer.into_body(), ANSWER_MOST).collect().await.map_err(|error| error.to_string())?;
    read(body.aggregate())
}

fn read(body: impl bytes::Buf) -> Result<Monitored, String> {
    let jsz: Jsz = serde_json::from_reader(body.reader())
        .map_err(|error| format!("/jsz is not that of nats-server ({error})"))?;
    let config = jsz.config.filter(|_| !jsz.disabled).ok_or("its JetStream is off")?;
    let sync = match config {
        JszConfig { sync_always: true, .. } => Sync::Always,
        JszConfig { sync_interval: Some(nanos), .. } => Sync::Every(Duration::from_nanos(nanos)),
        JszConfig { sync_interval: None, .. } => return Err("nats-server 2.10 or newer does".to_owned()),
    };
    Ok(Monitored { server_id: jsz.server_id, sync })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_is_a_host_and_a_port() {
        for good in ["http://127.0.0.1:8222", "http://nats:8222/", "http://[::1]:8222"] {
            let url: MonitorUrl = good.parse().unwrap();
            assert_eq!(url.to_string(), good.trim_end_matches('/'));
        }
        for wrong in
            ["", "nats:8222", "https://nats:8222", "http://nats", "http://:1", "http://u@n:1", "http://n:1/x"]
        {
            let why = wrong.parse::<MonitorUrl>().unwrap_err();
            assert!(why.contains("http://HOST:PORT"), "{wrong}: {why}");
        }
    }

    #[test]
    fn both_ways_to_sync_are_read_and_anything_else_is_a_sentence() {
        let read = |text: &str| read(text.as_bytes()).map(|told| told.sync);
        let server = |config: &str| format!(r#"{{"server_id":"N1","config":{config}}}"#);
        let always = server(r#"{"sync_interval":120000000000,"sync_always":true}"#);
        assert_eq!(read(&always), Ok(Sync::Always));
        let default = server(r#"{"sync_interval":120000000000}"#);
        assert_eq!(read(&default), Ok(Sync::Every(Duration::from_secs(120))));
        assert!(read(&server("{}")).unwrap_err().contains("2.10"));
        assert!(read(r#"{"server_id":"N1","disabled":true,"config":{}}"#).unwrap_err().contains("off"));
        assert!(read("<html>").unwrap_err().contains("not that of nats-server"));
    }
}
