//! Signatures of deliveries, by Standard Webhooks 1.0: an HMAC-SHA256 over id, time and body, so that a
//! receiver knows who sent it, and that it is neither changed nor an old one sent again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, as the standard bounds them.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secret is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and the base64 of 24 to 64 random bytes; leave it out, and the broker makes one")]
pub(super) struct BadSecret;

/// A secret that nobody has: 256 bits of the system's randomness.
#[must_use]
pub fn fresh_secret() -> String {
    let mut hash = blake3::Hasher::new();
    for _ in 0..3 {
        // Each has 122 random bits.
        hash.update(Uuid::new_v4().as_bytes());
    }
    format!("{PREFIX}{}", STANDARD.encode(hash.finalize().as_bytes()))
}

/// The bytes of a secret.
///
/// # Errors
/// When it is not in the standard's form.
pub(super) fn key(secret: &str) -> Result<Vec<u8>, BadSecret> {
    let text = secret.strip_prefix(PREFIX).ok_or(BadSecret)?;
    let key = STANDARD.decode(text).map_err(|_| BadSecret)?;
    if SECRET_BYTES.contains(&key.len()) { Ok(key) } else { Err(BadSecret) }
}

/// The value of `webhook-signature` for these secrets, of which a receiver has to know one.
///
/// # Errors
/// When one of the secrets is not in the standard's form.
pub(super) fn signature(secrets: &[&str], id: &str, seconds: u64, body: &[u8]) -> Result<String, BadSecret> {
    let mut signatures = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret)?).map_err(|_| BadSecret)?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    }
    Ok(signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own libraries.
    #[test]
    fn a_known_message_has_its_known_signature() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed =
            signature(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_has_its_form_and_no_two_are_the_same() {
        assert_eq!(key(&fresh_secret()).unwrap().len(), 32);
        assert_ne!(fresh_secret(), fresh_secret());
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!"] {
            assert_eq!(key(bad), Err(BadSecret), "{bad}");
        }
    }
}
