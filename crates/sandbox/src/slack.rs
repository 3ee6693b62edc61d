//! A double of the two ways to tell Slack something: `POST /api/chat.postMessage` (and `chat.update`) with a bot token, and incoming
//! webhooks under `/services/`.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::call::Call;
use crate::door::Door;
use crate::fault::Fault;
use crate::http::{self, Incoming, Outcome, Reply, Server};

/// A message that Slack shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The channel as it was asked for (`#hotglue-webhooks`); the path of an incoming webhook.
    pub channel: String,
    /// The text; empty when only blocks or attachments were sent.
    pub text: String,
    /// Slack's id of a message in a channel; counted here, not read from a clock.
    pub ts: String,
    /// How often it was updated.
    pub updates: usize,
}

#[derive(Debug)]
struct Inner {
    door: Door,
    token: String,
    /// Empty: every channel exists.
    channels: BTreeSet<String>,
    messages: Vec<Message>,
}

/// The double. Clones share one model.
#[derive(Debug, Clone)]
pub struct Slack {
    inner: Arc<Mutex<Inner>>,
    moved: Arc<Notify>,
}

impl Slack {
    /// A Slack that takes this bot token and knows every channel.
    #[must_use]
    pub fn new(token: &str) -> Self {
        let inner = Inner {
            door: Door::default(),
            token: token.into(),
            channels: BTreeSet::new(),
            messages: Vec::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), moved: Arc::default() }
    }

    /// From now on only these channels exist, the rest is `channel_not_found`. None at all: every channel exists.
    pub fn only_channels(&self, channels: &[&str]) {
        self.lock().channels = channels.iter().map(|&channel| channel.to_owned()).collect();
    }

    /// The next call goes wrong like this.
    pub fn next(&self, fault: Fault) {
        self.lock().door.faults.next(fault);
    }

    /// The next call with this method whose path contains `path_part` goes wrong like this.
    pub fn next_on(&self, method: &str, path_part: &str, fault: Fault) {
        self.lock().door.faults.next_on(method, path_part, fault);
    }

    /// Every `n`-th call goes wrong like this; `every(1, …)` is all of them.
    pub fn every(&self, n: usize, fault: Fault) {
        self.lock().door.faults.every(n, fault);
    }

    /// Every `n`-th call with this method whose path contains `path_part` goes wrong like this.
    pub fn every_on(&self, n: usize, method: &str, path_part: &str, fault: Fault) {
        self.lock().door.faults.every_on(n, method, path_part, fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.lock().door.faults.clear();
    }

    /// How many faults ordered by `next` and `next_on` no call has met yet.
    #[must_use]
    pub fn faults_waiting(&self) -> usize {
        self.lock().door.faults.waiting()
    }

    /// What Slack shows, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.lock().messages.clone()
    }

    /// Texts of the messages, oldest first.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.lock().messages.iter().map(|message| message.text.clone()).collect()
    }

    /// Every request received, in order, the failed ones too.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().door.calls.clone()
    }

    /// Waits until `condition` holds, looking after every call; false when it doesn't within `limit`.
    pub async fn until(&self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        crate::door::until(&self.moved, limit, || condition(self)).await
    }

    /// Serves the double on a bound listener. Must be called inside a tokio runtime.
    #[must_use]
    pub fn serve(&self, listener: TcpListener) -> Server {
        let double = self.clone();
        http::serve(listener, move |request| double.handle(request))
    }

    /// Serves the double on a free port of 127.0.0.1.
    pub async fn start(&self) -> Server {
        self.serve(http::free_listener().await)
    }

    fn handle(&self, request: &Incoming) -> Outcome {
        if request.path == "/_sandbox/messages" {
            return Reply::json(200, &json!(self.messages())).into();
        }
        let outcome = {
            let mut inner = self.lock();
            let Inner { door, token, channels, messages } = &mut *inner;
            door.pass(request, |_| answer(request, token, channels, messages))
        };
        self.moved.notify_waiters();
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked while it held the model has failed already; the model itself is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(
    request: &Incoming,
    token: &str,
    channels: &BTreeSet<String>,
    messages: &mut Vec<Message>,
) -> Reply {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), &segments[..]) {
        ("POST", ["api", method]) => {
            if let Some(error) = auth_error(request, token) {
                return not_ok(error);
            }
            match *method {
                "chat.postMessage" => post_message(request, channels, messages),
                "chat.update" => update(request, messages),
                "auth.test" => Reply::json(200, &json!({"ok": true, "team": "sandbox", "user": "gluehook"})),
                _ => not_ok("unknown_method"),
            }
        }
        ("POST", ["services", _, ..]) => incoming_webhook(request, messages),
        _ => Reply::text(404, "not_found"),
    }
}

