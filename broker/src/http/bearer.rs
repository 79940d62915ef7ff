//! Whose request it is: by the token in its `Authorization`, or by the cookie of a browser that has logged in.

use super::Gateway;
use super::problem::Problem;
use crate::strangers;
use crate::tokens::{Speaker, Stranger, secret};
use axum::http::header;
use axum::http::request::Parts;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use windlass_proto::v1::Code;

/// The scheme of RFC 6750.
const SCHEME: &str = "Bearer ";

/// Name of the cookie.
pub(super) const COOKIE: &str = "windlass_session";

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) ip: IpAddr,
    /// Over TLS.
    pub(super) is_encrypted: bool,
}

/// A connection's place among strangers, which it has until it is known who asks.
#[derive(Clone, Debug)]
pub(super) struct Unknown(Arc<Mutex<Option<strangers::Stranger>>>);

impl Unknown {
    pub(super) fn new(stranger: strangers::Stranger) -> Self {
        Self(Arc::new(Mutex::new(Some(stranger))))
    }

    fn is_known(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Who asks. From then on nobody else needs the connection's place.
///
/// # Errors
/// As [`shown`].
pub(super) async fn speaker(gateway: &Gateway, parts: &Parts) -> Result<Speaker, Problem> {
    let speaker = shown(gateway, parts).await?;
    if let Some(unknown) = parts.extensions.get::<Unknown>() {
        unknown.is_known();
    }
    Ok(speaker)
}

/// Who the request says that asks.
///
/// # Errors
/// 401 where a token is asked for and none, or a wrong one, is shown; the answer comes the later the more
/// often the address has been wrong.
async fn shown(gateway: &Gateway, parts: &Parts) -> Result<Speaker, Problem> {
    let shown = bearer(parts);
    let Some(tokens) = gateway.locals().tokens() else {
        // A token that nobody checks must not look like one that was checked.
        if shown.is_some_and(secret::is_token) {
            let message =
                "this broker checks no tokens; leave it out, or start it with `serve --tokens FILE`";
            return Err(Problem::new(Code::Unsupported, message));
        }
        return Ok(Speaker::Broker);
    };
    let now_ms = gateway.locals().now_ms();
    if shown.is_none()
        && let Some(id) = cookie(parts)
    {
        let message = "this browser is not logged in, or not any more";
        let grant = gateway.logins().find(id, now_ms);
        return grant.map(Speaker::Token).ok_or_else(|| Problem::new(Code::Unauthenticated, message));
    }
    let shown = shown.unwrap_or_default();
    match tokens.admit(shown, now_ms) {
        Ok(grant) => Ok(Speaker::Token(grant)),
        Err(stranger) => {
            let peer: Option<&Peer> = parts.extensions.get();
            if let Some(peer) = peer.filter(|_| stranger != Stranger::Nothing) {
                tokio::time::sleep(tokens.failed(peer.ip, shown, now_ms)).await;
            }
            Err(Problem::new(Code::Unauthenticated, stranger.why()))
        }
    }
}

/// The token of a request.
pub(super) fn bearer(parts: &Parts) -> Option<&str> {
    let text = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim())
}

/// The id of a browser that has logged in.
pub(super) fn cookie(parts: &Parts) -> Option<&str> {
    let all = parts.headers.get_all(header::COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| id)
}
