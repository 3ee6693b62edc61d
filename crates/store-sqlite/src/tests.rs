//! What is `SQLite`'s own: its version, its settings, its plans.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;

use super::*;

async fn fresh() -> (tempfile::TempDir, SqliteStore) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("log.db").display());
    let access = Access::Worker { worker: "w1".to_owned() };
    let store = SqliteStore::open(&url, &access, Duration::from_secs(5)).await.unwrap();
    (directory, store)
}

/// The setting as text; some have none.
async fn pragma(pool: &SqlitePool, name: &str) -> Option<String> {
    let sql = sqlx::AssertSqlSafe(format!("PRAGMA {name}"));
    let row = sqlx::query(sql).fetch_optional(pool).await.unwrap()?;
    Some(row.try_get_unchecked(0).unwrap())
}

/// Before 3.51.3, connections that write and checkpoint at once could corrupt a database in WAL mode.
#[tokio::test]
async fn sqlite_is_3_51_3_or_newer() {
    let (_directory, store) = fresh().await;
    let version: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&store.readers).await.unwrap();
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    assert!(numbers >= vec![3, 51, 3], "{version}");
}

#[tokio::test]
async fn what_is_committed_outlives_a_power_cut() {
    let (_directory, store) = fresh().await;
    let writer = store.writer.as_ref().unwrap();
    for (name, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("auto_vacuum", "2"),
        ("foreign_keys", "1"),
        ("busy_timeout", "5000"),
        ("journal_size_limit", "67108864"),
        ("wal_autocheckpoint", "16000"),
        ("cache_size", "-16000"),
        ("temp_store", "2"),
    ] {
        assert_eq!(pragma(writer, name).await.as_deref(), Some(value), "{name}");
    }
    assert_eq!(writer.options().get_max_connections(), 1);
    assert_eq!(store.readers.options().get_max_connections(), 4);
}

#[tokio::test]
async fn nothing_is_mapped_into_memory() {
    let (_directory, store) = fresh().await;
    for pool in [&store.readers, store.writer.as_ref().unwrap()] {
        assert!(matches!(pragma(pool, "mmap_size").await.as_deref(), None | Some("0")));
    }
}

#[tokio::test]
async fn readers_cannot_write() {
    let (_directory, store) = fresh().await;
    let error = sqlx::query("DELETE FROM events").execute(&store.readers).await.unwrap_err();
    let told = Trouble::from(error).of("x");
    assert!(matches!(&told, StoreError::Refused(why) if why.contains("can't be written")), "{told:?}");
}

#[tokio::test]
async fn forgetting_gives_space_back() {
    let (_directory, store) = fresh().await;
    let writer = store.writer.as_ref().unwrap();
    sqlx::raw_sql(
        "INSERT INTO last_values WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         SELECT 'rule', CAST(i AS TEXT), hex(zeroblob(200)), 0, 0 FROM n",
    )
    .execute(writer)
    .await
    .unwrap();
    let pages = async || pragma(writer, "page_count").await.unwrap().parse::<u32>().unwrap();
    let before = pages().await;
    while store.forget_before(Timestamp::from_second(1).unwrap(), 1000).await.unwrap() > 0 {}
    let after = pages().await;
    assert!(after < before / 4, "{before} pages became {after}");
}
