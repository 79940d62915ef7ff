//! Kept bytes: what the ended jobs of a queue take that is to keep only so much of them.

use crate::ids::{Ms, Seq};
use crate::ledger::job::{Job, State};
use alloc::collections::BTreeMap;
use alloc::string::String;

/// The ended jobs of one queue that hold a payload, headers or a result.
#[derive(Debug, Default)]
pub(crate) struct KeptBytes {
    pub(crate) most: u64,
    bytes: u64,
    /// What each of them holds; whoever ended first loses it first. The dead come last, because what they
    /// hold is needed to run them again.
    order: BTreeMap<(bool, Ms, Seq), u64>,
    /// How far the jobs were looked through that had ended before: the place of a state among the final
    /// ones, and the last job of it.
    pub(crate) looked: (usize, Option<Seq>),
}

/// The states that are looked through.
pub(crate) const FINAL: [State; 4] = [State::Completed, State::Dead, State::Cancelled, State::Expired];

impl KeptBytes {
    /// An ended job joins; it may be known already.
    pub(crate) fn join(&mut self, job: &Job) {
        let (Some(place), bytes) = (place(job), job.body_len()) else { return };
        if bytes > 0 && self.order.insert(place, bytes).is_none() {
            self.bytes += bytes;
        }
    }

    pub(crate) fn leave(&mut self, job: &Job) {
        if let Some(bytes) = place(job).and_then(|place| self.order.remove(&place)) {
            self.bytes -= bytes;
        }
    }

    /// All jobs that had ended before are known.
    pub(crate) fn is_complete(&self) -> bool {
        self.looked.0 >= FINAL.len()
    }

    /// The job that is to lose what it holds.
    pub(crate) fn over(&self) -> Option<Seq> {
        let (&(_, _, seq), _) = self.order.first_key_value().filter(|_| self.bytes > self.most)?;
        Some(seq)
    }

    /// Whether it knows these jobs and no others.
    pub(crate) fn audit<'a>(&self, jobs: impl Iterator<Item = &'a Job>) -> Result<(), String> {
        let mut fresh = Self::default();
        jobs.for_each(|job| fresh.join(job));
        let is_same = self.order == fresh.order && self.bytes == fresh.bytes;
        if is_same { Ok(()) } else { Err(alloc::format!("kept bytes {}, not {}", self.bytes, fresh.bytes)) }
    }
}

fn place(job: &Job) -> Option<(bool, Ms, Seq)> {
    let ended = job.ended.as_ref()?;
    Some((job.state == State::Dead, ended.end.at, job.seq))
}
