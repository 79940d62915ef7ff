//! Journal and leaves in memory, with power cuts and failing disks on demand. It is the seam's
//! second implementation, used by deterministic simulation: same seed, same disk.
//!
//! A `SimDisk` outlives what is opened from it, as a disk outlives a process. A power cut drops
//! what was not synced, except for what the seed lets survive within the promises of the seam: of
//! the leaves a prefix of the unsynced writes, of the journal the one record in flight.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::error::StoreError;
use super::seam::{
    Change, EachEntry, EachRecord, Journal, JournalStats, Leaves, LeavesStats, ReadLeaves, Record, Recovered,
    assert_small,
};

/// Records in one simulated segment: few, so that short histories recycle.
const SEGMENT_RECORDS: usize = 16;
/// Full segments that recycling keeps, as on disk.
const KEPT: usize = 2;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    platter: Arc<Mutex<Platter>>,
}

#[derive(Debug, Default)]
struct Platter {
    /// Rises with each power cut; handles of an earlier life are dead.
    life: u64,
    segments: Vec<Segment>,
    /// The record whose append failed: it may turn out to be on disk.
    in_flight: Option<Kept>,
    /// The numbering a jump asked for; durable at once, as on disk.
    last_batch: u64,
    /// The newest batch that recycling has taken away.
    recycled_to: u64,
    synced: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What readers see: the synced entries and all writes since.
    written: BTreeMap<Vec<u8>, Vec<u8>>,
    unsynced: Vec<Vec<Change>>,
    fail_append: Countdown,
    fail_write: Countdown,
    fail_sync: Countdown,
}

#[derive(Debug)]
struct Segment {
    records: Vec<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    batch: u64,
    format: u8,
    body: Vec<u8>,
}

/// Fires once, at the nth call from when it was set; 0 is off.
#[derive(Debug, Default)]
struct Countdown(u64);

impl Countdown {
    fn fires(&mut self) -> bool {
        if self.0 == 0 {
            return false;
        }
        self.0 -= 1;
        self.0 == 0
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// Opens the journal on it. Journal and leaves opened before the last power cut are dead.
    #[must_use]
    pub fn open_journal(&self) -> (SimJournal, Recovered) {
        let platter = self.lock();
        let recovered = Recovered { first_batch: platter.first_batch(), last_batch: platter.last_batch };
        let journal =
            SimJournal { disk: self.clone(), life: platter.life, poisoned: false, records: 0, bytes: 0 };
        drop(platter);
        (journal, recovered)
    }

    /// Opens the leaves on it.
    #[must_use]
    pub fn open_leaves(&self) -> SimLeaves {
        SimLeaves { disk: self.clone(), life: self.lock().life, stats: LeavesStats::default() }
    }

    /// Cuts the power: what was not synced is gone, except for what `seed` lets survive.
    pub fn power_cut(&self, seed: u64) {
        let mut random = SplitMix(seed);
        let mut platter = self.lock();
        platter.life += 1;
        if let Some(kept) = platter.in_flight.take()
            && random.below(2) == 1
        {
            platter.keep(kept);
        }
        let number = platter.unsynced.len() as u64;
        let survive = usize::try_from(random.below(number + 1)).expect("no more than there were");
        let unsynced = std::mem::take(&mut platter.unsynced);
        for changes in unsynced.into_iter().take(survive) {
            apply(&mut platter.synced, changes);
        }
        platter.written = platter.synced.clone();
        platter.fail_append = Countdown(0);
        platter.fail_write = Countdown(0);
        platter.fail_sync = Countdown(0);
    }

    /// Makes the nth append from now fail, 1 being the next. Whether its record is on disk shows
    /// at the next power cut; this is also how to cut the power in the middle of a commit.
    pub fn fail_append(&self, nth: u64) {
        self.lock().fail_append = Countdown(nth);
    }

    /// Makes the nth write to the leaves from now fail, 1 being the next.
    pub fn fail_write(&self, nth: u64) {
        self.lock().fail_write = Countdown(nth);
    }

    /// Makes the nth sync of the leaves from now fail, 1 being the next.
    pub fn fail_sync(&self, nth: u64) {
        self.lock().fail_sync = Countdown(nth);
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().expect("nothing panics while it holds the platter")
    }

    /// The platter, unless the power was cut since the handle of `life` was opened.
    fn lock_in(&self, life: u64) -> Result<MutexGuard<'_, Platter>, StoreError> {
        let platter = self.lock();
        if platter.life == life { Ok(platter) } else { Err(poisoned()) }
    }
}

impl Platter {
    fn first_batch(&self) -> u64 {
        let oldest = self.segments.iter().find_map(|segment| segment.records.first());
        oldest.map_or(self.last_batch + 1, |record| record.batch)
    }

    fn keep(&mut self, kept: Kept) {
        self.last_batch = kept.batch;
        match self.segments.last_mut() {
            Some(segment) if segment.records.len() < SEGMENT_RECORDS => segment.records.push(kept),
            Some(_) | None => self.segments.push(Segment { records: vec![kept] }),
        }
    }
}

