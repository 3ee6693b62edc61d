//! One call and its answer: what hotglue and Slack have in common.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::Value;
use url::{Host, Url};

use crate::classify;
use crate::outcome::EffectError;
use crate::scrub::{self, Scrub};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than the 60 s after which load balancers close idle connections, so that a call seldom meets a dying one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer read, in bytes. API Gateway, in front of hotglue, stops at 10 MB.
const LARGEST_ANSWER: usize = 16 << 20;

/// Most characters of a path that are shown: a tenant's name may be long, and longer when it is encoded.
const LONGEST_PATH: usize = 240;

const USER_AGENT: &str = concat!("gluehook/", env!("CARGO_PKG_VERSION"));

/// Leave to go on with an action that may take several calls. Withdrawn, no further call is made; the answer of one that is under
/// way is still heard. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Leave(Arc<AtomicBool>);

impl Leave {
    /// No further call.
    pub fn withdraw(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Was it withdrawn?
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A service and how to reach it.
#[derive(Clone)]
pub(crate) struct Peer {
    /// For sentences: ``hotglue (environment `x`)``, `Slack`.
    pub(crate) who: String,
    /// Without a slash at the end.
    base: String,
    client: Client,
    timeout: Duration,
    /// All secrets that we hold.
    scrub: Scrub,
    leave: Leave,
}

/// One call. `path` begins with `/` and is percent-encoded already.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a Value>,
}

impl<'a> Call<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, query: &[], body: None }
    }

    pub(crate) fn post(path: &'a str, body: &'a Value) -> Self {
        Self { method: Method::POST, path, query: &[], body: Some(body) }
    }

    /// The call in short, without its body.
    pub(crate) fn label(&self) -> String {
        let mut label = format!("{} {}", self.method, scrub::shortened(self.path, LONGEST_PATH));
        for (i, (name, value)) in self.query.iter().enumerate() {
            let sign = if i == 0 { '?' } else { '&' };
            label.push_str(&format!("{sign}{name}={}", scrub::shortened(value, 80)));
        }
        label
    }

    pub(crate) fn writes(&self) -> bool {
        self.method != Method::GET
    }
}

/// A status and a body, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
    /// `Content-Type` says HTML.
    pub(crate) html: bool,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A page for people: a sign-in, a maintenance notice, a gateway's. Not one that only calls itself so: Slack's incoming
    /// webhooks answer `ok` as `text/html`, and frameworks label an empty or a JSON body so.
    pub(crate) fn is_page(&self) -> bool {
        let text = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body).trim_ascii();
        text.starts_with(b"<")
            || (self.html && !text.is_empty() && !text.eq_ignore_ascii_case(b"ok") && self.json().is_none())
    }

    /// An empty body is null; none when it isn't JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Some(Value::Null);
        }
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// `200 {…}` for a receipt.
    pub(crate) fn short(&self) -> String {
        let body = match self.json() {
            Some(Value::Null) => String::new(),
            Some(json) => scrub::excerpt_of_json(&json),
            None => scrub::excerpt(&self.text()),
        };
        format!("{} {body}", self.status).trim_end().to_owned()
    }
}

