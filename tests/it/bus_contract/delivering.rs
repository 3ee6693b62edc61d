use std::collections::BTreeSet;

use super::letters::burial;
use super::*;

#[tokio::test]
async fn again_in_is_not_sooner() {
    let (_server, bus) = set_up().await;
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    let mut delivery = next(&mut consumer).await;
    for (delay, attempt) in [(400, 2), (0, 3), (150, 4)] {
        let delay = Duration::from_millis(delay);
        let asked = Instant::now();
        delivery.again_in(delay).await.unwrap();
        delivery = next(&mut consumer).await;
        assert!(asked.elapsed() >= delay, "{:?} instead of {delay:?}", asked.elapsed());
        assert_eq!(delivery.attempt(), attempt);
    }
    delivery.done_sure().await.unwrap();
    nothing_left(&bus).await;
}

#[tokio::test]
async fn dropped_delivery_comes_back() {
    let (server, bus) = set_up().await;
    shorten_ack_wait(&server, Duration::from_millis(200)).await;
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    drop(next(&mut consumer).await);
    let again = next(&mut consumer).await;
    assert_eq!((again.attempt(), again.sequence()), (2, 1));
    again.done_sure().await.unwrap();
    nothing_left(&bus).await;
}

#[tokio::test]
async fn keep_alive_outlives_ack_wait() {
    let (server, bus) = set_up().await;
    let ack_wait = Duration::from_millis(400);
    shorten_ack_wait(&server, ack_wait).await;
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    let delivery = next(&mut consumer).await;
    let guard = delivery.keep_alive();
    assert!(timeout(4 * ack_wait, consumer.next_batch(1)).await.is_err(), "delivered to another meanwhile");
    drop(guard);
    assert_eq!(next(&mut consumer).await.attempt(), 2);
}

