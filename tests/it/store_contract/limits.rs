//! A rule with a limit pauses before it touches one tenant too many, and what is held waits for a person.

use std::time::Duration;

use domain::action::Action;
use domain::journal::{Before, Brake, Claim, Filter, Outcome, Paused, StepEnd, StepState, Turn, Verdicts};
use domain::plan::{Decision, LIVE, Step, StepKey};
use domain::rulebook::Limit;
use jiff::Timestamp;
use store::Store;

use super::samples::{arrival, at, decision, id, switch_off, tell};

const LEASE: Duration = Duration::from_secs(60);

fn limit(tenants: u32) -> Vec<(String, Limit)> {
    vec![("rule".to_owned(), Limit { tenants, per: Duration::from_secs(600) })]
}

/// Event `number` of a tenant, decided in that second by a rule with this limit.
async fn touch(
    store: &Store,
    number: u64,
    tenant: &str,
    second: i64,
    limits: &[(String, Limit)],
) -> Vec<StepKey> {
    let actions = [switch_off(tenant), tell(tenant)];
    let decision = Decision { decided_at: at(second), ..decision(number, LIVE, &actions) };
    touch_by(store, tenant, limits, decision).await
}

async fn touch_by(
    store: &Store,
    tenant: &str,
    limits: &[(String, Limit)],
    decision: Decision,
) -> Vec<StepKey> {
    let number = (1..1000).find(|number| id(*number) == decision.event).unwrap();
    let mut arrival = arrival(number);
    tenant.clone_into(&mut arrival.event.tenant);
    store.remember(&arrival, &decision.run).await.unwrap();
    let brake = Brake::On { tenant, limits };
    let verdicts = Verdicts { decision: &decision, scope: "e/f/t", occurred_at: decision.decided_at, brake };
    store.record_decision(verdicts).await.unwrap().unwrap();
    decision.steps.into_iter().map(|step| step.key).collect()
}

/// States of the planned steps, without the message about a pause.
async fn states(store: &Store, number: u64) -> Vec<StepState> {
    let steps = store.steps_of(&id(number), LIVE).await.unwrap();
    steps.into_iter().filter(|step| !is_alert(&step.step)).map(|step| step.state).collect()
}

fn is_alert(step: &Step) -> bool {
    matches!(&step.action, Action::Slack { text, .. } if text.contains("gluehook rules resume"))
}

async fn paused(store: &Store) -> Vec<Paused> {
    store.paused().await.unwrap()
}

async fn claim(store: &Store, step: &StepKey, second: i64) -> Claim {
    store.claim(step, None, "w", at(second), LEASE).await.unwrap()
}

const HELD: [StepState; 2] = [StepState::Held; 2];
const PENDING: [StepState; 2] = [StepState::Pending; 2];

pub(super) async fn tenant_that_is_one_too_many_pauses_the_rule(store: &Store) {
    let limits = limit(2);
    touch(store, 1, "a", 0, &limits).await;
    touch(store, 2, "b", 10, &limits).await;
    touch(store, 3, "a", 20, &limits).await;
    assert!(paused(store).await.is_empty(), "a tenant that was touched before adds nothing");
    let steps = touch(store, 4, "c", 30, &limits).await;
    assert_eq!(states(store, 4).await, HELD);
    assert_eq!(claim(store, &steps[0], 31).await, Claim::Held);
    touch(store, 5, "a", 40, &limits).await;
    assert_eq!(states(store, 5).await, HELD, "from now on it is held for everyone");
    assert_eq!((states(store, 1).await, states(store, 3).await), (PENDING.to_vec(), PENDING.to_vec()));

    let all = paused(store).await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        all[0],
        Paused {
            rule: "rule".to_owned(),
            since: Some(at(30)),
            limit_tenants: Some(2),
            limit_seconds: Some(600),
            alert: Some(StepState::Pending),
            held_events: 2,
            held_tenants: 2,
            held_steps: 4,
        }
    );
    let held = store.held("rule").await.unwrap();
    assert_eq!(held.len(), 4);
    assert_eq!((&held[0].event, held[0].tenant.as_str(), held[0].released), (&id(4), "c", false));
    assert!(store.held("other").await.unwrap().is_empty());
}

