//! The text of a token, `wl_<id>_<secret>`, and what of it is kept: a hash.
//!
//! A secret is 256 random bits, so a plain SHA-256 keeps it: there is nothing to guess at that a slow hash
//! would protect.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// What the text of every token begins with.
const PREFIX: &str = "wl_";
/// Longest name of a token.
const NAME_BYTES_MAX: usize = 64;

/// The hash of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Of no secret that anybody has: to compare with where there is no token of that name.
    pub(super) const NOBODYS: Self = Self([0; 32]);

    /// The hash of a secret, as text.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// They are the same, in a time that does not tell how much of them is.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(..)")
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "a hash is 64 hex digits, as `windlass token new` writes them";
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong);
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| wrong)?;
        }
        Ok(Self(bytes))
    }
}

/// A token may be called so.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_letter)
}

/// A new token of this name: its text, which is nowhere else, and the hash of its secret.
#[must_use]
pub fn fresh(name: &str) -> (String, Hash) {
    let secret = URL_SAFE_NO_PAD.encode(random());
    let hash = Hash::of(&secret);
    (format!("{PREFIX}{name}_{secret}"), hash)
}

/// 256 random bits.
#[must_use]
pub fn random() -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for _ in 0..3 {
        // Each has 122 random bits of the system's.
        hash.update(Uuid::new_v4().as_bytes());
    }
    *hash.finalize().as_bytes()
}

/// The text looks like a token, right or wrong.
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The name and the secret in the text of a token.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let (name, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    is_name(name).then_some((name, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_token_holds_its_name_and_256_random_bits() {
        let (text, hash) = fresh("ci-2");
        let (name, secret) = split(&text).unwrap();
        assert_eq!((name, secret.len()), ("ci-2", 43));
        assert!(Hash::of(secret).is(&hash) && !Hash::NOBODYS.is(&hash));
        assert_ne!(fresh("ci-2").0, text);
        for other in ["", "wl_", "wl_ci", "wl__x", "wl_CI_x", "xx_ci_secret"] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn a_hash_is_written_as_sha256sum_writes_it_and_read_back() {
        let hash = Hash::of("abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Hash::try_from(hash.to_string()), Ok(hash));
        for wrong in ["", "ba", &"g".repeat(64), &"é".repeat(32)] {
            assert!(Hash::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert_eq!(format!("{hash:?}"), "Hash(..)");
    }
}
