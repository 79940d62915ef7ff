//! All jobs: a slab, found by id and by seq through hashed tables that are never iterated.

use crate::ids::{JobId, NameId, Seq};
use crate::ledger::job::Job;
use crate::policy::mix;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use hashbrown::HashTable;

/// A job's place in the slab.
pub(crate) type Place = u32;

/// The jobs of all namespaces and states.
#[derive(Debug, Default)]
pub struct Jobs {
    seed: u64,
    slab: Vec<Option<Job>>,
    free: Vec<Place>,
    by_id: HashTable<Place>,
    by_seq: HashTable<Place>,
    /// Where the last job was found: one decision looks at its job several times.
    hint: Hint,
}

/// A place that is worth a look. It says nothing of the jobs, so it is the same whatever it is.
#[derive(Default)]
struct Hint(Cell<Place>);

impl fmt::Debug for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hint")
    }
}

impl Jobs {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_seq.len()
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The job with this seq.
    #[must_use]
    #[inline]
    pub fn get(&self, seq: Seq) -> Option<&Job> {
        let hinted = self.slab.get(self.hint.0.get() as usize).and_then(Option::as_ref);
        if let Some(job) = hinted.filter(|job| job.seq == seq) {
            return Some(job);
        }
        self.look_up(seq).map(|place| self.at(place))
    }

    pub(crate) fn get_mut(&mut self, seq: Seq) -> Option<&mut Job> {
        let place = self.place(seq)?;
        self.slab[place as usize].as_mut()
    }

    /// The job with this id.
    #[must_use]
    pub fn find(&self, namespace: NameId, id: JobId) -> Option<&Job> {
        let found = self.by_id.find(self.hash_id(id), |&place| {
            let job = self.at(place);
            job.id == id && job.namespace == namespace
        });
        let place = *found?;
        self.hint.0.set(place);
        Some(self.at(place))
    }

    /// Every job, in no particular order: for rebuilding and for comparing only.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.slab.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Job> {
        self.slab.iter_mut().flatten()
    }

    /// Adds a job whose seq is new. Replay may bring back a job whose id lives on in a later one;
    /// both stand until the replayed one is removed again.
    pub(crate) fn insert(&mut self, job: Job) {
        let (seq, id) = (job.seq, job.id);
        let place = if let Some(place) = self.free.pop() {
            self.slab[place as usize] = Some(job);
            place
        } else {
            self.slab.push(Some(job));
            Place::try_from(self.slab.len() - 1).expect("the number of jobs is bounded below 2^32")
        };
        let (seed, slab) = (self.seed, &self.slab);
        let at = |place: &Place| slab[*place as usize].as_ref().expect("tables name live places");
        self.by_seq.insert_unique(mix(seed, seq), place, |place| mix(seed, at(place).seq));
        self.by_id.insert_unique(hash_id(seed, id), place, |place| hash_id(seed, at(place).id));
        self.hint.0.set(place);
    }

    pub(crate) fn remove(&mut self, seq: Seq) -> Option<Job> {
        let place = self.place(seq)?;
        if let Ok(entry) = self.by_seq.find_entry(mix(self.seed, seq), |&found| found == place) {
            entry.remove();
        }
        let id = self.at(place).id;
        if let Ok(entry) = self.by_id.find_entry(hash_id(self.seed, id), |&found| found == place) {
            entry.remove();
        }
        self.free.push(place);
        self.slab[place as usize].take()
    }

    #[inline]
    fn place(&self, seq: Seq) -> Option<Place> {
        let hint = self.hint.0.get();
        let hinted = self.slab.get(hint as usize).and_then(Option::as_ref);
        if hinted.is_some_and(|job| job.seq == seq) { Some(hint) } else { self.look_up(seq) }
    }

    fn look_up(&self, seq: Seq) -> Option<Place> {
        let place = self.by_seq.find(mix(self.seed, seq), |&place| self.at(place).seq == seq).copied()?;
        self.hint.0.set(place);
        Some(place)
    }

    fn at(&self, place: Place) -> &Job {
        self.slab[place as usize].as_ref().expect("tables name live places")
    }

    fn hash_id(&self, id: JobId) -> u64 {
        hash_id(self.seed, id)
    }
}

/// Ids come from clients: the seed keeps them from choosing collisions.
pub(crate) fn hash_id(seed: u64, id: JobId) -> u64 {
    let (high, low) = id.0.split_at(8);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("half of sixteen bytes"));
    mix(mix(seed, word(high)), word(low))
}
