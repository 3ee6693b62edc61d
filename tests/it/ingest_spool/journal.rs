use super::*;

const JOURNAL: &[&str] = &["--durability=journal"];

#[tokio::test]
async fn what_a_server_lost_after_acknowledging_it_is_published_again() {
    let mut nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, JOURNAL).await;
    ingest.until_ready(true).await;
    ingest.program.line("a 2xx means that the event is synced to the journal").await;
    let mut answered = post_together(&ingest, 0..20).await;
    ingest.until_metric("gluehook_spool_kept", |kept| kept == 20).await;
    nats.kill().await;
    let synced = nats.store();
    nats.start_again().await;
    answered.extend(post_together(&ingest, 20..60).await);
    ingest.until_metric("gluehook_spool_kept", |kept| kept == 60).await;
    until_hooks(&nats, 60).await;
    // The power is cut before the page cache is on the disk.
    nats.kill().await;
    nats.restore(&synced);
    nats.start_again().await;
    until_hooks(&nats, 60).await;
    arrived_once(&ingest, &nats, &answered).await;
    ingest.until_metric("gluehook_spool_kept", |kept| kept == 60).await;
}

#[tokio::test]
async fn a_repeat_is_told_whether_the_journal_or_only_nats_remembers() {
    let nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, &["--durability=journal", "--journal-keep=0s"]).await;
    ingest.until_ready(true).await;
    let (id, duplicate) = ingest.post(&body(1)).await.stored();
    assert!(!duplicate);
    assert_eq!(ingest.post(&body(1)).await.stored(), (id.clone(), true));
    ingest.until_metric("gluehook_spool_bytes", |bytes| bytes == 0).await;
    assert_eq!(ingest.post(&body(1)).await.stored(), (id.clone(), true), "NATS remembers it");
    assert_eq!(hooks(&nats).await, [id]);
}

#[tokio::test]
async fn the_journal_needs_no_broker_and_survives_kills_of_both() {
    let mut nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let mut ingest = spool.ingest(&nats.url, JOURNAL).await;
    ingest.until_ready(true).await;
    let mut answered = post_together(&ingest, 0..30).await;
    nats.kill().await;
    answered.extend(post_together(&ingest, 30..60).await);
    assert!(ingest.post(&body(40)).await.stored().1);
    ingest.program.kill().await;
    // Another ingest knows nothing but what lies in the journal.
    let ingest = spool.ingest(&nats.url, JOURNAL).await;
    assert!(ingest.post(&body(0)).await.stored().1, "kept, although NATS has it");
    nats.start_again().await;
    arrived_once(&ingest, &nats, &answered).await;
}

#[tokio::test]
async fn a_broker_that_hangs_does_not_hold_up_the_journal() {
    let nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, JOURNAL).await;
    ingest.until_ready(true).await;
    nats.signal("STOP").await;
    let answered = post_together(&ingest, 0..40).await;
    assert!(warned(&ingest, "events are kept in the spool").await);
    nats.signal("CONT").await;
    arrived_once(&ingest, &nats, &answered).await;
}
