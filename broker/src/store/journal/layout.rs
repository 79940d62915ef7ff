//! The bytes of a segment: its header and its records, encoded and recognised. It is separate
//! because it is the format on disk, and pure, so that it can be tested without a file.
//!
//! ```text
//! 0        512     1024                                                    segment_bytes
//! | header | close | record + zeros | record + zeros | mark | what an earlier generation left |
//!
//! header:  magic 8 | version u8 | 7 zeros | directory id 16 | generation u64 | first_batch u64 |
//!          follows u64 | segment_bytes u64 | zeros | crc32c u32 of all before, at byte 508
//! record:  len u32 | crc32c u32 of all else | batch u64 | format u8 | body of len bytes,
//!          on a 512-byte boundary; little-endian throughout
//! mark:    0xffff_ffff u32 | crc32c u32 of all else | batch u64: everything up to this batch was
//!          on disk. In the page behind the newest record of a journal at rest, not synced; as
//!          `close`, synced before the next segment takes a record, it says that there is a next.
//! ```
//! Without marks a newest record that was damaged later, or a newest segment that was lost, would
//! look like a commit that a crash cut short.
//!
//! A record's crc is seeded with the segment's generation, so that what an earlier use of the file
//! left behind is never taken for a record, and with a secret of the data directory, so that nobody
//! can hide a forged record inside a payload and have it found after a crash.

use crate::store::error::{DirectoryId, StoreError};
use crate::store::seam::Record;
use std::path::Path;

/// The unit of alignment: what disks promise to write wholly or not at all.
pub(super) const BLOCK: u64 = 512;
/// The header takes the first block.
pub(super) const HEADER_BYTES: usize = 512;
/// What stands before the body of a record.
pub(super) const RECORD_HEAD: usize = 17;
/// Where the close of a segment stands.
pub(super) const CLOSE_AT: u64 = BLOCK;
/// Where records begin.
pub(super) const RECORDS_AT: u64 = 2 * BLOCK;
/// Bytes of a mark.
pub(super) const MARK_BYTES: usize = 16;
/// What stands in a mark where a record has its length.
const MARK: u32 = u32::MAX;
/// Writes end on a page boundary, see `padded_to_page`.
pub(super) const PAGE: u64 = 4096;
/// The version of this layout.
pub(super) const VERSION: u8 = 2;

const MAGIC: [u8; 8] = *b"WNDLJRNL";
const HEADER_CRC_AT: usize = HEADER_BYTES - 4;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The data directory that the segment belongs to.
    pub(super) directory: DirectoryId,
    /// Rises by one with each segment that is started, so it orders the segments and makes a
    /// missing one visible.
    pub(super) generation: u64,
    /// The batch of the first record.
    pub(super) first_batch: u64,
    /// The batch that the segment before ended with: usually `first_batch` - 1, less where
    /// numbering jumped. It tells a jump from a hole.
    pub(super) follows: u64,
    /// Where the segment ends; the file may be longer, never shorter.
    pub(super) segment_bytes: u64,
}

/// What a file's first block turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FirstBlock {
    /// A header of this directory.
    Header(Header),
    /// No header: a spare that was never used, a header torn by a crash, or damage.
    Unreadable,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut block = [0; HEADER_BYTES];
        block[0..8].copy_from_slice(&MAGIC);
        block[8] = VERSION;
        block[16..32].copy_from_slice(&self.directory.0);
        block[32..40].copy_from_slice(&self.generation.to_le_bytes());
        block[40..48].copy_from_slice(&self.first_batch.to_le_bytes());
        block[48..56].copy_from_slice(&self.follows.to_le_bytes());
        block[56..64].copy_from_slice(&self.segment_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&block[..HEADER_CRC_AT]);
        block[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Recognises a header. A whole header of another directory or version is an error at once: it
    /// was never written by a crash of this one.
    pub(super) fn decode(
        block: &[u8; HEADER_BYTES],
        expected: DirectoryId,
        file: &Path,
    ) -> Result<FirstBlock, StoreError> {
        let crc = u32_at(block, HEADER_CRC_AT);
        if block[0..8] != MAGIC || crc32c::crc32c(&block[..HEADER_CRC_AT]) != crc {
            return Ok(FirstBlock::Unreadable);
        }
        if block[8] != VERSION {
            return Err(StoreError::UnknownVersion {
                file: file.to_path_buf(),
                found: block[8],
                known: VERSION,
            });
        }
        let mut id = [0; 16];
        id.copy_from_slice(&block[16..32]);
        if DirectoryId(id) != expected {
            return Err(StoreError::Foreign { file: file.to_path_buf(), found: DirectoryId(id), expected });
        }
        Ok(FirstBlock::Header(Header {
            directory: DirectoryId(id),
            generation: u64_at(block, 32),
            first_batch: u64_at(block, 40),
            follows: u64_at(block, 48),
            segment_bytes: u64_at(block, 56),
        }))
    }
}

