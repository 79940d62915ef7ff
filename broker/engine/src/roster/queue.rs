//! What is derived about one queue: its jobs by state, its lanes, what it keeps.

use super::kept_bytes::KeptBytes;
use super::lanes::{Lanes, RingAt, Spot, Taste};
use super::limits::BucketId;
use super::seqs::Seqs;
use super::serial::Serials;
use crate::ids::{Ms, NameId, Seq, SessionId};
use crate::ledger::job::{Job, State};
use crate::ledger::jobs::Jobs;
use crate::measure::Histogram;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Suspects asked one after the other where limits keep the first ones.
const SUSPECTS_LOOKED_AT: usize = 32;

/// Ready jobs looked at, oldest first, for one that somebody may take.
const OLDEST_LOOKED_AT: usize = 32;

/// One queue.
#[derive(Debug, Default)]
pub(crate) struct QueueIndex {
    /// Jobs by state, in order of seq.
    pub(crate) states: [Seqs; State::COUNT],
    /// Ready jobs, in the order they leave.
    pub(crate) lanes: Lanes,
    /// Ready jobs that run alone in their session, by kind.
    pub(crate) suspects: BTreeMap<NameId, Seqs>,
    /// Jobs of keys that run one at a time.
    pub(crate) serials: Serials,
    /// The session that empties itself for a suspect.
    pub(crate) reserved: Option<SessionId>,
    /// Who waits gets its jobs by lot.
    pub(crate) is_random: bool,
    /// A stream had room, but not for the first job of its lanes.
    pub(crate) skipped: bool,
    /// What its ended jobs take, if it keeps only so many bytes of them.
    pub(crate) kept_bytes: Option<Box<KeptBytes>>,
    /// Retries that wait until a limit has room for them, and which one.
    pub(crate) aside: BTreeMap<Seq, BucketId>,
    /// Completed jobs that count against the number the queue keeps, by time of removal.
    pub(crate) kept: BTreeSet<(Ms, Seq)>,
    /// How long its jobs were ready before they were leased, since the start.
    pub(crate) waits: Histogram,
    /// How long they were leased, however that ended, since the start.
    pub(crate) runs: Histogram,
    /// Streams and long polls that draw from it.
    pub(crate) streams: u32,
    /// Slots of these streams.
    pub(crate) slots: u64,
}

impl QueueIndex {
    /// A job of a key that runs one at a time comes or goes, or changes; who is next is told.
    pub(crate) fn serial(&mut self, job: &Job, is_there: bool) -> Option<NameId> {
        let turns = if is_there { self.serials.join(job) } else { self.serials.leave(job) };
        if let Some(old) = turns.old {
            self.unseat(old);
        }
        let new = turns.new?;
        self.seat(new);
        Some(new.spot.ring.kind)
    }

    pub(crate) fn insert_ready(&mut self, job: &Job) {
        self.seat(Seat::of(job));
    }

    pub(crate) fn remove_ready(&mut self, job: &Job) {
        self.unseat(Seat::of(job));
    }

    fn seat(&mut self, seat: Seat) {
        if seat.is_suspect {
            self.suspects.entry(seat.spot.ring.kind).or_default().insert(seat.spot.seq);
        } else {
            self.lanes.insert(seat.spot);
        }
    }

    fn unseat(&mut self, seat: Seat) {
        let kind = seat.spot.ring.kind;
        if !self.aside.is_empty() {
            self.aside.remove(&seat.spot.seq);
        }
        if !seat.is_suspect {
            self.lanes.remove(seat.spot);
        } else if let Some(suspects) = self.suspects.get_mut(&kind) {
            suspects.remove(seat.spot.seq);
            if suspects.is_empty() {
                self.suspects.remove(&kind);
            }
        }
    }

    /// The retry at this spot waits until the bucket has room for it; others pass it.
    pub(crate) fn set_aside(&mut self, spot: Spot, id: BucketId) {
        self.lanes.remove(spot);
        self.aside.insert(spot.seq, id);
    }

    /// The retry stands in its lane again, unless it waits for nothing any more; then None.
    pub(crate) fn reseat(&mut self, job: &Job) -> Option<NameId> {
        self.aside.remove(&job.seq)?;
        self.seat(Seat::of(job));
        Some(job.kind)
    }

    /// The oldest suspect that somebody who can run `kinds` may take.
    pub(crate) fn suspect(&self, kinds: &[NameId]) -> Option<Seq> {
        self.suspects
            .iter()
            .filter(|(kind, _)| kinds.is_empty() || kinds.contains(kind))
            .filter_map(|(_, seqs)| seqs.first())
            .min()
    }

    /// The oldest suspects of each kind that somebody who can run `kinds` may take, by age; a few.
    pub(crate) fn oldest_suspects(&self, kinds: &[NameId]) -> Vec<Seq> {
        let mine = self.suspects.iter().filter(|(kind, _)| kinds.is_empty() || kinds.contains(kind));
        let mut oldest: Vec<Seq> =
            mine.flat_map(|(_, seqs)| seqs.after(None).take(SUSPECTS_LOOKED_AT)).collect();
        oldest.sort_unstable();
        oldest.truncate(SUSPECTS_LOOKED_AT);
        oldest
    }

    pub(crate) fn is_queued(&self, job: &Job) -> bool {
        if job.is_serial() && !self.serials.is_next(job) {
            return self.serials.contains(job);
        }
        if self.aside.contains_key(&job.seq) {
            return true;
        }
        if job.is_suspect() {
            self.suspects.get(&job.kind).is_some_and(|seqs| seqs.contains(job.seq))
        } else {
            self.lanes.contains(spot(job))
        }
    }

    /// How many jobs are in lanes, wait as suspects, or wait for another one of their key.
    pub(crate) fn queued(&self) -> usize {
        self.lanes.len()
            + self.suspects.values().map(Seqs::len).sum::<usize>()
            + self.serials.waiting()
            + self.aside.len()
    }

    /// The next job for somebody of this taste, of what is not blocked.
    pub(crate) fn pick(&self, jobs: &Jobs, taste: Taste<'_>) -> Option<Spot> {
        self.lanes.pick(taste, || {
            let ready = self.states[State::Ready.index()].after(None).take(OLDEST_LOOKED_AT);
            let spots = ready.filter_map(|seq| jobs.get(seq)).map(spot);
            spots.into_iter().find(|spot| self.lanes.is_open(*spot, taste)).map(|spot| spot.ring.level)
        })
    }

    /// There is a job to be picked, if nothing keeps it.
    pub(crate) fn is_filled(&self) -> bool {
        !self.suspects.is_empty() || self.lanes.is_filled()
    }

    pub(crate) fn has_ready(&self, kind: NameId) -> bool {
        self.lanes.has(kind) || self.suspects.contains_key(&kind)
    }

    /// The kinds that have a ready job of any sort.
    pub(crate) fn ready_kinds(&self) -> impl Iterator<Item = NameId> + '_ {
        self.lanes.kinds().chain(self.suspects.keys().copied())
    }
}

/// Where a ready job waits to be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) spot: Spot,
    pub(crate) is_suspect: bool,
}

impl Seat {
    pub(crate) fn of(job: &Job) -> Self {
        Self { spot: spot(job), is_suspect: job.is_suspect() }
    }
}

pub(crate) fn spot(job: &Job) -> Spot {
    let ring = RingAt { level: job.level, kind: job.kind, gate: job.gate };
    Spot { ring, key: job.key, seq: job.seq }
}
