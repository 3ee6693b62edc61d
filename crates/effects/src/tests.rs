//! The whole crate against the sandbox: real HTTP, stateful doubles, faults on order.

mod build;
mod failures;
mod question;
mod reading;
mod secrets;
mod slack;
mod would;
mod writing;

use std::path::Path;

use domain::action::{Action, Place, Which};
use domain::config::{Config, SecretRef};
use sandbox::{Hotglue, Server, Slack, TenantHandle};
use secrecy::SecretString;

use crate::{EffectError, Receipt, World};

const ENV: &str = "dev.hotglue.com";
const FLOW: &str = "JClkCC05S";
const TENANT: &str = "1414_1";
const CRON: &str = "cron(0 */4 * * *)";
const API_KEY: &str = "hush-api-key-of-hotglue";
const TOKEN: &str = "xoxb-hush-token-of-slack";

/// Both doubles, listening, and a world that reaches them.
struct Stage {
    hotglue: Hotglue,
    slack: Slack,
    servers: (Server, Server),
    world: World,
}

impl Stage {
    async fn new() -> Self {
        Self::with("").await
    }

    /// `more` goes at the end of the configuration.
    async fn with(more: &str) -> Self {
        let (hotglue, slack) = (Hotglue::new(API_KEY), Slack::new(TOKEN));
        let servers = (hotglue.start().await, slack.start().await);
        let config = config(&servers.0.url(), &servers.1.url(), more);
        let world = World::build(&config, Path::new(""), &secret).expect("the configuration is right");
        Self { hotglue, slack, servers, world }
    }

    fn tenant(&self) -> TenantHandle {
        self.hotglue.tenant(ENV, FLOW, TENANT)
    }

    fn schedule_puts(&self) -> usize {
        self.hotglue.calls().iter().filter(|call| call.is("PUT", "/jobs/schedule")).count()
    }
}

fn config(hotglue: &str, slack: &str, more: &str) -> Config {
    let text = format!(
        r##"
        [[hotglue.environment]]
        env_id = "{ENV}"
        base_url = "{hotglue}/"
        api_key = "env:API_KEY"

        [slack]
        token = "env:TOKEN"
        channel = "#hotglue-webhooks"
        base_url = "{slack}"
        {more}"##
    );
    Config::parse(&text).expect("a configuration")
}

fn secret(reference: &SecretRef) -> Result<SecretString, String> {
    match reference {
        SecretRef::Env(name) if name == "API_KEY" => Ok(API_KEY.into()),
        SecretRef::Env(name) if name == "TOKEN" => Ok(TOKEN.into()),
        other => Err(format!("there is no {other:?}")),
    }
}

fn place() -> Place {
    of(TENANT)
}

fn of(tenant: &str) -> Place {
    Place { env_id: ENV.into(), flow_id: FLOW.into(), tenant: tenant.into() }
}

fn schedule(enabled: bool, expression: Option<&str>) -> Action {
    Action::SetSchedule {
        place: place(),
        which: Which::Source,
        connector_id: None,
        expression: expression.map(str::to_owned),
        enabled,
    }
}

fn link(target: &str) -> Action {
    Action::LinkTarget { place: place(), target: target.into() }
}

fn job(name: &str) -> Action {
    Action::RunJob { place: place(), tap: "salesforce".into(), name: name.into() }
}

fn message(text: &str) -> Action {
    Action::Slack { channel: None, text: text.into() }
}

fn is_transient(result: &Result<Receipt, EffectError>, expected_uncertain: bool) -> bool {
    matches!(result, Err(EffectError::Transient { uncertain, .. }) if *uncertain == expected_uncertain)
}

fn permanent<T: std::fmt::Debug>(result: Result<T, EffectError>) -> String {
    match result {
        Err(EffectError::Permanent { why }) => why,
        other => panic!("not permanent: {other:?}"),
    }
}
