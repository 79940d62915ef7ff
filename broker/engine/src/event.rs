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
    /// It is dead because its workers were lost; told besides `job.dead`.
    JobPoison = "job.poison",
    /// Jobs of a queue wait, and nobody takes their kind.
    QueueNoWorker = "queue.no_worker",
    /// Somebody takes them again, or none is left.
    QueueWorkerBack = "queue.worker_back",
    /// A ready job of a queue is older than it may be.
    QueueSloMissed = "queue.slo_missed",
    /// None is any more.
    QueueSloMet = "queue.slo_met",
    /// Too much failed, and a limit keeps jobs back.
    BreakerOpen = "breaker.open",
    /// It lets them start again.
    BreakerClosed = "breaker.closed",
    /// The disk has little room: no more jobs are taken.
    DiskLow = "disk.low",
    /// It has room again.
    DiskOk = "disk.ok",
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

    /// Somebody may have to get up for it, or may go back to bed.
    #[must_use]
    pub fn is_alert(self) -> bool {
        matches!(
            self,
            Self::JobDead
                | Self::JobPoison
                | Self::SessionLost
                | Self::ScheduleMissed
                | Self::SchedulePaused
                | Self::QueueNoWorker
                | Self::QueueWorkerBack
                | Self::QueueSloMissed
                | Self::QueueSloMet
                | Self::BreakerOpen
                | Self::BreakerClosed
                | Self::DiskLow
                | Self::DiskOk
        )
    }

    /// Its bit in a set of names.
    pub(crate) fn bit(self) -> u64 {
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
    /// Where; nobody of another namespace hears of it. 0 = everywhere.
    pub namespace: NameId,
    /// The job it is about; None = none.
    pub job: Option<EventJob>,
    /// The queue it is about, if it is about a queue as such.
    pub queue: Option<Arc<Name>>,
    /// What else it is about, like `session/…` or `schedule/nightly`; "" = a job, or the broker.
    pub subject: String,
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
        size_of::<Self>() + 32 + self.note.len() + self.subject.len()
    }
}

/// A name as text; "" for none.
#[must_use]
pub fn text(name: Option<&Arc<Name>>) -> &str {
    name.map_or("", |name| name.text())
}
