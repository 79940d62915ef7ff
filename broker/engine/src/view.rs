//! Views: what a Query shows of jobs, queues, sessions and the broker.

use crate::command::{Beat, Scope};
use crate::fact::{Audit, DeadReason, ResourceBody, Totals};
use crate::flow::Group;
use crate::ids::{JobId, Ms, NameId, OperationId, Seq, SessionId};
use crate::ledger::job::State;
use crate::limit::Limit;
use crate::measure::Metric;
use crate::order::Told;
use crate::part::Slot;
use crate::policy::Policy;
use crate::schedule::{Progress, Schedule};
use alloc::string::String;
use alloc::vec::Vec;

/// A job as an operator sees it.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its identity.
    pub id: JobId,
    /// Its place in the broker's order.
    pub seq: Seq,
    /// Names as text.
    pub queue: String,
    /// Names as text.
    pub kind: String,
    /// Names as text.
    pub key: String,
    /// Its state.
    pub state: State,
    /// 0..9.
    pub level: u8,
    /// What it says of itself.
    pub policy: Policy,
    /// For search and selection.
    pub tags: Vec<String>,
    /// When it expires if it has not started; 0 = never.
    pub expires_at: Ms,
    /// When it was enqueued.
    pub created_at: Ms,
    /// When it may run, or was to run.
    pub run_at: Ms,
    /// Attempts made and not given back.
    pub attempt: u32,
    /// How many it may have.
    pub max_attempts: u32,
    /// How often it was handed out.
    pub deliveries: u32,
    /// Workers lost with it.
    pub crashes: u32,
    /// How many it may have.
    pub max_crashes: u32,
    /// Times it was snoozed.
    pub snoozes: u32,
    /// Slots it takes.
    pub cost: u32,
    /// Who holds it.
    pub lease: Option<LeaseView>,
    /// When it ended, when it is removed.
    pub ended: Option<(Ms, Ms)>,
    /// Why it is dead.
    pub dead: Option<DeadReason>,
    /// What its last failure is known by.
    pub error: Option<u64>,
    /// Its result was not kept because the disk was low, or what it held was let go because its queue keeps
    /// only so many bytes.
    pub result_dropped: bool,
    /// What ties it to other jobs.
    pub flow: FlowView,
    /// The dedup key that it holds; "" = none.
    pub dedup_key: String,
    /// The schedule that made it; "" = none.
    pub schedule: String,
    /// The tick it stands for; 0 = none.
    pub tick: Ms,
    /// Bytes of its payload.
    pub payload_len: u32,
    /// The producer's bytes; only when one job is asked for.
    pub payload: Slot,
    /// Content type, headers, tags.
    pub headers: Slot,
    /// The result; only when one job is asked for.
    pub result: Slot,
    /// The last attempts, oldest first; only when one job is asked for.
    pub history: Vec<Slot>,
    /// How far its handler is, in thousandths, as it said last.
    pub progress: u16,
    /// What its handler said last; of a job that does not run only with its history.
    pub note: Slot,
}

/// What ties a job to others, as an operator sees it.
#[derive(Clone, Debug, Default)]
pub struct FlowView {
    /// The jobs it still waits for.
    pub after: Vec<JobId>,
    /// The group it counts into.
    pub group: Option<JobId>,
    /// Of a group, its counters.
    pub counts: Option<Group>,
}

/// A lease as an operator sees it.
#[derive(Clone, Debug)]
pub struct LeaseView {
    /// Its fence.
    pub fence: u64,
    /// Its session.
    pub session: SessionId,
    /// Client, host and process.
    pub worker: String,
    /// Since when.
    pub leased_at: Ms,
    /// Until when; 0 = with the session.
    pub ends_at: Ms,
    /// It is to stop.
    pub cancel_asked: bool,
}

/// A queue as an operator sees it.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Jobs by state, in the order of [`State::ALL`].
    pub counts: [u64; State::COUNT],
    /// Lifetime totals.
    pub totals: Totals,
    /// Paused, and why.
    pub paused: Option<String>,
    /// Age of the oldest ready job.
    pub oldest_ready_ms: u64,
    /// Streams and long polls that would take a job of this queue now.
    pub waiting_streams: u64,
    /// Its configuration.
    pub conf: Option<(u64, ResourceBody)>,
}

/// A kind as an operator sees it.
#[derive(Clone, Debug)]
pub struct KindView {
    /// Its name.
    pub name: String,
    /// Jobs by state, in the order of [`State::ALL`].
    pub counts: [u64; State::COUNT],
    /// Jobs ever completed; an unclean stop may lose those of the last ten seconds.
    pub completed: u64,
    /// Attempts that ever failed, likewise.
    pub failed: u64,
    /// Streams that can run it.
    pub streams: u64,
    /// Its configuration.
    pub conf: Option<(u64, ResourceBody)>,
}

