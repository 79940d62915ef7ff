//! Query and Watch: what is read, now and as it happens.

use super::Select;
use crate::event::EventName;
use crate::filter::States;
use crate::ids::{JobId, Ms, OperationId, Seq, SessionId};
use crate::measure::Metric;
use alloc::string::String;
use alloc::vec::Vec;

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
    /// Kinds whose name is after the cursor.
    Kinds {
        /// Only this kind; "" = all.
        name: String,
        /// Name of the last row of the previous page.
        after: String,
        /// Rows.
        limit: usize,
    },
    /// What an autoscaler needs to know of queues whose name is after the cursor.
    Scale {
        /// Only this queue; "" = all.
        name: String,
        /// In which time the ready jobs are to be worked off.
        window_ms: Ms,
        /// Name of the last row of the previous page.
        after: String,
        /// Rows.
        limit: usize,
    },
    /// Courses over time.
    Series(SeriesQuery),
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
    /// Schedules whose name is after the cursor.
    Schedules {
        /// Only this schedule; "" = all.
        name: String,
        /// Name of the last row of the previous page.
        after: String,
        /// Rows.
        limit: usize,
    },
    /// Why a job is not running.
    Explain(JobId),
    /// A page of a job's log.
    Logs {
        /// The job.
        id: JobId,
        /// From this chunk on, without so many of its lines.
        after: (u32, u32),
        /// Lines.
        limit: usize,
    },
    /// A snapshot, piece by piece; whoever drives the engine takes it.
    Export {
        /// The place that the answer before named; None begins one.
        after: Option<u64>,
    },
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
    /// What was changed, after the cursor.
    Audit {
        /// Number of the last row of the previous page.
        after: Option<u64>,
        /// Rows.
        limit: usize,
        /// Highest number first.
        newest_first: bool,
    },
    /// Changes that were given an id, after the cursor.
    Operations {
        /// Id of the last row of the previous page.
        after: Option<OperationId>,
        /// Rows.
        limit: usize,
    },
}

/// Courses over time.
#[derive(Clone, Debug)]
pub struct SeriesQuery {
    /// Of what; empty = of all that is kept.
    pub metrics: Vec<Metric>,
    /// Of which queue; "" = of all together.
    pub queue: String,
    /// Of every queue, one by one.
    pub each: bool,
    /// How far to look back.
    pub window_ms: Ms,
    /// Time from value to value.
    pub step_ms: Ms,
    /// Queue of the last row of the previous page.
    pub after: String,
    /// Rows.
    pub limit: usize,
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
    /// Tell the output of the named jobs.
    pub with_stream: bool,
}

impl Watch {
    /// It is found through its jobs, and reads no events of others.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        !self.ids.is_empty() && (self.from_seq == 0 || self.until_finished)
    }
}
