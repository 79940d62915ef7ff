//! What keeps a job back before it may wait for its time: a missing word, and other jobs.

use crate::engine::{Engine, Turn};
use crate::fact::Fact;
use crate::ids::{Ms, Seq};
use crate::ledger::job::{Job, State};

impl Engine {
    /// The job waits for others, unless it waits for a word first.
    pub(crate) fn block(&mut self, seq: Seq, turn: &mut Turn) {
        let state = self.ledger.jobs.get(seq).map(|job| job.state);
        if state.is_some_and(|state| !matches!(state, State::Held | State::Blocked)) {
            self.decide(turn, Fact::Blocked { seq });
        }
    }

    /// One of those the job waits for is done; when it was the last, the job goes on.
    pub(crate) fn unblock(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let is_blocked = job.state == State::Blocked;
        if job.is_group() {
            self.look_at_group(seq);
        }
        if is_blocked && !self.waits_for_others(seq) {
            self.decide(turn, Fact::Freed { seq, now });
        }
    }

    /// Somebody gave the word for a held job.
    pub(crate) fn confirm(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let fact = if self.waits_for_others(seq) { Fact::Blocked { seq } } else { Fact::Freed { seq, now } };
        self.decide(turn, fact);
    }

    /// Nobody gave the word in time.
    pub(crate) fn end_hold(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let hold = job.plan.as_ref().and_then(|plan| plan.hold.as_ref());
        if hold.is_some_and(|hold| hold.then_run) {
            return self.confirm(seq, now, turn);
        }
        let end = self.end(job, State::Expired, now);
        self.decide(turn, Fact::Expired { seq, end });
    }

    /// Others have to end first; of a group, its members.
    pub(crate) fn waits_for_others(&self, seq: Seq) -> bool {
        self.roster.claims.holder_before(seq).is_some()
            || self.roster.flows.waits(seq)
            || self.ledger.jobs.get(seq).is_some_and(Job::is_group)
    }
}
