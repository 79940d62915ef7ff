//! Hello and Welcome: who the client is, whether it may resume, and what both sides keep from then on.
//!
//! It is separate because it is the only exchange before a session stands, and the only place where a
//! secret is made or compared.

use super::Terms;
use super::form::{Checked, at, inside, invalid, job_id, name_or, text, too_large, unsupported};
use super::{confine, outbound};
use crate::tokens::Grant;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;
use windlass_engine::command::{Code as Refused, Hello, Refusal};
use windlass_engine::frame::Welcome;
use windlass_engine::limits::{IDEMPOTENCY_WINDOW_MS, RESUME_WINDOW_MS};
use windlass_engine::{JobId, SessionId};
use windlass_proto::limits::{JOBS_PER_FRAME_MAX, LABELS_MAX, PROTO_VERSION, RUNNING_MAX, TEXT_BYTES_MAX};
use windlass_proto::v1::{self, Code};

/// Checks a Hello of somebody with this token. A fault ends the connection, unless it is the secret that is
/// wrong.
pub(super) fn hello(hello: v1::Hello, terms: &Terms, grant: Option<&Arc<Grant>>) -> Result<Hello, v1::Error> {
    let proven = resumed(&hello, terms)?;
    checked(hello, proven, terms, grant.map(|grant| &**grant)).map_err(outbound::error)
}

/// A connection says Hello once.
pub(super) fn again() -> Refusal {
    invalid("", "this connection said Hello before")
}

fn checked(
    hello: v1::Hello,
    resume: Option<SessionId>,
    terms: &Terms,
    grant: Option<&Grant>,
) -> Checked<Hello> {
    let v1::Hello {
        proto_min,
        proto_max,
        token: _,
        namespace,
        client,
        host,
        pid,
        labels,
        session_ttl_ms,
        resume_session: _,
        resume_secret: _,
        running,
        require,
    } = hello;
    let (oldest, newest) = (proto_min.max(1), if proto_max == 0 { PROTO_VERSION } else { proto_max });
    if !(oldest..=newest).contains(&PROTO_VERSION) {
        let message = format!("this broker speaks version {PROTO_VERSION} of the protocol");
        return Err(Refusal { message, ..unsupported("proto_min") });
    }
    if let Some(index) = require.iter().position(|feature| !terms.features.contains(&feature.as_str())) {
        let unknown = require.iter().filter(|feature| !terms.features.contains(&feature.as_str()));
        let message =
            format!("this broker lacks {}", unknown.map(String::as_str).collect::<Vec<_>>().join(", "));
        return Err(at("require", index, Refusal { message, ..unsupported("") }));
    }
    let labels = self::labels(labels, "labels")?;
    let running = running.map(self::running).transpose().map_err(|fault| inside("running", fault))?;
    if resume.is_none() && running.as_ref().is_some_and(|running| !running.is_empty()) {
        return Err(invalid("running", "leases belong to a session; name it in resume_session"));
    }
    let namespace = name_or(namespace, "default", "namespace")?;
    if let Some(grant) = grant
        && !grant.namespaces().covers(&namespace)
    {
        let message = format!("token {} does not reach the namespace {namespace}", grant.name());
        return Err(Refusal::new(Refused::Denied, "namespace", message));
    }
    let (token, reach) = confine::introduced(grant);
    Ok(Hello {
        namespace,
        token,
        reach,
        client: text(client, TEXT_BYTES_MAX, "client")?,
        host: text(host, TEXT_BYTES_MAX, "host")?,
        pid,
        labels,
        session_ttl_ms,
        resume,
        running: if resume.is_some() { running } else { None },
        fresh: SessionId(Uuid::new_v4().into_bytes()),
    })
}

/// What a session says of itself, or what sessions are chosen by.
pub(super) fn labels(labels: BTreeMap<String, String>, field: &str) -> Checked<Vec<(String, String)>> {
    if labels.len() > LABELS_MAX {
        return Err(too_large(field, format!("a session has at most {LABELS_MAX} labels")));
    }
    let checked = |(key, value)| Ok((text(key, TEXT_BYTES_MAX, field)?, text(value, TEXT_BYTES_MAX, field)?));
    labels.into_iter().map(checked).collect()
}

fn running(running: v1::hello::Running) -> Checked<Vec<(JobId, u64)>> {
    let v1::hello::Running { held } = running;
    if held.len() > RUNNING_MAX {
        return Err(too_large("held", format!("at most {RUNNING_MAX} leases can be taken along")));
    }
    held.iter()
        .enumerate()
        .map(|(index, v1::hello::running::Held { id, fence })| {
            let id = job_id(id, "id").map_err(|fault| at("held", index, fault))?;
            Ok((id, *fence))
        })
        .collect()
}

/// The session that the client comes back to, its secret verified.
fn resumed(hello: &v1::Hello, terms: &Terms) -> Result<Option<SessionId>, v1::Error> {
    if hello.resume_session.is_empty() {
        if !hello.resume_secret.is_empty() {
            let fault = invalid("resume_secret", "a secret proves a session; name it in resume_session");
            return Err(outbound::error(fault));
        }
        return Ok(None);
    }
    let id = <[u8; 16]>::try_from(&hello.resume_session[..]).map(SessionId);
    let id = id.map_err(|_| outbound::error(invalid("resume_session", "the id of a session is 16 bytes")))?;
    if is_secret_of(&hello.resume_session, &hello.resume_secret, terms) {
        return Ok(Some(id));
    }
    Err(unproven())
}

/// The secret is not that of the session.
pub(super) fn unproven() -> v1::Error {
    v1::Error {
        code: Code::Unauthenticated.into(),
        message: "the session is not yours, or its broker is another one; open a new session".to_owned(),
        retry_after_ms: 0,
        field: "resume_secret".to_owned(),
    }
}

/// The secret is that of the session.
pub(super) fn is_secret_of(session: &[u8], given: &[u8], terms: &Terms) -> bool {
    let (Ok(session), Ok(given)) = (<[u8; 16]>::try_from(session), <[u8; 32]>::try_from(given)) else {
        return false;
    };
    // Hashes are compared in constant time, so that a secret cannot be felt out byte by byte.
    blake3::Hash::from(given) == secret(SessionId(session), terms)
}

/// A keyed hash of the id, so that nothing secret is stored and every restart still knows it.
fn secret(id: SessionId, terms: &Terms) -> blake3::Hash {
    blake3::keyed_hash(&terms.secret_key, &id.0)
}

/// The answer to Hello: what the engine decided, and the bounds of this floor.
pub(super) fn welcome(welcome: Welcome, terms: &Terms) -> v1::Welcome {
    let Welcome { session, namespace: _, session_ttl_ms, now, epoch, leases_kept } = welcome;
    v1::Welcome {
        proto: PROTO_VERSION,
        session: Bytes::copy_from_slice(&session.0),
        secret: Bytes::copy_from_slice(secret(session, terms).as_bytes()),
        session_ttl_ms,
        resume_window_ms: RESUME_WINDOW_MS,
        server_at_ms: now,
        epoch: epoch.into(),
        max_frame: terms.frame_bytes_max as u64,
        max_payload: terms.payload_bytes_max as u64,
        max_batch: u32::try_from(JOBS_PER_FRAME_MAX).unwrap_or(u32::MAX),
        features: terms.features.iter().map(|&feature| feature.to_owned()).collect(),
        leases_kept: leases_kept.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect(),
        idempotency_window_ms: IDEMPOTENCY_WINDOW_MS,
        max_outstanding: terms.outstanding_max,
    }
}
