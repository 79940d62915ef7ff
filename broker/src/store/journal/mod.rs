//! The journal on disk: one record per commit, durable when `append` returns. It is separate from
//! the leaves because it is the promise itself: whatever was acknowledged can be rebuilt from it.
//!
//! Segments are preallocated, filled with zeros and synced ahead of need, so that a commit is one
//! write and one fdatasync that touches no metadata; used ones are recycled and not unlinked,
//! because unlinking a large file stalls other files' syncs.

mod files;
mod layout;
mod reading;
mod recovery;
mod spare;
mod tail;
mod timing;

#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trace;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::files::{Folder, SegmentFile};
use self::layout::{
    BLOCK, CLOSE_AT, Header, PAGE, RECORDS_AT, encode_mark, encode_record, mark_at, padded, seed,
};
use self::recovery::{Found, Survey, Walk, is_closed, survey};
use self::spare::SpareMaker;
use self::timing::SyncTimes;
use crate::failpoint;

use super::error::{DirectoryId, StoreError};
use super::seam::{EachRecord, Journal, JournalStats, Record, Recovered};

pub use self::reading::{Prefix, read_live, read_prefix};

/// The largest body of one record. The batches above are far smaller; this bounds what a damaged
/// length can make recovery read.
pub const BODY_MAX: usize = 256 << 20;

/// Full segments that are kept though nothing needs them, beside the one being written.
const KEPT: usize = 2;
/// Recycled files that are kept as spares when `trim` takes the rest away.
const SPARES_KEPT: usize = 2;
/// A segment that fills faster than this makes the next one twice as large.
const FILLS_FAST: Duration = Duration::from_secs(30);

/// What a journal must know to be opened.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// The data directory that the segments belong to.
    pub directory: DirectoryId,
    /// A number that never leaves the data directory; record checksums start from it, so that no
    /// payload can contain a record.
    pub secret: u32,
    /// Size of the first segment after open.
    pub segment_bytes_first: u64,
    /// Segments double up to this size while they fill fast.
    pub segment_bytes_max: u64,
    /// The batch that it must end with, if that is known.
    pub ended_at: Option<u64>,
}

impl JournalOptions {
    /// The usual sizes: 4 MiB, doubling to 64 MiB.
    #[must_use]
    pub fn new(directory: DirectoryId, secret: u32) -> JournalOptions {
        let (segment_bytes_first, segment_bytes_max) = (4 << 20, 64 << 20);
        JournalOptions { directory, secret, segment_bytes_first, segment_bytes_max, ended_at: None }
    }
}

/// A segment in `folder` that holds anything behind its header, if the folder and such a segment
/// exist. It needs no id and no secret, so it also answers for a folder that nobody knows.
///
/// # Errors
/// When the system refuses.
pub(super) fn find_record(folder: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !folder.exists() {
        return Ok(None);
    }
    for file in Folder::new(folder).open_all()? {
        if recovery::holds_anything(&file)? {
            return Ok(Some(file.path().to_path_buf()));
        }
    }
    Ok(None)
}

/// The journal on disk.
pub struct DiskJournal {
    folder: Folder,
    options: JournalOptions,
    /// Full segments, oldest first.
    full: VecDeque<Full>,
    current: Current,
    /// Recycled files, oldest first. They keep their old header until they are started again, and
    /// are started in this order, so that the headers on disk never show a hole.
    free: VecDeque<SegmentFile>,
    spares: SpareMaker,
    segment_bytes: u64,
    buffer: Vec<u8>,
    appended: bool,
    /// A mark behind the newest record says that it is durable.
    is_confirmed: bool,
    poisoned: bool,
    records: u64,
    bytes: u64,
    times: SyncTimes,
}

/// A segment that will not be written again.
struct Full {
    file: SegmentFile,
    header: Header,
    last_batch: u64,
}

/// The segment being written.
struct Current {
    file: SegmentFile,
    header: Header,
    seed: u32,
    /// The newest batch; `first_batch` - 1 when it holds none.
    last_batch: u64,
    /// Where the next record goes.
    at: u64,
    started: Instant,
}

impl std::fmt::Debug for DiskJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskJournal")
            .field("folder", &self.folder.path())
            .field("last_batch", &self.current.last_batch)
            .finish_non_exhaustive()
    }
}

