//! Serial keys: of the jobs of such a key one runs at a time, in the order of their enqueueing.

use super::queue::Seat;
use crate::ids::{NameId, Seq};
use crate::ledger::job::{Job, State};
use crate::policy::Ordering;
use alloc::collections::BTreeMap;

/// The serial keys of one queue.
#[derive(Debug, Default)]
pub(crate) struct Serials {
    keys: BTreeMap<NameId, Serial>,
}

/// The jobs of one key that have not ended, and dead ones that nobody may pass.
#[derive(Debug, Default)]
struct Serial {
    /// Where a job waits, if it is ready.
    jobs: BTreeMap<Seq, Option<Seat>>,
    /// The one that runs. It need not be the first: an older one may have been made to run again.
    running: Option<Seq>,
    /// The first of them, if it waits to be picked.
    next: Option<Seat>,
}

/// Who waited to be picked and does no more, and who does now.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) old: Option<Seat>,
    pub(crate) new: Option<Seat>,
}

impl Serials {
    pub(crate) fn join(&mut self, job: &Job) -> Turns {
        let passes = match job.state {
            State::Dead => job.ordering == Ordering::SerialSkipFailed,
            State::Completed | State::Cancelled | State::Expired => true,
            State::Held | State::Scheduled | State::Blocked | State::Ready | State::Leased => false,
        };
        if passes {
            return Turns::default();
        }
        let seat = (job.state == State::Ready).then(|| Seat::of(job));
        let serial = self.keys.entry(job.key).or_default();
        serial.jobs.insert(job.seq, seat);
        if job.state == State::Leased && planted!(SerialShared) {
            serial.jobs.remove(&job.seq);
        } else if job.state == State::Leased {
            serial.running = Some(job.seq);
        }
        serial.turn()
    }

    pub(crate) fn leave(&mut self, job: &Job) -> Turns {
        let Some(serial) = self.keys.get_mut(&job.key) else { return Turns::default() };
        serial.jobs.remove(&job.seq);
        serial.running = serial.running.filter(|&running| running != job.seq);
        let turns = serial.turn();
        if serial.jobs.is_empty() {
            self.keys.remove(&job.key);
        }
        turns
    }

    /// The job is the one of its key that may be picked.
    pub(crate) fn is_next(&self, job: &Job) -> bool {
        let next = self.keys.get(&job.key).and_then(|serial| serial.next);
        next.is_some_and(|seat| seat.spot.seq == job.seq)
    }

    pub(crate) fn contains(&self, job: &Job) -> bool {
        self.keys.get(&job.key).is_some_and(|serial| serial.jobs.contains_key(&job.seq))
    }

    /// The job that the others of this key wait for.
    pub(crate) fn first(&self, key: NameId) -> Option<Seq> {
        let serial = self.keys.get(&key)?;
        serial.running.or_else(|| serial.jobs.first_key_value().map(|(&seq, _)| seq))
    }

    /// How many jobs of its key come before it.
    pub(crate) fn before(&self, job: &Job) -> usize {
        self.keys.get(&job.key).map_or(0, |serial| {
            let runs_younger = serial.running.is_some_and(|running| running > job.seq);
            serial.jobs.range(..job.seq).count() + usize::from(runs_younger)
        })
    }

    /// How many ready jobs wait for another one of their key.
    pub(crate) fn waiting(&self) -> usize {
        let ready = self.keys.values().flat_map(|serial| serial.jobs.values().flatten()).count();
        ready - self.keys.values().filter(|serial| serial.next.is_some()).count()
    }
}

impl Serial {
    fn turn(&mut self) -> Turns {
        let first = self.jobs.first_key_value().and_then(|(_, &seat)| seat);
        let first = first.filter(|_| self.running.is_none());
        if first == self.next {
            return Turns::default();
        }
        Turns { old: core::mem::replace(&mut self.next, first), new: first }
    }
}
