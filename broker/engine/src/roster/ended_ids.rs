//! The ids of removed jobs, known for a window after their end, so that a producer's late re-send
//! makes no second job. In memory; rebuilt from the kept journal after a restart.

use crate::ids::{JobId, Ms, NameId};
use crate::ledger::jobs::hash_id;
use crate::limits::{ENDED_IDS_MAX, IDEMPOTENCY_WINDOW_MS};
use alloc::vec::Vec;
use core::mem;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// When, of which namespace, which job, and the fence whose settlement ended its last lease.
type Ended = (Ms, NameId, JobId, u64);

/// The window, in two halves: when the younger is full or old, the elder is forgotten whole, so
/// that nothing is ever taken out of a table one by one.
#[derive(Debug, Default)]
pub(crate) struct EndedIds {
    seed: u64,
    /// By how much the clock was set since the start; the rows stand in the time before.
    moved: i64,
    younger: Half,
    elder: Half,
}

#[derive(Debug, Default)]
struct Half {
    /// In the order of their ends.
    rows: Vec<Ended>,
    /// Places in `rows`, by id.
    places: HashTable<u32>,
}

impl EndedIds {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The fence whose settlement ended the job's last lease, 0 = none did; None = not known, or
    /// not any more.
    pub(crate) fn find(&self, now: Ms, namespace: NameId, id: JobId) -> Option<u64> {
        let hash = hash_id(self.seed, id);
        let known = [&self.younger, &self.elder].into_iter().find_map(|half| half.find(hash, namespace, id));
        known.filter(|&&(at, ..)| !is_over(at, self.unmoved(now))).map(|&(.., settled)| settled)
    }

    /// The clock was set: the window goes on where it was.
    pub(crate) fn shift(&mut self, by: i64) {
        self.moved = self.moved.saturating_add(by);
    }

    fn unmoved(&self, at: Ms) -> Ms {
        at.saturating_add_signed(self.moved.saturating_neg())
    }

    pub(crate) fn insert(&mut self, (at, namespace, id, settled): Ended) {
        if self.younger.rows.len() >= ENDED_IDS_MAX / 2 {
            self.turn_over();
        }
        self.younger.insert(self.seed, (self.unmoved(at), namespace, id, settled));
    }

    /// Forgets what is older than the window.
    pub(crate) fn expire(&mut self, now: Ms) {
        let now = self.unmoved(now);
        if self.elder.rows.last().is_some_and(|&(at, ..)| is_over(at, now)) {
            self.elder.clear();
        }
        let is_old = |&(at, ..): &Ended| at.saturating_add(IDEMPOTENCY_WINDOW_MS / 2) <= now;
        if self.elder.rows.is_empty() && self.younger.rows.first().is_some_and(is_old) {
            self.turn_over();
        }
    }

    fn turn_over(&mut self) {
        mem::swap(&mut self.younger, &mut self.elder);
        self.younger.clear();
    }
}

impl Half {
    fn find(&self, hash: u64, namespace: NameId, id: JobId) -> Option<&Ended> {
        let is_it = |&place: &u32| {
            let &(_, of, known, _) = &self.rows[place as usize];
            of == namespace && known == id
        };
        self.places.find(hash, is_it).map(|&place| &self.rows[place as usize])
    }

    fn insert(&mut self, seed: u64, ended: Ended) {
        let (_, namespace, id, _) = ended;
        let rows = &self.rows;
        let place = u32::try_from(rows.len()).expect("half of the ids are bounded far below 2^32");
        let is_it = |&place: &u32| rows[place as usize].1 == namespace && rows[place as usize].2 == id;
        let hash = |&place: &u32| hash_id(seed, rows[place as usize].2);
        match self.places.entry(hash_id(seed, id), is_it, hash) {
            // Replay may tell of two jobs with this id, a window apart: the later end counts.
            Entry::Occupied(mut known) => *known.get_mut() = place,
            Entry::Vacant(free) => drop(free.insert(place)),
        }
        self.rows.push(ended);
    }

    /// Keeps its memory only while it is needed: a half that was full will be again.
    fn clear(&mut self) {
        if self.rows.len() < self.rows.capacity() / 4 {
            *self = Self::default();
        } else {
            self.rows.clear();
            self.places.clear();
        }
    }
}

fn is_over(at: Ms, now: Ms) -> bool {
    at.saturating_add(IDEMPOTENCY_WINDOW_MS) <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> JobId {
        let mut id = [1; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        JobId(id)
    }

    #[test]
    fn an_id_is_known_for_the_window_and_not_longer() {
        let mut ids = EndedIds::new(7);
        for minute in 0..60 {
            let now = minute * 60_000;
            ids.insert((now, 1, id(minute), minute));
            ids.expire(now);
            for past in 0..=minute {
                let known = ids.find(now, 1, id(past));
                assert_eq!(known, (minute - past < 10).then_some(past), "{past} at {minute}");
            }
            assert!(ids.younger.rows.len() + ids.elder.rows.len() <= 22, "the past is let go");
        }
        assert_eq!(ids.find(0, 2, id(59)), None);
        ids.expire(100 * 60_000);
        ids.expire(200 * 60_000);
        assert_eq!(ids.younger.rows.len() + ids.elder.rows.len(), 0);
    }

    #[test]
    fn the_later_of_two_ends_counts() {
        let mut ids = EndedIds::new(7);
        ids.insert((1, 1, id(1), 5));
        ids.insert((2, 1, id(1), 6));
        assert_eq!(ids.find(2, 1, id(1)), Some(6));
        ids.turn_over();
        ids.insert((3, 1, id(1), 7));
        assert_eq!(ids.find(3, 1, id(1)), Some(7));
    }

    #[test]
    fn there_are_never_more_than_the_bound_and_never_fewer_than_half() {
        let mut ids = EndedIds::new(7);
        let half = ENDED_IDS_MAX as u64 / 2;
        for number in 0..5 * half / 2 {
            ids.insert((1, 1, id(number), 1));
        }
        let known = (0..5 * half / 2).filter(|&number| ids.find(1, 1, id(number)).is_some()).count() as u64;
        assert!((half..=2 * half).contains(&known), "{known}");
        assert!(ids.find(1, 1, id(5 * half / 2 - 1)).is_some());
    }
}
