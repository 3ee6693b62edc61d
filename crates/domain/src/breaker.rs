//! A circuit breaker: is a service down as a whole, and when is it asked again? Arithmetic only: what was seen comes in as
//! values, and so does the time.
//!
//! One tenant whose calls fail is no outage. The breaker opens when failures follow one another without a success in
//! between and they are either of several tenants, or of the kind that no tenant can cause (nobody answers the door). It opens
//! at once when the service refuses our key or token.
//! While it is open nothing is called; after a pause a few calls go through as probes, and the first that is answered
//! closes it.
//!
//! A service may have a neutral question: one that changes nothing and is about no tenant. After a pause it is asked first,
//! and no call goes through before it is answered, because a call that hangs may have its effect. And where all failures
//! are of one tenant, it tells an outage that only this tenant has met from the tenant's own trouble. It proves no more than
//! that someone answers: a service that answers it and fails every call stays open, and is probed at the same growing pauses.
//! Only when nobody but two tenants is there to be probed, and both fail in several rounds over some minutes, all of them with a
//! good answer to the question, is it theirs: else their events would wait for somebody else to call, which may be never. Should a
//! third fail before anyone is answered, it was an outage after all. That somebody answers is no good answer yet: a gateway does,
//! and so does a page about maintenance.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::retry::LONGEST_ASKED;

pub use signs::{Flow, Heard, Permit, Sign};

mod signs;

/// Failures in a row that open the breaker.
pub const TRIP: u32 = 5;
/// Different tenants among them, unless the service can't be reached at all.
const TENANTS: usize = 2;
/// Tenants that are taken for broken on the word of the neutral question alone, while nobody else is there to be probed.
const MOST_PRESUMED: usize = 2;
/// Rounds of probes that must fail before that, and over how long: a service that answers and can't write for a moment is down.
const VOUCHED_ROUNDS: u32 = 3;
const VOUCHED_FOR: Duration = Duration::from_secs(120);
/// Calls that go through at one time after a pause, each of another tenant.
pub const PROBES: usize = 3;
/// First pause; doubles with each round of probes that fail.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause: how much longer than the service an outage lasts for us, at most.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A call that was let through as a probe and never came back is forgotten after so long.
const PROBE_LOST: Duration = Duration::from_secs(120);
/// Who is told to wait for probes under way asks again after so long.
const PROBING: Duration = Duration::from_millis(500);
/// Whose probe has failed makes room for others for so long: events that come again are delivered before new ones, so it
/// must be longer than a few rounds of taking take.
const HAD_ITS_TURN: Duration = Duration::from_secs(5);
/// Tenants remembered as tried; more than that would be an outage indeed.
const MOST_TRIED: usize = 1_000;
/// Tenants that failed throughout, when it was none of the others: so few are broken themselves. Of more it was an outage.
const MOST_BROKEN: usize = 8;
/// Wait of a service that asks us to slow down and does not say for how long; doubles as long as it goes on asking.
const SLOW_DOWN: Duration = Duration::from_secs(1);
const LONGEST_SLOW_DOWN: Duration = Duration::from_secs(60);

/// The breaker of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaker {
    state: State,
    /// Whose calls failed while it was open, and before.
    suspects: BTreeSet<String>,
    /// Who failed while others were answered. Their failures say nothing of the service until they are answered once.
    broken: BTreeSet<String>,
    /// Those of them whom only the neutral question has shown to be broken: nobody was answered since.
    presumed: BTreeSet<String>,
    /// Rounds of probes that have failed since anyone was answered, while the question was answered well, and since when.
    vouched: Option<(u32, Timestamp)>,
    /// The service asked us to slow down until then.
    slow_until: Option<Timestamp>,
    /// How often in a row it asked without saying for how long.
    slowed: u32,
    /// It has a neutral question.
    askable: bool,
    /// The question is under way.
    asking: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Closed {
        /// In a row, without a success in between.
        failures: u32,
        /// How many of them found nobody at the door.
        unreachable: u32,
        tenants: BTreeSet<String>,
        /// All failures in a row since the neutral question was last answered, those of broken tenants too.
        unasked: u32,
    },
    Open {
        until: Timestamp,
        pause: Duration,
        tried: BTreeSet<String>,
        /// The neutral question has opened it, not the calls.
        by_question: bool,
    },
    Probing {
        since: Timestamp,
        pause: Duration,
        under_way: BTreeSet<String>,
        failed: BTreeSet<String>,
        /// Failed in rounds before: others are asked first, or a few broken tenants would stand for an outage for ever.
        tried: BTreeSet<String>,
        /// The neutral question was answered before it, and well.
        vouched: bool,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0, unreachable: 0, tenants: BTreeSet::new(), unasked: 0 }
    }
}

