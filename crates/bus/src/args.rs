//! The flags that say where NATS is.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use async_nats::ServerAddr;

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
}

impl Args {
    /// Flags that name only the server.
    #[must_use]
    pub fn for_url(url: impl Into<String>) -> Self {
        Self { nats_url: NatsUrl(url.into()), nats_creds: None }
    }
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
            match part.rsplit_once('@') {
                None => f.write_str(part)?,
                Some((before, host)) => {
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
    fn every_flag_is_a_variable_of_the_environment() {
        for arg in Program::command().get_arguments() {
            let long = arg.get_long().unwrap().replace('-', "_").to_uppercase();
            assert_eq!(arg.get_env().unwrap().to_str().unwrap(), format!("GLUEHOOK_{long}"));
        }
    }
}
