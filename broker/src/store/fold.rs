//! The fold: facts that live longer than their journal segment go into the leaves.
//!
//! It has two sides. [`Fold`] belongs to the driver: what is dirty, and copies of it in slices,
//! taken only between batches. [`Folder`] belongs to the fold thread: it writes a slice once the
//! batches it shows are durable in the journal.

use super::StoreError;
use super::keys::{self, BLOCK_BYTES, CHUNK_BYTES, LEAF_JOBS, SMALL_PART_BYTES};
use super::parts::Parts;
use super::record::{self, Meta, Row, SmallPart};
use super::seam::{Change, Leaves, ReadLeaves};
use crate::failpoint;
use crate::limits::{BYTES_PER_SLICE, LEAVES_PER_SLICE, ROWS_PER_SLICE};
use std::collections::BTreeSet;
use windlass_engine::Blob;
use windlass_engine::fact::{Fact, Record};
use windlass_engine::ledger::Ledger;
use windlass_engine::ledger::job::Job;
use windlass_engine::part::PartKey;

/// Leaves looked at for one slice, those without jobs included.
const LOOKS_PER_SLICE: usize = 128;

/// Records that changed since they were folded last.
#[derive(Debug, Default)]
struct Dirty {
    leaves: BTreeSet<u64>,
    rows: BTreeSet<Record>,
}

/// The driver's side.
#[derive(Debug)]
pub struct Fold {
    dirty: Dirty,
    /// Leaves that are in the store, or in slices on their way to it.
    stored: BTreeSet<u64>,
    /// The leaf that became dirty last.
    last_leaf: Option<u64>,
    running: Option<Running>,
    leaves_per_slice: usize,
}

impl Default for Fold {
    fn default() -> Self {
        Self {
            dirty: Dirty::default(),
            stored: BTreeSet::new(),
            last_leaf: None,
            running: None,
            leaves_per_slice: LEAVES_PER_SLICE,
        }
    }
}

/// A fold under way.
#[derive(Debug)]
struct Running {
    /// Facts up to this batch will be wholly in the leaves.
    from: u64,
    frozen: Dirty,
    parts: Vec<PartKey>,
    is_copied: bool,
}

/// What the driver copied, on its way to the fold thread.
#[derive(Debug, Default)]
pub struct Slice {
    /// The last batch that the copies show.
    pub to: u64,
    leaves: Vec<LeafImage>,
    rows: Vec<(Vec<u8>, Option<Row>)>,
    epoch: u32,
    seq_next: u64,
    stopped: bool,
    /// The last slice of its fold: replay begins here from now on.
    pub replay_from: Option<u64>,
}

/// A leaf as it is now.
#[derive(Debug)]
struct LeafImage {
    leaf: u64,
    jobs: Vec<Job>,
    /// Parts that are not in the leaves yet.
    parts: Vec<(PartKey, Blob)>,
    /// All parts the jobs have.
    live: BTreeSet<PartKey>,
}

impl Fold {
    /// These leaves are in the store.
    pub fn adopt(&mut self, leaves: impl IntoIterator<Item = u64>) {
        self.stored.extend(leaves);
    }

    /// How many leaves one slice copies.
    pub fn set_leaves_per_slice(&mut self, leaves: usize) {
        self.leaves_per_slice = leaves.max(1);
    }

    /// The record of a decided fact is dirty.
    pub fn follow(&mut self, fact: &Fact) {
        match fact.record() {
            Record::Job(seq) => {
                let leaf = keys::leaf_of(seq);
                // Facts about neighbours come in a row.
                if self.last_leaf.replace(leaf) != Some(leaf) {
                    self.dirty.leaves.insert(leaf);
                }
            }
            Record::Meta => {}
            record @ (Record::Name(_)
            | Record::Resource(_)
            | Record::Session(_)
            | Record::Operation(_)
            | Record::Audit(_)
            | Record::Failures(_)
            | Record::Totals(_)
            | Record::After(..)
            | Record::Group(_)
            | Record::Fallout(_)
            | Record::Schedule(_)
            | Record::Claim(_)) => {
                self.dirty.rows.insert(record);
            }
        }
    }