impl Breaker {
    /// Of a service that has a neutral question.
    #[must_use]
    pub fn with_question() -> Self {
        Self { askable: true, ..Self::default() }
    }

    /// May a call be made for `tenant` now? A yes after a pause makes it a probe: [`Breaker::saw`] must follow.
    pub fn permit(&mut self, tenant: &str, now: Timestamp) -> Permit {
        if let Some(left) = self.slow_until.and_then(|until| left(until, now)) {
            return Permit::No(left);
        }
        self.advance(now);
        match &mut self.state {
            State::Closed { .. } => Permit::Yes,
            // After its pause, the question is under way.
            State::Open { until, .. } => Permit::No(left(*until, now).unwrap_or(PROBING)),
            State::Probing { under_way, failed, tried, .. } => {
                if failed.contains(tenant) || tried.contains(tenant) {
                    return Permit::No(HAD_ITS_TURN);
                }
                if under_way.contains(tenant) || under_way.len() + failed.len() >= PROBES {
                    return Permit::No(PROBING);
                }
                under_way.insert(tenant.to_owned());
                Permit::Yes
            }
        }
    }

    /// Takes note of how a call for `tenant` ended. Answers whether this call opened the breaker, or kept it open.
    pub fn saw(&mut self, tenant: &str, sign: Sign, now: Timestamp) -> bool {
        self.advance(now);
        match sign {
            Sign::Well => {
                self.answered(tenant);
                self.slowed = 0;
                self.state = State::default();
                false
            }
            Sign::SlowDown(asked) => {
                self.slow_down(asked, now);
                // It answers: it is not down.
                self.answered(tenant);
                self.state = State::default();
                false
            }
            Sign::Failing => self.failed(tenant, false, now),
            Sign::Unreachable => self.failed(tenant, true, now),
            Sign::Refused => {
                if let State::Closed { failures, unreachable, .. } = &mut self.state {
                    // One such answer says all.
                    (*failures, *unreachable) = (TRIP, TRIP);
                }
                self.failed(tenant, true, now)
            }
        }
    }

    /// A call that was permitted was not made after all, or nobody knows how it ended.
    pub fn abandoned(&mut self, tenant: &str) {
        if let State::Probing { under_way, .. } = &mut self.state {
            under_way.remove(tenant);
        }
    }

    /// Is the neutral question to be asked now? After a yes, [`Breaker::heard`] or [`Breaker::not_asked`] must follow, and until
    /// then the answer is no.
    pub fn asks(&mut self, now: Timestamp) -> bool {
        self.advance(now);
        let is_due = match &self.state {
            State::Closed { unasked, .. } => *unasked >= TRIP,
            State::Open { until, .. } => left(*until, now).is_none(),
            State::Probing { .. } => false,
        };
        let is_slow = self.slow_until.is_some_and(|until| left(until, now).is_some());
        let asks = self.askable && !self.asking && is_due && !is_slow;
        self.asking |= asks;
        asks
    }

    /// When to look whether the neutral question is to be asked: after so long. None while there is no cause to.
    #[must_use]
    pub fn asks_in(&mut self, now: Timestamp) -> Option<Duration> {
        self.advance(now);
        let due = match &self.state {
            State::Closed { unasked, .. } if *unasked >= TRIP => now,
            State::Open { until, .. } => *until,
            // A round of probes may end by time alone, which nobody tells.
            State::Probing { .. } => return self.askable.then_some(PROBING),
            State::Closed { .. } => return None,
        };
        if self.asking {
            return Some(PROBING);
        }
        let due = self.slow_until.map_or(due, |slow| slow.max(due));
        self.askable.then(|| left(due, now).unwrap_or_default())
    }

