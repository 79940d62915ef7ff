//! `windlass admin stats` and `advance-clock`: the broker itself, and the time it has.

use super::super::failure::Outcome;
use super::super::output::instant;
use super::{Desk, done};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_client::proto::ServerView;

/// The broker in figures.
pub(super) async fn stats(desk: &Desk) -> Outcome {
    desk.object(&row(&desk.admin.stats().await?))?;
    done()
}

/// The broker as a row.
pub(super) fn row(server: &ServerView) -> Value {
    json!({
        "version": server.version,
        "epoch": server.epoch.to_string(),
        "started_at": instant(server.started_at_ms),
        "uptime_ms": server.uptime_ms,
        "jobs": server.jobs,
        "sessions": server.sessions,
        "connections": server.connections,
        "batches_total": server.batches_total,
        "facts_total": server.facts_total,
        "fsync_p50_us": server.fsync_p50_us,
        "fsync_p99_us": server.fsync_p99_us,
        "journal_bytes": server.journal_bytes,
        "journal_segments": server.journal_segments,
        "folds_total": server.folds_total,
        "unfolded_bytes": server.unfolded_bytes,
        "store_bytes": server.store_bytes,
        "rss_bytes": server.rss_bytes,
        "cpu_us": server.cpu_us,
        "filesystem": server.filesystem,
        "disk_free_bytes": server.disk_free_bytes,
        "draining": server.draining,
    })
}

/// Lets time pass, where time is the test's.
pub(super) async fn advance_clock(desk: &Desk, by: Duration, patience: Duration) -> Outcome {
    let now = instant(desk.admin.advance_clock(by, patience).await?);
    desk.done(&json!({"now": now}), now.as_str().unwrap_or_default())?;
    done()
}
