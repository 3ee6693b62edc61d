//! The house keeps its own rules: which crate may use which, what the root shows, what the README says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(root()).output().expect("the program runs");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Every allowed arrow from a crate of ours to another.
const EDGES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("provision", &[]),
    ("sandbox", &[]),
    ("service", &[]),
    ("bus", &["domain"]),
    ("effects", &["domain"]),
    ("store-postgres", &["domain"]),
    ("store-sqlite", &["domain"]),
    ("store", &["domain", "store-postgres", "store-sqlite"]),
    ("ingest", &["bus", "domain", "service"]),
    ("worker", &["bus", "domain", "effects", "service", "store"]),
    ("cli", &["bus", "domain", "effects", "provision", "sandbox", "service", "store"]),
    ("xtask", &["provision"]),
];

/// Libraries that may be linked by these crates only.
const KNOWN_ONLY_TO: &[(&str, &[&str])] = &[
    ("async-nats", &["bus"]),
    ("sqlx", &["store-postgres", "store-sqlite"]),
    ("reqwest", &["effects", "cli"]),
    ("redb", &["ingest"]),
    ("axum", &["cli", "ingest", "service"]),
];

#[test]
fn arrows_between_crates_are_those_that_are_allowed() {
    let metadata: Value = serde_json::from_str(&output(
        env!("CARGO"),
        &["metadata", "--no-deps", "--offline", "--format-version=1"],
    ))
    .expect("JSON");
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let packages: Vec<_> = metadata["packages"].as_array().expect("packages").iter().collect();
    let ours: BTreeSet<_> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        if name == "tests" {
            continue;
        }
        let used: Vec<_> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .collect();
        let may = allowed.get(name).unwrap_or_else(|| panic!("the crate {name} has no line in EDGES"));
        for dependency in &used {
            assert!(
                !ours.contains(dependency) || may.contains(dependency),
                "{name} uses {dependency}: add the arrow to EDGES and to crates/ARCHITECTURE.md if it is meant"
            );
            if let Some((library, crates)) = KNOWN_ONLY_TO.iter().find(|(library, _)| library == dependency) {
                assert!(crates.contains(&name), "{name} uses {library}, which only {crates:?} may know");
            }
        }
    }
}

#[test]
fn ingest_links_neither_a_database_nor_an_http_client() {
    let tree = output(
        env!("CARGO"),
        &["tree", "--offline", "--locked", "--package=ingest", "--edges=normal", "--prefix=none"],
    );
    for banned in ["sqlx", "libsqlite3-sys", "reqwest"] {
        assert!(!tree.lines().any(|line| line.split(' ').next() == Some(banned)), "ingest links {banned}");
    }
}

#[test]
fn nothing_links_a_second_tls_provider() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    for banned in ["aws-lc-sys", "openssl-sys", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{banned}\"")), "{banned} is in Cargo.lock");
    }
}

/// A change of one event log without the same change of the other is a mistake.
#[test]
fn the_stores_have_twin_migrations_and_twin_files() {
    let files = |store: &str, below: &str| -> BTreeSet<String> {
        output("git", &["ls-files", &format!("crates/{store}/{below}")])
            .lines()
            .filter_map(|path| path.rsplit('/').next())
            .filter(|name| *name != "tests.rs")
            .map(str::to_owned)
            .collect()
    };
    for below in ["migrations", "src"] {
        assert_eq!(files("store-sqlite", below), files("store-postgres", below), "{below}");
    }
}

#[test]
fn the_root_shows_what_was_agreed() {
    let agreed: BTreeSet<_> =
        ["Cargo.lock", "Cargo.toml", "README.md", "crates", "deploy", "docker-compose.yml", "tests"].into();
    let tracked = output("git", &["ls-files"]);
    let shown: BTreeSet<_> = tracked
        .lines()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(shown, agreed);
}

#[test]
fn no_code_is_compiled_for_tests_only_outside_of_test_modules() {
    for file in tracked_sources() {
        let text = std::fs::read_to_string(root().join(&file)).expect("a source file");
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.trim() == "#[cfg(test)]" {
                let next = lines.peek().copied().unwrap_or_default().trim().to_owned();
                let module = next.contains("mod ") && (next.contains("tests") || next.contains("testing"));
                assert!(module, "{file}: `{next}` is compiled for tests only");
            }
        }
    }
}

fn tracked_sources() -> Vec<String> {
    output("git", &["ls-files", "crates/*/src/*.rs"]).lines().map(str::to_owned).collect()
}