    /// A fold is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Slices are still to be copied.
    #[must_use]
    pub fn is_copying(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.is_copied)
    }

    /// Freezes what is dirty. `from` is the last decided batch, and it is complete.
    pub fn begin(&mut self, from: u64) {
        let frozen = std::mem::take(&mut self.dirty);
        self.last_leaf = None;
        self.running = Some(Running { from, frozen, parts: Vec::new(), is_copied: false });
    }

    /// Copies the next slice, if this look finds something to copy. Only between batches: `to` is
    /// the last one decided, and complete.
    pub fn slice(&mut self, ledger: &Ledger, parts: &mut Parts, to: u64) -> Option<Slice> {
        let running = self.running.as_mut().filter(|running| !running.is_copied)?;
        let mut slice = Slice {
            to,
            epoch: ledger.epoch,
            seq_next: ledger.seq_next,
            stopped: ledger.stopped,
            ..Slice::default()
        };
        let mut bytes = 0;
        for _ in 0..LOOKS_PER_SLICE {
            if slice.leaves.len() >= self.leaves_per_slice || bytes >= BYTES_PER_SLICE {
                break;
            }
            let Some(leaf) = running.frozen.leaves.pop_first() else { break };
            let image = copy_leaf(leaf, ledger, parts);
            bytes += image.parts.iter().map(|(_, part)| part.len()).sum::<usize>();
            // Jobs that came and went within the journal never touch the leaves.
            let was_stored = self.stored.remove(&leaf);
            if !image.jobs.is_empty() {
                self.stored.insert(leaf);
            }
            if was_stored || !image.jobs.is_empty() {
                running.parts.extend(image.parts.iter().map(|(key, _)| *key));
                slice.leaves.push(image);
            }
        }
        while slice.rows.len() < ROWS_PER_SLICE {
            let Some(record) = running.frozen.rows.pop_first() else { break };
            if let Some(key) = keys::row(record) {
                slice.rows.push((key, copy_row(record, ledger)));
            }
        }
        if running.frozen.leaves.is_empty() && running.frozen.rows.is_empty() {
            running.is_copied = true;
            slice.replay_from = Some(running.from + 1);
        }
        let is_empty = slice.leaves.is_empty() && slice.rows.is_empty() && !running.is_copied;
        (!is_empty).then_some(slice)
    }

    /// The fold thread is done: returns the batch replay begins at, for recycling the journal.
    pub fn end(&mut self, parts: &mut Parts) -> Option<u64> {
        let running = self.running.take()?;
        parts.folded(running.parts);
        Some(running.from + 1)
    }
}

fn copy_leaf(leaf: u64, ledger: &Ledger, parts: &mut Parts) -> LeafImage {
    let first = leaf * LEAF_JOBS;
    let jobs: Vec<Job> = (first..first + LEAF_JOBS).filter_map(|seq| ledger.jobs.get(seq).cloned()).collect();
    let live: BTreeSet<PartKey> = jobs.iter().flat_map(Job::parts).collect();
    for job in &jobs {
        parts.retain(job.seq, &live);
    }
    let unfolded = live.iter().filter_map(|&key| Some((key, parts.unfolded(key)?.clone())));
    let unfolded = unfolded.skip(usize::from(windlass_engine::planted!(PartDropped))).collect();
    LeafImage { leaf, jobs, parts: unfolded, live }
}

fn copy_row(record: Record, ledger: &Ledger) -> Option<Row> {
    match record {
        Record::Name(id) => {
            let (since, name) = ledger.names.stored(id)?;
            Some(Row::Name(id, since, name.clone()))
        }
        Record::Session(id) => Some(Row::Session(id, ledger.sessions.get(&id)?.clone())),
        Record::Resource(key) => Some(Row::Resource(key, ledger.resources.get(&key)?.clone())),
        Record::Failures(error) => Some(Row::Failures(error, ledger.failures.get(&error)?.clone())),
        Record::Audit(number) => Some(Row::Audit(number, ledger.audits.get(&number)?.clone())),
        Record::Operation(id) => Some(Row::Operation(id, ledger.operations.get(&id)?.clone())),
        Record::Totals(queue) => Some(Row::Totals(queue, ledger.totals.get(&queue)?.clone())),
        Record::Claim(holder) => Some(Row::Claim(holder, ledger.claims.get(&holder)?.clone())),
        Record::After(waiter, piece) => {
            Some(Row::After(waiter, piece, ledger.afters.get(&(waiter, piece))?.clone()))
        }
        Record::Group(group) => Some(Row::Group(group, ledger.groups.get(&group)?.clone())),
        Record::Fallout(of) => Some(Row::Fallout(of, ledger.fallouts.get(&of)?.clone())),
        Record::Schedule(id) => Some(Row::Schedule(id, ledger.schedules.get(&id)?.clone())),
        Record::Job(_) | Record::Meta => None,
    }
}

/// The fold thread's side: it owns the writing end of the leaves.
pub struct Folder<L> {
    leaves: L,
    reader: std::sync::Arc<dyn ReadLeaves>,
    meta: Meta,
}

impl<L: Leaves> Folder<L> {
    /// Takes over leaves whose Meta recovery has read.
    #[must_use]
    pub fn new(leaves: L, meta: Meta) -> Self {
        let reader = leaves.reader();
        Self { leaves, reader, meta }
    }

