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
    ("store-sqlite", &["domain"]),
    ("store", &["domain", "store-sqlite"]),
    ("ingest", &["bus", "domain", "service"]),
    ("worker", &["bus", "domain", "effects", "service", "store"]),
    ("cli", &["bus", "domain", "effects", "provision", "sandbox", "service", "store"]),
    ("xtask", &["provision"]),
];

/// Libraries that may be linked by these crates only.
const KNOWN_ONLY_TO: &[(&str, &[&str])] = &[
    ("async-nats", &["bus"]),
    ("sqlx", &["store-sqlite"]),
    ("reqwest", &["effects", "cli"]),
    ("axum", &["ingest", "service"]),
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