impl DiskJournal {
    /// Makes a journal in `folder`, which must not hold one. The first batch is 1.
    ///
    /// # Errors
    /// `Corrupt` when there are segments already, and whatever the system refuses.
    pub fn create(folder: &Path, options: JournalOptions) -> Result<DiskJournal, StoreError> {
        DiskJournal::create_in(Folder::new(folder), options)
    }

    fn create_in(folder: Folder, options: JournalOptions) -> Result<DiskJournal, StoreError> {
        super::folder::make_folder(folder.path())?;
        if let Some(file) = folder.open_all()?.first() {
            let what = "a segment stands where a new journal was to be made";
            return Err(StoreError::corrupt(file.path(), 0, what));
        }
        let header = Header {
            directory: options.directory,
            generation: 1,
            first_batch: 1,
            follows: 0,
            segment_bytes: 0,
        };
        let file = make_now(&folder, options.segment_bytes_first)?;
        let current = Current::start(file, header, options.secret)?;
        DiskJournal::assemble(folder, options, VecDeque::new(), current, VecDeque::new())
    }

    /// Opens the journal in `folder`: reads all of it, refuses damage, cuts the torn tail of the
    /// last commit, and makes what is left durable before it returns.
    ///
    /// # Errors
    /// `Missing` when there is no segment, `Corrupt` on damage (nothing has been changed then),
    /// `Foreign` and `UnknownVersion` when the segments are not ours to read.
    pub fn open(folder: &Path, options: JournalOptions) -> Result<(DiskJournal, Recovered), StoreError> {
        DiskJournal::open_in(Folder::new(folder), options)
    }

    fn open_in(folder: Folder, options: JournalOptions) -> Result<(DiskJournal, Recovered), StoreError> {
        if !folder.path().is_dir() {
            return Err(StoreError::Missing {
                path: folder.path().to_path_buf(),
                what: "this data directory had a journal".into(),
            });
        }
        let Survey { mut segments, spares } = survey(&folder, options.directory, options.secret)?;
        let Some(newest) = segments.pop() else {
            return Err(StoreError::Missing {
                path: folder.path().to_path_buf(),
                what: "the journal has no segment, and this data directory had one".into(),
            });
        };
        refuse_another_end(&newest, options.ended_at)?;
        tail::settle(&newest, options.secret)?;
        let mut buffer = Vec::new();
        if let Some(before) = segments.last()
            && !is_closed(before, options.secret)?
        {
            let seed = seed(options.secret, before.header.generation);
            close(&mut buffer, &before.file, seed, before.last_batch)?;
        }
        let full: VecDeque<Full> = segments.into_iter().map(Full::from).collect();
        let first_batch = full.front().map_or(newest.header.first_batch, |s| s.header.first_batch);
        let current = Current::resume(newest, options.secret);
        let recovered = Recovered { first_batch, last_batch: current.last_batch };
        let journal = DiskJournal::assemble(folder, options, full, current, spares.into())?;
        Ok((journal, recovered))
    }

    fn assemble(
        folder: Folder,
        options: JournalOptions,
        full: VecDeque<Full>,
        current: Current,
        free: VecDeque<SegmentFile>,
    ) -> Result<DiskJournal, StoreError> {
        Ok(DiskJournal {
            spares: SpareMaker::start(folder.clone())?,
            folder,
            segment_bytes: options.segment_bytes_first,
            options,
            full,
            current,
            free,
            buffer: Vec::new(),
            appended: false,
            is_confirmed: true,
            poisoned: false,
            records: 0,
            bytes: 0,
            times: SyncTimes::default(),
        })
    }

