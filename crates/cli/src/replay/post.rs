//! `gluehook replay --to URL`: posts recorded events to a developer's machine, as their source did. It only reads the
//! queue: workers, streams and event log do not notice.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bus::Bus;
use bus::replay::Selected;
use domain::config::{Config, SecretRef};
use domain::signature::Proof;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use secrecy::SecretString;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::plan::Plan;
use super::{Args, bar, tell_plan};
use crate::files::Loaded;
use crate::output::{self, count};
use crate::{Common, Misused, files, send};

/// Events that are read ahead.
const AHEAD: usize = 16;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "To a developer's machine")]
pub(super) struct To {
    /// Post the events to this URL, byte for byte with their headers, in place of having them worked on. An address without
    /// a path gets the path of ingest, /hooks/ and the endpoint. Nothing in production notices; no question is asked when
    /// the URL is on this machine
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with_all = ["run", "wait", "detach"])]
    pub(super) to: Option<Url>,

    // Not a doc comment: rustdoc takes file:PATH for a URL.
    #[arg(
        help = "Sign each anew with this secret, env:NAME or file:PATH [default: the signature it came with]"
    )]
    #[arg(long, value_name = "REF", value_parser = send::secret_ref, requires = "to")]
    secret: Option<SecretRef>,

    /// Events that are posted at the same time [default: 1, in the order in which they came]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), requires = "to")]
    concurrency: Option<u16>,

    /// Post so many a second, at most
    #[arg(long, value_name = "N", requires = "to")]
    rate: Option<NonZeroU32>,
}

fn url(text: &str) -> Result<Url, String> {
    match text.parse::<Url>() {
        // It is shown again and again.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("leave user and password out of the URL".to_owned())
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(url),
        _ => Err("write a URL such as http://127.0.0.1:5000/webhook".to_owned()),
    }
}

/// Is it on this machine?
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Where an event is posted to.
fn place(url: &Url, endpoint: &str) -> Url {
    let mut place = url.clone();
    if matches!(url.path(), "" | "/") {
        place.set_path(&format!("/hooks/{endpoint}"));
    }
    place
}

/// What came of posting.
#[derive(Debug, Default)]
struct Posted {
    /// How often each status was answered.
    statuses: BTreeMap<u16, usize>,
    /// No longer in the stream.
    gone: usize,
    /// The sequence at which there was no answer, and why.
    stopped: Option<(u64, anyhow::Error)>,
}

impl Posted {
    fn number(&self) -> usize {
        self.statuses.values().sum()
    }

    fn all_taken(&self) -> bool {
        self.stopped.is_none() && self.statuses.keys().all(|status| (200..300).contains(status))
    }
}

pub(super) async fn carry_out(
    common: &Common,
    bus: &Bus,
    args: &Args,
    url: &Url,
    loaded: &Loaded,
    plan: &Plan,
) -> Result<ExitCode> {
    let secret = args.to.secret.as_ref();
    let secret = secret.map(|reference| files::resolve(".".as_ref(), reference)).transpose();
    let secret = secret.map_err(Misused)?;
    let Some(events) = tell_plan(common, plan)? else { return Ok(ExitCode::FAILURE) };
    if args.dry_run {
        if common.json {
            output::print_json(&plan.report(None, 0, 0))?;
        } else {
            output::note(format!("{} would be posted to {url}", count(events, "event")));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let question = format!("{url} is not on this machine. Post {} there?", count(events, "event"));
    if !is_local(url) && !output::agreed(&question, args.yes)? {
        output::note("nothing was posted");
        return Ok(ExitCode::FAILURE);
    }
    let posting = Posting { http: client(url)?, url, config: &loaded.config, secret: secret.as_ref() };
    let posted = posting.all(bus, plan, &args.to).await;
    tell(common, url, &posted)?;
    match posted.stopped {
        Some((sequence, error)) => Err(error.context(format!(
            "stopped after {} of {events} events; --from-seq {sequence} goes on with the rest",
            posted.statuses.values().sum::<usize>()
        ))),
        None if posted.all_taken() => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::FAILURE),
    }
}

fn tell(common: &Common, url: &Url, posted: &Posted) -> std::io::Result<()> {
    if common.json {
        let stopped_at = posted.stopped.as_ref().map(|(sequence, _)| sequence);
        return output::print_json(&json!({
            "to": url.as_str(),
            "posted": posted.number(),
            "statuses": posted.statuses,
            "gone": posted.gone,
            "stopped_at": stopped_at,
        }));
    }
    output::line(format!("{} posted to {url}", count(posted.number(), "event")))?;
    for (status, times) in &posted.statuses {
        let good = (200..300).contains(status);
        let status = if good { output::green(status) } else { output::red(status) };
        output::line(format!("  {status} {times}×"))?;
    }
    if posted.gone > 0 {
        output::note(format!("{} had left the stream meanwhile", count(posted.gone, "event")));
    }
    Ok(())
}

fn client(url: &Url) -> Result<reqwest::Client> {
    effects::install_crypto();
    let mut client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
        // What was posted here must not turn up elsewhere.
        .redirect(Policy::none());
    if is_local(url) {
        client = client.no_proxy();
    }
    client.build().context("no HTTP client can be built")
}

struct Posting<'a> {
    http: reqwest::Client,
    url: &'a Url,
    config: &'a Config,
    secret: Option<&'a SecretString>,
}

