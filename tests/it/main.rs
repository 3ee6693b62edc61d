//! Tests against real servers.
#![expect(clippy::unwrap_used, reason = "a helper that can't go on fails the test")]

/// What the queue promises, against a real nats-server.
mod bus_contract;
/// Nothing lost, nothing twice: each kind of trouble for a few seconds, and what is left of the promises then.
mod chaos;
/// The console's pages, over real HTTP.
mod console;
/// What the fuzzer is given to begin with holds in every run.
mod fuzz_corpus;
/// Every answer of ingest over real HTTP, and what of it lands in the queue.
mod ingest_http;
/// What ingest and doctor say of a power cut, by what nats-server's monitoring port tells.
mod ingest_promise;
/// Ingest without a broker: what is answered 2xx while NATS is away, slow, full or wrong arrives once.
mod ingest_spool;
/// Rules that pause when they would touch too many tenants, and schedules that are put back.
mod limits;
/// Several workers share a queue and an event log in Postgres.
mod many_workers;
/// What each NATS user may do, over TLS, with the configuration that ships.
mod nats_users;
/// Repeating and mending.
mod operating;
/// The operator's tool against a running Gluehook.
mod operator;
/// Webhooks that never came, found in hotglue's list of jobs.
mod reconciling;
/// Rules that are checked, explained, tried on the past, and tested with what came in.
mod rehearsal;
/// The rules that ship, from signed webhook to hotglue and Slack.
mod seed_rules;
/// Rules in shadow, and a worker that only observes.
mod shadow;
/// What every event log promises, on `SQLite` and on Postgres.
mod store_contract;
/// Many Slack messages of one kind are told in one, and Slack's limits are kept.
mod storms;
/// The house keeps its own rules.
mod tidy;
/// What was not done, or perhaps done twice, is told as such; a step that can't be carried out leaves those before it alone.
mod told_as_done;
/// Schedules are noted before rules change them, and put back when a person says so.
mod undoing;
/// Everything on one machine, in one command.
mod up;
/// A mistake on the command line is told without the password in it.
mod usage;
/// Workers that die, and what they die over.
mod worker_crashes;
/// More events of one tenant than NATS lets the workers hold: where they wait, and who does not wait for them.
mod worker_flood;
/// What the worker does when things go wrong: outside, inside, and with the rules.
mod worker_flow;
/// What the worker does while hotglue or Slack is down, slow or flooded, and who has to wait for whom.
mod worker_outage;
