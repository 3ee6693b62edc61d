//! Slack: `chat.postMessage` and `chat.update` with a bot token, or an incoming webhook. Neither has an idempotency key, so a post whose
//! answer was lost is an uncertain one.

use std::time::Duration;

use domain::breaker::{Heard, Sign};
use domain::config::Slack as Settings;
use domain::journal::Message;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::classify;
use crate::http::{Answer, Call, Peer};
use crate::outcome::{EffectError, Receipt, Told};
use crate::request::Request;
use crate::scrub::{self, Scrub};

/// Slack cuts at 40,000 characters; the rest is room for our note.
const LONGEST_TEXT: usize = 39_000;

const POST_MESSAGE: &str = "/api/chat.postMessage";
const UPDATE: &str = "/api/chat.update";
const AUTH_TEST: &str = "/api/auth.test";

/// How messages reach Slack.
#[derive(Debug, Clone)]
pub(crate) struct Slack {
    peer: Peer,
    way: Way,
}

/// The secret that lets us in.
#[derive(Debug)]
pub(crate) enum Door {
    Token(SecretString),
    /// The whole address is secret.
    Webhook(SecretString),
}

#[derive(Debug, Clone)]
enum Way {
    /// Channel unless the action names one.
    Token { channel: Option<String> },
    /// The peer's address is the webhook; its channel is fixed.
    Webhook,
}

impl Slack {
    pub(crate) fn new(settings: &Settings, door: &Door, scrub: Scrub) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        let (base, way) = match door {
            Door::Token(token) => {
                let mut token = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                    .map_err(|_| "Slack: the token has characters that no header can carry".to_owned())?;
                token.set_sensitive(true);
                headers.insert(AUTHORIZATION, token);
                let base = settings.base_url.trim_end_matches('/');
                let way = Way::Token { channel: settings.channel.clone() };
                (base.strip_suffix("/api").unwrap_or(base), way)
            }
            Door::Webhook(url) => (url.expose_secret().trim(), Way::Webhook),
        };
        let peer = Peer::new("Slack".to_owned(), base, headers, settings.timeout, scrub);
        let peer = peer.map_err(|why| match door {
            Door::Webhook(_) => why.replace("base_url", "webhook_url"),
            Door::Token(_) => why,
        })?;
        Ok(Self { peer, way })
    }

    /// The call that posts a text, which is free of secrets already. Pure.
    pub(crate) fn request(&self, channel: Option<&str>, text: &str) -> Result<Request, EffectError> {
        let text = cut(text);
        let (path, body) = match &self.way {
            Way::Token { channel: configured } => {
                let channel = channel.or(configured.as_deref()).filter(|channel| !channel.is_empty());
                let channel = channel.ok_or_else(|| {
                    EffectError::permanent(
                        "no channel for this Slack message: set `channel` in [slack] or in the rule",
                    )
                })?;
                (POST_MESSAGE, json!({"channel": channel, "text": text, "unfurl_links": false}))
            }
            Way::Webhook => ("", json!({"text": text})),
        };
        Ok(Request { method: Method::POST, path: path.to_owned(), body })
    }

    /// Where a path is; not of an incoming webhook, whose address is a secret.
    pub(crate) fn url(&self, path: &str) -> String {
        match self.way {
            Way::Token { .. } => self.peer.url(path),
            Way::Webhook => "the incoming webhook".to_owned(),
        }
    }

    pub(crate) async fn post(&self, request: &Request) -> Result<Receipt, EffectError> {
        Ok(self.send(request).await?.0)
    }

    /// Posts a text, or puts it in the place of that of an earlier message. Both are free of secrets already.
    pub(crate) async fn tell(
        &self,
        channel: Option<&str>,
        message: Option<&Message>,
        text: &str,
    ) -> Result<Told, EffectError> {
        match (message, &self.way) {
            (Some(message), Way::Token { .. }) => self.update(message, text).await,
            // It was posted with a token, and now there is a webhook, which can't update it.
            (Some(_), Way::Webhook) => {
                Ok(Told::Gone { why: "an incoming webhook can't update a message".to_owned() })
            }
            (None, _) => {
                let (receipt, answer) = self.send(&self.request(channel, text)?).await?;
                let named = |name| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
                let message = named("channel")
                    .zip(named("ts"))
                    .map(|(channel, ts)| Message { channel: channel.to_owned(), ts: ts.to_owned() });
                Ok(Told::Posted { receipt, message })
            }
        }
    }

    async fn update(&self, message: &Message, text: &str) -> Result<Told, EffectError> {
        const LABEL: &str = "POST chat.update";
        let text = cut(text);
        let body = json!({"channel": message.channel, "ts": message.ts, "text": text});
        let answer = self.peer.call(&Call::post(UPDATE, &body)).await?;
        if let Some(why) = gone(&answer) {
            return Ok(Told::Gone { why });
        }
        verdict(&answer, LABEL)?;
        Ok(Told::Updated(Receipt::new(format!("{LABEL} {body}"), answer.short())))
    }

    async fn send(&self, request: &Request) -> Result<(Receipt, Value), EffectError> {
        let label = match self.way {
            Way::Token { .. } => "POST chat.postMessage",
            Way::Webhook => "POST incoming webhook",
        };
        let answer = self.peer.call(&request.call()).await?;
        // What went out, whole: texts are corrected, cut and blanked before, so the action alone does not tell it.
        let request = format!("{label} {}", request.body);
        verdict(&answer, label)?;
        let said = answer.json().unwrap_or_default();
        Ok((Receipt::new(request, answer.short()), said))
    }

    /// Is there a call that changes nothing? An incoming webhook knows none but the post.
    pub(crate) fn can_be_asked(&self) -> bool {
        matches!(self.way, Way::Token { .. })
    }

    /// Who answers? `auth.test` takes a bot token and needs no scope (documented).
    pub(crate) async fn answers(&self) -> Result<(Heard, String), EffectError> {
        let answer = self.peer.any(&Call::post(AUTH_TEST, &json!({}))).await?;
        let body = answer.json().unwrap_or_default();
        let ok = body.get("ok").and_then(Value::as_bool);
        let error = body.get("error").and_then(Value::as_str);
        match (ok, error) {
            // Slack tells of its own trouble with 200 too. A "no" to this question is Slack's own word; only of a token that it
            // refuses nothing more is known.
            (Some(false), Some(error)) if answer.is_success() => {
                let denied = denied(error, answer.retry_after);
                match denied.sign() {
                    Sign::Well => Ok((Heard::Well, String::new())),
                    Sign::Failing | Sign::Unreachable | Sign::Refused | Sign::SlowDown(_) => Err(denied),
                }
            }
            _ => classify::answers(&answer, "Slack", "POST auth.test", ok == Some(true)),
        }
    }

    /// Is the token good? A webhook can't be tried without posting.
    pub(crate) async fn check(&self) -> Result<String, EffectError> {
        if matches!(self.way, Way::Webhook) {
            return Ok("incoming webhook; it can't be tried without posting".to_owned());
        }
        let answer = self.peer.call(&Call::post(AUTH_TEST, &json!({}))).await?;
        verdict(&answer, "POST auth.test")?;
        let body = answer.json().unwrap_or_default();
        let text = |name| scrub::shortened(body.get(name).and_then(Value::as_str).unwrap_or("?"), 80);
        Ok(format!("token accepted, {} in {}", text("user"), text("team")))
    }
}

