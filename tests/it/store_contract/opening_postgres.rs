//! Opening an event log in Postgres, and what is Postgres' own: several workers, their transactions, a server that is away.

use std::path::Path;
use std::time::Duration;

use domain::journal::{Filter, Seen, StepState};
use domain::plan::LIVE;
use sqlx::Connection as _;
use store::{Access, Store, StoreError};
use tests::postgres::{Database, WithTls, server};

use super::samples::{arrival, at, decided, decision, id, quiet, tell, verdicts};

fn worker(name: &str) -> Access {
    Access::Worker { worker: name.to_owned() }
}

async fn refusal(url: &str, access: Access) -> String {
    match Store::open(url, access).await {
        Err(StoreError::Refused(why)) => why,
        other => panic!("it should be refused, but: {other:?}"),
    }
}

#[tokio::test]
async fn workers_that_start_at_once_make_one_log_and_share_it() {
    let database = Database::create().await;
    let opening: Vec<_> = (0..6)
        .map(|number| {
            let url = database.url.clone();
            tokio::spawn(async move { Store::open(&url, worker(&format!("w{number}"))).await.unwrap() })
        })
        .collect();
    let mut stores = Vec::new();
    for opened in opening {
        stores.push(opened.await.unwrap());
    }
    assert_eq!(stores[0].remember(&arrival(1), LIVE).await.unwrap(), Seen::First);
    for store in &stores[1..] {
        assert_eq!(store.remember(&arrival(1), LIVE).await.unwrap(), Seen::Again);
    }
}

#[tokio::test]
async fn what_is_committed_is_there_after_opening_again_and_claims_of_living_workers_stand() {
    let database = Database::create().await;
    let first = Store::open(&database.url, worker("w1")).await.unwrap();
    let step = decided(&first, 1, &[tell("hello")]).await.remove(0);
    let lease = Duration::from_secs(60);
    first.claim(&step, None, "w1", at(0), lease).await.unwrap();
    let second = Store::open(&database.url, worker("w2")).await.unwrap();
    let claim = second.claim(&step, None, "w2", at(1), lease).await.unwrap();
    assert_eq!(claim, domain::journal::Claim::Busy { until: at(60) });
}