    /// Takes note of what came of the neutral question. Answers whether the service is down, by now. That it refuses us is an
    /// answer: what it refuses has no effect, so the calls themselves may find out.
    pub fn heard(&mut self, heard: Heard, now: Timestamp) -> bool {
        self.asking = false;
        self.advance(now);
        if heard != Heard::Well {
            self.vouched = None;
        }
        let is_over = |until: &Timestamp| left(*until, now).is_none();
        let is_due = matches!(&self.state, State::Closed { unasked, .. } if *unasked >= TRIP);
        match heard {
            Heard::Well | Heard::Somebody | Heard::Stranger => match &self.state {
                // It was asked over one tenant, and others have not failed since: it is, or was, that tenant's.
                State::Open { by_question: true, .. }
                    if heard != Heard::Stranger && self.suspects.len() < TENANTS =>
                {
                    self.suspects.clear();
                    self.state = State::default();
                }
                State::Open { until, pause, tried, .. } if is_over(until) => {
                    self.state = State::probing(now, *pause, tried.clone(), heard == Heard::Well);
                }
                // Of a tenant that has failed while others were answered nothing new is known.
                State::Closed { failures: 1.., .. } if is_due && heard == Heard::Stranger => {
                    self.state = State::open(FIRST_PAUSE, self.broken.clone(), true, now);
                }
                State::Closed { .. } if is_due => self.asked_and_well(),
                State::Open { .. } | State::Closed { .. } | State::Probing { .. } => {}
            },
            Heard::Trouble | Heard::SlowDown(_) => {
                if let Heard::SlowDown(asked) = heard {
                    self.slow_down(asked, now);
                }
                let (pause, tried, by_question) = match &self.state {
                    State::Closed { .. } if is_due => (FIRST_PAUSE, self.broken.clone(), true),
                    State::Open { until, pause, tried, by_question } if is_over(until) => {
                        ((*pause * 2).min(LONGEST_PAUSE), tried.clone(), *by_question)
                    }
                    // Someone was answered meanwhile, or it has opened without the question.
                    State::Open { .. } | State::Closed { .. } | State::Probing { .. } => {
                        return self.is_open();
                    }
                };
                self.state = State::open(pause, tried, by_question, now);
            }
        }
        self.is_open()
    }

    /// It answers what has no effect: what one tenant alone has met is that tenant's. What several have met counts on.
    fn asked_and_well(&mut self) {
        match &mut self.state {
            State::Closed { unasked, tenants, .. } if tenants.len() >= TENANTS => *unasked = 0,
            state => *state = State::default(),
        }
    }

    /// The question that was to be asked has no answer, and whose fault that is nobody knows.
    pub fn not_asked(&mut self) {
        self.asking = false;
    }

    /// How much to take on now. Being asked to slow down stops nothing: what is about other services goes on.
    pub fn flow(&mut self, now: Timestamp) -> Flow {
        self.advance(now);
        match &self.state {
            State::Closed { .. } => Flow::Free,
            State::Open { until, .. } => Flow::Stopped(left(*until, now).unwrap_or(PROBING)),
            State::Probing { under_way, failed, .. } => {
                match PROBES.saturating_sub(under_way.len() + failed.len()) {
                    0 => Flow::Stopped(PROBING),
                    free => Flow::Probing(free),
                }
            }
        }
    }

    /// Is it taken for down?
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    fn answered(&mut self, tenant: &str) {
        self.presumed.clear();
        self.vouched = None;
        self.broken.remove(tenant);
        self.suspects.remove(tenant);
        let suspects = std::mem::take(&mut self.suspects);
        if self.is_open() && self.broken.len() + suspects.len() <= MOST_BROKEN {
            self.broken.extend(suspects);
        }
    }

    fn suspect(&mut self, tenant: &str) {
        if self.suspects.len() <= MOST_TRIED {
            self.suspects.insert(tenant.to_owned());
        }
    }

    fn slow_down(&mut self, asked: Option<Duration>, now: Timestamp) {
        let wait = asked.unwrap_or_else(|| self.longer(now)).min(LONGEST_ASKED);
        self.slow_until = self.slow_until.max(now.checked_add(wait).ok());
    }

    /// How long to leave a service that asks us to slow down and does not say for how long.
    fn longer(&mut self, now: Timestamp) -> Duration {
        // Calls that were under way together are answered alike, and count as one.
        if self.slow_until.is_none_or(|until| until <= now) {
            self.slowed = self.slowed.saturating_add(1);
        }
        let doublings = self.slowed.saturating_sub(1).min(10);
        (SLOW_DOWN * 2_u32.pow(doublings)).min(LONGEST_SLOW_DOWN)
    }

    fn failed(&mut self, tenant: &str, is_unreachable: bool, now: Timestamp) -> bool {
        let is_known = !is_unreachable && !self.is_open() && self.broken.contains(tenant);
        if !is_known {
            self.suspect(tenant);
        }
        match &mut self.state {
            State::Closed { failures, unreachable, tenants, unasked } => {
                *unasked = unasked.saturating_add(1);
                if is_known {
                    return false;
                }
                *failures = failures.saturating_add(1);
                *unreachable += u32::from(is_unreachable);
                if tenants.len() < TENANTS {
                    tenants.insert(tenant.to_owned());
                }
                let of_all = *unreachable >= TRIP || tenants.union(&self.presumed).count() >= TENANTS;
                // One more than those who are presumed to be broken: they were not.
                let is_another = !self.presumed.is_empty() && !self.presumed.contains(tenant);
                let is_enough = *failures >= TRIP || is_another;
                if is_enough && of_all {
                    // Others than the broken ones are asked first.
                    self.open(FIRST_PAUSE, self.broken.clone(), now);
                    return true;
                }
                false
            }
            // Begun before it opened: nothing new.
            State::Open { .. } => true,
            State::Probing { pause, under_way, failed, tried, .. } => {
                under_way.remove(tenant);
                failed.insert(tenant.to_owned());
                if is_unreachable || failed.len() >= PROBES {
                    let pause = (*pause * 2).min(LONGEST_PAUSE);
                    // That nobody is there says nothing of a tenant.
                    let tried = if is_unreachable { BTreeSet::new() } else { both(tried, failed) };
                    self.open(pause, tried, now);
                }
                true
            }
        }
    }

