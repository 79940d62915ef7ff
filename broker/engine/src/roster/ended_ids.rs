//! The ids of removed jobs, known for a window after their end, so that a producer's late re-send
//! makes no second job. In memory; rebuilt from the kept journal after a restart.

use crate::ids::{JobId, Ms, NameId};
use crate::ledger::jobs::hash_id;
use crate::limits::{ENDED_IDS_MAX, IDEMPOTENCY_WINDOW_MS};
use alloc::collections::VecDeque;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// When, of which namespace, which job, and the fence whose settlement ended its last lease.
type Ended = (Ms, NameId, JobId, u64);

/// The window.
#[derive(Debug, Default)]
pub(crate) struct EndedIds {
    seed: u64,
    ring: VecDeque<Ended>,
    /// How many entries ever left the ring: place = number - gone.
    gone: u64,
    numbers: HashTable<u64>,
}

impl EndedIds {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The fence whose settlement ended the job's last lease, 0 = none did; None = not known.
    pub(crate) fn find(&self, namespace: NameId, id: JobId) -> Option<u64> {
        self.numbers
            .find(hash_id(self.seed, id), |&number| {
                self.at(number).is_some_and(|&(_, of, known, _)| of == namespace && known == id)
            })
            .and_then(|&number| self.at(number))
            .map(|&(.., settled)| settled)
    }

    pub(crate) fn insert(&mut self, (at, namespace, id, settled): Ended) {
        while self.ring.len() >= ENDED_IDS_MAX {
            self.drop_oldest();
        }
        let number = self.gone + self.ring.len() as u64;
        let (seed, ring, gone) = (self.seed, &self.ring, self.gone);
        let is_known = |&number: &u64| {
            ring.get(place(number, gone)).is_some_and(|&(_, of, known, _)| of == namespace && known == id)
        };
        let hash = |&number: &u64| hash_id(seed, ring[place(number, gone)].2);
        match self.numbers.entry(hash_id(seed, id), is_known, hash) {
            // Replay may tell of two jobs with this id, a window apart: the later end counts.
            Entry::Occupied(mut known) => *known.get_mut() = number,
            Entry::Vacant(free) => drop(free.insert(number)),
        }
        self.ring.push_back((at, namespace, id, settled));
    }

    /// Forgets what is older than the window, a few at a time.
    pub(crate) fn expire(&mut self, now: Ms) {
        for _ in 0..1_024 {
            match self.ring.front() {
                Some(&(at, ..)) if at.saturating_add(IDEMPOTENCY_WINDOW_MS) <= now => self.drop_oldest(),
                Some(_) | None => return,
            }
        }
    }

    fn drop_oldest(&mut self) {
        let number = self.gone;
        let Some(&(_, _, id, _)) = self.ring.front() else { return };
        if let Ok(entry) = self.numbers.find_entry(hash_id(self.seed, id), |&found| found == number) {
            entry.remove();
        }
        self.ring.pop_front();
        self.gone += 1;
    }

    fn at(&self, number: u64) -> Option<&Ended> {
        self.ring.get(place(number, self.gone))
    }
}

fn place(number: u64, gone: u64) -> usize {
    usize::try_from(number - gone).expect("the ring is bounded")
}
