//! Where the demo plays: a directory, the doubles, nats-server, ingest, worker and a reader of the event log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sandbox::{Hotglue, Server, Slack};
use store::{Access, Store};

use super::PATIENCE;
use super::acts::SECRET;
use super::story::Told;
use crate::output;
use crate::processes::{
    Lines, NatsServer, Processes, Spec, answering, find_nats_server, free_address, listening, local_http,
    private_dir, sibling,
};

const API_KEY: &str = "demo-hotglue-key";
const SLACK_TOKEN: &str = "demo-slack-token";
/// What a valid tenant config is in the demo.
const SCHEMA: &str = include_str!("../../../../deploy/schemas/optiply.json");
/// How long a process of the demo may take to stop.
const GRACE: Duration = Duration::from_secs(10);

/// All that runs in the demo. Dropping it ends everything at once.
#[derive(Debug)]
pub(super) struct House {
    pub(super) processes: Processes,
    pub(super) hotglue: Hotglue,
    pub(super) slack: Slack,
    pub(super) store: Store,
    pub(super) http: reqwest::Client,
    /// Where webhooks are posted to.
    pub(super) hooks: String,
    ingest_admin: SocketAddr,
    worker_admin: SocketAddr,
    nats: SocketAddr,
    hotglue_server: Server,
    slack_server: Server,
    // Last, so that it is removed after all that writes into it has ended.
    directory: Directory,
}

impl House {
    pub(super) async fn open(nats_server: Option<PathBuf>, keep: Option<PathBuf>) -> Result<Self> {
        let (ingest, worker) = (sibling("gluehook-ingest")?, sibling("gluehook-worker")?);
        let nats_server = find_nats_server(nats_server, cache_dir(), |line| output::note(line)).await?;
        let directory = Directory::make(keep)?;
        let hotglue = Hotglue::demo(API_KEY);
        let slack = Slack::new(SLACK_TOKEN);
        let (hotglue_server, slack_server) = (hotglue.start().await, slack.start().await);
        write_files(&directory.path, &hotglue_server.url(), &slack_server.url())?;

        let (nats, monitor) = (free_address()?, free_address()?);
        let (listen, ingest_admin, worker_admin) = (free_address()?, free_address()?, free_address()?);
        let http = local_http()?;
        let mut processes = Processes::new(Lines::Kept(directory.path.clone())).bound();
        processes
            .start(NatsServer { program: nats_server, listen: nats, monitor, data: &directory.path }.spec()?)
            .await?;
        processes.wait_for("nats-server did not start", PATIENCE, listening(nats)).await?;

        let own = |name, program, admin: SocketAddr, more: Vec<String>| {
            let mut args = vec!["--config".into(), directory.path.join("gluehook.toml").into_os_string()];
            let url = format!("nats://{nats}");
            args.extend(
                ["--nats-url", &url, "--setup", "--admin-listen", &admin.to_string()].map(Into::into),
            );
            args.extend(more.into_iter().map(Into::into));
            Spec { name, program, args, env: Vec::new(), clean: true }
        };
        processes
            .start(own("ingest", ingest, ingest_admin, vec!["--listen".into(), listen.to_string()]))
            .await?;
        let ready = format!("http://{ingest_admin}/readyz");
        processes.wait_for("ingest was not ready", PATIENCE, answering(&http, &ready)).await?;
        let database = directory.database();
        processes
            .start(own("worker", worker, worker_admin, vec!["--database-url".into(), database.clone()]))
            .await?;
        let ready = format!("http://{worker_admin}/readyz");
        processes.wait_for("the worker was not ready", PATIENCE, answering(&http, &ready)).await?;
        let store = Store::open(&database, Access::Reader).await?;
        Ok(Self {
            processes,
            hotglue,
            slack,
            store,
            http,
            hooks: format!("http://{listen}/hooks/hotglue"),
            ingest_admin,
            worker_admin,
            nats,
            hotglue_server,
            slack_server,
            directory,
        })
    }

    /// What went wrong is in the logs: they stay.
    pub(super) fn keep_files(&mut self) {
        self.directory.keep = true;
    }

    /// Stops everything, the youngest first; says what did not go well.
    pub(super) async fn close(self) -> Vec<String> {
        self.store.close().await;
        let complaints = self.processes.stop(GRACE).await;
        self.hotglue_server.stop().await;
        self.slack_server.stop().await;
        if self.directory.keep {
            output::note(format!("its files are in {}", self.directory.path.display()));
        }
        complaints
    }

