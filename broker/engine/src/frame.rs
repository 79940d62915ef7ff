//! Frames: what the engine answers. They leave when the batch of their turn is durable.

use crate::blob::Blob;
use crate::command::Refusal;
use crate::event::Event;
use crate::fact::RunLimits;
use crate::ids::{ConnId, JobId, Ms, NameId, OperationId, Request, Seq, SessionId};
use crate::ledger::job::State;
use crate::order::Order;
use crate::part::Slot;
use crate::view::{
    AuditView, ConfigView, ErrorView, ExplainView, JobView, KindView, LimitView, OperationView, QueueView,
    ScaleView, ScheduleView, SeriesView, ServerView, SessionView,
};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One answer on its way to one connection.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Which connection and request; request 0 = a Signal.
    pub to: Request,
    /// The last frame of its request: the client's window moves on.
    pub last: bool,
    /// What.
    pub body: Body,
}

/// What a frame says.
#[derive(Clone, Debug)]
pub enum Body {
    /// Answers Hello.
    Welcome(Box<Welcome>),
    /// Answers Enqueue, one a job in order.
    Enqueued(Vec<EnqueuedOne>),
    /// Jobs of a stream or long poll.
    Deliver {
        /// The jobs, each with a lease.
        works: Vec<Work>,
        /// The stream or long poll ends here.
        end: bool,
    },
    /// Answers Settle, one a result in order.
    Settled(Vec<SettledOne>),
    /// Answers Touch, one a lease in order.
    Touched(Vec<TouchedOne>),
    /// Answers Change.
    Changed {
        /// Jobs the selector found.
        matched: u64,
        /// Jobs that changed.
        changed: u64,
        /// Ids of some jobs or sessions that match.
        sample: Vec<[u8; 16]>,
        /// The change goes on in the background.
        operation: Option<OperationId>,
    },
    /// Answers Query.
    Rows(Box<Rows>),
    /// Something happened that a Watch wants to hear of.
    Event {
        /// What; None = the watch ends here.
        event: Option<Arc<Event>>,
        /// A result.
        data: Slot,
        /// Events before this one were dropped.
        lagged: bool,
    },
    /// Answers Put: the version of each resource set, or why not.
    Stored(Vec<Result<u64, Refusal>>),
    /// Answers Bye, and the end of a stream.
    Closed,
    /// Answers an advance of the test clock.
    ClockAdvanced {
        /// The broker's clock.
        now: Ms,
    },
    /// Pushed, not asked for.
    Signal(Signal),
    /// The whole answer to a refused command.
    Error(Refusal),
    /// Close the connection; never on the wire.
    Cut,
}

/// A session stands.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// The session.
    pub session: SessionId,
    /// Its namespace.
    pub namespace: NameId,
    /// Its time to live.
    pub session_ttl_ms: u64,
    /// The broker's clock.
    pub now: Ms,
    /// The broker's epoch.
    pub epoch: u32,
    /// Of the leases the worker listed, those it still holds.
    pub leases_kept: Vec<JobId>,
}

/// What became of one job of an Enqueue.
#[derive(Clone, Debug)]
pub struct EnqueuedOne {
    /// Its identity.
    pub id: JobId,
    /// Its place and state; Err = why it was not stored.
    pub what: Result<Stored, Box<Refusal>>,
    /// Its result, when its end was waited for, or when it has the dedup key of the job that was sent.
    pub result: Slot,
}

/// The job that stands for one that was sent.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its place in the broker's order; 0 = it is already gone.
    pub seq: Seq,
    /// Its state now.
    pub state: State,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with a job of an Enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Created,
    /// Its id, or its dedup key, was known; nothing was changed.
    Duplicate,
    /// An older job took its payload and its time.
    Replaced,
    /// An older job took its payload in addition to its own.
    Appended,
    /// It runs after an older one.
    QueuedAfter,
    /// It was refused because of an older one, and why.
    Rejected(Box<Refusal>),
}

