//! The files a person names on the command line: configuration, rulebook, secrets. What is wrong with one is
//! [`Misused`]: exit code 2, every complaint on its own line.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use domain::config::{Complaint, Config, SecretRef, utf8};
use domain::rulebook::Rulebook;
use secrecy::SecretString;
use service::secrets;

use crate::Misused;

/// Where the configuration is looked for when nobody names it.
pub(crate) const DEFAULT_CONFIG: &str = "gluehook.toml";

/// The configuration, and the folder that paths in it are relative to.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) base: PathBuf,
}

/// Reads and checks the configuration.
///
/// # Errors
/// All complaints, one per line, as `FILE: line 3, column 1: …`.
pub(crate) fn load_config(path: &Path) -> Result<Loaded, Misused> {
    let bytes = std::fs::read(path).map_err(|error| {
        Misused(format!("the configuration {} can't be read: {error}; name it with --config", path.display()))
    })?;
    let text = utf8(bytes).map_err(|complaint| all(path, &[complaint]))?;
    parse_config(path, &text)
}

/// As [`load_config`], but without a file of the default name the defaults hold: looking at events needs none.
///
/// # Errors
/// As [`load_config`]; a file that was named and isn't there is one too.
pub(crate) fn load_config_if_there(path: &Path) -> Result<Loaded, Misused> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse_config(path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound && path == Path::new(DEFAULT_CONFIG) => {
            Ok(Loaded { config: Config::default(), base: base(path) })
        }
        Err(_) => load_config(path),
    }
}

fn parse_config(path: &Path, text: &str) -> Result<Loaded, Misused> {
    match Config::parse(text) {
        Ok(config) => Ok(Loaded { config, base: base(path) }),
        Err(complaints) => Err(all(path, &complaints)),
    }
}

/// The folder of a file; `.` for a bare name.
fn base(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn all(path: &Path, complaints: &[Complaint]) -> Misused {
    let said: Vec<_> =
        complaints.iter().map(|complaint| format!("{}: {complaint}", path.display())).collect();
    Misused(said.join("\n"))
}

/// The rulebook of a file, or the one that ships with Gluehook.
///
/// # Errors
/// All complaints, one per line, as `FILE: line 3, column 1: …`.
pub(crate) fn load_rulebook(path: Option<&Path>) -> Result<Rulebook, Misused> {
    let Some(path) = path else { return Ok(Rulebook::built_in()) };
    let text = read_rulebook(path)?;
    Rulebook::parse(&text).map_err(|complaints| all(path, &complaints))
}

/// The text of a rulebook.
///
/// # Errors
/// A sentence when the file can't be read.
pub(crate) fn read_rulebook(path: &Path) -> Result<String, Misused> {
    let bytes = std::fs::read(path)
        .map_err(|error| Misused(format!("the rulebook {} can't be read: {error}", path.display())))?;
    utf8(bytes).map_err(|complaint| all(path, &[complaint]))
}

/// Resolves a secret; a relative `file:` path is one beside the configuration.
///
/// # Errors
/// A sentence that never holds a part of the secret.
pub(crate) fn resolve(base: &Path, reference: &SecretRef) -> Result<SecretString, String> {
    match reference {
        SecretRef::Env(name) => secrets::resolve_env(name),
        SecretRef::File(path) => secrets::resolve_file(&base.join(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_complaint_has_its_own_line_with_file_and_place() {
        let path = Path::new("conf/gluehook.toml");
        let error = parse_config(path, "[hotglue]\ntimeot = \"1s\"\n").unwrap_err().0;
        assert!(error.starts_with("conf/gluehook.toml: line 2, column 1: "), "{error}");
        assert!(error.contains("did you mean `timeout`?"), "{error}");
        let two = "[retry]\nattempts = 0\n[jetstream]\nmax_age = \"1h\"\n";
        assert_eq!(parse_config(path, two).unwrap_err().0.lines().count(), 2);
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        assert_eq!(parse_config(Path::new("conf/g.toml"), "").unwrap().base, Path::new("conf"));
        assert_eq!(parse_config(Path::new("g.toml"), "").unwrap().base, Path::new("."));
    }

    #[test]
    fn a_file_that_is_not_there_is_wrong_usage_only_when_it_was_named() {
        let named = load_config_if_there(Path::new("no/such/gluehook.toml")).unwrap_err().0;
        assert!(named.contains("name it with --config"), "{named}");
        // The tests run in the crate's folder, which has none.
        assert!(load_config_if_there(Path::new(DEFAULT_CONFIG)).is_ok());
        assert!(load_config(Path::new(DEFAULT_CONFIG)).is_err());
    }
}
