//! Group: a job that the broker itself runs. It counts the jobs that name it, and ends when it is not held
//! and none of them is open.

use crate::blob::Blob;
use crate::engine::{Engine, Turn};
use crate::fact::Fact;
use crate::flow::{DepPolicy, Group};
use crate::ids::{Ms, Seq};
use crate::ledger::job::State;
use alloc::boxed::Box;

impl Engine {
    /// The end of this turn looks at the group.
    pub(super) fn look_at_group(&mut self, group: Seq) {
        let _counted = self.roster.flows.count(&self.ledger.groups, group);
    }

    /// A member has changed, or is gone.
    pub(super) fn follow_member(&mut self, seq: Seq, group: Seq, before: State, after: Option<State>) {
        if after.is_none() {
            self.roster.flows.leave(group, seq);
        }
        let is_same = after.is_some_and(|after| before.is_final() == after.is_final());
        if !is_same && let Some(counts) = self.roster.flows.count(&self.ledger.groups, group) {
            counts.moved(before, after);
        }
    }

    /// What the members did in this turn is counted; when it was all that was missing, the group ends.
    pub(super) fn conclude_group(&mut self, group: Seq, body: Group, now: Ms, turn: &mut Turn) {
        let state = self.ledger.jobs.get(group).map(|job| job.state);
        if state.is_none() && self.roster.flows.members(group).is_none() {
            return self.decide(turn, Fact::GroupRemoved { group });
        }
        let (open, failed, policy) = (body.open(), body.failed(), body.policy);
        let hopeless = match policy {
            DepPolicy::AllOrCancel | DepPolicy::AllOrHold => failed > 0,
            DepPolicy::AllOrRun => false,
            DepPolicy::Any => failed > 0 && body.completed == 0,
        };
        let is_over = state == Some(State::Blocked) && open == 0 && !self.roster.flows.waits(group);
        let asks = is_over && hopeless && policy == DepPolicy::AllOrHold && !body.is_asked;
        let body = Group { is_asked: body.is_asked || asks, ..body };
        if self.ledger.groups.get(&group).is_none_or(|row| row.group != body) {
            self.decide(turn, Fact::GroupSet { group, body: Box::new(body) });
        }
        if !is_over {
        } else if asks {
            self.decide(turn, Fact::Held { seq: group, until: 0 });
        } else if hopeless && policy == DepPolicy::AllOrCancel {
            self.cancel(group, "", 0, now, turn);
        } else if hopeless && policy == DepPolicy::Any {
            self.give_up(group, now, turn);
        } else {
            self.complete_group(group, now, turn);
        }
    }

    fn complete_group(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let (end, delivery) = (self.end(job, State::Completed, now), job.deliveries);
        self.decide(
            turn,
            Fact::Completed { seq, end, delivery, result: Blob::default(), result_dropped: false },
        );
        self.trim(seq, now, turn);
    }

    /// A group that is retried is judged anew.
    pub(super) fn judge_anew(&mut self, group: Seq) {
        if let Some(counts) = self.roster.flows.count(&self.ledger.groups, group) {
            counts.is_asked = false;
        }
    }
}
