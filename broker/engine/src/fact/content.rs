//! What facts carry: new jobs, leases and sessions, how something ended, resources.

use crate::blob::Blob;
use crate::ids::{JobId, Ms, NameId, SessionId};
use crate::ledger::job::Plan;
use crate::limit::Limit;
use crate::policy::{Ordering, Policy};
use crate::queue_conf::QueueConf;
use crate::schedule::Schedule;
use crate::sink::Sink;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A new job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its identity.
    pub id: JobId,
    /// Its namespace.
    pub namespace: NameId,
    /// Its queue.
    pub queue: NameId,
    /// Its kind.
    pub kind: NameId,
    /// Its lane; 0 = none.
    pub key: NameId,
    /// What it says of itself; 0 = nothing.
    pub terms: NameId,
    /// What must be so before it may start; 0 = nothing.
    pub gate: NameId,
    /// 0..9, higher first; decided at enqueue.
    pub level: u8,
    /// What its key means; decided at enqueue.
    pub ordering: Ordering,
    /// When it was enqueued.
    pub created_at: Ms,
    /// When it may run; ready at once when not after `created_at`.
    pub run_at: Ms,
    /// The producer's bytes.
    pub payload: Blob,
    /// Content type and headers, encoded by the session floor.
    pub headers: Blob,
    /// What it asks for beyond the plain.
    pub plan: Option<Box<Plan>>,
}

/// A job that gave its payload to another one. Its id is known for the idempotency window, so that it
/// is given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Its namespace.
    pub namespace: NameId,
    /// Its identity.
    pub id: JobId,
    /// When.
    pub at: Ms,
}

/// What somebody changed, as it is kept for those who ask later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// In whose namespace.
    pub namespace: NameId,
    /// When.
    pub at: Ms,
    /// Name of the token that it came with; "" = none.
    pub by: String,
    /// Client, host and process; "" = the broker by itself.
    pub client: String,
    /// What was done: `put`, `remove`, `stop`, or the word of a mutation or an order.
    pub verb: String,
    /// What it was done to, in words.
    pub target: String,
    /// Why; for people.
    pub reason: String,
    /// Jobs, sessions or resources changed.
    pub changed: u64,
}

impl Audit {
    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        64 + self.by.len() + self.client.len() + self.verb.len() + self.target.len() + self.reason.len()
    }
}

/// A new lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLease {
    /// Never repeats, rises with each lease.
    pub fence: u64,
    /// Who holds it.
    pub session: SessionId,
    /// Since when.
    pub now: Ms,
    /// Until when; 0 = as long as the session lives.
    pub ends_at: Ms,
    /// What the run is held to; None = nothing.
    pub limits: Option<RunLimits>,
}

/// What one run is held to, as policies said when it was leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Longest run; 0 = any.
    pub timeout_ms: u32,
    /// How often its handler must touch it; 0 = it need not.
    pub stall_ms: u32,
}

/// What the handlers of a job have said, as far as it is kept. The numbers are versions of parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// For the next run; no bytes = there is nothing for it any more.
    pub checkpoint: Option<(u32, Blob)>,
    /// How far it is, in thousandths.
    pub progress: Option<u16>,
    /// For people.
    pub note: Option<(u32, Blob)>,
    /// Lines for the log, how many, encoded by the session floor.
    pub logs: Option<(u32, u16, Blob)>,
}

impl Report {
    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        let bytes = |part: &Option<(u32, Blob)>| part.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let logs = self.logs.as_ref().map_or(0, |(.., bytes)| bytes.len());
        64 + bytes(&self.checkpoint) + bytes(&self.note) + logs
    }
}

/// How a run broke what it is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overrun {
    /// It ran for longer than its timeout.
    TimedOut,
    /// Its handler did not touch it in time.
    Stalled,
}

/// A new session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// Its namespace.
    pub namespace: NameId,
    /// Time to live.
    pub ttl_ms: u64,
    /// Since when.
    pub at: Ms,
    /// Library and version.
    pub client: String,
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Free labels.
    pub labels: Vec<(String, String)>,
    /// Name of the token that it came with; "" = none.
    pub token: String,
}

/// When a job ended and how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When it ended.
    pub at: Ms,
    /// When it is removed.
    pub remove_at: Ms,
    /// It counts against the queue's number of kept jobs.
    pub countable: bool,
}

/// What the end of a lease counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counts {
    /// The attempt failed and stays counted.
    Attempt,
    /// The worker was lost: a crash instead of an attempt.
    Crash,
    /// Snoozed by its handler: neither.
    Snooze,
    /// Given back unrun, or lost while the broker was away: neither.
    Nothing,
}