#[tokio::test]
async fn commands_look_and_mend_beside_workers() {
    let database = Database::create().await;
    let why = refusal(&database.url, Access::Reader).await;
    assert!(why.contains("there is no event log") && why.contains(database.name()), "{why}");
    let at_work = Store::open(&database.url, worker("w1")).await.unwrap();
    let reader = Store::open(&database.url, Access::Reader).await.unwrap();
    reader.ping().await.unwrap();
    at_work.remember(&arrival(1), LIVE).await.unwrap();
    assert_eq!(reader.events(&Filter::default(), 10).await.unwrap().len(), 1);
    assert!(matches!(reader.remember(&arrival(2), LIVE).await, Err(StoreError::Bug(_))));
    let writer = Store::open(&database.url, Access::Writer).await.unwrap();
    assert_eq!(writer.reopen(&id(1), LIVE, at(1)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_certificate_is_looked_at_where_the_url_insists() {
    let postgres = tokio::task::spawn_blocking(WithTls::start).await.unwrap();
    let ca = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tls").join(name).display().to_string();
    for sslmode in ["require".to_owned(), format!("verify-full&sslrootcert={}", ca("ca.pem"))] {
        let url = format!("{}?sslmode={sslmode}", postgres.url);
        let store = Store::open(&url, worker("w1")).await.unwrap();
        store.remember(&arrival(1), LIVE).await.unwrap();
        store.close().await;
        let mut beside = sqlx::PgConnection::connect(&url).await.unwrap();
        let encrypted: bool = sqlx::query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .fetch_one(&mut beside)
            .await
            .unwrap();
        assert!(encrypted, "{sslmode}");
    }
    // Another authority's, or none that this machine trusts.
    for more in [format!("&sslrootcert={}", ca("client.pem")), String::new()] {
        let url = format!("{}?sslmode=verify-full{more}", postgres.url);
        for access in [worker("w1"), Access::Reader] {
            let why = refusal(&url, access).await;
            assert!(why.contains("no encrypted connection") && why.contains("sslrootcert"), "{why}");
        }
    }
}

#[tokio::test]
async fn server_that_is_away_is_worth_waiting_for() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("postgres://jo:hunter2@127.0.0.1:{port}/log");
    for access in [worker("w1"), Access::Reader] {
        let Err(StoreError::Unavailable(why)) = Store::open(&url, access).await else {
            panic!("nobody is there")
        };
        assert!(why.contains(&format!("127.0.0.1:{port}")) && why.contains("is Postgres up"), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
}

#[tokio::test]
async fn connection_that_was_cut_is_made_anew() {
    let database = Database::create().await;
    let store = Store::open(&database.url, worker("w1")).await.unwrap();
    store.remember(&arrival(1), LIVE).await.unwrap();
    database
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .await;
    // The first that finds its connection cut says that it may be tried again.
    match store.remember(&arrival(1), LIVE).await {
        Ok(Seen::Again) => {}
        Err(StoreError::Unavailable(_)) => {
            assert_eq!(store.remember(&arrival(1), LIVE).await.unwrap(), Seen::Again);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn wrong_password_missing_database_and_missing_rights_are_told() {
    let database = Database::create().await;
    let missing = server().url("no_such_log");
    let why = refusal(&missing, worker("w1")).await;
    assert!(why.contains("no database") && why.contains("create it"), "{why}");
    let user = format!("u_{}", database.name());
    let unknown = database.url_of(&format!("{user}:hunter2"));
    let why = refusal(&unknown, worker("w1")).await;
    assert!(why.contains("mend user and password") && !why.contains("hunter2"), "{why}");
    database.run(&format!("CREATE ROLE {user} LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC")).await;
    let Err(error) = Store::open(&database.url_of(&user), worker("w1")).await else { panic!("it may not") };
    assert!(matches!(&error, StoreError::Refused(why) if why.contains("may not")), "{error:?}");
    database.run(&format!("DROP ROLE {user}")).await;
}

#[tokio::test]
async fn read_only_database_is_told() {
    let database = Database::create().await;
    Store::open(&database.url, worker("w1")).await.unwrap().close().await;
    database.run(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name())).await;
    let store = Store::open(&database.url, Access::Writer).await.unwrap();
    let Err(StoreError::Refused(why)) = store.remember(&arrival(1), LIVE).await else {
        panic!("it is read-only")
    };
    assert!(why.contains("read-only"), "{why}");
    assert!(Store::open(&database.url, Access::Reader).await.unwrap().ping().await.is_ok());
}

#[tokio::test]
async fn newer_schema_older_schema_and_other_databases_are_refused() {
    let database = Database::create().await;
    Store::open(&database.url, worker("w1")).await.unwrap().close().await;
    for (version, part) in [(9999, "newer gluehook"), (1, "start the worker once")] {
        database.run(&format!("UPDATE gluehook_event_log SET version = {version}")).await;
        let why = refusal(&database.url, Access::Reader).await;
        assert!(why.contains(part), "{why}");
    }
    database.run("UPDATE gluehook_event_log SET version = 9999").await;
    let why = refusal(&database.url, worker("w1")).await;
    assert!(why.contains("newer gluehook"), "{why}");

    let theirs = Database::create().await;
    theirs.run("CREATE TABLE theirs (a TEXT)").await;
    let latin = Database::with("ENCODING 'LATIN1' TEMPLATE template0").await;
    for access in [worker("w1"), Access::Reader] {
        let why = refusal(&theirs.url, access.clone()).await;
        assert!(why.contains("of something else"), "{why}");
        let why = refusal(&latin.url, access).await;
        assert!(why.contains("UTF8"), "{why}");
    }
}

/// An event is decided on anew in the very moment in which a person drops what is held of it.
#[tokio::test]
async fn who_decides_anew_and_who_drops_what_is_held_take_their_locks_in_the_same_order() {
    let database = Database::create().await;
    let store = Store::open(&database.url, worker("w1")).await.unwrap();
    decided(&store, 1, &[tell("x")]).await;
    database.run("UPDATE steps SET state = 'held'").await;

    // As the drop does: first the event, then its steps.
    let mut dropping = database.connect().await;
    let mut drop = dropping.begin().await.unwrap();
    sqlx::raw_sql("SELECT id FROM events FOR NO KEY UPDATE").execute(&mut *drop).await.unwrap();
    let deciding = tokio::spawn({
        let store = store.clone();
        async move { store.record_decision(verdicts(&decision(1, "again", &[tell("x")]))).await }
    });
    let mut watching = database.connect().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watching).await.unwrap() == 0 {
        assert!(tokio::time::Instant::now() < deadline, "it waits for the event");
    }
    let dropped = "UPDATE steps SET state = 'dropped' WHERE state = 'held'";
    sqlx::raw_sql(dropped).execute(&mut *drop).await.expect("nobody is in the way of the other");
    drop.commit().await.unwrap();
    assert!(deciding.await.unwrap().unwrap().is_some());
    assert_eq!(store.steps_of(&id(1), LIVE).await.unwrap()[0].state, StepState::Dropped);
}

#[tokio::test]
async fn lock_of_another_program_is_unavailable_not_fatal() {
    let database = Database::create().await;
    let patience = Duration::from_millis(50);
    let store = Store::open_waiting(&database.url, worker("w1"), patience).await.unwrap();
    let mut other = database.connect().await;
    let mut lock = other.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE events IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let Err(StoreError::Unavailable(why)) = store.remember(&arrival(1), LIVE).await else {
        panic!("it is locked")
    };
    assert!(why.contains("locked by another program"), "{why}");
    assert!(store.events(&Filter::default(), 10).await.unwrap().is_empty(), "reading goes on");
    lock.rollback().await.unwrap();
    assert_eq!(store.remember(&arrival(1), LIVE).await.unwrap(), Seen::First);
}

/// Rows get their numbers when they are entered, and are seen when they are committed.
#[tokio::test]
async fn follower_misses_no_event_that_is_committed_after_a_later_one() {
    let database = Database::create().await;
    let store = Store::open(&database.url, worker("w1")).await.unwrap();
    store.record_quiet(&[quiet(1)]).await.unwrap();
    let following = Filter { after_row: Some(0), ..Filter::default() };
    let seen = async || -> Vec<_> {
        store.events(&following, 10).await.unwrap().into_iter().map(|row| row.stream_sequence).collect()
    };
    assert_eq!(seen().await, [1]);
    let mut other = database.connect().await;
    let mut slow = other.begin().await.unwrap();
    let copy = "INSERT INTO events (id, run, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap, target,
          connector, status, sync_type, error, occurred_at, received_at, outcome, stream_sequence, subject, headers,
          body_redacted, body)
        SELECT 'slow', run, kind, source, endpoint, env_id, flow_id, tenant, job_id, job_name, tap, target, connector,
          status, sync_type, error, occurred_at, received_at, outcome, 2, subject, headers, body_redacted, body
        FROM events WHERE stream_sequence = 1";
    sqlx::raw_sql(copy).execute(&mut *slow).await.unwrap();
    store.record_quiet(&[quiet(3)]).await.unwrap();
    assert_eq!(seen().await, [1], "the one before it is still to come");
    assert_eq!(store.events(&Filter::default(), 10).await.unwrap().len(), 2, "who only looks sees it");
    slow.commit().await.unwrap();
    assert_eq!(seen().await, [1, 2, 3]);
}

#[tokio::test]
async fn retention_passes_over_what_a_worker_is_at() {
    let database = Database::create().await;
    let store = Store::open(&database.url, worker("w1")).await.unwrap();
    store.record_quiet(&[quiet(1), quiet(2), quiet(3)]).await.unwrap();
    let mut other = database.connect().await;
    let mut busy = other.begin().await.unwrap();
    sqlx::raw_sql("UPDATE events SET deliveries = deliveries + 1 WHERE stream_sequence = 2")
        .execute(&mut *busy)
        .await
        .unwrap();
    assert_eq!(store.forget_before(at(100), 10).await.unwrap(), 2);
    busy.rollback().await.unwrap();
    assert_eq!(store.forget_before(at(100), 10).await.unwrap(), 1);
}

#[tokio::test]
async fn batches_that_cross_are_all_entered() {
    let database = Database::create().await;
    let store = Store::open(&database.url, worker("w1")).await.unwrap();
    let writing: Vec<_> = (0..6)
        .map(|writer: u64| {
            let store = store.clone();
            tokio::spawn(async move {
                // The same events, from either end: their locks are taken crosswise.
                let mut batch: Vec<_> = (0..200).map(quiet).collect();
                if writer % 2 == 1 {
                    batch.reverse();
                }
                store.record_quiet(&batch).await.unwrap();
            })
        })
        .collect();
    for written in writing {
        written.await.unwrap();
    }
    let rows = store.events(&Filter::default(), 1000).await.unwrap();
    assert_eq!(rows.len(), 200);
    assert!(rows.iter().all(|row| row.deliveries == 6));
}