#[test]
fn files_are_small_enough_to_hold_in_the_head() {
    for file in tracked_sources() {
        let lines = std::fs::read_to_string(root().join(&file)).expect("a source file").lines().count();
        assert!(lines <= 500, "{file} has {lines} lines: split it");
    }
}

#[test]
fn the_metrics_of_the_readme_are_those_of_the_code() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let told: BTreeSet<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `gluehook_"))
        .filter_map(|rest| rest.split('`').next())
        .map(|rest| format!("gluehook_{}", rest.split('{').next().unwrap_or_default()))
        .collect();
    let known: BTreeSet<_> = service::metrics::METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(told, known);
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("README.md")
}

/// The keys that a table of gluehook.toml knows, as its complaint about an unknown one lists them.
fn keys(before: &str) -> BTreeSet<String> {
    let complaints = domain::config::Config::parse(&format!("{before}\nzzzzzzzzzzzzzzzzzzzz = 1\n"))
        .expect_err("an unknown key");
    let said = complaints[0].to_string();
    let known = said.split("known here: ").nth(1).unwrap_or_else(|| panic!("{said}"));
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_configuration_of_the_readme_is_that_of_the_code() {
    let told: BTreeSet<_> = readme()
        .lines()
        .filter_map(|line| line.strip_prefix("| `["))
        .filter_map(|rest| rest.split('`').next())
        .map(|key| format!("[{key}"))
        .filter(|key| key != "[[rule.do]]")
        .collect();
    let tables = [
        "[[endpoint]]",
        "[[hotglue.environment]]",
        "[[hotglue.flow]]",
        "[hotglue]",
        "[slack]",
        "[jetstream]",
        "[retry]",
        "[event_log]",
    ];
    let known: BTreeSet<_> = tables
        .iter()
        .flat_map(|table| keys(table).into_iter().map(move |key| format!("{table} {key}")))
        .filter(|key| {
            !["[hotglue] environment", "[hotglue] flow", "[hotglue] defaults"].contains(&key.as_str())
        })
        .collect();
    assert_eq!(told, known);
}

/// Long flags that a program's help names.
async fn flags(program: &str) -> BTreeSet<String> {
    let (code, help, errors) = tests::program::run(program, &["--help".to_owned()], &[]).await;
    assert_eq!(code, 0, "{errors}");
    let flags = help.lines().filter_map(|line| line.trim().split("--").nth(1));
    let names = flags.filter_map(|rest| rest.split([' ', '\u{1b}']).next()).map(|name| format!("--{name}"));
    names.filter(|name| !["--help", "--version"].contains(&name.as_str())).collect()
}

#[tokio::test]
async fn the_flags_of_the_readme_are_those_of_the_programs() {
    let readme = readme();
    for (program, word) in
        [("gluehook-ingest", "ingest"), ("gluehook-worker", "worker"), ("gluehook", "gluehook")]
    {
        let told: BTreeSet<_> = readme
            .lines()
            .filter(|line| line.starts_with("| `--"))
            .filter(|line| line.split('|').nth(2).is_some_and(|of| of.trim() == "all" || of.contains(word)))
            .filter_map(|line| line.split('`').nth(1))
            .map(str::to_owned)
            .collect();
        assert_eq!(told, flags(program).await, "{program}");
    }
}

/// Names of the commands that a help lists.
async fn commands(of: &[&str]) -> BTreeSet<String> {
    let mut args: Vec<_> = of.iter().map(ToString::to_string).collect();
    args.push("--help".to_owned());
    let (_, help, _) = tests::program::run("gluehook", &args, &[]).await;
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    listed
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Does a command that has others below it do something without them?
async fn runs_by_itself(command: &str) -> bool {
    let (_, help, _) = tests::program::run("gluehook", &[command.to_owned(), "--help".to_owned()], &[]).await;
    help.lines().any(|line| line.starts_with("Usage:") && line.contains("[COMMAND]"))
}

#[tokio::test]
async fn the_commands_of_the_readme_are_those_of_the_program() {
    let told: BTreeSet<_> = readme()
        .lines()
        .filter_map(|line| line.strip_prefix("| `gluehook "))
        .filter_map(|rest| rest.split('`').next())
        .map(|command| {
            let words = command.split(' ').take_while(|word| {
                !word.starts_with('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let mut known = BTreeSet::new();
    for command in commands(&[]).await {
        let below = commands(&[&command]).await;
        if below.is_empty() || runs_by_itself(&command).await {
            known.insert(command.clone());
        }
        if !below.is_empty() {
            known.extend(below.into_iter().map(|second| format!("{command} {second}")));
        }
    }
    assert_eq!(told, known);
}
