//! What operators do to the jobs of the naive broker: the rules of Change a second time.

use crate::reference::{Job, Model};
use windlass_engine::command::{Mutation, Select};
use windlass_engine::filter::{NumberColumn, Pattern, Test, TextColumn};
use windlass_engine::ids::{JobId, Ms};
use windlass_engine::ledger::job::State;

impl Model {
    /// The jobs that a selector means, in order of seq.
    pub(crate) fn select(&self, select: &Select) -> Vec<JobId> {
        let meant = |job: &&Job| {
            select.ids.as_ref().is_none_or(|ids| ids.contains(&job.spec.id))
                && (select.queue.is_empty() || select.queue == job.spec.queue)
                && select.states.contains(job.state)
                && select.filter.clauses.iter().all(|clause| passes(job, &clause.any[0]))
        };
        let mut found: Vec<&Job> = self.jobs.iter().filter(meant).collect();
        found.sort_by_key(|job| job.seq);
        found.into_iter().map(|job| job.spec.id).collect()
    }

    /// True when the job changes.
    pub(crate) fn change(&mut self, id: JobId, to: &Mutation, now: Ms) -> bool {
        let Some(job) = self.job(id) else { return false };
        let state = job.state;
        let waits = matches!(state, State::Scheduled | State::Ready);
        let rests = waits || matches!(state, State::Held | State::Blocked);
        match to {
            Mutation::Retry { .. } if job.emptied => return false,
            Mutation::Retry { reset_attempts, .. } if state.is_final() || state == State::Scheduled => {
                if *reset_attempts {
                    (job.attempt, job.crashes, job.retried) = (0, 0, false);
                } else {
                    job.retried = true;
                }
                job.expires_at = 0;
                let has_ended = job.state.is_final();
                job.wait(now, now);
                if has_ended {
                    self.reopen(id);
                    self.block_again(id);
                }
            }
            Mutation::Cancel { grace_ms, dependents, .. } if !state.is_final() => {
                match &mut job.lease {
                    Some(lease) if *grace_ms > 0 => lease.cancel(now + grace_ms),
                    _ => self.cancelled(id, false, now),
                }
                if *dependents {
                    self.call_off(id);
                }
            }
            Mutation::Delete => self.remove(id, now),
            Mutation::Confirm if state == State::Held => self.confirm(id, now),
            Mutation::RunAt(at) if waits => job.wait((*at).max(now), now),
            Mutation::Move(queue) if rests => job.spec.queue.clone_from(queue),
            Mutation::Patch(patch) if rests => {
                if let Some(key) = patch.key.as_ref().filter(|_| !job.is_group()) {
                    job.spec.key.clone_from(key);
                }
                if let Some(priority) = patch.policy.priority {
                    job.spec.wishes.get_or_insert_default().terms.policy.priority = Some(priority);
                    job.level = priority;
                }
            }
            Mutation::Bury if rests => {
                job.end(State::Dead, false, now);
                let queue = job.spec.queue.clone();
                self.total(&queue).dead += 1;
            }
            _ => return false,
        }
        true
    }
}

fn passes(job: &Job, test: &Test) -> bool {
    match test {
        Test::Text(TextColumn::Kind, Pattern::Is(kind)) => job.spec.kind == *kind,
        Test::Number(NumberColumn::Attempt, least, most) => {
            (*least..=*most).contains(&u64::from(job.attempt))
        }
        other => panic!("the naive broker does not know {other:?}"),
    }
}
