use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream;
use bus::{Args, Bus};
use nkeys::KeyPair;
use sandbox::{Slack, webhook};
use tempfile::TempDir;
use tests::nats::NatsServer;
use tests::program::{PATIENCE, Program, run};
use tests::stage::{SLACK_TOKEN, WEBHOOK_SECRET, client};
use tokio::time::Instant;

/// What each user may do, and what it may not.
mod permitted;

const USERS: &str = include_str!("../../deploy/nats-users.conf");
const TLS: &str = include_str!("../../deploy/nats-tls.conf");
const NAMES: [&str; 4] = ["INGEST", "WORKER", "OPERATOR", "DEVELOPER"];

fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tls").join(name)
}

/// A server with the users and the TLS that ship, and a key for each user.
struct House {
    dir: TempDir,
    nats: NatsServer,
}

impl House {
    async fn start() -> Self {
        Self::with(USERS).await
    }

    async fn with(users: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| tls(name).display().to_string();
        let mut env = vec![
            ("NATS_TLS_CERT".to_owned(), file("server.pem")),
            ("NATS_TLS_KEY".to_owned(), file("server-key.pem")),
        ];
        for name in NAMES {
            let pair = KeyPair::new_user();
            std::fs::write(dir.path().join(name), pair.seed().unwrap()).unwrap();
            env.push((format!("NATS_NKEY_{name}"), pair.public_key()));
        }
        let nats = NatsServer::start_with_env(&format!("{TLS}{users}"), env).await;
        Self { dir, nats }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn args(&self, user: &str) -> Args {
        let mut args = Args::for_url(&self.nats.url);
        args.nats_nkey = Some(self.path(user));
        args.nats_ca = Some(tls("ca.pem"));
        args.nats_inbox_prefix = Some(match user {
            "OPERATOR" => "_INBOX_gluehook".to_owned(),
            other => format!("_INBOX_{}", other.to_lowercase()),
        });
        args
    }

    async fn bus(&self, user: &str) -> Bus {
        Bus::connect(&self.args(user), "test").await.unwrap()
    }

    /// NATS without Gluehook in between, as a user.
    async fn raw(&self, user: &str) -> jetstream::Context {
        let seed = std::fs::read_to_string(self.path(user)).unwrap();
        let client = ConnectOptions::with_nkey(seed)
            .add_root_certificates(tls("ca.pem"))
            .require_tls(true)
            .custom_inbox_prefix(self.args(user).nats_inbox_prefix.unwrap())
            .connect(&self.nats.url);
        jetstream::new(client.await.unwrap())
    }

    /// The flags of a program in the hands of a user.
    fn flags(&self, user: &str, more: &[&str]) -> Vec<String> {
        let mut flags = vec![
            format!("--config={}", self.path("gluehook.toml").display()),
            format!("--nats-url={}", self.nats.url),
            format!("--nats-nkey={}", self.path(user).display()),
            format!("--nats-ca={}", tls("ca.pem").display()),
        ];
        flags.extend(more.iter().map(ToString::to_string));
        flags
    }

    async fn gluehook(&self, user: &str, args: &[&str]) -> (i32, String, String) {
        let database = format!("--database-url=sqlite://{}", self.path("gluehook.db").display());
        let rules = format!("--rules={}", self.path("rules.toml").display());
        let mut more = vec![database.as_str(), rules.as_str()];
        if user == "DEVELOPER" {
            more.push("--nats-inbox-prefix=_INBOX_developer");
        }
        more.extend(args);
        run("gluehook", &self.flags(user, &more), &secrets()).await
    }

    fn configure(&self, slack: &str) {
        let config = format!(
            "[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\nsecrets = [\"env:SECRET\"]\n\
             [slack]\ntoken = \"env:TOKEN\"\nchannel = \"c\"\nbase_url = \"{slack}\"\n"
        );
        std::fs::write(self.path("gluehook.toml"), config).unwrap();
        let rules = "[[rule]]\nname = \"tell\"\nwhen = [\"event.failed\"]\n[[rule.do]]\naction = \"slack\"\ntext = \"told\"\n";
        std::fs::write(self.path("rules.toml"), rules).unwrap();
    }

    fn ingest(&self) -> Program {
        let flags = self.flags("INGEST", &["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]);
        Program::start("gluehook-ingest", &flags, &secrets())
    }

    fn worker(&self) -> Program {
        let database = format!("--database-url=sqlite://{}", self.path("gluehook.db").display());
        let rules = format!("--rules={}", self.path("rules.toml").display());
        let flags = self.flags("WORKER", &[&database, &rules, "--admin-listen=127.0.0.1:0"]);
        Program::start("gluehook-worker", &flags, &secrets())
    }
}

fn secrets() -> Vec<(String, String)> {
    [("SECRET", WEBHOOK_SECRET), ("TOKEN", SLACK_TOKEN)]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

/// Where ingest listens, from its first line.
fn address(line: &str, after: &str) -> String {
    let rest = line.split(after).nth(1).unwrap();
    format!("http://{}", rest.split([',', ';']).next().unwrap())
}

async fn post(url: &str, secret: &str, body: &str) -> u16 {
    let request = client()
        .post(format!("{url}/hooks/hotglue"))
        .header("content-type", "application/json")
        .header("x-hub-signature", webhook::sign_sha1_hex(secret, body))
        .body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn every_user_does_its_job_from_the_webhook_to_the_effect_over_tls() {
    let house = House::start().await;
    let slack = Slack::new(SLACK_TOKEN);
    let double = slack.start().await;
    house.configure(&double.url());
    let (code, said, errors) = house.gluehook("OPERATOR", &["setup"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    let ingest = house.ingest();
    let url = address(&ingest.line("listening on ").await, "listening on ");
    let worker = house.worker();
    worker.line("taking events").await;

    assert_eq!(post(&url, WEBHOOK_SECRET, &webhook::failed_job("boom")).await, 200);
    assert!(slack.until(PATIENCE, |slack| slack.messages().len() == 1).await, "{}", worker.log());
    assert_eq!(post(&url, "wrong", &webhook::failed_job("other")).await, 401);

    // What fails for good can be buried, looked at, and sent back by the operator.
    slack.only_channels(&["nowhere"]);
    assert_eq!(post(&url, WEBHOOK_SECRET, &webhook::failed_job("bury me")).await, 200);
    let deadline = Instant::now() + PATIENCE;
    let listed = loop {
        let (code, listed, errors) = house.gluehook("DEVELOPER", &["--json", "dead", "list"]).await;
        assert_eq!(code, 0, "{errors}");
        if listed.contains("channel_not_found") {
            break listed;
        }
        assert!(Instant::now() < deadline, "{listed}\n{}", worker.log());
    };
    assert!(!listed.contains("bury me else"), "{listed}");
    slack.only_channels(&[]);
    for (user, args, code) in [
        ("DEVELOPER", ["dead", "retry", "--all", "--yes"].as_slice(), 1),
        ("OPERATOR", &["dead", "retry", "--all", "--yes"], 0),
        ("OPERATOR", &["replay", "--since", "1h", "--run", "r1", "--yes", "--wait"], 0),
        ("DEVELOPER", &["replay", "list"], 0),
        ("DEVELOPER", &["replay", "--since", "1h", "--yes"], 1),
        ("DEVELOPER", &["rejected", "list"], 0),
        ("OPERATOR", &["replay", "cancel", "r1"], 0),
        ("OPERATOR", &["setup", "--check"], 0),
        ("DEVELOPER", &["setup", "--check"], 0),
        ("OPERATOR", &["doctor", "--offline"], 0),
        ("DEVELOPER", &["doctor", "--offline"], 0),
    ] {
        let (was, said, errors) = house.gluehook(user, args).await;
        assert_eq!(was, code, "{user} {args:?}: {said}{errors}\n{}", worker.log());
        if code == 1 {
            assert!(errors.contains("this NATS user may not publish to"), "{user} {args:?}: {errors}");
        }
    }
    assert_eq!(slack.messages().len(), 4, "one live, one sent back, two replayed");
    // The developer's own ingest, here the same one: every event is a repeat.
    let (code, said, errors) = house.gluehook("DEVELOPER", &["replay", "--since", "1h", "--to", &url]).await;
    assert!(code == 0 && said.contains("200 2×"), "{said}{errors}");
    assert_eq!(slack.messages().len(), 4);
}

#[tokio::test]
async fn a_program_whose_user_may_not_says_so_at_once_and_names_what_is_missing() {
    let crippled = USERS
        .replace("\"hooks.>\", \"rejected.*\"", "\"rejected.*\"")
        .replace("\"$JS.ACK.HOOKS.worker.>\", ", "");
    let house = House::with(&crippled).await;
    house.configure("http://127.0.0.1:1");
    let operator = house.bus("OPERATOR").await;
    bus::setup(&operator, &domain::config::Jetstream::default(), bus::Existing::MustMatch).await.unwrap();
    let ingest = house.ingest();
    ingest.line("this NATS user may not publish to hooks.hotglue.>").await;
    let mut worker = house.worker();
    worker.line("this NATS user may not publish to $JS.ACK.HOOKS.worker.>").await;
    assert!(!worker.ended().await.success());
    // An inbox that is another's.
    let flags = house.flags("DEVELOPER", &["dead", "list"]);
    let (code, _, errors) = run("gluehook", &flags, &secrets()).await;
    assert!(code == 1 && errors.contains("may not subscribe to _INBOX_gluehook"), "{errors}");
    assert!(errors.contains("--nats-inbox-prefix"), "{errors}");
    let (code, said, errors) = house.gluehook("DEVELOPER", &["doctor", "--offline"]).await;
    assert!(said.contains("may not publish to replay.>"), "{code} {said}{errors}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_one_and_a_stranger_is_not_trusted() {
    let verify = TLS.replace("timeout: 5", "timeout: 5\n  verify: true\n  ca_file: $NATS_TLS_CA");
    let file = |name: &str| tls(name).display().to_string();
    let env = [("CERT", "server.pem"), ("KEY", "server-key.pem"), ("CA", "ca.pem")];
    let env = env.map(|(name, value)| (format!("NATS_TLS_{name}"), file(value))).to_vec();
    let nats = NatsServer::start_with_env(&verify, env).await;
    let mut args = Args::for_url(&nats.url);
    args.nats_ca = Some(tls("ca.pem"));
    assert!(Bus::connect(&args, "test").await.is_err(), "without a certificate nobody is let in");
    args.nats_cert = Some(tls("client.pem"));
    args.nats_key = Some(tls("client-key.pem"));
    Bus::connect(&args, "test").await.unwrap();
    // The server's own certificate is no authority.
    args.nats_ca = Some(tls("client.pem"));
    let error = Bus::connect(&args, "test").await.unwrap_err().to_string();
    assert!(error.contains("--nats-ca"), "{error}");
}

#[tokio::test]
async fn ingest_that_is_not_let_in_waits_and_says_why() {
    let house = House::start().await;
    house.configure("http://127.0.0.1:1");
    std::fs::write(house.path("INGEST"), KeyPair::new_user().seed().unwrap()).unwrap();
    let ingest = house.ingest();
    ingest.line("refuses us: set --nats-nkey").await;
    let admin = address(&ingest.line("admin on ").await, "admin on ");
    let ready = client().get(format!("{admin}/readyz")).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 503);
    let told = ready.text().await.unwrap();
    assert!(told.contains("refuses us"), "{told}");
}

#[tokio::test]
async fn nats_server_takes_the_secure_configuration_that_ships() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats-secure.conf");
    let mut server = tokio::process::Command::new(tests::nats::program().unwrap());
    server.arg("-t").arg("-c").arg(file);
    server.env("NATS_TLS_CERT", tls("server.pem")).env("NATS_TLS_KEY", tls("server-key.pem"));
    for name in NAMES {
        server.env(format!("NATS_NKEY_{name}"), KeyPair::new_user().public_key());
    }
    let said = server.output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[tokio::test]
async fn a_permission_that_is_taken_away_later_is_named_where_readiness_is_asked_for() {
    let house = House::start().await;
    house.configure("http://127.0.0.1:1");
    let operator = house.bus("OPERATOR").await;
    bus::setup(&operator, &domain::config::Jetstream::default(), bus::Existing::MustMatch).await.unwrap();
    let ingest = house.ingest();
    let line = ingest.line("listening on ").await;
    let (url, admin) = (address(&line, "listening on "), address(&line, "admin on "));
    assert_eq!(post(&url, WEBHOOK_SECRET, &webhook::failed_job("one")).await, 200);
    house.nats.reconfigure(|config| config.replace("\"hooks.>\", \"rejected.*\"", "\"rejected.*\"")).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ready = client().get(format!("{admin}/readyz")).send().await.unwrap();
        let (status, told) = (ready.status().as_u16(), ready.text().await.unwrap());
        if status == 503 && told.contains("this NATS user may not publish to hooks.hotglue.>") {
            break;
        }
        assert!(Instant::now() < deadline, "{status} {told}\n{}", ingest.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        post(&url, WEBHOOK_SECRET, &webhook::failed_job("two")).await,
        503,
        "our trouble is never a 4xx"
    );
}
