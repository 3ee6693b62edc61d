//! Runs the scenarios for as long as one likes, one after the other, and prints what was counted. `cargo xtask chaos` builds
//! what it needs and calls it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::chaos::scenario::Scenario;
use tests::chaos::{Round, run, table};

/// Kills, stops and starves Gluehook, and counts what is lost and what is repeated
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos", bin_name = "cargo xtask chaos")]
struct Args {
    /// How long
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u64,

    /// Where all random choices come from; printed with every run
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Only this scenario; may be given several times
    #[arg(long, value_name = "NAME", value_parser = Scenario::from_name)]
    scenario: Vec<Scenario>,

    /// How long each scenario goes on before it is counted
    #[arg(long, default_value_t = 20, value_name = "N")]
    seconds: u64,

    /// Where logs and stores of a run that broke a promise are kept
    #[arg(long, default_value = "target/chaos", value_name = "DIR")]
    keep: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    let scenarios = if args.scenario.is_empty() { Scenario::ALL.to_vec() } else { args.scenario.clone() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let until = Instant::now() + Duration::from_secs(60 * args.minutes);
    println!("seed {seed}; each scenario goes on for {} s, then until all is quiet", args.seconds);
    let mut rounds: Vec<Round> = Vec::new();
    for (number, scenario) in scenarios.iter().cycle().enumerate() {
        if number > 0 && Instant::now() >= until {
            break;
        }
        let round_seed = seed.wrapping_add(number as u64 / scenarios.len() as u64);
        let home = args.keep.join(format!("{}-{round_seed}", scenario.name()));
        let began = Instant::now();
        fresh(&home);
        let home = std::path::absolute(&home).expect("a path");
        let length = Duration::from_secs(args.seconds);
        let ran = runtime.block_on(async {
            tokio::select! {
                round = run(*scenario, &home, length, round_seed) => Some(round),
                // Everything that was started ends with it.
                _asked = tokio::signal::ctrl_c() => None,
            }
        });
        let Some(round) = ran else {
            println!("stopped during {}", scenario.name());
            break;
        };
        println!(
            "{:27} {:3} s  {:4} blows  {:5} posted  {:5} 2xx  {:4} not  {} lost  {} repeated",
            scenario.name(),
            began.elapsed().as_secs(),
            round.blows,
            round.tally.posted,
            round.tally.answered,
            round.tally.refused,
            round.tally.lost,
            round.tally.repeated
        );
        if round.tally.violations.is_empty() {
            fresh(&home);
        } else {
            for violation in round.tally.violations.iter().take(20) {
                println!("    {violation}");
            }
            println!(
                "    again: cargo xtask chaos --seed {round_seed} --scenario {} --minutes 0; logs and stores: {}",
                scenario.name(),
                home.display()
            );
        }
        rounds.push(round);
    }
    println!("\n{}", table(&rounds));
    if rounds.iter().all(|round| round.tally.violations.is_empty()) {
        return ExitCode::SUCCESS;
    }
    println!("a promise was broken; seed {seed}");
    ExitCode::FAILURE
}

/// Nothing of an earlier run lies there.
fn fresh(home: &Path) {
    if home.exists() {
        std::fs::remove_dir_all(home).expect("an old run is removed");
    }
}