    /// Whether all that fail are so few, and have failed for so long, that it is theirs, now that nobody else has come to be probed.
    fn presumes(&self, now: Timestamp) -> bool {
        let is_long = self.vouched.is_some_and(|(rounds, since)| {
            let lasted = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            rounds >= VOUCHED_ROUNDS && lasted >= VOUCHED_FOR
        });
        is_long && self.suspects.union(&self.presumed).count() <= MOST_PRESUMED
    }

    fn presume_broken(&mut self) {
        self.presumed.append(&mut self.suspects);
        // Those of long ago may never call again.
        if self.broken.len() + self.presumed.len() > MOST_BROKEN {
            self.broken.clear();
        }
        self.broken.extend(self.presumed.iter().cloned());
        self.vouched = None;
        self.state = State::default();
    }

    fn open(&mut self, pause: Duration, tried: BTreeSet<String>, now: Timestamp) {
        self.state = State::open(pause, tried, false, now);
    }

    /// What the time alone changes: a pause ends, and so does a round of probes.
    fn advance(&mut self, now: Timestamp) {
        match &self.state {
            State::Open { until, pause, tried, .. } if self.is_probed(*until, now) => {
                self.state = State::probing(now, *pause, tried.clone(), false);
            }
            // The same tenants can't be asked twice in a round; a round that found too few of them ends by time.
            State::Probing { since, pause, under_way, failed, tried, vouched } => {
                let lasted = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
                let quiet = under_way.is_empty() && lasted >= (*pause).max(HAD_ITS_TURN * 2);
                if quiet && !failed.is_empty() {
                    let (pause, tried) = ((*pause * 2).min(LONGEST_PAUSE), both(tried, failed));
                    if *vouched {
                        let (rounds, since) = self.vouched.unwrap_or((0, *since));
                        self.vouched = Some((rounds.saturating_add(1), since));
                    }
                    if *vouched && self.presumes(now) {
                        self.presume_broken();
                    } else {
                        self.open(pause, tried, now);
                    }
                } else if quiet && !tried.is_empty() {
                    // There is nobody else to ask: all may be asked again.
                    self.state = State::probing(now, *pause, BTreeSet::new(), *vouched);
                } else if lasted >= PROBE_LOST {
                    // Nobody had a reason to call, or the probes were lost: the next call decides.
                    self.state = State::Closed {
                        failures: TRIP - 1,
                        unreachable: TRIP - 1,
                        tenants: std::iter::once(String::new()).collect(),
                        unasked: 0,
                    };
                }
            }
            State::Open { .. } | State::Closed { .. } => {}
        }
    }

    /// Is the pause over, and with it the wait for an answer to the neutral question? That one is lost is no reason to call nobody
    /// for ever.
    fn is_probed(&self, until: Timestamp, now: Timestamp) -> bool {
        let waits = if self.askable { PROBE_LOST } else { Duration::ZERO };
        until.checked_add(waits).is_ok_and(|until| left(until, now).is_none())
    }
}

impl State {
    fn open(pause: Duration, tried: BTreeSet<String>, by_question: bool, now: Timestamp) -> Self {
        let until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
        Self::Open { until, pause, tried, by_question }
    }

    fn probing(since: Timestamp, pause: Duration, tried: BTreeSet<String>, vouched: bool) -> Self {
        let (under_way, failed) = (BTreeSet::new(), BTreeSet::new());
        Self::Probing { since, pause, under_way, failed, tried, vouched }
    }
}

fn both(tried: &BTreeSet<String>, failed: &BTreeSet<String>) -> BTreeSet<String> {
    if tried.len() + failed.len() > MOST_TRIED {
        BTreeSet::new()
    } else {
        tried.union(failed).cloned().collect()
    }
}

/// What is left of the time until then; none when it is over.
fn left(until: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(until.duration_since(now)).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests;