pub(super) async fn tenants_are_counted_within_the_time_only(store: &Store) {
    let limits = limit(1);
    touch(store, 1, "a", 0, &limits).await;
    touch(store, 2, "b", 600, &limits).await;
    assert!(paused(store).await.is_empty());
    touch(store, 3, "a", 1199, &limits).await;
    assert_eq!(paused(store).await.len(), 1);
}

pub(super) async fn pause_outlives_its_limit_and_holds_no_other_rule(store: &Store) {
    touch(store, 1, "a", 0, &limit(1)).await;
    touch(store, 2, "b", 1, &limit(1)).await;
    touch(store, 3, "a", 2, &[]).await;
    assert_eq!(states(store, 3).await, HELD, "the limit was taken out of the rulebook");
    let mut other = decision(4, LIVE, &[tell("x"), tell("y")]);
    for step in &mut other.steps {
        step.rule = "other".to_owned();
        step.key = StepKey::new(&id(4), LIVE, "other", &step.action);
    }
    touch_by(store, "z", &limit(1), other).await;
    assert_eq!(states(store, 4).await, PENDING);
    // A redelivery finds its decision as it was, and counts nothing.
    touch(store, 1, "a", 5, &limit(1)).await;
    assert_eq!(states(store, 1).await, PENDING);
}

pub(super) async fn of_many_tenants_at_once_no_more_than_the_limit_get_through(store: &Store) {
    let mut going = Vec::new();
    for number in 1..=30_u64 {
        let store = store.clone();
        going.push(tokio::spawn(async move {
            touch(&store, number, &format!("t{number}"), 0, &limit(10)).await;
        }));
    }
    for going in going {
        going.await.unwrap();
    }
    let mut free = 0;
    for number in 1..=30 {
        let states = states(store, number).await;
        assert!(states == PENDING || states == HELD, "{states:?}");
        free += u32::from(states == PENDING);
    }
    assert_eq!(free, 10);
    let paused = paused(store).await;
    assert_eq!((paused.len(), paused[0].held_events, paused[0].held_tenants), (1, 20, 20));
    assert_eq!(store.alerts().await.unwrap().len(), 1, "one message for one pause");
}

pub(super) async fn message_about_a_pause_is_a_step_like_any_other(store: &Store) {
    touch(store, 1, "a", 0, &limit(1)).await;
    touch(store, 2, "b", 1, &limit(1)).await;
    let alerts = store.alerts().await.unwrap();
    let [(step, tenant)] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert!(is_alert(step) && tenant == "b", "{alerts:?}");
    assert_eq!(claim(store, &step.key, 2).await, Claim::Mine { begun: 0 });
    assert!(matches!(claim(store, &step.key, 3).await, Claim::Busy { .. }));
    let end = StepEnd::Done { request: "chat.postMessage".to_owned(), answer: "ok".to_owned() };
    store.settle(&step.key, None, "w", &end, at(4)).await.unwrap();
    assert!(store.alerts().await.unwrap().is_empty());
    assert_eq!(paused(store).await[0].alert, Some(StepState::Done));

    // The next pause has a message of its own; it is not sent once the pause is over.
    store.drop_held("rule", "dropped", at(5)).await.unwrap();
    touch(store, 3, "a", 6, &limit(1)).await;
    touch(store, 4, "b", 7, &limit(1)).await;
    let next = store.alerts().await.unwrap();
    assert_eq!(next.len(), 1);
    store.release("rule", at(8)).await.unwrap();
    assert!(store.alerts().await.unwrap().is_empty());
    assert_eq!(claim(store, &next[0].0.key, 9).await, Claim::Settled(StepState::Dropped));
}

