//! `gluehook-worker`: parse, build, run. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

use std::process::ExitCode;

use worker::args::Args;
use worker::run::{Misconfigured, run};

/// Many small requests on several threads: the system's own allocator spends several times as long on them, musl's most of all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Args = service::usage::parse();
    args.service.init_telemetry();
    match Box::pin(run(args)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Bare, without a log prefix: this is what a person at the terminal reads.
            eprintln!("gluehook-worker: {error:#}");
            ExitCode::from(if error.is::<Misconfigured>() { 2 } else { 1 })
        }
    }
}