/// What an autoscaler needs to know of a queue.
#[derive(Clone, Debug)]
pub struct ScaleView {
    /// Its number.
    pub id: NameId,
    /// Its name.
    pub name: String,
    /// Jobs ready.
    pub ready: u64,
    /// Jobs leased.
    pub leased: u64,
    /// Slots of the streams that draw from it.
    pub slots: u64,
    /// How many these are; a worker has one.
    pub streams: u64,
    /// In which time the ready jobs are to be worked off.
    pub window_ms: u64,
    /// Filled in by the driver: how long the ready jobs take at the speed of late.
    pub backlog_ms: u64,
    /// Filled in by the driver: workers that would clear the backlog within the window.
    pub desired_workers: u64,
}

/// A course over time; the driver fills it.
#[derive(Clone, Debug)]
pub struct SeriesView {
    /// Of what.
    pub metric: Metric,
    /// Of which queue; None = of all of the namespace.
    pub queue: Option<(NameId, String)>,
    /// The namespace.
    pub namespace: NameId,
    /// Time of the first value.
    pub start_at: Ms,
    /// Time from value to value.
    pub step_ms: u64,
    /// How far it looks back.
    pub window_ms: u64,
    /// Filled in by the driver; none = it is not kept of this queue.
    pub values: Vec<u64>,
}

/// A limit as an operator sees it.
#[derive(Clone, Debug)]
pub struct LimitView {
    /// Its name.
    pub name: String,
    /// What it says.
    pub limit: Limit,
    /// What it bounds, by name.
    pub scope: Scope,
    /// Rises with each Put.
    pub version: u64,
    /// Cost leased under it now, of all keys together.
    pub in_use: u64,
    /// Lanes that wait on it.
    pub waiting_lanes: u64,
    /// Time until it lets the next job start, of the first key that waits; 0 = at once, or not known.
    pub next_free_ms: u64,
    /// Its breaker is open until then; 0 = closed.
    pub open_until: Ms,
}

/// A schedule as an operator sees it.
#[derive(Clone, Debug)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// What it says.
    pub schedule: Schedule,
    /// Rises with each Put.
    pub version: u64,
    /// How far it has come.
    pub progress: Progress,
}

/// Why a job is not running.
#[derive(Clone, Debug)]
pub struct ExplainView {
    /// The job.
    pub id: JobId,
    /// Where it stands.
    pub state: State,
    /// The strongest first; empty = nothing keeps it, or it runs, or has ended.
    pub causes: Vec<Cause>,
    /// Since when it runs, has ended, or, if it is ready, could have run by its time; otherwise when it was enqueued.
    pub since: Ms,
}

/// One thing that keeps a job from running.
#[derive(Clone, Debug)]
pub enum Cause {
    /// Its time has not come.
    Scheduled {
        /// Time left.
        for_ms: u64,
        /// Attempts made; above 0 it waits for the next one.
        attempt: u32,
    },
    /// Nobody has confirmed it.
    Held,
    /// It waits for other jobs.
    Blocked {
        /// How many.
        open: u64,
        /// Of how many.
        of: u64,
        /// The first of them, at most 10.
        ids: Vec<JobId>,
        /// They are the members of the group that it is.
        is_group: bool,
    },
    /// The broker is stopping, or its disk is full: nothing starts.
    Draining,
    /// Jobs of its key run one at a time.
    Serial {
        /// The key.
        key: String,
        /// The first of them.
        behind: JobId,
        /// Where that one stands.
        state: State,
        /// How long that one has been running; 0 = it does not run.
        running_ms: u64,
        /// How many come before.
        ahead: u64,
    },
    /// A limit keeps it.
    Limit(LimitCause),
    /// No session fetches this kind from this queue.
    NoWorker {
        /// The queue.
        queue: String,
        /// The kind.
        kind: String,
    },
    /// No session that could run it has these labels.
    NoLabels {
        /// All of them are needed.
        labels: Vec<(String, String)>,
    },
    /// Whoever could run it was told to take no more jobs.
    Quiet {
        /// How many streams and long polls could run it.
        workers: u64,
    },
    /// Whoever could run it has no room.
    NoSlots {
        /// How many streams and long polls could run it.
        workers: u64,
        /// Their slots.
        slots: u64,
        /// Slots it takes.
        cost: u32,
    },
    /// It has taken workers with it and waits for a session that holds nothing else.
    Suspect {
        /// How many.
        crashes: u32,
    },
    /// Others go before it.
    Behind {
        /// Jobs of its own lane.
        ahead: u64,
        /// Other lanes of its level.
        lanes: u64,
        /// Lanes of higher levels.
        higher: u64,
        /// Its level.
        level: u8,
    },
}

