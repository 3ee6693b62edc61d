use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn nats_away_for_the_length_of_a_run_loses_nothing_and_repeats_nothing() {
    let mut nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, &[]).await;
    ingest.program.line("a 2xx means that JetStream at").await;
    let mut answered = post_together(&ingest, 0..20).await;
    nats.kill().await;
    // One after the other, so that their order is known.
    for number in 20..60 {
        let (id, duplicate) = ingest.post(&body(number)).await.stored();
        assert!(!duplicate);
        answered.push(id);
    }
    assert_eq!(
        ingest.post(&body(30)).await.stored(),
        (answered[30].clone(), true),
        "a repeat of what lies there"
    );
    assert!(
        warned(&ingest, "events are kept in the spool (40 events").await,
        "it takes events, so it is ready"
    );
    ingest.until_metric("gluehook_spool_events", |events| events == 40).await;
    nats.start_again().await;
    arrived_once(&ingest, &nats, &answered).await;
    assert_eq!(hooks(&nats).await[20..], answered[20..], "in the order in which they came");
    let metrics = ingest.metrics().await;
    assert!(metrics.contains("gluehook_spooled_total 40"), "{metrics}");
    assert!(metrics.contains("gluehook_spool_drained_total 40"), "{metrics}");
    // It goes to NATS again, which knows repeats of everything.
    assert_eq!(ingest.post(&body(30)).await.stored(), (answered[30].clone(), true));
    assert!(!ingest.post(&body(60)).await.stored().1);
    assert!(ingest.metrics().await.contains("gluehook_spooled_total 40"));
}

#[tokio::test]
async fn ingest_that_is_started_before_nats_takes_events_and_sets_up_when_it_comes() {
    let mut nats = NatsServer::start().await;
    nats.kill().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, &[]).await;
    ingest.program.line("which does not answer yet").await;
    ingest.until_ready(true).await;
    let answered = post_together(&ingest, 0..30).await;
    nats.start_again().await;
    arrived_once(&ingest, &nats, &answered).await;
    // Said anew, now that it is known who promises.
    ingest.program.line("has acknowledged the event (nats-server 2.").await;
}

#[tokio::test]
async fn a_broker_that_hangs_costs_the_first_requests_their_patience_and_the_others_nothing() {
    let nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, &[]).await;
    ingest.until_ready(true).await;
    let mut answered = post_together(&ingest, 0..10).await;
    nats.signal("STOP").await;
    answered.extend(post_together(&ingest, 10..40).await);
    for number in 40..60 {
        answered.push(ingest.post(&body(number)).await.stored().0);
    }
    let metrics = ingest.metrics().await;
    let asked =
        metrics.lines().find_map(|line| line.strip_prefix("gluehook_publish_seconds_count ")).unwrap();
    assert_eq!(asked, "10", "nobody waits any more for one that is known not to answer");
    nats.signal("CONT").await;
    // What ran out of time was stored all the same, and is there once.
    arrived_once(&ingest, &nats, &answered).await;
}

#[tokio::test]
async fn killed_at_any_instant_of_an_outage_and_of_the_draining_nothing_answered_is_lost() {
    let mut nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    drop({
        let first = spool.ingest(&nats.url, &[]).await;
        first.until_ready(true).await;
        first
    });
    nats.kill().await;
    let mut answered = Vec::new();
    for round in 0..6 {
        let mut ingest = spool.ingest(&nats.url, &[]).await;
        // The kill meets commits, answers and requests half read, at an instant that differs with every round.
        let enough = 30 + round * 17;
        let (tell, mut told) = tokio::sync::mpsc::channel::<String>(1024);
        let posting = futures_util::future::join_all((0..8).map(|client| {
            let (ingest, tell) = (&ingest, tell.clone());
            async move {
                for number in 0.. {
                    let number = (round * 8 + client) * 100_000 + number;
                    match ingest.try_post(&body(number)).await {
                        Some(answer) => tell.send(answer.stored().0).await.unwrap(),
                        None => return,
                    }
                }
            }
        }));
        let pid = ingest.program.id().to_string();
        drop(tell);
        let killing = async {
            let mut got = Vec::new();
            while let Some(id) = told.recv().await {
                got.push(id);
                if got.len() == enough {
                    let kill = tokio::process::Command::new("kill").args(["-9", &pid]).status();
                    assert!(kill.await.unwrap().success());
                }
            }
            got
        };
        let (_, got) = tokio::join!(posting, killing);
        assert!(got.len() >= enough);
        answered.extend(got);
        ingest.program.ended().await;
    }
    nats.start_again().await;
    // It is killed while it drains, too.
    let mut ingest = spool.ingest(&nats.url, &[]).await;
    ingest.until_metric("gluehook_spool_drained_total", |drained| drained > 0).await;
    ingest.program.kill().await;
    let ingest = spool.ingest(&nats.url, &[]).await;
    arrived_once(&ingest, &nats, &answered).await;
}

#[tokio::test]
async fn nats_killed_while_events_pour_in_loses_nothing() {
    let mut nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, &[]).await;
    ingest.until_ready(true).await;
    let mut answered = Vec::new();
    for round in 0..4 {
        let from = round * 200;
        let (ids, ()) = tokio::join!(post_together(&ingest, from..from + 200), nats.kill());
        answered.extend(ids);
        nats.start_again().await;
    }
    arrived_once(&ingest, &nats, &answered).await;
}

