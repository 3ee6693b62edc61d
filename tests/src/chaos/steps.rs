//! Killing the worker at a named step, exactly: whatever it is to do next is made to wait, and then it is killed. It waits
//! for a call that a double does not answer, or for the lock of the event log, which we hold: in Postgres that of its tables.

use std::time::Duration;

use domain::journal::{Outcome, StepState};
use sandbox::Fault;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::{Instant, sleep};

use super::house::House;
use super::load::{Kind, Load};
use super::scenario::Step;
use crate::stage::FLOW;

/// Longer than any call may take: the worker is killed before.
const FOREVER: Duration = Duration::from_secs(600);
/// A moment that comes is met within this.
const MOMENT: Duration = Duration::from_secs(20);
/// A moment between two transactions can be missed; then another event is tried.
const TRIES: usize = 100;

/// Has the worker killed at `step` of some event of its own. False when it never got there.
pub(super) async fn kill_at(house: &mut House, load: &mut Load, step: Step, number: usize) -> bool {
    for attempt in 0..TRIES {
        let tenant = format!("probe{number}x{attempt}");
        house
            .hotglue
            .tenant(crate::stage::ENV, FLOW, &tenant)
            .with_config(serde_json::json!({"importCredentials": {}}));
        if reached(house, load, step, &tenant).await {
            return true;
        }
        house.all_run().await;
    }
    false
}

async fn reached(house: &mut House, load: &mut Load, step: Step, tenant: &str) -> bool {
    let config = format!("/{tenant}/config");
    let schedule = format!("/{FLOW}/{tenant}/jobs/schedule");
    let jobs = format!("/{FLOW}/{tenant}/jobs");
    match step {
        Step::Remembered => {
            house.hotglue.next_on("GET", &config, Fault::Hang(FOREVER));
            kill_in_call(house, load, tenant, "GET", &config).await
        }
        Step::Performing => {
            house.hotglue.next_on("PUT", &schedule, Fault::Hang(FOREVER));
            kill_in_call(house, load, tenant, "PUT", &schedule).await
        }
        Step::ScheduleSet => {
            house.hotglue.next_on("PUT", &schedule, Fault::Delay(FOREVER));
            kill_in_call(house, load, tenant, "PUT", &schedule).await
        }
        Step::JobStarted => {
            house.hotglue.next_on("POST", &jobs, Fault::Delay(FOREVER));
            kill_in_call(house, load, tenant, "POST", &jobs).await
        }
        Step::Told => {
            let text = format!("started {}", job(load));
            // Every call until then hangs after its effect, so that the one we wait for is among them.
            house.slack.every(1, Fault::Delay(FOREVER));
            load.one(Kind::Start, tenant).await;
            let there = house.slack.until(MOMENT, |slack| slack.texts().contains(&text)).await;
            kill_worker(house).await;
            house.slack.clear_faults();
            there
        }
        Step::Decided => {
            house.hotglue.next_on("GET", &config, Fault::Delay(Duration::from_millis(300)));
            let asked = load.one(Kind::Start, tenant).await;
            let called = house.hotglue.until(MOMENT, |hotglue| called(hotglue, "GET", &config)).await;
            let mut lock = seize(house).await;
            // The answer comes, and the decision can't be written down.
            sleep(Duration::from_millis(400)).await;
            let there = called && state(&mut lock, &load.sent[asked].id).await.undecided();
            kill_holding(house, lock).await;
            there
        }
        Step::Recorded => catch(house, load, tenant, State::recorded).await,
        Step::Claimed => catch(house, load, tenant, State::claimed).await,
        Step::Settled => catch(house, load, tenant, State::settled).await,
        Step::Ended => {
            let asked = load.one(Kind::Start, tenant).await;
            let id = load.sent[asked].id.clone();
            let Some(lock) = when(house, &id, State::settled).await else { return false };
            // From here on nothing reaches the queue, the acknowledgement neither; what is on its way dies with it.
            house.broker.signal("STOP").await;
            lock.let_go().await;
            let deadline = Instant::now() + MOMENT;
            let mut ended = false;
            while !ended && Instant::now() < deadline {
                ended = house.record(&id).await.is_some_and(|record| record.row.outcome == Outcome::Done);
            }
            kill_worker(house).await;
            house.broker.kill().await;
            ended
        }
    }
}

fn job(load: &Load) -> String {
    format!("e{}", load.sent.len())
}

fn called(hotglue: &sandbox::Hotglue, method: &str, path: &str) -> bool {
    hotglue.calls().iter().any(|call| call.is(method, path))
}

async fn kill_worker(house: &mut House) {
    for worker in &mut house.workers {
        worker.kill().await;
    }
}

async fn kill_in_call(house: &mut House, load: &mut Load, tenant: &str, method: &str, path: &str) -> bool {
    load.one(Kind::Start, tenant).await;
    let there = house.hotglue.until(MOMENT, |hotglue| called(hotglue, method, path)).await;
    kill_worker(house).await;
    there
}

