//! Stored records as versioned bytes: the only file that names bincode.
//!
//! Every record begins with a format byte (the journal carries it beside the body). To change a
//! shape: 1. give it the next format number, 2. keep the old shape and its decoder, 3. convert on
//! reading, 4. write only the new one, 5. add a fixture of the old bytes to the tests.

use super::StoreError;
use super::keys;
use bincode::Options;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use windlass_engine::Blob;
use windlass_engine::OperationId;
use windlass_engine::fact::{Fact, Note};
use windlass_engine::ids::{NameId, Seq};
use windlass_engine::ledger::job::Job;
use windlass_engine::ledger::names::Name;
use windlass_engine::ledger::tables::{
    AfterRow, AuditRow, ClaimRow, FailuresRow, FalloutRow, GroupRow, OperationRow, ResourceRow, ScheduleRow,
    SessionRow, TotalsRow,
};

/// The format of everything written now.
pub const FORMAT: u8 = 3;

/// No record is larger: the largest batch is far below.
const BYTES_MAX: u64 = 128 << 20;

/// The store's own record: where replay begins and what the leaves must add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Facts before this batch are wholly in the leaves.
    pub replay_from: u64,
    /// The newest batch that any leaf knows of.
    pub to: u64,
    /// The next job's place in the order.
    pub seq_next: u64,
    /// The broker's run.
    pub epoch: u32,
    /// That run ended in order.
    pub stopped: bool,
    /// What the leaves add up to.
    pub leaves: Sum,
    /// What the table rows add up to.
    pub rows: Sum,
    /// What blocks and chunks of parts add up to.
    pub parts: Sum,
}

impl Meta {
    /// The sum that an entry with this key counts into; None for Meta itself.
    pub fn sum_of(&mut self, key: &[u8]) -> Option<&mut Sum> {
        match key.get(..1)? {
            keys::LEAVES => Some(&mut self.leaves),
            keys::ROWS => Some(&mut self.rows),
            keys::PARTS => Some(&mut self.parts),
            _ => None,
        }
    }
}

/// What the entries of one class add up to: sled may lose entries in silence, or bring back older
/// ones, and this does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many there are.
    pub entries: u64,
    /// The sum of their checksums, in any order.
    pub checksum: u64,
}

impl Sum {
    /// An entry has come.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries = self.entries.wrapping_add(1);
        self.checksum = self.checksum.wrapping_add(checksum(key, value));
    }

    /// An entry is gone.
    pub fn subtract(&mut self, key: &[u8], value: &[u8]) {
        self.entries = self.entries.wrapping_sub(1);
        self.checksum = self.checksum.wrapping_sub(checksum(key, value));
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with sum {:016x}", self.entries, self.checksum)
    }
}

/// A table row in its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// A name with its number and the batch that touched it last.
    Name(NameId, u64, Name),
    /// A session.
    Session(windlass_engine::SessionId, SessionRow),
    /// A resource.
    Resource(windlass_engine::fact::ResourceKey, ResourceRow),
    /// A queue's totals.
    Totals(NameId, TotalsRow),
    /// What happened in one way of failing.
    Failures(NameId, FailuresRow),
    /// A change that was given an id.
    Operation(OperationId, OperationRow),
    /// A dedup key, by the job that holds it.
    Claim(Seq, ClaimRow),
    /// What somebody changed, by number.
    Audit(u64, AuditRow),
    /// Some of the jobs that a job waits for, by that job and a number.
    After(Seq, u16, AfterRow),
    /// A group, by its job.
    Group(Seq, GroupRow),
    /// A job whose end not all know who wait for it.
    Fallout(Seq, FalloutRow),
    /// How far a schedule has come, by its name.
    Schedule(NameId, ScheduleRow),
}

/// A small part inside a block: place in the leaf, part, version, bytes.
pub type SmallPart = (u8, u8, u32, Blob);

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_little_endian().with_limit(BYTES_MAX)
}

/// The body of a journal record.
#[must_use]
pub fn encode_facts(facts: &[Fact]) -> Vec<u8> {
    let mut body = Vec::with_capacity(facts.iter().map(Fact::weight).sum());
    // With its limit bincode would walk all facts twice, once to measure them.
    let written = options().with_no_limit().serialize_into(&mut body, facts);
    written.expect("a vector takes whatever is written, and facts have only shapes that bincode knows");
    assert!(body.len() as u64 <= BYTES_MAX, "a batch is bounded far below the limit");
    body
}

/// Reads the body of a journal record.
///
/// # Errors
/// When the bytes are of an unknown format or do not decode.
pub fn decode_facts(format: u8, body: &[u8]) -> Result<Vec<Fact>, RecordError> {
    if format != FORMAT {
        return Err(RecordError::Format(format));
    }
    Ok(options().deserialize(body)?)
}

/// A record of the leaves with its format byte.
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    options().serialize_into(&mut bytes, value).expect("records are bounded far below the limit");
    bytes
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => Ok(options().deserialize(body)?),
        Some((&format, _)) => Err(RecordError::Format(format)),
        None => Err(RecordError::Format(0)),
    }
}

macro_rules! records {
    ($($encode:ident $decode:ident $shape:ty, $what:literal;)*) => {$(
        #[doc = concat!("The bytes of ", $what, ".")]
        #[must_use]
        pub fn $encode(value: &$shape) -> Vec<u8> {
            encode(value)
        }

        #[doc = concat!("Reads ", $what, ".")]
        ///
        /// # Errors
        /// When the bytes are of an unknown format or do not decode.
        pub fn $decode(bytes: &[u8]) -> Result<$shape, RecordError> {
            decode(bytes)
        }
    )*};
}