/// A leased job on its way to a worker.
#[derive(Clone, Debug)]
pub struct Work {
    /// The job's place in the broker's order.
    pub seq: Seq,
    /// Its identity.
    pub id: JobId,
    /// The lease's fence.
    pub fence: u64,
    /// When the lease ends; 0 = with the session.
    pub ends_at: Ms,
    /// When it was decided, so that a deadline can be told as a duration.
    pub now: Ms,
    /// Name as text, shared by the jobs of a frame.
    pub queue: Arc<str>,
    /// Name as text, shared by the jobs of a frame.
    pub kind: Arc<str>,
    /// Name as text.
    pub key: String,
    /// The producer's bytes.
    pub payload: Slot,
    /// Content type, headers, tags.
    pub headers: Slot,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How many it may have.
    pub max_attempts: u32,
    /// How often it was handed out, this time included.
    pub deliveries: u32,
    /// Workers lost with it.
    pub crashes: u32,
    /// Times it was snoozed.
    pub snoozes: u32,
    /// When it was enqueued.
    pub created_at: Ms,
    /// It runs alone in its session.
    pub suspect: bool,
    /// Slots it takes.
    pub cost: u32,
    /// What few runs have.
    pub run: Option<Box<RunWork>>,
}

/// What goes with a run beyond the plain.
#[derive(Clone, Debug, Default)]
pub struct RunWork {
    /// What it is held to.
    pub limits: RunLimits,
    /// What an earlier run has stored for it.
    pub checkpoint: Slot,
    /// The jobs it waited for.
    pub after: Vec<JobId>,
    /// The tick it stands for; 0 = none.
    pub tick: Ms,
}

/// What became of one result of a Settle.
#[derive(Clone, Debug)]
pub struct SettledOne {
    /// Whether it counted.
    pub code: SettleCode,
    /// The job's state now, if the job is known.
    pub state: Option<State>,
    /// What of it could not be done although it counted; or why nothing was done, when a job of its spawn was
    /// refused. The field is one of the result.
    pub error: Option<Box<Refusal>>,
}

/// Whether a lease was still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleCode {
    /// Yes.
    Settled,
    /// No: it was lost, and the job may be running elsewhere.
    LeaseLost,
    /// This very lease was settled before.
    AlreadySettled,
    /// No such job.
    UnknownJob,
    /// A job that was to follow was refused, so nothing was done.
    SpawnRejected,
}

/// The state of one touched lease.
#[derive(Clone, Debug)]
pub struct TouchedOne {
    /// Settled = the lease stands.
    pub code: SettleCode,
    /// The worker should stop.
    pub cancel: bool,
    /// Why, as far as that is kept.
    pub reason: &'static str,
    /// How long the lease has; 0 = as long as the session.
    pub ends_in_ms: u64,
}

/// Something a worker should know at once.
#[derive(Clone, Debug)]
pub enum Signal {
    /// Stop this job; its lease is revoked after the given time.
    Cancel {
        /// The job.
        job: JobId,
        /// The lease's fence.
        fence: u64,
        /// Why.
        reason: String,
        /// Time left.
        ends_in_ms: u64,
    },
    /// This lease is gone; what it does no longer counts.
    LeaseLost {
        /// The job.
        job: JobId,
        /// The lease's fence.
        fence: u64,
        /// Why.
        reason: String,
    },
    /// The broker is stopping: reconnect.
    GoAway,
    /// An operator has a word for the worker as a whole.
    Order(Order),
}

/// A page of rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Jobs.
    pub jobs: Vec<JobView>,
    /// Queues.
    pub queues: Vec<QueueView>,
    /// Sessions.
    pub sessions: Vec<SessionView>,
    /// Kinds.
    pub kinds: Vec<KindView>,
    /// What an autoscaler needs.
    pub scales: Vec<ScaleView>,
    /// Courses over time.
    pub series: Vec<SeriesView>,
    /// Resources.
    pub configs: Vec<ConfigView>,
    /// Ways of failing.
    pub errors: Vec<ErrorView>,
    /// Changes that were given an id.
    pub operations: Vec<OperationView>,
    /// What was changed.
    pub audits: Vec<AuditView>,
    /// Limits.
    pub limits: Vec<LimitView>,
    /// Schedules.
    pub schedules: Vec<ScheduleView>,
    /// Why jobs do not run.
    pub explains: Vec<ExplainView>,
    /// Lines of a job's log.
    pub logs: Option<Box<LogRows>>,
    /// A piece of a snapshot.
    pub export: Option<Box<ExportRow>>,
    /// The broker.
    pub server: Option<Box<ServerView>>,
    /// Where the next page begins; None = this was the last.
    pub cursor: Option<Cursor>,
    /// How many there are in all, if that is known.
    pub total: Option<u64>,
}