    /// The end of the story: commands and pages that show more.
    pub(super) fn where_to_look(&self, told: &Told, stay: bool) -> Result<()> {
        let gluehook = own_name();
        if !stay {
            output::line(output::bold("Where to look next"))?;
            output::line(format!(
                "  {gluehook} demo --stay     keeps all this running, to look around and post more"
            ))?;
            output::line(format!(
                "  {gluehook} rules check     the rules, one by one, and what is wrong with them"
            ))?;
            output::line(format!(
                "  {gluehook} up              the same with your gluehook.toml, against the real hotglue"
            ))?;
            return Ok(());
        }
        let config = self.directory.path.join("gluehook.toml");
        let config = config.display();
        let database = self.directory.database();
        output::line(output::bold(
            "Everything keeps running until Ctrl-C. Where to look, in another terminal",
        ))?;
        output::line(format!("  {gluehook} events list --database-url {database}"))?;
        let id = told.telling_id().unwrap_or("ID");
        output::line(format!("  {gluehook} explain {id} --database-url {database} --config {config}"))?;
        let url = self.hooks.trim_end_matches("/hooks/hotglue");
        output::line(format!("  {gluehook} send failed-job --tenant 77_1 --url {url} --config {config}"))?;
        let nats = self.nats;
        output::line(format!(
            "  {gluehook} doctor --nats-url nats://{nats} --database-url {database} --config {config}"
        ))?;
        for (what, url) in [
            ("hotglue's double", format!("{}/_sandbox/hotglue", self.hotglue_server.url())),
            ("Slack's double", format!("{}/_sandbox/messages", self.slack_server.url())),
            ("ingest", format!("http://{}/readyz  /metrics", self.ingest_admin)),
            ("worker", format!("http://{}/readyz  /metrics", self.worker_admin)),
            ("logs", format!("{}/*.log", self.directory.path.display())),
        ] {
            output::line(format!("  {what:<17} {url}"))?;
        }
        Ok(())
    }
}

/// The demo's files, removed with it unless they are to stay.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    fn make(keep: Option<PathBuf>) -> Result<Self> {
        if let Some(path) = keep {
            let path = std::path::absolute(&path).context("the directory has no absolute path")?;
            if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
                let shown = path.display();
                return Err(crate::Misused(format!(
                    "{shown} is not empty: name a new directory with --keep"
                ))
                .into());
            }
            private_dir(&path)?;
            return Ok(Self { path, keep: true });
        }
        use std::os::unix::fs::DirBuilderExt as _;
        let parent = std::env::temp_dir();
        for number in 0..1000 {
            let path = parent.join(format!("gluehook-demo-{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, keep: false }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("{} can't be made", path.display()));
                }
            }
        }
        anyhow::bail!("{} is full of old demos: remove gluehook-demo-* there", parent.display())
    }

    fn database(&self) -> String {
        format!("sqlite://{}", self.path.join("gluehook.db").display())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            output::note(format!("{} can't be removed: {error}", self.path.display()));
        }
    }
}

fn write_files(directory: &Path, hotglue: &str, slack: &str) -> Result<()> {
    let config = format!(
        r##"# Written by `gluehook demo`.
[[endpoint]]
name    = "hotglue"
source  = "hotglue"
secrets = ["file:webhook-secret"]

[[hotglue.environment]]
env_id   = "{env}"
base_url = "{hotglue}"
api_key  = "file:hotglue-key"

[[hotglue.flow]]
flow_id         = "{flow}"
schedule        = "cron(0 */4 * * *)"
target          = "optiply"
target_schedule = "cron(30 */4 * * *)"
config_schema   = "optiply.json"

[slack]
token    = "file:slack-token"
channel  = "#hotglue-webhooks"
base_url = "{slack}"
"##,
        env = sandbox::hotglue::DEMO_ENV,
        flow = sandbox::hotglue::DEMO_FLOW,
    );
    for (name, text) in [
        ("gluehook.toml", config.as_str()),
        ("optiply.json", SCHEMA),
        ("webhook-secret", SECRET),
        ("hotglue-key", API_KEY),
        ("slack-token", SLACK_TOKEN),
    ] {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(())
}

/// Where a fetched nats-server is kept between two demos.
fn cache_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| Some(set("HOME")?.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("gluehook")
}

/// How this program can be called from where we are.
fn own_name() -> String {
    let Ok(own) = std::env::current_exe() else { return "gluehook".to_owned() };
    let on_path = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join("gluehook") == own));
    if on_path {
        return "gluehook".to_owned();
    }
    let here = std::env::current_dir().ok();
    let short = here.as_deref().and_then(|here| own.strip_prefix(here).ok()).unwrap_or(&own);
    short.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_configuration_is_a_good_one_and_its_schema_tells_the_demos_tenants_apart() {
        let directory = Directory::make(None).unwrap();
        write_files(&directory.path, "http://127.0.0.1:1", "http://127.0.0.1:2").unwrap();
        let loaded = crate::files::load_config(&directory.path.join("gluehook.toml")).unwrap();
        assert_eq!(loaded.config.hotglue.flow.len(), 1);
        let schema = domain::schema::Schema::compile(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
        let hotglue = Hotglue::demo("key");
        let problems = |tenant: &str| {
            let handle = hotglue.tenant(sandbox::hotglue::DEMO_ENV, sandbox::hotglue::DEMO_FLOW, tenant);
            domain::schema::problems(Some(&schema), handle.config().as_ref())
        };
        assert_eq!(problems("1414_1"), [""; 0]);
        assert_eq!(problems("98_1").len(), 2);
    }

    #[test]
    fn the_directory_goes_with_the_demo() {
        let directory = Directory::make(None).unwrap();
        let path = directory.path.clone();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let directory = Directory::make(None).unwrap();
        std::fs::write(directory.path.join("mine"), "x").unwrap();
        let error = Directory::make(Some(directory.path.clone())).unwrap_err();
        assert!(error.is::<crate::Misused>(), "{error}");
        assert!(directory.path.join("mine").exists());
    }
}
