//! A queue and its counts.

use super::message::{Policy, Written};
use serde::Serialize;
use utoipa::ToSchema;
use windlass_proto::v1;

/// A queue. Counts are of the moment unless they are totals.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Jobs READY now.
    pub ready: u64,
    /// Jobs SCHEDULED now.
    pub scheduled: u64,
    /// Jobs BLOCKED now.
    pub blocked: u64,
    /// Jobs HELD now.
    pub held: u64,
    /// Jobs LEASED now.
    pub leased: u64,
    /// Completed jobs still kept.
    pub completed: u64,
    /// Dead jobs still kept.
    pub dead: u64,
    /// Cancelled jobs still kept.
    pub cancelled: u64,
    /// Expired jobs still kept.
    pub expired: u64,
    /// Jobs ever enqueued; totals survive restarts and removals.
    pub enqueued_total: u64,
    /// Jobs ever completed.
    pub completed_total: u64,
    /// Jobs ever dead.
    pub dead_total: u64,
    /// Jobs ever cancelled.
    pub cancelled_total: u64,
    /// Jobs ever expired.
    pub expired_total: u64,
    /// A limit with concurrency 0 applies to the whole queue.
    pub paused: bool,
    /// Limit.why of that pause.
    pub paused_why: String,
    /// Age of the oldest READY job; 0: there is none.
    pub oldest_ready_ms: u64,
    /// Streams of workers waiting for a job of this queue.
    pub waiting_streams: u64,
    /// Version of its resource; 0: never set.
    pub version: u64,
    /// Attempts that failed, ever.
    pub failed_total: u64,
    /// Leases lost with their worker, ever.
    pub crashed_total: u64,
    /// The policy set at the queue; null: none.
    pub policy: Option<Policy>,
}

impl From<v1::QueueView> for Queue {
    fn from(view: v1::QueueView) -> Self {
        Self {
            policy: view.policy.map(Policy::read),
            name: view.name,
            ready: view.ready,
            scheduled: view.scheduled,
            blocked: view.blocked,
            held: view.held,
            leased: view.leased,
            completed: view.completed,
            dead: view.dead,
            cancelled: view.cancelled,
            expired: view.expired,
            enqueued_total: view.enqueued_total,
            completed_total: view.completed_total,
            dead_total: view.dead_total,
            cancelled_total: view.cancelled_total,
            expired_total: view.expired_total,
            paused: view.paused,
            paused_why: view.paused_why,
            oldest_ready_ms: view.oldest_ready_ms,
            waiting_streams: view.waiting_streams,
            version: view.version,
            failed_total: view.failed_total,
            crashed_total: view.crashed_total,
        }
    }
}
