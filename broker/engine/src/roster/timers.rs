//! One ordered set of everything that happens because time passes: no polling loops.

use super::limits::BucketId;
use crate::ids::{Ms, NameId, OperationId, Request, Seq, SessionId};
use alloc::collections::BTreeSet;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A scheduled job becomes ready.
    Due(Seq),
    /// A job was not started in time.
    Expire(Seq),
    /// A visibility timeout runs out.
    LeaseEnd(Seq),
    /// The grace after a cancel is over.
    Revoke(Seq),
    /// A limit lets the next job start.
    Bucket(BucketId),
    /// A limit lets retries start that it had set aside.
    Retries(BucketId),
    /// A limit ends by itself.
    LimitEnd(NameId),
    /// A session may have been silent for too long.
    Session(SessionId),
    /// A long poll ends empty-handed.
    Poll(Request),
    /// The first job of a batch has waited long enough.
    Linger(Request),
    /// The oldest kept job of a queue is to be removed.
    Retain(NameId),
    /// A kept job is to be removed.
    Remove(Seq),
    /// A change in the background goes on.
    Operation(OperationId),
    /// An Enqueue has waited long enough for its jobs.
    Wait(Request),
    /// A held job was not confirmed in time.
    Hold(Seq),
    /// The window of a dedup key is over.
    Unclaim(Seq),
    /// A session is to be told something.
    Tell(SessionId),
    /// A run takes too long.
    TimeUp(Seq),
    /// A run was perhaps not touched in time.
    Stall(Seq),
    /// What a run has said is to be written.
    Flush(Seq),
    /// A Touch is answered, whose checkpoints are written by now.
    Touched(Request),
    /// A schedule has something to do.
    Schedule(NameId),
    /// The queues are looked at.
    Look,
}

/// All timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Ms, Timer)>,
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Ms, timer: Timer) {
        self.set.insert((at, timer));
    }

    pub(crate) fn remove(&mut self, at: Ms, timer: Timer) {
        self.set.remove(&(at, timer));
    }

    pub(crate) fn contains(&self, at: Ms, timer: Timer) -> bool {
        self.set.contains(&(at, timer))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ms, Timer)> + '_ {
        self.set.iter().copied()
    }

    pub(crate) fn next(&self) -> Option<Ms> {
        self.set.first().map(|&(at, _)| at)
    }

    /// Takes the first timer that is due.
    pub(crate) fn pop(&mut self, now: Ms) -> Option<Timer> {
        let &(at, timer) = self.set.first()?;
        if at > now {
            return None;
        }
        self.set.pop_first();
        Some(timer)
    }
}
