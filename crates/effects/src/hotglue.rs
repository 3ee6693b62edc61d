//! hotglue's V1 REST API, one [`Api`] per environment. Where the vendor documents nothing, every answer that was seen
//! or that is likely is accepted.

mod jobs;
mod observe;
mod perform;

use std::time::Duration;

use domain::action::Place;
use domain::breaker::{Heard, Sign};
use domain::config::Environment;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::classify;
use crate::http::{Answer, Call, Leave, Peer};
use crate::outcome::EffectError;
use crate::scrub::{self, Scrub};

pub(crate) use self::perform::expression;

/// Everything that isn't unreserved (RFC 3986) is encoded: a tenant is any string its owner chose.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One environment.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    peer: Peer,
    env_id: String,
}

/// What hotglue says about a schedule. Reading one is not documented.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    Schedule(domain::facts::Schedule),
    /// Said so.
    None,
    /// This hotglue can't be asked.
    NotReadable,
}

impl Api {
    pub(crate) fn new(
        environment: &Environment,
        key: &SecretString,
        timeout: Duration,
        scrub: Scrub,
    ) -> Result<Self, String> {
        let env_id = environment.env_id.clone();
        let who = format!("hotglue (environment `{env_id}`)");
        let mut key = HeaderValue::from_str(key.expose_secret())
            .map_err(|_| format!("{who}: the API key has characters that no header can carry"))?;
        key.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", key);
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let peer = Peer::new(who, &environment.base_url, headers, timeout, scrub)?;
        Ok(Self { peer, env_id })
    }

    /// The same, for an action that has leave for so long.
    pub(crate) fn while_given(&self, leave: &Leave) -> Self {
        Self { peer: self.peer.while_given(leave), env_id: self.env_id.clone() }
    }

    pub(crate) fn env_id(&self) -> &str {
        &self.env_id
    }

    /// Where a path is.
    pub(crate) fn url(&self, path: &str) -> String {
        self.peer.url(path)
    }

    /// Reachable, and does it take the key? The number of tenants says that it is the environment one means.
    pub(crate) async fn check(&self) -> Result<String, EffectError> {
        let path = self.tenants()?;
        let call = Call::get(&path);
        let answer = self.peer.call(&call).await?;
        if matches!(answer.status, 401 | 403) {
            return Err(self.key_refused(&call, &answer));
        }
        if !answer.is_success() {
            return Err(classify::refused(&answer, &self.peer.who, &call.label(), false));
        }
        match answer.json() {
            Some(Value::Array(tenants)) if tenants.len() == 1 => {
                Ok("reachable, key accepted, 1 tenant".to_owned())
            }
            Some(Value::Array(tenants)) => Ok(format!("reachable, key accepted, {} tenants", tenants.len())),
            Some(_) => Ok("reachable, key accepted".to_owned()),
            None => Err(classify::unreadable(&self.peer.who, &call.label())),
        }
    }

    /// Who answers? Asked is what [`Api::check`] asks, and hotglue's own answer is a list.
    pub(crate) async fn answers(&self) -> Result<(Heard, String), EffectError> {
        let path = self.tenants()?;
        let call = Call::get(&path);
        let answer = self.peer.any(&call).await?;
        let is_list = matches!(answer.json(), Some(Value::Array(_)));
        classify::answers(&answer, &self.peer.who, &call.label(), is_list)
    }

    /// The list of an environment's tenants: it needs the key and no tenant. hotglue's reference leaves it out; its own command
    /// line tool and other public clients of its API ask for it.
    fn tenants(&self) -> Result<String, EffectError> {
        Ok(format!("/tenants/{}", segment("environment", &self.env_id)?))
    }

    /// `/{env}/{flow}/{tenant}{rest}`. The environment is the one configured: an event may leave its own empty.
    fn in_flow(&self, place: &Place, rest: &str) -> Result<String, EffectError> {
        Ok(format!(
            "/{}/{}/{}{rest}",
            segment("environment", &self.env_id)?,
            segment("flow", &place.flow_id)?,
            segment("tenant", &place.tenant)?
        ))
    }

