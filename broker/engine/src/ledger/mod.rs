//! The ledger: all that survives a restart. It changes in `evolve` and nowhere else, so that
//! recovery cannot drift from normal running.

mod chain;
mod evolve;
pub mod job;
pub mod jobs;
mod name_hash;
pub mod names;
pub mod reports;
pub mod tables;

pub(crate) use chain::Chain;
pub use evolve::{Applied, EvolveError};

use crate::fact::{ResourceBody, ResourceKey};
use crate::flow::{Edge, Tally};
use crate::ids::{NameId, OperationId, Seq, SessionId};
use crate::limit::Limit;
use crate::policy::Policy;
use alloc::collections::BTreeMap;
use job::Job;
use jobs::Jobs;
use names::Names;
use tables::{
    AfterRow, AuditRow, ClaimRow, FailuresRow, FalloutRow, GroupRow, OperationRow, ResourceRow, ScheduleRow,
    SessionRow, TotalsRow,
};

/// Set in a record's `since` while the journal is replayed: this replay touched it, so further
/// facts of the same batch apply too.
pub(crate) const REPLAYED: u64 = 1 << 63;

/// All that survives a restart.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The broker's run; the high part of every fence.
    pub epoch: u32,
    /// The last run ended in order.
    pub stopped: bool,
    /// The next job's place in the order.
    pub seq_next: Seq,
    /// Leases granted in this run.
    pub(crate) fences: u64,
    /// Names.
    pub names: Names,
    /// Jobs.
    pub jobs: Jobs,
    /// Sessions.
    pub sessions: BTreeMap<SessionId, SessionRow>,
    /// Resources.
    pub resources: BTreeMap<ResourceKey, ResourceRow>,
    /// Lifetime totals by queue.
    pub totals: BTreeMap<NameId, TotalsRow>,
    /// Failures by their way; a name.
    pub failures: BTreeMap<NameId, FailuresRow>,
    /// Changes that were given an id.
    pub operations: BTreeMap<OperationId, OperationRow>,
    /// What was changed, by number; the oldest go first.
    pub audits: BTreeMap<u64, AuditRow>,
    /// Dedup keys that are taken, by the seq of their holders.
    pub claims: BTreeMap<Seq, ClaimRow>,
    /// What jobs wait for, a piece a row.
    pub afters: BTreeMap<(Seq, u16), AfterRow>,
    /// Groups, by the seq of their jobs.
    pub groups: BTreeMap<Seq, GroupRow>,
    /// Jobs that more jobs wait for than one turn tells of their end.
    pub fallouts: BTreeMap<Seq, FalloutRow>,
    /// How far schedules have come; by name.
    pub schedules: BTreeMap<NameId, ScheduleRow>,
    /// Facts for records that are missing are skipped up to this batch: the store already holds
    /// what became of them.
    pub(crate) folded_to: u64,
}

impl Ledger {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seq_next: 1, stopped: true, jobs: Jobs::new(seed), names: Names::new(seed), ..Self::default() }
    }

    /// The next fence: epoch above, counter below.
    pub(crate) fn next_fence(&self) -> u64 {
        (u64::from(self.epoch) << 40) + self.fences + 1
    }

    /// The nearest answer to one question of policy.
    pub(crate) fn effective<T>(&self, job: &Job, ask: impl Fn(&Policy) -> Option<T>) -> Option<T> {
        self.policies(job).ask(ask)
    }

    pub(crate) fn cost(&self, job: &Job) -> u32 {
        self.policies(job).cost()
    }

    /// Share of turns of the job's key, at least 1.
    pub(crate) fn weight(&self, job: &Job) -> u32 {
        self.names.terms(job.terms).map_or(1, |terms| terms.weight.max(1))
    }

    /// The jobs that a job waits for, or waited for, in the order in which it named them.
    pub fn after(&self, waiter: Seq) -> impl Iterator<Item = &Edge> {
        self.afters.range((waiter, 0)..=(waiter, u16::MAX)).flat_map(|(_, row)| &row.piece.edges)
    }

    /// How far those are.
    #[must_use]
    pub fn tally(&self, waiter: Seq) -> Tally {
        let rows = self.afters.range((waiter, 0)..=(waiter, u16::MAX));
        Tally::of(rows.map(|(_, row)| &row.piece))
    }

    /// The limit that pauses the whole queue, if one does.
    #[must_use]
    pub fn pause(&self, queue: NameId) -> Option<&Limit> {
        let limits = ResourceKey::Limit(0)..=ResourceKey::Limit(NameId::MAX);
        self.resources.range(limits).find_map(|(_, row)| match &row.body {
            ResourceBody::Limit(limit) => {
                let is_whole = limit.queue == queue && limit.kind == 0 && limit.key == 0;
                (is_whole && limit.is_pause()).then_some(limit)
            }
            ResourceBody::Policy(_)
            | ResourceBody::Queue(_)
            | ResourceBody::Schedule(_)
            | ResourceBody::Sink(_) => None,
        })
    }

    /// Forgets which records this replay touched.
    pub(crate) fn end_replay(&mut self) {
        for job in self.jobs.iter_mut() {
            job.since &= !REPLAYED;
        }
        for row in self.sessions.values_mut() {
            row.since &= !REPLAYED;
        }
        for row in self.resources.values_mut() {
            row.since &= !REPLAYED;
        }
        for row in self.totals.values_mut() {
            row.since &= !REPLAYED;
        }
        for row in self.failures.values_mut() {
            row.since &= !REPLAYED;
        }
        for row in self.operations.values_mut() {
            row.since &= !REPLAYED;
        }
        for row in self.audits.values_mut() {
            row.since &= !REPLAYED;
        }
        for row in self.claims.values_mut() {
            row.since &= !REPLAYED;
        }
        self.afters.values_mut().for_each(|row| row.since &= !REPLAYED);
        self.groups.values_mut().for_each(|row| row.since &= !REPLAYED);
        self.fallouts.values_mut().for_each(|row| row.since &= !REPLAYED);
        for row in self.schedules.values_mut() {
            row.since &= !REPLAYED;
        }
        let named: alloc::vec::Vec<_> = self.names.iter().map(|(id, since, _)| (id, since)).collect();
        for (id, since) in named {
            self.names.set_since(id, since & !REPLAYED);
        }
        let limited = self.resources.values().filter_map(ResourceRow::counted_name);
        self.names.recount(self.jobs.iter().flat_map(Job::counted_names).chain(limited));
    }
}
