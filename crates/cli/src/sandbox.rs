//! `gluehook sandbox`: the doubles of hotglue and Slack on ports of their own, for docker compose and for trying rules
//! by hand.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;
use service::Shutdown;
use tokio::net::TcpListener;

use crate::{Common, output, processes};

/// `gluehook sandbox`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the double of hotglue listens
    #[arg(long, env = "GLUEHOOK_HOTGLUE_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8091")]
    hotglue_listen: SocketAddr,

    /// Where the double of Slack listens
    #[arg(long, env = "GLUEHOOK_SLACK_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8092")]
    slack_listen: SocketAddr,

    /// The API key that the double of hotglue takes
    #[arg(
        long,
        env = "GLUEHOOK_API_KEY",
        value_name = "KEY",
        default_value = "sandbox-key",
        hide_env_values = true
    )]
    api_key: String,

    /// The bot token that the double of Slack takes
    #[arg(
        long,
        env = "GLUEHOOK_SLACK_TOKEN",
        value_name = "TOKEN",
        default_value = "sandbox-token",
        hide_env_values = true
    )]
    slack_token: String,
}

// By hand, because keys must not be printed, not even made-up ones.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args")
            .field("hotglue_listen", &self.hotglue_listen)
            .field("slack_listen", &self.slack_listen)
            .finish_non_exhaustive()
    }
}

/// Serves both doubles until a signal.
pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let shutdown = Shutdown::on_signals().context("signals can't be received")?;
    let hotglue = sandbox::Hotglue::demo(&args.api_key);
    let slack = sandbox::Slack::new(&args.slack_token);
    let hotglue = hotglue.serve(bind(args.hotglue_listen, "--hotglue-listen").await?);
    let slack = slack.serve(bind(args.slack_listen, "--slack-listen").await?);
    if common.json {
        output::print_json(&json!({"hotglue": hotglue.url(), "slack": slack.url()}))?;
    } else {
        output::line(format!("hotglue  {}   what it holds: {0}/_sandbox/hotglue", hotglue.url()))?;
        output::line(format!("Slack    {}   its messages:  {0}/_sandbox/messages", slack.url()))?;
        output::line("Set base_url of [[hotglue.environment]] and [slack] to these. Ctrl-C stops.")?;
    }
    processes::told_to_stop(&shutdown).await?;
    hotglue.stop().await;
    slack.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} can't be listened on: name a free address with {flag}"))
}
