//! Commands: what a client asks for, already checked in form by the session floor.

use crate::blob::Blob;
use crate::event::EventName;
use crate::fact::ResourceBody;
use crate::filter::{Filter, States};
use crate::ids::{JobId, Ms, OperationId, Seq, SessionId};
pub use crate::operation::{Mutation, Pace, Patch};
use crate::terms::{Gate, Terms};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One variant a verb, and the two things a socket can tell.
#[derive(Clone, Debug)]
pub enum Command {
    /// Opens, resumes or attaches to a session.
    Hello(Box<Hello>),
    /// Stores jobs.
    Enqueue(Enqueue),
    /// Asks for jobs.
    Fetch(Box<Fetch>),
    /// Ends leases.
    Settle(Vec<Settlement>),
    /// Signs of life and longer leases.
    Touch(Touch),
    /// Mutates jobs.
    Change(Box<Change>),
    /// Ends a change that is under way.
    Stop(OperationId),
    /// Reads.
    Query(Query),
    /// Configuration.
    Put(Put),
    /// Subscribes to events.
    Watch(Box<Watch>),
    /// Ends the session.
    Bye {
        /// Leave the leases standing for a resume within the session's time to live.
        keep_leases: bool,
    },
    /// A byte arrived, or the broker itself did not read: either way the session is not silent.
    Sign,
    /// The peer has read enough: its streams get jobs again.
    Unchoke,
    /// The connection is closed.
    Hangup,
}

/// The first command of a connection.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Namespace; "default" when the client named none.
    pub namespace: String,
    /// Library and version, like "rust/0.1.0".
    pub client: String,
    /// The client's host name.
    pub host: String,
    /// The client's process id.
    pub pid: u32,
    /// Free labels.
    pub labels: Vec<(String, String)>,
    /// Time to live; 0 = the default.
    pub session_ttl_ms: u64,
    /// The session to resume, its secret already verified.
    pub resume: Option<SessionId>,
    /// All that the worker runs: what it does not list is given back. None = attach only.
    pub running: Option<Vec<(JobId, u64)>>,
    /// Fresh randomness for the id of a new session.
    pub fresh: SessionId,
}

/// Jobs to store.
#[derive(Clone, Debug)]
pub struct Enqueue {
    /// The jobs, each checked in form: a spec, or what is wrong with it (only when `partial`).
    pub jobs: Vec<Result<JobSpec, Refusal>>,
    /// Store what can be stored; otherwise all or nothing.
    pub partial: bool,
    /// Answer when the jobs have ended, or after this long.
    pub wait_ms: Option<u64>,
}

/// A job as its producer describes it.
#[derive(Clone, Debug, Default)]
pub struct JobSpec {
    /// Its identity.
    pub id: JobId,
    /// Queue name.
    pub queue: String,
    /// Kind name.
    pub kind: String,
    /// Lane inside the queue; "" = none.
    pub key: String,
    /// Opaque to the broker.
    pub payload: Blob,
    /// Content type and headers: opaque here, encoded by the session floor.
    pub headers: Blob,
    /// Earliest time to run; 0 = now.
    pub run_at: Ms,
    /// Not started by then, it expires; 0 = never.
    pub expires_at: Ms,
    /// How it is treated and found.
    pub terms: Terms,
    /// What must be so before it may start.
    pub gate: Gate,
    /// What to do when a job for the same thing exists.
    pub dedup: Option<Box<Dedup>>,
    /// It waits for its confirmation.
    pub hold: Option<Hold>,
}

/// When a job for the same thing exists.
#[derive(Clone, Debug)]
pub struct Dedup {
    /// What is the same for both.
    pub key: String,
    /// Compared in the whole namespace, not only in the queue.
    pub whole_namespace: bool,
    /// How long the new job has the key.
    pub until: DedupUntil,
    /// What becomes of the new job when another one has it.
    pub on_conflict: OnConflict,
    /// Longest payload of a job that others append to.
    pub payload_bytes_max: u32,
}

/// How long a job has its dedup key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupUntil {
    /// Until it ends.
    Finish,
    /// Until it is first leased.
    Start,
    /// For so long after it was enqueued.
    Window(Ms),
}

