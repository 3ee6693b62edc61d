//! How an endpoint's requests prove where they come from, as it is written: each mistake gets a sentence of its own.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::complaint::nearest;
use crate::signature::{Encoding, Hash};

const KEYS: &[&str] = &["header", "hash", "encoding", "prefix"];
/// Of proofs that other receivers know.
const NOT_YET: &[&str] = &[
    "template",
    "timestamp",
    "timestamp_header",
    "tolerance",
    "basic",
    "bearer",
    "username",
    "password",
    "value",
];
const WORDS_NOT_YET: &[&str] = &["basic", "bearer", "shared", "header", "standard-webhooks"];

#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub enum ProofSetting {
    Word(NoProof),
    Hmac(HmacSetting),
}

#[derive(Debug, Clone, Copy, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoProof {
    None,
}

#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacSetting {
    /// Which header carries the signature.
    pub header: String,
    /// Of the HMAC over the raw body.
    pub hash: Hash,
    #[serde(default = "hex_encoding")]
    pub encoding: Encoding,
    #[serde(default)]
    pub prefix: Option<String>,
}

fn hex_encoding() -> Encoding {
    Encoding::Hex
}

impl<'de> Deserialize<'de> for ProofSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = ProofSetting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "proof as \"none\", or as a table such as { header = \"X-Signature\", hash = \"sha256\" }",
        )
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<ProofSetting, E> {
        if word == "none" {
            return Ok(ProofSetting::Word(NoProof::None));
        }
        let what = if WORDS_NOT_YET.contains(&word) {
            format!("proof = \"{word}\" is not supported yet")
        } else if nearest(word, ["none"]).is_some() {
            format!("proof = \"{word}\" is none; did you mean \"none\"?")
        } else {
            format!("proof = \"{word}\" is none")
        };
        Err(E::custom(format!(
            "{what}: leave proof out for the source's own, write a table such as {{ header = \"X-Signature\", hash = \"sha256\" }}, or \"none\" to take everything unverified"
        )))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ProofSetting, M::Error> {
        let (mut header, mut hash, mut encoding, mut prefix) = (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "header" => header = Some(text(&key, &map.next_value()?)?),
                "hash" => {
                    hash =
                        Some(of(&key, &map.next_value()?, &[("sha1", Hash::Sha1), ("sha256", Hash::Sha256)])?)
                }
                "encoding" => {
                    let known = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
                    encoding = Some(of(&key, &map.next_value()?, &known)?);
                }
                "prefix" => prefix = Some(text(&key, &map.next_value()?)?),
                key if NOT_YET.contains(&key) => {
                    return Err(de::Error::custom(format!(
                        "`{key}` in proof is not supported yet: a proof is an HMAC over the raw body, with {}",
                        KEYS.join(", ")
                    )));
                }
                key => return Err(de::Error::unknown_field(key, KEYS)),
            }
        }
        let lacks = |key: &str, sample: &str| {
            de::Error::custom(format!(
                "proof has no `{key}`: add it, as in {{ header = \"X-Signature\", hash = \"sha256\" }}; {sample}"
            ))
        };
        Ok(ProofSetting::Hmac(HmacSetting {
            header: header
                .ok_or_else(|| lacks("header", "it names the header that carries the signature"))?,
            hash: hash.ok_or_else(|| lacks("hash", "it is sha1 or sha256"))?,
            encoding: encoding.unwrap_or_else(hex_encoding),
            prefix,
        }))
    }
}

fn text<E: de::Error>(key: &str, value: &toml::Value) -> Result<String, E> {
    let text =
        value.as_str().ok_or_else(|| E::custom(format!("`{key}` in proof must be a text in quotes")))?;
    Ok(text.to_owned())
}

/// One of a few words.
fn of<T: Copy, E: de::Error>(key: &str, value: &toml::Value, known: &[(&str, T)]) -> Result<T, E> {
    let word = text(key, value)?;
    if let Some((_, found)) = known.iter().find(|(name, _)| *name == word) {
        return Ok(*found);
    }
    let lower = word.to_ascii_lowercase().replace('-', "");
    let names = known.iter().map(|(name, _)| *name);
    let hint = match names.clone().find(|name| *name == lower) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("known here: {}", names.collect::<Vec<_>>().join(", ")),
    };
    Err(E::custom(format!("{key} = \"{word}\" in proof is not supported; {hint}")))
}
