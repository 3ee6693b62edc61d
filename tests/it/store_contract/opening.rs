//! Opening: whose log it is, and what stands in the way. Stories of files, so of `SQLite` alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::journal::{Filter, Seen};
use domain::plan::LIVE;
use sqlx::{Connection as _, SqliteConnection};
use store::{Access, Store, StoreError};
use tempfile::TempDir;

use super::samples::{arrival, id, quiet};

fn worker() -> Access {
    Access::Worker { worker: "w1".to_owned() }
}

fn fresh() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    (directory, path)
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

async fn refusal(url: &str, access: Access) -> String {
    match Store::open(url, access).await {
        Err(StoreError::Refused(why)) => why,
        other => panic!("{url} should be refused, but: {other:?}"),
    }
}

/// A log with one event, closed again.
async fn closed_log(path: &Path) {
    let store = Store::open(&url(path), worker()).await.unwrap();
    store.record_quiet(&[quiet(1)]).await.unwrap();
    store.close().await;
}

async fn run(path: &Path, sql: &'static str) -> SqliteConnection {
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn what_is_committed_is_there_after_opening_again() {
    let (_directory, path) = fresh();
    closed_log(&path).await;
    let store = Store::open(&url(&path), worker()).await.unwrap();
    assert_eq!(store.record_quiet(&[quiet(1)]).await.unwrap(), [Seen::Again]);
}

#[tokio::test]
async fn reader_sees_what_the_worker_commits() {
    let (_directory, path) = fresh();
    let at_work = Store::open(&url(&path), worker()).await.unwrap();
    let reader = Store::open(&url(&path), Access::Reader).await.unwrap();
    reader.ping().await.unwrap();
    assert!(reader.events(&Filter::default(), 10).await.unwrap().is_empty());
    at_work.remember(&arrival(1), LIVE).await.unwrap();
    assert_eq!(reader.events(&Filter::default(), 10).await.unwrap().len(), 1);
    assert!(matches!(reader.remember(&arrival(2), LIVE).await, Err(StoreError::Bug(_))));
}

#[tokio::test]
async fn writer_mends_beside_a_worker() {
    let (_directory, path) = fresh();
    let at_work = Store::open(&url(&path), worker()).await.unwrap();
    at_work.remember(&arrival(1), LIVE).await.unwrap();
    let writer = Store::open(&url(&path), Access::Writer).await.unwrap();
    assert_eq!(writer.reopen(&id(1), LIVE, arrival(1).event.received_at).await.unwrap(), 0);
}

#[tokio::test]
async fn log_in_memory_is_whole() {
    let store = Store::open("sqlite::memory:", worker()).await.unwrap();
    store.remember(&arrival(1), LIVE).await.unwrap();
    assert_eq!(store.events(&Filter::default(), 10).await.unwrap().len(), 1);
    assert!(store.event(id(1).as_str()).await.unwrap().is_some());
    refusal("sqlite::memory:", Access::Reader).await;
}

#[tokio::test]
async fn reader_of_missing_file_is_told() {
    let (_directory, path) = fresh();
    for access in [Access::Reader, Access::Writer] {
        let why = refusal(&url(&path), access).await;
        assert_eq!(why, format!("there is no event log at {}: is --database-url right?", path.display()));
        assert!(!path.exists(), "looking makes no file");
    }
}

#[tokio::test]
async fn missing_directory_is_told() {
    let (directory, _) = fresh();
    let why = refusal(&url(&directory.path().join("no/such/log.db")), worker()).await;
    assert!(why.contains("its directory is missing"), "{why}");
    let why = refusal(&url(directory.path()), worker()).await;
    assert!(why.contains("it is a directory"), "{why}");
}

#[tokio::test]
async fn second_worker_is_refused() {
    let (_directory, path) = fresh();
    let first = Store::open(&url(&path), worker()).await.unwrap();
    let why = refusal(&url(&path), Access::Worker { worker: "w2".to_owned() }).await;
    assert!(why.contains("(w1)") && why.contains("postgres://"), "{why}");
    drop(first);
    Store::open(&url(&path), Access::Worker { worker: "w2".to_owned() }).await.unwrap();
}

#[tokio::test]
async fn read_only_file_is_told() {
    let (_directory, path) = fresh();
    closed_log(&path).await;
    // A write version above 2 makes a file read-only to SQLite, to the superuser too, whom permissions don't stop.
    let mut bytes = fs::read(&path).unwrap();
    bytes[18] = 3;
    fs::write(&path, bytes).unwrap();
    for access in [worker(), Access::Writer] {
        let why = refusal(&url(&path), access).await;
        assert!(why.contains("can't be written") && why.contains("read-only"), "{why}");
    }
    let reader = Store::open(&url(&path), Access::Reader).await.unwrap();
    assert_eq!(reader.events(&Filter::default(), 10).await.unwrap().len(), 1, "it can still be read");
}

#[tokio::test]
async fn locked_database_is_unavailable_not_fatal() {
    let (_directory, path) = fresh();
    let patience = Duration::from_millis(50);
    let store = Store::open_waiting(&url(&path), worker(), patience).await.unwrap();
    store.remember(&arrival(1), LIVE).await.unwrap();
    let other = run(&path, "BEGIN EXCLUSIVE").await;
    let begun = Instant::now();
    let Err(StoreError::Unavailable(why)) = store.remember(&arrival(2), LIVE).await else {
        panic!("it is locked")
    };
    assert!(why.contains("locked by another program"), "{why}");
    assert!(begun.elapsed() >= patience, "it was waited for");
    assert_eq!(store.events(&Filter::default(), 10).await.unwrap().len(), 1, "reading goes on");
    other.close().await.unwrap();
    assert_eq!(store.remember(&arrival(2), LIVE).await.unwrap(), Seen::First);
}

#[tokio::test]
async fn newer_schema_is_refused() {
    let (_directory, path) = fresh();
    closed_log(&path).await;
    run(&path, "PRAGMA user_version = 9999").await.close().await.unwrap();
    for access in [worker(), Access::Reader, Access::Writer] {
        let why = refusal(&url(&path), access).await;
        assert!(why.contains("newer gluehook"), "{why}");
    }
}

#[tokio::test]
async fn older_schema_is_left_to_the_worker() {
    let (_directory, path) = fresh();
    fs::write(&path, b"").unwrap();
    let why = refusal(&url(&path), Access::Reader).await;
    assert!(why.contains("start the worker once"), "{why}");
    Store::open(&url(&path), worker()).await.unwrap();
    Store::open(&url(&path), Access::Reader).await.unwrap();
}

#[tokio::test]
async fn file_of_something_else_is_refused() {
    let (directory, path) = fresh();
    run(&path, "CREATE TABLE theirs (a)").await.close().await.unwrap();
    let no_database = directory.path().join("notes.txt");
    fs::write(&no_database, "notes of a person, long enough to be taken for a header ".repeat(40)).unwrap();
    for access in [worker(), Access::Reader, Access::Writer] {
        let why = refusal(&url(&path), access.clone()).await;
        assert!(why.contains("of something else"), "{why}");
        let why = refusal(&url(&no_database), access).await;
        assert!(why.contains("no SQLite database"), "{why}");
    }
    assert!(fs::read_to_string(&no_database).unwrap().starts_with("notes"));
}

#[tokio::test]
async fn other_databases_are_refused_without_repeating_the_password() {
    for (url, part) in [
        ("postgres://user:hunter2@local:host/log", "can't be read"),
        ("mysql://user:hunter2@localhost/log", "mysql: is no database we know"),
        ("hunter2@localhost:5432", "has no scheme"),
        ("gluehook.db", "has no scheme"),
        ("", "has no scheme"),
    ] {
        let why = refusal(url, worker()).await;
        assert!(why.contains(part) && !why.contains("hunter2"), "{url}: {why}");
    }
}
