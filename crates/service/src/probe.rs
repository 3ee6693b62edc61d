//! What is served on the admin port: `/livez`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use serde_json::json;

/// The media type of the text that prometheus-client writes (`OpenMetrics` 1.0).
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process can do its work, told by its components. Clones are one and the same.
///
/// It is ready when every check holds. A warning is for a person and does not make it unready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Report>>);

#[derive(Debug, Default)]
struct Report {
    checks: BTreeMap<String, Result<(), String>>,
    warnings: BTreeMap<String, String>,
}

impl Readiness {
    /// A process that is not ready before each of `checks` has been [`set`](Self::set) to `Ok`.
    pub fn expecting<const N: usize>(checks: [&str; N]) -> Self {
        let readiness = Self::default();
        for name in checks {
            // Not told: it is how every process begins.
            readiness.report().checks.insert(name.to_owned(), Err("has not reported yet".to_owned()));
        }
        readiness
    }

    /// Sets the check `name`: `Ok`, or the sentence that says what is wrong. The sentence is served to whoever
    /// reaches the admin port: no secrets.
    pub fn set(&self, name: &str, state: Result<(), String>) {
        let before = self.report().checks.insert(name.to_owned(), state.clone());
        // Told once per change, outside the lock.
        match (before, state) {
            (Some(Err(_)), Ok(())) => tracing::info!(check = name, "the check {name} holds"),
            (Some(Err(known)), Err(why)) if known == why => {}
            (_, Err(why)) => tracing::warn!(check = name, ?why, "the check {name} does not hold"),
            _ => {}
        }
    }

    /// As [`set`](Self::set) with what is wrong, unless something is known to be wrong already, which says more.
    pub fn doubt(&self, name: &str, why: &str) {
        let holds = self.report().checks.get(name).is_none_or(Result::is_ok);
        if holds {
            self.set(name, Err(why.to_owned()));
        }
    }

    /// Adds a warning for as long as the process runs.
    pub fn warn(&self, sentence: &str) {
        self.warn_about(sentence, Some(sentence));
    }

    /// Sets (`Some`) or takes back (`None`) the one warning about `topic`.
    pub fn warn_about(&self, topic: &str, sentence: Option<&str>) {
        let mut report = self.report();
        match sentence {
            Some(sentence) => report.warnings.insert(topic.to_owned(), sentence.to_owned()),
            None => report.warnings.remove(topic),
        };
    }

    /// Whether every check holds.
    pub fn is_ready(&self) -> bool {
        self.report().checks.values().all(Result::is_ok)
    }

    /// What `/readyz` answers.
    pub fn to_json(&self) -> serde_json::Value {
        let report = self.report();
        let checks: BTreeMap<_, _> = report
            .checks
            .iter()
            .map(|(name, state)| (name.as_str(), state.as_ref().map_or_else(String::as_str, |()| "ok")))
            .collect();
        let warnings: Vec<_> = report.warnings.values().collect();
        let ready = report.checks.values().all(Result::is_ok);
        json!({ "ready": ready, "checks": checks, "warnings": warnings })
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        // Nothing panics while the lock is held, and half a report would still be a report.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes of the admin port. `/livez` is `200 ok` as long as requests are answered at all; `/readyz` is 200 or
/// 503 with `{"ready":…,"checks":{name: "ok" or what is wrong},"warnings":[…]}`; `/metrics` is `OpenMetrics` text.
pub fn router(registry: Arc<Registry>, readiness: Readiness) -> Router {
    let unknown = || async {
        let error = "the admin port serves /livez, /readyz and /metrics only";
        (StatusCode::NOT_FOUND, Json(json!({ "error": error })))
    };
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(metrics).with_state(registry))
        .fallback(unknown)
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, Json<serde_json::Value>) {
    let report = readiness.to_json();
    let status =
        if report["ready"] == json!(true) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(std::fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::metrics::IngestMetrics;

    async fn ask(readiness: &Readiness, path: &str) -> (StatusCode, String, String) {
        let mut registry = Registry::default();
        IngestMetrics::register(&mut registry);
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(Arc::new(registry), readiness.clone()).oneshot(request).await.unwrap();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_process_lives_although_it_is_not_ready() {
        let readiness = Readiness::expecting(["nats"]);
        assert_eq!(ask(&readiness, "/livez").await.2, "ok");
        assert_eq!(ask(&readiness, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn ready_when_every_check_holds_and_unready_again_with_the_reason() {
        let readiness = Readiness::expecting(["nats", "database"]);
        readiness.set("nats", Ok(()));
        assert!(!readiness.is_ready());
        readiness.set("database", Ok(()));
        assert!(readiness.is_ready());
        assert_eq!(ask(&readiness, "/readyz").await.0, StatusCode::OK);

        readiness.set("nats", Err("the broker is away".to_owned()));
        let (status, kind, body) = ask(&readiness, "/readyz").await;
        assert_eq!((status, kind.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "application/json"));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = json!({"ready": false, "checks": {"nats": "the broker is away", "database": "ok"}, "warnings": []});
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn a_warning_is_told_once_and_does_not_make_it_unready() {
        let readiness = Readiness::default();
        readiness.warn("endpoint github is not verified");
        readiness.warn("endpoint github is not verified");
        readiness.warn_about("rules", Some("the new rulebook is bad; the old one is used"));
        assert!(readiness.is_ready());
        let told = readiness.to_json()["warnings"].as_array().unwrap().len();
        assert_eq!(told, 2);
        readiness.warn_about("rules", None);
        assert_eq!(readiness.to_json()["warnings"], json!(["endpoint github is not verified"]));
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let (status, kind, body) = ask(&Readiness::default(), "/metrics").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, OPENMETRICS));
        assert!(body.contains("# TYPE gluehook_publish_seconds histogram"), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
    }

    #[tokio::test]
    async fn an_unknown_path_says_which_are_known() {
        let (status, _, body) = ask(&Readiness::default(), "/health").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("/readyz"), "{body}");
    }
}
