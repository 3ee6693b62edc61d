use std::collections::BTreeSet;
use std::fs;

use bytes::Bytes;
use domain::envelope::Source;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const LARGE: Limits = Limits { max_bytes: 1 << 30, keep: None };
const SECOND: Duration = Duration::from_secs(1);

fn id(number: u64) -> EventId {
    EventId::from_text(format!("{number:032x}"))
}

fn append(number: u64) -> Append {
    let envelope = Envelope::unsealed_from_queue(
        id(number),
        "hotglue".to_owned(),
        Source::Hotglue,
        Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
        "hooks.hotglue.job.X.t".to_owned(),
        vec![],
        // Of different lengths, some of them longer than a page of the file.
        Bytes::from(vec![b'x'; 200 + usize::try_from(number % 7).unwrap() * 900]),
    );
    let record = record::write(&envelope).unwrap();
    Append { id: envelope.id, received_at: envelope.received_at, record, in_hand: false }
}

fn open(directory: &Path, limits: Limits) -> Keeper {
    Keeper::open(directory.to_owned(), limits, Arc::default()).unwrap()
}

/// Stores these together, and expects it to work: whether each was there before.
fn store(keeper: &mut Keeper, numbers: impl IntoIterator<Item = u64>, now: Instant) -> Vec<bool> {
    let outcomes = keeper.turn(numbers.into_iter().map(append).collect(), vec![], now);
    outcomes.into_iter().map(|outcome| outcome.unwrap().duplicate).collect()
}

/// Takes everything that waits: places and numbers.
fn take(keeper: &mut Keeper, now: Instant) -> Vec<(u64, u64)> {
    let number = |envelope: &Envelope| u64::from_str_radix(envelope.id.as_str(), 16).unwrap();
    keeper.take(1000, u64::MAX, now).iter().map(|(place, envelope)| (*place, number(envelope))).collect()
}

fn numbers(taken: &[(u64, u64)]) -> Vec<u64> {
    taken.iter().map(|(_, number)| *number).collect()
}

/// The file as a process killed at this instant would leave it.
fn as_killed(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(directory.join(NAME), copy.path().join(NAME)).unwrap();
    copy
}

#[test]
fn what_was_stored_is_there_again_in_order_and_what_was_acknowledged_is_not() {
    let home = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut keeper = open(home.path(), LARGE);
    assert_eq!(store(&mut keeper, [3, 1, 2, 1], now), [false, false, false, true]);
    assert_eq!(store(&mut keeper, [2, 9], now), [true, false]);
    let taken = take(&mut keeper, now);
    assert_eq!(numbers(&taken), [3, 1, 2, 9]);
    assert!(take(&mut keeper, now).is_empty(), "what is in hand is not given out twice");
    keeper.turn(
        vec![],
        vec![Settled::Stored { place: taken[0].0, epoch: 0 }, Settled::NotStored(taken[1].0)],
        now,
    );
    assert_eq!(numbers(&take(&mut keeper, now)), [1]);
    let killed = as_killed(home.path());
    let mut after = open(killed.path(), LARGE);
    assert_eq!(numbers(&take(&mut after, now)), [1, 2, 9]);
    assert_eq!(store(&mut after, [3, 9], now), [false, true], "what was sent and deleted is not known here");
}

#[test]
fn the_limit_holds_until_something_is_sent() {
    let home = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let size = append(0).record.len() as u64;
    let mut keeper = open(home.path(), Limits { max_bytes: 10 * size, keep: None });
    assert_eq!(store(&mut keeper, (0..10).map(|n| n * 7), now).len(), 10);
    assert_eq!(keeper.turn(vec![append(77)], vec![], now), [Err(NotSpooled::Full)]);
    assert_eq!(store(&mut keeper, [7], now), [true], "a repeat needs no room");
    assert!(keeper.stats().full);
    let taken = take(&mut keeper, now);
    keeper.turn(vec![], vec![Settled::Stored { place: taken[0].0, epoch: 0 }], now);
    assert!(!keeper.stats().full);
    assert_eq!(store(&mut keeper, [77], now), [false]);
}

