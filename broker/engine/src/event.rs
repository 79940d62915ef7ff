//! Events: what happened, for whoever watches. They follow from facts and are stored nowhere.

use crate::ids::{JobId, Ms, NameId, Seq};
use crate::ledger::job::State;
use crate::ledger::names::Name;
use alloc::string::String;
use alloc::sync::Arc;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What happened. The words are those of the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum EventName {
            $($(#[$doc])* $name,)*
        }

        impl EventName {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word on every floor.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

names! {
    /// A job was stored.
    JobEnqueued = "job.enqueued",
    /// Its time has come.
    JobReady = "job.ready",
    /// A worker got it.
    JobStarted = "job.started",
    /// Its handler told how far it is.
    JobProgress = "job.progress",
    /// Its handler wrote some output; only for who asks for it.
    JobOutput = "job.output",
    /// An attempt failed, and the job runs again.
    JobFailed = "job.failed",
    /// Its worker was lost, and the job runs again.
    JobLost = "job.lost",
    /// Its handler wants it again later.
    JobSnoozed = "job.snoozed",
    /// It was given back unrun.
    JobReleased = "job.released",
    /// It runs and was asked to stop.
    JobCancelling = "job.cancelling",
    /// It is done.
    JobCompleted = "job.completed",
    /// It will not run again by itself.
    JobDead = "job.dead",
    /// It was called off.
    JobCancelled = "job.cancelled",
    /// It was not started in time.
    JobExpired = "job.expired",
    /// An operator made it run again.
    JobRetried = "job.retried",
    /// Its time was changed.
    JobRescheduled = "job.rescheduled",
    /// It was moved, or described anew.
    JobChanged = "job.changed",
    /// It is not kept any more.
    JobRemoved = "job.removed",
    /// A session began.
    SessionOpened = "session.opened",
    /// A session ended in order, or was idle for too long.
    SessionClosed = "session.closed",
    /// A session that worked was not heard of any more.
    SessionLost = "session.lost",
    /// Ticks of a schedule were left out because nobody saw to them in time.
    ScheduleMissed = "schedule.missed",
    /// A schedule paused itself because its jobs are dead.
    SchedulePaused = "schedule.paused",
}

impl EventName {
    /// The event of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.name() == name)
    }

    /// How a job in this final state ended; None for one that has not.
    #[must_use]
    pub fn of_end(state: State) -> Option<Self> {
        match state {
            State::Held | State::Scheduled | State::Blocked | State::Ready | State::Leased => None,
            State::Completed => Some(Self::JobCompleted),
            State::Dead => Some(Self::JobDead),
            State::Cancelled => Some(Self::JobCancelled),
            State::Expired => Some(Self::JobExpired),
        }
    }

    /// Its bit in a set of names.
    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Rises from event to event and never repeats: the broker's epoch above, a counter below.
    pub number: u64,
    /// When.
    pub at: Ms,
    /// What.
    pub name: EventName,
    /// Where; nobody of another namespace hears of it.
    pub namespace: NameId,
    /// The job it is about; None = none.
    pub job: Option<EventJob>,
    /// For people: a sentence.
    pub note: String,
}

/// The job of an event, as it stood then.
#[derive(Clone, Debug)]
pub struct EventJob {
    /// Its identity.
    pub id: JobId,
    /// Its place in the broker's order; 0 = it is not known any more.
    pub seq: Seq,
    /// Its state; None = it is gone.
    pub state: Option<State>,
    /// Which delivery of it this was, so that its result is known from a later one.
    pub delivery: u32,
    /// Its queue, as text.
    pub queue: Option<Arc<Name>>,
    /// Its kind, as text.
    pub kind: Option<Arc<Name>>,
    /// Its lane, as text; None = none.
    pub key: Option<Arc<Name>>,
}

impl Event {
    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + 32 + self.note.len()
    }
}

/// A name as text; "" for none.
#[must_use]
pub fn text(name: Option<&Arc<Name>>) -> &str {
    name.map_or("", |name| name.text())
}
