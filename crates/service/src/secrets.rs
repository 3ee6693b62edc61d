//! Resolves references to secrets: `env:NAME` and `file:PATH`. A secret is never written in a configuration.
//!
//! Every error is one sentence for a person and never holds a part of the secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use secrecy::SecretString;

/// A secret is a line; a file larger than this (bytes) is another file.
const MOST_BYTES: u64 = 64 * 1024;

/// Resolves `env:NAME` or `file:PATH`; a relative path is one beside `base`, the directory of the file that refers to it.
///
/// # Errors
/// A sentence that says what is wrong. The reference itself is not repeated when it is neither form, because then
/// it is likely the secret itself.
pub fn resolve(reference: &str, base: &Path) -> Result<SecretString, String> {
    match reference.split_once(':') {
        Some(("env", name)) => resolve_env(name),
        Some(("file", path)) => resolve_file(&base.join(path)),
        _ => Err("a secret is written as env:NAME or file:PATH, never as the secret itself".to_owned()),
    }
}

/// Reads the secret that is in the environment variable `name`. One newline at its end is left out.
///
/// # Errors
/// A sentence: the variable is not set, is empty, or is not UTF-8.
#[expect(clippy::disallowed_methods, reason = "the one place that reads secrets out of the environment")]
pub fn resolve_env(name: &str) -> Result<SecretString, String> {
    use std::env::VarError;
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("the name of an environment variable is missing after env:".to_owned());
    }
    match std::env::var(name) {
        Ok(value) => accept(&value).ok_or_else(|| format!("the environment variable {name} is empty")),
        Err(VarError::NotPresent) => Err(format!("the environment variable {name} is not set")),
        Err(VarError::NotUnicode(_)) => Err(format!("the environment variable {name} is not UTF-8 text")),
    }
}

/// Reads the secret that is in the file at `path`. One newline at its end is left out.
///
/// # Errors
/// A sentence: the file cannot be read, is empty, too large, or is not UTF-8.
pub fn resolve_file(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let unreadable = |error| format!("the secret file {shown} cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!(
            "the secret file {shown} is larger than {} KiB; is it the right file?",
            MOST_BYTES / 1024
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("the secret file {shown} is not UTF-8 text"))?;
    accept(&text).ok_or_else(|| format!("the secret file {shown} is empty"))
}

/// `None` if nothing but white space is left. An editor, `echo` and Kubernetes put a newline at the end that is no
/// part of the secret; other white space may be.
fn accept(text: &str) -> Option<SecretString> {
    let secret = text.strip_suffix('\n').unwrap_or(text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    (!secret.trim().is_empty()).then(|| SecretString::from(secret))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn file(content: &[u8]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), content).unwrap();
        resolve("file:secret", dir.path()).map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn one_newline_at_the_end_is_no_part_of_the_secret() {
        for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(file(content.as_bytes()).unwrap(), "s3cret");
        }
        assert_eq!(file(b" s3cret \n\n").unwrap(), " s3cret \n");
    }

    #[test]
    fn an_empty_secret_is_refused() {
        for content in ["", "\n", "\r\n", "  \n"] {
            assert!(file(content.as_bytes()).unwrap_err().ends_with("is empty"));
        }
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused() {
        assert!(file(b"s3cret\xff").unwrap_err().ends_with("is not UTF-8 text"));
        let large = vec![b'a'; 64 * 1024 + 1];
        assert!(file(&large).unwrap_err().contains("larger than 64 KiB"));
        let missing = resolve_file(Path::new("no/such/secret")).unwrap_err();
        assert!(missing.starts_with("the secret file no/such/secret cannot be read: "), "{missing}");
    }

    #[test]
    fn a_variable_of_the_environment_is_read() {
        // The test runner always has PATH; setting a variable here would be process-wide state.
        assert_eq!(resolve("env:PATH", Path::new("")).unwrap().expose_secret(), env_path());
        let missing = resolve_env("GLUEHOOK_NO_SUCH_SECRET").unwrap_err();
        assert_eq!(missing, "the environment variable GLUEHOOK_NO_SUCH_SECRET is not set");
        assert!(resolve_env("").is_err());
        assert!(resolve_env("A=B").is_err());
    }

    fn env_path() -> String {
        std::env::var_os("PATH").unwrap().into_string().unwrap()
    }

    #[test]
    fn a_secret_written_in_place_of_a_reference_is_not_repeated() {
        for reference in ["hunter2", "vault:hunter2", ""] {
            let error = resolve(reference, Path::new("")).unwrap_err();
            assert!(error.contains("env:NAME") && !error.contains("hunter2"), "{error}");
        }
    }
}
