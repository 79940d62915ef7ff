//! What is derived about one queue: its jobs by state, its lanes, what it keeps.

use super::lanes::{Lanes, Spot};
use super::seqs::Seqs;
use crate::ids::{Ms, NameId, Seq, SessionId};
use crate::ledger::job::{Job, State};
use alloc::collections::{BTreeMap, BTreeSet};

/// One queue.
#[derive(Debug, Default)]
pub(crate) struct QueueIndex {
    /// Jobs by state, in order of seq.
    pub(crate) states: [Seqs; State::COUNT],
    /// Ready jobs, in the order they leave.
    pub(crate) lanes: Lanes,
    /// Ready jobs that run alone in their session, by kind.
    pub(crate) suspects: BTreeMap<NameId, Seqs>,
    /// The session that empties itself for a suspect.
    pub(crate) reserved: Option<SessionId>,
    /// A stream had room, but not for the first job of its lanes.
    pub(crate) skipped: bool,
    /// Completed jobs that count against the number the queue keeps, by time of removal.
    pub(crate) kept: BTreeSet<(Ms, Seq)>,
}

impl QueueIndex {
    pub(crate) fn insert_ready(&mut self, job: &Job) {
        if job.is_suspect() {
            self.suspects.entry(job.kind).or_default().insert(job.seq);
        } else {
            self.lanes.insert(spot(job));
        }
    }

    pub(crate) fn remove_ready(&mut self, job: &Job) {
        if !job.is_suspect() {
            self.lanes.remove(spot(job));
        } else if let Some(suspects) = self.suspects.get_mut(&job.kind) {
            suspects.remove(job.seq);
            if suspects.is_empty() {
                self.suspects.remove(&job.kind);
            }
        }
    }

    /// The oldest suspect that somebody who can run `kinds` may take.
    pub(crate) fn suspect(&self, kinds: &[NameId]) -> Option<Seq> {
        self.suspects
            .iter()
            .filter(|(kind, _)| kinds.is_empty() || kinds.contains(kind))
            .filter_map(|(_, seqs)| seqs.first())
            .min()
    }

    pub(crate) fn is_queued(&self, job: &Job) -> bool {
        if job.is_suspect() {
            self.suspects.get(&job.kind).is_some_and(|seqs| seqs.contains(job.seq))
        } else {
            self.lanes.contains(spot(job))
        }
    }

    /// How many jobs are in lanes or wait as suspects.
    pub(crate) fn queued(&self) -> usize {
        self.lanes.len() + self.suspects.values().map(Seqs::len).sum::<usize>()
    }

    pub(crate) fn has_ready(&self, kind: NameId) -> bool {
        self.lanes.has(kind) || self.suspects.contains_key(&kind)
    }

    /// The kinds that have a ready job of any sort.
    pub(crate) fn ready_kinds(&self) -> impl Iterator<Item = NameId> + '_ {
        self.lanes.kinds().chain(self.suspects.keys().copied())
    }
}

fn spot(job: &Job) -> Spot {
    Spot { level: job.level, kind: job.kind, key: job.key, seq: job.seq }
}
