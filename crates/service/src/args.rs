//! The flags that every long-running process takes.

use std::net::SocketAddr;

use crate::telemetry::{self, LogFilter, LogFormat};

/// Flags shared by all long-running processes: `#[command(flatten)]` them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Process")]
#[group(skip)]
pub struct Args {
    /// Where /livez, /readyz and /metrics are served
    // No default here: each process has its own port, so that all of them run on one machine.
    #[arg(long, env = "GLUEHOOK_ADMIN_LISTEN", value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,

    /// How log lines are written to stderr
    #[arg(long, env = "GLUEHOOK_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels per module, as in "info,bus=debug"
    #[arg(long, env = "GLUEHOOK_LOG", default_value_t, value_name = "FILTER")]
    pub log: LogFilter,
}

impl Args {
    /// The address of the admin port; `default` is the one of this process.
    pub fn admin_listen_or(&self, default: SocketAddr) -> SocketAddr {
        self.admin_listen.unwrap_or(default)
    }

    /// Starts logging as the flags say. The first call in a process wins.
    pub fn init_telemetry(&self) {
        telemetry::init(self.log_format, &self.log);
    }
}

/// Reads a switch out of its environment variable. An empty one is off, as a file for containers leaves it.
///
/// # Errors
/// How to write it.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "y" | "on" | "t" => Ok(true),
        "" | "0" | "false" | "no" | "n" | "off" | "f" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        service: Args,
    }

    #[test]
    fn without_flags_logs_are_text_at_info() {
        let args = Program::try_parse_from(["p"]).unwrap().service;
        assert_eq!(args.log_format, LogFormat::Text);
        assert_eq!(args.log.to_string(), "info");
        let default = "127.0.0.1:9090".parse().unwrap();
        assert_eq!(args.admin_listen_or(default), default);
    }

    #[test]
    fn every_flag_is_taken() {
        let flags = ["p", "--admin-listen=[::1]:0", "--log-format=json", "--log=warn,bus=debug"];
        let args = Program::try_parse_from(flags).unwrap().service;
        assert_eq!(args.admin_listen, Some("[::1]:0".parse().unwrap()));
        assert_eq!(args.log_format, LogFormat::Json);
        assert_eq!(args.log.to_string(), "warn,bus=debug");
    }

    #[test]
    fn a_filter_that_is_none_is_wrong_usage() {
        let error = Program::try_parse_from(["p", "--log=loud"]).err().unwrap();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("'loud' is no level"), "{error}");
    }

    #[test]
    fn a_flag_is_also_a_variable_of_the_environment() {
        use clap::CommandFactory;
        for arg in Program::command().get_arguments() {
            let long = arg.get_long().unwrap().replace('-', "_").to_uppercase();
            assert_eq!(arg.get_env().unwrap().to_str().unwrap(), format!("GLUEHOOK_{long}"));
        }
    }

    #[test]
    fn a_switch_is_on_or_off_and_nothing_else() {
        for (text, on) in
            [("true", true), ("Yes", true), ("1", true), ("", false), ("0", false), ("off", false)]
        {
            assert_eq!(switch(text), Ok(on), "{text}");
        }
        assert!(switch("maybe").is_err());
    }
}