async fn kill_holding(house: &mut House, lock: Lock) {
    kill_worker(house).await;
    // Closed, it lets go of the lock.
    lock.let_go().await;
}

async fn catch(house: &mut House, load: &mut Load, tenant: &str, wanted: fn(&State) -> Moment) -> bool {
    let asked = load.one(Kind::Start, tenant).await;
    let id = load.sent[asked].id.clone();
    match when(house, &id, wanted).await {
        Some(lock) => {
            kill_holding(house, lock).await;
            true
        }
        None => false,
    }
}

/// Holds the lock from the moment on in which the event is as wanted; none when that moment was missed.
async fn when(house: &House, id: &str, wanted: fn(&State) -> Moment) -> Option<Lock> {
    let deadline = Instant::now() + MOMENT;
    while Instant::now() < deadline {
        let mut lock = seize(house).await;
        match wanted(&state(&mut lock, id).await) {
            Moment::Now => return Some(lock),
            Moment::Gone => return None,
            Moment::ToCome => {}
        }
        lock.let_go().await;
        // The worker has its turn.
        sleep(Duration::from_millis(1)).await;
    }
    None
}

/// The event log, with nobody else at it.
pub(super) enum Lock {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Lock {
    /// Closed, the connection lets go of the lock.
    pub(super) async fn let_go(self) {
        // Whatever it says, it is gone.
        let _closed = match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
    }
}

/// Waits for the lock of the event log, and asks for it again and again, so as to have it before the worker's next
/// transaction.
pub(super) async fn seize(house: &House) -> Lock {
    if let Some(database) = house.postgres() {
        let mut connection = database.connect().await;
        loop {
            sqlx::query("BEGIN").execute(&mut connection).await.expect("a transaction begins");
            let tables =
                "LOCK TABLE events, decisions, steps, attempts, turns IN ACCESS EXCLUSIVE MODE NOWAIT";
            if sqlx::query(tables).execute(&mut connection).await.is_ok() {
                return Lock::Postgres(connection);
            }
            sqlx::query("ROLLBACK").execute(&mut connection).await.expect("a transaction ends");
            tokio::task::yield_now().await;
        }
    }
    let options = SqliteConnectOptions::new()
        .filename(house.database_file())
        .busy_timeout(Duration::ZERO)
        .disable_statement_logging();
    let mut connection = options.connect().await.expect("the event log is opened");
    while sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.is_err() {
        tokio::task::yield_now().await;
    }
    Lock::Sqlite(connection)
}

/// Where one event is on its way, as one sees it who holds the lock.
#[derive(Debug, Default)]
struct State {
    decided: bool,
    outcome: Option<Outcome>,
    steps: Vec<(Option<StepState>, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    ToCome,
    Now,
    Gone,
}

impl State {
    fn undecided(&self) -> bool {
        self.outcome == Some(Outcome::Open) && !self.decided
    }

    fn recorded(&self) -> Moment {
        self.moment(self.steps.iter().all(|(_, attempts)| *attempts == 0))
    }

    fn claimed(&self) -> Moment {
        let first = self.steps.first().and_then(|(state, _)| *state);
        if first == Some(StepState::Pending) {
            Moment::ToCome
        } else {
            self.moment(first == Some(StepState::Claimed))
        }
    }

    fn settled(&self) -> Moment {
        let settled = self.steps.iter().all(|(state, _)| state.is_some_and(StepState::settled));
        if settled { self.moment(self.outcome == Some(Outcome::Open)) } else { Moment::ToCome }
    }

    fn moment(&self, now: bool) -> Moment {
        match (self.decided, now) {
            (false, _) => Moment::ToCome,
            (true, true) => Moment::Now,
            (true, false) => Moment::Gone,
        }
    }
}

/// The same questions to whichever database it is.
macro_rules! state_in {
    ($connection:expr, $id:expr) => {{
        let outcome = sqlx::query("SELECT outcome FROM events WHERE id = $1").bind($id);
        let outcome = outcome.fetch_optional(&mut *$connection).await.expect("read");
        let decided = sqlx::query("SELECT 1 FROM decisions WHERE event = $1").bind($id);
        let decided = decided.fetch_optional(&mut *$connection).await.expect("read").is_some();
        let steps = sqlx::query("SELECT state, attempts FROM steps WHERE event = $1 ORDER BY row").bind($id);
        let steps = steps.fetch_all(&mut *$connection).await.expect("read");
        State {
            decided,
            outcome: outcome.and_then(|row| Outcome::from_text(row.get(0))),
            steps: steps.iter().map(|row| (StepState::from_text(row.get(0)), row.get(1))).collect(),
        }
    }};
}

async fn state(lock: &mut Lock, id: &str) -> State {
    match lock {
        Lock::Sqlite(connection) => state_in!(connection, id),
        Lock::Postgres(connection) => state_in!(connection, id),
    }
}