    /// No other 4xx is tried again by hotglue's own client either (seen in its code). A refused key is the trouble of the whole
    /// environment, not of the event; what the key may not do is the event's. A call that every key may make tells which.
    async fn refused(&self, call: &Call<'_>, answer: &Answer) -> EffectError {
        match answer.status {
            401 | 403 => match self.check().await {
                Err(error) if error.sign() == Sign::Refused => self.key_refused(call, answer),
                // Nobody knows which of the two it is.
                Err(EffectError::Transient { why, after, sign, .. }) => {
                    EffectError::Transient { why, after, uncertain: false, sign }
                }
                Ok(_) | Err(EffectError::Permanent { .. } | EffectError::Unknown { .. }) => {
                    EffectError::permanent(format!(
                        "hotglue refuses the API key of environment `{}` here and takes it elsewhere, {}; see with hotglue what the key may do, and retry the dead letters",
                        self.env_id,
                        told(call, answer)
                    ))
                }
            },
            _ => classify::refused(answer, &self.peer.who, &call.label(), call.writes()),
        }
    }

    fn key_refused(&self, call: &Call<'_>, answer: &Answer) -> EffectError {
        EffectError::Transient {
            why: format!(
                "hotglue refuses the API key of environment `{}`, {}; put a valid key where its api_key setting points, and restart",
                self.env_id,
                told(call, answer)
            ),
            after: None,
            uncertain: false,
            sign: Sign::Refused,
        }
    }

    /// A success and its JSON; an empty body is null.
    fn json(&self, call: &Call<'_>, answer: &Answer) -> Result<Value, EffectError> {
        answer.json().ok_or_else(|| classify::unreadable(&self.peer.who, &call.label()))
    }
}

/// `403 to PUT /…: Forbidden`
fn told(call: &Call<'_>, answer: &Answer) -> String {
    format!("{} to {}{}", answer.status, call.label(), classify::says(answer))
}

/// One segment of a path, encoded. No URL can address a segment that is empty or made of dots: `..` would be resolved
/// by client, proxy or server, even as `%2E%2E`, and the call would change something else.
fn segment(what: &str, text: &str) -> Result<String, EffectError> {
    match text {
        "" => Err(EffectError::permanent(format!(
            "the event names no {what}, so hotglue can't be asked about it"
        ))),
        "." | ".." => {
            Err(EffectError::permanent(format!("a {what} named `{text}` can't be addressed at hotglue")))
        }
        _ => Ok(utf8_percent_encode(text, SEGMENT).to_string()),
    }
}

/// Is it the route that is missing, rather than the thing asked for? Said by API Gateway (403 for REST APIs, 404
/// without hotglue's `Code` for HTTP APIs) or by the status itself.
fn no_such_route(answer: &Answer) -> bool {
    match answer.status {
        405 | 501 => true,
        403 => answer.text().contains("Missing Authentication Token"),
        404 => answer.json().is_none_or(|body| body.get("Code").or_else(|| body.get("code")).is_none()),
        _ => false,
    }
}

/// Ids in a list of links: `keys` in order of preference.
fn names(list: &Value, keys: &[&str]) -> Option<Vec<String>> {
    let name = |item: &Value| match item {
        Value::String(name) => Some(name.clone()),
        item => keys.iter().find_map(|key| item.get(key)?.as_str()).map(str::to_owned),
    };
    match list {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => Some(items.iter().filter_map(name).collect()),
        _ => None,
    }
}

/// For sentences: a name from an event is of any length.
fn shown(name: &str) -> String {
    scrub::shortened(name, 80)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_tenant_stays_within_its_segment() {
        for (name, encoded) in [
            ("1414_1", "1414_1"),
            ("a/b", "a%2Fb"),
            ("../x", "..%2Fx"),
            ("a b?c#d", "a%20b%3Fc%23d"),
            ("a\\b\n\0", "a%5Cb%0A%00"),
            ("%2e%2e", "%252e%252e"),
            ("…", "%E2%80%A6"),
            ("...", "..."),
        ] {
            let segment = segment("tenant", name).unwrap();
            assert_eq!(segment, encoded);
            let url = url::Url::parse(&format!("http://h/e/f/{segment}/jobs")).unwrap();
            assert_eq!(url.path(), format!("/e/f/{encoded}/jobs"), "no parser sees another path");
        }
        for unaddressable in ["", ".", ".."] {
            assert!(matches!(segment("tenant", unaddressable), Err(EffectError::Permanent { .. })));
        }
    }

    #[test]
    fn lists_of_links_are_read_by_any_of_their_keys() {
        let keys = &["tap", "id", "name"];
        let list =
            json!([{"tap": "exact", "id": "x"}, {"id": "shopify"}, {"name": "n"}, "plain", {"x": 1}, 5]);
        assert_eq!(names(&list, keys).unwrap(), ["exact", "shopify", "n", "plain"]);
        assert_eq!(names(&Value::Null, keys), Some(vec![]));
        assert_eq!(names(&json!({"a": 1}), keys), None);
    }
}