/// What becomes of a job whose dedup key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// It is dropped.
    KeepOld,
    /// The other one takes its payload and its time, unless it has started.
    Replace,
    /// It runs after the other one; at most one waits, the newest.
    RunAfter,
    /// The other one is cancelled.
    CancelRunning,
    /// It is refused.
    Reject,
    /// The other one takes its payload in addition to its own, unless it has started.
    Append,
}

/// How a job waits for its confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// For how long.
    pub ttl_ms: Ms,
    /// Then it runs, instead of expiring.
    pub then_run: bool,
}

/// A request for jobs.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// 0 opens a stream; otherwise the request id of the stream to change or close.
    pub stream: u64,
    /// Queues in strict order.
    pub queues: Vec<String>,
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
    /// Close the stream named by `stream`.
    pub close: bool,
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
}

/// How a lease ended.
#[derive(Clone, Debug)]
pub enum How {
    /// Done; the result is opaque here, encoded by the session floor.
    Complete(Blob),
    /// The attempt failed.
    Fail {
        /// What went wrong.
        error: ErrorNote,
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
        throttle: Option<Throttle>,
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
}

/// Which jobs: those that all of it agrees on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// Any of these; None = chosen by the rest alone.
    pub ids: Option<Vec<JobId>>,
    /// Queue name; "" = all.
    pub queue: String,
    /// In one of these states.
    pub states: States,
    /// And this holds.
    pub filter: Filter,
}

/// A change of jobs.
#[derive(Clone, Debug)]
pub struct Change {
    /// The jobs.
    pub select: Select,
    /// What to do with each.
    pub to: Mutation,
    /// Count, but change nothing.
    pub dry_run: bool,
    /// Most jobs to change; 0 = all.
    pub max: u64,
    /// How fast, and when to give up.
    pub pace: Pace,
    /// Its identity, if it has one: the same one is not carried out twice.
    pub operation: Option<OperationId>,
    /// Why; for people.
    pub reason: String,
}

impl Change {
    /// A change of all that are selected, at once.
    #[must_use]
    pub fn new(select: Select, to: Mutation) -> Self {
        let (pace, reason) = (Pace::default(), String::new());
        Self { select, to, dry_run: false, max: 0, pace, operation: None, reason }
    }
}

impl Select {
    /// The jobs with these ids.
    #[must_use]
    pub fn ids(ids: Vec<JobId>) -> Self {
        Self { ids: Some(ids), ..Self::default() }
    }
}

/// A read.
#[derive(Clone, Debug)]
pub enum Query {
    /// One job, whole.
    Job(JobId),
    /// A page of jobs.
    Jobs(JobsQuery),
    /// Queues whose name is after the cursor.
    Queues {
        /// Only this queue; "" = all.
        name: String,
        /// Name of the last row of the previous page.
        after: String,
        /// Rows.
        limit: usize,
    },
    /// Sessions after the cursor.
    Sessions {
        /// Id of the last row of the previous page.
        after: Option<SessionId>,
        /// Rows.
        limit: usize,
    },
    /// Limits whose name is after the cursor.
    Limits {
        /// Only this limit; "" = all.
        name: String,
        /// Name of the last row of the previous page.
        after: String,
        /// Rows.
        limit: usize,
    },
    /// Why a job is not running.
    Explain(JobId),
    /// The broker itself.
    Server,
    /// Ways of failing, the most frequent first.
    Errors {
        /// Only those seen in this queue; "" = all.
        queue: String,
        /// Only those seen in jobs of this kind; "" = all.
        kind: String,
        /// How far to look back.
        window_ms: Ms,
        /// Rows.
        limit: usize,
    },
    /// Resources whose name is after the cursor.
    Config {
        /// Only this resource; "" = all.
        name: String,
        /// Name of the last row of the previous page.
        after: String,
        /// Rows.
        limit: usize,
    },
    /// Changes that were given an id, after the cursor.
    Operations {
        /// Id of the last row of the previous page.
        after: Option<OperationId>,
        /// Rows.
        limit: usize,
    },
}

