//! Fetch, Settle and Touch: what workers ask for and tell.

use super::{JobSpec, Refusal};
use crate::blob::Blob;
use crate::ids::{JobId, Ms};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A request for jobs.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    /// 0 opens a stream; otherwise the request id of the stream to change or close.
    pub stream: u64,
    /// Queues to draw from.
    pub queues: Vec<String>,
    /// The share of picks of each, at least 1; empty = in strict order.
    pub weights: Vec<u32>,
    /// Kinds this worker can run; empty = any.
    pub kinds: Vec<String>,
    /// Cost the stream may hold.
    pub slots: u32,
    /// > 0: a long poll for up to that many jobs.
    pub once: u32,
    /// How long the long poll waits for its first job.
    pub wait_ms: u64,
    /// Visibility timeout of what this stream delivers; None = by policy.
    pub lease_ms: Option<u64>,
    /// Collect jobs before they are delivered.
    pub batch: Option<Batch>,
    /// Close the stream named by `stream`.
    pub close: bool,
}

/// How jobs are collected. Nobody holds them meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// It goes out when so many are ready.
    pub min: u32,
    /// At most so many, in one frame.
    pub max: u32,
    /// It goes out when the first one has been ready for so long.
    pub linger_ms: Ms,
    /// All of one lane.
    pub same_key: bool,
}

/// The end of one lease, as its worker tells it.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The job.
    pub id: JobId,
    /// The lease's fence.
    pub fence: u64,
    /// How it went.
    pub how: How,
    /// For the next run; None = what is stored stays.
    pub checkpoint: Option<Box<Blob>>,
    /// Jobs to store in the same write.
    pub spawn: Option<Box<Spawn>>,
}

/// Jobs that follow from a run, or what is wrong with the first of them that is faulty.
pub type Spawn = Result<Vec<JobSpec>, Refusal>;

/// How a lease ended.
#[derive(Clone, Debug)]
pub enum How {
    /// Done; the result is opaque here, encoded by the session floor.
    Complete(Blob),
    /// The attempt failed.
    Fail {
        /// What went wrong.
        error: Box<ErrorNote>,
        /// Do not retry.
        fatal: bool,
        /// Retry after this long instead of the policy's backoff.
        retry_after_ms: Option<u64>,
    },
    /// Given back, uncounted.
    Release {
        /// Ready again after this long.
        delay_ms: u64,
        /// Why; kept in the history when not empty.
        reason: String,
        /// A limit to close for everybody.
        throttle: Option<Box<Throttle>>,
    },
    /// The worker obeyed a cancel.
    Cancelled {
        /// Free text.
        note: String,
    },
}

/// A limit that a handler closes because what it guards asks for rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Its name, without `limit/`.
    pub limit: String,
    /// Of a limit per key: the key to close.
    pub key: String,
    /// For how long, at most a year.
    pub ms: u64,
}

/// What went wrong, bounded by the session floor.
#[derive(Clone, Debug, Default)]
pub struct ErrorNote {
    /// Class of the error.
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// Stack trace.
    pub trace: String,
}

/// Signs of life.
#[derive(Clone, Debug, Default)]
pub struct Touch {
    /// The session's beat, if this is one.
    pub beat: Option<Beat>,
    /// Leases to check or to lengthen.
    pub jobs: Vec<JobTouch>,
}

/// What a worker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Opaque phase number of the wire.
    pub phase: i32,
    /// Slots in use.
    pub busy: u32,
    /// Slots.
    pub slots: u32,
    /// Resident memory.
    pub rss_bytes: u64,
    /// How late the worker's own loop is.
    pub loop_lag_ms: u64,
    /// Replaces the labels of the session; empty = they stay.
    pub labels: Vec<(String, String)>,
}

/// One lease to check or lengthen.
#[derive(Clone, Debug)]
pub struct JobTouch {
    /// The job.
    pub id: JobId,
    /// The lease's fence.
    pub fence: u64,
    /// A lease with a visibility timeout ends this long from now.
    pub extend_ms: Option<u64>,
    /// What its handler says.
    pub telling: Option<Box<Telling>>,
}

/// What a handler says of its run.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// How far it is, in thousandths.
    pub progress: Option<u16>,
    /// For people.
    pub note: Option<String>,
    /// How many lines there are for the log.
    pub lines: u16,
    /// The lines, encoded by the session floor.
    pub logs: Vec<u8>,
    /// For the next run; no bytes = what is stored is of no use any more.
    pub checkpoint: Option<Blob>,
    /// A piece of output, for whoever watches.
    pub output: Blob,
}
