//! Everything that runs: nats-server, ingest, workers and the event log as real processes, hotglue and Slack as doubles.

use std::fs;
use std::path::{Path, PathBuf};

use bus::dead::DeadLetter;
use bus::{Bus, StreamName};
use domain::journal::{EventRecord, EventRow, Filter};
use sandbox::{Hotglue, Slack};
use serde_json::json;
use store::{Access, Store};

use super::broker::Broker;
use super::load::Load;
use super::process::Process;
use super::reached;
use super::scenario::{Database, Needs, Spool};
use crate::postgres;
use crate::program::binary;
use crate::program::free_ports;
use crate::stage::{API_KEY, ENV, FLOW, SLACK_TOKEN, client, secrets};

/// The shell refuses files of more than 256 KiB; a write beyond is an error, as on a full disk or over a quota.
const SMALL_DISK: &str = "trap '' XFSZ; ulimit -f 512";

/// Each rule has its own trouble: a message with no way to be sure, a schedule that newer events set anew, a job whose name is
/// its identity, and a value that is remembered from event to event.
const RULES: &str = r#"
[[rule]]
name = "tell"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "slack"
text = "told {{ event.job_id }}"

[[rule]]
name = "off"
on = ["job"]
when = ["event.failed"]
[[rule.do]]
action = "disable_schedule"
of = "source"

[[rule]]
name = "on"
on = ["job"]
when = ["event.completed", "tenant.config_valid"]
[[rule.do]]
action = "enable_schedule"

[[rule]]
name = "run"
on = ["job"]
when = ["event.completed", "event.job_name == 'start'"]
[[rule.do]]
action = "run_job"
tap = "{{ event.tap }}"
name = "started-{{ event.job_id }}"
[[rule.do]]
action = "slack"
text = "started {{ event.job_id }}"

[[rule]]
name = "news"
on = ["job"]
when = ["event.failed or event.completed"]
changed = "event.status"
[[rule.do]]
action = "slack"
text = "news {{ event.job_id }}"
"#;

#[derive(Debug)]
pub(super) struct House {
    pub(super) home: PathBuf,
    pub(super) broker: Broker,
    pub(super) ingest: Process,
    pub(super) workers: Vec<Process>,
    pub(super) hotglue: Hotglue,
    pub(super) slack: Slack,
    /// Ids of the events that must have an end.
    pub(super) expected: Vec<String>,
    /// None where it is a file.
    postgres: Option<postgres::Database>,
    /// Of ingest and then of the workers.
    admins: Vec<u16>,
    door: u16,
    http: reqwest::Client,
    _doubles: [sandbox::Server; 2],
}

