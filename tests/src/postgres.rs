//! A real Postgres: one server for all tests of a run, a fresh database for each.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use provision::{PostgresServer, Tls};
use sqlx::{Connection as _, PgConnection};

/// A database of one's own; gone when dropped.
#[derive(Debug)]
pub struct Database {
    pub url: String,
    name: String,
    server: PostgresServer,
}

impl Database {
    /// # Panics
    /// When Postgres can't be found, started or asked.
    pub async fn create() -> Self {
        Self::with("").await
    }

    /// With what follows `CREATE DATABASE name`.
    ///
    /// # Panics
    /// Those of [`Self::create`].
    pub async fn with(settings: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = server();
        let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {name} {settings}");
        execute(&server.url("postgres"), &sql).await;
        Self { url: server.url(&name), name, server }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// URL of this database for another user; with a password: `jo:secret`.
    #[must_use]
    pub fn url_of(&self, user: &str) -> String {
        self.server.url_of(user, &self.name)
    }

    /// Runs SQL in it, beside whoever uses it.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, sql: &str) {
        execute(&self.url, sql).await;
    }

    /// A connection of the superuser.
    ///
    /// # Panics
    /// When there is none.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("Postgres takes a connection")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Ok(bin) = programs() else { return };
        let mut drop = Command::new(bin.join("psql"));
        drop.args(["--quiet", "--no-psqlrc"]).arg(self.server.url("postgres"));
        drop.arg("--command").arg(format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // What stays ends with the server.
        let _ = drop.output();
    }
}

/// A server of one's own that offers TLS on 127.0.0.1, with the certificate in `tests/tls`. It ends with this process.
#[derive(Debug)]
pub struct WithTls {
    /// URL of its database, without what follows the `?`.
    pub url: String,
    _home: tempfile::TempDir,
}

impl WithTls {
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start() -> Self {
        let port = crate::program::free_ports(1)[0];
        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tls");
        // Postgres may be another user than we are: its way there must be open.
        let home = tempfile::Builder::new().prefix("gluehook-tls-").tempdir().expect("a directory");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let (cert, key) = (tls.join("server.pem"), tls.join("server-key.pem"));
        let tls = Tls { cert: &cert, key: &key, port };
        let bin = programs().expect("Postgres is found");
        PostgresServer::start_with_tls(&bin, &home.path().join("pg"), std::process::id(), &tls)
            .expect("Postgres can be started");
        Self { url: format!("postgres://gluehook@127.0.0.1:{port}/postgres"), _home: home }
    }
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("Postgres takes a connection");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("it is done");
    connection.close().await.expect("it is closed");
}

/// The server of this run of tests; it ends with the run, also when that is killed.
///
/// # Panics
/// When Postgres can't be found or started.
pub fn server() -> PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| found_or_started().expect("Postgres can be started")).clone()
}

/// nextest gives every test a process of its own: then the server is that of nextest, and whoever comes first starts it.
fn found_or_started() -> Result<PostgresServer> {
    let of = match std::env::var_os("NEXTEST") {
        Some(_) => std::os::unix::process::parent_id(),
        None => std::process::id(),
    };
    // Short, as a socket's path must be.
    let home = std::env::temp_dir().join(format!("gluehook-postgres-{of}"));
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    fs::create_dir_all(&target)?;
    let lock = File::create(target.join("postgres-of-tests.lock")).context("the lock file can't be made")?;
    lock.lock().context("the lock can't be taken")?;
    if UnixStream::connect(home.join(".s.PGSQL.5432")).is_ok() {
        return Ok(PostgresServer::of(&home));
    }
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    PostgresServer::start(&programs()?, &home, of)
}

fn programs() -> Result<PathBuf> {
    match std::env::var_os("GLUEHOOK_TEST_POSTGRES_BIN") {
        Some(given) => Ok(Path::new(&given).to_owned()),
        None => provision::postgres(&mut |line| println!("{line}")),
    }
}
