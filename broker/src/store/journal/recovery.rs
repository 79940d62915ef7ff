//! Reading a journal back: which segments there are, where each ends, and whether what ends it is
//! the tail of the last commit or damage. It is separate because it is the whole judgement of a
//! start, and changes nothing on disk.
//!
//! A commit is synced before the next one is written, so at most the newest record can be
//! incomplete. An invalid record with nothing valid behind it is that tail, and is cut. With a
//! valid record or mark behind it, in the same segment or a later one, it was durable once and is
//! damage.
//!
//! Segments are ordered by generation, which leaves no holes: a new segment takes the newest
//! generation + 1, and files are reused and removed oldest first. Each says in `follows` which
//! batch the one before ended with, so a jump in numbering is told from a hole.

use super::files::{Folder, SegmentFile};
use super::layout::{
    BLOCK, CLOSE_AT, FirstBlock, HEADER_BYTES, Header, MARK_BYTES, RECORD_HEAD, RECORDS_AT, RecordHead,
    crc_agrees, padded, read_mark, record, record_head, seed,
};
use crate::store::error::{DirectoryId, StoreError};
use crate::store::seam::Record;

/// How much is read from a file at once.
const WINDOW: usize = 1 << 20;

/// A segment, and what it was found to hold.
pub(super) struct Found {
    pub(super) file: SegmentFile,
    pub(super) header: Header,
    /// The newest batch in it; `first_batch` - 1 when it holds none.
    pub(super) last_batch: u64,
    /// Where its last record starts, if it has one.
    pub(super) last_record_at: Option<u64>,
    /// Where the next record would start.
    pub(super) end: u64,
}

/// What a journal's folder holds.
pub(super) struct Survey {
    /// In order of generation, without holes.
    pub(super) segments: Vec<Found>,
    /// Files that hold nothing, free for use.
    pub(super) spares: Vec<SegmentFile>,
}

/// Reads the whole journal and judges it.
pub(super) fn survey(folder: &Folder, directory: DirectoryId, secret: u32) -> Result<Survey, StoreError> {
    let mut headed = Vec::new();
    let mut unreadable = Vec::new();
    for file in folder.open_all()? {
        file.drop_cached_pages()?;
        let mut block = [0; HEADER_BYTES];
        if file.bytes() < HEADER_BYTES as u64 {
            return Err(too_short(&file, HEADER_BYTES as u64));
        }
        file.read_at(0, &mut block)?;
        match Header::decode(&block, directory, file.path())? {
            FirstBlock::Header(header) => {
                if file.bytes() < header.segment_bytes {
                    return Err(too_short(&file, header.segment_bytes));
                }
                headed.push((header, file));
            }
            FirstBlock::Unreadable => unreadable.push(file),
        }
    }
    headed.sort_by_key(|(header, _)| header.generation);
    refuse_holes(&headed, &unreadable)?;
    let segments = walk_all(headed, secret)?;
    refuse_headless_records(&segments, &unreadable, secret)?;
    if let Some(newest) = segments.last()
        && is_closed(newest, secret)?
    {
        let what = "this segment was closed, and the one that was begun after it is missing or has lost its \
                    header";
        return Err(StoreError::corrupt(newest.file.path(), CLOSE_AT, what));
    }
    Ok(Survey { segments, spares: unreadable })
}

fn too_short(file: &SegmentFile, expected: u64) -> StoreError {
    StoreError::corrupt(
        file.path(),
        file.bytes(),
        format!("the file ends here, a segment of {expected} bytes was preallocated"),
    )
}

fn refuse_holes(headed: &[(Header, SegmentFile)], unreadable: &[SegmentFile]) -> Result<(), StoreError> {
    for pair in headed.windows(2) {
        let [(before, _), (after, file)] = pair else {
            continue;
        };
        if after.generation == before.generation {
            let what = format!("two segments have generation {}", after.generation);
            return Err(StoreError::corrupt(file.path(), 0, what));
        }
        if after.generation != before.generation + 1 {
            let suspects: Vec<_> = unreadable.iter().map(|file| file.path().display().to_string()).collect();
            let what = format!(
                "this is segment {}, the newest before it is {}: segments between are missing{}{}",
                after.generation,
                before.generation,
                if suspects.is_empty() { "" } else { ", or have a damaged header: " },
                suspects.join(", "),
            );
            return Err(StoreError::corrupt(file.path(), 0, what));
        }
    }
    Ok(())
}

fn walk_all(headed: Vec<(Header, SegmentFile)>, secret: u32) -> Result<Vec<Found>, StoreError> {
    let follows: Vec<Option<u64>> =
        headed.iter().skip(1).map(|(header, _)| Some(header.follows)).chain([None]).collect();
    let mut segments = Vec::with_capacity(headed.len());
    for ((header, file), next_follows) in headed.into_iter().zip(follows) {
        let mut walk = Walk::new(&file, &header, secret);
        let mut last_record_at = None;
        loop {
            let at = walk.at;
            if walk.next()?.is_none() {
                break;
            }
            last_record_at = Some(at);
        }
        let (last_batch, end) = (walk.expected - 1, walk.at);
        match next_follows {
            Some(follows) if follows != last_batch => {
                let what = format!(
                    "the record of batch {} is damaged or missing: \
                     the next segment says that this one ends with batch {follows}",
                    last_batch + 1
                );
                return Err(StoreError::corrupt(file.path(), end, what));
            }
            Some(_) => {}
            None => walk.refuse_successors()?,
        }
        segments.push(Found { header, last_batch, last_record_at, end, file });
    }
    Ok(segments)
}

