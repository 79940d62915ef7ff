//! Change: mutations of jobs that are named by their ids.

use super::{Rules, selection};
use crate::session::form::{Checked, at_most, invalid, reason, unset, unsupported};
use windlass_engine::command::{Change, Mutation};
use windlass_proto::limits::{CANCEL_GRACE_MS_DEFAULT, CANCEL_GRACE_MS_MAX, DELAY_MS_MAX};
use windlass_proto::v1::{self, change::To};

/// Checks a Change.
pub(super) fn change(change: v1::Change, rules: Rules) -> Checked<Change> {
    let v1::Change { select, max, dry_run, per_second, stop_failure_permille, reason: why, operation, to } =
        change;
    unset(&[
        ("per_second", per_second > 0),
        ("stop_failure_permille", stop_failure_permille > 0),
        ("operation", !operation.is_empty()),
    ])?;
    let to = mutation(to, rules)?;
    let select = selection::selection(select, rules.now_ms)?;
    if select.is_empty() {
        return Err(invalid("select", "a Change says which jobs"));
    }
    select.only(&["ids"])?;
    let ids = select.select.ids;
    // As many as there are ids is no bound at all.
    unset(&[("max", max > 0 && max < ids.len() as u64)])?;
    if !why.is_empty() && !dry_run {
        tracing::info!(jobs = ids.len(), reason = reason(why), "change");
    }
    Ok(Change { ids, dry_run, to })
}

fn mutation(to: Option<To>, rules: Rules) -> Checked<Mutation> {
    match to {
        None => Err(invalid("to", "a Change says what to do")),
        Some(To::Retry(v1::Retry { reset_attempts, spread_ms })) => {
            unset(&[("retry.spread_ms", spread_ms > 0)])?;
            Ok(Mutation::Retry { reset_attempts })
        }
        Some(To::Cancel(v1::Cancel { why, grace_ms, dependents })) => {
            unset(&[("cancel.dependents", dependents)])?;
            let grace_ms = match at_most(grace_ms, CANCEL_GRACE_MS_MAX, "cancel.grace_ms")? {
                0 => CANCEL_GRACE_MS_DEFAULT,
                grace_ms => grace_ms,
            };
            Ok(Mutation::Cancel { why: reason(why), grace_ms })
        }
        Some(To::Delete(v1::Delete {})) => Ok(Mutation::Delete),
        Some(To::RunAt(v1::RunAt { run_at_ms })) => {
            let most = rules.now_ms.saturating_add(DELAY_MS_MAX);
            Ok(Mutation::RunAt(at_most(run_at_ms, most, "run_at.run_at_ms")?))
        }
        Some(To::Move(v1::Move { .. })) => Err(unsupported("move")),
        Some(To::Patch(v1::Patch { .. })) => Err(unsupported("patch")),
        Some(To::Bury(v1::Bury {})) => Err(unsupported("bury")),
        Some(To::Confirm(v1::Confirm {})) => Err(unsupported("confirm")),
        Some(To::Tell(v1::Tell { .. })) => Err(unsupported("tell")),
        Some(To::Stop(v1::Stop {})) => Err(unsupported("stop")),
    }
}
