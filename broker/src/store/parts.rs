//! Parts in memory: the pieces of variable size of jobs, until they are folded and then within a
//! budget. What is not here is in the leaves.

use super::StoreError;
use super::keys;
use super::record;
use super::seam::ReadLeaves;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use windlass_engine::Blob;
use windlass_engine::fact::{Fact, Note, Report};
use windlass_engine::ids::Seq;
use windlass_engine::part::{Part, PartKey, Slot};
use windlass_engine::policy::mix;

/// Bytes that a part in memory costs beside its own.
const OVERHEAD: usize = 96;
/// Entries of parts that are gone which the list of cached parts may hold beside as many again.
const CACHED_SPARE: usize = 1_024;

/// All parts that are in memory.
pub struct Parts {
    jobs: HashMap<Seq, Held, BuildHasherDefault<SeqHasher>>,
    leaves: Arc<dyn ReadLeaves>,
    unfolded_bytes: usize,
    cached_bytes: usize,
    cache_bytes_max: usize,
    /// Folded parts, oldest first; some may be gone already.
    cached: VecDeque<PartKey>,
    /// How many of them are not.
    cached_number: usize,
    /// Parts whose place another version has taken in this turn; frames may still name them.
    superseded: Vec<PartKey>,
}

/// Seqs are the broker's own, so nobody can choose them to collide: mixing their bits is enough.
#[derive(Default)]
struct SeqHasher(u64);

impl Hasher for SeqHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| mix(hash, byte.into()));
    }

    fn write_u64(&mut self, seq: u64) {
        self.0 = mix(self.0, seq);
    }
}

/// The parts of one job; most have only a payload.
enum Held {
    One(Piece),
    Many(Vec<Piece>),
}

struct Piece {
    part: Part,
    version: u32,
    is_folded: bool,
    bytes: Blob,
}

impl Parts {
    /// No parts in memory; what the leaves hold is read from them.
    #[must_use]
    pub fn new(leaves: Arc<dyn ReadLeaves>, cache_bytes_max: usize) -> Self {
        Self {
            jobs: HashMap::default(),
            leaves,
            unfolded_bytes: 0,
            cached_bytes: 0,
            cache_bytes_max,
            cached: VecDeque::new(),
            cached_number: 0,
            superseded: Vec::new(),
        }
    }

    /// Bytes that are in the journal and not yet in the leaves.
    #[must_use]
    pub fn unfolded_bytes(&self) -> usize {
        self.unfolded_bytes
    }

    /// Takes the parts that a fact brings, and lets go of those whose job is gone.
    pub fn follow(&mut self, fact: &Fact) {
        if let Fact::Enqueued { seq, job } = fact {
            self.insert(*seq, Part::Payload, 0, job.payload.clone());
            self.insert(*seq, Part::Headers, 0, job.headers.clone());
        } else if let Fact::Reshaped { seq, reshape } = fact {
            if let Some((version, payload)) = &reshape.payload {
                self.insert(*seq, Part::Payload, *version, payload.clone());
            }
        } else if let Fact::Completed { seq, result, delivery, .. } = fact {
            self.insert(*seq, Part::Result, *delivery, result.clone());
        } else if let Fact::Returned { seq, note: Some(note), .. }
        | Fact::Died { seq, note: Some(note), .. }
        | Fact::Cancelled { seq, note: Some(note), .. } = fact
        {
            self.insert(*seq, Part::History, note.number, record::encode_note(note).into());
        } else if let Fact::Replaced { seq, pieces, payload, headers, .. } = fact {
            self.insert(*seq, Part::Payload, pieces.last, payload.clone());
            if let Some(headers) = headers {
                self.insert(*seq, Part::Headers, pieces.headers, headers.clone());
            }
        } else if let Fact::Appended { seq, version, item, .. } = fact {
            self.insert(*seq, Part::Payload, *version, item.clone());
        } else if let Fact::Reported { seq, report } = fact {
            self.follow_report(*seq, report);
        } else if let Fact::Removed { seq, .. } = fact {
            self.remove_job(*seq);
        } else if let Fact::Emptied { seq } = fact {
            self.remove_body(*seq);
        }
    }

    /// A checkpoint or a note takes the place of the one before, which may have been asked for earlier in
    /// this turn.
    fn follow_report(&mut self, seq: Seq, report: &Report) {
        let singles = [(Part::Checkpoint, &report.checkpoint), (Part::Note, &report.note)];
        for (part, bytes) in singles {
            let Some((version, bytes)) = bytes else { continue };
            self.superseded.push(PartKey { seq, part, version: version - 1 });
            self.insert(seq, part, *version, bytes.clone());
        }
        if let Some((version, _, bytes)) = &report.logs {
            self.insert(seq, Part::Log, *version, bytes.clone());
        }
    }

    /// Every frame of the turn has its bytes: lets go of what another version has replaced.
    pub fn shed(&mut self) {
        for key in std::mem::take(&mut self.superseded) {
            self.remove_piece(key);
        }
    }

