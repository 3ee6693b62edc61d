//! Whether an acknowledged event survives a power cut of nats-server: said as far as it is known.

use serde_json::Value;
use tests::ingest::{Ingest, Setting};
use tests::nats::NatsServer;
use tests::program;

/// What ingest says of a 2xx, and the warnings of its `/readyz`.
async fn said(nats: &NatsServer, monitor: Option<&str>) -> (String, String) {
    let flags: Vec<_> = monitor.map(|url| format!("--nats-monitor-url={url}")).into_iter().collect();
    let ingest = Ingest::with(&nats.url, Setting { flags: &flags, ..Setting::default() }).await;
    assert_eq!(ingest.post(b"{}").await.status, 200);
    let line = ingest.program.line("a 2xx means that").await;
    (line, ingest.until_ready(true).await["warnings"].to_string())
}

async fn doctor(nats: &NatsServer, monitor: &str) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    let flags = [
        "doctor".to_owned(),
        "--offline".to_owned(),
        "--json".to_owned(),
        format!("--config={}", home.path().join("gluehook.toml").display()),
        format!("--nats-url={}", nats.url),
        format!("--nats-monitor-url={monitor}"),
    ];
    let (_, told, errors) = program::run("gluehook", &flags, &[]).await;
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}{errors}"));
    let checks = told["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["what"] == "sync_interval of nats-server").unwrap();
    (check["state"].as_str().unwrap().to_owned(), check["said"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_server_that_syncs_before_it_acknowledges_is_told_apart_from_one_that_does_not() {
    let syncing = NatsServer::start_syncing().await;
    let monitor = syncing.monitor.clone().unwrap();
    let (line, warnings) = said(&syncing, Some(&monitor)).await;
    assert!(line.contains("; that survives a power cut of the server"), "{line}");
    assert!(!warnings.contains("monitoring port"), "{warnings}");
    let (state, told) = doctor(&syncing, &monitor).await;
    assert!(state == "good" && told.starts_with("always"), "{state}: {told}");

    let lazy = NatsServer::start_with(NatsServer::MONITORED).await;
    let monitor = lazy.monitor.clone().unwrap();
    let (line, _) = said(&lazy, Some(&monitor)).await;
    assert!(
        line.contains("does NOT survive a power cut of the server") && line.contains("last 120 s"),
        "{line}"
    );
    let (state, told) = doctor(&lazy, &monitor).await;
    assert!(state == "warning" && told.starts_with("120 s"), "{state}: {told}");

    // What another server tells says nothing of this one.
    let (line, warnings) = said(&lazy, syncing.monitor.as_deref()).await;
    assert!(line.contains("can't be seen") && warnings.contains("another nats-server"), "{line} {warnings}");
}

#[tokio::test]
async fn without_a_monitoring_port_that_answers_nothing_is_claimed_and_events_are_taken() {
    let nats = NatsServer::start().await;
    let (line, warnings) = said(&nats, None).await;
    assert!(line.contains("can't be seen from here (--nats-monitor-url shows it)"), "{line}");
    assert!(!warnings.contains("monitoring port"), "{warnings}");
    // Nobody listens; and someone who is no nats-server.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for monitor in [format!("http://{free}"), nats.url.replace("nats://", "http://")] {
        let (line, warnings) = said(&nats, Some(&monitor)).await;
        assert!(line.contains("can't be seen (nats-server's monitoring port"), "{line}");
        assert!(warnings.contains("does not tell how it syncs"), "{warnings}");
        assert_eq!(doctor(&nats, &monitor).await.0, "warning");
    }
}

/// What compose gives nats-server and ingest, with names and ports of this machine in place of those of its containers.
#[tokio::test]
async fn under_compose_ingest_is_told_that_an_acknowledged_event_survives_a_power_cut() {
    const COMPOSE: &str = include_str!("../../docker-compose.yml");
    const OF_NATS: &str = include_str!("../../deploy/nats-compose.conf");
    for line in [
        "command: [\"--config\", \"/etc/nats/nats-compose.conf\"]",
        "- ./deploy/nats.conf:/etc/nats/nats.conf:ro",
        "- ./deploy/nats-compose.conf:/etc/nats/nats-compose.conf:ro",
        "GLUEHOOK_NATS_MONITOR_URL: http://nats:8222",
    ] {
        assert!(COMPOSE.lines().any(|known| known.trim() == line), "{line}");
    }
    assert!(!COMPOSE.contains("8222:"), "nobody else may see that port");
    let here = |home: &std::path::Path| {
        let included = include_str!("../../deploy/nats.conf")
            .replace("/data", &home.join("store").display().to_string());
        std::fs::write(home.join("included.conf"), included).unwrap();
        assert!(OF_NATS.contains("include nats.conf\n") && OF_NATS.contains("\nhttp: 0.0.0.0:8222\n"));
        OF_NATS
            .replace("include nats.conf", "include included.conf")
            .replace("0.0.0.0:8222", "\"127.0.0.1:-1\"")
    };
    let nats = NatsServer::start_of(here).await;
    let (line, warnings) = said(&nats, nats.monitor.as_deref()).await;
    assert!(line.contains("; that survives a power cut of the server"), "{line}");
    assert!(!warnings.contains("monitoring port"), "{warnings}");
}