impl House {
    /// Builds it under `home`, and waits until every part is ready.
    ///
    /// # Panics
    /// When something does not start.
    pub(super) async fn start(home: &Path, needs: Needs, tenants: &[String]) -> Self {
        fs::create_dir_all(home).expect("a directory");
        let (hotglue, slack) = (Hotglue::new(API_KEY), Slack::new(SLACK_TOKEN));
        for tenant in tenants {
            hotglue.tenant(ENV, FLOW, tenant).with_config(json!({"importCredentials": {}}));
        }
        let doubles = [hotglue.start().await, slack.start().await];
        let broker = Broker::start(home, needs.nodes);
        let ports = free_ports(2 + needs.workers);
        write_files(home, &doubles[0].url(), &doubles[1].url(), needs.nodes);
        let nats = broker.url();
        let common = |admin: u16| {
            vec![
                format!("--config={}", home.join("gluehook.toml").display()),
                format!("--nats-url={nats}"),
                format!("--admin-listen=127.0.0.1:{admin}"),
                "--setup".to_owned(),
            ]
        };
        let mut flags = common(ports[1]);
        flags.push(format!("--listen=127.0.0.1:{}", ports[0]));
        let spool = format!("--spool={}", home.join("spool").display());
        match needs.spool {
            Spool::None => {}
            Spool::Spool | Spool::SmallDisk => flags.push(spool),
            Spool::Journal => flags.extend([spool, "--durability=journal".to_owned()]),
        }
        let mut program = binary("gluehook-ingest");
        if needs.spool == Spool::SmallDisk {
            let script = format!("{SMALL_DISK}; exec \"$0\" \"$@\"");
            flags.splice(0..0, ["-c".to_owned(), script, program.display().to_string()]);
            program = PathBuf::from("/bin/sh");
        }
        let ingest = Process::new(program, flags, secrets(), &home.join("ingest.log"));
        let mut house = Self {
            home: home.to_owned(),
            ingest,
            workers: Vec::new(),
            hotglue,
            slack,
            expected: Vec::new(),
            postgres: match needs.database {
                Database::Sqlite => None,
                Database::Postgres => Some(postgres::Database::create().await),
            },
            admins: ports[1..].to_vec(),
            door: ports[0],
            http: client(),
            _doubles: doubles,
            broker,
        };
        for place in 0..needs.workers {
            let mut flags = common(ports[2 + place]);
            flags.push(format!("--database-url={}", house.database_url()));
            flags.push(format!("--rules={}", home.join("rules.toml").display()));
            let log = home.join(format!("worker-{place}.log"));
            house.workers.push(Process::new(binary("gluehook-worker"), flags, secrets(), &log));
        }
        // The streams of a cluster can be made once it has a leader: ingest is patient, and the workers come after it.
        house.ingest.start();
        house.ready(0).await;
        house.all_run().await;
        house
    }

    /// Starts whatever does not run, lets go on whatever was stopped, and waits until all are ready.
    pub(super) async fn all_run(&mut self) {
        self.broker.signal("CONT").await;
        self.broker.start_all();
        self.broker.listens().await;
        self.ingest.signal("CONT").await;
        self.ingest.start();
        for worker in &mut self.workers {
            worker.signal("CONT").await;
            worker.start();
        }
        for place in 0..self.admins.len() {
            self.ready(place).await;
        }
    }

