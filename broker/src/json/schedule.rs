//! A schedule with its ticks.

use super::message::{Schedule, Written};
use super::{id, instant};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// A schedule, and where it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// As set.
    pub schedule: Schedule,
    /// Version of its resource.
    pub version: u64,
    /// Its next tick.
    pub next_at: Option<String>,
    /// Its last tick.
    pub last_at: Option<String>,
    /// Id of the job of the last tick.
    pub last_job: Option<String>,
    /// Jobs it made, ever.
    pub runs_total: u64,
    /// Ticks it left out, ever.
    pub skipped_total: u64,
    /// Dead jobs in a row, up to now.
    pub failures: u32,
}

impl From<v1::ScheduleView> for ScheduleRow {
    fn from(view: v1::ScheduleView) -> Self {
        Self {
            name: view.name,
            schedule: Schedule::read(view.schedule.unwrap_or_default()),
            version: view.version,
            next_at: instant(view.next_at_ms),
            last_at: instant(view.last_at_ms),
            last_job: id(&view.last_job),
            runs_total: view.runs_total,
            skipped_total: view.skipped_total,
            failures: view.failures,
        }
    }
}
