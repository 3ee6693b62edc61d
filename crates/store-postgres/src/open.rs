//! Opening: whose database it is, with which settings, and who may write it.

use std::str::FromStr as _;
use std::time::Duration;

use domain::journal::{Access, StoreError};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::PostgresStore;
use crate::error::{self, Trouble, newer};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Connections of one worker at most: one step holds one for a few milliseconds.
const WORKER_CONNECTIONS: u32 = 10;
const COMMAND_CONNECTIONS: u32 = 2;
/// Longest wait for the first connection: a host that takes no packets gives no sign by itself.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that one statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A transaction of ours that rests is one whose program was stopped in the middle of it: it must not hold up others.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn open(
    url: &str,
    access: &Access,
    lock_timeout: Duration,
) -> Result<PostgresStore, StoreError> {
    let options = options(url)?;
    let name = name(&options);
    let opened = async {
        prepare(options.clone(), access, &name).await?;
        pool(options, access, lock_timeout).await
    };
    match opened.await {
        Ok(pool) => Ok(PostgresStore { pool, writes: *access != Access::Reader, name: name.as_str().into() }),
        Err(trouble) => Err(trouble.of(&name)),
    }
}

/// What the URL says, in a sentence without its password if it says it wrongly.
fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    PgConnectOptions::from_str(url).map(|options| options.disable_statement_logging()).map_err(|error| {
        let why = match error {
            sqlx::Error::Configuration(why) => why.to_string(),
            other => other.to_string(),
        };
        StoreError::Refused(format!(
            "the database URL can't be read ({why}): write postgres://USER:PASSWORD@HOST:PORT/DATABASE; in a password, % : / @ ? # are written as %25 %3A %2F %40 %3F %23"
        ))
    })
}

/// How the log is called in sentences: without user and password.
fn name(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{database} of the Postgres in {}", socket.display()),
        None => format!("{database} of the Postgres at {}:{}", options.get_host(), options.get_port()),
    }
}

/// Looks at the log, and brings it up to date for a worker, on a connection of its own: there is no limit to the time
/// that migrating takes, and a clear word when the server is not there.
async fn prepare(options: PgConnectOptions, access: &Access, name: &str) -> Result<(), Trouble> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options));
    let mut connection = connecting
        .await
        .map_err(|_| Trouble::Unavailable(error::no_answer(name, CONNECT_TIMEOUT).to_string()))??;
    let found = version(&mut connection, name).await?;
    let known = known_version();
    if found > known {
        return Err(Trouble::Refused(newer(name).to_string()));
    }
    match access {
        // Also when nothing is to be done: another worker may be at it, and is waited for.
        Access::Worker { .. } => {
            MIGRATIONS
                .run_direct(None, &mut connection, false)
                .await
                .map_err(|error| Trouble::Sqlx(error.into()))?;
        }
        Access::Reader | Access::Writer if found == 0 => {
            return Err(Trouble::Refused(format!(
                "there is no event log in {name}: the worker makes it when it first runs; is --database-url right?"
            )));
        }
        Access::Reader | Access::Writer if found < known => {
            return Err(Trouble::Refused(format!(
                "the event log {name} is of an older gluehook: start the worker once, which brings it up to date"
            )));
        }
        Access::Reader | Access::Writer => {}
    }
    connection.close().await?;
    Ok(())
}

async fn pool(options: PgConnectOptions, access: &Access, lock_timeout: Duration) -> Result<PgPool, Trouble> {
    let millis = |time: Duration| time.as_millis().to_string();
    let mut options = options.options([
        ("statement_timeout", millis(STATEMENT_TIMEOUT)),
        ("lock_timeout", millis(lock_timeout)),
        ("idle_in_transaction_session_timeout", millis(IDLE_TIMEOUT)),
    ]);
    let connections = match access {
        Access::Worker { worker } => {
            options = options.application_name(&format!("gluehook-worker {worker}"));
            WORKER_CONNECTIONS
        }
        Access::Writer => COMMAND_CONNECTIONS,
        Access::Reader => {
            options = options.options([("default_transaction_read_only", "on")]);
            COMMAND_CONNECTIONS
        }
    };
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(Duration::from_secs(1800))
        .idle_timeout(Duration::from_secs(300));
    Ok(pool.connect_with(options).await?)
}

fn known_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Version of the schema; 0 when nothing is there yet.
async fn version(connection: &mut PgConnection, name: &str) -> Result<i64, Trouble> {
    let found = sqlx::query!(
        r#"SELECT to_regclass('gluehook_event_log') IS NOT NULL AS "ours!",
             current_setting('server_encoding') = 'UTF8' AS "utf8!",
             (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename <> '_sqlx_migrations')
               AS "tables!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    if !found.utf8 {
        return Err(Trouble::Refused(format!(
            "{name} is not encoded in UTF8, and events are: create a database with ENCODING 'UTF8' for the event log"
        )));
    }
    if found.ours {
        return Ok(sqlx::query_scalar!("SELECT version FROM gluehook_event_log")
            .fetch_one(connection)
            .await?);
    }
    if found.tables > 0 {
        return Err(Trouble::Refused(format!(
            "{name} is a database of something else, no event log: is --database-url right?"
        )));
    }
    Ok(0)
}

pub(crate) async fn ping(connection: &mut PgConnection) -> Result<(), Trouble> {
    sqlx::query_scalar!("SELECT version FROM gluehook_event_log").fetch_one(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_ends_by_saying_its_number() {
        for migration in MIGRATIONS.iter() {
            let said = migration.sql.as_str().trim_end();
            let number = migration.version;
            assert!(
                said.ends_with(&format!("UPDATE gluehook_event_log SET version = {number};"))
                    || said
                        .ends_with(&format!("INSERT INTO gluehook_event_log (version) VALUES ({number});")),
                "{number}"
            );
        }
    }

    #[test]
    fn url_that_can_not_be_read_is_refused_without_its_password() {
        for url in [
            "postgres://jo:hunter2@host:port/log",
            "postgres://jo:hunter2@host/log?sslmode=maybe",
            "postgres://jo:hunter2@[::1/log",
        ] {
            let Err(StoreError::Refused(why)) = options(url) else { panic!("{url} can't be read") };
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn name_is_without_user_and_password() {
        let named = |url: &str| name(&options(url).unwrap());
        assert_eq!(named("postgres://jo:hunter2@host:5433/log"), "log of the Postgres at host:5433");
        assert_eq!(
            named("postgres://jo:hunter2@localhost/log?host=/run/pg"),
            "log of the Postgres in /run/pg"
        );
        assert_eq!(named("postgres://jo:hunter2@host"), "jo of the Postgres at host:5432");
    }
}
