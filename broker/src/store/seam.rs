//! The seam between the store's rules and the bytes below: what a journal and the leaves promise.
//! It is separate because it has two implementations, the disk and the simulator, and will have a
//! third, the replicated one.

use std::sync::Arc;

use super::error::StoreError;

/// The bytes of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The number of the commit; each is the previous + 1.
    pub batch: u64,
    /// The format of the body; the journal carries it and never looks at it.
    pub format: u8,
    /// The facts of the commit, already encoded.
    pub body: &'a [u8],
}

/// What a journal holds when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The oldest batch that can still be replayed; above `last_batch` when there is none.
    pub first_batch: u64,
    /// The newest batch that the journal has numbered; 0 in a new journal. The next append is
    /// this + 1 unless `continue_at` says more.
    pub last_batch: u64,
}

/// Where replay hands its records.
pub type EachRecord<'a> = &'a mut dyn FnMut(Record<'_>) -> Result<(), StoreError>;

/// Where a scan hands its entries.
pub type EachEntry<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// The journal: one record per commit, durable when `append` returns.
///
/// Every error is fatal: after one, the journal refuses all further appends.
pub trait Journal: Send {
    /// Makes numbering go on at `batch`, which is at or above the next one. Only legal before the
    /// first append: it is how a start passes over numbers that the leaves have already used.
    ///
    /// # Errors
    /// When the fresh segment that a jump needs could not be made durable.
    fn continue_at(&mut self, batch: u64) -> Result<(), StoreError>;

    /// Writes the record, whose batch must be the previous + 1, and makes it durable before it
    /// returns.
    ///
    /// # Errors
    /// `TooLarge` leaves no trace. After any other the record may or may not be on disk, and the
    /// process must end.
    fn append(&mut self, record: Record<'_>) -> Result<(), StoreError>;

    /// Nothing more waits to be appended: notes that the newest record is durable, so that damage to
    /// it is told from a commit that a crash cut short. Not synced, and cheap when it was noted.
    ///
    /// # Errors
    /// Any is fatal.
    fn confirm(&mut self) -> Result<(), StoreError>;

    /// Hands every record from batch `from` on, in order. Only legal before the first append.
    ///
    /// # Errors
    /// `Missing` when `from` lies below the oldest record kept, `Corrupt` on damage, and whatever
    /// `each` returns.
    fn replay(&mut self, from: u64, each: EachRecord<'_>) -> Result<(), StoreError>;

    /// Frees what lies wholly below `from`. The newest two full segments are kept even then, so
    /// that the idempotency window can be rebuilt from them.
    ///
    /// # Errors
    /// When the system refuses.
    fn recycle(&mut self, from: u64) -> Result<(), StoreError>;

    /// Figures for metrics.
    fn stats(&self) -> JournalStats;
}

/// Figures of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Bytes that the journal's files take, spares included.
    pub bytes_on_disk: u64,
    /// Segments that hold records which may be replayed, the one being written included.
    pub segments: usize,
    /// Segments that stand ready to be written.
    pub spares: usize,
    /// Records appended since open.
    pub records: u64,
    /// Bytes of record bodies appended since open.
    pub bytes: u64,
    /// Median time of the latest syncs, in microseconds.
    pub sync_p50_us: u32,
    /// 99th percentile of the latest syncs, in microseconds.
    pub sync_p99_us: u32,
    /// The slowest of the latest syncs, in microseconds.
    pub sync_max_us: u32,
}

/// One change of the leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the value of a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key; a key that is not there is fine.
    Remove(Vec<u8>),
}

/// The longest key that the leaves accept.
pub const KEY_MAX: usize = 64;

/// The longest value that the leaves accept; above it sled would start to write blobs, which it
/// never syncs.
pub const VALUE_MAX: usize = 4096;

/// The leaves: a sorted map of small entries. One owner writes; readers read beside it.
pub trait Leaves: Send {
    /// Applies the changes. They are atomic (after a crash all of one call are there or none), and
    /// ordered (none is there without those of all earlier calls), but durable only after `sync`.
    ///
    /// # Errors
    /// `TooLarge` leaves no trace; any other is fatal.
    fn write(&mut self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Makes all that was written durable before it returns.
    ///
    /// # Errors
    /// Any is fatal.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// A handle for reading, good for any thread.
    fn reader(&self) -> Arc<dyn ReadLeaves>;

    /// Figures for metrics.
    fn stats(&self) -> LeavesStats;
}

/// Reading the leaves; it sees what was written, synced or not.
pub trait ReadLeaves: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// When the entry cannot be read; fatal.
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Hands every entry whose key starts with `prefix`, in key order. Beside a writer this is not
    /// a snapshot: an entry is seen before or after a write, each on its own.
    ///
    /// # Errors
    /// When an entry cannot be read, and whatever `each` returns.
    fn scan(&self, prefix: &[u8], each: EachEntry<'_>) -> Result<(), StoreError>;
}

/// Figures of the leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeavesStats {
    /// Bytes that the leaves take on disk.
    pub bytes_on_disk: u64,
    /// Changes written since open.
    pub changes: u64,
    /// Syncs since open.
    pub syncs: u64,
    /// Time of the latest sync, in microseconds.
    pub last_sync_us: u64,
}

/// Refuses what is over the limits of keys and values, before anything is written.
pub(super) fn assert_small(changes: &[Change]) -> Result<(), StoreError> {
    for change in changes {
        let (key, value): (&[u8], &[u8]) = match change {
            Change::Put(key, value) => (key, value),
            Change::Remove(key) => (key, &[]),
        };
        if key.len() > KEY_MAX {
            return Err(StoreError::TooLarge { what: "a leaf key", bytes: key.len(), most: KEY_MAX });
        }
        if value.len() > VALUE_MAX {
            return Err(StoreError::TooLarge { what: "a leaf value", bytes: value.len(), most: VALUE_MAX });
        }
    }
    Ok(())
}
