//! The bytes of jobs: whatever a job carries follows from its id, so that anybody who meets the job
//! can say whether its bytes are the ones that were enqueued.

use super::random::{Random, mixed};
use windlass_engine::Blob;
use windlass_engine::JobId;

/// An id that says how long payload and headers are. `number` makes it unique.
pub fn job_id(number: u64, payload: u32, headers: u16) -> JobId {
    let mut bytes = [0; 16];
    bytes[0] = 0xb0;
    bytes[2..10].copy_from_slice(&number.to_be_bytes());
    bytes[10..14].copy_from_slice(&payload.to_be_bytes());
    bytes[14..].copy_from_slice(&headers.to_be_bytes());
    JobId(bytes)
}

/// A length as payloads have them: mostly small, some in chunks, some of many chunks.
pub fn any_length(random: &mut Random, most: u32) -> u32 {
    let length = match random.below(20) {
        0 => 0,
        1..=11 => random.between(1, 120),
        12 => random.between(255, 258),
        13..=16 => random.between(257, 3_000),
        17 => random.between(3_999, 4_001),
        18 => random.between(4_000, 9_000),
        _ => random.between(9_000, 300_000),
    };
    u32::try_from(length).expect("lengths are small").min(most)
}

/// Whether a schedule made it: such a job carries nothing.
pub fn is_of_schedule(id: JobId) -> bool {
    id.0[6] >> 4 == 8
}

/// What the producer of this job sends as its payload.
pub fn payload_of(id: JobId) -> Blob {
    if is_of_schedule(id) {
        return Blob::default();
    }
    let length = u32::from_be_bytes(id.0[10..14].try_into().expect("four bytes"));
    fill(number(id), length as usize)
}

/// What the producer of this job sends as its headers.
pub fn headers_of(id: JobId) -> Blob {
    if is_of_schedule(id) {
        return Blob::default();
    }
    let length = u16::from_be_bytes(id.0[14..].try_into().expect("two bytes"));
    fill(number(id) ^ 0x4845_4144, usize::from(length))
}

/// What a worker returns for this job in this lease.
pub fn result_of(id: JobId, fence: u64) -> Blob {
    let seed = mixed(number(id) ^ fence);
    let length = match seed % 10 {
        0..=2 => 0,
        3..=7 => seed / 16 % 200,
        8 => seed / 16 % 2_000,
        _ => seed / 16 % 12_000,
    };
    fill(seed, usize::try_from(length).expect("lengths are small"))
}

/// What a worker says when it fails in this lease.
pub fn message_of(id: JobId, fence: u64) -> String {
    format!("attempt {:016x} failed{}", mixed(number(id) ^ fence), ".".repeat((fence % 400) as usize))
}

fn number(id: JobId) -> u64 {
    mixed(u64::from_be_bytes(id.0[2..10].try_into().expect("eight bytes")))
}

fn fill(seed: u64, length: usize) -> Blob {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut word = seed;
    while bytes.len() < length {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
