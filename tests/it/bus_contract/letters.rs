use bus::replay::Selection;
use bus::{Burial, Rejected, dead, rejected, replay};

use super::*;

pub(super) fn burial(reason: &str) -> Burial {
    Burial {
        reason: reason.to_owned(),
        attempts: 8,
        first_failed_at: Timestamp::from_second(1_700_000_001).unwrap(),
        last_failed_at: Timestamp::from_second(1_700_000_777).unwrap(),
        worker: "worker-1".to_owned(),
    }
}

async fn selected(bus: &Bus, selection: &Selection) -> Vec<u64> {
    let mut selecting = replay::select(bus, selection).await.unwrap();
    let mut sequences = Vec::new();
    while let Some(found) = selecting.next().await.unwrap() {
        sequences.push(found.sequence);
    }
    sequences
}

#[tokio::test]
async fn buried_message_is_in_dead_and_gone_from_work() {
    let (server, bus) = set_up().await;
    shorten_ack_wait(&server, Duration::from_millis(200)).await;
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    // Two workers hold the same message, as after a crash between burying and settling.
    let first = next(&mut consumer).await;
    let second = next(&mut consumer).await;
    first.bury(&burial("no flow \"x\"\nhère")).await.unwrap();
    second.bury(&burial("the same again")).await.unwrap();
    nothing_left(&bus).await;
    let letters = dead::list(&bus, 10).await.unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!(letter.subject, "dead.hotglue.job.JOB_COMPLETED.tenant-1");
    assert_eq!((letter.reason.as_str(), letter.attempts), ("no flow \"x\"\nhère", 8));
    assert_eq!(letter.first_failed_at, Some(burial("").first_failed_at));
    assert_eq!(letter.last_failed_at, Some(burial("").last_failed_at));
    assert_eq!((letter.run.as_str(), letter.worker.as_str(), letter.of_sequence), ("live", "worker-1", 1));
    let envelope = letter.envelope.as_ref().unwrap();
    let sent = event(1);
    assert_eq!((&envelope.id, &envelope.subject), (&sent.id, &sent.subject));
    assert_eq!((&envelope.headers, &envelope.body), (&sent.headers, &sent.body));
}

#[tokio::test]
async fn a_message_that_gluehook_did_not_write_can_be_buried() {
    let (server, bus) = set_up().await;
    raw(&server).await.publish("hooks.stray", "hello".into()).await.unwrap().await.unwrap();
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    let delivery = next(&mut consumer).await;
    let why = delivery.envelope().unwrap_err().to_owned();
    delivery.bury(&burial(&why)).await.unwrap();
    let letter = dead::get(&bus, 1).await.unwrap().unwrap();
    assert_eq!((letter.endpoint(), letter.id()), ("stray", None));
    assert!(letter.reason.contains("Gluehook did not write it"), "{}", letter.reason);
    nothing_left(&bus).await;
}

#[tokio::test]
async fn a_delivery_that_could_not_be_buried_comes_back() {
    let (server, bus) = set_up().await;
    shorten_ack_wait(&server, Duration::from_millis(200)).await;
    raw(&server).await.delete_stream("HOOKS_DEAD").await.unwrap();
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    let error = next(&mut consumer).await.bury(&burial("x")).await.unwrap_err();
    assert_eq!(error.to_string(), "not buried: stream HOOKS_DEAD is missing: run `gluehook setup`");
    assert_eq!(next(&mut consumer).await.attempt(), 2);
}

