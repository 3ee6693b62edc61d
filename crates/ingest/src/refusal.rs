//! Why a request is not taken, and what its sender is told.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::envelope::Source;
use domain::signature;
use serde_json::json;
use service::metrics::Outcome;

/// Why a request was refused. The sender learns no more than [`Refusal::sentence`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No endpoint of that name, or a path that is none.
    UnknownEndpoint,
    /// Another method than POST.
    Method,
    /// Over the configured rate; free again after so many seconds.
    TooMany { retry_after: u64 },
    /// A content type that the source does not send.
    ContentType(Source),
    /// More bytes than the endpoint takes.
    TooLarge { most: u64 },
    /// More bytes than the queue takes in one message.
    TooLargeForTheQueue,
    /// The body took longer than a body may take.
    TooSlow,
    /// The connection ended, or stopped making sense, before the body did.
    BrokenOff,
    /// Not proven to come from the source.
    Unproven(signature::Refusal),
    /// Proven, and empty: nothing that could be an event.
    Empty,
    /// More bodies are in hand than there is room for.
    Crowded,
    /// The queue can't take it: the word says why, for our own record.
    Unavailable(&'static str),
}

impl Refusal {
    /// The status of the answer (design: the table of answers).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownEndpoint => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff | Self::Empty => StatusCode::BAD_REQUEST,
            Self::Unproven(_) => StatusCode::UNAUTHORIZED,
            // That the queue takes less than the endpoint is trouble of ours, which someone mends.
            Self::TooLargeForTheQueue | Self::Crowded | Self::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// What the sender is told. It names nothing of our inside, and for all causes of a 401 it is the same.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::UnknownEndpoint => {
                "there is no such endpoint: webhooks are posted to /hooks/<endpoint>".to_owned()
            }
            Self::Method => "an endpoint takes POST only".to_owned(),
            Self::TooMany { .. } => {
                "more requests than this endpoint takes in a second: send it again later".to_owned()
            }
            Self::ContentType(source) => {
                format!("this is no content type of {}: send application/json", source.as_str())
            }
            Self::TooLarge { most } => {
                format!("the body is larger than the {most} bytes that this endpoint takes")
            }
            Self::TooLargeForTheQueue => "the event is larger than can be stored here".to_owned(),
            Self::TooSlow => "the body took too long to arrive: send it again".to_owned(),
            Self::BrokenOff => "the body broke off before its end".to_owned(),
            Self::Unproven(_) => "the request carries no valid signature".to_owned(),
            Self::Empty => "an empty body can't be an event".to_owned(),
            Self::Crowded | Self::Unavailable(_) => {
                "the event can't be stored right now: send it again".to_owned()
            }
        }
    }

    /// What the request is counted as.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::UnknownEndpoint => Outcome::NotFound,
            Self::Method => Outcome::MethodNotAllowed,
            Self::TooMany { .. } => Outcome::RateLimited,
            Self::ContentType(_) => Outcome::UnsupportedType,
            Self::TooLarge { .. } => Outcome::TooLarge,
            Self::TooSlow => Outcome::TimedOut,
            Self::BrokenOff | Self::Empty => Outcome::BadRequest,
            Self::Unproven(_) => Outcome::Unauthorized,
            Self::TooLargeForTheQueue | Self::Crowded | Self::Unavailable(_) => Outcome::Unavailable,
        }
    }

    /// One word for our own record; the sender never sees it.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::Method => "method",
            Self::TooMany { .. } => "rate",
            Self::ContentType(_) => "content_type",
            Self::TooLarge { .. } => "too_large",
            Self::TooLargeForTheQueue => "too_large_for_the_queue",
            Self::TooSlow => "slow_body",
            Self::BrokenOff => "broken_off",
            Self::Unproven(refusal) => refusal.cause(),
            Self::Empty => "empty",
            Self::Crowded => "crowded",
            Self::Unavailable(why) => why,
        }
    }

    /// Seconds after which it is worth sending the same again.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooMany { retry_after } => Some(*retry_after),
            Self::Crowded => Some(1),
            Self::Unavailable(_) => Some(5),
            Self::TooLargeForTheQueue => Some(300),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(json!({ "error": self.sentence() }))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            // What is left of the body is not waited for.
            Self::TooSlow => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Refusal] = &[
        Refusal::UnknownEndpoint,
        Refusal::Method,
        Refusal::TooMany { retry_after: 2 },
        Refusal::ContentType(Source::Hotglue),
        Refusal::TooLarge { most: 1024 },
        Refusal::TooLargeForTheQueue,
        Refusal::TooSlow,
        Refusal::BrokenOff,
        Refusal::Unproven(signature::Refusal::Missing),
        Refusal::Unproven(signature::Refusal::Malformed),
        Refusal::Unproven(signature::Refusal::Mismatch),
        Refusal::Empty,
        Refusal::Crowded,
        Refusal::Unavailable("full"),
    ];

    #[test]
    fn every_refusal_is_an_error_and_one_sentence() {
        for refusal in ALL {
            assert!(refusal.status().is_client_error() || refusal.status().is_server_error(), "{refusal:?}");
            let sentence = refusal.sentence();
            assert!(!sentence.is_empty() && !sentence.contains(['\n', '"', '{']), "{sentence}");
        }
    }

    #[test]
    fn no_internal_text_reaches_the_client() {
        for refusal in ALL {
            let sentence = refusal.sentence().to_lowercase();
            for inner in ["nats", "jetstream", "stream", "secret", "hmac", "127.0.0.1", "full", "mismatch"] {
                assert!(!sentence.contains(inner), "{sentence}");
            }
        }
    }

    #[test]
    fn all_causes_of_a_401_are_told_alike() {
        let told: Vec<String> = ALL
            .iter()
            .filter(|refusal| refusal.status() == StatusCode::UNAUTHORIZED)
            .map(Refusal::sentence)
            .collect();
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|sentence| *sentence == told[0]));
    }

    #[test]
    fn what_is_worth_sending_again_says_when() {
        for refusal in ALL {
            let again =
                matches!(refusal.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            let response = refusal.clone().into_response();
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), again, "{refusal:?}");
        }
    }

    #[test]
    fn a_405_names_the_method_that_is_taken() {
        assert_eq!(Refusal::Method.into_response().headers()[header::ALLOW], "POST");
    }
}
