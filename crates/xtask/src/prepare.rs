//! `cargo xtask prepare`: what the compile-checked queries of the stores need to build without a database, without
//! sqlx's own tool (which takes minutes to build). A fresh database gets the migrations, the crate is checked against
//! it, and the macros leave one file per query where `SQLX_OFFLINE_DIR` points.

mod files;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail, ensure};

use provision::PostgresServer;

use crate::{servers, stage, workspace::Workspace};

/// Runs each file of SQL, in the order given, in a new database.
const MIGRATE: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
for path in sys.argv[2:]:
    with open(path, encoding='utf-8') as file:
        try:
            database.executescript(file.read())
        except sqlite3.Error as error:
            sys.exit(f'{path}: {error}')
database.commit()
";

/// The stores, each with the database that its queries are asked of.
#[derive(Debug, Clone, Copy)]
enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    fn package(self) -> &'static str {
        match self {
            Self::Sqlite => "store-sqlite",
            Self::Postgres => "store-postgres",
        }
    }

    /// Makes a database with these migrations applied; its URL.
    fn database(self, scratch: &Path, migrations: &[PathBuf]) -> Result<String> {
        match self {
            Self::Sqlite => {
                let database = scratch.join("empty.db");
                migrate(&database, migrations)?;
                sqlite_url(&database)
            }
            Self::Postgres => postgres_url(migrations),
        }
    }

    /// How sqlx calls the database.
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    fn directory(self, workspace: &Workspace) -> PathBuf {
        workspace.root.join("crates").join(self.package())
    }
}

const STORES: [Store; 2] = [Store::Sqlite, Store::Postgres];

pub(crate) fn run(check: bool) -> Result<()> {
    let workspace = Workspace::find()?;
    let scratch = Scratch::create(workspace.target.join(format!("xtask-prepare-{}", std::process::id())))?;
    let fresh = scratch.0.join("queries");
    fs::create_dir(&fresh).context("the directory for the queries can't be created")?;
    describe(&workspace, &scratch.0, &fresh)?;
    let fresh = files::queries(&fresh)?;
    for store in STORES {
        compare(&workspace, store, &files::of_database(&fresh, store.name()), check)?;
    }
    Ok(())
}

fn compare(workspace: &Workspace, store: Store, fresh: &files::Queries, check: bool) -> Result<()> {
    let package = store.package();
    let directory = store.directory(workspace).join(".sqlx");
    let kept = files::queries(&directory)?;
    ensure!(!fresh.is_empty(), "{package} was compiled, but no query of it was seen: does it use `query!`?");
    let difference = files::Difference::between(&kept, fresh);
    if difference.is_none() {
        stage::say(&format!("{package}: {} queries, all up to date", fresh.len()));
    } else if check {
        bail!(
            "crates/{package}/.sqlx is not up to date ({difference}): run `cargo xtask prepare` and commit it"
        );
    } else {
        files::replace(&directory, &kept, fresh)?;
        stage::say(&format!("{package}: {} queries, {difference}", fresh.len()));
    }
    Ok(())
}

/// A throw-away server, which ends with this process, and in it a database.
fn postgres_url(migrations: &[PathBuf]) -> Result<String> {
    let bin = servers::postgres()?;
    let of = std::process::id();
    // Short, as a socket's path must be.
    let home = std::env::temp_dir().join(format!("gluehook-prepare-{of}"));
    let url = PostgresServer::start(&bin, &home, of)?.url("postgres");
    let mut psql = Command::new(bin.join("psql"));
    psql.args(["--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1"]).arg(&url);
    for migration in migrations {
        psql.arg("--file").arg(migration);
    }
    let output = psql.output().context("psql can't be run, and the migrations are applied with it")?;
    if !output.status.success() {
        bail!("the migrations can't be applied: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(url)
}

fn migrate(database: &Path, migrations: &[PathBuf]) -> Result<()> {
    let output = Command::new("python3")
        .args(["-c", MIGRATE])
        .arg(database)
        .args(migrations)
        .output()
        .context("python3 can't be run, and the migrations are applied with it: install Python 3")?;
    if !output.status.success() {
        bail!("the migrations can't be applied: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Has the compiler see every query of the stores, those of their tests too. Both at once: cargo would choose other
/// features of the libraries for each alone, and compile them twice.
fn describe(workspace: &Workspace, scratch: &Path, fresh: &Path) -> Result<()> {
    let mut check = workspace.cargo(&["check", "--all-targets"]);
    check.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", fresh);
    for store in STORES {
        let directory = store.directory(workspace);
        let url = store.database(scratch, &files::migrations(&directory.join("migrations"))?)?;
        let settings = fs::read_to_string(directory.join("sqlx.toml")).unwrap_or_default();
        let variable = files::database_url_var(&settings)
            .with_context(|| format!("crates/{}/sqlx.toml names no database-url-var", store.package()))?;
        check.args(["-p", store.package()]).env(variable, url);
        touch(&directory.join("src").join("lib.rs"))?;
    }
    stage::run("prepare", &mut check)?;
    Ok(())
}

/// cargo does not see that `DATABASE_URL` changed; a newer file it sees.
fn touch(file: &Path) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the time of a file, which cargo compares with the real clock"
    )]
    let now = SystemTime::now();
    fs::File::options()
        .append(true)
        .open(file)
        .and_then(|opened| opened.set_modified(now))
        .with_context(|| format!("{} can't be touched", file.display()))
}

fn sqlite_url(database: &Path) -> Result<String> {
    let path = database.to_str().context("the target directory's path is not UTF-8: set CARGO_TARGET_DIR")?;
    let mut url = String::from("sqlite://");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    Ok(url)
}

#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn create(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)
            .with_context(|| format!("{} can't be created", directory.display()))?;
        Ok(Self(directory))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_path_with_spaces_is_escaped() {
        assert_eq!(sqlite_url(Path::new("/a b/c%.db")).unwrap(), "sqlite:///a%20b/c%25.db");
    }

    #[test]
    fn migrations_are_applied_in_the_order_given() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("1.sql"), directory.path().join("2.sql"));
        fs::write(&first, "CREATE TABLE t (a TEXT) STRICT;").unwrap();
        fs::write(&second, "ALTER TABLE t ADD COLUMN b INTEGER; CREATE INDEX i ON t (b);").unwrap();
        migrate(&directory.path().join("x.db"), &[first, second]).unwrap();
    }

    #[test]
    fn migration_that_fails_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("1_bad.sql");
        fs::write(&file, "CREATE TABEL t;").unwrap();
        let error = migrate(&directory.path().join("x.db"), &[file]).unwrap_err().to_string();
        assert!(error.contains("1_bad.sql") && error.contains("syntax error"), "{error}");
    }
}
