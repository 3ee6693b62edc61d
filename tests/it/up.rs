//! `gluehook up` runs everything on one machine, and leaves nothing running when it is gone.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use tests::program::{PATIENCE, Program, free_ports};
use tests::stage::{client, secrets};

const CONFIG: &str =
    "[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\nsecrets = [\"env:HOTGLUE_WEBHOOK_SECRET\"]\n";

/// Ports of nats-server, ingest, its probes, those of the worker, the console and its probes, which nobody uses right now.
fn six_free_ports() -> Vec<u16> {
    free_ports(6)
}

fn up(home: &Path, ports: &[u16]) -> Program {
    std::fs::write(home.join("gluehook.toml"), CONFIG).unwrap();
    let at = |name: &str| home.join(name).display().to_string();
    let flags = [
        "up".to_owned(),
        format!("--config={}", at("gluehook.toml")),
        format!("--data={}", at("data")),
        format!("--database-url=sqlite://{}", at("gluehook.db")),
        format!("--nats-server={}", tests::nats::program().unwrap().display()),
        format!("--nats-url=nats://127.0.0.1:{}", ports[0]),
        format!("--listen=127.0.0.1:{}", ports[1]),
        format!("--ingest-admin-listen=127.0.0.1:{}", ports[2]),
        format!("--worker-admin-listen=127.0.0.1:{}", ports[3]),
        format!("--console-listen=127.0.0.1:{}", ports[4]),
        format!("--console-admin-listen=127.0.0.1:{}", ports[5]),
    ];
    Program::start("gluehook", &flags, &secrets())
}

async fn until_nobody_listens(ports: &[u16]) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Some(port) = ports.iter().find(|port| TcpStream::connect(("127.0.0.1", **port)).is_ok()) {
        assert!(tokio::time::Instant::now() < deadline, "someone still listens on {port}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn killed_it_leaves_nothing_running_and_the_next_one_starts() {
    let home = tempfile::tempdir().unwrap();
    let ports = six_free_ports();
    let mut first = up(home.path(), &ports);
    first.line("Gluehook is running").await;
    first.kill().await;
    until_nobody_listens(&ports).await;
    let mut next = up(home.path(), &ports);
    next.line("Gluehook is running").await;
    assert!(next.stop().await.success(), "{}", next.log());
    until_nobody_listens(&ports).await;
}

#[tokio::test]
async fn the_console_is_served_and_left_out_where_something_else_listens() {
    let home = tempfile::tempdir().unwrap();
    let ports = six_free_ports();
    let mut running = up(home.path(), &ports);
    running.line("Gluehook is running").await;
    let page = client().get(format!("http://127.0.0.1:{}/", ports[4])).send().await.unwrap();
    assert!(page.status().is_success());
    assert!(running.stop().await.success(), "{}", running.log());

    let taken = TcpListener::bind(("127.0.0.1", ports[4])).unwrap();
    let mut without = up(home.path(), &ports);
    without.line("Gluehook is running").await;
    assert!(without.log().contains("--console-listen"), "{}", without.log());
    let ready = client().get(format!("http://127.0.0.1:{}/readyz", ports[2])).send().await.unwrap();
    assert!(ready.status().is_success(), "webhooks are received all the same");
    drop(taken);
    assert!(without.stop().await.success(), "{}", without.log());
}
