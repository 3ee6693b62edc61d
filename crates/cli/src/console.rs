//! `gluehook console`: what the commands show, as pages. It looks and changes nothing; what a person may want to do next is
//! named as the command that does it.
//!
//! Server-rendered, without a script: what came from outside is escaped by the templates, and the pages' policy lets a browser
//! run nothing.

mod ansi;
mod guard;
mod pages;
mod view;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use domain::config::{Config, SecretRef};
use domain::journal::Filter;
use prometheus_client::registry::Registry;
use service::probe::{self, Readiness};
use service::{CancellationToken, Clock, Shutdown, http};
use store::{Access, Store};
use tokio::net::TcpListener;

pub(crate) use self::guard::Guard;
use self::view::View;
use crate::{Common, Misused, events, files, output, processes};

/// The check of `/readyz`.
const EVENT_LOG: &str = "event log";
/// Between two looks whether the event log can be read.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the pages are served
    #[arg(long, env = "GLUEHOOK_CONSOLE_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are served
    #[arg(
        long,
        env = "GLUEHOOK_CONSOLE_ADMIN_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8083"
    )]
    admin_listen: SocketAddr,

    // Not a doc comment: rustdoc takes file:PATH for a URL.
    #[arg(
        help = "What a browser must give as password, env:NAME or file:PATH; needed to listen for other machines"
    )]
    #[arg(long, env = "GLUEHOOK_CONSOLE_TOKEN", value_name = "REF", value_parser = crate::send::secret_ref)]
    token: Option<SecretRef>,
}

/// What every page is made from.
#[derive(Debug)]
pub(crate) struct House {
    common: Common,
    config: Config,
    store: Store,
    view: View,
    clock: Clock,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let files::Loaded { config, base } = files::load_config_if_there(&common.config)?;
    // A rulebook that can't be read is told at once, and not by the first page that wants it.
    files::load_rulebook(common.rules.as_deref())?;
    let token = args.token.as_ref().map(|token| files::resolve(&base, token)).transpose().map_err(Misused)?;
    let guard = Guard::new(args.listen, token)?;
    let shutdown = Shutdown::on_signals().context("signals can't be received")?;
    let store = events::open_log(common, Access::Reader).await?;
    let (listener, admin) =
        (bind(args.listen, "--listen").await?, bind(args.admin_listen, "--admin-listen").await?);
    let address = listener.local_addr().context("an address that is listened on")?;

    let readiness = Readiness::expecting([EVENT_LOG]);
    let looking = tokio::spawn(look(store.clone(), readiness.clone()));
    let admin_stop = CancellationToken::new();
    let probes = probe::router(Arc::new(Registry::default()), readiness);
    let admin = tokio::spawn(http::serve(admin, probes, http::Limits::default(), admin_stop.clone()));
    let common = common.clone();
    let house =
        Arc::new(House { common, config, store: store.clone(), view: View::new()?, clock: Clock::system() });
    output::line(format!("the console is at http://{address}/ ; Ctrl-C stops it"))?;
    let serving = http::serve(listener, router(house, guard), http::Limits::default(), shutdown.token());
    let told = async {
        let told = processes::told_to_stop(&shutdown).await;
        // Also told by a terminal that was closed.
        shutdown.trigger();
        told
    };
    tokio::join!(serving, told).1?;
    looking.abort();
    admin_stop.cancel();
    admin.await.context("the admin port ended badly")?;
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn router(house: Arc<House>, guard: Guard) -> Router {
    Router::new()
        .route("/", get(pages::overview))
        .route("/events", get(pages::list))
        .route("/events/{id}", get(pages::event))
        .route("/tenants", get(pages::tenants))
        .route("/tenants/{tenant}", get(pages::tenant))
        .route("/rules", get(pages::rules))
        .route("/style.css", get(pages::style))
        .fallback(pages::nothing)
        .with_state(house)
        .layer(from_fn_with_state(Arc::new(guard), guard::admit))
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} can't be listened on: name a free address with {flag}"))
}

/// Says in `/readyz` whether the event log can be read, until it is aborted.
async fn look(store: Store, readiness: Readiness) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let read = store.events(&Filter::default(), 1).await;
        readiness.set(EVENT_LOG, read.map(|_| ()).map_err(|error| error.to_string()));
    }
}
