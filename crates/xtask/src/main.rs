//! The project's own commands, `cargo xtask …`: each does all its set-up on a machine that has Rust, gcc and Python 3
//! with pip. It must never link a crate of the product (it would be rebuilt with each of them), and never hide a
//! failure: what fails is named with the command that failed.

mod bench;
mod chaos;
mod demo;
mod fuzz;
mod prepare;
mod servers;
mod stage;
mod test;
mod workspace;

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Get what is missing, build, and run the demo
    Demo(PassedOn),
    /// Get what is missing, check format and lints, build, and run all tests
    Test {
        /// Leave out the checks of format and lints
        #[arg(long)]
        no_lint: bool,
        #[command(flatten)]
        runner: PassedOn,
    },
    /// Get what is missing, build optimised, and run the benchmarks
    Bench(PassedOn),
    /// Get what is missing, build, and kill, stop and starve everything for a while: what is promised is counted
    Chaos(PassedOn),
    /// Get what is missing, build, and give every parser what a fuzzer makes up
    Fuzz {
        /// For each target
        #[arg(long, default_value_t = 60, value_name = "N")]
        seconds: u64,
        /// Only these
        targets: Vec<OsString>,
    },
    /// Write anew what the compile-checked SQL queries need to build without a database
    Prepare {
        /// Write nothing; fail if what is there is not up to date
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, Args)]
struct PassedOn {
    /// Passed on as they are (`demo --stay`, `test name_of_a_test`)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Task::Demo(passed_on) => demo::run(&passed_on.args),
        Task::Test { no_lint, runner } => test::run(no_lint, &runner.args),
        Task::Bench(passed_on) => bench::run(&passed_on.args),
        Task::Chaos(passed_on) => chaos::run(&passed_on.args),
        Task::Fuzz { seconds, targets } => fuzz::run(seconds, &targets),
        Task::Prepare { check } => prepare::run(check),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_the_demo_are_passed_on_with_and_without_dashes() {
        for line in [&["xtask", "demo", "--stay"][..], &["xtask", "demo", "--", "--stay"]] {
            let Task::Demo(passed_on) = Cli::try_parse_from(line).unwrap().command else {
                panic!("{line:?} is the demo");
            };
            assert_eq!(passed_on.args, ["--stay"], "{line:?}");
        }
    }

    #[test]
    fn no_lint_is_ours_and_the_rest_is_the_runners() {
        let line = ["xtask", "test", "--no-lint", "retry", "--no-capture"];
        let Task::Test { no_lint, runner } = Cli::try_parse_from(line).unwrap().command else {
            panic!("it is the tests");
        };
        assert!(no_lint);
        assert_eq!(runner.args, ["retry", "--no-capture"]);
    }
}
