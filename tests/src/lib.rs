//! What the tests share: real servers and programs, started and stopped as a test likes. It must never skip a test
//! because something is missing: it is fetched, or the test fails and says why.

pub mod chaos;
pub mod ingest;
pub mod nats;
pub mod postgres;
pub mod program;
pub mod stage;
