//! The layout of the leaves' one tree: which key holds what. One tree, because a batch is atomic
//! in one tree only.
//!
//! ```text
//! M                                   Meta
//! T record                            a table row
//! L leaf                              up to 16 heads
//! P leaf 0 fold block                 small parts of the leaf's jobs, written once
//! P leaf 1 place part version chunk   a large part, in chunks
//! ```
//! Numbers are big-endian, so that key order is number order.

use windlass_engine::fact::{Record, ResourceKey};
use windlass_engine::ids::Seq;
use windlass_engine::part::{Part, PartKey};

/// Jobs of a leaf.
pub const LEAF_JOBS: u64 = 16;
/// Parts up to this size share a block.
pub const SMALL_PART_BYTES: usize = 256;
/// Bytes of one chunk of a larger part.
pub const CHUNK_BYTES: usize = 4_000;
/// Bytes of small parts in one block.
pub const BLOCK_BYTES: usize = 3_600;

/// The key of Meta.
pub const META: &[u8] = b"M";
/// What the keys of table rows begin with.
pub const ROWS: &[u8] = b"T";
/// What the keys of leaves begin with.
pub const LEAVES: &[u8] = b"L";
/// What the keys of blocks and chunks begin with.
pub const PARTS: &[u8] = b"P";

/// Classes of entries in the order in which an archive holds them: names before the jobs that have
/// them, jobs before their parts.
pub const CLASSES: [&[u8]; 3] = [ROWS, LEAVES, PARTS];

/// The leaf of a job.
#[must_use]
pub fn leaf_of(seq: Seq) -> u64 {
    seq / LEAF_JOBS
}

/// A job's place in its leaf.
#[must_use]
pub fn place_of(seq: Seq) -> u8 {
    u8::try_from(seq % LEAF_JOBS).expect("a remainder of sixteen")
}

/// The key of a leaf.
#[must_use]
pub fn leaf(leaf: u64) -> Vec<u8> {
    [LEAVES, &leaf.to_be_bytes()].concat()
}

/// The leaf that a key names.
#[must_use]
pub fn read_leaf(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.strip_prefix(LEAVES)?.try_into().ok()?))
}

/// What the keys of all parts of a leaf begin with.
#[must_use]
pub fn parts(leaf: u64) -> Vec<u8> {
    [PARTS, &leaf.to_be_bytes()].concat()
}

/// The leaf that a block or chunk belongs to; None for another key.
#[must_use]
pub fn leaf_of_part(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.strip_prefix(PARTS)?.get(..8)?.try_into().ok()?))
}

/// What the keys of a leaf's blocks begin with.
#[must_use]
pub fn blocks(leaf: u64) -> Vec<u8> {
    [&parts(leaf)[..], &[0]].concat()
}

/// The key of a block.
#[must_use]
pub fn block(leaf: u64, fold: u64, number: u16) -> Vec<u8> {
    [&blocks(leaf)[..], &fold.to_be_bytes(), &number.to_be_bytes()].concat()
}

/// What the keys of a large part's chunks begin with.
#[must_use]
pub fn chunks(part: PartKey) -> Vec<u8> {
    let head = [1, place_of(part.seq), part.part as u8];
    [&parts(leaf_of(part.seq))[..], &head, &part.version.to_be_bytes()].concat()
}

/// The key of a chunk.
#[must_use]
pub fn chunk(part: PartKey, number: u32) -> Vec<u8> {
    [&chunks(part)[..], &number.to_be_bytes()].concat()
}

/// The large part that a chunk's key belongs to; None for a block.
#[must_use]
pub fn read_chunk(leaf: u64, key: &[u8]) -> Option<PartKey> {
    let [1, place, part, version @ ..] = key.strip_prefix(&parts(leaf)[..])? else { return None };
    let version = u32::from_be_bytes(version.get(..4)?.try_into().ok()?);
    Some(PartKey { seq: leaf * LEAF_JOBS + u64::from(*place), part: read_part(*part)?, version })
}

/// The part with this number.
#[must_use]
pub fn read_part(number: u8) -> Option<Part> {
    let parts =
        [Part::Payload, Part::Headers, Part::Result, Part::History, Part::Checkpoint, Part::Log, Part::Note];
    parts.into_iter().find(|part| *part as u8 == number)
}

/// The key of a table row; None for what is no table row.
#[must_use]
pub fn row(record: Record) -> Option<Vec<u8>> {
    let (table, key): (u8, Vec<u8>) = match record {
        Record::Name(id) => (b'n', id.to_be_bytes().to_vec()),
        Record::Session(id) => (b's', id.0.to_vec()),
        Record::Failures(error) => (b'f', error.to_be_bytes().to_vec()),
        Record::Operation(id) => (b'o', id.0.to_vec()),
        Record::Totals(queue) => (b't', queue.to_be_bytes().to_vec()),
        Record::Audit(number) => (b'a', number.to_be_bytes().to_vec()),
        Record::Claim(holder) => (b'c', holder.to_be_bytes().to_vec()),
        Record::After(waiter, piece) => (b'a', [&waiter.to_be_bytes()[..], &piece.to_be_bytes()].concat()),
        Record::Group(group) => (b'g', group.to_be_bytes().to_vec()),
        Record::Fallout(of) => (b'e', of.to_be_bytes().to_vec()),
        Record::Schedule(id) => (b'd', id.to_be_bytes().to_vec()),
        Record::Resource(key) => {
            let (class, id) = match key {
                ResourceKey::Namespace(id) => (0, id),
                ResourceKey::Queue(id) => (1, id),
                ResourceKey::Kind(id) => (2, id),
                ResourceKey::Limit(id) => (3, id),
                ResourceKey::Schedule(id) => (4, id),
                ResourceKey::Sink(id) => (5, id),
            };
            (b'r', [&[class][..], &id.to_be_bytes()].concat())
        }
        Record::Job(_) | Record::Meta => return None,
    };
    Some([ROWS, &[table], &key].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_keys_read_back() {
        let part = PartKey { seq: 77, part: Part::Result, version: 3 };
        assert_eq!(read_chunk(leaf_of(77), &chunk(part, 9)), Some(part));
        assert_eq!(read_chunk(leaf_of(77), &block(leaf_of(77), 1, 2)), None);
    }
}
