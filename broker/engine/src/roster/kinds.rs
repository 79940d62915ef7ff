//! What is counted by kind: jobs by state, runs by their outcome, streams.
//!
//! A kind's counts are found by its number without a search, because every job moves them several times
//! in its life. What ever happened is written down now and then, and not with every turn as for queues:
//! after a crash the last seconds are missing.

use crate::fact::Totals;
use crate::ids::{Ms, NameId};
use crate::ledger::job::State;
use crate::limits::{KIND_TOTALS_EVERY_MS, KIND_TOTALS_PER_TICK};
use alloc::vec;
use alloc::vec::Vec;

/// What is counted of one kind.
#[derive(Clone, Debug)]
pub(crate) struct KindCounts {
    pub(crate) kind: NameId,
    /// Jobs by state.
    pub(crate) states: [u32; State::COUNT],
    /// Streams that name it. Of a namespace: streams that name no kind.
    pub(crate) streams: u32,
    /// Attempts that completed and that failed, ever.
    pub(crate) totals: Totals,
    /// They are not written down as they are.
    is_changed: bool,
}

/// All kinds that were ever counted.
#[derive(Debug)]
pub(crate) struct Kinds {
    /// By number of the name: where its counts are; 0 = nowhere yet.
    places: Vec<u32>,
    /// The first is nobody's.
    rows: Vec<KindCounts>,
    /// Places of those that changed since they were written down.
    changed: Vec<u32>,
    written_at: Ms,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { places: Vec::new(), rows: vec![KindCounts::new(0)], changed: Vec::new(), written_at: 0 }
    }
}

impl KindCounts {
    fn new(kind: NameId) -> Self {
        // A group is of no kind, and nobody asks what became of that one.
        let is_changed = kind == 0;
        let states = [0; State::COUNT];
        Self { kind, states, streams: 0, totals: Totals::default(), is_changed }
    }
}

impl Kinds {
    /// The counts of a kind, to be changed.
    #[inline]
    pub(crate) fn of(&mut self, kind: NameId) -> &mut KindCounts {
        let place = self.place(kind);
        &mut self.rows[place]
    }

    /// The counts of a kind.
    pub(crate) fn get(&self, kind: NameId) -> Option<&KindCounts> {
        let place = *self.places.get(kind as usize)?;
        self.rows.get(place as usize).filter(|row| row.kind == kind)
    }

    /// An attempt ended; what is counted of it is written down some time.
    #[inline]
    pub(crate) fn raise(&mut self, kind: NameId, completed: u64, failed: u64) {
        let place = self.place(kind);
        let row = &mut self.rows[place];
        row.totals.completed += completed;
        row.totals.failed_attempts += failed;
        if !row.is_changed {
            row.is_changed = true;
            self.changed.push(self.places[kind as usize]);
        }
    }

    /// What is to be written down now, a few kinds at a time; `all` = before the end.
    pub(crate) fn due(&mut self, now: Ms, all: bool) -> Vec<(NameId, Totals)> {
        // A clock that was set back makes nobody wait.
        let rests = now.wrapping_sub(self.written_at) < KIND_TOTALS_EVERY_MS;
        if self.changed.is_empty() || rests && !all {
            return Vec::new();
        }
        let most = if all { self.changed.len() } else { self.changed.len().min(KIND_TOTALS_PER_TICK) };
        if most == self.changed.len() {
            self.written_at = now;
        }
        let rest = self.changed.split_off(most);
        let places = core::mem::replace(&mut self.changed, rest);
        let written = places.into_iter().map(|place| {
            let row = &mut self.rows[place as usize];
            row.is_changed = false;
            (row.kind, row.totals)
        });
        written.collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &KindCounts> {
        self.rows[1..].iter()
    }

    #[inline]
    fn place(&mut self, kind: NameId) -> usize {
        match self.places.get(kind as usize) {
            Some(&place) if place > 0 => place as usize,
            _ => self.settle(kind),
        }
    }

    #[cold]
    fn settle(&mut self, kind: NameId) -> usize {
        let index = kind as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, 0);
        }
        let place = self.rows.len();
        self.places[index] = u32::try_from(place).expect("the number of kinds is bounded");
        self.rows.push(KindCounts::new(kind));
        place
    }
}
