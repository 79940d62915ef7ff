//! Fetch: a stream, a long poll, or a change of an open stream.

use crate::session::form::{Checked, at, at_most, inside, invalid, name, unset};
use windlass_engine::command::{Batch, Fetch};
use windlass_engine::limits::BATCH_JOBS_MAX;
use windlass_proto::limits::{FETCH_WAIT_MS_MAX, LEASE_MS_MAX, ONCE_MAX, SLOTS_MAX, WEIGHT_MAX};
use windlass_proto::v1;

/// Checks a Fetch.
pub(super) fn fetch(fetch: v1::Fetch) -> Checked<Fetch> {
    if fetch.stream == 0 { open(fetch) } else { change(fetch) }
}

fn open(fetch: v1::Fetch) -> Checked<Fetch> {
    let v1::Fetch { stream, sources, strict, kinds, slots, once, wait_ms, batch, lease_ms, close } = fetch;
    if close {
        return Err(invalid("stream", "close names the stream to close"));
    }
    if sources.is_empty() {
        return Err(invalid("sources", "a Fetch draws from at least one queue"));
    }
    // A single source is strict and weighted alike.
    let is_weighted = !strict && sources.len() > 1;
    let sources: Checked<Vec<(String, u32)>> = sources
        .into_iter()
        .enumerate()
        .map(|(index, source)| self::source(source).map_err(|fault| at("sources", index, fault)))
        .collect();
    let (queues, weights): (Vec<String>, Vec<u32>) = sources?.into_iter().unzip();
    let kinds: Checked<Vec<String>> = kinds
        .into_iter()
        .enumerate()
        .map(|(index, kind)| name(kind, "").map_err(|fault| at("kinds", index, fault)))
        .collect();
    at_most(once.into(), ONCE_MAX.into(), "once")?;
    if once == 0 && !(1..=SLOTS_MAX).contains(&slots) {
        return Err(invalid("slots", format!("a stream has 1 to {SLOTS_MAX} slots")));
    }
    if once == 0 && wait_ms > 0 {
        return Err(invalid("wait_ms", "only a Fetch with once waits for a time"));
    }
    at_most(wait_ms, FETCH_WAIT_MS_MAX, "wait_ms")?;
    at_most(lease_ms, LEASE_MS_MAX, "lease_ms")?;
    let batch = batch.map(|batch| self::batch(batch, if once > 0 { once } else { slots }));
    Ok(Fetch {
        stream,
        queues,
        weights: if is_weighted { weights } else { Vec::new() },
        kinds: kinds?,
        // A long poll is bounded by `once` alone.
        slots: if once > 0 { 0 } else { slots },
        once,
        wait_ms,
        lease_ms: (lease_ms > 0).then_some(lease_ms),
        batch: batch.transpose().map_err(|fault| inside("batch", fault))?,
        close: false,
    })
}

/// What is left out takes what the Fetch has room for.
fn batch(batch: v1::fetch::Batch, room: u32) -> Checked<Batch> {
    let v1::fetch::Batch { min, max, linger_ms, same_key } = batch;
    let (min, max) = (min.max(1), if max == 0 { room.min(BATCH_JOBS_MAX) } else { max });
    if min > 1 && linger_ms == 0 {
        return Err(invalid("linger_ms", "without it nothing waits for `min` jobs"));
    }
    at_most(linger_ms, FETCH_WAIT_MS_MAX, "linger_ms")?;
    Ok(Batch { min, max, linger_ms, same_key })
}

fn source(source: v1::fetch::Source) -> Checked<(String, u32)> {
    let v1::fetch::Source { queue, weight } = source;
    at_most(weight.into(), WEIGHT_MAX.into(), "weight")?;
    Ok((name(queue, "queue")?, weight.max(1)))
}

/// An open stream gets other slots, or its end. Its other settings stand.
fn change(fetch: v1::Fetch) -> Checked<Fetch> {
    // Without sources `strict` says nothing.
    let v1::Fetch { stream, sources, strict: _, kinds, slots, once, wait_ms, batch, lease_ms, close } = fetch;
    unset(&[
        ("sources", !sources.is_empty()),
        ("kinds", !kinds.is_empty()),
        ("once", once > 0),
        ("wait_ms", wait_ms > 0),
        ("batch", batch.is_some()),
        ("lease_ms", lease_ms > 0),
    ])?;
    if !close && !(1..=SLOTS_MAX).contains(&slots) {
        return Err(invalid("slots", format!("a stream has 1 to {SLOTS_MAX} slots")));
    }
    Ok(Fetch {
        stream,
        queues: Vec::new(),
        weights: Vec::new(),
        kinds: Vec::new(),
        slots,
        once: 0,
        wait_ms: 0,
        lease_ms: None,
        batch: None,
        close,
    })
}
