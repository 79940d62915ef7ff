//! A kind and its counts.

use super::message::{Policy, Written};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// A kind of job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// Jobs READY now.
    pub ready: u64,
    /// Jobs LEASED now.
    pub leased: u64,
    /// Jobs SCHEDULED now.
    pub scheduled: u64,
    /// Dead jobs still kept.
    pub dead: u64,
    /// Jobs ever completed.
    pub completed_total: u64,
    /// Attempts that failed, ever.
    pub failed_total: u64,
    /// Streams that can run it.
    pub streams: u64,
    /// The policy set at the kind; null: none.
    pub policy: Option<Policy>,
    /// Version of its resource; 0: never set.
    pub version: u64,
}

impl From<v1::KindView> for Kind {
    fn from(view: v1::KindView) -> Self {
        Self {
            name: view.name,
            ready: view.ready,
            leased: view.leased,
            scheduled: view.scheduled,
            dead: view.dead,
            completed_total: view.completed_total,
            failed_total: view.failed_total,
            streams: view.streams,
            policy: view.policy.map(Policy::read),
            version: view.version,
        }
    }
}
