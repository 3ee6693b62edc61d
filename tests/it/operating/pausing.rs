use tests::program::PATIENCE;
use tokio::time::{Instant, sleep};

use super::*;

#[tokio::test]
async fn a_worker_whose_consumer_someone_has_paused_says_so_and_goes_on_when_it_is_resumed() {
    let mut stage = stage(true).await;
    stage.post(&failed(1)).await;
    let client = async_nats::connect(&stage.nats.url).await.unwrap();
    let pause = async |until: &str| {
        let asked = format!("{{\"pause_until\":\"{until}\"}}");
        client.request("$JS.API.CONSUMER.PAUSE.HOOKS.worker", asked.into()).await.unwrap();
    };
    pause("2100-01-01T00:00:00Z").await;
    // Started meanwhile, it waits.
    stage.start_worker().await;
    let admin = stage.worker().line("admin on ").await;
    let admin = admin.split("admin on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let until_warned = async |wanted: bool| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = tests::stage::client().get(format!("{admin}/readyz")).send().await.unwrap();
            let (status, told) = (ready.status().as_u16(), ready.text().await.unwrap());
            if status == 200 && told.contains("someone has paused") == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{status} {told}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    until_warned(true).await;
    let (code, said, errors) = stage.gluehook(&["setup", "--check"]).await;
    assert!(code == 1 && said.contains("consumer worker is paused for"), "{said}{errors}");
    let (_, said, _) = stage.gluehook(&["doctor", "--offline"]).await;
    assert!(said.contains("consumer worker is paused for"), "{said}");
    assert_eq!(stage.slack.messages().len(), 0);
    pause("2000-01-01T00:00:00Z").await;
    assert!(stage.slack.until(PATIENCE, |slack| slack.messages().len() == 2).await);
    until_warned(false).await;
}
