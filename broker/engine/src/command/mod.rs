//! Commands: what a client asks for, already checked in form by the session floor.

mod clock;
mod configure;
mod enqueue;
mod operate;
mod read;
mod refusal;
mod work;

pub use crate::operation::{Mutation, Pace, Patch};
pub use clock::AdvanceClock;
pub use configure::{Put, Scope, SetResource, Target};
pub use enqueue::{After, Dedup, DedupUntil, Enqueue, Flow, Hold, JobSpec, OnConflict, Wishes};
pub use operate::{Change, Select, Tell};
pub use read::{Fields, JobsQuery, Query, SeriesQuery, Watch};
pub use refusal::{Code, Refusal};
pub use work::{Batch, Beat, ErrorNote, Fetch, How, JobTouch, Settlement, Spawn, Telling, Throttle, Touch};

use crate::ids::{JobId, OperationId, SessionId};
use crate::reach::Reach;
use crate::schedule::Tick;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

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
    /// Tells sessions something.
    Tell(Box<Tell>),
    /// Ends a change that is under way.
    Stop {
        /// Its identity.
        id: OperationId,
        /// Why; for people.
        reason: String,
    },
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
    /// Lets the test clock go on.
    AdvanceClock(AdvanceClock),
    /// The ticks of a schedule that the engine asked for.
    Tick(Box<Tick>),
    /// A byte arrived, or the broker itself did not read: either way the session is not silent.
    Sign,
    /// The peer has read enough: its streams get jobs again.
    Unchoke,
    /// The connection is closed.
    Hangup,
}

impl Command {
    /// The words of the verbs, in order.
    pub const VERBS: [&'static str; 10] =
        ["hello", "enqueue", "fetch", "settle", "touch", "change", "query", "watch", "put", "bye"];

    /// The place of its verb in [`Command::VERBS`]; None = it comes from the broker itself, or from a test.
    #[must_use]
    pub fn verb(&self) -> Option<usize> {
        match self {
            Self::Hello(_) => Some(0),
            Self::Enqueue(_) => Some(1),
            Self::Fetch(_) => Some(2),
            Self::Settle(_) => Some(3),
            Self::Touch(_) => Some(4),
            Self::Change(_) | Self::Tell(_) | Self::Stop { .. } => Some(5),
            Self::Query(_) => Some(6),
            Self::Watch(_) => Some(7),
            Self::Put(_) => Some(8),
            Self::Bye { .. } => Some(9),
            Self::AdvanceClock(_) | Self::Tick(_) | Self::Sign | Self::Unchoke | Self::Hangup => None,
        }
    }
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
    /// Name of the token that the client came with; "" = none. A session belongs to its token.
    pub token: String,
    /// The queues that it may see and change.
    pub reach: Reach,
}
