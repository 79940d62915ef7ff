//! A session: a worker, a producer, or somebody who looks.

use super::{id, instant, word};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_proto::v1;

/// A session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Worker {
    /// A UUID.
    pub id: Option<String>,
    /// Hello.client.
    pub client: String,
    /// Hello.host.
    pub host: String,
    /// Name of the token it came with; empty: none.
    pub token: String,
    /// Hello.pid.
    pub pid: u32,
    /// Hello.labels, as last beaten.
    pub labels: BTreeMap<String, String>,
    /// When it began.
    pub since_at: Option<String>,
    /// Time since its last sign of life.
    pub last_sign_ms_ago: u64,
    /// Leases it holds.
    pub leases: u64,
    /// Sum of the slots of its streams.
    pub slots: u64,
    /// Connections it has now.
    pub connections: u32,
    /// Streams it has open.
    pub streams: u32,
    /// Queues its streams draw from, at most 64 of them.
    pub queues: Vec<String>,
    /// Kinds it can run, at most 256 of them.
    pub kinds: Vec<String>,
    /// As last beaten: memory of the process.
    pub rss_bytes: u64,
    /// As last beaten: how late the worker's own loop is.
    pub loop_lag_ms: u64,
    /// As last beaten: handlers running.
    pub busy: u32,
    /// running, quiet or stopping; empty: it has not said.
    pub phase: String,
}

impl From<v1::SessionView> for Worker {
    fn from(view: v1::SessionView) -> Self {
        Self {
            phase: word(view.phase().as_str_name(), "PHASE_"),
            id: id(&view.id),
            client: view.client,
            host: view.host,
            token: view.token,
            pid: view.pid,
            labels: view.labels,
            since_at: instant(view.since_at_ms),
            last_sign_ms_ago: view.last_sign_ms_ago,
            leases: view.leases,
            slots: view.slots,
            connections: view.connections,
            streams: view.streams,
            queues: view.queues,
            kinds: view.kinds,
            rss_bytes: view.rss_bytes,
            loop_lag_ms: view.loop_lag_ms,
            busy: view.busy,
        }
    }
}
