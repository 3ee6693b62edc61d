//! `gluehook-ingest`: see the library for what it does.

use std::process::ExitCode;

use ingest::Args;

/// Many small requests on several threads: the system's own allocator spends several times as long on them, musl's most of all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Args = service::usage::parse();
    match ingest::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for sentence in failure.sentences() {
                eprintln!("gluehook-ingest: {sentence}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
