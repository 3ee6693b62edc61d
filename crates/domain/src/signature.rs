//! Does a request come from whom it says? The only place that makes a [`Verified`].

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use sha1::Sha1;
use sha2::Sha256;

/// How a request proves where it comes from. Data, not code: vendors differ only in these fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A keyed hash of the raw body in a header.
    Hmac { header: String, hash: Hash, encoding: Encoding, prefix: Option<String> },
    /// Nothing is proven; must be spelled out in the configuration (`proof = "none"`).
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    Sha1,
    Sha256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    Hex,
    Base64,
}

impl Proof {
    /// hotglue: HMAC-SHA1 over the raw body, 40 hex digits without prefix in `X-Hub-Signature` (documented). A
    /// `sha1=` prefix and upper-case digits are tolerated: harmless, and a change at the vendor would not lock us out.
    #[must_use]
    pub fn hotglue() -> Self {
        Self::Hmac {
            header: "x-hub-signature".to_owned(),
            hash: Hash::Sha1,
            encoding: Encoding::Hex,
            prefix: Some("sha1=".to_owned()),
        }
    }

    /// Name of the header that carries the proof, lower-case.
    #[must_use]
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Hmac { header, .. } => Some(header),
            Self::None => None,
        }
    }
}

/// Why a request was not believed. For our own record: the sender is told the same text for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the signature header is missing")]
    Missing,
    #[error("the signature header is malformed")]
    Malformed,
    #[error("the signature does not match the body under any of the configured secrets")]
    Mismatch,
}

impl Refusal {
    /// One word for metrics and records.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
        }
    }
}

/// A body whose origin was proven. Made only by [`verify`].
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a> {
    body: &'a [u8],
}

impl<'a> Verified<'a> {
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Checks `given` (the value of the proof's header) against the raw body, under each secret (several while rotating).
/// Every secret is tried, and each comparison takes the same time however many digits agree.
///
/// # Errors
/// The [`Refusal`] says why, for our own record only.
pub fn verify<'a>(
    proof: &Proof,
    secrets: &[SecretSlice<u8>],
    given: Option<&[u8]>,
    body: &'a [u8],
) -> Result<Verified<'a>, Refusal> {
    let (hash, encoding, prefix) = match proof {
        Proof::None => return Ok(Verified { body }),
        Proof::Hmac { hash, encoding, prefix, .. } => (*hash, *encoding, prefix.as_deref()),
    };
    let given = given.ok_or(Refusal::Missing)?.trim_ascii();
    if given.is_empty() {
        return Err(Refusal::Missing);
    }
    let digits = match prefix {
        Some(prefix) if starts_with_ignoring_case(given, prefix.as_bytes()) => &given[prefix.len()..],
        _ => given,
    };
    let tag = match encoding {
        Encoding::Hex => hex::decode(digits).map_err(|_| Refusal::Malformed)?,
        Encoding::Base64 => {
            base64::engine::general_purpose::STANDARD.decode(digits).map_err(|_| Refusal::Malformed)?
        }
    };
    let length = match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
    };
    if tag.len() != length {
        return Err(Refusal::Malformed);
    }
    let mut matched = false;
    for secret in secrets {
        matched |= match hash {
            Hash::Sha1 => tag_matches::<Hmac<Sha1>>(secret, body, &tag),
            Hash::Sha256 => tag_matches::<Hmac<Sha256>>(secret, body, &tag),
        };
    }
    if matched { Ok(Verified { body }) } else { Err(Refusal::Mismatch) }
}