    /// Writes a slice, whose batches are durable in the journal. The last slice of a fold makes
    /// all of it durable and returns the batch that replay begins at from now on.
    ///
    /// # Errors
    /// Any is fatal.
    pub fn write(&mut self, slice: Slice) -> Result<Option<u64>, StoreError> {
        failpoint::reach("before_slice");
        let mut changes = Vec::new();
        for image in slice.leaves {
            self.write_leaf(&image, slice.to, &mut changes)?;
        }
        for (key, row) in slice.rows {
            changes.push(match row {
                Some(row) => Change::Put(key, record::encode_row(&row)),
                None => Change::Remove(key),
            });
        }
        // Meta goes with every slice, in one atomic write: a crash in the middle of a fold leaves
        // leaves that add up, and a `to` that covers them.
        self.meta.to = self.meta.to.max(slice.to);
        self.meta.epoch = slice.epoch;
        self.meta.seq_next = slice.seq_next;
        self.meta.stopped = slice.stopped;
        self.account(&changes)?;
        if slice.replay_from.is_some() {
            // What the new beginning relies on is durable before it is written.
            if !changes.is_empty() {
                changes.push(self.meta_change());
                self.leaves.write(std::mem::take(&mut changes))?;
            }
            self.leaves.sync()?;
            failpoint::reach("before_mark");
        }
        self.meta.replay_from = slice.replay_from.unwrap_or(self.meta.replay_from);
        changes.push(self.meta_change());
        self.leaves.write(changes)?;
        failpoint::reach("after_slice_before_sync");
        if slice.replay_from.is_some() {
            self.leaves.sync()?;
            failpoint::reach("after_mark");
        }
        Ok(slice.replay_from)
    }

    /// Ends the fold thread's ownership.
    pub fn into_leaves(self) -> L {
        self.leaves
    }

    fn meta_change(&self) -> Change {
        Change::Put(keys::META.to_vec(), record::encode_meta(&self.meta))
    }

    fn write_leaf(&self, image: &LeafImage, to: u64, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let key = keys::leaf(image.leaf);
        let was_there = self.reader.read(&key)?.is_some();
        if was_there {
            self.remove_stale_parts(image, changes)?;
        }
        if image.jobs.is_empty() {
            if was_there {
                changes.push(Change::Remove(key));
            }
            return Ok(());
        }
        write_parts(image, to, changes);
        changes.push(Change::Put(key, record::encode_leaf(&image.jobs)));
        Ok(())
    }

    /// Brings what Meta says that the entries add up to in line with these changes, which name each
    /// key once.
    fn account(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value)),
                Change::Remove(key) => (key, None),
            };
            let Some(sum) = self.meta.sum_of(key) else { continue };
            if let Some(old) = self.reader.read(key)? {
                sum.subtract(key, &old);
            }
            if let Some(value) = value {
                sum.add(key, value);
            }
        }
        Ok(())
    }

    /// A leaf without jobs takes its parts with it. In one with jobs large parts go that no job has
    /// any more, and blocks, which are written once, when nothing in them is wanted.
    fn remove_stale_parts(&self, image: &LeafImage, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let is_wanted = |&(place, part, version, _): &SmallPart| {
            let seq = image.leaf * LEAF_JOBS + u64::from(place);
            keys::read_part(part).is_some_and(|part| image.live.contains(&PartKey { seq, part, version }))
        };
        self.reader.scan(&keys::parts(image.leaf), &mut |key, value| {
            let is_live = match keys::read_chunk(image.leaf, key) {
                Some(part) => image.live.contains(&part),
                None if image.jobs.is_empty() => false,
                None => {
                    let block = record::decode_block(value).map_err(|error| error.at("a block of parts"))?;
                    block.iter().any(is_wanted)
                }
            };
            if !is_live {
                changes.push(Change::Remove(key.to_vec()));
            }
            Ok(())
        })
    }
}

fn write_parts(image: &LeafImage, to: u64, changes: &mut Vec<Change>) {
    let (mut block, mut block_bytes, mut number): (Vec<SmallPart>, usize, u16) = (Vec::new(), 0, 0);
    for (key, bytes) in &image.parts {
        if bytes.len() > SMALL_PART_BYTES {
            let sealed = record::seal(bytes);
            for (number, chunk) in (0u32..).zip(sealed.chunks(CHUNK_BYTES)) {
                changes.push(Change::Put(keys::chunk(*key, number), chunk.to_vec()));
            }
            continue;
        }
        if block_bytes + bytes.len() > BLOCK_BYTES {
            let full = std::mem::take(&mut block);
            changes.push(Change::Put(keys::block(image.leaf, to, number), record::encode_block(&full)));
            number += 1;
            block_bytes = 0;
        }
        block_bytes += bytes.len() + 24;
        block.push((keys::place_of(key.seq), key.part as u8, key.version, bytes.clone()));
    }
    if !block.is_empty() {
        changes.push(Change::Put(keys::block(image.leaf, to, number), record::encode_block(&block)));
    }
}

#[cfg(test)]
mod tests;
