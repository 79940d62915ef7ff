//! A session's token: who the client is, what it may ask, and what is known of tokens.

use super::form::Checked;
use super::inbound::{self, Rules};
use super::window::Open;
use super::{Session, Verdict, confine, outbound, rights};
use crate::tokens::{Grant, Speaker, Stranger};
use std::sync::Arc;
use tokio_util::sync::WaitForCancellationFutureOwned;
use windlass_engine::Command;
use windlass_engine::command::{self, Refusal};
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::server_frame::Body as Words;
use windlass_proto::v1::{Code, Error, Rows, TokenView};

/// Translates a request of somebody with a token, as far as the token allows it.
pub(super) fn allowed(grant: &Grant, request: Request, rules: Rules) -> Checked<(Command, Open)> {
    rights::permit(grant, &request)?;
    let (mut command, open) = inbound::command(request, rules)?;
    confine::confine(grant, &mut command)?;
    Ok((command, open))
}

/// What is said when a token is not good any more.
pub(super) fn gone() -> Error {
    let message = "the token is not good any more, or allows something else now; say Hello again";
    outbound::plain(Code::Unauthenticated, message.to_owned())
}

impl Session {
    /// Finds out who the client is. A token that nobody checks must not look like one that was checked.
    pub(super) fn identify(&mut self, token: &str, now_ms: u64) -> Result<(), Error> {
        let refused = |code: Code, message: &str| Error {
            field: "token".to_owned(),
            ..outbound::plain(code, message.to_owned())
        };
        let Some(tokens) = self.terms.tokens() else {
            if token.is_empty() {
                return Ok(());
            }
            let message =
                "this broker checks no tokens; leave it out, or start it with `serve --tokens FILE`";
            return Err(refused(Code::Unsupported, message));
        };
        match tokens.admit(token, now_ms) {
            Ok(grant) => {
                self.speaker = Speaker::Token(grant);
                Ok(())
            }
            Err(stranger) => {
                let fault = refused(Code::Unauthenticated, stranger.why());
                let known = self.peer.filter(|_| stranger != Stranger::Nothing);
                let delay = known.map(|peer| tokens.failed(peer, token, now_ms)).unwrap_or_default();
                let retry_after_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                Err(Error { retry_after_ms, ..fault })
            }
        }
    }

    /// What this floor answers by itself: the tokens, which are in no ledger.
    pub(super) fn known_here(&self, grant: &Arc<Grant>, request: &Request) -> Checked<Option<Words>> {
        let Request::Query(query) = request else { return Ok(None) };
        let Some(tokens) = self.terms.tokens().filter(|_| query.what() == What::Tokens) else {
            return Ok(None);
        };
        rights::permit(grant, request)?;
        if !grant.queues().is_all() {
            let message = format!("token {} reaches some queues only, and tokens are of none", grant.name());
            return Err(Refusal::new(command::Code::Denied, "", message));
        }
        let namespace = self.namespace.as_str();
        let rows = tokens.shown(namespace).into_iter().map(|shown| TokenView {
            name: shown.name,
            roles: shown.roles.names().into_iter().map(str::to_owned).collect(),
            queues: shown.queues,
            namespaces: shown.namespaces,
            expires_at_ms: shown.expires_at_ms,
            last_used_at_ms: shown.used_at_ms,
            version: 0,
            payloads: shown.payloads,
        });
        Ok(Some(Words::Rows(Rows { tokens: rows.collect(), ..Rows::default() })))
    }

    /// Rows as the token may see them.
    pub(super) fn shown(&self, mut rows: Rows) -> Rows {
        if let Some(grant) = self.speaker.grant() {
            confine::redact(grant, &mut rows);
        }
        rows
    }

    /// Waits until the client's token is not good any more; None = nothing to wait for.
    #[must_use]
    pub fn token_ends(&self) -> Option<WaitForCancellationFutureOwned> {
        self.speaker.grant().map(|grant| grant.ended())
    }

    /// The token is not good any more: this is the last that the client hears.
    pub fn revoke(&mut self) -> Verdict {
        self.close(0, gone())
    }
}
