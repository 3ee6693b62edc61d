//! The templates of the pages, compiled in.

use anyhow::{Context as _, Result};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// In each name `.html` says that what is filled in is escaped.
const TEMPLATES: &[(&str, &str)] = &[
    ("base.html", include_str!("templates/base.html")),
    ("event.html", include_str!("templates/event.html")),
    ("events.html", include_str!("templates/events.html")),
    ("macros.html", include_str!("templates/macros.html")),
    ("overview.html", include_str!("templates/overview.html")),
    ("problem.html", include_str!("templates/problem.html")),
    ("rules.html", include_str!("templates/rules.html")),
    ("tenant.html", include_str!("templates/tenant.html")),
    ("tenants.html", include_str!("templates/tenants.html")),
];

#[derive(Debug)]
pub(super) struct View(Environment<'static>);

impl View {
    /// # Errors
    /// A template is wrong, which a test would find.
    pub(super) fn new() -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Besides what HTML wants escaped, what a path wants.
        environment.add_filter("segment", |text: String| {
            percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string()
        });
        for (name, text) in TEMPLATES {
            environment.add_template(name, text).with_context(|| format!("the template {name}"))?;
        }
        Ok(Self(environment))
    }

    /// A page of that status; what can't be filled in is a bug, and told as one.
    pub(super) fn page<T: Serialize>(&self, status: StatusCode, name: &str, values: &T) -> Response {
        let values = minijinja::Value::from(minijinja::value::Serde(values));
        let filled = self.0.get_template(name).and_then(|template| template.render(values));
        match filled {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, name, "a page can't be filled in: this is a bug in Gluehook");
                (StatusCode::INTERNAL_SERVER_ERROR, "this page can't be shown: the log says why\n")
                    .into_response()
            }
        }
    }

    /// A page with a sentence that says what is wrong.
    pub(super) fn problem(&self, status: StatusCode, sentence: &str) -> Response {
        self.page(status, "problem.html", &serde_json::json!({"title": "Gluehook", "sentence": sentence}))
    }
}
