//! The flags that say where NATS is.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use async_nats::{ConnectOptions, ServerAddr};

use crate::wire;

/// Where NATS is and who we are there: `#[command(flatten)]` them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "NATS")]
// Several such structs named `Args` are flattened into one command: each would make a group of that name.
#[group(skip)]
pub struct Args {
    /// URL of the NATS server; of a cluster, several with commas between
    // The value may hold a password: it is never shown.
    #[arg(
        long,
        global = true,
        env = "GLUEHOOK_NATS_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "nats://127.0.0.1:4222"
    )]
    pub nats_url: NatsUrl,

    /// Credentials file (.creds) with the JWT and the seed of the NATS user
    #[arg(long, global = true, env = "GLUEHOOK_NATS_CREDS", value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,

    /// File with the nkey seed (SU…) of the NATS user
    #[arg(
        long,
        global = true,
        env = "GLUEHOOK_NATS_NKEY",
        value_name = "FILE",
        conflicts_with = "nats_creds"
    )]
    pub nats_nkey: Option<PathBuf>,

    /// Certificates (PEM) of the authorities that the NATS server's certificate is trusted by; TLS is then a must
    #[arg(long, global = true, env = "GLUEHOOK_NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,

    /// Our own certificate (PEM), for a NATS server that asks for one
    #[arg(long, global = true, env = "GLUEHOOK_NATS_CERT", value_name = "FILE")]
    pub nats_cert: Option<PathBuf>,

    /// Private key (PEM) of the certificate
    #[arg(long, global = true, env = "GLUEHOOK_NATS_KEY", value_name = "FILE")]
    pub nats_key: Option<PathBuf>,

    /// Prefix of the subjects that answers come to: the NATS user may subscribe below it [default: `_INBOX_ingest`,
    /// `_INBOX_worker` or `_INBOX_gluehook`, by the program]
    #[arg(long, global = true, env = "GLUEHOOK_NATS_INBOX_PREFIX", value_name = "PREFIX", value_parser = inbox_prefix)]
    pub nats_inbox_prefix: Option<String>,
}

/// Tokens of a subject without wildcards.
fn inbox_prefix(text: &str) -> Result<String, String> {
    let fits = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte))
    };
    if text.split('.').all(fits) {
        Ok(text.to_owned())
    } else {
        Err("write a subject without wildcards, such as _INBOX_developer".to_owned())
    }
}

/// Where answers come to when nobody says: no two programs share it, so that a user who may read the answers of one does
/// not read those of another.
fn default_inbox_prefix(client_name: &str) -> &'static str {
    match client_name {
        "gluehook-ingest" => "_INBOX_ingest",
        "gluehook-worker" => "_INBOX_worker",
        name if name.starts_with("gluehook") => "_INBOX_gluehook",
        _ => "_INBOX",
    }
}

impl Args {
    /// Flags that name only the server.
    #[must_use]
    pub fn for_url(url: impl Into<String>) -> Self {
        Self {
            nats_url: NatsUrl(url.into()),
            nats_creds: None,
            nats_nkey: None,
            nats_ca: None,
            nats_cert: None,
            nats_key: None,
            nats_inbox_prefix: None,
        }
    }

    /// The flags that name files, for handing them on to a child process.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        let files = [
            ("--nats-creds", &self.nats_creds),
            ("--nats-nkey", &self.nats_nkey),
            ("--nats-ca", &self.nats_ca),
            ("--nats-cert", &self.nats_cert),
            ("--nats-key", &self.nats_key),
        ];
        files.into_iter().filter_map(|(flag, file)| Some((flag, file.as_deref()?))).collect()
    }

    pub(crate) fn inbox_prefix(&self, client_name: &str) -> String {
        let given = self.nats_inbox_prefix.clone();
        given.unwrap_or_else(|| default_inbox_prefix(client_name).to_owned())
    }

    /// Applies what says who we are, and whom we trust.
    ///
    /// # Errors
    /// A sentence that names the flag of what can't be used.
    pub(crate) async fn identify(&self, mut options: ConnectOptions) -> Result<ConnectOptions, String> {
        if let Some(path) = &self.nats_creds {
            options = options.credentials_file(path).await.map_err(|error| {
                format!("the credentials file {} (--nats-creds) can't be used: {error}", path.display())
            })?;
        }
        if let Some(path) = &self.nats_nkey {
            options =
                options.nkey(seed(&read(path, "--nats-nkey", "the nkey seed file")?).ok_or_else(|| {
                    format!(
                        "{} (--nats-nkey) holds no seed of a NATS user: it is a line that begins with SU",
                        path.display()
                    )
                })?);
        }
        if let Some(path) = &self.nats_ca {
            read(path, "--nats-ca", "the certificates")?;
            options = options.add_root_certificates(path.clone()).require_tls(true);
        }
        match (&self.nats_cert, &self.nats_key) {
            (Some(cert), Some(key)) => {
                read(cert, "--nats-cert", "the certificate")?;
                read(key, "--nats-key", "the private key")?;
                options = options.add_client_certificate(cert.clone(), key.clone());
            }
            (None, None) => {}
            _ => return Err("--nats-cert and --nats-key go together: give both or none".to_owned()),
        }
        Ok(options)
    }
}

/// The text of a file; never part of an error.
fn read(path: &Path, flag: &str, what: &str) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{what} {} ({flag}) can't be read: {error}", path.display()))
}