#[tokio::test]
async fn a_full_stream_fills_the_spool_until_there_is_room_again() {
    let nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let flags = spool.flags(&[]);
    let setting =
        Setting { more: "[jetstream]\nmax_bytes = \"16KiB\"\n", flags: &flags, ..Setting::default() };
    let ingest = Ingest::with(&nats.url, setting).await;
    let mut answered = Vec::new();
    for number in 0..80 {
        answered.push(ingest.post(&body(number)).await.stored().0);
    }
    assert!(warned(&ingest, "stream HOOKS is full").await);
    let stored = hooks(&nats).await;
    assert!(stored.len() < 80, "{}", stored.len());
    assert_eq!(stored, answered[..stored.len()]);
    // Room: what was there has been dealt with.
    let context = jetstream::new(async_nats::connect(&nats.url).await.unwrap());
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while seen.len() < 80 {
        assert!(Instant::now() < deadline, "{} of 80\n{}", seen.len(), ingest.program.log());
        let ids = hooks(&nats).await;
        let stream = context.get_stream("HOOKS").await.unwrap();
        let upto = stream.cached_info().state.first_sequence + ids.len() as u64;
        stream.purge().sequence(upto).await.unwrap();
        seen.extend(ids);
    }
    assert_eq!(seen, answered, "each once, in order");
}

#[tokio::test]
async fn a_full_spool_is_503_with_retry_after_and_recovers() {
    let mut nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, &["--spool-max=8KiB"]).await;
    ingest.until_ready(true).await;
    nats.kill().await;
    let mut answered = Vec::new();
    let full = loop {
        let answer = ingest.post(&body(answered.len())).await;
        if answer.status != 200 {
            break answer;
        }
        answered.push(answer.stored().0);
        assert!(answered.len() < 100, "it never gets full");
    };
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
    assert_eq!(full.error(), "the event can't be stored right now: send it again");
    assert!(ingest.post(&body(0)).await.stored().1, "a repeat needs no room");
    let ready = ingest.until_ready(false).await;
    assert!(ready["checks"]["spool"].as_str().unwrap().contains("the spool is full"), "{ready}");
    nats.start_again().await;
    ingest.until_ready(true).await;
    answered.push(ingest.post(&body(1000)).await.stored().0);
    arrived_once(&ingest, &nats, &answered).await;
}

#[tokio::test]
async fn missing_streams_are_told_loudly_while_events_are_kept() {
    let nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let flags = spool.flags(&[]);
    let setting = Setting { without_setup: true, flags: &flags, ..Setting::default() };
    let ingest = Ingest::listening(&nats.url, setting).await;
    ingest.program.line("webhooks are kept in the spool: stream HOOKS is missing").await;
    let ready = ingest.until_ready(false).await;
    assert!(ready["checks"]["streams"].as_str().unwrap().contains("gluehook setup"), "{ready}");
    let answered = post_together(&ingest, 0..10).await;
    let bus = bus::Bus::connect(&bus::Args::for_url(&nats.url), "test").await.unwrap();
    bus::setup(&bus, &domain::config::Jetstream::default(), bus::Existing::MustMatch).await.unwrap();
    ingest.until_ready(true).await;
    arrived_once(&ingest, &nats, &answered).await;
}

#[tokio::test]
async fn what_turns_out_too_large_lies_aside_until_nats_takes_it() {
    let mut nats = NatsServer::start_with("max_payload: 64KB").await;
    nats.kill().await;
    let spool = SpoolDir::new();
    let ingest = spool.ingest(&nats.url, &[]).await;
    let large = format!("{{\"job_id\":\"{}\"}}", "x".repeat(100_000)).into_bytes();
    let (id, _) = ingest.post(&large).await.stored();
    let answered = post_together(&ingest, 0..5).await;
    nats.start_again().await;
    assert!(warned(&ingest, "1 events lie aside").await, "the others are not held up");
    until_hooks(&nats, 5).await;
    assert_eq!(hooks(&nats).await.iter().collect::<BTreeSet<_>>(), answered.iter().collect());
    ingest.until_metric("gluehook_spool_aside", |aside| aside == 1).await;
    ingest.program.line("is too large for NATS and stays there").await;
    assert_eq!(ingest.post(&[b"y".as_slice(), &large].concat()).await.status, 503, "now it is known before");
    nats.kill().await;
    nats.configure("max_payload: 1MB");
    nats.start_again().await;
    arrived_once(&ingest, &nats, std::slice::from_ref(&id)).await;
    assert_eq!(hooks(&nats).await.last(), Some(&id));
}

#[tokio::test]
async fn what_is_left_at_the_end_is_said_and_sent_by_the_next_start() {
    let mut nats = NatsServer::start().await;
    let spool = SpoolDir::new();
    let mut ingest = spool.ingest(&nats.url, &[]).await;
    ingest.until_ready(true).await;
    nats.kill().await;
    let answered = post_together(&ingest, 0..12).await;
    assert!(ingest.program.stop().await.success(), "{}", ingest.program.log());
    ingest.program.line("12 events are left in the spool").await;
    nats.start_again().await;
    let ingest = spool.ingest(&nats.url, &[]).await;
    arrived_once(&ingest, &nats, &answered).await;
}
