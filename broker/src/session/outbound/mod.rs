//! From the engine to the wire: how each answer is said. Total, and without opinions: whether
//! something may be said was decided elsewhere.

mod event;
mod explain;
mod log;
mod measure;
mod resource;
mod rows;
mod schedule;
mod work;

use super::form::{at, cut};
use super::window::Faults;
use bytes::{Bytes, BytesMut};
use windlass_engine::command::{Code, Refusal};
use windlass_engine::frame::{EnqueuedOne, Outcome, SettleCode, SettledOne, Signal, Stored, TouchedOne};
use windlass_engine::ledger::job::State;
use windlass_engine::order::Order;
use windlass_engine::{JobId, OperationId};
use windlass_proto::frame::write_frame;
use windlass_proto::limits::{FRAME_BYTES_MAX, REASON_BYTES_MAX};
use windlass_proto::v1::server_frame::Body as Words;
use windlass_proto::v1::{self, ServerFrame, enqueued, settled, signal, stored, touched};

pub(super) use event::event;
pub(super) use rows::rows;
pub(super) use work::deliver;

/// Writes a frame. Jobs that do not fit into one frame leave in several; rows that do not fit are
/// refused, and the client asks for fewer.
pub(super) fn write(id: u64, words: Words, frame_bytes_max: usize, dst: &mut BytesMut) {
    let limit = match &words {
        Words::Rows(_) | Words::Deliver(_) => frame_bytes_max,
        // What was done must be said; the size of these answers is bounded by that of their request.
        Words::Welcome(_)
        | Words::Enqueued(_)
        | Words::Settled(_)
        | Words::Touched(_)
        | Words::Changed(_)
        | Words::Stored(_)
        | Words::Closed(_)
        | Words::ClockAdvanced(_)
        | Words::Event(_)
        | Words::Signal(_)
        | Words::Error(_) => FRAME_BYTES_MAX,
    };
    let frame = ServerFrame { id, body: Some(words) };
    if write_frame(&frame, limit, dst).is_ok() {
        return;
    }
    match frame.body {
        Some(Words::Deliver(deliver)) => work::write_in_parts(id, deliver, limit, dst),
        Some(_) | None => write_too_large(id, limit, dst),
    }
}

fn write_too_large(id: u64, limit: usize, dst: &mut BytesMut) {
    let message = format!("the answer is over the limit of {limit} bytes a frame; ask for less at a time");
    let frame = ServerFrame { id, body: Some(Words::Error(plain(v1::Code::TooLarge, message))) };
    write_frame(&frame, FRAME_BYTES_MAX, dst).expect("an Error of one sentence fits into every frame");
}

/// A refusal of the engine or of the forms.
pub(super) fn error(refusal: Refusal) -> v1::Error {
    let Refusal { code, message, field, retry_after_ms } = refusal;
    let code = match code {
        Code::Invalid => v1::Code::Invalid,
        Code::NotFound => v1::Code::NotFound,
        Code::VersionConflict => v1::Code::VersionConflict,
        Code::Exhausted => v1::Code::Exhausted,
        Code::TooLarge => v1::Code::TooLarge,
        Code::Draining => v1::Code::Draining,
        Code::Unsupported => v1::Code::Unsupported,
        Code::Denied => v1::Code::Denied,
    };
    v1::Error { code: code.into(), message: cut(message, REASON_BYTES_MAX), retry_after_ms, field }
}

/// An error that points at no field.
pub(super) fn plain(code: v1::Code, message: String) -> v1::Error {
    v1::Error { code: code.into(), message, retry_after_ms: 0, field: String::new() }
}

/// The answer to Enqueue.
pub(super) fn enqueued(ones: Vec<EnqueuedOne>) -> v1::Enqueued {
    let results = ones.into_iter().map(|EnqueuedOne { id, what, result }| match what {
        Ok(Stored { seq, state: now, outcome }) => {
            let (outcome, refusal) = self::outcome(outcome);
            enqueued::One {
                outcome: outcome.into(),
                id: bytes(id),
                state: state(now).into(),
                seq,
                error: refusal.map(error),
                result: event::result(result),
            }
        }
        Err(refusal) => enqueued::One {
            outcome: enqueued::Outcome::Rejected.into(),
            error: Some(error(*refusal)),
            ..enqueued::One::default()
        },
    });
    v1::Enqueued { results: results.collect() }
}