/// The journal of a `SimDisk`.
#[derive(Debug)]
pub struct SimJournal {
    disk: SimDisk,
    life: u64,
    poisoned: bool,
    records: u64,
    bytes: u64,
}

impl Journal for SimJournal {
    fn continue_at(&mut self, batch: u64) -> Result<(), StoreError> {
        assert!(self.records == 0, "numbering is settled before the first append");
        let mut platter = self.disk.lock_in(self.life)?;
        let next = platter.last_batch + 1;
        assert!(batch >= next, "numbering never goes back: {batch} is below {next}");
        platter.last_batch = batch - 1;
        Ok(())
    }

    fn append(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        let mut platter = self.disk.lock_in(self.life)?;
        if self.poisoned {
            return Err(poisoned());
        }
        let next = platter.last_batch + 1;
        assert_eq!(record.batch, next, "each batch is the previous + 1");
        let kept = Kept { batch: record.batch, format: record.format, body: record.body.to_vec() };
        if platter.fail_append.fires() {
            platter.in_flight = Some(kept);
            self.poisoned = true;
            return Err(failed("write to the journal"));
        }
        platter.keep(kept);
        self.records += 1;
        self.bytes += record.body.len() as u64;
        Ok(())
    }

    /// What it keeps is not damaged afterwards.
    fn confirm(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn replay(&mut self, from: u64, each: EachRecord<'_>) -> Result<(), StoreError> {
        assert!(self.records == 0, "replay comes before the first append");
        let platter = self.disk.lock_in(self.life)?;
        if from.max(1) <= platter.recycled_to {
            let first = platter.first_batch();
            return Err(StoreError::Missing {
                path: path(),
                what: format!("batch {from} is needed, the journal's oldest is {first}"),
            });
        }
        let records: Vec<Kept> = platter
            .segments
            .iter()
            .flat_map(|segment| &segment.records)
            .filter(|record| record.batch >= from)
            .cloned()
            .collect();
        drop(platter);
        for kept in records {
            each(Record { batch: kept.batch, format: kept.format, body: &kept.body })?;
        }
        Ok(())
    }

    fn recycle(&mut self, from: u64) -> Result<(), StoreError> {
        let mut platter = self.disk.lock_in(self.life)?;
        while platter.segments.len() > KEPT + 1
            && let Some(newest) = platter.segments[0].records.last().map(|record| record.batch)
            && newest < from
        {
            platter.recycled_to = newest;
            platter.segments.remove(0);
        }
        Ok(())
    }

    fn stats(&self) -> JournalStats {
        let platter = self.disk.lock();
        let records = platter.segments.iter().flat_map(|segment| &segment.records);
        JournalStats {
            bytes_on_disk: records.map(|record| record.body.len() as u64).sum(),
            segments: platter.segments.len(),
            records: self.records,
            bytes: self.bytes,
            ..JournalStats::default()
        }
    }
}

/// The leaves of a `SimDisk`.
#[derive(Debug)]
pub struct SimLeaves {
    disk: SimDisk,
    life: u64,
    stats: LeavesStats,
}

impl Leaves for SimLeaves {
    fn write(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        assert_small(&changes)?;
        let mut platter = self.disk.lock_in(self.life)?;
        let fails = platter.fail_write.fires();
        self.stats.changes += changes.len() as u64;
        if !fails {
            apply(&mut platter.written, changes.clone());
        }
        // A write that failed may have reached the disk all the same.
        platter.unsynced.push(changes);
        if fails {
            return Err(failed("write to the leaves"));
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let mut platter = self.disk.lock_in(self.life)?;
        if platter.fail_sync.fires() {
            return Err(failed("sync the leaves"));
        }
        platter.unsynced.clear();
        platter.synced = platter.written.clone();
        self.stats.syncs += 1;
        Ok(())
    }

    fn reader(&self) -> Arc<dyn ReadLeaves> {
        Arc::new(SimReader { disk: self.disk.clone(), life: self.life })
    }

    fn stats(&self) -> LeavesStats {
        let platter = self.disk.lock();
        let bytes = platter.written.iter().map(|(key, value)| (key.len() + value.len()) as u64);
        LeavesStats { bytes_on_disk: bytes.sum(), ..self.stats }
    }
}

struct SimReader {
    disk: SimDisk,
    life: u64,
}

impl ReadLeaves for SimReader {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.disk.lock_in(self.life)?.written.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], each: EachEntry<'_>) -> Result<(), StoreError> {
        let platter = self.disk.lock_in(self.life)?;
        let entries: Vec<(Vec<u8>, Vec<u8>)> = platter
            .written
            .range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        drop(platter);
        entries.iter().try_for_each(|(key, value)| each(key, value))
    }
}

fn apply(entries: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Put(key, value) => entries.insert(key, value),
            Change::Remove(key) => entries.remove(&key),
        };
    }
}

fn path() -> PathBuf {
    PathBuf::from("simulated disk")
}

fn failed(doing: &'static str) -> StoreError {
    StoreError::io(doing, &path(), io::Error::from_raw_os_error(libc::EIO))
}

fn poisoned() -> StoreError {
    StoreError::Poisoned { file: path() }
}

/// A small generator of our own, so that a seed means the same for ever.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

#[cfg(test)]
mod tests;