    /// Fills a slot that names a part.
    ///
    /// # Errors
    /// When the leaves cannot be read, or do not hold a part that a head names.
    pub fn fill(&mut self, slot: &mut Slot) -> Result<(), StoreError> {
        let key = match *slot {
            Slot::Part(key) => key,
            Slot::Pieces(first, last) => {
                let mut whole = Vec::new();
                for version in first.version..=last {
                    whole.extend_from_slice(&self.bytes(PartKey { version, ..first })?);
                }
                *slot = Slot::Bytes(whole.into());
                return Ok(());
            }
            Slot::Empty | Slot::Bytes(_) | Slot::Note(_) => return Ok(()),
        };
        let bytes = self.bytes(key)?;
        *slot = if key.part == Part::History {
            let note: Note = record::decode_note(&bytes).map_err(|error| error.at("an attempt's note"))?;
            Slot::Note(Box::new(note))
        } else {
            Slot::Bytes(bytes)
        };
        Ok(())
    }

    /// The bytes of a part, from memory or from the leaves.
    ///
    /// # Errors
    /// When the leaves cannot be read, or do not hold it.
    pub fn bytes(&mut self, key: PartKey) -> Result<Blob, StoreError> {
        match self.get(key) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.read(key),
        }
    }

    /// The bytes of a part that is in memory and not folded yet.
    #[must_use]
    pub fn unfolded(&self, key: PartKey) -> Option<&Blob> {
        self.jobs.get(&key.seq)?.find(key).filter(|piece| !piece.is_folded).map(|piece| &piece.bytes)
    }

    /// These parts are in the leaves now: they may leave memory.
    pub fn folded(&mut self, keys: impl IntoIterator<Item = PartKey>) {
        for key in keys {
            let Some(piece) = self.jobs.get_mut(&key.seq).and_then(|held| held.find_mut(key)) else {
                continue;
            };
            if !piece.is_folded {
                piece.is_folded = true;
                let cost = piece.cost();
                self.unfolded_bytes -= cost;
                self.count_cached(key, cost);
            }
        }
        self.evict();
    }

    /// Lets go of parts that their job does not have any more: earlier results, and attempts that
    /// its history has no room for. Only between turns, when every frame has its bytes.
    pub fn retain(&mut self, seq: Seq, live: &BTreeSet<PartKey>) {
        let Some(held) = self.jobs.get(&seq) else { return };
        let keys = held.pieces().iter().map(|piece| piece.key(seq));
        let stale: Vec<PartKey> = keys.filter(|key| !live.contains(key)).collect();
        for key in stale {
            self.remove_piece(key);
        }
    }

    /// Reads a part from the leaves, with its neighbours of the same leaf: jobs that were enqueued
    /// together mostly leave together, and the chunks of a log are read one after the other.
    fn read(&mut self, wanted: PartKey) -> Result<Blob, StoreError> {
        let leaf = keys::leaf_of(wanted.seq);
        let mut found = None;
        let mut neighbours = Vec::new();
        let leaves = self.leaves.clone();
        leaves.scan(&keys::blocks(leaf), &mut |_, value| {
            let block = record::decode_block(value).map_err(|error| error.at("a block of parts"))?;
            for (place, part, version, bytes) in block {
                let Some(part) = keys::read_part(part) else { continue };
                let key = PartKey { seq: leaf * keys::LEAF_JOBS + u64::from(place), part, version };
                if key == wanted {
                    found = Some(bytes);
                } else if key.part == wanted.part && (key.seq, key.version) > (wanted.seq, wanted.version) {
                    neighbours.push((key, bytes));
                }
            }
            Ok(())
        })?;
        if found.is_none() {
            let mut whole = Vec::new();
            leaves.scan(&keys::chunks(wanted), &mut |_, value| {
                whole.extend_from_slice(value);
                Ok(())
            })?;
            found = record::unseal(&whole).map(Blob::from);
        }
        for (key, bytes) in neighbours {
            self.cache(key, bytes);
        }
        found.ok_or_else(|| StoreError::MissingPart { part: format!("{wanted:?}") })
    }

    fn cache(&mut self, key: PartKey, bytes: Blob) {
        if self.get(key).is_some() {
            return;
        }
        let piece = Piece { part: key.part, version: key.version, is_folded: true, bytes };
        let cost = piece.cost();
        self.put(key.seq, piece);
        self.count_cached(key, cost);
        self.evict();
    }

    fn count_cached(&mut self, key: PartKey, cost: usize) {
        self.cached_bytes += cost;
        self.cached_number += 1;
        self.cached.push_back(key);
        if self.cached.len() > 2 * self.cached_number + CACHED_SPARE {
            let jobs = &self.jobs;
            self.cached.retain(|key| jobs.get(&key.seq).is_some_and(|held| held.find(*key).is_some()));
        }
    }

    /// A piece has left memory.
    fn uncount(&mut self, piece: &Piece) {
        if piece.is_folded {
            self.cached_bytes -= piece.cost();
            self.cached_number -= 1;
        } else {
            self.unfolded_bytes -= piece.cost();
        }
    }

    fn evict(&mut self) {
        while self.cached_bytes > self.cache_bytes_max {
            let Some(key) = self.cached.pop_front() else { return };
            self.remove_piece(key);
        }
    }

    fn remove_piece(&mut self, key: PartKey) {
        let Some(held) = self.jobs.get_mut(&key.seq) else { return };
        let removed = held.take(key);
        if held.is_empty() {
            self.jobs.remove(&key.seq);
        }
        if let Some(piece) = removed {
            self.uncount(&piece);
        }
    }

    /// Payload, headers and result; what was told of its runs stays.
    fn remove_body(&mut self, seq: Seq) {
        let Some(held) = self.jobs.get(&seq) else { return };
        let keys = held.pieces().iter().map(|piece| piece.key(seq));
        let body: Vec<PartKey> =
            keys.filter(|key| matches!(key.part, Part::Payload | Part::Headers | Part::Result)).collect();
        body.into_iter().for_each(|key| self.remove_piece(key));
    }

    fn remove_job(&mut self, seq: Seq) {
        let Some(held) = self.jobs.remove(&seq) else { return };
        for piece in held.pieces() {
            self.uncount(piece);
        }
    }

    fn insert(&mut self, seq: Seq, part: Part, version: u32, bytes: Blob) {
        if bytes.is_empty() {
            return;
        }
        let piece = Piece { part, version, is_folded: false, bytes };
        self.unfolded_bytes += piece.cost();
        self.put(seq, piece);
    }

    fn put(&mut self, seq: Seq, piece: Piece) {
        match self.jobs.entry(seq) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Held::One(piece));
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => entry.get_mut().push(piece),
        }
    }

    fn get(&self, key: PartKey) -> Option<&Blob> {
        self.jobs.get(&key.seq)?.find(key).map(|piece| &piece.bytes)
    }
}

