//! Whose request it is: the token in its `Authorization`.

use super::Gateway;
use super::problem::Problem;
use crate::tokens::{Speaker, Stranger, secret};
use axum::http::header;
use axum::http::request::Parts;
use std::net::IpAddr;
use windlass_proto::v1::Code;

/// The scheme of RFC 6750.
const SCHEME: &str = "Bearer ";

/// The address that a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Who asks.
///
/// # Errors
/// 401 where a token is asked for and none, or a wrong one, is shown; the answer comes the later the more
/// often the address has been wrong.
pub(super) async fn speaker(gateway: &Gateway, parts: &Parts) -> Result<Speaker, Problem> {
    let shown = bearer(parts).unwrap_or_default();
    let Some(tokens) = gateway.locals().tokens() else {
        // A token that nobody checks must not look like one that was checked.
        if secret::is_token(shown) {
            let message =
                "this broker checks no tokens; leave it out, or start it with `serve --tokens FILE`";
            return Err(Problem::new(Code::Unsupported, message));
        }
        return Ok(Speaker::Broker);
    };
    let now_ms = gateway.locals().now_ms();
    match tokens.admit(shown, now_ms) {
        Ok(grant) => Ok(Speaker::Token(grant)),
        Err(stranger) => {
            if let Some(Peer(peer)) = parts.extensions.get().filter(|_| stranger != Stranger::Nothing) {
                tokio::time::sleep(tokens.failed(*peer, shown, now_ms)).await;
            }
            Err(Problem::new(Code::Unauthenticated, stranger.why()))
        }
    }
}

/// The token of a request.
fn bearer(parts: &Parts) -> Option<&str> {
    let text = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim())
}
