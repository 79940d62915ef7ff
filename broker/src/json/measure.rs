//! Courses over time, and figures for autoscalers.

use super::instant;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// A course over time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Series {
    /// What was measured.
    pub metric: String,
    /// Of which queue; empty: of all together.
    pub queue: String,
    /// Instant of the first value; null: there is none.
    pub start_at: Option<String>,
    /// Time from value to value.
    pub step_ms: u64,
    /// One value a step; none: the course of this queue is not kept.
    pub values: Vec<u64>,
}

impl From<v1::SeriesView> for Series {
    fn from(row: v1::SeriesView) -> Self {
        let v1::SeriesView { metric, queue, start_at_ms, step_ms, values } = row;
        let start_at = instant(start_at_ms).filter(|_| !values.is_empty());
        Self { metric, queue, start_at, step_ms, values }
    }
}

/// What an autoscaler needs to know of a queue: numbers always, also for an empty one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Scale {
    /// The queue.
    pub queue: String,
    /// Jobs READY now.
    pub ready: u64,
    /// Jobs LEASED now.
    pub leased: u64,
    /// The same as `leased`.
    pub running: u64,
    /// Slots of the streams that draw from it.
    pub slots: u64,
    /// (ready + leased) / slots, in permille.
    pub load_permille: u64,
    /// How long the ready jobs would take at the present speed.
    pub backlog_ms: u64,
    /// The same in seconds.
    pub backlog_seconds: f64,
    /// Workers that would clear the backlog within the window.
    pub desired_workers: u64,
    /// Age of the oldest READY job; 0: there is none.
    pub oldest_ms: u64,
}

impl Scale {
    /// A queue's figures, with the age of its oldest ready job.
    #[must_use]
    pub fn of(row: v1::ScaleView, oldest_ms: u64) -> Self {
        let v1::ScaleView { queue, ready, leased, slots, load_permille, backlog_ms, desired_workers } = row;
        #[allow(clippy::cast_precision_loss, reason = "a time needs no more than 53 bits")]
        let backlog_seconds = backlog_ms as f64 / 1_000.0;
        let running = leased;
        Self {
            queue,
            ready,
            leased,
            running,
            slots,
            load_permille,
            backlog_ms,
            backlog_seconds,
            desired_workers,
            oldest_ms,
        }
    }
}