    /// Unlinks recycled files beyond a few. Call it after `recycle` and before serving: while
    /// commits run, unlinking a large file would stall their syncs.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn trim(&mut self) -> Result<(), StoreError> {
        // Files must vanish oldest first, and the one that stands ready is the oldest.
        if let Some(ready) = self.spares.take() {
            self.free.push_front(ready);
        }
        while self.free.len() > SPARES_KEPT
            && let Some(oldest) = self.free.pop_front()
        {
            self.folder.remove(oldest)?;
        }
        self.request_spare();
        Ok(())
    }

    fn request_spare(&mut self) {
        if self.spares.is_idle() {
            self.spares.request(self.segment_bytes, self.free.pop_front());
        }
    }

    /// Ends the current segment and starts the next, with room for `needed` bytes of records.
    fn start_segment(&mut self, first_batch: u64, needed: u64) -> Result<(), StoreError> {
        let fast = self.current.started.elapsed() < FILLS_FAST && self.current.is_used();
        if fast && self.segment_bytes < self.options.segment_bytes_max {
            self.segment_bytes = (self.segment_bytes * 2).min(self.options.segment_bytes_max);
        }
        let file = self.take_file(RECORDS_AT + needed)?;
        let header = Header {
            directory: self.options.directory,
            generation: self.current.header.generation + 1,
            first_batch,
            follows: self.current.last_batch,
            segment_bytes: 0,
        };
        failpoint::reach("before_segment_header");
        let next = Current::start(file, header, self.options.secret)?;
        failpoint::reach("after_segment_header");
        let ended = std::mem::replace(&mut self.current, next);
        close(&mut self.buffer, &ended.file, ended.seed, ended.last_batch)?;
        self.is_confirmed = true;
        self.full.push_back(Full { file: ended.file, header: ended.header, last_batch: ended.last_batch });
        self.request_spare();
        Ok(())
    }

    /// A file for the next segment. Only a record that no spare can hold, or a disk that fills
    /// segments faster than they are made, waits for zeros here.
    fn take_file(&mut self, needed: u64) -> Result<SegmentFile, StoreError> {
        let ready = self.spares.take().or_else(|| self.free.pop_front());
        let Some(mut file) = ready else {
            return match make_now(&self.folder, self.segment_bytes.max(needed)) {
                // A disk too full for a large segment may still hold a small one.
                Err(StoreError::Full { .. }) => {
                    self.segment_bytes = self.options.segment_bytes_first;
                    make_now(&self.folder, self.segment_bytes.max(needed))
                }
                made => made,
            };
        };
        if file.bytes() < needed {
            file.grow(self.segment_bytes.max(needed), &|| false)?;
        }
        Ok(file)
    }

    fn append_or_fail(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        let needed = padded(record.body.len());
        // A record that takes more than a quarter asks for larger segments, so that large ones
        // never cost a segment each.
        self.segment_bytes = self.segment_bytes.max((4 * needed).next_multiple_of(PAGE));
        if self.current.at + needed > self.current.header.segment_bytes {
            self.start_segment(record.batch, needed)?;
        }
        let current = &mut self.current;
        encode_record(&mut self.buffer, current.seed, current.at, record);
        let before = Instant::now();
        current.file.write_at(current.at, &self.buffer)?;
        failpoint::reach("after_write_before_sync");
        current.file.sync()?;
        self.times.note(before.elapsed());
        current.at += needed;
        current.last_batch = record.batch;
        self.is_confirmed = false;
        Ok(())
    }
}

impl Journal for DiskJournal {
    fn continue_at(&mut self, batch: u64) -> Result<(), StoreError> {
        assert!(!self.appended, "numbering is settled before the first append");
        let next = self.current.last_batch + 1;
        assert!(batch >= next, "numbering never goes back: {batch} is below {next}");
        if batch > next {
            self.start_segment(batch, 0).inspect_err(|_| self.poisoned = true)?;
        }
        Ok(())
    }