/// A limit that keeps a job.
#[derive(Clone, Debug)]
pub struct LimitCause {
    /// Its name.
    pub name: String,
    /// The key it counts for; "" = all.
    pub key: String,
    /// It lets nothing through.
    pub is_pause: bool,
    /// A handler closed it for a while.
    pub is_pushed_back: bool,
    /// Its breaker is open.
    pub is_broken: bool,
    /// It bounds the share of retries, and the job is one too many.
    pub is_retry: bool,
    /// What runs under it keeps the job, and not time.
    pub is_full: bool,
    /// Why it is there.
    pub why: String,
    /// Cost leased under it.
    pub in_use: u64,
    /// Most cost leased at once.
    pub concurrency: Option<u32>,
    /// Cost per milliseconds; 0 = any.
    pub rate: (u64, u64),
    /// When it lets the next one pass, at the latest; 0 = when something that runs ends, or not known.
    pub for_ms: u64,
}

/// A session as an operator sees it.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Its identity.
    pub id: SessionId,
    /// Library and version.
    pub client: String,
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Free labels.
    pub labels: Vec<(String, String)>,
    /// Since when.
    pub since: Ms,
    /// Time since its last sign of life.
    pub silent_ms: u64,
    /// Jobs it holds.
    pub leases: u64,
    /// Open connections.
    pub connections: u64,
    /// Open streams and long polls.
    pub streams: usize,
    /// Slots of its streams.
    pub slots: u64,
    /// Queues its streams fetch from, as far as the asker may see them.
    pub queues: Vec<String>,
    /// Kinds its streams accept.
    pub kinds: Vec<String>,
    /// What it said of itself last.
    pub beat: Option<Beat>,
    /// What it was told to go by.
    pub told: Told,
    /// Name of the token that it came with; "" = none.
    pub token: String,
}

/// What somebody changed, as an operator sees it.
#[derive(Clone, Debug)]
pub struct AuditView {
    /// Number of the entry, rising.
    pub number: u64,
    /// What, and who.
    pub audit: Audit,
}

/// A resource as it is stored.
#[derive(Clone, Debug)]
pub struct ConfigView {
    /// As Put takes it, like `queue/mail`.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// When it was set.
    pub changed_at: Ms,
    /// What it says.
    pub body: ResourceBody,
    /// What a limit bounds, by name.
    pub scope: Scope,
}

/// A way of failing, as an operator sees it.
#[derive(Clone, Debug)]
pub struct ErrorView {
    /// What it is known by.
    pub fingerprint: u64,
    /// Class of the failure.
    pub kind: String,
    /// Its message, with masks.
    pub message: String,
    /// Attempts that failed so, as far as was looked back.
    pub count: u64,
    /// Jobs that are dead of it and still kept.
    pub dead: u64,
    /// The first one.
    pub first_at: Ms,
    /// The last one.
    pub last_at: Ms,
    /// A job that failed so.
    pub sample: JobId,
    /// Queues it was seen in, at most 16.
    pub queues: Vec<String>,
    /// Kinds it was seen in, at most 16.
    pub kinds: Vec<String>,
}

/// A change that was given an id, as an operator sees it.
#[derive(Clone, Debug)]
pub struct OperationView {
    /// Its identity.
    pub id: OperationId,
    /// What it does.
    pub to: &'static str,
    /// Jobs it was to change.
    pub matched: u64,
    /// Jobs it has changed.
    pub changed: u64,
    /// When it began.
    pub started_at: Ms,
    /// When it ended; 0 = it has not.
    pub finished_at: Ms,
    /// Why it was asked for.
    pub reason: String,
    /// Why it ended early; "" = it did not.
    pub stopped_why: String,
    /// Name of the token that it came with; "" = none.
    pub by: String,
}

/// What the engine knows of the broker; the driver adds what the disk knows.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// The epoch.
    pub epoch: u32,
    /// When the broker started.
    pub started_at: Ms,
    /// The broker's clock.
    pub now: Ms,
    /// Jobs of all states.
    pub jobs: u64,
    /// Sessions.
    pub sessions: u64,
    /// Connections.
    pub connections: u64,
    /// Stopping.
    pub draining: bool,
    /// Filled in by the driver.
    pub disk: DiskView,
}

/// What the driver knows of its store.
#[derive(Clone, Debug, Default)]
pub struct DiskView {
    /// Facts committed since the start.
    pub facts: u64,
    /// Batches made durable since the start.
    pub batches: u64,
    /// Median duration of a sync.
    pub sync_p50_us: u64,
    /// 99th percentile of a sync.
    pub sync_p99_us: u64,
    /// Bytes of journal segments.
    pub journal_bytes: u64,
    /// Journal segments.
    pub segments: u64,
    /// Folds since the start.
    pub folds: u64,
    /// Bytes of parts not yet folded.
    pub unfolded_bytes: u64,
    /// Bytes of the folded store's files.
    pub store_bytes: u64,
    /// Bytes free on the disk.
    pub free_bytes: u64,
    /// Name of the file system.
    pub filesystem: String,
    /// Resident memory of the broker.
    pub rss_bytes: u64,
    /// Processor time of the broker so far, user and system.
    pub cpu_us: u64,
}
