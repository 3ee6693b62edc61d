//! `gluehook up`: nats-server, ingest, worker and console on this machine, as processes of their own with their lines on
//! one screen. Ctrl-C stops them in the order in which nothing is lost: console, ingest, worker, nats-server.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::config::{Config, SecretRef};
use domain::envelope::Source;
use service::Shutdown;
use tokio::net::{TcpListener, TcpStream};

use crate::files::{self, Loaded};
use crate::processes::{
    self, Lines, NatsServer, Processes, Spec, answering, find_nats_server, free_address, listening,
    local_http, private_dir, sibling,
};
use crate::{Common, Misused, console, output, send};

/// Where our own nats-server listens unless told otherwise; also the default of `--nats-url`.
const NATS_URL: &str = "nats://127.0.0.1:4222";
/// The default of `--database-url`.
const DATABASE_URL: &str = "sqlite://gluehook.db";
/// Longest wait for a process to be ready: a big stream takes nats-server a while to open.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than ingest and worker take to finish what they have in hand.
const GRACE: Duration = Duration::from_secs(35);

/// `gluehook up`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where streams, ingest's spool and a fetched nats-server are kept
    #[arg(long, env = "GLUEHOOK_DATA", value_name = "DIR", default_value = "gluehook-data")]
    data: PathBuf,

    /// The nats-server to run; found on PATH or fetched unless given
    #[arg(long, env = "GLUEHOOK_NATS_SERVER", value_name = "FILE")]
    nats_server: Option<PathBuf>,

    /// Use the NATS server that runs at --nats-url instead of starting one; so does naming one that is not on this machine
    #[arg(long, env = "GLUEHOOK_NO_NATS", value_parser = service::switch)]
    no_nats: bool,

    /// Where webhooks are posted to
    #[arg(long, env = "GLUEHOOK_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Where ingest serves /livez, /readyz and /metrics
    #[arg(long, env = "GLUEHOOK_INGEST_ADMIN_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8081")]
    ingest_admin_listen: SocketAddr,

    /// Where the worker serves /livez, /readyz and /metrics
    #[arg(long, env = "GLUEHOOK_WORKER_ADMIN_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8082")]
    worker_admin_listen: SocketAddr,

    /// Where the console's pages are served; the console is left out where something listens there already
    #[arg(long, env = "GLUEHOOK_CONSOLE_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8090")]
    console_listen: SocketAddr,

    /// Where the console serves /livez, /readyz and /metrics
    #[arg(
        long,
        env = "GLUEHOOK_CONSOLE_ADMIN_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8083"
    )]
    console_admin_listen: SocketAddr,

    // Not a doc comment: rustdoc takes file:PATH for a URL.
    #[arg(
        help = "What a browser must give as password, env:NAME or file:PATH; needed where the console listens for other machines"
    )]
    #[arg(long, env = "GLUEHOOK_CONSOLE_TOKEN", value_name = "REF", value_parser = send::secret_ref)]
    console_token: Option<SecretRef>,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let config = configuration(common)?;
    if args.console_token.is_none() {
        // Said before anything runs.
        console::Guard::new(args.console_listen, None)?;
    }
    // Held until everything has stopped.
    let _lock = lock(&args.data)?;
    let shutdown = Shutdown::on_signals().context("signals can't be received")?;
    let mut processes = Processes::new(Lines::Shown).bound();
    let ran = tokio::select! {
        stopped = processes::told_to_stop(&shutdown) => stopped.map_err(Into::into),
        failed = all(common, &args, &config, &mut processes) => failed,
    };
    if processes.is_empty() {
        // Nothing was begun, so there is nothing to stop.
        return ran.map(|()| ExitCode::SUCCESS);
    }
    if let Err(error) = &ran {
        output::note(output::red(format!("gluehook: {error:#}")));
    }
    output::note("stopping everything, nats-server last; work in hand is finished first");
    let complaints = processes.stop(GRACE).await;
    for complaint in &complaints {
        output::note(complaint);
    }
    Ok(if ran.is_ok() && complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the directory ours alone: two servers over one store would ruin it. The lock ends with the process, however it ends.
fn lock(data: &Path) -> Result<File> {
    private_dir(data)?;
    let path = data.join("lock");
    let cannot = || format!("{} can't be written", path.display());
    let mut file = File::options().create(true).read(true).write(true).truncate(false).open(&path);
    let file = file.as_mut().map_err(|error| anyhow::anyhow!("{}: {error}", cannot()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            let _unknown = file.read_to_string(&mut who);
            let who =
                if who.trim().is_empty() { String::new() } else { format!(" (process {})", who.trim()) };
            return Err(Misused(format!(
                "another `gluehook up`{who} has the directory {}: stop that first, or give this one a directory of its own with --data, and ports of its own",
                data.display()
            ))
            .into());
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
    }
    file.set_len(0).with_context(cannot)?;
    write!(file, "{}", std::process::id()).with_context(cannot)?;
    file.try_clone().with_context(cannot)
}

/// Starts everything and then waits for what must not happen.
async fn all(common: &Common, args: &Args, config: &Config, processes: &mut Processes) -> Result<()> {
    // Found first: a program that is missing must not be noticed with half of the others running.
    let (ingest, worker) = (sibling("gluehook-ingest")?, sibling("gluehook-worker")?);
    let listen = own_nats(common, args).await?;
    let own_nats = listen.is_some();
    let mut monitor = None;
    if !own_nats && args.nats_server.is_some() {
        return Err(Misused(format!(
            "--nats-server is to be run, but --nats-url ({}) names a server that runs already: leave one of them out",
            common.bus.nats_url
        ))
        .into());
    }
    if let Some(listen) = listen {
        let address = free_address().context("there is no free port for nats-server's monitoring")?;
        monitor = Some(address);
        start_nats(args, listen, address, processes).await?;
    }
    let database = common.store.database_url.clone();
    let http = local_http()?;

    let admin = args.worker_admin_listen;
    let mut spec = own(common, "worker", worker, admin);
    spec.env.push(("GLUEHOOK_DATABASE_URL".to_owned(), database.clone().into()));
    if let Some(rules) = &common.rules {
        spec.args.extend(["--rules".into(), rules.into()]);
    }
    processes.start(spec).await?;
    let ready = format!("http://{admin}/readyz");
    processes.wait_for("the worker was not ready", PATIENCE, answering(&http, &ready)).await?;

    let admin = args.ingest_admin_listen;
    let mut spec = own(common, "ingest", ingest, admin);
    spec.args.extend(["--listen".into(), args.listen.to_string().into()]);
    spec.args.extend(["--spool".into(), args.data.join("spool").into()]);
    if let Some(monitor) = monitor {
        spec.args.extend(["--nats-monitor-url".into(), format!("http://{monitor}").into()]);
    }
    processes.start(spec).await?;
    let ready = format!("http://{admin}/readyz");
    processes.wait_for("ingest was not ready", PATIENCE, answering(&http, &ready)).await?;

    let console = start_console(common, args, &http, processes).await?;
    summary(common, args, config, own_nats, console, &database)?;
    Err(processes.died().await.into())
}

/// Where our own nats-server is to listen; none when there is one to use: named with `--no-nats`, on another machine, or
/// running at an address of this one that a person named.
async fn own_nats(common: &Common, args: &Args) -> Result<Option<SocketAddr>> {
    let url = common.bus.nats_url.expose();
    let Some(listen) = address(url).filter(|address| address.ip().is_loopback() && !args.no_nats) else {
        return Ok(None);
    };
    if TcpStream::connect(listen).await.is_err() {
        return Ok(Some(listen));
    }
    if url == NATS_URL {
        return Err(Misused(format!(
            "something listens on {listen} already: if it is a NATS server of yours, add --no-nats to use it; if it is another `gluehook up`, stop that first or name a free port with --nats-url"
        ))
        .into());
    }
    Ok(None)
}

async fn start_nats(
    args: &Args,
    listen: SocketAddr,
    monitor: SocketAddr,
    processes: &mut Processes,
) -> Result<()> {
    let program =
        find_nats_server(args.nats_server.clone(), args.data.clone(), |line| output::note(line)).await?;
    processes.start(NatsServer { program, listen, monitor, data: &args.data }.spec()?).await?;
    processes.wait_for("nats-server did not start", PATIENCE, listening(listen)).await
}

/// Is it there? Someone who only looks is no reason to receive nothing, so what keeps it from its ports leaves it out.
async fn start_console(
    common: &Common,
    args: &Args,
    http: &reqwest::Client,
    processes: &mut Processes,
) -> Result<bool> {
    for (address, flag) in
        [(args.console_listen, "--console-listen"), (args.console_admin_listen, "--console-admin-listen")]
    {
        if let Err(error) = TcpListener::bind(address).await {
            output::note(format!(
                "no console: {address} can't be listened on ({error}); name a free address with {flag}"
            ));
            return Ok(false);
        }
    }
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let admin = args.console_admin_listen;
    let mut words: Vec<OsString> = vec!["--config".into(), common.config.clone().into()];
    if let Some(rules) = &common.rules {
        words.extend(["--rules".into(), rules.into()]);
    }
    words.push("console".into());
    words.extend(["--listen".into(), args.console_listen.to_string().into()]);
    words.extend(["--admin-listen".into(), admin.to_string().into()]);
    if let Some(token) = &args.console_token {
        let token = match token {
            SecretRef::Env(name) => format!("env:{name}"),
            SecretRef::File(path) => format!("file:{}", path.display()),
        };
        words.extend(["--token".into(), token.into()]);
    }
    let env = vec![("GLUEHOOK_DATABASE_URL".to_owned(), common.store.database_url.clone().into())];
    processes.start(Spec { name: "console", program, args: words, env, clean: false }).await?;
    let ready = format!("http://{admin}/readyz");
    processes.wait_for("the console was not ready", PATIENCE, answering(http, &ready)).await?;
    Ok(true)
}

fn address(url: &str) -> Option<SocketAddr> {
    url.strip_prefix("nats://")?.to_socket_addrs().ok()?.next()
}

/// One of our own programs with the flags both take.
fn own(common: &Common, name: &'static str, program: PathBuf, admin: SocketAddr) -> Spec {
    let mut args: Vec<OsString> = vec!["--config".into(), common.config.clone().into()];
    args.extend(["--setup", "--admin-listen", &admin.to_string()].map(Into::into));
    for (flag, file) in common.bus.files() {
        args.extend([flag.into(), file.into()]);
    }
    // It may hold a password, which a command line would show to everyone on the machine.
    let env = vec![("GLUEHOOK_NATS_URL".to_owned(), common.bus.nats_url.expose().into())];
    Spec { name, program, args, env, clean: false }
}

fn configuration(common: &Common) -> Result<Config> {
    if !common.config.exists() {
        let file = common.config.display();
        return Err(Misused(format!(
            "there is no configuration {file}. `gluehook demo` shows everything without one; to begin, write this to {file}:\n\n{BEGIN}\n\
             then set the three variables (the webhook's secret is in hotglue's webhook settings), run `gluehook doctor`, and `gluehook up` again"
        ))
        .into());
    }
    let Loaded { config, base } = files::load_config(&common.config)?;
    if config.endpoint.is_empty() {
        return Err(Misused(format!(
            "{} has no [[endpoint]], so that nothing could be received: add\n\n{BEGIN_ENDPOINT}",
            common.config.display()
        ))
        .into());
    }
    // Said here in one place, instead of by each process in its own words.
    let secrets = config.endpoint.iter().flat_map(|endpoint| &endpoint.secrets);
    let missing: Vec<String> = secrets
        .chain(config.hotglue.environment.iter().map(|environment| &environment.api_key))
        .chain(config.slack.iter().flat_map(|slack| slack.token.iter().chain(&slack.webhook_url)))
        .filter_map(|reference| files::resolve(&base, reference).err())
        .collect();
    if !missing.is_empty() {
        return Err(Misused(format!("{}: {}", common.config.display(), missing.join("; "))).into());
    }
    Ok(config)
}

/// The shortest useful endpoint.
const BEGIN_ENDPOINT: &str = r#"[[endpoint]]
name    = "hotglue"
source  = "hotglue"
secrets = ["env:HOTGLUE_WEBHOOK_SECRET"]
"#;

/// The shortest useful configuration.
const BEGIN: &str = r##"[[endpoint]]
name    = "hotglue"
source  = "hotglue"
secrets = ["env:HOTGLUE_WEBHOOK_SECRET"]

[[hotglue.environment]]
env_id  = "dev.hotglue.com"
api_key = "env:HOTGLUE_API_KEY"

[slack]
token   = "env:SLACK_BOT_TOKEN"
channel = "#hotglue-webhooks"
"##;

fn summary(
    common: &Common,
    args: &Args,
    config: &Config,
    own_nats: bool,
    console: bool,
    database: &str,
) -> Result<()> {
    let line =
        |label: &str, text: String| output::line(format!("  {} {text}", output::dim(format!("{label:<14}"))));
    output::line(output::bold("Gluehook is running; Ctrl-C stops it"))?;
    for endpoint in &config.endpoint {
        line(
            "paste into",
            format!(
                "{}'s webhook settings: http://{}/hooks/{}",
                endpoint.source.as_str(),
                args.listen,
                endpoint.name
            ),
        )?;
    }
    if args.listen.ip().is_loopback() {
        line(
            "",
            "reachable from this machine only: put a proxy with HTTPS in front, or use --listen".to_owned(),
        )?;
    }
    line(
        "admin",
        format!(
            "http://{}/readyz (ingest), http://{}/readyz (worker), /metrics on both",
            args.ingest_admin_listen, args.worker_admin_listen
        ),
    )?;
    if console {
        line("console", format!("http://{}/", args.console_listen))?;
    }
    let streams = if own_nats {
        format!(", streams in {}/nats", args.data.display())
    } else {
        ", which ran before: its other workers share these events".to_owned()
    };
    line("NATS", format!("{}{streams}", common.bus.nats_url))?;
    // A URL may hold a password; that of SQLite is a path.
    let shown = if database.starts_with("sqlite:") { database } else { "as --database-url says" };
    line("event log", shown.to_owned())?;
    // As they can be pasted elsewhere in this directory: with what this one was told and another would not know.
    let mut look = vec!["gluehook".to_owned(), "events".to_owned(), "tail".to_owned()];
    if database != DATABASE_URL {
        // It may hold a password.
        let shown = if database.starts_with("sqlite:") {
            quoted(database)
        } else {
            r#""$GLUEHOOK_DATABASE_URL""#.to_owned()
        };
        look.extend(["--database-url".to_owned(), shown]);
    }
    line("to look", look.join(" "))?;
    line("to try", to_try(common, args, config).join(" "))?;
    Ok(())
}

/// The command that posts a webhook to this ingest.
fn to_try(common: &Common, args: &Args, config: &Config) -> Vec<String> {
    let mut words: Vec<_> = ["gluehook", "send", "job"].map(str::to_owned).into();
    // Somebody who listens everywhere is found here, too.
    let ip = match args.listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let url = format!("http://{}", SocketAddr::new(ip, args.listen.port()));
    if url != send::URL {
        words.extend(["--url".to_owned(), url]);
    }
    let first = config.endpoint.iter().find(|endpoint| endpoint.source == Source::Hotglue);
    if let Some(endpoint) = first.filter(|_| config.endpoint.iter().all(|one| one.name != send::ENDPOINT)) {
        words.extend(["--endpoint".to_owned(), endpoint.name.to_string()]);
    }
    if common.config != Path::new(files::DEFAULT_CONFIG) {
        words.extend(["--config".to_owned(), quoted(&common.config.display().to_string())]);
    }
    words
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_beginner_is_told_to_paste_is_a_good_configuration() {
        for text in [BEGIN, BEGIN_ENDPOINT] {
            assert_eq!(Config::parse(text).unwrap().endpoint.len(), 1);
        }
        assert!(BEGIN.starts_with(BEGIN_ENDPOINT));
    }

    #[test]
    fn a_data_directory_has_one_owner_who_is_named_to_the_next() {
        let data = std::env::temp_dir().join(format!("gluehook-up-{}", std::process::id()));
        let held = lock(&data).unwrap();
        let said = lock(&data).unwrap_err().to_string();
        assert!(
            said.contains(&format!("(process {})", std::process::id())) && said.contains("--data"),
            "{said}"
        );
        drop(held);
        lock(&data).unwrap();
        std::fs::remove_dir_all(&data).unwrap();
    }

    #[test]
    fn the_default_address_of_nats_is_ours() {
        assert_eq!(address(NATS_URL).unwrap().to_string(), "127.0.0.1:4222");
        // Neither several servers nor one that wants a password can be one that we start.
        assert_eq!(address("nats://127.0.0.1:1,nats://127.0.0.1:2"), None);
        assert_eq!(address("nats://user:password@127.0.0.1:4222"), None);
        assert_eq!(bus::Args::for_url(NATS_URL).nats_url.expose(), NATS_URL);
    }

    #[test]
    fn the_defaults_are_those_that_this_compares_with() {
        use clap::CommandFactory as _;
        let command = crate::Cli::command();
        let default = |id: &str| {
            command.get_arguments().find(|arg| arg.get_id() == id).unwrap().get_default_values().to_vec()
        };
        assert_eq!(default("nats_url"), [NATS_URL]);
        assert_eq!(default("database_url"), [DATABASE_URL]);
    }

    #[test]
    fn what_is_printed_to_be_pasted_names_what_this_one_was_told() {
        use clap::Parser as _;
        let of = |more: &[&str], config: &str| {
            let cli = crate::Cli::parse_from(["gluehook", "up"].iter().chain(more));
            let crate::Command::Up(args) = cli.command else { panic!("up") };
            to_try(&cli.common, &args, &Config::parse(config).unwrap()).join(" ")
        };
        assert_eq!(of(&[], BEGIN), "gluehook send job");
        assert_eq!(
            of(
                &["--listen", "0.0.0.0:9000", "--config", "my files/g.toml"],
                &BEGIN.replace("\"hotglue\"\nsource", "\"mine\"\nsource")
            ),
            "gluehook send job --url http://127.0.0.1:9000 --endpoint mine --config 'my files/g.toml'"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
