//! A stream, as the rules see it.

use super::Job;
use std::collections::BTreeMap;
use windlass_engine::command::Batch;
use windlass_engine::ids::{Ms, SessionId};

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) session: SessionId,
    pub(crate) queues: Vec<String>,
    /// By weight: whose turn is when, in picks over weight, times 2^24; empty = in strict order.
    pub(crate) turns: BTreeMap<String, (u64, u64)>,
    pub(crate) kinds: Vec<String>,
    /// Those of its session.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) slots: u32,
    pub(crate) lease_ms: Ms,
    pub(crate) batch: Option<Batch>,
    /// Its wait is over.
    pub(crate) is_over: bool,
    /// A long poll: how many jobs it may still get, and its end.
    pub(crate) poll: Option<(u32, Ms)>,
}

impl Stream {
    /// The turns of the n-th stream that draws by weight.
    pub(crate) fn turns(queues: &[String], weights: &[u32], nth: u64) -> BTreeMap<String, (u64, u64)> {
        let mut named: Vec<(&String, u64)> = Vec::new();
        for (queue, weight) in queues.iter().zip(weights) {
            if named.iter().all(|(known, _)| *known != queue) {
                named.push((queue, (*weight).into()));
            }
        }
        let total: u64 = named.iter().map(|(_, weight)| weight).sum();
        let golden = u128::from(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let lot = ((golden * u128::from(total)) >> 64) as u64;
        let mut before = 0;
        let mut turns = BTreeMap::new();
        for (queue, weight) in named {
            let is_drawn = (before..before + weight).contains(&lot);
            turns.insert(queue.clone(), (if is_drawn { 0 } else { (1 << 24) / weight / 2 }, weight));
            before += weight;
        }
        turns
    }

    /// The queues whose turn is before that of this one.
    pub(crate) fn before<'a>(&'a self, queue: &'a str) -> Vec<&'a String> {
        if self.turns.is_empty() {
            return self.queues.iter().take_while(|other| *other != queue).collect();
        }
        let turn = self.turns[queue].0;
        self.turns.iter().filter(|(_, other)| other.0 < turn).map(|(name, _)| name).collect()
    }

    /// A job of this queue was picked.
    pub(crate) fn picked(&mut self, queue: &str) {
        let Some(&(turn, weight)) = self.turns.get(queue) else { return };
        self.turns.values_mut().for_each(|other| other.0 = other.0.max(turn));
        self.turns.insert(queue.into(), (turn + (1 << 24) / weight, weight));
    }

    /// It collects, and these are too few that wait for too short a time.
    pub(crate) fn collects(&self, ready: &[&Job], now: Ms) -> bool {
        let is_late = |batch: Batch| ready.iter().any(|job| job.run_at + batch.linger_ms <= now);
        self.batch.is_some_and(|batch| ready.len() < batch.min as usize && !is_late(batch))
    }

    /// It fetches such jobs.
    pub(crate) fn fetches(&self, job: &Job) -> bool {
        self.queues.contains(&job.spec.queue)
            && (self.kinds.is_empty() || self.kinds.contains(&job.spec.kind))
    }

    /// Its session has the labels for it, too.
    pub(crate) fn takes(&self, job: &Job) -> bool {
        self.queues.contains(&job.spec.queue) && self.runs(job)
    }

    pub(crate) fn runs(&self, job: &Job) -> bool {
        let is_able = job.wishes().gate.need_labels.iter().all(|label| self.labels.contains(label));
        is_able && (self.kinds.is_empty() || self.kinds.contains(&job.spec.kind))
    }

    pub(crate) fn has_room(&self, held: u32, cost: u32) -> bool {
        match self.poll {
            Some((left, _)) => left > 0,
            None => held == 0 || held + cost <= self.slots,
        }
    }
}
