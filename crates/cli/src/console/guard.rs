//! Who may see the pages, and what a browser may do with them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Misused;

/// A browser runs nothing, loads nothing but our style, and shows the pages in no other page.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Who is let in.
#[derive(Debug)]
pub(crate) enum Guard {
    /// Who speaks to this machine by a name of its own: a page from elsewhere can have its name resolved to this machine, but
    /// not send another than its own.
    ThisMachine,
    /// Who knows it.
    Token(SecretString),
}

/// Why someone is not let in.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    OtherName,
    NoToken,
}

impl Guard {
    /// # Errors
    /// [`Misused`] when other machines could look without a token, or the token is empty.
    pub(crate) fn new(listen: SocketAddr, token: Option<SecretString>) -> Result<Self, Misused> {
        match token {
            Some(token) if token.expose_secret().is_empty() => {
                Err(Misused("the console's token is empty: put one where --token points".to_owned()))
            }
            Some(token) => Ok(Self::Token(token)),
            None if listen.ip().is_loopback() => Ok(Self::ThisMachine),
            None => Err(Misused(format!(
                "on {listen} other machines could look at customers' events: say with --token env:NAME or file:PATH what they must give as password"
            ))),
        }
    }

    fn admits(&self, host: Option<&str>, authorization: Option<&str>) -> Result<(), Refused> {
        match self {
            Self::ThisMachine if host.is_some_and(is_this_machine) => Ok(()),
            Self::ThisMachine => Err(Refused::OtherName),
            Self::Token(token) => {
                let given = authorization.and_then(password).ok_or(Refused::NoToken)?;
                // Of one length, so that the comparison tells nothing of the token's.
                let (given, token) = (Sha256::digest(given), Sha256::digest(token.expose_secret()));
                if bool::from(given.ct_eq(&token)) { Ok(()) } else { Err(Refused::NoToken) }
            }
        }
    }
}

/// `127.0.0.1:8090`, `[::1]:8090`, `localhost`.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// That of basic authentication, which every browser knows; whoever it is for.
fn password(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = STANDARD.decode(encoded.trim()).ok()?;
    let colon = both.iter().position(|&byte| byte == b':')?;
    Some(both[colon + 1..].to_vec())
}

pub(super) async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let admitted = {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        guard.admits(header(HOST), header(AUTHORIZATION))
    };
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(Refused::OtherName) => {
            (StatusCode::MISDIRECTED_REQUEST, "the console of this machine answers to localhost only\n")
                .into_response()
        }
        Err(Refused::NoToken) => {
            let ask = [(WWW_AUTHENTICATE, r#"Basic realm="gluehook", charset="UTF-8""#)];
            (StatusCode::UNAUTHORIZED, ask, "the console's token is needed as password\n").into_response()
        }
    };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