/// The crc that every record of a generation starts from.
pub(super) fn seed(secret: u32, generation: u64) -> u32 {
    crc32c::crc32c_append(secret, &generation.to_le_bytes())
}

/// The bytes that a record takes, up to the next block boundary.
pub(super) fn padded(body: usize) -> u64 {
    ((RECORD_HEAD + body) as u64).next_multiple_of(BLOCK)
}

/// Writes the record into `buffer`, which it clears, padded with zeros up to the end of the page
/// in which the record ends. The write then never touches a page in part that nobody has read: the
/// kernel would have to fetch it from the disk first, in the middle of a commit.
pub(super) fn encode_record(buffer: &mut Vec<u8>, seed: u32, at: u64, record: Record<'_>) {
    buffer.clear();
    let len = u32::try_from(record.body.len()).expect("the caller refuses bodies over BODY_MAX");
    let end = (at + padded(record.body.len())).next_multiple_of(PAGE);
    let bytes = usize::try_from(end - at).expect("a record and a page fit in memory");
    buffer.reserve(bytes);
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&record.batch.to_le_bytes());
    buffer.push(record.format);
    buffer.extend_from_slice(record.body);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &buffer[0..4]), &buffer[8..]);
    buffer[4..8].copy_from_slice(&crc.to_le_bytes());
    buffer.resize(bytes, 0);
}

/// Where the mark of a journal at rest stands when the next record goes to `at`: not in the page of
/// the newest record, so that no damage to one page takes both. None when the segment ends before.
pub(super) fn mark_at(at: u64, segment_bytes: u64) -> Option<u64> {
    let place = at.next_multiple_of(PAGE);
    (place + PAGE <= segment_bytes).then_some(place)
}

/// Writes a mark into `buffer`, which it clears, padded with zeros up to the end of the page.
pub(super) fn encode_mark(buffer: &mut Vec<u8>, seed: u32, at: u64, batch: u64) {
    buffer.clear();
    buffer.extend_from_slice(&MARK.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&batch.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &buffer[0..4]), &buffer[8..]);
    buffer[4..8].copy_from_slice(&crc.to_le_bytes());
    let end = (at + BLOCK).next_multiple_of(PAGE);
    buffer.resize(usize::try_from(end - at).expect("a page fits in memory"), 0);
}

/// The batch in a mark; None if these bytes are none of this seed.
pub(super) fn read_mark(bytes: &[u8], seed: u32) -> Option<u64> {
    let bytes = bytes.get(..MARK_BYTES)?;
    (u32_at(bytes, 0) == MARK && crc_agrees(bytes, seed)).then(|| u64_at(bytes, 8))
}

/// What a record says of itself, before its crc has been checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordHead {
    pub(super) body_bytes: usize,
    pub(super) batch: u64,
}

pub(super) fn record_head(bytes: &[u8]) -> RecordHead {
    RecordHead { body_bytes: u32_at(bytes, 0) as usize, batch: u64_at(bytes, 8) }
}

/// Whether `bytes` (head and body, without padding) are what was once written as a record.
pub(super) fn crc_agrees(bytes: &[u8], seed: u32) -> bool {
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &bytes[0..4]), &bytes[8..]);
    crc == u32_at(bytes, 4)
}

/// The record in `bytes` (head and body), whose crc has been checked.
pub(super) fn record(bytes: &[u8]) -> Record<'_> {
    Record { batch: u64_at(bytes, 8), format: bytes[16], body: &bytes[RECORD_HEAD..] }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
