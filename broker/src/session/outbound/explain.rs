//! Explain: why a job is not running, in sentences.

use super::{bytes, state};
use windlass_engine::view::{Cause, ExplainView, LimitCause};
use windlass_proto::v1;
use windlass_proto::v1::explain_view::Reason;

/// What keeps one job.
pub(super) fn explain(view: ExplainView) -> v1::ExplainView {
    let ExplainView { id, state: now, causes, since } = view;
    v1::ExplainView {
        job: bytes(id),
        state: state(now).into(),
        reasons: causes.into_iter().map(reason).collect(),
        since_at_ms: since,
    }
}

fn reason(cause: Cause) -> Reason {
    match cause {
        Cause::Scheduled { for_ms, attempt: 0 } => {
            Reason { for_ms, ..said("scheduled", "waits for its time") }
        }
        Cause::Scheduled { for_ms, attempt } => {
            Reason { for_ms, ..said("scheduled", &format!("waits for its next attempt after {attempt}")) }
        }
        Cause::Held => said("held", "waits to be confirmed"),
        Cause::Blocked { open, of, ids, is_group } => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let first = ids.first().cloned().unwrap_or_default();
            let dots = if ids.len() as u64 == open { "" } else { " …" };
            let what = if is_group { "members" } else { "jobs" };
            let text = format!("waiting for {open} of {of} {what} [{}{dots}]", ids.join(" "));
            Reason { name: first, ahead: open, ..said("blocked", &text) }
        }
        Cause::Draining => said("draining", "nothing starts: the broker is stopping or its disk is full"),
        Cause::Serial { key, behind, state: at, running_ms, ahead } => {
            let at = at.name();
            let text = match running_ms {
                0 => format!("jobs of the key {key} run one at a time, and {behind} before it is {at}"),
                ms => format!(
                    "jobs of the key {key} run one at a time, and {behind} has been running for {ms} ms"
                ),
            };
            Reason { name: behind.to_string(), ahead, ..said("serial", &text) }
        }
        Cause::Limit(limit) => {
            Reason { for_ms: limit.for_ms, name: limit.name.clone(), ..said("limit", &limit_text(&limit)) }
        }
        Cause::NoWorker { queue, kind } => {
            let text = format!("no connected worker runs the kind {kind} from the queue {queue}");
            Reason { name: kind, ..said("no_worker", &text) }
        }
        Cause::NoLabels { labels } => {
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let labels = labels.join(", ");
            Reason {
                name: labels.clone(),
                ..said("no_worker", &format!("no connected worker has the labels {labels}"))
            }
        }
        Cause::Quiet { workers } => {
            let text = format!("all {workers} workers that could run it were told to take no more jobs");
            said("no_worker", &text)
        }
        Cause::NoSlots { workers, slots, cost } => said(
            "no_slots",
            &format!("takes {cost} slots, and none of {workers} workers with {slots} slots has room"),
        ),
        Cause::Suspect { crashes } => {
            let text =
                format!("{crashes} workers were lost with it: it waits for one that runs nothing else");
            said("suspect", &text)
        }
        Cause::Behind { ahead, lanes, higher, level } => {
            let text = format!(
                "{ahead} jobs of its key go before it; {lanes} other keys of priority {level} take turns with it, \
                 and {higher} of a higher one go first"
            );
            Reason { ahead, ..said(if higher > 0 { "priority" } else { "behind" }, &text) }
        }
    }
}

fn limit_text(limit: &LimitCause) -> String {
    let LimitCause {
        name,
        key,
        is_pause,
        is_pushed_back,
        is_broken,
        is_retry,
        is_full,
        why,
        in_use,
        concurrency,
        rate,
        for_ms: _,
    } = limit;
    let of_key = if key.is_empty() { String::new() } else { format!(" for the key {key}") };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    if *is_pause {
        return format!("paused by the limit {name}{why}");
    }
    if *is_pushed_back {
        return format!("a handler has closed the limit {name}{of_key} for a while");
    }
    if *is_broken {
        return format!("the breaker of the limit {name}{of_key} is open: too much has failed");
    }
    if *is_retry {
        return format!(
            "failed before, and retries are at most a share of the starts under the limit {name}{of_key}{why}"
        );
    }
    match (concurrency, rate) {
        (Some(most), _) if *is_full => {
            format!("{in_use} of {most} are in use under the limit {name}{of_key}{why}")
        }
        (_, (rate, per_ms)) => format!("the limit {name}{of_key} lets {rate} start in {per_ms} ms{why}"),
    }
}

fn said(code: &str, text: &str) -> Reason {
    Reason { code: code.to_owned(), text: text.to_owned(), ..Reason::default() }
}
