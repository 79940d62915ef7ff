//! A stream, as the rules see it.

use super::Job;
use windlass_engine::ids::{Ms, SessionId};

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) session: SessionId,
    pub(crate) queues: Vec<String>,
    pub(crate) kinds: Vec<String>,
    pub(crate) slots: u32,
    pub(crate) lease_ms: Ms,
    /// A long poll: how many jobs it may still get, and its end.
    pub(crate) poll: Option<(u32, Ms)>,
}

impl Stream {
    /// It fetches such jobs.
    pub(crate) fn takes(&self, job: &Job) -> bool {
        self.queues.contains(&job.spec.queue) && self.runs(job)
    }

    pub(crate) fn runs(&self, job: &Job) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&job.spec.kind)
    }

    pub(crate) fn has_room(&self, held: u32, cost: u32) -> bool {
        match self.poll {
            Some((left, _)) => left > 0,
            None => held == 0 || held + cost <= self.slots,
        }
    }
}
