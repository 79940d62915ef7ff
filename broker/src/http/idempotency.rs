//! Idempotency keys: a request that is sent again under its key does nothing a second time.
//!
//! Ids are made from the key, and the engine knows the ids, so that it holds over restarts and costs
//! no table. A job carries a fingerprint of the request that made it, by which another body under the
//! same key is found out.

use super::call::Call;
use super::problem::Problem;
use axum::http::StatusCode;
use uuid::Uuid;

/// Header of a request.
pub(super) const KEY: &str = "idempotency-key";
/// Header of an answer that was given before.
pub(super) const REPLAYED: &str = "idempotency-replayed";
/// Header of the first job of a request, with the fingerprint of its body.
pub(super) use crate::local::FINGERPRINT;
/// Longest key.
const KEY_BYTES_MAX: usize = 255;

/// The key of a request.
fn key<W>(call: &Call<W>) -> Result<Option<&str>, Problem> {
    let Some(key) = call.headers.get(KEY) else { return Ok(None) };
    let key = key.to_str().unwrap_or_default().trim().trim_matches('"');
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::invalid(format!("an Idempotency-Key is 1 to {KEY_BYTES_MAX} letters")));
    }
    Ok(Some(key))
}

/// The id of job number `index` of a request, if it has a key.
pub(super) fn job<W>(call: &Call<W>, index: usize) -> Result<Option<Uuid>, Problem> {
    let [namespace, token] = whose(call);
    Ok(key(call)?.map(|key| made(&[b"job", namespace, token, key.as_bytes(), &index.to_be_bytes()])))
}

/// The id of the change that a request makes, if it has a key. Another path is another change.
pub(super) fn operation<W>(call: &Call<W>) -> Result<Option<Uuid>, Problem> {
    let path = call.uri.path().as_bytes();
    let [namespace, token] = whose(call);
    Ok(key(call)?.map(|key| made(&[b"operation", namespace, token, path, key.as_bytes()])))
}

/// A key is its token's: nobody takes another's by guessing it.
fn whose<W>(call: &Call<W>) -> [&[u8]; 2] {
    [call.namespace.as_bytes(), call.speaker.grant().map_or(&b""[..], |grant| grant.name().as_bytes())]
}

/// A UUID of these words.
fn made(words: &[&[u8]]) -> Uuid {
    let mut hasher = blake3::Hasher::new();
    for word in words {
        hasher.update(&(word.len() as u64).to_be_bytes());
        hasher.update(word);
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// A fingerprint of a body.
pub(super) fn fingerprint(body: &[u8]) -> String {
    blake3::hash(body).to_hex()[..32].to_owned()
}

/// The key was used with another body.
pub(super) fn another_body() -> Problem {
    Problem::invalid("this Idempotency-Key was used with another body; take a new one")
        .with_status(StatusCode::UNPROCESSABLE_ENTITY)
}
