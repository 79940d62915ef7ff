//! Change: an operator's mutations of named jobs.

use crate::command::{Change, Code, Mutation, Refusal};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::Fact;
use crate::frame::{Body, Signal};
use crate::ids::{JobId, Ms, Seq};
use crate::ledger::job::State;
use crate::limits::{CHANGE_IDS_MAX, DELAY_MS_MAX};
use alloc::format;
use alloc::vec::Vec;

/// Ids shown back as a sample.
const SAMPLE_MAX: usize = 5;

impl Engine {
    pub(crate) fn change(&mut self, asker: Asker, change: &Change, turn: &mut Turn) {
        if change.ids.is_empty() || change.ids.len() > CHANGE_IDS_MAX {
            let message = format!("a Change names 1 to {CHANGE_IDS_MAX} ids");
            return turn.refuse(asker.from, Refusal::new(Code::Invalid, "select.ids", message));
        }
        let (mut matched, mut changed) = (0, 0);
        let mut sample: Vec<JobId> = Vec::new();
        for &id in &change.ids {
            let Some(job) = self.find(asker.namespace, id) else { continue };
            let (seq, state) = (job.seq, job.state);
            matched += 1;
            if !applies(&change.to, state) {
                continue;
            }
            changed += 1;
            if sample.len() < SAMPLE_MAX {
                sample.push(id);
            }
            if !change.dry_run {
                self.mutate(seq, &change.to, asker.now, turn);
            }
        }
        turn.say(asker.from, Body::Changed { matched, changed, sample });
    }

    fn mutate(&mut self, seq: Seq, to: &Mutation, now: Ms, turn: &mut Turn) {
        match to {
            Mutation::Retry { reset_attempts } => {
                self.decide(turn, Fact::Retried { seq, reset: *reset_attempts, now });
            }
            Mutation::Cancel { why, grace_ms } => self.cancel(seq, why, *grace_ms, now, turn),
            Mutation::Delete => {
                self.tell_lost(seq, "deleted by an operator", turn);
                self.remove(seq, now, turn);
            }
            Mutation::RunAt(at) => {
                let run_at = (*at).clamp(now, now.saturating_add(10 * DELAY_MS_MAX));
                self.decide(turn, Fact::Rescheduled { seq, run_at, now });
            }
        }
    }

    fn cancel(&mut self, seq: Seq, why: &str, grace_ms: u64, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq).cloned() else { return };
        if job.lease.is_none() {
            let end = self.end(&job, State::Cancelled, now);
            return self.decide(turn, Fact::Cancelled { seq, end, settled: false, note: None });
        }
        if grace_ms == 0 {
            return self.revoke(seq, now, turn);
        }
        let grace_ms = grace_ms.min(DELAY_MS_MAX);
        let signal =
            Signal::Cancel { job: job.id, fence: job.fence, reason: why.into(), ends_in_ms: grace_ms };
        self.signal(&job, &signal, turn);
        self.decide(turn, Fact::CancelAsked { seq, revoke_at: now.saturating_add(grace_ms) });
    }
}

/// Whether a mutation does anything to a job in this state.
fn applies(to: &Mutation, state: State) -> bool {
    match to {
        Mutation::Retry { .. } => state.is_final() || state == State::Scheduled,
        Mutation::Cancel { .. } => !state.is_final(),
        Mutation::Delete => true,
        Mutation::RunAt(_) => matches!(state, State::Scheduled | State::Ready),
    }
}