fn outcome(outcome: Outcome) -> (enqueued::Outcome, Option<Refusal>) {
    match outcome {
        Outcome::Created => (enqueued::Outcome::Created, None),
        Outcome::Duplicate => (enqueued::Outcome::Duplicate, None),
        Outcome::Replaced => (enqueued::Outcome::Replaced, None),
        Outcome::Appended => (enqueued::Outcome::Appended, None),
        Outcome::QueuedAfter => (enqueued::Outcome::QueuedAfter, None),
        Outcome::Rejected(refusal) => (enqueued::Outcome::Rejected, Some(*refusal)),
    }
}

/// The answer to Settle: the engine's answers, with the faults that never reached it at their places.
pub(super) fn settled(ones: &[SettledOne], faults: Faults) -> v1::Settled {
    let mut results = Vec::with_capacity(ones.len() + faults.len());
    let (mut decided, mut faults) = (ones.iter(), faults.into_iter().peekable());
    loop {
        let index = results.len();
        if let Some((_, fault)) = faults.next_if(|(place, _)| *place == index) {
            results.push(settled::One { error: Some(error(fault)), ..settled::One::default() });
        } else if let Some(SettledOne { code, state: now, error: left }) = decided.next() {
            let left = left.as_ref().map(|left| error(at("results", index, (**left).clone())));
            let state = now.map_or(v1::State::Unspecified, state);
            results.push(settled::One { code: settle_code(*code).into(), error: left, state: state.into() });
        } else {
            break;
        }
    }
    v1::Settled { results }
}

/// The answer to Touch.
pub(super) fn touched(ones: &[TouchedOne]) -> v1::Touched {
    let jobs = ones.iter().map(|TouchedOne { code, cancel, reason, ends_in_ms }| touched::One {
        code: settle_code(*code).into(),
        cancel: *cancel,
        reason: (*reason).to_owned(),
        ends_in_ms: *ends_in_ms,
    });
    v1::Touched { jobs: jobs.collect() }
}

/// The answer to Change.
pub(super) fn changed(
    matched: u64,
    changed: u64,
    sample: &[[u8; 16]],
    operation: Option<OperationId>,
) -> v1::Changed {
    let sample = sample.iter().map(|id| Bytes::copy_from_slice(id)).collect();
    let operation = operation.map(|id| Bytes::copy_from_slice(&id.0)).unwrap_or_default();
    v1::Changed { matched, changed, sample, operation }
}

/// The answer to Put.
pub(super) fn stored(ones: Vec<Result<u64, Refusal>>) -> v1::Stored {
    let results = ones.into_iter().map(|one| match one {
        Ok(version) => stored::One { version, error: None },
        Err(refusal) => stored::One { version: 0, error: Some(error(refusal)) },
    });
    v1::Stored { results: results.collect() }
}

/// What a worker should know at once.
pub(super) fn signal(signal: Signal) -> v1::Signal {
    match signal {
        Signal::Cancel { job, fence, reason, ends_in_ms } => v1::Signal {
            r#type: signal::Type::Cancel.into(),
            job: bytes(job),
            fence,
            reason,
            ends_in_ms,
            address: String::new(),
        },
        Signal::LeaseLost { job, fence, reason } => v1::Signal {
            r#type: signal::Type::LeaseLost.into(),
            job: bytes(job),
            fence,
            reason,
            ..v1::Signal::default()
        },
        Signal::Order(order) => v1::Signal { r#type: order_type(order).into(), ..v1::Signal::default() },
        Signal::GoAway => v1::Signal { r#type: signal::Type::Goaway.into(), ..v1::Signal::default() },
    }
}

fn order_type(order: Order) -> signal::Type {
    match order {
        Order::Quiet => signal::Type::Quiet,
        Order::Resume => signal::Type::Resume,
        Order::Terminate => signal::Type::Terminate,
        Order::Dump => signal::Type::Dump,
    }
}

fn bytes(id: JobId) -> Bytes {
    Bytes::copy_from_slice(&id.0)
}

fn settle_code(code: SettleCode) -> v1::SettleCode {
    match code {
        SettleCode::Settled => v1::SettleCode::Settled,
        SettleCode::LeaseLost => v1::SettleCode::LeaseLost,
        SettleCode::AlreadySettled => v1::SettleCode::AlreadySettled,
        SettleCode::UnknownJob => v1::SettleCode::UnknownJob,
        SettleCode::SpawnRejected => v1::SettleCode::SpawnRejected,
    }
}

fn state(state: State) -> v1::State {
    match state {
        State::Held => v1::State::Held,
        State::Scheduled => v1::State::Scheduled,
        State::Blocked => v1::State::Blocked,
        State::Ready => v1::State::Ready,
        State::Leased => v1::State::Leased,
        State::Completed => v1::State::Completed,
        State::Dead => v1::State::Dead,
        State::Cancelled => v1::State::Cancelled,
        State::Expired => v1::State::Expired,
    }
}
