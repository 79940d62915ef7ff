//! A job and its attempts.

use super::message::{Policy, Written};
use super::{content, id, instant, optional_word, text, word};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_proto::v1;

/// A job. What is of variable size stands there where it was asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Job {
    /// A UUID.
    pub id: Option<String>,
    /// The broker's own number of the job; rises with enqueueing, never repeats.
    pub seq: String,
    /// Where it waits.
    pub queue: String,
    /// Which handler runs it.
    pub kind: String,
    /// Its lane; empty: none.
    pub key: String,
    /// held, scheduled, blocked, ready, leased, completed, dead, cancelled or expired.
    pub state: String,
    /// 0 to 9, higher first.
    pub priority: u32,
    /// Runs counted so far, the running one included.
    pub attempt: u32,
    /// The bound on failed runs.
    pub max_attempts: u32,
    /// Leases so far, whatever became of them.
    pub deliveries: u32,
    /// Leases that ended with their worker.
    pub crashes: u32,
    /// The bound on crashes.
    pub max_crashes: u32,
    /// Runs that asked for a delay without failing.
    pub snoozes: u32,
    /// Slots and limit units it takes.
    pub cost: u32,
    /// When the broker accepted it.
    pub created_at: Option<String>,
    /// When it may run, for a scheduled job.
    pub run_at: Option<String>,
    /// When it expires if it has not started.
    pub expires_at: Option<String>,
    /// Who runs it: client, host and process id; null: nobody.
    pub worker: Option<String>,
    /// Id of the session that runs it.
    pub session: Option<String>,
    /// Number of its lease.
    pub fence: Option<String>,
    /// When it was leased.
    pub leased_at: Option<String>,
    /// When its lease ends unless something moves that; null: not before its session does.
    pub lease_ends_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// When an ended job is removed.
    pub remove_at: Option<String>,
    /// Why it is dead.
    pub dead_reason: Option<String>,
    /// Fingerprint of its last failure.
    pub error_fingerprint: Option<String>,
    /// Somebody asked its handler to stop, and it has not answered yet.
    pub cancel_requested: bool,
    /// The policy set at the job itself; null: none.
    pub policy: Option<Policy>,
    /// For search and selection.
    pub tags: Vec<String>,
    /// Names of the further limits it must pass.
    pub limits: Vec<String>,
    /// Ids of the jobs it still waits for.
    pub waits_for: Vec<String>,
    /// Id of its group.
    pub group: Option<String>,
    /// The schedule that made it.
    pub schedule: Option<String>,
    /// Its dedup key.
    pub dedup_key: Option<String>,
    /// Last reported by its handler, 0 to 1,000.
    pub progress_permille: u32,
    /// Last note of its handler.
    pub note: String,
    /// Media type of the payload.
    pub content_type: String,
    /// Size of the payload, given even when the payload is not.
    pub payload_bytes: u64,
    /// JSON, text, or hex digits of bytes that are neither.
    pub payload: Value,
    /// As enqueued.
    pub headers: BTreeMap<String, String>,
    /// What its handler returned, like the payload.
    pub result: Value,
    /// Payload, headers and result are left out: the token may not see what jobs carry.
    pub bodies_hidden: bool,
    /// Result, or payload too, were dropped to save room.
    pub result_dropped: bool,
    /// The last attempts that did not complete, oldest first, at most 10.
    pub history: Vec<Attempt>,
}

/// One run that did not complete.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Attempt {
    /// Which attempt it was, counted from 1.
    pub attempt: u32,
    /// failed, lost, expired, released, cancelled, timeout or stalled.
    pub outcome: String,
    /// Class of the failure.
    pub kind: String,
    /// The failure in words.
    pub message: String,
    /// Stack trace.
    pub trace: String,
    /// Who ran it.
    pub worker: String,
    /// When it was leased.
    pub started_at: Option<String>,
    /// When the lease ended.
    pub ended_at: Option<String>,
}

impl From<v1::JobView> for Job {
    fn from(job: v1::JobView) -> Self {
        let (state, reason) = (job.state(), job.dead_reason());
        Self {
            id: id(&job.id),
            seq: job.seq.to_string(),
            state: word(state.as_str_name(), "STATE_"),
            dead_reason: optional_word(reason.as_str_name(), "DEAD_REASON_"),
            priority: job.priority,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            deliveries: job.deliveries,
            crashes: job.crashes,
            max_crashes: job.max_crashes,
            snoozes: job.snoozes,
            cost: job.cost,
            created_at: instant(job.created_at_ms),
            run_at: instant(job.run_at_ms),
            expires_at: instant(job.expires_at_ms),
            finished_at: instant(job.finished_at_ms),
            remove_at: instant(job.remove_at_ms),
            session: job.lease.as_ref().and_then(|lease| id(&lease.session)),
            fence: job.lease.as_ref().map(|lease| lease.fence.to_string()),
            leased_at: job.lease.as_ref().and_then(|lease| instant(lease.leased_at_ms)),
            lease_ends_at: job.lease.as_ref().and_then(|lease| instant(lease.ends_at_ms)),
            worker: job.lease.map(|lease| lease.worker),
            error_fingerprint: text(job.error_fingerprint),
            policy: job.policy.map(Policy::read),
            cancel_requested: job.cancel_requested,
            limits: job.limits,
            waits_for: job.after.iter().filter_map(|job| id(job)).collect(),
            group: id(&job.group),
            schedule: text(job.schedule),
            dedup_key: text(job.dedup_key),
            progress_permille: job.progress_permille,
            note: job.note,
            content_type: job.content_type,
            payload_bytes: job.payload_bytes,
            bodies_hidden: job.bodies_hidden,
            payload: content(&job.payload),
            result: if state == v1::State::Completed { content(&job.result) } else { Value::Null },
            result_dropped: job.result_dropped,
            headers: job.headers,
            history: job.history.into_iter().map(Attempt::from).collect(),
            tags: job.tags,
            queue: job.queue,
            kind: job.kind,
            key: job.key,
        }
    }
}

impl From<v1::Attempt> for Attempt {
    fn from(attempt: v1::Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            outcome: word(attempt.outcome().as_str_name(), "OUTCOME_"),
            kind: attempt.kind,
            message: attempt.message,
            trace: attempt.trace,
            worker: attempt.worker,
            started_at: instant(attempt.started_at_ms),
            ended_at: instant(attempt.ended_at_ms),
        }
    }
}
