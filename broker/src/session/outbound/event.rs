//! Event: what happened, for a Watch.

use super::super::passive;
use super::work::filled;
use super::{bytes, state};
use bytes::Bytes;
use windlass_engine::event::{Event, EventJob, EventName, text};
use windlass_engine::part::Slot;
use windlass_proto::v1;

/// One event; None = the end of the stream.
pub(in crate::session) fn event(event: Option<&Event>, data: Slot, lagged: bool) -> v1::Event {
    let Some(Event { number, at, name, namespace: _, job, queue, subject: _, note }) = event else {
        return v1::Event { end: true, ..v1::Event::default() };
    };
    let data = if *name == EventName::JobCompleted { result(data) } else { filled(data) };
    let event = v1::Event {
        seq: *number,
        at_ms: *at,
        name: name.name().to_owned(),
        note: note.clone(),
        queue: text(queue.as_ref()).to_owned(),
        data,
        lagged,
        ..v1::Event::default()
    };
    match job {
        Some(job) => of_job(event, job),
        None => event,
    }
}

fn of_job(event: v1::Event, job: &EventJob) -> v1::Event {
    let EventJob { id, seq: _, state: now, delivery: _, queue, kind, key } = job;
    v1::Event {
        job: bytes(*id),
        queue: text(queue.as_ref()).to_owned(),
        kind: text(kind.as_ref()).to_owned(),
        key: text(key.as_ref()).to_owned(),
        state: now.map_or(v1::State::Unspecified, state).into(),
        ..event
    }
}

/// What a handler returned, without its content type.
pub(super) fn result(slot: Slot) -> Bytes {
    let packed = filled(slot);
    if packed.is_empty() { packed } else { passive::unpack_result(&packed).result }
}