/// The signature hotglue would send for `body`: for test webhooks.
#[must_use]
pub fn sign_hotglue(secret: &SecretSlice<u8>, body: &[u8]) -> String {
    let mut mac = keyed::<Hmac<Sha1>>(secret);
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn keyed<M: Mac + KeyInit>(secret: &SecretSlice<u8>) -> M {
    <M as KeyInit>::new_from_slice(secret.expose_secret()).expect("HMAC takes keys of any length")
}

fn tag_matches<M: Mac + KeyInit>(secret: &SecretSlice<u8>, body: &[u8], tag: &[u8]) -> bool {
    let mut mac = keyed::<M>(secret);
    mac.update(body);
    // Compares in constant time.
    mac.verify_slice(tag).is_ok()
}

fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DISCOVER: &[u8] = br#"{"connector":"salesforce","env_id":"dev.hotglue.com","flow_id":"JClkCC05S","status":"DISCOVER_SUCCESS","tenant":"1414_1","timestamp":"2024-10-07T07:50:28.076586+00:00"}"#;
    const TAG: &str = "01089064f4b7b4a682e4d4bfda4c700065365138";

    fn secret(text: &str) -> SecretSlice<u8> {
        SecretSlice::from(text.as_bytes().to_vec())
    }

    fn check(given: Option<&str>, secrets: &[&str]) -> Result<(), Refusal> {
        let secrets: Vec<_> = secrets.iter().map(|s| secret(s)).collect();
        verify(&Proof::hotglue(), &secrets, given.map(str::as_bytes), DISCOVER).map(|_| ())
    }

    #[test]
    fn a_signature_computed_by_openssl_is_accepted() {
        assert_eq!(check(Some(TAG), &["hotglue-test-secret"]), Ok(()));
        assert_eq!(sign_hotglue(&secret("hotglue-test-secret"), DISCOVER), TAG);
    }

    #[test]
    fn prefix_and_case_are_tolerated() {
        let upper = TAG.to_uppercase();
        for given in [format!("sha1={TAG}"), format!("SHA1={upper}"), upper, format!(" {TAG} ")] {
            assert_eq!(check(Some(&given), &["hotglue-test-secret"]), Ok(()), "{given}");
        }
    }

    #[test]
    fn either_of_two_secrets_is_accepted() {
        assert_eq!(check(Some(TAG), &["old", "hotglue-test-secret"]), Ok(()));
        assert_eq!(check(Some(TAG), &["hotglue-test-secret", "new"]), Ok(()));
        assert_eq!(check(Some(TAG), &["old", "new"]), Err(Refusal::Mismatch));
    }

    #[test]
    fn missing_and_malformed_headers_are_refused() {
        assert_eq!(check(None, &["s"]), Err(Refusal::Missing));
        assert_eq!(check(Some(""), &["s"]), Err(Refusal::Missing));
        for given in ["sha1=", "xyz", &TAG[..39], "sha256=00", "é"] {
            assert_eq!(check(Some(given), &["s"]), Err(Refusal::Malformed), "{given}");
        }
    }

    #[test]
    fn no_secret_means_nobody_is_believed() {
        assert_eq!(check(Some(TAG), &[]), Err(Refusal::Mismatch));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(at in 0..DISCOVER.len(), bit in 0..8u8) {
            let mut body = DISCOVER.to_vec();
            body[at] ^= 1 << bit;
            let refused = verify(&Proof::hotglue(), &[secret("hotglue-test-secret")], Some(TAG.as_bytes()), &body);
            prop_assert_eq!(refused.err(), Some(Refusal::Mismatch));
        }

        #[test]
        fn any_header_is_answered_without_panic(given in any::<Vec<u8>>(), body in any::<Vec<u8>>()) {
            let answer = verify(&Proof::hotglue(), &[secret("s")], Some(&given), &body);
            prop_assert!(answer.is_err());
        }

        #[test]
        fn what_was_signed_is_accepted(key in any::<Vec<u8>>(), body in any::<Vec<u8>>()) {
            let key = SecretSlice::from(key);
            let tag = sign_hotglue(&key, &body);
            prop_assert!(verify(&Proof::hotglue(), &[key], Some(tag.as_bytes()), &body).is_ok());
        }
    }
}