fn auth_error(request: &Incoming, token: &str) -> Option<&'static str> {
    match request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        None => Some("not_authed"),
        Some(given) if given != token => Some("invalid_auth"),
        Some(_) => None,
    }
}

fn post_message(request: &Incoming, channels: &BTreeSet<String>, messages: &mut Vec<Message>) -> Reply {
    let asked = match request.json() {
        None => return not_ok("invalid_json"),
        Some(Value::Object(asked)) => asked,
        Some(_) => return not_ok("json_not_object"),
    };
    let Some(channel) = asked.get("channel").and_then(Value::as_str).filter(|channel| !channel.is_empty())
    else {
        return not_ok("channel_not_found");
    };
    if !channels.is_empty() && !channels.contains(channel) {
        return not_ok("channel_not_found");
    }
    let Some(text) = text_of(&asked) else { return not_ok("no_text") };
    let message = keep(channel, text, messages);
    Reply::json(
        200,
        &json!({"ok": true, "channel": channel_id(channel), "ts": message.ts, "message": {"text": message.text}}),
    )
}

/// The channel must be the id that the post was answered with: Slack takes no name here.
fn update(request: &Incoming, messages: &mut [Message]) -> Reply {
    let Some(Value::Object(asked)) = request.json() else { return not_ok("invalid_json") };
    let (Some(channel), Some(ts)) =
        (asked.get("channel").and_then(Value::as_str), asked.get("ts").and_then(Value::as_str))
    else {
        return not_ok("message_not_found");
    };
    let Some(text) = text_of(&asked) else { return not_ok("no_text") };
    let known = messages.iter_mut().find(|message| message.ts == ts);
    let Some(message) = known else { return not_ok("message_not_found") };
    if channel_id(&message.channel) != channel {
        return not_ok("channel_not_found");
    }
    message.text = text;
    message.updates += 1;
    Reply::json(200, &json!({"ok": true, "channel": channel, "ts": ts, "text": message.text}))
}

fn incoming_webhook(request: &Incoming, messages: &mut Vec<Message>) -> Reply {
    let Some(Value::Object(asked)) = request.json() else { return Reply::text(400, "invalid_payload") };
    let Some(text) = text_of(&asked) else { return Reply::text(400, "no_text") };
    keep(&request.path, text, messages);
    Reply::text(200, "ok")
}

/// The text; empty when blocks or attachments stand in for it; `None` when there is nothing to show.
fn text_of(asked: &serde_json::Map<String, Value>) -> Option<String> {
    let text = asked.get("text").and_then(Value::as_str).filter(|text| !text.is_empty());
    let rich = asked.contains_key("blocks") || asked.contains_key("attachments");
    text.map(str::to_owned).or_else(|| rich.then(String::new))
}

fn keep(channel: &str, text: String, messages: &mut Vec<Message>) -> Message {
    let ts = format!("1728288000.{:06}", messages.len() + 1);
    let message = Message { channel: channel.into(), text, ts, updates: 0 };
    messages.push(message.clone());
    message
}

/// Ids stay; a name gets an id of the usual look that depends on the name alone.
fn channel_id(channel: &str) -> String {
    let looks_like_id = channel.len() >= 9
        && channel.starts_with(['C', 'G', 'D'])
        && channel.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if looks_like_id {
        return channel.to_owned();
    }
    let hash = channel.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("C{:010X}", hash >> 24)
}

fn not_ok(error: &str) -> Reply {
    Reply::json(200, &json!({"ok": false, "error": error}))
}
