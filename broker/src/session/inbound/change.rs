//! Change: mutations of the jobs that a selector means.

use super::enqueue::tags;
use super::policy::policy;
use super::{Rules, selection, spoken, tell};
use crate::session::form::{Checked, at, at_most, inside, invalid, name, reason, text, too_large, within};
use windlass_engine::OperationId;
use windlass_engine::command::{Change, Mutation, Pace, Patch, Tell};
use windlass_engine::{Command, policy::Policy};
use windlass_proto::limits::{
    CANCEL_GRACE_MS_DEFAULT, CANCEL_GRACE_MS_MAX, DELAY_MS_MAX, ID_BYTES, TEXT_BYTES_MAX,
};
use windlass_proto::v1::{self, change::To};

/// Checks a Change.
pub(super) fn change(change: v1::Change, rules: Rules) -> Checked<Command> {
    let v1::Change { select, max, dry_run, per_second, stop_failure_permille, reason: why, operation, to } =
        change;
    let operation = operation_id(&operation)?;
    let paces = [("per_second", per_second > 0), ("stop_failure_permille", stop_failure_permille > 0)];
    if let Some(To::Stop(v1::Stop {})) = to {
        let id = operation.ok_or_else(|| invalid("operation", "say which change is to stop"))?;
        let others = [("select", select.is_some()), ("max", max > 0), ("dry_run", dry_run)];
        meaningless(&others, "a change that stops is named by its operation alone")?;
        meaningless(&paces, "a change stops at once")?;
        return Ok(Command::Stop { id, reason: reason(why) });
    }
    within(Some(stop_failure_permille), 0..=1_000, "stop_failure_permille")?;
    if let Some(To::Tell(words)) = to {
        meaningless(&[("operation", operation.is_some())], "sessions may be told twice; leave it out")?;
        meaningless(&paces, "that is for changes of jobs; sessions are told `within_ms`")?;
        let select = selection::selection(select, rules.now_ms)?;
        let tell = Tell { dry_run, max, reason: reason(why), ..tell::tell(words, &select)? };
        return Ok(Command::Tell(Box::new(tell)));
    }
    let to = mutation(to, rules)?;
    let target = select.as_ref().map(spoken::words).unwrap_or_default();
    let select = selection::selection(select, rules.now_ms)?;
    if select.is_empty() {
        return Err(invalid("select", "say which jobs, or set `all`"));
    }
    let runs_again = matches!(to, Mutation::Retry { .. } | Mutation::RunAt(_) | Mutation::Move(_));
    if stop_failure_permille > 0 && !runs_again {
        return Err(invalid("stop_failure_permille", "only jobs that run again can fail again"));
    }
    let is_paced =
        per_second > 0 || stop_failure_permille > 0 || matches!(to, Mutation::Retry { spread_ms: 1.., .. });
    if is_paced && operation.is_none() && !dry_run {
        return Err(invalid("operation", "a change at a pace goes on in the background, so it needs an id"));
    }
    let pace = Pace { per_second, stop_failure_permille };
    let reason = reason(why);
    let select = select.select;
    Ok(Command::Change(Box::new(Change { select, to, dry_run, max, pace, operation, reason, target })))
}

/// Refuses the first field that is set and has no meaning here.
fn meaningless(fields: &[(&str, bool)], why: &str) -> Checked<()> {
    match fields.iter().find(|(_, is_set)| *is_set) {
        Some((field, _)) => Err(invalid(field, why)),
        None => Ok(()),
    }
}

/// The id of a bulk change, if one was given.
fn operation_id(bytes: &[u8]) -> Checked<Option<OperationId>> {
    match <[u8; ID_BYTES]>::try_from(bytes) {
        Ok(id) => Ok(Some(OperationId(id))),
        Err(_) if bytes.is_empty() => Ok(None),
        Err(_) => Err(invalid("operation", "the id of a change is 16 bytes")),
    }
}

fn mutation(to: Option<To>, rules: Rules) -> Checked<Mutation> {
    match to {
        None => Err(invalid("to", "a Change says what to do")),
        Some(To::Retry(v1::Retry { reset_attempts, spread_ms })) => {
            let spread_ms = at_most(spread_ms, DELAY_MS_MAX, "retry.spread_ms")?;
            Ok(Mutation::Retry { reset_attempts, spread_ms })
        }
        Some(To::Cancel(v1::Cancel { why, grace_ms, dependents })) => {
            let grace_ms = match at_most(grace_ms, CANCEL_GRACE_MS_MAX, "cancel.grace_ms")? {
                0 => CANCEL_GRACE_MS_DEFAULT,
                grace_ms => grace_ms,
            };
            Ok(Mutation::Cancel { why: reason(why), grace_ms, dependents })
        }
        Some(To::Delete(v1::Delete {})) => Ok(Mutation::Delete),
        Some(To::RunAt(v1::RunAt { run_at_ms })) => {
            let most = rules.now_ms.saturating_add(DELAY_MS_MAX);
            Ok(Mutation::RunAt(at_most(run_at_ms, most, "run_at.run_at_ms")?))
        }
        Some(To::Move(v1::Move { queue })) => Ok(Mutation::Move(name(queue, "move.queue")?)),
        Some(To::Patch(patch)) => self::patch(patch, rules)
            .map(Box::new)
            .map(Mutation::Patch)
            .map_err(|fault| inside("patch", fault)),
        Some(To::Bury(v1::Bury {})) => Ok(Mutation::Bury),
        Some(To::Confirm(v1::Confirm {})) => Ok(Mutation::Confirm),
        Some(To::Tell(_) | To::Stop(v1::Stop {})) => {
            Err(invalid("to", "that is done to sessions and changes, not to jobs"))
        }
    }
}

fn patch(patch: v1::Patch, rules: Rules) -> Checked<Patch> {
    let v1::Patch { payload, policy, key, add_tags, remove_tags } = patch;
    let is_empty = payload.is_none()
        && policy.is_none()
        && key.is_none()
        && add_tags.is_empty()
        && remove_tags.is_empty();
    if is_empty {
        return Err(invalid("", "say what is to change"));
    }
    if payload.as_ref().is_some_and(|payload| payload.len() > rules.payload_bytes_max) {
        return Err(too_large("payload", format!("a payload has at most {} bytes", rules.payload_bytes_max)));
    }
    if let Some(index) = remove_tags.iter().position(|tag| add_tags.contains(tag)) {
        return Err(at("remove_tags", index, invalid("", "the same tag is added")));
    }
    Ok(Patch {
        payload: payload.map(|payload| (&*payload).into()),
        policy: match policy {
            Some(policy) => self::policy(policy).map_err(|fault| inside("policy", fault))?,
            None => Policy::default(),
        },
        key: key.map(|key| text(key, TEXT_BYTES_MAX, "key")).transpose()?,
        add_tags: tags(add_tags, "add_tags")?,
        remove_tags: tags(remove_tags, "remove_tags")?,
    })
}
