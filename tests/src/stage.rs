//! The whole of Gluehook on one machine for one test: nats-server, ingest, worker, and doubles of hotglue and Slack.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::journal::{EventRecord, Outcome};
use sandbox::{Hotglue, Slack, webhook};
use serde_json::Value;
use store::{Access, Store};
use tempfile::TempDir;

use crate::nats::NatsServer;
use crate::postgres::Database;
use crate::program::{PATIENCE, Program, run};

/// Secrets that must never be seen anywhere but in the requests they are for.
pub const WEBHOOK_SECRET: &str = "s3cret-of-the-webhook";
pub const API_KEY: &str = "s3cret-api-key";
pub const SLACK_TOKEN: &str = "xoxb-s3cret-slack-token";

pub const ENV: &str = "dev.hotglue.com";
pub const FLOW: &str = "JClkCC05S";

/// What differs from one test to another.
#[derive(Debug, Default)]
pub struct Setting {
    /// The shipped rulebook unless given.
    pub rules: Option<String>,
    /// Of `[slack]`; none = no pace, so that nothing waits for it.
    pub channel_interval: Option<&'static str>,
    /// Appended to gluehook.toml.
    pub config: String,
    /// Further flags of the worker.
    pub worker: Vec<String>,
    /// No worker is started.
    pub without_worker: bool,
    /// The event log is in Postgres, so that several workers can share it.
    pub postgres: bool,
}

#[derive(Debug)]
pub struct Stage {
    pub dir: TempDir,
    pub nats: NatsServer,
    pub hotglue: Hotglue,
    pub slack: Slack,
    pub ingest: Program,
    pub worker: Option<Program>,
    /// Those started by [`Stage::start_more_workers`].
    pub more_workers: Vec<Program>,
    database: Option<Database>,
    url: String,
    setting: Setting,
    http: reqwest::Client,
    _doubles: [sandbox::Server; 2],
}

