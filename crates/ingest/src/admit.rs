//! What makes a request an event: proof of where it comes from, then the seal. Pure: values in, values out.

use axum::http::HeaderMap;
use bytes::Bytes;
use domain::envelope::Envelope;
use domain::signature::{self, verify};
use jiff::Timestamp;

use crate::endpoint::Endpoint;
use crate::refusal::Refusal;

/// Verifies the raw `body` and seals it.
///
/// # Errors
/// [`Refusal::Unproven`], or [`Refusal::Empty`] for a body that is proven and has nothing in it.
pub fn admit(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    body: &Bytes,
    received_at: Timestamp,
) -> Result<Envelope, Refusal> {
    let given = proof_given(endpoint, headers).map_err(Refusal::Unproven)?;
    let verified = verify(endpoint.proof(), endpoint.secrets(), given, body).map_err(Refusal::Unproven)?;
    if body.is_empty() {
        return Err(Refusal::Empty);
    }
    let kept = kept_headers(endpoint, headers);
    Ok(Envelope::seal(endpoint.name(), endpoint.source(), verified, body.clone(), kept, received_at))
}

/// The header that carries the proof. Two of them are none: which one is meant, nobody can say.
fn proof_given<'a>(
    endpoint: &Endpoint,
    headers: &'a HeaderMap,
) -> Result<Option<&'a [u8]>, signature::Refusal> {
    let Some(name) = endpoint.proof_header() else { return Ok(None) };
    let mut given = headers.get_all(name).iter();
    let first = given.next();
    match given.next() {
        Some(_) => Err(signature::Refusal::Malformed),
        None => Ok(first.map(|value| value.as_bytes())),
    }
}

/// Headers that travel with the event. Bytes that are no UTF-8 are replaced: no header that we keep has a meaning there.
pub(crate) fn kept_headers(endpoint: &Endpoint, headers: &HeaderMap) -> Vec<(String, String)> {
    endpoint
        .kept_headers()
        .iter()
        .flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)))
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests;
