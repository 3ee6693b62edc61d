mod delivering;
mod letters;
mod publishing;
mod setting_up;

use std::time::Duration;

use async_nats::jetstream::{self, consumer};
use bus::{Args, Bus, Consumer, Delivery, Existing, StreamName, setup};
use bytes::Bytes;
use domain::config::Jetstream;
use domain::envelope::{Envelope, Source};
use domain::names::EventId;
use jiff::Timestamp;
use tests::nats::NatsServer;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

fn event(number: u64) -> Envelope {
    Envelope::unsealed_from_queue(
        EventId::from_text(format!("{number:032x}")),
        "hotglue".to_owned(),
        Source::Hotglue,
        Timestamp::from_microsecond(1_700_000_000_000_000 + i64::try_from(number).unwrap()).unwrap(),
        format!("hooks.hotglue.job.JOB_COMPLETED.tenant-{}", number % 3),
        vec![("content-type".to_owned(), "application/json".to_owned())],
        Bytes::from(format!("{{\"number\":{number}}}\r\n\0")),
    )
}

async fn connect(server: &NatsServer) -> Bus {
    Bus::connect(&Args::for_url(&server.url), "test").await.unwrap()
}

/// A server with its streams, and a connection to it.
async fn set_up() -> (NatsServer, Bus) {
    let server = NatsServer::start().await;
    let bus = connect(&server).await;
    setup(&bus, &Jetstream::default(), Existing::MustMatch).await.unwrap();
    (server, bus)
}

/// NATS without Gluehook in between.
async fn raw(server: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(&server.url).await.unwrap())
}

/// Gives the consumer of `HOOKS` an `ack_wait` that a test can wait for.
async fn shorten_ack_wait(server: &NatsServer, ack_wait: Duration) {
    let raw = raw(server).await;
    let live: consumer::PullConsumer = raw.get_consumer_from_stream("worker", "HOOKS").await.unwrap();
    let config = consumer::Config { ack_wait, ..live.cached_info().config.clone() };
    let config: consumer::pull::Config = consumer::FromConsumer::try_from_consumer_config(config).unwrap();
    raw.create_consumer_on_stream(config, "HOOKS").await.unwrap();
}

/// The next delivery, which must come.
async fn next(consumer: &mut Consumer) -> Delivery {
    let mut batch = timeout(LONG, consumer.next_batch(1)).await.expect("a delivery comes").unwrap();
    batch.pop().unwrap()
}

/// Ends when all that is in `HOOKS` is settled.
async fn nothing_left(bus: &Bus) {
    let consumer = bus.consumer(StreamName::Hooks).await.unwrap();
    let deadline = Instant::now() + LONG;
    loop {
        let pending = consumer.pending().await.unwrap();
        if pending.pending == 0 && pending.in_flight == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "still {pending:?}");
        sleep(Duration::from_millis(5)).await;
    }
}