pub(super) async fn released_step_stays_held_until_it_is_claimed(store: &Store) {
    let limits = limit(1);
    touch(store, 1, "a", 0, &limits).await;
    let steps = touch(store, 2, "b", 1, &limits).await;
    store.attempted(&id(2), LIVE, "w", Outcome::Held, Some("paused"), at(2)).await.unwrap();
    assert_eq!(store.release("rule", at(3)).await.unwrap(), 2);
    assert_eq!(states(store, 2).await, HELD, "until a worker takes it up, nobody loses sight of it");
    let left = paused(store).await;
    assert_eq!((left.len(), left[0].since, left[0].held_steps), (1, None, 2));
    assert!(store.held("rule").await.unwrap().iter().all(|step| step.released));
    assert_eq!(store.release("rule", at(4)).await.unwrap(), 0, "once more changes nothing");

    // Tenants are counted from none.
    touch(store, 3, "c", 5, &limits).await;
    assert_eq!(states(store, 3).await, PENDING);
    // A new pause does not hold what a person has released.
    touch(store, 4, "d", 6, &limits).await;
    assert_eq!(states(store, 4).await, HELD);
    let turn = Turn::of(&switch_off("b"), at(2));
    assert_eq!(
        store.claim(&steps[0], turn.as_ref(), "w", at(7), LEASE).await.unwrap(),
        Claim::Mine { begun: 0 }
    );
    // Also one that a newer event has made pointless is settled.
    store.settle(&steps[1], None, "w", &StepEnd::Superseded { why: "late".to_owned() }, at(8)).await.unwrap();
    assert_eq!(states(store, 2).await, [StepState::Claimed, StepState::Superseded]);
}

pub(super) async fn dropped_step_is_settled_for_good(store: &Store) {
    let limits = limit(1);
    touch(store, 1, "a", 0, &limits).await;
    let steps = touch(store, 2, "b", 1, &limits).await;
    store.attempted(&id(2), LIVE, "w", Outcome::Held, Some("paused"), at(2)).await.unwrap();
    let held = Filter { outcome: Some(Outcome::Held), ..Filter::default() };
    assert_eq!(store.events(&held, 10).await.unwrap().len(), 1);
    assert_eq!(store.drop_held("rule", "dropped by me", at(3)).await.unwrap(), 2);
    assert!(paused(store).await.is_empty());
    assert_eq!(claim(store, &steps[0], 4).await, Claim::Settled(StepState::Dropped));
    let record = store.event(id(2).as_str()).await.unwrap().unwrap();
    let dropped = (Outcome::Dropped, Some("dropped by me".to_owned()));
    assert_eq!((record.row.outcome, record.row.why), dropped);
    assert_eq!(store.undone().await.unwrap().len(), 3, "two steps, and the message about the pause");
    let step = record.steps.iter().find(|step| step.step.key == steps[0]).unwrap();
    assert_eq!((step.error.as_deref(), step.changed_at), (Some("dropped by me"), at(3)));
    assert_eq!(store.reopen(&id(2), LIVE, at(5)).await.unwrap(), 0, "sent back, it is not done either");
    // A worker that was late to say so does not make it held again.
    store.attempted(&id(2), LIVE, "w", Outcome::Held, Some("paused"), at(6)).await.unwrap();
    let record = store.event(id(2).as_str()).await.unwrap().unwrap();
    assert_eq!((record.row.outcome, record.row.why), dropped);
    touch(store, 3, "c", 7, &limits).await;
    assert_eq!(states(store, 3).await, PENDING, "the rule acts again");
}

pub(super) async fn held_event_is_kept_however_old_it_is(store: &Store) {
    touch(store, 1, "a", 0, &limit(1)).await;
    touch(store, 2, "b", 1, &limit(1)).await;
    store.attempted(&id(2), LIVE, "w", Outcome::Held, None, at(2)).await.unwrap();
    while store.forget_before(at(100_000), 10).await.unwrap() > 0 {}
    assert_eq!(store.held("rule").await.unwrap().len(), 2);
    assert_eq!(paused(store).await.len(), 1);
}