#[tokio::test]
async fn drained_consumer_leaves_nothing_behind() {
    const EVENTS: usize = 300;
    let (_server, bus) = set_up().await;
    for number in 0..EVENTS {
        bus.publisher().publish(&event(number.try_into().unwrap())).await.unwrap();
    }
    let mut first = bus.consumer(StreamName::Hooks).await.unwrap();
    let mut batch = Vec::new();
    // The rest of what was asked for is on its way when this one stops.
    while batch.is_empty() {
        batch = timeout(LONG, first.next_batch(200)).await.unwrap().unwrap();
    }
    first.drain().await;
    let mut seen: BTreeSet<u64> = batch.iter().map(Delivery::sequence).collect();
    for delivery in batch {
        delivery.done().await.unwrap();
    }
    // ack_wait is a minute: what the first had asked for comes sooner only because it was given back.
    let mut second = bus.consumer(StreamName::Hooks).await.unwrap();
    while seen.len() < EVENTS {
        for delivery in timeout(LONG, second.next_batch(100)).await.expect("it was given back").unwrap() {
            seen.insert(delivery.sequence());
            delivery.done().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_said_before_leaving_is_heard() {
    let (server, bus) = set_up().await;
    for number in 0..50 {
        bus.publisher().publish(&event(number)).await.unwrap();
    }
    let leaving = connect(&server).await;
    let mut consumer = leaving.consumer(StreamName::Hooks).await.unwrap();
    let mut left = 50;
    while left > 0 {
        for delivery in timeout(LONG, consumer.next_batch(50)).await.unwrap().unwrap() {
            delivery.done().await.unwrap();
            left -= 1;
        }
    }
    consumer.drain().await;
    leaving.drain().await;
    assert!(!leaving.state().connected);
    nothing_left(&bus).await;
}

#[tokio::test]
async fn server_restart_loses_nothing() {
    const EVENTS: u64 = 300;
    let (mut server, bus) = set_up().await;
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move {
            for number in 0..EVENTS {
                // The sender's part: what was not acknowledged is sent again.
                while bus.publisher().publish(&event(number)).await.is_err() {
                    let mut connected = bus.connected();
                    connected.wait_for(|connected| *connected).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    // At least once: the server writes down late what was acknowledged, and delivers it again after a crash.
    let mut seen = BTreeSet::new();
    let mut restart_at = vec![200, 90, 20];
    while seen.len() < usize::try_from(EVENTS).unwrap() {
        for delivery in timeout(LONG, consumer.next_batch(16)).await.expect("events go on").unwrap() {
            seen.insert(delivery.envelope().unwrap().id.clone());
            delivery.done().await.unwrap();
        }
        if restart_at.last().is_some_and(|at| seen.len() >= *at) {
            restart_at.pop();
            server.restart().await;
        }
    }
    timeout(LONG, publishing).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_consumer_that_is_deleted_is_gone_and_says_what_to_do() {
    let (server, bus) = set_up().await;
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    let waiting = tokio::spawn(async move { consumer.next_batch(1).await.map(|batch| batch.len()) });
    raw(&server).await.delete_consumer_from_stream("worker", "HOOKS").await.unwrap();
    let error = timeout(LONG, waiting).await.unwrap().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "consumer worker of stream HOOKS is missing: run `gluehook setup`",
        "{error:?}"
    );
}

#[tokio::test]
async fn two_workers_share_without_repeating() {
    let (_server, bus) = set_up().await;
    for number in 0..200 {
        bus.publisher().publish(&event(number)).await.unwrap();
    }
    let work = |bus: Bus| async move {
        let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
        let mut seen = Vec::new();
        while let Ok(batch) = timeout(Duration::from_millis(500), consumer.next_batch(7)).await {
            for delivery in batch.unwrap() {
                seen.push(delivery.sequence());
                delivery.done().await.unwrap();
            }
        }
        consumer.drain().await;
        seen
    };
    let (mut all, other) = tokio::join!(work(bus.clone()), work(bus.clone()));
    assert!(!all.is_empty() && !other.is_empty());
    all.extend(other);
    all.sort_unstable();
    assert_eq!(all, (1..=200).collect::<Vec<_>>());
    nothing_left(&bus).await;
}

#[tokio::test]
async fn what_is_set_aside_is_the_same_event_in_the_same_run_and_holds_nothing_up_where_it_was() {
    let (server, bus) = set_up().await;
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut live = bus.consumer(StreamName::Hooks).await.unwrap();
    let delivery = next(&mut live).await;
    let (sealed, stored) = (format!("{:?}", delivery.envelope().unwrap()), delivery.sequence());
    assert_eq!(delivery.not_before(), None);
    let until = Timestamp::from_microsecond(1_800_000_000_000_000).unwrap();
    delivery.set_aside(until).await.unwrap();
    nothing_left(&bus).await;

    let mut replays = bus.consumer(StreamName::Replay).await.unwrap();
    let aside = next(&mut replays).await;
    assert_eq!(format!("{:?}", aside.envelope().unwrap()), sealed);
    assert_eq!((aside.run(), aside.hooks_sequence(), aside.not_before()), ("live", stored, Some(until)));
    assert!(!aside.replay().unwrap().resume, "nothing that failed for good is tried again");

    // To the end once more, with another time; and what is buried from there is a dead letter of the live run.
    let later = until + Duration::from_secs(60);
    aside.set_aside(later).await.unwrap();
    let aside = next(&mut replays).await;
    let kept = raw(&server).await.get_stream("HOOKS_REPLAY").await.unwrap().cached_info().state.messages;
    assert_eq!(kept, 1, "in place of itself");
    assert_eq!((aside.not_before(), aside.attempt(), aside.hooks_sequence()), (Some(later), 1, stored));
    assert_eq!(format!("{:?}", aside.envelope().unwrap()), sealed);
    aside.bury(&burial("over")).await.unwrap();
    let letters = bus::dead::list(&bus, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].run.as_str(), letters[0].of_sequence), ("live", stored));
    bus::dead::revive(&bus, letters[0].sequence).await.unwrap();
    assert_eq!(next(&mut replays).await.not_before(), None, "sent back, it waits for nothing");
}

#[tokio::test]
async fn what_is_taken_for_a_repeat_of_what_was_set_aside_is_set_aside_again() {
    let (_server, bus) = set_up().await;
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut live = bus.consumer(StreamName::Hooks).await.unwrap();
    let mut replays = bus.consumer(StreamName::Replay).await.unwrap();
    // It comes back to where it was, as after a lost acknowledgement.
    next(&mut live).await.again_in(Duration::ZERO).await.unwrap();
    next(&mut live).await.set_aside(Timestamp::UNIX_EPOCH).await.unwrap();
    next(&mut replays).await.set_aside(Timestamp::UNIX_EPOCH).await.unwrap();
    next(&mut replays).await.done_sure().await.unwrap();
    let left = bus.pending(StreamName::Replay).await.unwrap();
    assert_eq!((left.pending, left.in_flight), (0, 0));
}
