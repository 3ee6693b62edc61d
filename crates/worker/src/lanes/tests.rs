use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Barrier;

use super::Class::{Live, Replay};
use super::*;

#[tokio::test]
async fn jobs_of_one_key_run_in_order_and_never_together() {
    let lanes = Lanes::new(8);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let running = Arc::new(AtomicUsize::new(0));
    for number in 0..10 {
        let (seen, running) = (seen.clone(), running.clone());
        lanes.push("t".to_owned(), Live, async move {
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
            tokio::task::yield_now().await;
            seen.lock().unwrap().push(number);
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }
    lanes.idle().await;
    assert_eq!(*seen.lock().unwrap(), (0..10).collect::<Vec<_>>());
    assert!(lanes.0.lock().is_empty(), "a key is forgotten when its last job has ended");
    assert_eq!(lanes.room(Live), LIVE_ROOM, "and what it took of the room is given back");
}

#[tokio::test]
async fn different_keys_run_side_by_side() {
    let lanes = Lanes::new(8);
    let together = Arc::new(Barrier::new(3));
    for key in ["a", "b", "c"] {
        let together = together.clone();
        lanes.push(key.to_owned(), Live, async move {
            together.wait().await;
        });
    }
    lanes.idle().await;
}

#[tokio::test]
async fn a_job_that_panics_does_not_end_its_lane() {
    let lanes = Lanes::new(8);
    let done = Arc::new(AtomicUsize::new(0));
    lanes.push("t".to_owned(), Live, async { panic!("on purpose") });
    let after = done.clone();
    lanes.push("t".to_owned(), Live, async move {
        after.fetch_add(1, Ordering::SeqCst);
    });
    lanes.idle().await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_tenant_cannot_fill_the_worker() {
    let lanes = Lanes::new(8);
    for _ in 0..=PER_TENANT {
        lanes.push("slow".to_owned(), Live, std::future::pending());
    }
    assert!(!lanes.has_room("slow", Live));
    assert!(lanes.has_room("other", Live));
}

#[tokio::test]
async fn a_live_event_goes_before_the_replays_of_its_tenant() {
    let lanes = Lanes::new(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let seen = seen.clone();
        async move { seen.lock().unwrap().push(what) }
    };
    // Nothing runs before the test waits: all of them are there when the first is chosen.
    lanes.push("t".to_owned(), Replay, note("replay 1"));
    lanes.push("t".to_owned(), Replay, note("replay 2"));
    lanes.push("t".to_owned(), Live, note("live"));
    lanes.idle().await;
    assert_eq!(*seen.lock().unwrap(), ["live", "replay 1", "replay 2"]);
}

#[tokio::test]
async fn replays_of_a_tenant_whose_live_events_wait_take_no_place_of_others() {
    let lanes = Lanes::new(1);
    lanes.push("flooded".to_owned(), Live, std::future::pending());
    assert!(!lanes.has_room("flooded", Replay) && lanes.has_room("flooded", Live));
    assert!(lanes.has_room("other", Replay));
}

#[tokio::test]
async fn replays_that_hang_leave_live_events_their_slots() {
    let lanes = Lanes::new(4);
    for number in 0..REPLAY_ROOM {
        lanes.push(format!("replayed {number}"), Replay, std::future::pending());
    }
    assert_eq!(lanes.room(Replay), 0);
    let all = Arc::new(Barrier::new(4));
    for number in 0..3 {
        // Beside the one slot that a replay may hold; the first of them also of a tenant whose replays wait.
        let (all, key) = (all.clone(), format!("replayed {}", number + 30));
        lanes.push(key, Live, async move {
            all.wait().await;
        });
    }
    all.wait().await;
}

#[tokio::test]
async fn room_comes_back_when_a_job_ends() {
    let lanes = Lanes::new(1);
    let release = Arc::new(Notify::new());
    for number in 0..REPLAY_ROOM {
        let release = release.clone();
        lanes.push(number.to_string(), Replay, async move { release.notified().await });
    }
    assert!(!lanes.has_room("new", Replay));
    release.notify_one();
    lanes.some_room(Replay).await;
    assert!(lanes.has_room("new", Replay));
}

#[tokio::test]
async fn at_the_end_nothing_waits_for_what_hangs() {
    let lanes = Lanes::new(1);
    let (begun, hangs) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began, hang) = (begun.clone(), hangs.clone());
    lanes.push("t".to_owned(), Live, async move {
        began.notify_one();
        hang.notified().await;
    });
    begun.notified().await;
    let handed_back = Arc::new(Semaphore::new(0));
    for key in ["t", "t", "other"] {
        for class in [Live, Replay] {
            let handed_back = handed_back.clone();
            lanes.push(key.to_owned(), class, async move { handed_back.add_permits(1) });
        }
    }
    lanes.let_go();
    handed_back.acquire_many(6).await.unwrap().forget();
    hangs.notify_one();
    lanes.idle().await;
    assert!(lanes.0.lock().is_empty());
    assert_eq!(lanes.room(Live), LIVE_ROOM);
}