/// The line with the seed of a user. Tools write it alone, or between lines of dashes.
fn seed(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| line.starts_with("SU"))?;
    line.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| line.to_owned())
}

/// Addresses of NATS servers. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl(String);

impl NatsUrl {
    /// The addresses; an error is a sentence without the text, which may hold a password.
    pub(crate) fn servers(&self) -> Result<Vec<ServerAddr>, String> {
        let addresses: Result<Vec<ServerAddr>, _> =
            self.0.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect();
        match addresses {
            Ok(addresses) if !addresses.is_empty() && addresses.iter().all(|one| !one.host().is_empty()) => {
                Ok(addresses)
            }
            _ => Err("--nats-url is no address of a NATS server: write it as nats://host:4222".to_owned()),
        }
    }

    /// User and password in the first address that has them; without a password it is a token.
    pub(crate) fn login(servers: &[ServerAddr]) -> Option<(String, Option<String>)> {
        let server = servers.iter().find(|server| server.username().is_some())?;
        // As anywhere in a URL, what has a meaning there is written as %XX.
        let plain = |text: &str| wire::decode(text).unwrap_or_else(|_| text.to_owned());
        Some((plain(server.username()?), server.password().map(plain)))
    }

    /// The text as given, password and all: for handing it on to a child process, never for a message.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for NatsUrl {
    // Whether it is an address shows when connecting: clap would print a refused text, password and all.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.split(',').map(str::trim).enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            // What no address has may be a password too.
            let plain = |part: &str| part.split(['?', '#']).next().unwrap_or_default().to_owned();
            match part.rsplit_once('@') {
                None => f.write_str(&plain(part))?,
                Some((before, host)) => {
                    let host = plain(host);
                    let scheme = before.split_once("://").map_or("nats", |(scheme, _)| scheme);
                    write!(f, "{scheme}://***@{host}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        bus: Args,
    }

    #[test]
    fn a_password_is_never_shown() {
        let program =
            Program::try_parse_from(["p", "--nats-url=nats://bob:s3cret@a:4222,tls://t0ken@b"]).unwrap();
        let shown = format!("{program:?} {}", program.bus.nats_url);
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken") && !shown.contains("bob"), "{shown}");
        assert_eq!(program.bus.nats_url.to_string(), "nats://***@a:4222,tls://***@b");
        assert_eq!(program.bus.nats_url.servers().unwrap().len(), 2);
    }

    #[test]
    fn user_and_password_are_taken_from_the_address() {
        let login = |url: &str| NatsUrl::login(&NatsUrl(url.to_owned()).servers().unwrap());
        assert_eq!(login("nats://a:4222"), None);
        assert_eq!(login("nats://a,nats://b%40c:p%2Fw@d"), Some(("b@c".into(), Some("p/w".into()))));
        assert_eq!(login("nats://t0ken@a"), Some(("t0ken".into(), None)));
    }

    #[test]
    fn what_is_no_address_is_said_without_the_text() {
        for bad in ["", "nats://", "nats://user:s3cret@:::", "http://s3cret"] {
            let error = NatsUrl(bad.to_owned()).servers().unwrap_err();
            assert!(error.contains("--nats-url") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_seed_is_found_wherever_tools_put_it_and_nothing_else_is_taken_for_one() {
        let file = "-----BEGIN USER NKEY SEED-----\nSUAB12\n------END USER NKEY SEED------\n";
        assert_eq!(seed(file).as_deref(), Some("SUAB12"));
        assert_eq!(seed("SUAB12\n").as_deref(), Some("SUAB12"));
        for none in ["", "UAB12", "SU!", "SAAB12"] {
            assert_eq!(seed(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn what_can_not_be_used_is_named_with_its_flag() {
        let identify = |change: fn(&mut Args)| {
            let mut args = Args::for_url("nats://a");
            change(&mut args);
            async move { args.identify(ConnectOptions::new()).await.map(drop).unwrap_err() }
        };
        let missing = identify(|args| args.nats_nkey = Some("no/such.nk".into())).await;
        assert!(missing.contains("no/such.nk (--nats-nkey)"), "{missing}");
        let missing = identify(|args| args.nats_ca = Some("no/such.pem".into())).await;
        assert!(missing.contains("no/such.pem (--nats-ca)"), "{missing}");
        let half = identify(|args| args.nats_cert = Some("a.pem".into())).await;
        assert!(half.contains("--nats-key"), "{half}");
    }

    #[test]
    fn no_two_programs_read_each_others_answers() {
        let args = Args::for_url("nats://a");
        let prefixes: std::collections::BTreeSet<_> = ["gluehook-ingest", "gluehook-worker", "gluehook"]
            .iter()
            .map(|name| args.inbox_prefix(name))
            .collect();
        assert_eq!(prefixes.len(), 3);
        for wrong in ["", "a.", "a.*", ">", "a b"] {
            assert!(inbox_prefix(wrong).is_err(), "{wrong}");
        }
        assert!(inbox_prefix("_INBOX_developer").is_ok());
    }

    #[test]
    fn every_flag_is_a_variable_of_the_environment() {
        for arg in Program::command().get_arguments() {
            let long = arg.get_long().unwrap().replace('-', "_").to_uppercase();
            assert_eq!(arg.get_env().unwrap().to_str().unwrap(), format!("GLUEHOOK_{long}"));
        }
    }
}