/// Says how much was left out.
fn cut(text: &str) -> String {
    let kept = scrub::cut(text, LONGEST_TEXT);
    if kept.len() == text.len() {
        return text.to_owned();
    }
    let left_out = text[kept.len()..].chars().count();
    format!("{kept}\n… (Gluehook left out {left_out} characters more)")
}

/// Slack's word for a message that can't be updated any more, if that is its answer. Of a channel that is archived or gone, too: a
/// new message goes to the one that is configured by now.
fn gone(answer: &Answer) -> Option<String> {
    let body = answer.json()?;
    let error = body.get("error").and_then(Value::as_str)?;
    let is_gone = matches!(
        error,
        "message_not_found"
            | "cant_update_message"
            | "edit_window_closed"
            | "is_inactive"
            | "is_archived"
            | "channel_is_archived"
            | "channel_not_found"
    );
    is_gone.then(|| format!("Slack answers {error}"))
}

/// Slack says "no" with 200 and `ok:false` (Web API) or with a status and one word (incoming webhooks).
fn verdict(answer: &Answer, request: &str) -> Result<(), EffectError> {
    let json = answer.json();
    let ok = json.as_ref().and_then(|body| body.get("ok")).and_then(Value::as_bool);
    let error = json.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
    match (answer.status, ok, error) {
        // An answer that says "I failed" is believed, or an outage of Slack would swallow every message after one repeat;
        // a gateway that gave up waiting knows nothing.
        (408 | 429 | 300..=399 | 500.., _, _) => {
            Err(classify::refused(answer, "Slack", request, answer.status == 504))
        }
        (200..=299, Some(false), error) => Err(denied(error.unwrap_or("unknown_error"), answer.retry_after)),
        // A webhook's answer is the text `ok`; services that imitate it answer anything.
        (200..=299, _, _) if request == "POST incoming webhook" => Ok(()),
        (200..=299, Some(true), _) => Ok(()),
        (200..=299, None, _) => Err(EffectError::Transient {
            why: format!(
                "Slack answers {request} with something that is not the JSON expected of it: is base_url right?"
            ),
            after: None,
            uncertain: true,
            sign: Sign::Failing,
        }),
        _ => {
            let word = answer.text().trim().to_owned();
            let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            match error.or(is_word.then_some(word.as_str())) {
                Some(error) => Err(denied(error, answer.retry_after)),
                None => Err(classify::refused(answer, "Slack", request, false)),
            }
        }
    }
}

