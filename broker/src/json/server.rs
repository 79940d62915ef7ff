//! The broker itself.

use super::instant;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// The broker itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Server {
    /// Version of the program.
    pub version: String,
    /// Version of the protocol in use.
    pub proto: u32,
    /// Number of this start; part of every fence.
    pub epoch: String,
    /// When it was ready to serve.
    pub started_at: Option<String>,
    /// Time since then.
    pub uptime_ms: u64,
    /// Its clock.
    pub server_at: Option<String>,
    /// Jobs it holds, in any state.
    pub jobs: u64,
    /// Sessions alive.
    pub sessions: u64,
    /// Connections open.
    pub connections: u64,
    /// Batches made durable since the start.
    pub batches_total: u64,
    /// Facts in them.
    pub facts_total: u64,
    /// Median time of the last syncs, in microseconds.
    pub fsync_p50_us: u64,
    /// 99th percentile of the same.
    pub fsync_p99_us: u64,
    /// Journal space in use.
    pub journal_bytes: u64,
    /// Journal files in use.
    pub journal_segments: u64,
    /// Folds since the start.
    pub folds_total: u64,
    /// Bytes accepted but not folded yet.
    pub unfolded_bytes: u64,
    /// Size of the folded store.
    pub store_bytes: u64,
    /// Resident memory of the process.
    pub rss_bytes: u64,
    /// Free space on the disk of the data.
    pub disk_free_bytes: u64,
    /// It is shutting down and takes no new work.
    pub draining: bool,
    /// Processor time of the process so far, user and system, in microseconds; refreshed once a second.
    pub cpu_us: u64,
    /// File system of the data, like "ext4"; "tmpfs" forgets everything with the machine's power.
    pub filesystem: String,
}

impl From<v1::ServerView> for Server {
    fn from(view: v1::ServerView) -> Self {
        Self {
            version: view.version,
            proto: view.proto,
            epoch: view.epoch.to_string(),
            started_at: instant(view.started_at_ms),
            uptime_ms: view.uptime_ms,
            server_at: instant(view.server_at_ms),
            jobs: view.jobs,
            sessions: view.sessions,
            connections: view.connections,
            batches_total: view.batches_total,
            facts_total: view.facts_total,
            fsync_p50_us: view.fsync_p50_us,
            fsync_p99_us: view.fsync_p99_us,
            journal_bytes: view.journal_bytes,
            journal_segments: view.journal_segments,
            folds_total: view.folds_total,
            unfolded_bytes: view.unfolded_bytes,
            store_bytes: view.store_bytes,
            rss_bytes: view.rss_bytes,
            disk_free_bytes: view.disk_free_bytes,
            draining: view.draining,
            cpu_us: view.cpu_us,
            filesystem: view.filesystem,
        }
    }
}
