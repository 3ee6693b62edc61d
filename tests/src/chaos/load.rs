//! What is posted: signed webhooks of many tenants, some that rules act on and some that none does, in shuffled order and
//! now and then a second time.

use std::time::Duration;

use domain::names::{EventId, Identity};
use fastrand::Rng;
use futures_util::{StreamExt as _, stream};
use sandbox::webhook;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::stage::{WEBHOOK_SECRET, client};

/// Events made at once; their order is shuffled.
const WAVE: usize = 12;
/// Requests under way at once.
const AT_ONCE: usize = 8;
/// Between two waves.
const PAUSE: Duration = Duration::from_millis(250);
/// Nobody waits longer for an answer.
const NO_ANSWER: Duration = Duration::from_secs(10);
const TENANTS: usize = 12;

/// What must become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No rule takes it.
    Quiet,
    /// It is told, and the schedule is off.
    Failed,
    /// The schedule is on.
    Completed,
    /// The schedule is on, a job is started, and that is told.
    Start,
    /// It can't be read and ends in the dead letters.
    Poison,
}

/// One event and what was answered to it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Known before anything is posted.
    pub id: String,
    pub kind: Kind,
    pub tenant: String,
    pub job: String,
    /// Place in event time.
    pub at: usize,
    pub body: String,
    /// Answers 2xx.
    pub stored: usize,
    pub refused: usize,
    pub unanswered: usize,
    /// Answers that ought not to be.
    pub complaints: Vec<String>,
}

impl Sent {
    /// The state of the tenant's schedule after this event; none where it says nothing of it.
    #[must_use]
    pub fn schedule(&self) -> Option<bool> {
        match self.kind {
            Kind::Failed => Some(false),
            Kind::Completed | Kind::Start => Some(true),
            Kind::Quiet | Kind::Poison => None,
        }
    }

    /// The status that it reports.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.kind {
            Kind::Failed => "SYNC_FAILED",
            Kind::Completed | Kind::Start => "JOB_COMPLETED",
            Kind::Quiet | Kind::Poison => "SYNC_STARTED",
        }
    }
}

/// Who posts.
#[derive(Debug)]
pub struct Load {
    pub sent: Vec<Sent>,
    url: String,
    http: reqwest::Client,
    dice: Rng,
    again: Vec<usize>,
}

enum Answer {
    Stored(Value),
    Refused,
    Wrong(String),
    None,
}

impl Load {
    #[must_use]
    pub fn new(url: String, seed: u64) -> Self {
        Self { sent: Vec::new(), url, http: client(), dice: Rng::with_seed(seed), again: Vec::new() }
    }

    /// Everyone whom events are about.
    #[must_use]
    pub fn tenants() -> Vec<String> {
        (0..TENANTS).map(|number| format!("t{number}")).collect()
    }

    /// Posts wave after wave until told to stop; one at least.
    pub async fn run(&mut self, stop: &CancellationToken) {
        let mut pace = tokio::time::interval(PAUSE);
        loop {
            pace.tick().await;
            self.wave().await;
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// Some new events and some repeats, in any order.
    pub async fn wave(&mut self) {
        let first = self.sent.len();
        for at in first..first + WAVE {
            let tenant = format!("t{}", self.dice.usize(..TENANTS));
            let kind = match self.dice.u32(..100) {
                0..38 => Kind::Quiet,
                38..62 => Kind::Failed,
                62..80 => Kind::Completed,
                80..97 => Kind::Start,
                _ => Kind::Poison,
            };
            self.sent.push(sent(at, kind, tenant));
        }
        let mut order: Vec<usize> = (first..first + WAVE).chain(self.again.drain(..)).collect();
        self.dice.shuffle(&mut order);
        self.post(&order).await;
        for place in order {
            let odds = if self.sent[place].stored > 0 { 8 } else { 2 };
            if self.dice.usize(..odds) == 0 {
                self.again.push(place);
            }
        }
    }

    /// Makes one event of this kind and posts it; its place in [`Load::sent`].
    pub async fn one(&mut self, kind: Kind, tenant: &str) -> usize {
        let at = self.sent.len();
        self.sent.push(sent(at, kind, tenant.to_owned()));
        self.post(&[at]).await;
        at
    }

    async fn post(&mut self, order: &[usize]) {
        let posts = order.iter().map(|place| {
            let (http, url, body) = (self.http.clone(), self.url.clone(), self.sent[*place].body.clone());
            async move { (*place, post(&http, &url, body).await) }
        });
        let answers: Vec<_> = stream::iter(posts).buffer_unordered(AT_ONCE).collect().await;
        for (place, answer) in answers {
            let sent = &mut self.sent[place];
            match answer {
                Answer::Stored(said) => {
                    sent.stored += 1;
                    if said["id"] != sent.id.as_str() {
                        sent.complaints.push(format!("answered {said}, but its id is {}", sent.id));
                    }
                }
                Answer::Refused => sent.refused += 1,
                Answer::Wrong(why) => {
                    sent.refused += 1;
                    sent.complaints.push(why);
                }
                Answer::None => sent.unanswered += 1,
            }
        }
    }
}

async fn post(http: &reqwest::Client, url: &str, body: String) -> Answer {
    let request = http
        .post(url)
        .timeout(NO_ANSWER)
        .header("content-type", "application/json")
        .header("x-hub-signature", webhook::sign_sha1_hex(WEBHOOK_SECRET, &body))
        .body(body);
    let Ok(response) = request.send().await else { return Answer::None };
    let (status, waits) = (response.status().as_u16(), response.headers().contains_key("retry-after"));
    match status {
        200 => match response.json().await {
            Ok(said) => Answer::Stored(said),
            Err(_) => Answer::None,
        },
        503 if waits => Answer::Refused,
        503 => Answer::Wrong("503 without Retry-After".to_owned()),
        other => Answer::Wrong(format!("{other} for trouble that is not the sender's")),
    }
}

/// An event that was not posted yet.
pub(super) fn sent(at: usize, kind: Kind, tenant: String) -> Sent {
    let job = format!("e{at}");
    let mut sent = Sent {
        id: String::new(),
        kind,
        tenant,
        job,
        at,
        body: String::new(),
        stored: 0,
        refused: 0,
        unanswered: 0,
        complaints: Vec::new(),
    };
    sent.body = if kind == Kind::Poison {
        format!("poison {at}")
    } else {
        let (hour, minute, second) = (at / 3600 % 24, at / 60 % 60, at % 60);
        let day = 1 + at / 86_400;
        webhook::job(|body| {
            body["tenant"] = json!(sent.tenant);
            body["job_id"] = json!(sent.job);
            body["job_name"] = json!(if kind == Kind::Start { "start" } else { "sync" });
            body["status"] = json!(sent.status());
            body["last_updated"] = json!(format!("2024-10-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00"));
        })
    };
    EventId::derive("hotglue", Identity::Body(sent.body.as_bytes())).as_str().clone_into(&mut sent.id);
    sent
}