impl Held {
    fn pieces(&self) -> &[Piece] {
        match self {
            Self::One(piece) => std::slice::from_ref(piece),
            Self::Many(pieces) => pieces,
        }
    }

    fn find(&self, key: PartKey) -> Option<&Piece> {
        self.pieces().iter().find(|piece| piece.is(key))
    }

    fn find_mut(&mut self, key: PartKey) -> Option<&mut Piece> {
        let pieces = match self {
            Self::One(piece) => std::slice::from_mut(piece),
            Self::Many(pieces) => pieces,
        };
        pieces.iter_mut().find(|piece| piece.is(key))
    }

    fn push(&mut self, piece: Piece) {
        let mut pieces = match std::mem::replace(self, Self::Many(Vec::new())) {
            Self::One(first) => vec![first],
            Self::Many(pieces) => pieces,
        };
        pieces.push(piece);
        *self = Self::Many(pieces);
    }

    fn take(&mut self, key: PartKey) -> Option<Piece> {
        match std::mem::replace(self, Self::Many(Vec::new())) {
            Self::One(piece) if piece.is(key) => Some(piece),
            Self::One(piece) => {
                *self = Self::One(piece);
                None
            }
            Self::Many(mut pieces) => {
                let place = pieces.iter().position(|piece| piece.is(key));
                let taken = place.map(|place| pieces.swap_remove(place));
                *self = Self::Many(pieces);
                taken
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.pieces().is_empty()
    }
}

impl Piece {
    fn is(&self, key: PartKey) -> bool {
        self.part == key.part && self.version == key.version
    }

    fn key(&self, seq: Seq) -> PartKey {
        PartKey { seq, part: self.part, version: self.version }
    }

    fn cost(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::seam::Leaves;
    use crate::store::simulated::SimDisk;
    use windlass_engine::JobId;
    use windlass_engine::fact::NewJob;

    /// A job with a payload of 100 bytes.
    pub(in crate::store) fn enqueued(seq: Seq) -> Fact {
        let job = NewJob {
            id: JobId([1; 16]),
            namespace: 1,
            queue: 2,
            kind: 3,
            key: 0,
            terms: 0,
            ordering: windlass_engine::policy::Ordering::Fair,
            plan: None,
            gate: 0,
            level: 4,
            created_at: 1,
            run_at: 1,
            payload: vec![7; 100].into(),
            headers: Blob::default(),
        };
        Fact::Enqueued { seq, job }
    }

    #[test]
    fn parts_that_were_folded_and_are_gone_leave_nothing_behind() {
        let mut parts = Parts::new(SimDisk::new().open_leaves().reader(), 1 << 20);
        for seq in 1..10_000 {
            parts.follow(&enqueued(seq));
            parts.folded([PartKey { seq, part: Part::Payload, version: 0 }]);
            parts.follow(&Fact::Removed { seq, id: JobId([1; 16]), namespace: 1, at: 1, settled: 0 });
        }
        assert!(parts.cached.len() <= CACHED_SPARE + 2, "{} entries", parts.cached.len());
        assert_eq!((parts.cached_bytes, parts.cached_number, parts.unfolded_bytes), (0, 0, 0));
        assert!(parts.jobs.is_empty());
    }
}
