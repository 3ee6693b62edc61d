use super::*;
use crate::testing;

/// A directory with a program that answers `--version` like this.
fn pretender(answer: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nats-server");
    testing::write_program(&file, &format!("#!/bin/sh\necho '{answer}'\n"));
    (directory, file)
}

#[test]
fn version_is_read_as_the_server_prints_it() {
    assert_eq!(parse_version("nats-server: v2.14.6\n"), Some(Version(2, 14, 6)));
    assert_eq!(parse_version("nats-server: v2.9.10"), Some(Version(2, 9, 10)));
    assert_eq!(parse_version("nats-server: v2.12.0-RC.1\n"), Some(Version(2, 12, 0)));
    assert_eq!(parse_version("nats-server: 2.10.27"), Some(Version(2, 10, 27)));
}

#[test]
fn text_that_is_no_version_is_not_read_as_one() {
    for text in ["", "nats-server: ", "nats-server: v2.10", "nginx: v2.14.6", "nats-server: vx.y.z"] {
        assert_eq!(parse_version(text), None, "{text}");
    }
}

#[test]
fn versions_compare_by_number() {
    assert!(Version(2, 9, 25) < OLDEST);
    assert!(Version(2, 10, 0) >= OLDEST);
    assert!(Version(3, 0, 0) >= OLDEST);
}

#[test]
fn too_old_on_path_is_passed_over_with_a_word() {
    let (_old, old) = pretender("nats-server: v2.9.10");
    let (_new, new) = pretender("nats-server: v2.11.1");
    let mut said = Vec::new();
    let found = first_that_will_do(vec![old, new.clone()], &mut |line| said.push(line.to_owned()));
    assert_eq!(found, Some(new));
    assert!(said.len() == 1 && said[0].contains("2.9.10"), "{said:?}");
}

#[test]
fn given_server_that_is_too_old_is_refused() {
    let (_directory, old) = pretender("nats-server: v2.9.10");
    let error = check_given(&old).unwrap_err().to_string();
    assert!(error.contains("2.9.10") && error.contains("2.10.0 or newer"), "{error}");
}

#[test]
fn given_server_that_is_something_else_is_refused() {
    let (_directory, other) = pretender("hello");
    let error = check_given(&other).unwrap_err().to_string();
    assert!(error.contains("does not say its version"), "{error}");
}

#[test]
fn given_server_that_is_missing_is_named() {
    let error = check_given(Path::new("/nonexistent/nats-server")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/nats-server"), "{error}");
}