#[test]
fn the_journal_keeps_what_was_acknowledged_and_publishes_it_again_when_the_server_went_back() {
    let home = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let mut keeper = open(home.path(), Limits { keep: Some(10 * SECOND), ..LARGE });
    store(&mut keeper, 0..3, start);
    let taken = take(&mut keeper, start);
    let stored = |place, epoch| Settled::Stored { place, epoch };
    keeper.turn(vec![], vec![stored(taken[0].0, 0), stored(taken[1].0, 0)], start + SECOND);
    let stats = keeper.stats();
    assert_eq!((stats.unsent, stats.kept, stats.oldest), (1, 2, Some(Timestamp::from_second(2).unwrap())));
    assert_eq!(store(&mut keeper, [0], start + SECOND), [true], "what is kept is known");

    assert_eq!(keeper.rewind(), 2);
    assert_eq!(numbers(&take(&mut keeper, start + SECOND)), [0, 1]);
    // The third was acknowledged by the server that lost it.
    keeper.turn(vec![], vec![stored(taken[2].0, 0)], start + SECOND);
    let again = take(&mut keeper, start + SECOND);
    assert_eq!(numbers(&again), [2]);

    let all: Vec<_> = taken.iter().map(|(place, _)| stored(*place, keeper.epoch())).collect();
    keeper.turn(vec![], all, start + 2 * SECOND);
    assert_eq!(keeper.stats().kept, 3);
    keeper.alive(start + 11 * SECOND);
    keeper.turn(vec![], vec![], start + 100 * SECOND);
    assert_eq!(keeper.stats().kept, 3, "a server that was not seen since may have lost it");
    keeper.alive(start + 12 * SECOND);
    keeper.turn(vec![], vec![], start + 101 * SECOND);
    assert_eq!(keeper.stats(), Stats::default());
}

#[test]
fn what_is_too_large_lets_the_others_pass_and_is_tried_again_with_another_server() {
    let home = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut keeper = open(home.path(), LARGE);
    store(&mut keeper, [5, 6], now);
    let taken = take(&mut keeper, now);
    keeper.turn(vec![], vec![Settled::TooLarge(taken[0].0), Settled::NotStored(taken[1].0)], now);
    assert_eq!(numbers(&take(&mut keeper, now)), [6]);
    assert_eq!((keeper.stats().aside, keeper.stats().unsent), (1, 2));
    assert_eq!(store(&mut keeper, [5], now), [true], "it is not lost");
    keeper.rewind();
    assert_eq!(numbers(&take(&mut keeper, now)), [5]);
}

#[test]
fn a_drained_spool_gives_its_disk_back() {
    let home = tempfile::tempdir().unwrap();
    let mut now = Instant::now();
    let mut keeper = open(home.path(), LARGE);
    for batch in 0..20 {
        store(&mut keeper, (0..400).map(|n| batch * 400 + n), now);
    }
    let length = || fs::metadata(home.path().join(NAME)).unwrap().len();
    assert!(length() > 16 << 20, "{}", length());
    loop {
        let taken = take(&mut keeper, now);
        if taken.is_empty() {
            break;
        }
        let settled = taken.iter().map(|(place, _)| Settled::Stored { place: *place, epoch: 0 }).collect();
        now += COMPACT_EVERY;
        keeper.turn(vec![], settled, now);
    }
    assert!(length() < 1 << 20, "{}", length());
    assert_eq!(store(&mut keeper, [1], now), [false]);
}

#[test]
fn a_second_ingest_on_the_same_spool_is_refused_with_the_flag_to_change() {
    let home = tempfile::tempdir().unwrap();
    let _first = open(home.path(), LARGE);
    let Err(error) = Keeper::open(home.path().to_owned(), LARGE, Arc::default()) else {
        panic!("opened twice")
    };
    assert!(
        error.to_string().contains("another process has it open") && error.to_string().contains("--spool")
    );
}

#[test]
fn started_anew_on_a_disk_that_is_still_full_it_takes_nothing_before_there_is_room_to_delete() {
    let home = tempfile::tempdir().unwrap();
    let mut keeper = open(home.path(), LARGE);
    store(&mut keeper, [1, 2], Instant::now());
    drop(keeper);
    // The room was given away for sending, and no other is to be had.
    let reserve = home.path().join("spool.reserve");
    fs::remove_file(&reserve).unwrap();
    std::os::unix::fs::symlink("/dev/full", &reserve).unwrap();
    let mut keeper = open(home.path(), LARGE);
    let start = Instant::now();
    let why = match keeper.turn(vec![append(3)], vec![], start).remove(0) {
        Err(NotSpooled::Disk(why)) => why,
        taken => panic!("{taken:?}"),
    };
    assert!(why.contains("can't grow: the disk is full"), "{why}");
    assert_eq!(keeper.stats().trouble, Some(why));
    // It is full at the next look, too.
    std::os::unix::fs::symlink("/dev/full", &reserve).unwrap();
    assert!(keeper.turn(vec![append(3)], vec![], start + AFTER_FULL)[0].is_err());
    let taken = take(&mut keeper, start);
    assert_eq!(numbers(&taken), [1, 2], "what lies there goes out");
    keeper.turn(vec![], vec![Settled::Stored { place: taken[0].0, epoch: 0 }], start + AFTER_FULL);
    assert!(keeper.turn(vec![append(3)], vec![], start + AFTER_FULL)[0].is_err(), "not the room of the rest");
    assert_eq!(store(&mut keeper, [3], start + 3 * AFTER_FULL), [false]);
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 1 << 20);
    drop(keeper);
    assert_eq!(look(home.path()).unwrap(), [2, 3]);
}

