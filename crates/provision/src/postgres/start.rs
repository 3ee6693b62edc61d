//! Starting a throw-away Postgres: for tests, and for looking at queries while they are compiled.

use std::{
    fs,
    io::Read as _,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Longest wait for the server to take connections, `initdb` included.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The superuser of such a server, who needs no password.
const USER: &str = "gluehook";

/// Makes a database cluster, starts its server, and looks after it until the process `$3` has ended: then the server
/// ends at once and the directory goes. A script, so that it outlives whoever started it, however that ends.
const SUPERVISE: &str = r#"
bin=$1 home=$2 of=$3
shift 3
alive() { kill -0 "$1" 2>/dev/null || kill -0 "$1" 2>&1 | grep -qi permitted; }
gone() { rm -rf "$home"; exit; }
"$bin/initdb" -D "$home/data" -U gluehook -A trust -E UTF8 --locale=C -N >"$home/initdb.log" 2>&1 || { touch "$home/failed"; sleep 2; gone; }
"$bin/postgres" -D "$home/data" -k "$home" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
  -c full_page_writes=off -c max_connections=400 -c shared_buffers=64MB -c autovacuum=off "$@" \
  >"$home/postgres.log" 2>&1 &
server=$!
trap 'kill -QUIT "$server"; wait "$server"; gone' TERM INT HUP
while alive "$of" && kill -0 "$server" 2>/dev/null; do sleep 0.2; done
kill -QUIT "$server" 2>/dev/null
wait "$server"
gone
"#;

/// A throw-away Postgres server on a socket of its own: it forgets everything, and ends with the process it was
/// started for.
#[derive(Debug, Clone)]
pub struct PostgresServer {
    home: PathBuf,
}

impl PostgresServer {
    /// Starts a server with the programs in `bin` ([`crate::postgres`]) that ends when the process `of` has ended. `home`
    /// is made for it and goes with it; its path must be short, because a socket's is.
    ///
    /// As root it runs as the user `postgres`, or as `nobody`: Postgres refuses root.
    ///
    /// # Errors
    /// It can't be started, or is not ready in time; with what it said.
    pub fn start(bin: &Path, home: &Path, of: u32) -> Result<Self> {
        Self::start_with(bin, home, of, None)
    }

    /// As [`Self::start`], and listens on a port of 127.0.0.1 too, where it offers TLS.
    ///
    /// # Errors
    /// Those of [`Self::start`]; and the files of [`Tls`] can't be read.
    pub fn start_with_tls(bin: &Path, home: &Path, of: u32, tls: &Tls<'_>) -> Result<Self> {
        Self::start_with(bin, home, of, Some(tls))
    }

    fn start_with(bin: &Path, home: &Path, of: u32, tls: Option<&Tls<'_>>) -> Result<Self> {
        fs::create_dir(home).with_context(|| format!("{} can't be made", home.display()))?;
        fs::set_permissions(home, fs::Permissions::from_mode(0o700))?;
        let servant = servant()?;
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISE, "sh"]).arg(bin).arg(home).arg(of.to_string());
        if let Some(tls) = tls {
            for setting in tls.settings(home, servant)? {
                command.args(["-c", &setting]);
            }
        }
        // A group of its own: a signal to the group of whoever started it is not for it.
        command.process_group(0).current_dir(home).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = servant {
            chown(home, Some(user), Some(group)).context("the directory of Postgres can't be given away")?;
            command.uid(user).gid(group);
        }
        let mut supervisor = command.spawn().context("sh can't be run")?;
        let server = Self { home: home.to_path_buf() };
        let deadline = Instant::now() + READY_WITHIN;
        while !server.is_ready() {
            if let Some(status) = supervisor.try_wait()? {
                bail!("Postgres ended at once ({status})");
            }
            if home.join("failed").exists() {
                bail!("initdb failed: {}", server.said("initdb.log").trim());
            }
            if Instant::now() > deadline {
                bail!("Postgres was not ready within {READY_WITHIN:?}: {}", server.said("postgres.log"));
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "looks again; nothing else is waiting for this thread"
            )]
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// The server that [`PostgresServer::start`] started in this directory.
    #[must_use]
    pub fn of(home: &Path) -> Self {
        Self { home: home.to_path_buf() }
    }

    fn is_ready(&self) -> bool {
        // Its last line says how far the server is; the socket is there before connections are taken.
        fs::read_to_string(self.home.join("data/postmaster.pid")).is_ok_and(|told| told.contains("ready"))
    }

    fn said(&self, log: &str) -> String {
        let mut said = String::new();
        let _ = fs::File::open(self.home.join(log)).and_then(|mut file| file.read_to_string(&mut said));
        said
    }

    /// URL of a database on it, which need not exist; `postgres` always does.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_of(USER, database)
    }

    /// As [`Self::url`], for another user (with a password: `jo:secret`).
    #[must_use]
    pub fn url_of(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost/{database}?host={}", self.home.display())
    }
}

/// What a server shows to who connects by TLS, and where.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// PEM.
    pub cert: &'a Path,
    pub key: &'a Path,
    /// A free one.
    pub port: u16,
}

impl Tls<'_> {
    /// Postgres takes a key only that is its own and nobody else's.
    fn settings(&self, home: &Path, servant: Option<(u32, u32)>) -> Result<Vec<String>> {
        let mut settings =
            vec!["listen_addresses=127.0.0.1".to_owned(), format!("port={}", self.port), "ssl=on".to_owned()];
        for (setting, from) in [("ssl_cert_file", self.cert), ("ssl_key_file", self.key)] {
            let to = home.join(setting);
            fs::copy(from, &to).with_context(|| format!("{} can't be copied", from.display()))?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600))?;
            if let Some((user, group)) = servant {
                chown(&to, Some(user), Some(group))?;
            }
            settings.push(format!("{setting}={}", to.display()));
        }
        Ok(settings)
    }
}

/// Whom to be in place of root.
fn servant() -> Result<Option<(u32, u32)>> {
    if !super::is_root() {
        return Ok(None);
    }
    let id = |what: &str, user: &str| -> Option<u32> {
        let output = Command::new("id").args([what, user]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    let found = ["postgres", "nobody"].iter().find_map(|user| Some((id("-u", user)?, id("-g", user)?)));
    found
        .map(Some)
        .context("Postgres refuses to run as root, and there is neither a user `postgres` nor `nobody`")
}