/// A file without a readable header is a spare, unless it holds records that only the segment
/// after the newest one could hold: then its header was durable once, and so were they.
fn refuse_headless_records(
    segments: &[Found],
    unreadable: &[SegmentFile],
    secret: u32,
) -> Result<(), StoreError> {
    let Some(newest) = segments.last() else {
        return match unreadable.first() {
            None => Ok(()),
            Some(file) => {
                let what = "the header is damaged, and no other segment has a whole one";
                Err(StoreError::corrupt(file.path(), 0, what))
            }
        };
    };
    for file in unreadable {
        let header = Header {
            generation: newest.header.generation + 1,
            first_batch: newest.last_batch + 1,
            segment_bytes: file.bytes(),
            ..newest.header
        };
        let mut walk = Walk::new(file, &header, secret);
        if let Some((at, batch)) = walk.find_successor_from(RECORDS_AT, u64::MAX)? {
            let what = format!("the header is damaged, yet batch {batch} stands at byte {at}");
            return Err(StoreError::corrupt(file.path(), 0, what));
        }
    }
    Ok(())
}

/// Whether a segment says that there is a next one.
pub(super) fn is_closed(segment: &Found, secret: u32) -> Result<bool, StoreError> {
    let mut close = [0; MARK_BYTES];
    segment.file.read_at(CLOSE_AT, &mut close)?;
    Ok(read_mark(&close, seed(secret, segment.header.generation)).is_some())
}

/// Whether anything but zeros stands where records do. A segment may be closed without one: the first of
/// an import, whose numbering jumps.
pub(super) fn holds_anything(file: &SegmentFile) -> Result<bool, StoreError> {
    let mut at = RECORDS_AT;
    let mut window = vec![0; WINDOW];
    while at < file.bytes() {
        let left = usize::try_from(file.bytes() - at).unwrap_or(WINDOW);
        window.truncate(left);
        file.read_at(at, &mut window)?;
        if window.iter().any(|&byte| byte != 0) {
            return Ok(true);
        }
        at += window.len() as u64;
    }
    Ok(false)
}

/// A walk over the records of one segment, from its first to where they end.
pub(super) struct Walk<'a> {
    file: &'a SegmentFile,
    seed: u32,
    segment_end: u64,
    /// The batch that the next record must have.
    pub(super) expected: u64,
    /// Where the next record must stand.
    pub(super) at: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: &'a SegmentFile, header: &Header, secret: u32) -> Walk<'a> {
        Walk {
            file,
            seed: seed(secret, header.generation),
            segment_end: header.segment_bytes,
            expected: header.first_batch,
            at: RECORDS_AT,
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// The next record, or `None` where the records end: at anything that is not one.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, StoreError> {
        let at = self.at;
        let Some(head) = self.head_at(at)? else {
            return Ok(None);
        };
        if head.batch != self.expected || !self.is_record(at, head)? {
            return Ok(None);
        }
        self.at = at + padded(head.body_bytes);
        self.expected += 1;
        Ok(Some(record(self.bytes(at, RECORD_HEAD + head.body_bytes)?)))
    }

    /// Refuses when anything behind the end of the records is a record, or a mark that says that
    /// there was one: then the end is damage.
    fn refuse_successors(&mut self) -> Result<(), StoreError> {
        let (end, expected) = (self.at, self.expected);
        // From here on, batch numbers cannot have risen faster than one a block.
        let most = expected + (self.segment_end - end) / BLOCK;
        match self.find_successor_from(end + BLOCK, most)? {
            None => Ok(()),
            Some((at, batch)) => {
                let what = format!(
                    "the record of batch {expected} is damaged; it was on disk, because byte {at} \
                     behind it was written after batch {batch}"
                );
                Err(StoreError::corrupt(self.file.path(), end, what))
            }
        }
    }

    /// Looks at every block from `from` for a record, or a mark, whose batch lies in
    /// `expected..=most`.
    pub(super) fn find_successor_from(
        &mut self,
        from: u64,
        most: u64,
    ) -> Result<Option<(u64, u64)>, StoreError> {
        let wanted = self.expected..=most;
        let mut at = from;
        while let Some(head) = self.head_at(at)? {
            if wanted.contains(&head.batch) && (self.is_record(at, head)? || self.is_mark(at)?) {
                return Ok(Some((at, head.batch)));
            }
            at += BLOCK;
        }
        Ok(None)
    }

    fn head_at(&mut self, at: u64) -> Result<Option<RecordHead>, StoreError> {
        if at + BLOCK > self.segment_end {
            return Ok(None);
        }
        Ok(Some(record_head(self.bytes(at, RECORD_HEAD)?)))
    }

    fn is_mark(&mut self, at: u64) -> Result<bool, StoreError> {
        let seed = self.seed;
        Ok(read_mark(self.bytes(at, MARK_BYTES)?, seed).is_some())
    }

    fn is_record(&mut self, at: u64, head: RecordHead) -> Result<bool, StoreError> {
        if at + padded(head.body_bytes) > self.segment_end {
            return Ok(false);
        }
        let seed = self.seed;
        let bytes = self.bytes(at, RECORD_HEAD + head.body_bytes)?;
        Ok(crc_agrees(bytes, seed))
    }

    /// `len` bytes of the segment at `at`, read through a window that moves forward.
    fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8], StoreError> {
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + len as u64 > window_end {
            let left = usize::try_from(self.segment_end - at).unwrap_or(usize::MAX);
            self.window.resize(len.max(WINDOW).min(left), 0);
            self.file.read_at(at, &mut self.window)?;
            self.window_at = at;
        }
        let start = usize::try_from(at - self.window_at).expect("a window fits in memory");
        Ok(&self.window[start..start + len])
    }
}