fn denied(error: &str, retry_after: Option<Duration>) -> EffectError {
    let error = &scrub::excerpt(error);
    let transient = |uncertain, sign| EffectError::Transient {
        why: format!("Slack can't take the message just now: {error}"),
        after: retry_after,
        uncertain,
        sign,
    };
    let token =
        "the token is not valid (any more): put a valid one where `token` in [slack] points, and restart";
    let what_to_do = match error.as_str() {
        // Whatever is to be posted, none of it can be.
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive"
        | "invalid_token" => {
            return EffectError::Transient {
                why: format!("Slack answers {error}: {token}"),
                after: None,
                uncertain: false,
                sign: Sign::Refused,
            };
        }
        "ratelimited" | "rate_limited" => return transient(false, Sign::SlowDown(retry_after)),
        "service_unavailable" => return transient(false, Sign::Failing),
        "fatal_error" | "internal_error" | "request_timeout" | "rollup_error" => {
            return transient(true, Sign::Failing);
        }
        "channel_not_found" => {
            "there is no such channel, or the bot can't see it: check `channel`, and invite the bot if it is private"
        }
        "not_in_channel" => "the bot is not in the channel: invite it there",
        "is_archived" | "channel_is_archived" => "the channel is archived: set another `channel`",
        "missing_scope" | "no_permission" | "not_allowed_token_type" => {
            "the token may not post: give the app the scope chat:write and install it again"
        }
        "action_prohibited" | "restricted_action" | "posting_to_general_channel_denied" => {
            "an administrator of the workspace forbids posting there: ask them, or set another `channel`"
        }
        "no_service" | "no_active_hooks" | "no_team" | "team_disabled" | "user_not_found" => {
            "the incoming webhook no longer exists: make a new one and put its address where `webhook_url` in [slack] points, and restart"
        }
        "msg_too_long" => "the message is too long: shorten the rule's text",
        "no_text" => "the message is empty: give the rule a text",
        "invalid_payload" => "it doesn't take the message's form: check the rule's text",
        _ => "see https://api.slack.com/methods/chat.postMessage#errors",
    };
    EffectError::permanent(format!("Slack answers {error}: {what_to_do}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> &'static str {
        let answer = Answer { status, retry_after: None, body: body.as_bytes().to_vec(), html: false };
        match verdict(&answer, "POST incoming webhook") {
            Ok(()) => "ok",
            Err(EffectError::Transient { uncertain: true, .. }) => "uncertain",
            Err(EffectError::Transient { uncertain: false, .. }) => "again",
            Err(EffectError::Permanent { .. }) => "never",
            Err(EffectError::Unknown { .. }) => "unknown",
        }
    }

    #[test]
    fn slacks_ways_to_say_no_are_told_apart() {
        let no = |error: &str| class(200, &format!(r#"{{"ok":false,"error":"{error}"}}"#));
        for never in ["channel_not_found", "not_in_channel", "missing_scope", "is_archived"] {
            assert_eq!(no(never), "never", "{never}");
        }
        for never in ["msg_too_long", "no_text", "something_new"] {
            assert_eq!(no(never), "never", "{never}");
        }
        for held in ["invalid_auth", "account_inactive", "token_revoked"] {
            assert_eq!(no(held), "again", "{held}: no event can help it");
        }
        for uncertain in ["fatal_error", "internal_error", "request_timeout"] {
            assert_eq!(no(uncertain), "uncertain", "{uncertain}");
        }
        assert_eq!(no("ratelimited"), "again");
        assert_eq!(class(429, r#"{"ok":false,"error":"ratelimited"}"#), "again");
        assert_eq!(class(503, "<html>"), "again", "an outage swallows no message");
        assert_eq!(class(504, "<html>"), "uncertain");
        assert_eq!(class(404, "no_service"), "never");
        assert_eq!(class(410, "channel_is_archived"), "never");
        assert_eq!(class(404, "<html>"), "never");
        assert_eq!(class(200, "ok"), "ok");
    }

    #[test]
    fn a_long_text_is_cut_with_a_note() {
        assert_eq!(cut("short"), "short");
        let text = cut(&"é".repeat(50_000));
        assert!(text.ends_with("\n… (Gluehook left out 11000 characters more)"));
        assert!(text.chars().count() < 40_000);
    }
}