/// A page of jobs.
#[derive(Clone, Debug, Default)]
pub struct JobsQuery {
    /// Which.
    pub select: Select,
    /// What of variable size is shown.
    pub fields: Fields,
    /// `seq` of the last row of the previous page.
    pub after: Option<Seq>,
    /// Rows.
    pub limit: usize,
    /// Highest `seq` first.
    pub newest_first: bool,
}

/// Which pieces of variable size a page of jobs shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "any of them may be asked for, in any company")]
pub struct Fields {
    /// The payload.
    pub payload: bool,
    /// Headers, content type and tags.
    pub headers: bool,
    /// The result.
    pub result: bool,
    /// The last attempts.
    pub history: bool,
}

impl Fields {
    /// All there is.
    pub const ALL: Self = Self { payload: true, headers: true, result: true, history: true };
    /// Heads alone.
    pub const NONE: Self = Self { payload: false, headers: false, result: false, history: false };
}

/// A subscription to events.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// 0 opens a stream; otherwise the request id of the stream to close.
    pub stream: u64,
    /// Names of events; empty = all.
    pub names: Vec<EventName>,
    /// Only of these jobs; empty = of all.
    pub ids: Vec<JobId>,
    /// Only of this queue; "" = of all.
    pub queue: String,
    /// Only of this kind; "" = of all.
    pub kind: String,
    /// Only of this key; "" = of all.
    pub key: String,
    /// Only of jobs that are in one of these states then.
    pub states: States,
    /// First the kept events from this number on; 0 = only new ones.
    pub from_seq: u64,
    /// End when all named jobs have ended.
    pub until_finished: bool,
    /// Tell the result of a completed job.
    pub with_result: bool,
}

impl Watch {
    /// It is found through its jobs, and reads no events of others.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        !self.ids.is_empty() && (self.from_seq == 0 || self.until_finished)
    }
}

/// Resources to set and to remove.
#[derive(Clone, Debug, Default)]
pub struct Put {
    /// To set.
    pub set: Vec<SetResource>,
    /// To remove.
    pub remove: Vec<Target>,
    /// Check, but change nothing.
    pub dry_run: bool,
    /// Remove every resource of the namespace that is not set.
    pub prune: bool,
    /// Why; for people.
    pub reason: String,
}

/// One resource to set.
#[derive(Clone, Debug)]
pub struct SetResource {
    /// Which.
    pub target: Target,
    /// Refuse unless the stored version is this one; 0 = whatever it is.
    pub if_version: u64,
    /// What; of a limit without what it bounds.
    pub body: ResourceBody,
    /// What a limit bounds.
    pub scope: Scope,
}

/// What a limit bounds, by name; "" = any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Jobs of this queue.
    pub queue: String,
    /// Jobs of this kind.
    pub kind: String,
    /// Jobs of this lane.
    pub key: String,
}

/// What a resource's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `namespace`
    Namespace,
    /// `queue/NAME`
    Queue(String),
    /// `kind/NAME`
    Kind(String),
    /// `limit/NAME`
    Limit(String),
}

/// Why a command was refused; the whole answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For machines.
    pub code: Code,
    /// For people: what happened and what to do.
    pub message: String,
    /// The field at fault, like `jobs[3].queue`; "" = none.
    pub field: String,
    /// When it may be tried again; 0 = it makes no sense to.
    pub retry_after_ms: u64,
}

/// The kinds of refusal, the same as the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The client asked for something malformed or contradictory.
    Invalid,
    /// It is not there.
    NotFound,
    /// Somebody else changed it first.
    VersionConflict,
    /// A bound is reached; try later.
    Exhausted,
    /// Over a size bound.
    TooLarge,
    /// The broker is stopping.
    Draining,
    /// The schema has it, this broker does not do it.
    Unsupported,
}

impl Refusal {
    /// A refusal without a retry.
    #[must_use]
    pub fn new(code: Code, field: &str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: field.into(), retry_after_ms: 0 }
    }

    /// The same refusal, worth another try after `ms`.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = ms;
        self
    }
}