records! {
    encode_leaf decode_leaf Vec<Job>, "a leaf: up to sixteen heads";
    encode_meta decode_meta Meta, "the store's own record";
    encode_row decode_row Row, "a table row";
    encode_block decode_block Vec<SmallPart>, "a block of small parts";
    encode_note decode_note Note, "an attempt of a job's history";
}

/// Bytes that are not a record of ours.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer broker, or damaged.
    #[error("record format {0} is unknown to this broker")]
    Format(u8),
    /// Damaged, or written by something else.
    #[error("the record does not decode: {0}")]
    Shape(#[from] bincode::Error),
}

impl RecordError {
    /// The same error with the place it was found at.
    #[must_use]
    pub fn at(self, what: &str) -> StoreError {
        StoreError::Record { what: what.to_owned(), source: self }
    }
}

/// A large part before it is cut into chunks: its length and CRC stand in front, because sled may
/// lose a chunk without a word.
#[must_use]
pub fn seal(part: &[u8]) -> Vec<u8> {
    let length = u32::try_from(part.len()).expect("a part is bounded by the frame it came in");
    [&length.to_le_bytes()[..], &crc32c::crc32c(part).to_le_bytes(), part].concat()
}

/// The part that was sealed; None if anything of it is missing or damaged.
#[must_use]
pub fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let (length, rest) = sealed.split_first_chunk::<4>()?;
    let (crc, part) = rest.split_first_chunk::<4>()?;
    let is_whole = u32::from_le_bytes(*length) as usize == part.len();
    (is_whole && u32::from_le_bytes(*crc) == crc32c::crc32c(part)).then_some(part)
}

/// A checksum of one entry of the leaves; two differently keyed CRCs side by side.
fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let low = crc32c::crc32c_append(crc32c::crc32c(key), value);
    let high = crc32c::crc32c_append(crc32c::crc32c_append(0x9e37_79b9, value), key);
    (u64::from(high) << 32) | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_of_sixteen_heads_stays_within_a_value() {
        use windlass_engine::fact::{DeadReason, End, Overrun, RunLimits};
        use windlass_engine::ledger::job::{Ended, Lease, Plan, State};
        use windlass_engine::{JobId, SessionId};
        let job = Job {
            id: JobId([7; 16]),
            seq: 1,
            since: 2,
            namespace: 1,
            queue: 2,
            kind: 3,
            key: 4,
            terms: 5,
            gate: 6,
            error: 6,
            payload_len: 6,
            headers_len: 7,
            state: State::Dead,
            level: 4,
            ordering: windlass_engine::policy::Ordering::Serial,
            settled: true,
            attempt: 8,
            deliveries: 9,
            crashes: 1,
            snoozes: 0,
            notes: 8,
            created_at: 10,
            run_at: 11,
            fence: 12,
            lease: Some(Box::new(Lease {
                session: SessionId([9; 16]),
                leased_at: 1,
                ends_at: 2,
                lasts_ms: 1,
                revoke_at: 3,
                grace_ms: 2,
                limits: RunLimits { timeout_ms: 1, stall_ms: 2 },
                overran: Some(Overrun::Stalled),
            })),
            ended: Some(Box::new(Ended {
                end: End { at: 1, remove_at: 2, countable: true },
                reason: Some(DeadReason::Poison),
                result_len: 3,
                result_dropped: false,
                emptied: false,
            })),
            plan: Some(Box::new(Plan { expires_at: 1, reports: Some(Box::default()), ..Plan::default() })),
        };
        // No job is leased and has ended.
        for job in [Job { lease: None, ..job.clone() }, Job { ended: None, ..job }] {
            let leaf = vec![job; 16];
            let bytes = encode_leaf(&leaf);
            assert!(bytes.len() <= crate::store::seam::VALUE_MAX, "{}", bytes.len());
            assert_eq!(decode_leaf(&bytes).unwrap(), leaf);
        }
    }

    #[test]
    fn a_piece_of_what_a_job_waits_for_stays_within_a_value() {
        use windlass_engine::JobId;
        use windlass_engine::flow::{Edge, EdgeState, On, Piece};
        let edge = Edge { id: JobId([7; 16]), seq: 1, on: On::Finish, state: EdgeState::Open };
        let edges = vec![edge; windlass_engine::limits::AFTER_PER_PIECE.into()];
        let row = AfterRow { since: 1, piece: Piece { edges, ..Piece::default() } };
        assert!(encode_row(&Row::After(1, 2, row)).len() <= crate::store::seam::VALUE_MAX);
    }

    #[test]
    fn a_sealed_part_with_a_hole_is_not_a_part() {
        let part = vec![7; 10_000];
        let sealed = seal(&part);
        assert_eq!(unseal(&sealed), Some(&part[..]));
        assert_eq!(unseal(&[&sealed[..4_000], &sealed[8_000..]].concat()), None);
        assert_eq!(unseal(&sealed[..9_999]), None);
        assert_eq!(unseal(&[]), None);
    }

    #[test]
    fn a_longer_or_shorter_record_is_refused() {
        let bytes = encode_meta(&Meta::default());
        assert!(decode_meta(&bytes[..bytes.len() - 1]).is_err());
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode_meta(&longer).is_err());
        assert!(matches!(decode_meta(&[9, 0]), Err(RecordError::Format(9))));
    }
}