/// Why a job is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadReason {
    /// The last attempt failed.
    Failed,
    /// The handler said that a retry makes no sense.
    Fatal,
    /// Too many workers were lost with it.
    Poison,
    /// Its last run took too long, or its last lease ran out.
    Timeout,
    /// An operator gave it up.
    Operator,
    /// Its last handler did not touch it in time.
    Stalled,
    /// None of the jobs that it waited for ended as asked.
    Dependency,
}

/// How an attempt ended, for the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptEnd {
    /// The handler failed.
    Failed,
    /// The worker was lost.
    Lost,
    /// The visibility timeout ran out.
    Expired,
    /// Given back with a reason.
    Released,
    /// Cancelled while it ran.
    Cancelled,
    /// It broke what it is held to.
    Overran(Overrun),
}

/// One attempt in a job's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its number in the job's history, from 0.
    pub number: u32,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How it ended.
    pub end: AttemptEnd,
    /// Class of the error.
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// Stack trace.
    pub trace: String,
    /// Client, host and process that ran it.
    pub worker: String,
    /// When it was leased.
    pub started_at: Ms,
    /// When it ended.
    pub ended_at: Ms,
}

impl Note {
    /// About how many bytes the note takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        64 + self.kind.len() + self.message.len() + self.trace.len() + self.worker.len()
    }
}

/// A resource by its place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ResourceKey {
    /// Policy of a namespace.
    Namespace(NameId),
    /// Configuration of a queue.
    Queue(NameId),
    /// Policy of a kind.
    Kind(NameId),
    /// A limit; a pause is one, too.
    Limit(NameId),
    /// A schedule.
    Schedule(NameId),
    /// A sink.
    Sink(NameId),
}

/// What a resource says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceBody {
    /// Of a namespace or kind.
    Policy(Policy),
    /// Of a limit.
    Limit(Limit),
    /// Of a queue.
    Queue(QueueConf),
    /// Of a schedule.
    Schedule(Box<Schedule>),
    /// Of a sink.
    Sink(Box<Sink>),
}

impl ResourceBody {
    /// The schedule that it is, if it is one.
    #[must_use]
    pub fn schedule(self) -> Option<Box<Schedule>> {
        match self {
            Self::Schedule(schedule) => Some(schedule),
            Self::Policy(_) | Self::Limit(_) | Self::Queue(_) | Self::Sink(_) => None,
        }
    }

    /// What it says of jobs.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        match self {
            Self::Policy(policy) => Some(policy),
            Self::Queue(conf) => Some(&conf.policy),
            Self::Limit(_) | Self::Schedule(_) | Self::Sink(_) => None,
        }
    }

    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Policy(_) | Self::Limit(_) | Self::Queue(_) => 512,
            Self::Schedule(schedule) => schedule.weight(),
            Self::Sink(sink) => sink.weight(),
        }
    }
}

/// What ever happened in a queue. Not lowered by retention or deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Jobs enqueued.
    pub enqueued: u64,
    /// Jobs completed.
    pub completed: u64,
    /// Jobs that died.
    pub dead: u64,
    /// Jobs cancelled.
    pub cancelled: u64,
    /// Jobs not started in time.
    pub expired: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Leases that ended with their worker.
    pub crashes: u64,
}

/// What a waiting job is from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reshape {
    /// Its queue.
    pub queue: NameId,
    /// Its lane; 0 = none.
    pub key: NameId,
    /// What it says of itself; 0 = nothing.
    pub terms: NameId,
    /// 0..9, higher first.
    pub level: u8,
    /// What its key means.
    pub ordering: Ordering,
    /// Its payload, if that changes; it is the next version of that part.
    pub payload: Option<(u32, Blob)>,
}

/// What happened in one way of failing. Counts are not lowered by retention or deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// Attempts that failed so, and workers lost so.
    pub total: u64,
    /// The first of them.
    pub first_at: Ms,
    /// The last of them.
    pub last_at: Ms,
    /// How many by half hour since 1970, oldest first; at most a day of them.
    pub recent: Vec<(u32, u32)>,
    /// A job that failed so, the last one.
    pub sample: JobId,
    /// Queues it was seen in, the first of them.
    pub queues: Vec<NameId>,
    /// Kinds it was seen in, the first of them.
    pub kinds: Vec<NameId>,
}

impl Failures {
    /// About how many bytes it takes when stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        64 + 8 * self.recent.len() + 4 * (self.queues.len() + self.kinds.len())
    }
}