/// Opens what may be damaged: what it holds, or the sentence.
fn look(directory: &Path) -> Result<Vec<u64>, String> {
    let mut keeper =
        Keeper::open(directory.to_owned(), LARGE, Arc::default()).map_err(|error| error.to_string())?;
    Ok(numbers(&take(&mut keeper, Instant::now())))
}

#[test]
fn a_damaged_file_is_named_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let mut keeper = open(home.path(), LARGE);
    store(&mut keeper, 0..200, Instant::now());
    drop(keeper);
    let whole = fs::read(home.path().join(NAME)).unwrap();
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes[..4096].fill(7),
        |bytes| bytes.iter_mut().skip(8192).step_by(512).for_each(|byte| *byte ^= 1),
    ];
    for (which, damage) in damages.into_iter().enumerate() {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        let damaged = tempfile::tempdir().unwrap();
        let path = damaged.path().join(NAME);
        fs::write(&path, &bytes).unwrap();
        let said = look(damaged.path()).expect_err("damage is noticed");
        assert!(said.contains(path.to_str().unwrap()) && said.contains("mv "), "{which}: {said}");
        assert!(path.exists());
    }
    assert_eq!(look(home.path()).unwrap(), (0..200).collect::<Vec<_>>());
}

/// What happens to a spool.
#[derive(Debug, Clone)]
enum Step {
    Store(Vec<u64>),
    /// Takes all, and then: a third each is acknowledged, not acknowledged, still in hand.
    Send,
    Kill,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::collection::vec(0u64..40, 1..9).prop_map(Step::Store),
        2 => Just(Step::Send),
        1 => Just(Step::Kill),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is stored, sent, killed and started in whatever order: what was answered and not acknowledged is there,
    /// in order, and nothing is there twice.
    #[test]
    fn nothing_that_was_answered_is_lost(steps in steps()) {
        let mut home = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut keeper = open(home.path(), LARGE);
        let mut model: Vec<u64> = Vec::new();
        for step in steps {
            match step {
                Step::Store(numbers) => {
                    for (number, duplicate) in numbers.iter().zip(store(&mut keeper, numbers.clone(), now)) {
                        prop_assert_eq!(duplicate, model.contains(number));
                        if !duplicate {
                            model.push(*number);
                        }
                    }
                }
                Step::Send => {
                    let taken = take(&mut keeper, now);
                    let settled = taken.iter().filter_map(|(place, number)| match number % 3 {
                        0 => Some(Settled::Stored { place: *place, epoch: keeper.epoch() }),
                        1 => Some(Settled::NotStored(*place)),
                        _ => None,
                    });
                    let settled: Vec<_> = settled.collect();
                    model.retain(|number| !taken.iter().any(|(_, taken)| taken == number) || number % 3 != 0);
                    keeper.turn(vec![], settled, now);
                }
                Step::Kill => {
                    let left = as_killed(home.path());
                    drop(keeper);
                    home = left;
                    keeper = open(home.path(), LARGE);
                }
                Step::Restart => {
                    drop(keeper);
                    keeper = open(home.path(), LARGE);
                }
            }
            prop_assert_eq!(keeper.stats().unsent, model.len() as u64);
        }
        drop(keeper);
        prop_assert_eq!(look(home.path()).unwrap(), model);
    }

    /// A power cut while a commit is being written: any part of its sectors is on the disk and the rest is as before.
    #[test]
    fn a_torn_write_loses_nothing_that_was_committed_before(
        before in 1u64..60,
        torn in 1u64..40,
        deleted in any::<bool>(),
        coins in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let home = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut keeper = open(home.path(), LARGE);
        store(&mut keeper, 0..before, now);
        let old = fs::read(home.path().join(NAME)).unwrap();
        let taken = if deleted { take(&mut keeper, now) } else { vec![] };
        let gone = taken.iter().filter(|(_, number)| number % 2 == 0);
        let settled = gone.map(|(place, _)| Settled::Stored { place: *place, epoch: 0 }).collect();
        keeper.turn((before..before + torn).map(append).collect(), settled, now);
        let mut mixed = fs::read(home.path().join(NAME)).unwrap();
        let mut coin = coins.iter().cycle();
        for (at, sector) in mixed.chunks_mut(512).enumerate() {
            let was = old.get(at * 512..at * 512 + sector.len()).unwrap_or(&[0; 512][..sector.len()]);
            if was != sector && *coin.next().unwrap() {
                sector.copy_from_slice(was);
            }
        }
        let torn_home = tempfile::tempdir().unwrap();
        fs::write(torn_home.path().join(NAME), mixed).unwrap();
        let found: BTreeSet<u64> = look(torn_home.path()).map_err(TestCaseError::fail)?.into_iter().collect();
        let all_old: BTreeSet<u64> = (0..before).collect();
        let all_new: BTreeSet<u64> =
            (0..before + torn).filter(|number| !deleted || *number >= before || number % 2 == 1).collect();
        prop_assert!(found == all_old || found == all_new, "{found:?}");
    }
}
