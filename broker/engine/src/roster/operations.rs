//! Changes in the background, as far as a restart may forget it: when each goes on, and how the jobs
//! it changed have fared since.

use super::{Timer, Timers};
use crate::fact::{Counts, Fact};
use crate::ids::{Ms, OperationId, Seq};
use crate::limits::{STOP_OPEN_MAX, STOP_SAMPLES_MIN};
use crate::operation::Operation;
use alloc::collections::BTreeMap;

/// All that are under way.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    under_way: BTreeMap<OperationId, UnderWay>,
    /// Changed jobs whose outcome is awaited.
    watched: BTreeMap<Seq, OperationId>,
}

/// One of them.
#[derive(Debug, Default)]
struct UnderWay {
    /// Where its timer stands; 0 = it waits for outcomes.
    timer_at: Ms,
    stop_failure_permille: u64,
    /// Outcomes it is judged by at least.
    samples_min: u64,
    /// Changed jobs whose outcome is awaited.
    open: u64,
    /// Of the others, those that failed.
    failed: u64,
    /// Of the others, those that did not.
    passed: u64,
}

impl UnderWay {
    /// Too many of the changed jobs have failed again.
    fn is_failing(&self) -> bool {
        let ended = self.failed + self.passed;
        self.stop_failure_permille > 0
            && ended >= self.samples_min.max(1)
            && self.failed * 1_000 >= ended * self.stop_failure_permille
    }

    /// How many further jobs it may change before it has heard of those it changed. The more have
    /// passed, the more it dares.
    fn room(&self) -> u64 {
        if self.stop_failure_permille == 0 {
            return u64::MAX;
        }
        let ended = self.failed + self.passed;
        if ended < self.samples_min {
            return self.samples_min.saturating_sub(ended + self.open);
        }
        (STOP_SAMPLES_MIN + self.passed).min(STOP_OPEN_MAX).saturating_sub(self.open)
    }
}

impl Operations {
    /// One begins, or goes on after a restart.
    pub(crate) fn begin(&mut self, id: OperationId, operation: &Operation, now: Ms, timers: &mut Timers) {
        let under_way = UnderWay {
            stop_failure_permille: operation.pace.stop_failure_permille.into(),
            samples_min: STOP_SAMPLES_MIN.min(operation.wanted),
            ..UnderWay::default()
        };
        self.under_way.insert(id, under_way);
        self.rearm(id, now, timers);
    }

    /// One is over.
    pub(crate) fn end(&mut self, id: OperationId, timers: &mut Timers) {
        if let Some(under_way) = self.under_way.remove(&id) {
            timers.remove(under_way.timer_at, Timer::Operation(id));
            self.watched.retain(|_, by| *by != id);
        }
    }

    /// It goes on then.
    pub(crate) fn rearm(&mut self, id: OperationId, at: Ms, timers: &mut Timers) {
        let Some(under_way) = self.under_way.get_mut(&id) else { return };
        timers.remove(under_way.timer_at, Timer::Operation(id));
        under_way.timer_at = at.max(1);
        timers.insert(under_way.timer_at, Timer::Operation(id));
    }

    /// Its timer fired. How many further jobs it may change now; None = too many have failed again,
    /// so many of so many.
    pub(crate) fn fired(&mut self, id: OperationId) -> Result<u64, (u64, u64)> {
        let Some(under_way) = self.under_way.get_mut(&id) else { return Ok(0) };
        under_way.timer_at = 0;
        if under_way.is_failing() {
            return Err((under_way.failed, under_way.failed + under_way.passed));
        }
        Ok(under_way.room())
    }

    /// It has changed a job: how that fares is its business.
    pub(crate) fn watch(&mut self, id: OperationId, seq: Seq) {
        let Some(under_way) = self.under_way.get_mut(&id) else { return };
        // A job that two changes have touched is the business of the first.
        if under_way.stop_failure_permille > 0 && !self.watched.contains_key(&seq) {
            self.watched.insert(seq, id);
            under_way.open += 1;
        }
    }

    pub(crate) fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Something happened to a job that may be watched.
    pub(crate) fn observe(&mut self, seq: Seq, fact: &Fact, timers: &mut Timers) {
        let counted = matches!(
            fact,
            Fact::Returned { counts: Counts::Attempt | Counts::Crash, .. } | Fact::Died { .. }
        );
        let is_gone = matches!(
            fact,
            Fact::Cancelled { .. } | Fact::Removed { .. } | Fact::Buried { .. } | Fact::Expired { .. }
        );
        let (failed, passed) = (u64::from(counted), u64::from(matches!(fact, Fact::Completed { .. })));
        if failed + passed == 0 && !is_gone {
            return;
        }
        let Some(id) = self.watched.remove(&seq) else { return };
        let Some(under_way) = self.under_way.get_mut(&id) else { return };
        under_way.open -= 1;
        under_way.failed += failed;
        under_way.passed += passed;
        let waits = under_way.timer_at == 0;
        if under_way.is_failing() || waits && under_way.room() > 0 {
            self.rearm(id, 1, timers);
        }
    }

    /// The wall clock jumped.
    pub(crate) fn shift(&mut self, by: i64, timers: &mut Timers) {
        for (&id, under_way) in &mut self.under_way {
            if under_way.timer_at > 0 {
                timers.remove(under_way.timer_at, Timer::Operation(id));
                under_way.timer_at = under_way.timer_at.saturating_add_signed(by).max(1);
                timers.insert(under_way.timer_at, Timer::Operation(id));
            }
        }
    }

    /// One that is under way has a timer, or waits for an outcome.
    pub(crate) fn is_awake(&self, id: OperationId, timers: &Timers) -> bool {
        self.under_way.get(&id).is_some_and(|under_way| {
            let timed = timers.contains(under_way.timer_at, Timer::Operation(id));
            let open = self.watched.values().filter(|by| **by == id).count() as u64;
            open == under_way.open && (timed || open > 0)
        })
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.under_way.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::End;

    #[test]
    fn a_job_that_two_changes_have_touched_keeps_neither_waiting() {
        let mut operations = Operations::default();
        let ids = [1, 2].map(|number| OperationId([number; 16]));
        for id in ids {
            let guarded = UnderWay { stop_failure_permille: 500, ..UnderWay::default() };
            operations.under_way.insert(id, guarded);
            operations.watch(id, 7);
        }
        let end = End { at: 1, remove_at: 2, countable: false };
        operations.observe(7, &Fact::Expired { seq: 7, end }, &mut Timers::default());
        assert!(operations.under_way.values().all(|under_way| under_way.open == 0));
        assert!(!operations.is_watching());
    }
}
