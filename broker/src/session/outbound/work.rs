//! Deliver: leased jobs on their way to a worker.

use super::super::inbound::TICK;
use super::super::passive::{self, Passive};
use super::bytes;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use windlass_engine::frame::{RunWork, Work};
use windlass_engine::ids::Ms;
use windlass_engine::part::Slot;
use windlass_proto::frame::write_frame;
use windlass_proto::limits::FRAME_BYTES_MAX;
use windlass_proto::v1::server_frame::Body as Words;
use windlass_proto::v1::{self, Deliver, ServerFrame};

/// Jobs of a stream or long poll. A deadline is said as the time that is left at this moment.
pub(in crate::session) fn deliver(works: Vec<Work>, end: bool, now_ms: u64) -> Deliver {
    let jobs = works.into_iter().map(|work| self::work(work, now_ms)).collect();
    Deliver { jobs, end, oldest_ready_ms: 0 }
}

fn work(work: Work, now_ms: u64) -> v1::Work {
    let Work {
        seq: _,
        id,
        fence,
        ends_at,
        now: _,
        queue,
        kind,
        key,
        payload,
        headers,
        attempt,
        max_attempts,
        deliveries,
        crashes,
        snoozes,
        created_at,
        suspect,
        cost,
        run,
    } = work;
    let RunWork { limits, checkpoint, after, tick } = run.map(|run| *run).unwrap_or_default();
    let Passive { content_type, content_encoding, mut headers } = passive::unpack_job(&filled(headers));
    name_tick(&mut headers, tick);
    v1::Work {
        id: bytes(id),
        fence,
        // 0 would say that the lease has no end of its own.
        ends_in_ms: if ends_at == 0 { 0 } else { ends_at.saturating_sub(now_ms).max(1) },
        queue: (*queue).into(),
        kind: (*kind).into(),
        key,
        payload: filled(payload),
        content_type,
        content_encoding,
        headers,
        attempt,
        max_attempts,
        deliveries,
        crashes,
        snoozes,
        checkpoint: filled(checkpoint),
        enqueued_at_ms: created_at,
        after: after.into_iter().map(bytes).collect(),
        stall_ms: limits.stall_ms.into(),
        timeout_ms: limits.timeout_ms.into(),
        suspect,
        cost,
    }
}

/// A job that stands for a tick says so in its headers.
pub(super) fn name_tick(headers: &mut BTreeMap<String, String>, tick: Ms) {
    if tick > 0 {
        headers.insert(TICK.to_owned(), tick.to_string());
    }
}

/// The bytes of a slot. The driver fills every slot before it lets a frame go; an empty payload in
/// place of a lost one would be a lie to the handler, so this session ends instead.
pub(super) fn filled(slot: Slot) -> Bytes {
    match slot {
        Slot::Empty => Bytes::new(),
        Slot::Bytes(bytes) => Bytes::from_owner(bytes),
        Slot::Part(key) | Slot::Pieces(key, _) => {
            unreachable!("a frame was released with an open slot: {key:?}")
        }
        Slot::Note(note) => unreachable!("a note in a place for bytes: {note:?}"),
    }
}

/// Writes the jobs of a frame that is too large, in their order, by halves. A single one may be over
/// the limit, if that was lowered since it was enqueued: it has to be delivered all the same.
pub(super) fn write_in_parts(id: u64, deliver: Deliver, limit: usize, dst: &mut BytesMut) {
    let Deliver { mut jobs, end, oldest_ready_ms } = deliver;
    let limit = if jobs.len() > 1 { limit } else { FRAME_BYTES_MAX };
    let frame = ServerFrame { id, body: Some(Words::Deliver(Deliver { jobs, end, oldest_ready_ms })) };
    let Err(fault) = write_frame(&frame, limit, dst) else { return };
    let Some(Words::Deliver(deliver)) = frame.body else { return };
    jobs = deliver.jobs;
    if jobs.len() <= 1 {
        // Every job came in a frame that was smaller than this limit.
        tracing::error!(%fault, "a job does not fit into any frame");
        return;
    }
    let rest = jobs.split_off(jobs.len() / 2);
    write_in_parts(id, Deliver { jobs, end: false, oldest_ready_ms }, limit, dst);
    write_in_parts(id, Deliver { jobs: rest, end, oldest_ready_ms }, limit, dst);
}
