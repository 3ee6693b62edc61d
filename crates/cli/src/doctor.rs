//! `gluehook doctor`: looks at everything that must be right before webhooks can be acted upon, and says how to mend
//! what is not. It changes nothing, and no secret is ever printed.

mod nats;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use domain::config::cron::Doubt;
use domain::config::{Config, SecretRef};
use domain::event::Kind;
use domain::journal::Filter;
use domain::rulebook::{Mode, Rulebook, Severity, StepAction, scenario};
use domain::schema::Schema;
use domain::signature::Proof;
use effects::World;
use serde::Serialize;
use serde_json::json;
use store::{Access, Store};

use crate::files::{self, Loaded};
use crate::{Common, output, storms};

/// `gluehook doctor`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Don't ask hotglue and Slack
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    monitor: bus::MonitorArgs,
}

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// Nothing stops, but a person should know.
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    state: State,
    what: String,
    /// What was found, or what is wrong.
    said: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// The checks made so far.
#[derive(Debug, Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn good(&mut self, what: impl Into<String>, said: impl Into<String>) {
        self.0.push(Check { state: State::Good, what: what.into(), said: said.into(), mend: None });
    }

    fn warning(&mut self, what: impl Into<String>, said: impl Into<String>, mend: &str) {
        self.add(State::Warning, what.into(), said.into(), mend);
    }

    fn bad(&mut self, what: impl Into<String>, said: impl Into<String>, mend: &str) {
        self.add(State::Bad, what.into(), said.into(), mend);
    }

    fn add(&mut self, state: State, what: String, said: String, mend: &str) {
        let mend = (!mend.is_empty()).then(|| mend.to_owned());
        self.0.push(Check { state, what, said, mend });
    }

    fn is_bad(&self) -> bool {
        self.0.iter().any(|check| check.state == State::Bad)
    }
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let mut checks = Checks::default();
    let loaded = configuration(common, &mut checks);
    let rulebook = rulebook(common, &mut checks);
    if let (Some(loaded), Some(rulebook)) = (&loaded, &rulebook) {
        needs_of_rules(&loaded.config, rulebook, &mut checks);
    }
    let monitor = args.monitor.nats_monitor_url.as_ref();
    nats::look(common, loaded.as_ref().map(|loaded| &loaded.config), monitor, &mut checks).await;
    event_log(common, &mut checks).await;
    paused(common, &mut checks).await;
    untold(common, &mut checks).await;
    match &loaded {
        Some(_) if args.offline => {}
        Some(loaded) => outside(loaded, &mut checks).await,
        None => {}
    }
    if common.json {
        output::print_json(&json!({"ok": !checks.is_bad(), "checks": checks.0}))?;
    } else {
        for check in &checks.0 {
            tell(check)?;
        }
    }
    Ok(if checks.is_bad() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(check: &Check) -> std::io::Result<()> {
    let mark = match check.state {
        State::Good => output::green("✓"),
        State::Warning => output::yellow("!"),
        State::Bad => output::red("✗"),
    };
    let said = output::clean_block(&check.said, "    ");
    output::line(format!("{mark} {}: {}", output::bold(output::clean(&check.what)), said.trim_start()))?;
    match &check.mend {
        Some(mend) => output::line(format!("    {}", output::dim(format!("→ {mend}")))),
        None => Ok(()),
    }
}

fn configuration(common: &Common, checks: &mut Checks) -> Option<Loaded> {
    let what = format!("configuration {}", common.config.display());
    let loaded = match files::load_config(&common.config) {
        Ok(loaded) => loaded,
        Err(wrong) => {
            let mend = if common.config.exists() { "" } else { "`gluehook up` prints one to begin with" };
            checks.bad(what, wrong.to_string(), mend);
            return None;
        }
    };
    let Loaded { config, base } = &loaded;
    let (endpoints, flows) = (config.endpoint.len(), config.hotglue.flow.len());
    checks.good(what, format!("{}, {}", output::count(endpoints, "endpoint"), output::count(flows, "flow")));
    if endpoints == 0 {
        checks.bad("endpoints", "there is none, so nothing can be received", "add an [[endpoint]]");
    }
    for endpoint in &config.endpoint {
        let what = format!("endpoint {}", endpoint.name);
        if endpoint.proof() == Proof::None {
            checks.warning(
                what.as_str(),
                "proof = \"none\": anyone who finds the URL can post events",
                "take the line out and name a secret, unless something in front verifies the sender",
            );
        }
        for (place, secret) in endpoint.secrets.iter().enumerate() {
            resolvable(checks, base, &format!("{what}, secret {}", place + 1), secret);
        }
    }
    for environment in &config.hotglue.environment {
        resolvable(checks, base, &format!("api_key of {}", environment.env_id), &environment.api_key);
    }
    if let Some(slack) = &config.slack {
        for (name, secret) in [("token", &slack.token), ("webhook_url", &slack.webhook_url)] {
            if let Some(secret) = secret {
                resolvable(checks, base, &format!("{name} of [slack]"), secret);
            }
        }
    }
    schemas(config, base, checks);
    for (setting, doubt) in config.doubtful_schedules() {
        match doubt {
            Doubt::Wrong(said) => {
                checks.bad(setting, said, "hotglue takes five fields, such as cron(0 */4 * * *), UTC")
            }
            Doubt::Unusual(said) => {
                checks.warning(
                    setting,
                    said,
                    "if hotglue takes it, all is well: its schedules are UNIX cron, UTC",
                );
            }
        }
    }
    Some(loaded)
}

fn resolvable(checks: &mut Checks, base: &Path, what: &str, reference: &SecretRef) {
    match files::resolve(base, reference) {
        Ok(_) => checks.good(what, "is there"),
        Err(why) => checks.bad(what, why, "set it where gluehook runs"),
    }
}

fn schemas(config: &Config, base: &Path, checks: &mut Checks) {
    let flows = config.hotglue.flow.iter().map(|flow| (flow.flow_id.as_str(), &flow.config_schema));
    for (flow, path) in flows.chain([("[hotglue.defaults]", &config.hotglue.defaults.config_schema)]) {
        let Some(path) = path.as_ref().filter(|path| !path.as_os_str().is_empty()) else { continue };
        let what = format!("config_schema of {flow}");
        let file = base.join(path);
        let read = std::fs::read_to_string(&file).map_err(|error| error.to_string());
        let schema = read
            .and_then(|text| serde_json::from_str(&text).map_err(|error| format!("it is not JSON: {error}")))
            .and_then(|schema| Schema::compile(&schema));
        match schema {
            Ok(_) => checks.good(what, file.display().to_string()),
            Err(why) => {
                let said = format!("{}: {why}", file.display());
                checks.bad(what, said, "paths are relative to the configuration file");
            }
        }
    }
}

/// What a worker makes of a rulebook that can be read and can't be meant.
const UNSOUND: &str = "a worker that runs keeps its old rules; one that is started takes these, and the rule does not do what it says";

fn rulebook(common: &Common, checks: &mut Checks) -> Option<Rulebook> {
    let what = match &common.rules {
        Some(path) => format!("rulebook {}", path.display()),
        None => "rulebook, the one that ships with Gluehook".to_owned(),
    };
    match files::load_rulebook(common.rules.as_deref()) {
        Ok(rulebook) => {
            let live = rulebook.rules().iter().filter(|rule| rule.mode == Mode::Live).count();
            let all = output::count(rulebook.rules().len(), "rule");
            let said = format!("{all}, {live} of them live, version {}", rulebook.version());
            let findings = rulebook.review(&scenario::shipped()).findings;
            if findings.iter().all(|finding| finding.severity == Severity::Warning) {
                checks.good(what.as_str(), said);
            }
            for finding in findings {
                let said = finding.complaint.to_string();
                match finding.severity {
                    Severity::Error => checks.bad(what.as_str(), said, UNSOUND),
                    Severity::Warning => {
                        checks.warning(what.as_str(), said, "`gluehook rules check` says the same");
                    }
                }
            }
            Some(rulebook)
        }
        Err(wrong) => {
            checks.bad(what, wrong.to_string(), "`gluehook rules check` says the same");
            None
        }
    }
}

/// Do rules ask for what is not configured?
fn needs_of_rules(config: &Config, rulebook: &Rulebook, checks: &mut Checks) {
    let live = || rulebook.rules().iter().filter(|rule| rule.mode == Mode::Live);
    let using = |wanted: fn(&StepAction) -> bool| -> Vec<&str> {
        let with = live().filter(|rule| rule.steps.iter().any(|step| wanted(&step.action)));
        with.map(|rule| rule.name.as_str()).collect()
    };
    let slack = using(|action| matches!(action, StepAction::Slack { .. }));
    if config.slack.is_none() && !slack.is_empty() {
        let said = format!("there is no [slack], but rules post to it: {}", slack.join(", "));
        checks.bad("Slack", said, "add [slack], or set mode = \"off\" on these rules");
    }
    let with_channel = using(|action| matches!(action, StepAction::Slack { channel: Some(_), .. }));
    if config.slack.as_ref().is_some_and(|slack| slack.webhook_url.is_some()) && !with_channel.is_empty() {
        checks.warning(
            "Slack",
            format!(
                "an incoming webhook posts to its own channel: that of these rules is ignored: {}",
                with_channel.join(", ")
            ),
            "with token in place of webhook_url in [slack], each message goes to the channel of its rule",
        );
    }
    let hotglue = using(|action| !matches!(action, StepAction::Slack { .. }));
    if config.hotglue.environment.is_empty() && !hotglue.is_empty() {
        let said =
            format!("there is no [[hotglue.environment]], but rules act there: {}", hotglue.join(", "));
        checks.bad("hotglue", said, "add one with its env_id and api_key");
    }
    let settings = || config.hotglue.flow.iter().map(|flow| config.hotglue.flow(&flow.flow_id));
    let has_schedule =
        config.hotglue.flow("").schedule.is_some() || settings().any(|flow| flow.schedule.is_some());
    let schedules = using(|action| {
        matches!(action, StepAction::EnableSchedule { .. } | StepAction::DisableSchedule { .. })
    });
    if !has_schedule && !schedules.is_empty() {
        let said = format!(
            "no flow names its schedule, but rules turn schedules on or off: {}",
            schedules.join(", ")
        );
        checks.warning(
            "schedules",
            said,
            "add schedule = \"cron(…)\" to [[hotglue.flow]] or [hotglue.defaults]; without it hotglue is asked for the one it has",
        );
    }
    let known: Vec<Kind> = live().flat_map(|rule| rule.on.iter().copied()).collect();
    if known.is_empty() {
        checks.warning("rulebook", "no rule is live: events are recorded and nothing is done", "");
    }
}

async fn event_log(common: &Common, checks: &mut Checks) {
    let url = &common.store.database_url;
    // Only SQLite's address is sure to hold no password.
    let what = if url.starts_with("sqlite:") { format!("event log {url}") } else { "event log".to_owned() };
    let newest = async {
        let store = Store::open(url, Access::Reader).await?;
        let newest = store.events(&Filter::default(), 1).await;
        store.close().await;
        newest
    };
    match newest.await {
        Ok(rows) => match rows.first() {
            Some(row) => {
                let now = service::Clock::system().now();
                let ago = output::ago(row.event.received_at, now);
                let status = output::clean(&row.event.status);
                let of = if status.is_empty() { String::new() } else { format!(", {status},") };
                checks.good(what, format!("the newest event{of} came {ago}"));
            }
            None => checks.warning(what, "opens, but holds no event yet", "`gluehook send job` posts one"),
        },
        Err(error) => checks.bad(
            what,
            error.to_string(),
            "the worker makes it when it first runs; --database-url names another",
        ),
    }
}

/// Rules that wait for a person. That the event log can't be read was said before.
async fn paused(common: &Common, checks: &mut Checks) {
    let Ok(store) = Store::open(&common.store.database_url, Access::Reader).await else { return };
    let paused = store.paused().await;
    store.close().await;
    for rule in paused.unwrap_or_default() {
        let (name, steps) = (&rule.rule, rule.held_steps);
        let held = format!("{} of {} events held", output::count(steps as usize, "action"), rule.held_events);
        let said = match rule.since {
            Some(since) => format!("is paused since {since}, with {held}"),
            None => format!("was resumed, with {held} that no worker has taken up"),
        };
        let mend =
            format!("gluehook rules resume {name} has them done; gluehook rules drop {name} lets them be");
        checks.warning(format!("rule {name}"), said, &mend);
    }
}

/// Storms that Slack does not take.
async fn untold(common: &Common, checks: &mut Checks) {
    let Ok(store) = Store::open(&common.store.database_url, Access::Reader).await else { return };
    let storms = store.storms(0).await;
    store.close().await;
    for storm in storms.unwrap_or_default().iter().filter(|storm| storm.failures > 0) {
        checks.warning(
            "Slack messages of one kind",
            storms::failing(storm),
            "they are told when Slack takes them; gluehook storms shows how far that is",
        );
    }
}

async fn outside(loaded: &Loaded, checks: &mut Checks) {
    effects::install_crypto();
    let Loaded { config, base } = loaded;
    match World::build(config, base, &|reference| files::resolve(base, reference)) {
        Ok(world) => {
            for check in world.check().await {
                match check.result {
                    Ok(said) => checks.good(check.name, said),
                    Err(said) => checks.bad(check.name, said, ""),
                }
            }
        }
        // What is wrong was said above, one by one.
        Err(_) => checks.warning("hotglue and Slack", "were not asked", "mend the configuration first"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(config: &str) -> Checks {
        let mut checks = Checks::default();
        needs_of_rules(&Config::parse(config).unwrap(), &Rulebook::built_in(), &mut checks);
        checks
    }

    #[test]
    fn rules_that_ask_for_what_is_not_configured_are_named() {
        let checks = checked("");
        assert!(checks.is_bad());
        let said: Vec<_> = checks.0.iter().map(|check| check.said.as_str()).collect();
        assert!(
            said.iter().any(|said| said.contains("no [slack]") && said.contains("job-failed")),
            "{said:?}"
        );
        assert!(said.iter().any(|said| said.contains("[[hotglue.environment]]")), "{said:?}");
        assert!(said.iter().any(|said| said.contains("no flow names its schedule")), "{said:?}");
    }

    #[test]
    fn a_complete_configuration_has_what_the_rules_ask_for() {
        let checks = checked(include_str!("../../../deploy/gluehook.toml"));
        assert!(checks.0.is_empty(), "{:?}", checks.0);
    }

    #[test]
    fn a_secret_that_is_missing_is_named_and_a_secret_that_is_there_is_not_shown() {
        let mut checks = Checks::default();
        let base = std::env::temp_dir().join(format!("gluehook-doctor-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        std::fs::write(base.join("secret"), "hunter2").unwrap();
        resolvable(&mut checks, &base, "key", &SecretRef::File("secret".into()));
        resolvable(&mut checks, &base, "key", &SecretRef::Env("GLUEHOOK_NO_SUCH_SECRET".into()));
        std::fs::remove_dir_all(&base).unwrap();
        assert_eq!(checks.0[0].state, State::Good);
        assert!(checks.0[1].said.contains("GLUEHOOK_NO_SUCH_SECRET"));
        assert!(!format!("{checks:?}").contains("hunter2"));
    }
}
