//! Tokens: the same value has the same one wherever the salt is the same, and without the salt nobody can try values
//! until one fits.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Fewest bytes of a salt.
pub const SHORTEST_SALT: usize = 16;
/// One letter for each half byte. Without vowels, so that no token spells a word that a rule may look for; without
/// digits, so that none is taken for a number.
const LETTERS: &[u8; 16] = b"bcdfghjkmnpqrstv";
/// Letters of a token.
const LENGTH: usize = 12;
/// Words that tokens begin with.
const WORDS: &[&str] = &[
    "tenant", "job", "flow", "env", "event", "word", "id", "name", "address", "email", "phone", "ip", "mac",
    "iban", "card", "bsn", "birth",
];

/// What tokens are made with. It is a secret.
#[derive(Clone)]
pub struct Salt(Hmac<Sha256>);

impl Salt {
    /// # Errors
    /// A sentence when it has fewer than [`SHORTEST_SALT`] bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < SHORTEST_SALT {
            return Err(format!(
                "a salt has at least {SHORTEST_SALT} bytes, such as `openssl rand -hex 32` gives"
            ));
        }
        Hmac::new_from_slice(bytes).map(Self).map_err(|error| format!("this can't be a salt: {error}"))
    }

    /// The token of a value, such as `tenant-rkqbnmtdcvhf`. The letters are the value's alone, whatever the word.
    pub(super) fn token(&self, word: &str, value: &str) -> String {
        debug_assert!(WORDS.contains(&word), "{word}");
        let mut mac = self.0.clone();
        mac.update(value.as_bytes());
        let digest = mac.finalize().into_bytes();
        let halves = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
        let letters = halves.take(LENGTH).map(|half| char::from(LETTERS[usize::from(half)]));
        format!("{word}-{}", letters.collect::<String>())
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salt").finish_non_exhaustive()
    }
}

/// How many bytes of the beginning are a token.
pub(super) fn begins(text: &str) -> Option<usize> {
    WORDS.iter().find_map(|word| {
        let letters = text.strip_prefix(word)?.strip_prefix('-')?.as_bytes().get(..LENGTH)?;
        letters.iter().all(|letter| LETTERS.contains(letter)).then_some(word.len() + 1 + LENGTH)
    })
}

pub(super) fn is_one(text: &str) -> bool {
    begins(text) == Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_for_the_same_salt_and_another_for_another() {
        let [one, other] = [b"0123456789abcdef", b"0123456789abcdeg"].map(|salt| Salt::new(salt).unwrap());
        let token = one.token("tenant", "acme");
        assert_eq!(token, one.token("tenant", "acme"));
        assert_ne!(token, other.token("tenant", "acme"));
        assert_ne!(token, one.token("tenant", "acme2"));
        assert_eq!(
            token.replace("tenant-", "word-"),
            one.token("word", "acme"),
            "the letters are the value's"
        );
        assert!(is_one(&token) && begins(&format!("{token}BUY")) == Some(token.len()));
        assert!(!is_one("tenant-1") && !is_one("word-") && !is_one("tenant-bcdfghjkmnpa"));
        assert!(Salt::new(b"short").unwrap_err().contains("at least 16"));
        assert!(!format!("{one:?}").contains("0123"));
    }
}
