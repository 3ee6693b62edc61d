//! The troubles, one function each; they end when their time is over, and leave what they broke to be mended.

use std::time::Duration;

use fastrand::Rng;
use sandbox::Fault;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::house::House;
use super::load::Load;
use super::scenario::{Scenario, Step};
use super::steps;

/// A call lasts so long where workers are to be killed in the midst of one.
const CALL: Duration = Duration::from_millis(200);
/// Longest wait for a call while events come all the time.
const CALL_COMES: Duration = Duration::from_secs(20);

/// What was done to the house.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Processes killed, stopped or asked to end; times that something was locked.
    pub(super) blows: usize,
    /// What was meant to happen and did not.
    pub(super) complaints: Vec<String>,
}

/// Posts, and disturbs, until the time is over. One blow is done at least.
pub(super) async fn disturb(
    scenario: Scenario,
    house: &mut House,
    load: &mut Load,
    dice: &mut Rng,
    length: Duration,
) -> Done {
    let until = Instant::now() + length;
    if matches!(scenario, Scenario::WorkerKilledAtEveryStep | Scenario::WorkerKilledAtEveryStepOnPostgres) {
        return at_every_step(house, load, until).await;
    }
    let stop = CancellationToken::new();
    let disturbing = async {
        let mut done = Done::default();
        while done.blows == 0 || Instant::now() < until {
            one(scenario, house, dice, &mut done, until).await;
            done.blows += 1;
        }
        stop.cancel();
        done
    };
    let ((), done) = tokio::join!(load.run(&stop), disturbing);
    done
}

/// The steps are not random: each is met once in every round.
async fn at_every_step(house: &mut House, load: &mut Load, until: Instant) -> Done {
    let mut done = Done::default();
    loop {
        for step in Step::ALL {
            load.wave().await;
            if steps::kill_at(house, load, step, done.blows).await {
                done.blows += 1;
            } else {
                done.complaints.push(format!("the worker could not be killed at {step:?}"));
            }
            house.all_run().await;
        }
        if Instant::now() >= until {
            return done;
        }
    }
}

async fn one(scenario: Scenario, house: &mut House, dice: &mut Rng, done: &mut Done, until: Instant) {
    match scenario {
        Scenario::Calm
        | Scenario::WorkerKilledAtEveryStep
        | Scenario::WorkerKilledAtEveryStepOnPostgres
        | Scenario::ManyWorkers => tokio::time::sleep_until(until).await,
        Scenario::IngestKilled => {
            some(dice, 50..600).await;
            house.ingest.kill().await;
            house.ingest.start();
        }
        Scenario::WorkerKilled => {
            some(dice, 100..1_500).await;
            kill_worker(house, dice).await;
        }
        Scenario::ManyWorkersKilled => {
            house.hotglue.every(1, Fault::Delay(CALL));
            some(dice, 100..1_000).await;
            let before = house.hotglue.calls().len();
            if !house.hotglue.until(CALL_COMES, |hotglue| hotglue.calls().len() > before).await {
                done.complaints.push("no worker was at a call when one was killed".to_owned());
            }
            kill_worker(house, dice).await;
        }
        Scenario::BrokerKilled => {
            some(dice, 100..1_500).await;
            kill_broker(house, dice).await;
        }
        Scenario::AllKilled | Scenario::SpoolAllKilled | Scenario::JournalAllKilled => {
            some(dice, 100..1_000).await;
            match dice.u32(..3) {
                0 => {
                    house.ingest.kill().await;
                    house.ingest.start();
                }
                1 => kill_worker(house, dice).await,
                _ => kill_broker(house, dice).await,
            }
        }
        Scenario::WorkerStopped | Scenario::ManyWorkersStopped => {
            some(dice, 200..1_000).await;
            let place = dice.usize(..house.workers.len());
            house.workers[place].signal("STOP").await;
            // The queue waits 2 seconds for a worker.
            some(dice, 2_500..4_000).await;
            house.workers[place].signal("CONT").await;
        }
        Scenario::WorkerLeaves => {
            some(dice, 200..1_000).await;
            let place = dice.usize(..house.workers.len());
            house.workers[place].stop().await;
            house.workers[place].start();
        }
        Scenario::FailingOneInFive => {
            let fault = || dice_of(dice, [Fault::text_500(), Fault::html_502(), Fault::CutBefore]);
            faults(house, 5, fault, until).await;
        }
        Scenario::SlowedDown => {
            house.hotglue.every(4, Fault::too_many_requests(Some(1)));
            house.slack.every(4, Fault::slack_rate_limited(1));
            tokio::time::sleep_until(until).await;
        }
        Scenario::Hanging => {
            let hang = Duration::from_secs(60);
            let fault = || dice_of(dice, [Fault::Hang(hang), Fault::Hang(hang), Fault::Delay(hang)]);
            faults(house, 9, fault, until).await;
        }
        Scenario::CutAfterTheEffect => {
            let fault = || dice_of(dice, [Fault::CutAfter, Fault::CutAfter, Fault::gateway_504_after()]);
            faults(house, 4, fault, until).await;
        }
        Scenario::DatabaseLocked => {
            some(dice, 100..1_000).await;
            let lock = steps::seize(house).await;
            // The worker waits 5 seconds for the lock.
            some(dice, 200..6_500).await;
            lock.let_go().await;
        }
        Scenario::BrokerStopped | Scenario::SpoolBrokerStopped => {
            some(dice, 200..1_500).await;
            house.broker.signal("STOP").await;
            some(dice, 200..7_000).await;
            house.broker.signal("CONT").await;
        }
        Scenario::BrokerAway | Scenario::SpoolBrokerAway | Scenario::SpoolDiskFull => {
            some(dice, 300..800).await;
            house.broker.kill().await;
            tokio::time::sleep_until(until).await;
        }
        Scenario::ClusterLosesNode => {
            some(dice, 200..1_500).await;
            let place = dice.usize(..house.broker.nodes.len());
            house.broker.nodes[place].kill().await;
            some(dice, 500..3_000).await;
            house.broker.nodes[place].start();
            // Two at a time are one more than three replicas outlive.
            house.replicated().await;
        }
        Scenario::JournalPowerCut => {
            some(dice, 300..1_500).await;
            // What it has written until now is on the disk; what comes after is not.
            house.broker.signal("STOP").await;
            let synced = house.broker.store();
            house.broker.signal("CONT").await;
            some(dice, 300..1_500).await;
            house.ingest.kill().await;
            house.workers[0].kill().await;
            house.broker.kill().await;
            house.broker.restore(&synced);
            house.all_run().await;
        }
        Scenario::ReplayInterrupted => {
            some(dice, 300..1_000).await;
            let run = format!("--run=chaos{}", done.blows);
            let mut replay = house.gluehook(&["replay", "--since=1h", "--yes", &run]);
            replay.start();
            some(dice, 20..400).await;
            replay.kill().await;
            kill_worker(house, dice).await;
            done.complaints.extend(house.until_done(&["replay", "--since=1h", "--yes", &run]).await.err());
        }
        Scenario::DeadLettersSentBack => {
            house.slack.every(1, Fault::slack_error("channel_not_found"));
            some(dice, 800..1_600).await;
            house.slack.clear_faults();
            let mut retry = house.gluehook(&["dead", "retry", "--all", "--yes"]);
            retry.start();
            some(dice, 10..300).await;
            retry.kill().await;
            kill_worker(house, dice).await;
            some(dice, 0..300).await;
        }
    }
}