#[tokio::test]
async fn the_newest_letters_come_first_and_discarded_ones_leave() {
    let (_server, bus) = set_up().await;
    let mut consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    for number in 0..30 {
        bus.publisher().publish(&event(number)).await.unwrap();
        next(&mut consumer).await.bury(&burial(&number.to_string())).await.unwrap();
    }
    for sequence in 12..=29 {
        assert!(dead::discard(&bus, sequence).await.unwrap());
    }
    assert!(!dead::discard(&bus, 12).await.unwrap());
    assert!(dead::get(&bus, 12).await.unwrap().is_none());
    let sequences =
        |letters: Vec<dead::DeadLetter>| letters.iter().map(|one| one.sequence).collect::<Vec<_>>();
    assert_eq!(sequences(dead::list(&bus, 3).await.unwrap()), [30, 11, 10]);
    let all = dead::list(&bus, 1_000).await.unwrap();
    assert_eq!(sequences(all), [30, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_revived_letter_goes_on_in_its_run() {
    let (_server, bus) = set_up().await;
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut live = bus.consumer(StreamName::Hooks).await.unwrap();
    next(&mut live).await.bury(&burial("once")).await.unwrap();

    dead::revive(&bus, 1).await.unwrap();
    assert!(dead::list(&bus, 10).await.unwrap().is_empty());
    let error = dead::revive(&bus, 1).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no dead letter 1");
    let mut replays = bus.consumer(StreamName::Replay).await.unwrap();
    let delivery = next(&mut replays).await;
    let of = delivery.replay().unwrap();
    assert_eq!((of.run.as_str(), of.of, of.resume), ("live", 1, true));
    assert_eq!(delivery.envelope().unwrap().subject, event(1).subject);
    assert_eq!(delivery.hooks_sequence(), 1);

    // Given up again, it still knows where it came from.
    delivery.bury(&burial("twice")).await.unwrap();
    let letter = dead::list(&bus, 10).await.unwrap().remove(0);
    assert_eq!((letter.reason.as_str(), letter.run.as_str(), letter.of_sequence), ("twice", "live", 1));
    dead::revive(&bus, letter.sequence).await.unwrap();
    let delivery = next(&mut replays).await;
    assert_eq!((delivery.hooks_sequence(), delivery.run(), delivery.sequence()), (1, "live", 2));
    delivery.done_sure().await.unwrap();
}

#[tokio::test]
async fn replay_is_delivered_although_deduplicated() {
    let (_server, bus) = set_up().await;
    let sequence = bus.publisher().publish(&event(1)).await.unwrap().sequence;
    let found = replay::get(&bus, sequence).await.unwrap().unwrap();
    let first = replay::publish(&bus, "run.1", &found).await.unwrap();
    let second = replay::publish(&bus, "run.1", &found).await.unwrap();
    assert!(!first.duplicate && second.duplicate);
    replay::publish(&bus, "run.2", &found).await.unwrap();
    let mut replays = bus.consumer(StreamName::Replay).await.unwrap();
    for run in ["run.1", "run.2"] {
        let delivery = next(&mut replays).await;
        let of = delivery.replay().unwrap();
        assert_eq!((of.run.as_str(), of.of, of.resume), (run, sequence, false));
        let envelope = delivery.envelope().unwrap();
        assert_eq!((&envelope.id, &envelope.subject), (&event(1).id, &event(1).subject));
        assert_eq!((&envelope.headers, &envelope.body), (&event(1).headers, &event(1).body));
        delivery.done_sure().await.unwrap();
    }
    // Live traffic is not touched.
    let live = bus.consumer(StreamName::Hooks).await.unwrap();
    assert_eq!(live.pending().await.unwrap().pending, 1);
}

#[tokio::test]
async fn a_selection_takes_what_it_says() {
    let (server, bus) = set_up().await;
    assert_eq!(selected(&bus, &Selection::default()).await, [0u64; 0]);
    for number in 1..=9 {
        bus.publisher().publish(&event(number)).await.unwrap();
    }
    raw(&server).await.publish("hooks.stray", "hello".into()).await.unwrap().await.unwrap();
    let all: Vec<u64> = (1..=9).collect();
    assert_eq!(selected(&bus, &Selection::default()).await, all);
    let tenant = Selection { tenant: Some("tenant-1".to_owned()), ..Selection::default() };
    assert_eq!(selected(&bus, &tenant).await, [1, 4, 7]);
    let some = Selection { from_sequence: Some(3), to_sequence: Some(5), ..tenant.clone() };
    assert_eq!(selected(&bus, &some).await, [4]);
    let ids = Selection { ids: vec![event(2).id, event(8).id], ..Selection::default() };
    assert_eq!(selected(&bus, &ids).await, [2, 8]);
    let times = Selection {
        since: Some(event(3).received_at),
        until: Some(event(6).received_at),
        ..Selection::default()
    };
    assert_eq!(selected(&bus, &times).await, [3, 4, 5]);
    let other = Selection { kind: Some("connection".to_owned()), ..Selection::default() };
    assert_eq!(selected(&bus, &other).await, [0u64; 0]);

    // What comes while it is being read is not part of it.
    let mut selecting = replay::select(&bus, &Selection::default()).await.unwrap();
    assert_eq!(selecting.total(), 10);
    bus.publisher().publish(&event(99)).await.unwrap();
    let mut last = 0;
    while let Some(found) = selecting.next().await.unwrap() {
        last = found.sequence;
    }
    assert_eq!((last, selecting.looked_at(), selecting.unreadable()), (9, 10, 1));
}

#[tokio::test]
async fn a_long_stream_is_read_to_its_end() {
    let (_server, bus) = set_up().await;
    let publisher = bus.publisher();
    for chunk in 0..20 {
        let events: Vec<Envelope> = (0..100).map(|number| event(chunk * 100 + number)).collect();
        let published = events.iter().map(|event| publisher.publish(event));
        futures_util::future::try_join_all(published).await.unwrap();
    }
    let sequences = selected(&bus, &Selection::default()).await;
    assert_eq!(sequences, (1..=2_000).collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_quarantine_keeps_the_newest_of_each_endpoint() {
    let (_server, bus) = set_up().await;
    let publisher = bus.publisher();
    let request = |endpoint: &str, number: u64| Rejected {
        endpoint: endpoint.to_owned(),
        cause: format!("signature wrong {number}"),
        received_at: Timestamp::from_second(1_700_000_000).unwrap(),
        headers: vec![("x-hub-signature".to_owned(), "abc".to_owned())],
        // The same body every time: a repeat is kept too.
        body: Bytes::from_static(b"{}"),
    };
    publisher.reject(&request("quiet", 0)).await.unwrap();
    for number in 0..1_005 {
        publisher.reject(&request("loud", number)).await.unwrap();
    }
    let loud = rejected::list(&bus, Some("loud"), 5_000).await.unwrap();
    assert_eq!(loud.len(), 1_000);
    assert_eq!(loud[0].request, request("loud", 1_004));
    assert_eq!(loud[999].request, request("loud", 5));
    let all = rejected::list(&bus, None, 5_000).await.unwrap();
    assert_eq!(all.len(), 1_001);
    let quiet = rejected::list(&bus, Some("quiet"), 10).await.unwrap().remove(0);
    assert_eq!(rejected::get(&bus, quiet.sequence).await.unwrap().unwrap(), quiet);
    assert!(rejected::discard(&bus, quiet.sequence).await.unwrap());
    assert!(rejected::list(&bus, Some("quiet"), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn calling_a_run_off_takes_what_nobody_has_taken_and_nothing_of_another_run() {
    let (_server, bus) = set_up().await;
    for number in 0..10 {
        bus.publisher().publish(&event(number)).await.unwrap();
    }
    for run in ["off", "on"] {
        for sequence in 1..=10 {
            let found = replay::get(&bus, sequence).await.unwrap().unwrap();
            replay::publish(&bus, run, &found).await.unwrap();
        }
    }
    let mut replays = bus.consumer(StreamName::Replay).await.unwrap();
    let in_hand = timeout(LONG, replays.next_batch(3)).await.expect("deliveries come").unwrap();
    assert_eq!(in_hand.len(), 3);
    let run = |run: &str, events, waiting, in_hand| replay::runs::Run {
        run: run.to_owned(),
        events,
        waiting,
        in_hand,
    };
    assert_eq!(replay::runs::list(&bus).await.unwrap(), [run("off", 10, 7, 3), run("on", 10, 10, 0)]);
    let off = replay::runs::call_off(&bus, "off", |_| {}).await.unwrap();
    assert_eq!((off.removed, off.taken), (7, 3));
    for delivery in in_hand {
        delivery.done_sure().await.unwrap();
    }
    assert_eq!(replay::runs::list(&bus).await.unwrap(), [run("off", 3, 0, 0), run("on", 10, 10, 0)]);
    for sequence in 1..=10 {
        let delivery = next(&mut replays).await;
        assert_eq!((delivery.run(), delivery.hooks_sequence()), ("on", sequence));
        delivery.done_sure().await.unwrap();
    }
    let reached = replay::runs::reached(&bus).await.unwrap();
    assert_eq!((reached.settled, reached.taken), (20, 20));
    let again = replay::runs::call_off(&bus, "off", |_| {}).await.unwrap();
    assert_eq!((again.removed, again.taken), (0, 3));
}

#[tokio::test]
async fn a_letter_that_can_not_be_put_back_stays_in_the_queue() {
    let (server, bus) = set_up().await;
    bus.publisher().publish(&event(1)).await.unwrap();
    let mut live = bus.consumer(StreamName::Hooks).await.unwrap();
    next(&mut live).await.bury(&burial("once")).await.unwrap();
    dead::revive_in(&bus, "x", 1).await.unwrap();
    let lying = |queued: Vec<replay::runs::Queued>| {
        queued.into_iter().map(|one| (one.letter, one.decided_in)).collect::<Vec<_>>()
    };
    let there = [(true, "live".to_owned())];
    assert_eq!(lying(replay::runs::queued(&bus, "x").await.unwrap()), there);
    let raw = raw(&server).await;
    let dead = raw.get_stream("HOOKS_DEAD").await.unwrap().cached_info().config.clone();
    raw.delete_stream("HOOKS_DEAD").await.unwrap();
    let error = replay::runs::call_off(&bus, "x", |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("stays in its run") && error.contains("HOOKS_DEAD is missing"), "{error}");
    assert_eq!(lying(replay::runs::queued(&bus, "x").await.unwrap()), there);
    raw.create_stream(dead).await.unwrap();
    let off = replay::runs::call_off(&bus, "x", |_| {}).await.unwrap();
    assert_eq!((off.removed, off.letters, off.taken), (1, 1, 0));
    let letter = dead::list(&bus, 10).await.unwrap().remove(0);
    assert_eq!((letter.reason.as_str(), letter.attempts, letter.run.as_str()), ("once", 8, "live"));
}

#[tokio::test]
async fn what_was_called_off_is_replayed_again_under_the_same_name() {
    let (_server, bus) = set_up().await;
    let sequence = bus.publisher().publish(&event(1)).await.unwrap().sequence;
    let found = replay::get(&bus, sequence).await.unwrap().unwrap();
    for time in 1..=3 {
        let first = replay::publish(&bus, "off", &found).await.unwrap();
        assert_eq!((first.duplicate, first.sequence), (false, time));
        let second = replay::publish(&bus, "off", &found).await.unwrap();
        assert_eq!((second.duplicate, second.sequence), (true, time));
        assert_eq!(replay::runs::call_off(&bus, "off", |_| {}).await.unwrap().removed, 1);
    }
}