pub(super) async fn schedule_is_remembered_as_it_was_before_the_first_change(store: &Store) {
    let steps = touch(store, 1, "a", 0, &[]).await;
    let action = switch_off("a");
    let turn = Turn::of(&action, at(0));
    let was = |state: &str| Before::Schedule { expression: "cron(1)".to_owned(), state: state.to_owned() };
    let claimed =
        |second: i64| store.claim(&steps[0], turn.as_ref(), "w", at(second), Duration::from_secs(1));
    claimed(1).await.unwrap();
    assert_eq!(store.before(&steps[0]).await.unwrap(), None);
    store.note_before(&steps[0], &was("ENABLED")).await.unwrap();
    assert_eq!(store.before(&steps[0]).await.unwrap(), Some(was("ENABLED")));
    let uncertain = StepEnd::Again { why: "timeout".to_owned(), uncertain: true };
    store.settle(&steps[0], turn.as_ref(), "w", &uncertain, at(2)).await.unwrap();
    claimed(10).await.unwrap();
    store.note_before(&steps[0], &was("DISABLED")).await.unwrap();
    let none = store.schedule_changes("rule", at(0), at(99)).await.unwrap();
    assert!(none.is_empty(), "it is not done: {none:?}");
    let done = StepEnd::Done { request: "PUT".to_owned(), answer: "200".to_owned() };
    store.settle(&steps[0], turn.as_ref(), "w", &done, at(11)).await.unwrap();

    let changes = store.schedule_changes("rule", at(11), at(12)).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].before, Some(was("ENABLED")), "the attempt without an answer may have changed it");
    assert_eq!((changes[0].event.clone(), changes[0].newest.clone()), (id(1), Some(id(1))));
    for (rule, since, until) in [("rule", 12, 99), ("rule", 0, 11), ("other", 0, 99)] {
        assert!(store.schedule_changes(rule, at(since), at(until)).await.unwrap().is_empty());
    }
    assert!(store.schedule_changes("rule", Timestamp::MIN, Timestamp::MAX).await.unwrap().len() == 1);
    let record = store.steps_of(&id(1), LIVE).await.unwrap().remove(0);
    assert_eq!(record.before, Some(was("ENABLED")));
}

pub(super) async fn decision_of_a_person_is_not_held_back(store: &Store) {
    touch(store, 1, "a", 0, &limit(1)).await;
    touch(store, 2, "b", 1, &limit(1)).await;
    let before = store.event(id(1).as_str()).await.unwrap().unwrap().row.rules;
    let decision = decision(1, "undo-1", &[switch_off("a")]);
    let verdicts = Verdicts { decision: &decision, scope: "", occurred_at: at(0), brake: Brake::Off };
    store.record_decision(verdicts).await.unwrap().unwrap();
    assert_eq!(claim(store, &decision.steps[0].key, 9).await, Claim::Mine { begun: 0 });
    assert_eq!(store.event(id(1).as_str()).await.unwrap().unwrap().row.rules, before);
}

pub(super) async fn held_step_gives_way_to_what_its_rule_decides_anew(store: &Store) {
    let limits = limit(1);
    touch(store, 1, "a", 0, &limits).await;
    let first = touch(store, 2, "b", 1, &limits).await;
    let others = touch(store, 3, "c", 2, &limits).await;
    let anew = Decision { decided_at: at(3), ..decision(2, "replay", &[tell("in other words")]) };
    let second = touch_by(store, "b", &limits, anew).await;
    assert_eq!(states(store, 2).await, [StepState::Superseded; 2]);
    assert_eq!(states(store, 3).await, HELD, "that of another event waits");
    let steps = store.steps_of(&id(2), LIVE).await.unwrap();
    let said = steps.iter().find(|step| step.step.key == first[0]).unwrap().error.clone();
    assert!(said.is_some_and(|said| said.contains("anew, in run replay")));
    let held: Vec<_> = store.held("rule").await.unwrap().into_iter().map(|step| step.key).collect();
    assert_eq!(held, [&others[..], &second[..]].concat());
    // Released and not taken up, it gives way to one that is done at once.
    store.release("rule", at(4)).await.unwrap();
    let again = Decision { decided_at: at(5), ..decision(2, "again", &[tell("once more")]) };
    let third = touch_by(store, "b", &limits, again).await;
    assert_eq!(claim(store, &second[0], 6).await, Claim::Settled(StepState::Superseded));
    assert_eq!(claim(store, &third[0], 6).await, Claim::Mine { begun: 0 });
}