/// Mends what [`disturb`] broke.
pub(super) async fn mend(scenario: Scenario, house: &mut House) -> Result<(), String> {
    if !took_place(scenario, house) {
        return Err(format!("no call met what {} does to it", scenario.name()));
    }
    house.hotglue.clear_faults();
    house.slack.clear_faults();
    house.all_run().await;
    if scenario == Scenario::DeadLettersSentBack {
        // What was in hand may be given up only now.
        house.quiet().await;
        house.until_done(&["dead", "retry", "--all", "--yes"]).await?;
    }
    Ok(())
}

/// Whether a trouble of calls has met any; every other one is done by our own hand.
fn took_place(scenario: Scenario, house: &House) -> bool {
    let met = |is_it: fn(Option<u16>) -> bool| {
        let calls = house.hotglue.calls().into_iter().chain(house.slack.calls());
        calls.into_iter().any(|call| is_it(call.status))
    };
    match scenario {
        Scenario::FailingOneInFive => met(|status| status.is_none_or(|status| status >= 500)),
        Scenario::SlowedDown => met(|status| status == Some(429)),
        // A call that hangs is cut in the end; one whose answer comes late looks like any other.
        Scenario::Hanging => met(|status| status.is_none()),
        Scenario::CutAfterTheEffect => met(|status| status.is_none_or(|status| status == 504)),
        _ => true,
    }
}

/// Both doubles fail every so many calls, each time in another way.
async fn faults(house: &House, every: usize, mut fault: impl FnMut() -> Fault, until: Instant) {
    loop {
        house.hotglue.clear_faults();
        house.slack.clear_faults();
        house.hotglue.every(every, fault());
        house.slack.every(every, fault());
        let round = Instant::now() + Duration::from_secs(1);
        tokio::time::sleep_until(round.min(until)).await;
        if round >= until {
            return;
        }
    }
}

fn dice_of<const N: usize>(dice: &mut Rng, mut faults: [Fault; N]) -> Fault {
    faults.swap(0, dice.usize(..N));
    let [first, ..] = faults.as_slice() else { unreachable!("there are some") };
    first.clone()
}

async fn kill_worker(house: &mut House, dice: &mut Rng) {
    let place = dice.usize(..house.workers.len());
    house.workers[place].kill().await;
    house.workers[place].start();
}

async fn kill_broker(house: &mut House, dice: &mut Rng) {
    house.broker.kill().await;
    some(dice, 0..1_000).await;
    house.broker.start_all();
    house.broker.listens().await;
}

/// A random instant is a length of time: there is nothing to wait for.
async fn some(dice: &mut Rng, millis: std::ops::Range<u64>) {
    sleep(Duration::from_millis(dice.u64(millis))).await;
}
