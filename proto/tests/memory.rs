//! What a hostile frame costs in memory, as the operating system counts it.
//!
//! A test binary of its own with a single test: the high-water mark belongs to the whole process.
#![cfg(target_os = "linux")]

use bytes::{BufMut, BytesMut};
use tokio_util::codec::Decoder;
use windlass_proto::frame::{BrokerCodec, Inbound};
use windlass_proto::limits::FRAME_BYTES_DEFAULT;
use windlass_proto::v1::Code;

#[test]
fn bombs_of_empty_messages_are_refused_and_leave_memory_flat() {
    let enqueue_jobs = bomb(&[3], &[0x0a, 0x00]);
    let settle_spawn = bomb(&[5, 1], &[0x3a, 0x00]);
    let spawns_spread = bomb(&[5], &spread(&[0x3a, 0x00], 900));
    let jobs_with_headers = bomb(&[3], &[0x0a, 0x02, 0x3a, 0x00]);
    let after = bomb(&[3], &spread(&[0x8a, 0x01, 0x00], 999));
    let selector = bomb(&[7, 1], &[0x0a, 0x00]);
    let running = bomb(&[2, 12], &[0x0a, 0x00]);
    let before = reset_high_water();
    let frames = [enqueue_jobs, settle_spawn, spawns_spread, jobs_with_headers, after, selector, running];
    for (place, frame) in frames.into_iter().enumerate() {
        let mut wire = frame;
        match BrokerCodec::new(FRAME_BYTES_DEFAULT).decode(&mut wire) {
            Ok(Some(Inbound::Refused(refusal))) => {
                assert_eq!((refusal.id, refusal.code), (7, Code::TooLarge), "bomb {place}");
            }
            other => panic!("bomb {place} was not refused: {other:?}"),
        }
    }
    let grown = high_water().saturating_sub(before);
    assert!(grown < 2 * 1024 * 1024, "refusing took {grown} bytes");
}

/// A frame of nearly 4 MiB: `entry` again and again, inside the fields named by `path`.
fn bomb(path: &[u32], entry: &[u8]) -> BytesMut {
    let room = FRAME_BYTES_DEFAULT - 64;
    let mut message = entry.repeat(room / entry.len());
    for number in path.iter().rev() {
        message = field(*number, &message);
    }
    let mut wire = BytesMut::with_capacity(FRAME_BYTES_DEFAULT);
    wire.put_u32(u32::try_from(message.len() + 2).expect("4 MiB"));
    wire.put_slice(&[0x08, 0x07]);
    wire.put_slice(&message);
    wire
}

/// `count` entries inside one entry of a list with number 1.
fn spread(entry: &[u8], count: usize) -> Vec<u8> {
    field(1, &entry.repeat(count))
}

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut bytes);
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// Forgets what building the bombs took; Linux does that for a 5 in this file.
fn reset_high_water() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may reset its own mark");
    high_water()
}

/// The most memory that this process has had resident so far, in bytes.
fn high_water() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux has it");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}
