//! Settle: how runs ended. Each result stands for itself, so a fault in one does not keep the others
//! from being settled.

use super::enqueue::job_specs;
use super::{Rules, touch};
use crate::session::form::{Checked, at, cut, invalid, job_id, optional_name, reason, text, too_large};
use crate::session::passive;
use crate::session::window::Faults;
use windlass_engine::command::{ErrorNote, How, Settlement, Throttle};
use windlass_proto::limits::{
    FAIL_KIND_BYTES_MAX, FAIL_MESSAGE_BYTES_MAX, FAIL_TRACE_BYTES_MAX, JOBS_PER_FRAME_MAX, RETRY_MS_MAX,
    TEXT_BYTES_MAX,
};
use windlass_proto::v1::{self, result};

/// The results that the engine is to decide, and the faults of the others by their place.
pub(super) fn settle(settle: v1::Settle, rules: Rules) -> Checked<(Vec<Settlement>, Faults)> {
    let v1::Settle { results } = settle;
    if results.is_empty() {
        return Err(invalid("results", "a Settle brings at least one result"));
    }
    let mut settlements = Vec::with_capacity(results.len());
    let mut faults = Vec::new();
    let mut spawned = 0;
    for (index, result) in results.into_iter().enumerate() {
        match settlement(result, rules) {
            Ok(mut settlement) => {
                bound(&mut settlement, &mut spawned);
                settlements.push(settlement);
            }
            Err(fault) => faults.push((index, at("results", index, fault))),
        }
    }
    Ok((settlements, faults))
}

/// All runs of a request are followed by as many jobs as one Enqueue may bring.
fn bound(settlement: &mut Settlement, spawned: &mut usize) {
    let Some(spawn) = &mut settlement.spawn else { return };
    *spawned += spawn.as_ref().as_ref().map_or(0, Vec::len);
    if *spawned > JOBS_PER_FRAME_MAX {
        let message =
            format!("a request spawns at most {JOBS_PER_FRAME_MAX} jobs; settle fewer runs at a time");
        **spawn = Err(too_large("spawn", message));
    }
}

fn settlement(result: v1::Result, rules: Rules) -> Checked<Settlement> {
    let v1::Result { id, fence, how, spawn, checkpoint } = result;
    let id = job_id(&id, "id")?;
    let checkpoint = checkpoint.map(touch::checkpoint).transpose()?.map(Box::new);
    let how = match how {
        None => return Err(invalid("how", "a result says how the run ended")),
        Some(result::How::Complete(complete)) => {
            How::Complete(passive::pack_result(complete, rules.payload_bytes_max)?)
        }
        Some(result::How::Fail(fail)) => failure(fail),
        Some(result::How::Release(release)) => self::release(release)?,
        Some(result::How::Cancelled(v1::Cancelled { note })) => How::Cancelled { note: reason(note) },
    };
    // What is wrong with a job that follows is told when the lease is known to stand.
    let spawn = (!spawn.is_empty()).then(|| {
        let jobs = job_specs("spawn", spawn, false, rules);
        Box::new(jobs.and_then(|jobs| jobs.into_iter().collect()))
    });
    Ok(Settlement { id, fence, how, checkpoint, spawn })
}

/// Texts over their bounds are cut and times over a year count as one: the run is over, and nothing
/// would be won by refusing to hear how it ended.
fn failure(fail: v1::Fail) -> How {
    let v1::Fail { kind, message, trace, fatal, retry_after_ms } = fail;
    let error = Box::new(ErrorNote {
        kind: cut(kind, FAIL_KIND_BYTES_MAX),
        message: cut(message, FAIL_MESSAGE_BYTES_MAX),
        trace: cut(trace, FAIL_TRACE_BYTES_MAX),
    });
    How::Fail { error, fatal, retry_after_ms: retry_after_ms.map(|ms| ms.min(RETRY_MS_MAX)) }
}

fn release(release: v1::Release) -> Checked<How> {
    let v1::Release { delay_ms, reason: why, throttle_limit, throttle_key, throttle_ms } = release;
    let throttle = match (optional_name(throttle_limit, "release.throttle_limit")?, throttle_ms) {
        (limit, 0) if limit.is_empty() && !throttle_key.is_empty() => {
            return Err(invalid("release.throttle_key", "a key of a limit, and no limit is named"));
        }
        (limit, 0) if limit.is_empty() => None,
        (limit, _) if limit.is_empty() => {
            return Err(invalid("release.throttle_limit", "throttle_ms closes a limit, and none is named"));
        }
        (_, 0) => return Err(invalid("release.throttle_ms", "say how long the limit is to be closed")),
        (limit, ms) => {
            let key = text(throttle_key, TEXT_BYTES_MAX, "release.throttle_key")?;
            Some(Box::new(Throttle { limit, key, ms }))
        }
    };
    Ok(How::Release { delay_ms: delay_ms.min(RETRY_MS_MAX), reason: reason(why), throttle })
}
