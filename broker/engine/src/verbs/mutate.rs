//! Mutate: what a Change does to one job.

use crate::command::{Mutation, Patch};
use crate::engine::{Engine, Turn};
use crate::fact::{Fact, Reshape};
use crate::frame::Signal;
use crate::ids::{Ms, NameId, Seq};
use crate::ledger::job::{Job, State};
use crate::ledger::names::Name;
use crate::limits::{DELAY_MS_MAX, TAGS_MAX};
use crate::policy::default;
use crate::terms::Terms;
use alloc::boxed::Box;
use alloc::string::String;

impl Mutation {
    /// It does something to this job.
    pub(crate) fn fits(&self, job: &Job) -> bool {
        let state = job.state;
        let waits = matches!(state, State::Held | State::Scheduled | State::Blocked | State::Ready);
        match self {
            // Without its payload it would run as another job.
            Self::Retry { .. } => state.is_final() && !job.is_emptied() || state == State::Scheduled,
            Self::Cancel { .. } => !state.is_final(),
            Self::Delete => true,
            Self::Confirm => state == State::Held,
            Self::RunAt(_) => matches!(state, State::Scheduled | State::Ready),
            Self::Move(_) | Self::Patch(_) | Self::Bury => waits,
        }
    }
}

impl Engine {
    /// Changes a job that the mutation fits. A retry runs at `run_at`.
    pub(crate) fn mutate(&mut self, seq: Seq, to: &Mutation, run_at: Ms, now: Ms, turn: &mut Turn) {
        match to {
            Mutation::Retry { reset_attempts, .. } => self.retry(seq, *reset_attempts, run_at, now, turn),
            Mutation::Cancel { why, grace_ms, dependents: true } => {
                self.cancel_with_dependents(seq, why, *grace_ms, now, turn);
            }
            Mutation::Cancel { why, grace_ms, .. } => self.cancel(seq, why, *grace_ms, now, turn),
            Mutation::Delete => {
                self.tell_lost(seq, "deleted by an operator", turn);
                self.remove(seq, now, turn);
            }
            Mutation::RunAt(at) => {
                let run_at = (*at).clamp(now, now.saturating_add(10 * DELAY_MS_MAX));
                self.decide(turn, Fact::Rescheduled { seq, run_at, now });
            }
            Mutation::Confirm => self.confirm(seq, now, turn),
            Mutation::Move(queue) => {
                let Some(job) = self.ledger.jobs.get(seq).cloned() else { return };
                let queue = self.intern(turn, Name::Queue(job.namespace, queue.clone()));
                self.reshape(&job, queue, job.key, None, turn);
            }
            Mutation::Patch(patch) => self.patch(seq, patch, turn),
            Mutation::Bury => {
                let Some(job) = self.ledger.jobs.get(seq) else { return };
                let end = self.end(job, State::Dead, now);
                self.decide(turn, Fact::Buried { seq, end });
            }
        }
    }

    /// A job that is tied to others waits again for those of them that have not ended.
    fn retry(&mut self, seq: Seq, reset: bool, run_at: Ms, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let is_group = job.is_group();
        let is_tied = job.state.is_final() && job.plan.as_ref().is_some_and(|plan| plan.after);
        if is_tied {
            self.reopen(seq, turn);
        }
        self.decide(turn, Fact::Retried { seq, reset, run_at, now });
        if is_group || is_tied && self.ledger.tally(seq).waits() {
            self.block(seq, turn);
            self.judge_anew(seq);
        }
    }

    pub(crate) fn cancel(&mut self, seq: Seq, why: &str, grace_ms: u64, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq).cloned() else { return };
        if job.lease.is_none() {
            let end = self.end(&job, State::Cancelled, now);
            return self.decide(turn, Fact::Cancelled { seq, end, settled: false, note: None });
        }
        if grace_ms == 0 {
            if job.lease.as_ref().is_some_and(|lease| lease.overran.is_some()) {
                // It was asked to stop so that it is tried again; from now on it is not.
                self.decide(turn, Fact::CancelAsked { seq, now, revoke_at: now });
            }
            return self.revoke(seq, now, turn);
        }
        let grace_ms = grace_ms.min(DELAY_MS_MAX);
        let signal =
            Signal::Cancel { job: job.id, fence: job.fence, reason: why.into(), ends_in_ms: grace_ms };
        self.signal(&job, &signal, turn);
        self.decide(turn, Fact::CancelAsked { seq, now, revoke_at: now.saturating_add(grace_ms) });
    }

    fn patch(&mut self, seq: Seq, patch: &Patch, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq).cloned() else { return };
        let key = match &patch.key {
            // A group in a serial lane would wait for members that wait behind it.
            Some(_) if job.is_group() => 0,
            Some(key) if key.is_empty() => 0,
            Some(key) => self.intern(turn, Name::Key(job.namespace, key.clone())),
            None => job.key,
        };
        self.reshape(&job, job.queue, key, Some(patch), turn);
    }

    /// The job is of another shape from now on; its level is that of a job enqueued so.
    fn reshape(&mut self, job: &Job, queue: NameId, key: NameId, patch: Option<&Patch>, turn: &mut Turn) {
        let mut terms = self.ledger.names.terms(job.terms).cloned().unwrap_or_default();
        if let Some(patch) = patch {
            terms.policy = patch.policy.over(&terms.policy);
            retag(&mut terms, &patch.add_tags, &patch.remove_tags);
        }
        let policies = self.ledger.policies_of(Some(&terms.policy), job.namespace, queue, job.kind);
        let level = policies.ask(|policy| policy.priority).unwrap_or(default::PRIORITY).min(9);
        let ordering = policies.ask(|policy| policy.ordering).unwrap_or_default();
        let terms = if terms == Terms::default() { 0 } else { self.intern(turn, Name::Terms(terms)) };
        let payload = patch.and_then(|patch| patch.payload.clone());
        let payload = payload.map(|payload| (job.pieces().last + 1, payload));
        let reshape = Box::new(Reshape { queue, key, terms, level, ordering, payload });
        self.decide(turn, Fact::Reshaped { seq: job.seq, reshape });
    }
}

/// Tags that go, then tags that come, as many as a job may have.
fn retag(terms: &mut Terms, add: &[String], remove: &[String]) {
    terms.tags.retain(|tag| !remove.contains(tag));
    for tag in add {
        if !terms.tags.contains(tag) && terms.tags.len() < TAGS_MAX {
            terms.tags.push(tag.clone());
        }
    }
}