impl Posting<'_> {
    async fn all(&self, bus: &Bus, plan: &Plan, to: &To) -> Posted {
        let bar = bar("posting");
        bar.set_length(plan.items.len().try_into().unwrap_or(u64::MAX));
        let begun = Instant::now();
        let answers = stream::iter(&plan.items)
            .map(|item| async move {
                let read = bus::replay::get(bus, item.sequence).await.context("reading an event");
                read.map_err(|error| (item.sequence, error))
            })
            .buffered(AHEAD)
            .enumerate()
            .map(|(place, selected)| async move {
                let Some(selected) = selected? else { return Ok(None) };
                if let Some(rate) = to.rate {
                    let place = u32::try_from(place).unwrap_or(u32::MAX);
                    sleep_until(begun + Duration::from_secs(1) * place / rate.get()).await;
                }
                self.one(&selected).await.map(Some).map_err(|error| (selected.sequence, error))
            })
            .buffered(to.concurrency.unwrap_or(1).into());
        let mut answers = std::pin::pin!(answers);
        let mut posted = Posted::default();
        loop {
            match answers.try_next().await {
                Ok(Some(Some(status))) => *posted.statuses.entry(status).or_default() += 1,
                Ok(Some(None)) => posted.gone += 1,
                Ok(None) => break,
                Err(stopped) => {
                    posted.stopped = Some(stopped);
                    break;
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        posted
    }

    /// Posts one event; the status of the answer.
    async fn one(&self, selected: &Selected) -> Result<u16> {
        let envelope = &selected.envelope;
        let url = place(self.url, &envelope.endpoint);
        let request =
            self.http.post(url.clone()).headers(self.headers(selected)?).body(envelope.body.clone());
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        let answer =
            answer.with_context(|| format!("{url} does not answer: does your service run there?"))?;
        let status = answer.status().as_u16();
        // The connection is used again only when the answer was read.
        let _body = answer.bytes().await;
        Ok(status)
    }

    /// The headers it came with; with a secret, the proof is a new one.
    fn headers(&self, selected: &Selected) -> Result<HeaderMap> {
        let envelope = &selected.envelope;
        let mut headers = HeaderMap::new();
        for (name, value) in &envelope.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        }
        if let Some(secret) = self.secret {
            let endpoint = self.config.endpoint.iter().find(|endpoint| endpoint.name == envelope.endpoint);
            let proof = endpoint.map_or_else(Proof::hotglue, domain::config::Endpoint::proof);
            if let Some((name, value)) = send::sign(&proof, secret, &envelope.endpoint, &envelope.body)? {
                headers.insert(name.parse::<HeaderName>()?, HeaderValue::from_str(&value)?);
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_this_machine_is_posted_to_without_a_question() {
        for local in ["http://localhost:5000", "http://127.0.0.1/x", "http://[::1]:8080/"] {
            assert!(is_local(&url(local).unwrap()), "{local}");
        }
        for other in ["http://example.com", "https://10.0.0.1", "http://localhost.example.com"] {
            assert!(!is_local(&url(other).unwrap()), "{other}");
        }
        for wrong in ["localhost:5000", "file:///x", "", "http://"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_is_taken_as_it_is_and_none_is_that_of_ingest() {
        let place = |text: &str| place(&url(text).unwrap(), "hotglue").to_string();
        assert_eq!(place("http://127.0.0.1:8080"), "http://127.0.0.1:8080/hooks/hotglue");
        assert_eq!(place("http://127.0.0.1:5000/webhook?a=b"), "http://127.0.0.1:5000/webhook?a=b");
    }
}