impl Stage {
    /// Everything, with the shipped rulebook.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start() -> Self {
        Self::with(Setting::default()).await
    }

    /// # Panics
    /// When something does not start.
    pub async fn with(setting: Setting) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let nats = NatsServer::start().await;
        let hotglue = Hotglue::new(API_KEY);
        let slack = Slack::new(SLACK_TOKEN);
        let doubles = [hotglue.start().await, slack.start().await];
        let schema = r#"{"type":"object","required":["importCredentials"]}"#;
        std::fs::write(dir.path().join("schema.json"), schema).expect("written");
        let config = format!(
            r##"
[[endpoint]]
name = "hotglue"
source = "hotglue"
secrets = ["env:HOTGLUE_WEBHOOK_SECRET"]
[[hotglue.environment]]
env_id = "{ENV}"
base_url = "{}"
api_key = "env:HOTGLUE_API_KEY"
[[hotglue.flow]]
flow_id = "{FLOW}"
schedule = "cron(0 */4 * * *)"
target = "optiply"
target_schedule = "cron(30 */4 * * *)"
config_schema = "schema.json"
[slack]
token = "env:SLACK_BOT_TOKEN"
channel = "#hotglue-webhooks"
base_url = "{}"
channel_interval = "{}"
[retry]
first = "200ms"
most = "1s"
attempts = 5
{}"##,
            doubles[0].url(),
            doubles[1].url(),
            setting.channel_interval.unwrap_or("0s"),
            setting.config
        );
        std::fs::write(dir.path().join("gluehook.toml"), config).expect("written");
        if let Some(rules) = &setting.rules {
            std::fs::write(dir.path().join("rules.toml"), rules).expect("written");
        }
        let flags =
            flags(dir.path(), &nats, &["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--setup"]);
        let ingest = Program::start("gluehook-ingest", &flags, &secrets());
        let line = ingest.line("listening on ").await;
        let address = |after: &str| {
            let rest = line.split(after).nth(1).expect("both addresses are told");
            rest.split([',', ';']).next().expect("an address").to_owned()
        };
        let (url, admin) =
            (format!("http://{}", address("listening on ")), format!("http://{}", address("admin on ")));
        let database = if setting.postgres { Some(Database::create().await) } else { None };
        let mut stage = Self {
            dir,
            nats,
            hotglue,
            slack,
            ingest,
            worker: None,
            more_workers: Vec::new(),
            database,
            url,
            setting,
            http: client(),
            _doubles: doubles,
        };
        stage.ready_to_post(&admin).await;
        if !stage.setting.without_worker {
            stage.start_worker().await;
        }
        stage
    }

    async fn ready_to_post(&self, admin: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            let ready = self.http.get(format!("{admin}/readyz")).send().await;
            if ready.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("ingest did not reach the queue:\n{}", self.ingest.log());
    }

    /// Starts a worker and waits until it takes events.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start_worker(&mut self) {
        let worker = Program::start("gluehook-worker", &self.worker_flags(), &secrets());
        worker.line("taking events").await;
        self.worker = Some(worker);
    }

    /// Starts further workers beside the first, and waits until they take events.
    ///
    /// # Panics
    /// When they do not.
    pub async fn start_more_workers(&mut self, count: usize) {
        for _ in 0..count {
            let worker = Program::start("gluehook-worker", &self.worker_flags(), &secrets());
            worker.line("taking events").await;
            self.more_workers.push(worker);
        }
    }

    #[must_use]
    pub fn worker_flags(&self) -> Vec<String> {
        let database = format!("--database-url={}", self.database_url());
        let mut flags =
            flags(self.dir.path(), &self.nats, &[&database, "--admin-listen=127.0.0.1:0", "--setup"]);
        if self.setting.rules.is_some() {
            flags.push(format!("--rules={}", self.path("rules.toml").display()));
        }
        flags.extend(self.setting.worker.iter().cloned());
        flags
    }

    /// # Panics
    /// When there is no worker.
    pub fn worker(&mut self) -> &mut Program {
        self.worker.as_mut().expect("a worker was started")
    }

    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[must_use]
    pub fn database_url(&self) -> String {
        match &self.database {
            Some(database) => database.url.clone(),
            None => format!("sqlite://{}", self.path("gluehook.db").display()),
        }
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts a signed body; the answer's status and JSON.
    ///
    /// # Panics
    /// When ingest does not answer.
    pub async fn answer(&self, body: &str) -> (u16, Value) {
        let request = self
            .http
            .post(format!("{}/hooks/hotglue", self.url))
            .header("content-type", "application/json")
            .header("x-hub-signature", webhook::sign_sha1_hex(WEBHOOK_SECRET, body))
            .body(body.to_owned());
        let response = request.send().await.expect("ingest answers");
        let status = response.status().as_u16();
        (status, response.json().await.expect("every answer is JSON"))
    }

    /// Posts a signed body that must be stored; its event id.
    ///
    /// # Panics
    /// When it is not stored.
    pub async fn post(&self, body: &str) -> String {
        let (status, answer) = self.answer(body).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until the event log shows this outcome of an event, and returns all that is known of it.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn settled(&self, id: &str, outcome: Outcome) -> EventRecord {
        self.until(id, &format!("be {}", outcome.as_str()), |record| record.row.outcome == outcome).await
    }

    /// Waits until what the event log knows of an event is as told.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn until(&self, id: &str, what: &str, so: impl Fn(&EventRecord) -> bool) -> EventRecord {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut last = None;
        while tokio::time::Instant::now() < deadline {
            if let Ok(log) = Store::open(&self.database_url(), Access::Reader).await {
                if let Ok(Some(record)) = log.event(id).await {
                    if so(&record) {
                        return record;
                    }
                    last = Some(record);
                }
                log.close().await;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let log = self.worker.as_ref().map(Program::log).unwrap_or_default();
        panic!("event {id} was to {what}, but: {last:#?}\nworker:\n{log}");
    }

    /// Runs `gluehook` with the flags that lead it to this stage.
    pub async fn gluehook(&self, args: &[&str]) -> (i32, String, String) {
        let database = format!("--database-url={}", self.database_url());
        let mut all = flags(self.dir.path(), &self.nats, &[&database]);
        if self.setting.rules.is_some() {
            all.push(format!("--rules={}", self.path("rules.toml").display()));
        }
        all.extend(args.iter().map(ToString::to_string));
        run("gluehook", &all, &secrets()).await
    }
}

/// # Panics
/// Never in practice: the client has plain settings.
#[must_use]
pub fn client() -> reqwest::Client {
    let _already = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE).build().expect("a client")
}

#[must_use]
pub fn secrets() -> Vec<(String, String)> {
    [
        ("HOTGLUE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("HOTGLUE_API_KEY", API_KEY),
        ("SLACK_BOT_TOKEN", SLACK_TOKEN),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn flags(dir: &Path, nats: &NatsServer, more: &[&str]) -> Vec<String> {
    let mut flags =
        vec![format!("--config={}", dir.join("gluehook.toml").display()), format!("--nats-url={}", nats.url)];
    flags.extend(more.iter().map(ToString::to_string));
    flags
}
