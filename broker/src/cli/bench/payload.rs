//! Ids and payloads, cut from large pieces of memory, so that a job costs no allocation.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// What is allocated at a time.
const PIECE_BYTES: usize = 64 * 1024;
const ID_BYTES: usize = 16;
const STAMP_BYTES: usize = 8;
/// The variant bits of a UUID, at the top of its second half.
const VARIANT: u64 = 0b10 << 62;

/// Makes jobs' ids and payloads.
#[derive(Debug)]
pub(super) struct Payloads {
    piece: BytesMut,
    filler: Vec<u8>,
    head: u64,
    tail: u64,
}

impl Payloads {
    /// Payloads of `bytes`, at least those of a stamp.
    pub(super) fn new(bytes: usize) -> Self {
        let filler = vec![b'.'; bytes.saturating_sub(STAMP_BYTES)];
        let (head, tail) = Uuid::now_v7().as_u64_pair();
        Self { piece: BytesMut::new(), filler, head, tail }
    }

    /// A new id and a payload that begins with `stamp`.
    pub(super) fn next(&mut self, stamp: u64) -> (Bytes, Bytes) {
        let wanted = ID_BYTES + STAMP_BYTES + self.filler.len();
        if self.piece.capacity() < wanted {
            self.piece = BytesMut::with_capacity(wanted.max(PIECE_BYTES));
        }
        self.tail = VARIANT | (self.tail.wrapping_add(1) & !(0b11 << 62));
        self.piece.put_u64(self.head);
        self.piece.put_u64(self.tail);
        let id = self.piece.split().freeze();
        self.piece.put_u64(stamp);
        self.piece.put_slice(&self.filler);
        (id, self.piece.split().freeze())
    }
}

/// The stamp of a payload; none if it is not one of ours.
pub(super) fn stamp(payload: &[u8]) -> Option<u64> {
    payload.first_chunk::<STAMP_BYTES>().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_different_uuids_of_version_7() {
        let mut payloads = Payloads::new(100);
        let ids: std::collections::BTreeSet<Bytes> = (0..5_000).map(|at| payloads.next(at).0).collect();
        assert_eq!(ids.len(), 5_000);
        for id in ids {
            let id = Uuid::from_slice(&id).unwrap();
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        }
    }

    #[test]
    fn a_payload_has_its_size_and_gives_its_stamp_back() {
        for bytes in [8, 100, 200_000] {
            let (_, payload) = Payloads::new(bytes).next(42);
            assert_eq!((payload.len(), stamp(&payload)), (bytes, Some(42)));
        }
        assert_eq!(stamp(b"short"), None);
    }
}