/// A piece of a snapshot, to be filled in by whoever takes it.
#[derive(Clone, Debug, Default)]
pub struct ExportRow {
    /// The place it was asked for.
    pub after: Option<u64>,
    /// Its bytes.
    pub piece: Blob,
}

/// Lines of a job's log: they are still in the chunks in which they came.
#[derive(Clone, Debug, Default)]
pub struct LogRows {
    /// The job.
    pub id: Option<JobId>,
    /// By their versions.
    pub chunks: Vec<(u32, Slot)>,
    /// Lines of the first chunk that the page before had.
    pub skip: u32,
    /// Most lines of the page.
    pub limit: usize,
    /// There are more behind these, from this version on.
    pub next: Option<u32>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// After this job.
    Seq(Seq),
    /// After this name.
    Name(String),
    /// After this session.
    Session(SessionId),
    /// After this change.
    Operation(OperationId),
    /// In a log: this chunk, after so many of its lines.
    Log(u32, u32),
}

impl Frame {
    /// The last frame of a request.
    #[must_use]
    pub fn answer(to: Request, body: Body) -> Self {
        Self { to, last: true, body }
    }

    /// A refusal, the whole answer.
    pub(crate) fn refuse(to: Request, refusal: Refusal) -> Self {
        Self::answer(to, Body::Error(refusal))
    }

    /// Not asked for by any request.
    pub(crate) fn push(conn: ConnId, body: Body) -> Self {
        Self { to: Request { conn, id: 0 }, last: false, body }
    }

    /// The slots that the driver fills before the frame may leave.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        let works: &mut [Work] = match &mut self.body {
            Body::Deliver { works, .. } => works,
            Body::Welcome(_)
            | Body::Enqueued(_)
            | Body::Settled(_)
            | Body::Touched(_)
            | Body::Changed { .. }
            | Body::Event { .. }
            | Body::Rows(_)
            | Body::Stored(_)
            | Body::Closed
            | Body::ClockAdvanced { .. }
            | Body::Signal(_)
            | Body::Error(_)
            | Body::Cut => &mut [],
        };
        works.iter_mut().flat_map(|work| {
            let checkpoint = work.run.as_mut().map(|run| &mut run.checkpoint);
            [&mut work.payload, &mut work.headers].into_iter().chain(checkpoint)
        })
    }

    /// The slots of the jobs in a page of rows, and those of results that were waited for.
    pub fn row_slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        let mut event: Option<&mut Slot> = None;
        let mut logs: Option<&mut LogRows> = None;
        let mut ones: &mut [EnqueuedOne] = &mut [];
        let jobs: &mut [JobView] = match &mut self.body {
            Body::Rows(rows) => {
                logs = rows.logs.as_deref_mut();
                &mut rows.jobs
            }
            Body::Enqueued(enqueued) => {
                ones = enqueued;
                &mut []
            }
            Body::Event { data, .. } => {
                event = Some(data);
                &mut []
            }
            Body::Welcome(_)
            | Body::Deliver { .. }
            | Body::Settled(_)
            | Body::Touched(_)
            | Body::Changed { .. }
            | Body::Stored(_)
            | Body::Closed
            | Body::ClockAdvanced { .. }
            | Body::Signal(_)
            | Body::Error(_)
            | Body::Cut => &mut [],
        };
        let rows = jobs.iter_mut().flat_map(|job| {
            let bodies = [&mut job.payload, &mut job.headers, &mut job.result, &mut job.note];
            bodies.into_iter().chain(job.history.iter_mut())
        });
        let logs = logs.into_iter().flat_map(|logs| logs.chunks.iter_mut().map(|(_, chunk)| chunk));
        rows.chain(logs).chain(ones.iter_mut().map(|one| &mut one.result)).chain(event)
    }
}

impl From<Refusal> for Body {
    fn from(refusal: Refusal) -> Self {
        Self::Error(refusal)
    }
}