impl Peer {
    /// `headers` go with every call; mark secret ones sensitive. `scrub` is taken out of every answer: a service may
    /// echo what it was shown.
    ///
    /// # Errors
    /// A sentence about the base URL, or about this machine's certificates.
    pub(crate) fn new(
        who: String,
        base_url: &str,
        headers: HeaderMap,
        timeout: Duration,
        scrub: Scrub,
    ) -> Result<Self, String> {
        let base = base_url.trim_end_matches('/').to_owned();
        let url = Url::parse(&base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| format!("{who}: base_url must be an address such as https://api.example.com"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(format!(
                "{who}: base_url must have neither a user name nor a query: secrets have their own settings"
            ));
        }
        crate::install_crypto();
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirect would carry the API key to wherever it points.
            .redirect(redirect::Policy::none());
        if url.scheme() == "http" {
            // Spares looking for certificates, which a bare container doesn't have.
            client = client.tls_certs_only([]);
        }
        if is_this_machine(&url) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{who}: no HTTPS client can be made: {cause}; install this machine's CA certificates (package ca-certificates)")
        })?;
        Ok(Self { who, base, client, timeout, scrub, leave: Leave::default() })
    }

    /// The same, for an action that has leave for so long.
    pub(crate) fn while_given(&self, leave: &Leave) -> Self {
        Self { leave: leave.clone(), ..self.clone() }
    }

    /// Where a path is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// An answer of any status; an error only when there was none, or a page in its place.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Answer, EffectError> {
        let answer = self.any(call).await?;
        if answer.is_success() && answer.is_page() {
            return Err(classify::page(&self.who, &call.label()));
        }
        Ok(answer)
    }

    /// Whatever is answered; an error only when nothing was.
    pub(crate) async fn any(&self, call: &Call<'_>) -> Result<Answer, EffectError> {
        if self.leave.is_withdrawn() {
            return Err(classify::withdrawn(&call.label()));
        }
        let url = self.url(call.path);
        let mut request = self.client.request(call.method.clone(), url);
        if !call.query.is_empty() {
            request = request.query(call.query);
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        self.exchange(request, &call.label(), call.writes()).await
    }

    /// Sends and reads to the end.
    async fn exchange(
        &self,
        request: RequestBuilder,
        label: &str,
        write: bool,
    ) -> Result<Answer, EffectError> {
        let unanswered =
            |error: reqwest::Error| classify::unanswered(&error, &self.who, label, write, self.timeout);
        let mut response = request.send().await.map_err(unanswered)?;
        let status = response.status().as_u16();
        let retry_after = classify::retry_after(response.headers());
        let html = classify::is_html(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(EffectError::permanent(format!(
                    "{} answers {label} with more than {} MiB",
                    self.who,
                    LARGEST_ANSWER >> 20
                )));
            }
            body.extend_from_slice(&chunk);
        }
        tracing::debug!(who = self.who, request = label, status, bytes = body.len(), "called");
        // Before anything is cut out of it: half a secret would not be recognised.
        self.scrub.bytes(&mut body);
        Ok(Answer { status, retry_after, body, html })
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the address (an incoming webhook's is a secret) nor the client (its headers).
        f.debug_struct("Peer").field("who", &self.who).finish_non_exhaustive()
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(base: &str) -> Result<Peer, String> {
        Peer::new("x".into(), base, HeaderMap::new(), Duration::from_secs(1), Scrub::default())
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_repeating_it() {
        for wrong in
            ["", "api.hotglue.com", "ftp://x", "https://", "http://jo:hunter2@x", "https://x?key=hunter2"]
        {
            let why = peer(wrong).unwrap_err();
            assert!(why.contains("base_url") && !why.contains("hunter2"), "{why}");
        }
        for right in ["http://127.0.0.1:1/", "https://api.hotglue.com", "http://[::1]:9/prefix"] {
            assert!(peer(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn a_page_is_known_by_its_first_sign_and_not_by_its_label_alone() {
        let is_page = |html, body: &str| {
            Answer { status: 200, retry_after: None, body: body.as_bytes().to_vec(), html }.is_page()
        };
        for body in ["<html>", " \n<!DOCTYPE html>", "\u{feff}<p>"] {
            assert!(is_page(false, body) && is_page(true, body), "{body}");
        }
        assert!(is_page(true, "Please sign in") && !is_page(false, "Please sign in"));
        for body in ["", " ", "ok", "{}", "[]", "null"] {
            assert!(!is_page(true, body) && !is_page(false, body), "{body}: Slack and frameworks answer so");
        }
    }

    #[test]
    fn only_this_machine_goes_round_the_proxy() {
        let near = |url| is_this_machine(&Url::parse(url).unwrap());
        assert!(near("http://127.0.0.1:1") && near("http://[::1]") && near("http://localhost:3"));
        assert!(!near("https://api.hotglue.com") && !near("http://10.0.0.1"));
    }
}
