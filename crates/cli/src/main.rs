//! `gluehook`: the operator's tool. Runs everything on one machine, sends test webhooks, looks, explains, replays,
//! mends. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod completions;
mod console;
mod dead;
mod demo;
mod doctor;
mod events;
mod explain;
mod files;
mod output;
mod processes;
mod reconcile;
mod rejected;
mod replay;
mod rules;
mod sandbox;
mod schema;
mod send;
mod setup;
mod storms;
mod tenant;
mod undo;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Receives the webhooks of hotglue, loses none, and acts on them: the operator's tool
#[derive(Debug, Parser)]
#[command(name = "gluehook", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,

    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Where things are")]
struct Common {
    /// The configuration file
    #[arg(
        long,
        global = true,
        env = "GLUEHOOK_CONFIG",
        value_name = "FILE",
        default_value = "gluehook.toml"
    )]
    config: PathBuf,

    /// The rulebook; the rules that ship with Gluehook unless given
    #[arg(long, global = true, env = "GLUEHOOK_RULES", value_name = "FILE")]
    rules: Option<PathBuf>,

    #[command(flatten)]
    store: store::Args,

    #[command(flatten)]
    bus: bus::Args,

    /// Print JSON for other programs
    #[arg(long, global = true, env = "GLUEHOOK_JSON", value_parser = service::switch)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run nats-server, ingest and worker on this machine
    Up(up::Args),
    /// See the main job from end to end, against doubles of hotglue and Slack
    Demo(demo::Args),
    /// Run the doubles of hotglue and Slack alone
    Sandbox(sandbox::Args),
    /// Sign a webhook and post it
    Send(send::Args),
    /// Look at what came in, what was decided and what was done
    #[command(subcommand)]
    Events(events::Command),
    /// Why did the rules act on an event, or why not
    Explain(explain::Args),
    /// Process recorded events again
    Replay(Box<replay::Args>),
    /// Events that were given up
    #[command(subcommand)]
    Dead(dead::Command),
    /// Requests that were refused for want of proof
    #[command(subcommand)]
    Rejected(rejected::Command),
    /// Find jobs that ended without a webhook, and make up for it
    Reconcile(reconcile::Args),
    /// Check and test a rulebook; resume rules that are paused
    #[command(subcommand)]
    Rules(rules::Command),
    /// Slack messages of one kind that are told in one, and how far that is
    Storms(storms::Args),
    /// What came in of a tenant, what was decided and done, as one story
    Tenant(tenant::Args),
    /// Put schedules back that a rule has changed
    Undo(undo::Args),
    /// Serve what the commands show as pages
    Console(console::Args),
    /// Print the JSON Schema of rules.toml or gluehook.toml, for editors
    Schema(schema::Args),
    /// Check configuration, secrets, NATS, event log, hotglue and Slack
    Doctor(doctor::Args),
    /// Create and verify streams and consumers
    Setup(setup::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Become another program, and end with whoever started this one
    #[command(hide = true)]
    Child(processes::child::Args),
}

/// What is wrong with usage or configuration, for exit code 2.
#[derive(Debug)]
struct Misused(String);

impl std::fmt::Display for Misused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misused {}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { common, command } = service::usage::parse();
    if let Err(why) = common.store.check() {
        output::note(format!("gluehook: {why}"));
        return ExitCode::from(2);
    }
    let done = match command {
        Command::Up(args) => up::run(&common, args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Sandbox(args) => sandbox::run(&common, args).await,
        Command::Send(args) => send::run(&common, args).await,
        Command::Events(command) => events::run(&common, command).await,
        Command::Explain(args) => explain::run(&common, args).await,
        Command::Replay(args) => replay::run(&common, *args).await,
        Command::Dead(command) => dead::run(&common, command).await,
        Command::Rejected(command) => rejected::run(&common, command).await,
        Command::Reconcile(args) => reconcile::run(&common, &args).await,
        Command::Rules(command) => rules::run(&common, command).await,
        Command::Storms(args) => storms::run(&common, &args).await,
        Command::Tenant(args) => tenant::run(&common, &args).await,
        Command::Undo(args) => undo::run(&common, args).await,
        Command::Console(args) => console::run(&common, args).await,
        Command::Schema(args) => schema::run(&args),
        Command::Doctor(args) => doctor::run(&common, args).await,
        Command::Setup(args) => setup::run(&common, args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Child(child) => child.become_it(),
    };
    match done {
        Ok(code) => code,
        // Whoever read our output (`| head`) has what it wanted.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format!("gluehook: {}", output::clean_block(&format!("{error:#}"), "")));
            ExitCode::from(if error.is::<Misused>() { 2 } else { 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_fit_together() {
        Cli::command().debug_assert();
    }
}
