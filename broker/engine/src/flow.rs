//! Flows: jobs that wait for other jobs, and groups that jobs count into.

use crate::ids::{JobId, NameId, Seq};
use crate::ledger::job::State;
use crate::limits::AFTER_PER_PIECE;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Which end of another job is waited for. The order is the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum On {
    /// It completes.
    Success,
    /// It ends in any way.
    Finish,
    /// It is dead, cancelled or expired.
    Failure,
}

/// What becomes of a job when one that it waits for ends otherwise than asked. The order is the stored
/// format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DepPolicy {
    /// It waits for all, and is cancelled when one ends otherwise.
    #[default]
    AllOrCancel,
    /// It waits for all, and is held for a person to decide when one ends otherwise.
    AllOrHold,
    /// It waits for all, and runs in any case.
    AllOrRun,
    /// It runs as soon as one has ended as asked.
    Any,
}

/// Some of the jobs that a job waits for, at most [`AFTER_PER_PIECE`]: a row is one small record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// What becomes of the job; the same in all of its pieces.
    pub policy: DepPolicy,
    /// The jobs, in the order in which they were named.
    pub edges: Vec<Edge>,
}

/// One job that another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Its identity, which outlives it here.
    pub id: JobId,
    /// Its place in the broker's order.
    pub seq: Seq,
    /// Which end of it is waited for.
    pub on: On,
    /// What is known of it.
    pub state: EdgeState,
}

/// What a waiting job knows of one that it waits for. The order is the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EdgeState {
    /// It has not ended.
    Open,
    /// It has ended as asked.
    Met,
    /// It has ended otherwise.
    Failed,
}

/// How far the edges of a job are, all its pieces together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Edges whose job has not ended.
    pub open: u32,
    /// Edges whose job has ended as asked.
    pub met: u32,
    /// Edges whose job has ended otherwise.
    pub failed: u32,
    /// What becomes of the job.
    pub policy: DepPolicy,
}

impl On {
    /// Such an end is what is waited for.
    #[must_use]
    pub fn takes(self, end: State) -> bool {
        match self {
            Self::Success => end == State::Completed,
            Self::Finish => true,
            Self::Failure => end != State::Completed,
        }
    }

    /// What an edge becomes by such an end.
    #[must_use]
    pub fn judge(self, end: State) -> EdgeState {
        if self.takes(end) { EdgeState::Met } else { EdgeState::Failed }
    }
}

impl Tally {
    /// Adds up the pieces of a job.
    #[must_use]
    pub fn of<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Self {
        let mut tally = Self::default();
        for piece in pieces {
            tally.policy = piece.policy;
            for edge in &piece.edges {
                *tally.count(edge.state) += 1;
            }
        }
        tally
    }

    pub(crate) fn count(&mut self, state: EdgeState) -> &mut u32 {
        match state {
            EdgeState::Open => &mut self.open,
            EdgeState::Met => &mut self.met,
            EdgeState::Failed => &mut self.failed,
        }
    }

    /// Others have to end first.
    #[must_use]
    pub fn waits(self) -> bool {
        self.open > 0 && !(self.policy == DepPolicy::Any && self.met > 0)
    }

    /// None has ended as asked, and none can any more.
    #[must_use]
    pub fn is_hopeless(self) -> bool {
        self.failed > 0 && self.met == 0 && self.open == 0
    }
}

/// The counters of a group. The row is named by the seq of the group's job and outlives that as long as
/// there are members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its namespace.
    pub namespace: NameId,
    /// Id of the group's job.
    pub id: JobId,
    /// What becomes of the group's job when a member does not complete.
    pub policy: DepPolicy,
    /// Jobs that ever counted into it.
    pub total: u64,
    /// Of these, those that have completed,
    pub completed: u64,
    /// are dead,
    pub dead: u64,
    /// were cancelled, or removed before their end,
    pub cancelled: u64,
    /// have expired.
    pub expired: u64,
    /// Members have failed, all have ended, and a person is asked what becomes of the group.
    pub is_asked: bool,
}

impl Group {
    /// Members that have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.total.saturating_sub(self.completed + self.failed())
    }

    /// Members that ended without completing.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.dead + self.cancelled + self.expired
    }

    /// A member has left one state of its life for another; None = it is gone.
    pub(crate) fn moved(&mut self, before: State, after: Option<State>) {
        if let Some(count) = self.count(before) {
            // A member that was removed after its end stays counted.
            if after.is_some() {
                *count = count.saturating_sub(1);
            }
        } else if after.is_none() {
            self.cancelled += 1;
        }
        if let Some(count) = after.and_then(|state| self.count(state)) {
            *count += 1;
        }
    }

    fn count(&mut self, state: State) -> Option<&mut u64> {
        match state {
            State::Completed => Some(&mut self.completed),
            State::Dead => Some(&mut self.dead),
            State::Cancelled => Some(&mut self.cancelled),
            State::Expired => Some(&mut self.expired),
            State::Held | State::Scheduled | State::Blocked | State::Ready | State::Leased => None,
        }
    }
}

/// A job has ended, or is called off with all that waits for it, and more jobs wait for it than one turn
/// tells. The row is named by that job, which may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallout {
    /// What they are told.
    pub news: News,
    /// Jobs from here on came later.
    pub until: Seq,
    /// It has ended once more meanwhile, and so; that is told next, to those who came before this.
    pub again: Option<(State, Seq)>,
}

impl Fallout {
    pub(crate) fn new(news: News, until: Seq) -> Self {
        Self { news, until, again: None }
    }

    /// This job is still to be told.
    pub(crate) fn reaches(&self, waiter: Seq) -> bool {
        waiter < self.again.map_or(self.until, |(_, until)| until)
    }
}

/// What those are told who wait for a job. The order is the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// It has ended so.
    Ended(State),
    /// They are cancelled, and who waits for them, too.
    Cancel,
}

/// Where an edge is: the piece, and the place in it.
#[must_use]
pub fn place(number: u16) -> (u16, usize) {
    (number / AFTER_PER_PIECE, usize::from(number % AFTER_PER_PIECE))
}
