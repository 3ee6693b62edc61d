//! `gluehook-ingest` as a process, and a client that may send anything.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use domain::signature::sign_hotglue;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::program::{PATIENCE, Program};

/// The first of the two secrets of the endpoint `hotglue`.
pub const SECRET: &str = "s3cret-of-the-door";
/// The second one.
pub const NEXT_SECRET: &str = "s3cret-after-rotation";

const ENDPOINT: &str = "[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\nsecrets = [\"env:SECRET\", \"env:NEXT_SECRET\"]\n";

/// How one test's ingest differs from the next one's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setting<'a> {
    /// Settings of the endpoint `hotglue`, and then further tables.
    pub more: &'a str,
    /// The streams are left as they are.
    pub without_setup: bool,
    /// Further flags.
    pub flags: &'a [String],
    /// What a shell does before it becomes ingest, such as to set limits.
    pub shell: Option<&'a str>,
}

/// A running `gluehook-ingest`. Killed when dropped.
#[derive(Debug)]
pub struct Ingest {
    pub program: Program,
    /// Where webhooks are posted to.
    pub address: SocketAddr,
    /// Where the probes are.
    pub admin: SocketAddr,
    _home: TempDir,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// # Panics
    /// When the body is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The one sentence of an error.
    ///
    /// # Panics
    /// When it is no error of ours.
    #[must_use]
    pub fn error(&self) -> String {
        self.json()["error"].as_str().expect("an error has its sentence").to_owned()
    }

    /// The id of the event that was stored, and whether it was there before.
    ///
    /// # Panics
    /// When none was.
    #[must_use]
    pub fn stored(&self) -> (String, bool) {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        let id = json["id"].as_str().expect("an id").to_owned();
        (id, json["duplicate"].as_bool().expect("a word on duplicates"))
    }
}

impl Ingest {
    /// Starts it, and waits until it can store.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(nats: &str) -> Self {
        Self::with(nats, Setting::default()).await
    }

    /// As [`Ingest::start`], with other settings.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with(nats: &str, setting: Setting<'_>) -> Self {
        let ingest = Self::listening(nats, setting).await;
        ingest.until_ready(true).await;
        ingest
    }

    /// Starts it, and waits until it listens: NATS may be away.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn listening(nats: &str, setting: Setting<'_>) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut flags = flags(&home, &format!("{ENDPOINT}{}", setting.more), nats, !setting.without_setup);
        flags.extend_from_slice(setting.flags);
        let program = match setting.shell {
            None => Program::start("gluehook-ingest", &flags, &secrets()),
            Some(script) => Program::start_by_shell(script, "gluehook-ingest", &flags, &secrets()),
        };
        let line = program.line("listening on ").await;
        let address = |after: &str| {
            let rest = line.split(after).nth(1).expect("both addresses are told");
            rest.split([',', ';']).next().and_then(|text| text.parse().ok()).expect("an address")
        };
        let (address, admin) = (address("listening on "), address("admin on "));
        Self { program, address, admin, _home: home }
    }

    /// Waits until `/readyz` says so.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn until_ready(&self, ready: bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = get(self.admin, "/readyz").await;
            if (answer.status == 200) == ready {
                return answer.json();
            }
            assert!(Instant::now() < deadline, "{answer:?}\n{}", self.program.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The answer of `/readyz`.
    pub async fn readyz(&self) -> Answer {
        get(self.admin, "/readyz").await
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        get(self.admin, "/metrics").await.body
    }

    /// Waits until a metric without labels has a value that will do.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn until_metric(&self, name: &str, so: impl Fn(u64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics().await;
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            if line.is_some_and(&so) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is {line:?}\n{}", self.program.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Posts `body` to the endpoint `hotglue`, signed with [`SECRET`]; none when ingest goes away meanwhile.
    pub async fn try_post(&self, body: &[u8]) -> Option<Answer> {
        let signature = sign(SECRET, body);
        let request = request("POST", "/hooks/hotglue", &[("x-hub-signature", &signature)], body);
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        stream.write_all(&request).await.ok()?;
        let mut came = Vec::new();
        loop {
            if let Some(answer) = parse(&came) {
                return Some(answer);
            }
            match timeout(PATIENCE, stream.read_buf(&mut came)).await {
                Ok(Ok(1..)) => {}
                _ => return None,
            }
        }
    }

    /// Posts `body` to the endpoint `hotglue`, signed with [`SECRET`].
    pub async fn post(&self, body: &[u8]) -> Answer {
        self.post_with(&[("x-hub-signature", &sign(SECRET, body))], body).await
    }

    /// Posts `body` to the endpoint `hotglue` with these headers.
    pub async fn post_with(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.ask(&request("POST", "/hooks/hotglue", headers, body)).await
    }

    /// Sends whatever it is, and reads one answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn ask(&self, bytes: &[u8]) -> Answer {
        ask(self.address, bytes).await
    }
}

/// The environment in which [`flags`] find their secrets.
#[must_use]
pub fn secrets() -> Vec<(String, String)> {
    [("SECRET", SECRET), ("NEXT_SECRET", NEXT_SECRET)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Writes the configuration and makes the flags that lead to it.
///
/// # Panics
/// When it can't be written.
#[must_use]
pub fn flags(home: &TempDir, config: &str, nats: &str, setup: bool) -> Vec<String> {
    let path = home.path().join("gluehook.toml");
    std::fs::write(&path, config).expect("written");
    let mut flags = vec![
        format!("--config={}", path.display()),
        format!("--nats-url={nats}"),
        "--listen=127.0.0.1:0".to_owned(),
        "--admin-listen=127.0.0.1:0".to_owned(),
    ];
    if setup {
        flags.push("--setup".to_owned());
    }
    flags
}

/// hotglue's signature.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    sign_hotglue(&secret.as_bytes().to_vec().into(), body)
}

/// The bytes of a request.
///
/// # Panics
/// Never: text grows without errors.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("text grows");
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await
}

async fn ask(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("someone listens");
    stream.write_all(bytes).await.expect("sent");
    answer(&mut stream).await
}

/// Reads one answer, whose body has a length.
///
/// # Panics
/// When there is none.
pub async fn answer(stream: &mut TcpStream) -> Answer {
    let mut came = Vec::new();
    loop {
        if let Some(answer) = parse(&came) {
            return answer;
        }
        let mut bytes = [0; 8192];
        let read =
            timeout(PATIENCE, stream.read(&mut bytes)).await.expect("an answer comes").expect("no reset");
        assert_ne!(read, 0, "the connection ended after {:?}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&bytes[..read]);
    }
}

fn parse(came: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(came).expect("we answer in UTF-8");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap_or(0));
    (body.len() >= length).then(|| Answer { status, headers, body: body.to_owned() })
}