    fn append(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned { file: self.folder.path().to_path_buf() });
        }
        if record.body.len() > BODY_MAX {
            return Err(StoreError::TooLarge {
                what: "a journal record",
                bytes: record.body.len(),
                most: BODY_MAX,
            });
        }
        let next = self.current.last_batch + 1;
        assert_eq!(record.batch, next, "each batch is the previous + 1");
        if !self.appended {
            self.appended = true;
            // Not at open: what a start recycles serves as the spare, and no file is made.
            self.request_spare();
        }
        self.append_or_fail(record).inspect_err(|_| self.poisoned = true)?;
        self.records += 1;
        self.bytes += record.body.len() as u64;
        Ok(())
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        let current = &self.current;
        if self.is_confirmed || self.poisoned {
            return Ok(());
        }
        self.is_confirmed = true;
        // A segment that is full gets its close instead, once the next one begins.
        let Some(at) = mark_at(current.at, current.header.segment_bytes) else { return Ok(()) };
        encode_mark(&mut self.buffer, current.seed, at, current.last_batch);
        current.file.write_at(at, &self.buffer).inspect_err(|_| self.poisoned = true)
    }

    fn replay(&mut self, from: u64, each: EachRecord<'_>) -> Result<(), StoreError> {
        assert!(!self.appended, "replay comes before the first append");
        let full = self.full.iter().map(|s| (&s.file, &s.header, s.last_batch));
        let current = (&self.current.file, &self.current.header, self.current.last_batch);
        let segments: Vec<_> = full.chain([current]).collect();
        let oldest = segments.first().expect("there is always a current segment").1;
        // Between `follows` and `first_batch` numbering jumped: there was never a record.
        if from.max(1) <= oldest.follows {
            return Err(StoreError::Missing {
                path: self.folder.path().to_path_buf(),
                what: format!("batch {from} is needed, the journal's oldest is {}", oldest.first_batch),
            });
        }
        for (file, header, last_batch) in segments {
            if last_batch < from {
                continue;
            }
            let mut walk = Walk::new(file, header, self.options.secret);
            while walk.expected <= last_batch {
                let at = walk.at;
                let Some(record) = walk.next()? else {
                    let what = "a record that was whole at open is damaged now";
                    return Err(StoreError::corrupt(file.path(), at, what));
                };
                if record.batch >= from {
                    each(record)?;
                }
            }
        }
        Ok(())
    }

    fn recycle(&mut self, from: u64) -> Result<(), StoreError> {
        while self.full.len() > KEPT
            && self.full.front().is_some_and(|oldest| oldest.last_batch < from)
            && let Some(oldest) = self.full.pop_front()
        {
            self.free.push_back(oldest.file);
        }
        self.request_spare();
        Ok(())
    }

    fn stats(&self) -> JournalStats {
        let full: u64 = self.full.iter().map(|s| s.file.bytes()).sum();
        let free: u64 = self.free.iter().map(SegmentFile::bytes).sum();
        let ready = self.spares.ready();
        let quantiles = self.times.quantiles();
        JournalStats {
            bytes_on_disk: full + free + ready.unwrap_or(0) + self.current.file.bytes(),
            segments: self.full.len() + 1,
            spares: self.free.len() + usize::from(ready.is_some()),
            records: self.records,
            bytes: self.bytes,
            sync_p50_us: quantiles.p50,
            sync_p99_us: quantiles.p99,
            sync_max_us: quantiles.max,
        }
    }
}

impl Current {
    /// Writes the header and makes it durable, before any record can follow it. Only the header:
    /// until it is on disk, a recycled file is still an older segment whose records must be whole.
    fn start(file: SegmentFile, header: Header, secret: u32) -> Result<Current, StoreError> {
        let header = Header { segment_bytes: file.bytes(), ..header };
        file.write_at(0, &header.encode())?;
        file.sync()?;
        Ok(Current {
            seed: seed(secret, header.generation),
            last_batch: header.first_batch - 1,
            at: RECORDS_AT,
            started: Instant::now(),
            file,
            header,
        })
    }

    fn resume(found: Found, secret: u32) -> Current {
        Current {
            seed: seed(secret, found.header.generation),
            last_batch: found.last_batch,
            at: found.end,
            started: Instant::now(),
            file: found.file,
            header: found.header,
        }
    }

    fn is_used(&self) -> bool {
        self.at > RECORDS_AT
    }
}

impl From<Found> for Full {
    fn from(found: Found) -> Full {
        Full { file: found.file, header: found.header, last_batch: found.last_batch }
    }
}

/// Notes in a segment that there is a next one, whose header is on disk.
fn close(buffer: &mut Vec<u8>, file: &SegmentFile, seed: u32, last_batch: u64) -> Result<(), StoreError> {
    encode_mark(buffer, seed, CLOSE_AT, last_batch);
    buffer.truncate(usize::try_from(BLOCK).expect("a block is small"));
    file.write_at(CLOSE_AT, buffer)?;
    file.sync()
}

/// After a stop in order there is no torn tail: what is not there is lost.
fn refuse_another_end(newest: &Found, ended_at: Option<u64>) -> Result<(), StoreError> {
    match ended_at {
        Some(batch) if batch != newest.last_batch => {
            let what = format!(
                "the journal ends with batch {}, but the broker stopped in order after batch {batch}",
                newest.last_batch
            );
            Err(StoreError::corrupt(newest.file.path(), newest.end, what))
        }
        Some(_) | None => Ok(()),
    }
}

fn make_now(folder: &Folder, bytes: u64) -> Result<SegmentFile, StoreError> {
    let made = folder.make(bytes, &|| false)?;
    Ok(made.expect("making stops half-way only when told to"))
}