    async fn ready(&self, place: usize) {
        let who = if place == 0 { "ingest".to_owned() } else { format!("worker {}", place - 1) };
        let url = format!("http://127.0.0.1:{}/readyz", self.admins[place]);
        reached(&format!("{who} is ready (see {})", self.home.display()), async || {
            let answer = self.http.get(&url).timeout(std::time::Duration::from_secs(5)).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    /// Where webhooks are posted to.
    #[must_use]
    pub(super) fn hooks(&self) -> String {
        format!("http://127.0.0.1:{}/hooks/hotglue", self.door)
    }

    /// The file, where the event log is one.
    #[must_use]
    pub(super) fn database_file(&self) -> PathBuf {
        self.home.join("gluehook.db")
    }

    /// None where it is a file.
    #[must_use]
    pub(super) fn postgres(&self) -> Option<&postgres::Database> {
        self.postgres.as_ref()
    }

    #[must_use]
    pub(super) fn database_url(&self) -> String {
        match &self.postgres {
            None => format!("sqlite://{}", self.database_file().display()),
            Some(database) => database.url.clone(),
        }
    }

    /// A process of the operator's tool.
    #[must_use]
    pub(super) fn gluehook(&self, args: &[&str]) -> Process {
        let mut all = vec![
            format!("--config={}", self.home.join("gluehook.toml").display()),
            format!("--nats-url={}", self.broker.url()),
            format!("--database-url={}", self.database_url()),
            format!("--rules={}", self.home.join("rules.toml").display()),
        ];
        all.extend(args.iter().map(ToString::to_string));
        Process::new(binary("gluehook"), all, secrets(), &self.home.join("gluehook.log"))
    }

    /// The event log, to look; none while it can't be opened.
    pub(super) async fn log(&self) -> Option<Store> {
        Store::open(&self.database_url(), Access::Reader).await.ok()
    }

    /// Runs the operator's tool until it says that it is done.
    ///
    /// # Errors
    /// It does not come to that.
    pub(super) async fn until_done(&self, args: &[&str]) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if self.gluehook(args).ends_well().await {
                return Ok(());
            }
            tokio::time::sleep(super::LOOK_EVERY * 10).await;
        }
        Err(format!("`gluehook {}` does not succeed: see gluehook.log", args.join(" ")))
    }

    /// Every event that was answered 2xx must have an end.
    pub(super) fn expects(&mut self, load: &Load) {
        self.expected = load.sent.iter().filter(|sent| sent.stored > 0).map(|sent| sent.id.clone()).collect();
    }

    /// Waits until every node has all of every stream.
    ///
    /// # Panics
    /// When it does not come to that.
    pub(super) async fn replicated(&self) {
        let client = async_nats::connect(self.broker.urls()).await.expect("a node takes connections");
        let context = async_nats::jetstream::new(client);
        reached("every node has all of every stream", async || {
            for stream in StreamName::ALL {
                let Ok(stream) = context.get_stream(stream.name()).await else { return false };
                let cluster = stream.cached_info().cluster.as_ref();
                let whole = cluster.is_some_and(|cluster| {
                    cluster.leader.is_some()
                        && cluster.replicas.iter().all(|peer| peer.current && !peer.offline)
                });
                if !whole {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Every event in the log, or none while it can't be read.
    pub(super) async fn rows(&self) -> Option<Vec<EventRow>> {
        let log = self.log().await?;
        let rows = log.events(&Filter::default(), u32::MAX >> 1).await.ok();
        log.close().await;
        rows
    }

    /// All that is known of one event.
    pub(super) async fn record(&self, id: &str) -> Option<EventRecord> {
        let log = self.log().await?;
        let record = log.event(id).await.ok().flatten();
        log.close().await;
        record
    }

    /// How many events are in the queue, taken or not; none while it does not say.
    pub(super) async fn waiting(&self) -> Option<u64> {
        let bus = self.bus().await?;
        let mut waiting = 0;
        for stream in [StreamName::Hooks, StreamName::Replay] {
            let pending = bus.pending(stream).await.ok()?;
            waiting += pending.pending + pending.in_flight;
        }
        Some(waiting)
    }

    /// The dead letters.
    pub(super) async fn letters(&self) -> Option<Vec<DeadLetter>> {
        bus::dead::list(&self.bus().await?, 100_000).await.ok()
    }

    async fn bus(&self) -> Option<Bus> {
        Bus::connect(&bus::Args::for_url(self.broker.url()), "chaos").await.ok()
    }
}

fn write_files(home: &Path, hotglue: &str, slack: &str, replicas: usize) {
    let config = format!(
        r##"
[[endpoint]]
name = "hotglue"
source = "hotglue"
secrets = ["env:HOTGLUE_WEBHOOK_SECRET"]
[[hotglue.environment]]
env_id = "{ENV}"
base_url = "{hotglue}"
api_key = "env:HOTGLUE_API_KEY"
[[hotglue.flow]]
flow_id = "{FLOW}"
schedule = "cron(0 */4 * * *)"
config_schema = "schema.json"
[hotglue]
timeout = "3s"
[slack]
token = "env:SLACK_BOT_TOKEN"
channel = "#chaos"
base_url = "{slack}"
channel_interval = "0s"
timeout = "3s"
[jetstream]
replicas = {replicas}
ack_wait = "2s"
[retry]
first = "100ms"
most = "1s"
attempts = 20
"##
    );
    fs::write(home.join("gluehook.toml"), config).expect("written");
    fs::write(home.join("rules.toml"), RULES).expect("written");
    let schema = r#"{"type":"object","required":["importCredentials"]}"#;
    fs::write(home.join("schema.json"), schema).expect("written");
}
