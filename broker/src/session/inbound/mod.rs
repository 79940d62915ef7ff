//! From the wire to the engine: each request becomes a command, checked in form, or a refusal.
//!
//! Messages are taken apart field by field, without a rest pattern, so that a field that joins the
//! schema does not compile until somebody decides what becomes of it. What this broker does not do is
//! refused with its field and never ignored.

mod change;
mod clock;
mod enqueue;
mod fetch;
mod flow;
mod limit;
mod policy;
mod put;
mod query;
mod schedule;
mod selection;
mod settle;
mod sink;
mod spoken;
mod tell;
mod touch;
mod unique;
mod watch;

pub(super) use schedule::TICK;

use super::form::Checked;
use super::window::Open;
use windlass_engine::Command;
use windlass_proto::v1::Bye;
use windlass_proto::v1::client_frame::Request;

/// What the translation has to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Largest payload and result.
    pub(super) payload_bytes_max: usize,
    /// The broker's clock, for what the client says as a duration.
    pub(super) now_ms: u64,
}

/// Translates any request but Hello; with the command comes what its answer will need.
pub(super) fn command(request: Request, rules: Rules) -> Checked<(Command, Open)> {
    let command = match request {
        Request::Enqueue(enqueue) => Command::Enqueue(enqueue::enqueue(enqueue, rules)?),
        Request::Fetch(fetch) => {
            let fetch = fetch::fetch(fetch)?;
            let is_stream = fetch.stream == 0 && fetch.once == 0;
            return Ok((Command::Fetch(Box::new(fetch)), Open { is_stream, ..Open::default() }));
        }
        Request::Settle(settle) => {
            let (results, faults) = settle::settle(settle, rules)?;
            return Ok((Command::Settle(results), Open { faults, ..Open::default() }));
        }
        Request::Touch(touch) => Command::Touch(touch::touch(touch)?),
        Request::Change(change) => change::change(change, rules)?,
        Request::Query(query) => Command::Query(query::query(query, rules)?),
        Request::Put(put) => Command::Put(put::put(put, rules)?),
        Request::AdvanceClock(advance) => Command::AdvanceClock(clock::advance(advance, rules)?),
        Request::Bye(Bye { keep_leases }) => Command::Bye { keep_leases },
        Request::Watch(watch) => {
            let watch = watch::watch(watch, rules)?;
            let is_stream = watch.stream == 0;
            return Ok((Command::Watch(Box::new(watch)), Open { is_stream, ..Open::default() }));
        }
        Request::Hello(_) => return Err(super::hello::again()),
    };
    Ok((command, Open::default()))
}
