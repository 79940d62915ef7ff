//! What keeps a job, in the words of scenarios: a few exact words for each cause.

use crate::speech::{name, optional, say_ms};
use windlass_engine::ids::Ms;
use windlass_engine::view::{Cause, ExplainView, LimitCause};

/// `a ready since 5s: limit stripe rate 1/1s for 900ms`.
pub(crate) fn say_explain(row: &ExplainView, now: Ms) -> String {
    let causes: Vec<String> = row.causes.iter().map(say_cause).collect();
    let causes = if causes.is_empty() { "nothing".into() } else { causes.join(", ") };
    let since = say_ms(now.saturating_sub(row.since));
    format!("{} {} since {since}: {causes}", name(row.id), row.state.name())
}

fn say_cause(cause: &Cause) -> String {
    match cause {
        Cause::Held => "held".into(),
        Cause::Scheduled { for_ms, attempt } => {
            let mut text = String::from("scheduled");
            optional(&mut text, *attempt > 0, || format!("after attempt {attempt}"));
            optional(&mut text, true, || format!("for {}", say_ms(*for_ms)));
            text
        }
        Cause::Blocked { open, of, ids, is_group } => {
            let ids: Vec<String> = ids.iter().map(|id| name(*id)).collect();
            let what = if *is_group { "members" } else { "jobs" };
            format!("waiting for {open} of {of} {what} [{}]", ids.join(" "))
        }
        Cause::Draining => "draining".into(),
        Cause::Serial { key, behind, state, running_ms, ahead } => {
            let mut text = format!("serial {key} behind {} {}", name(*behind), state.name());
            optional(&mut text, *running_ms > 0, || format!("running {}", say_ms(*running_ms)));
            optional(&mut text, true, || format!("ahead={ahead}"));
            text
        }
        Cause::Limit(limit) => say_limit(limit),
        Cause::NoWorker { queue, kind } => format!("no worker for {kind} of {queue}"),
        Cause::NoLabels { labels } => {
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}:{value}")).collect();
            format!("no labels {}", labels.join("+"))
        }
        Cause::Quiet { workers } => format!("quiet workers={workers}"),
        Cause::NoSlots { workers, slots, cost } => {
            format!("no slots workers={workers} slots={slots} cost={cost}")
        }
        Cause::Suspect { crashes } => format!("suspect crashes={crashes}"),
        Cause::Behind { ahead, lanes, higher, level } => {
            format!("behind {ahead} lanes={lanes} higher={higher} level={level}")
        }
    }
}

fn say_limit(limit: &LimitCause) -> String {
    let mut text = format!("limit {}", limit.name);
    optional(&mut text, !limit.key.is_empty(), || format!("of {}", limit.key));
    optional(&mut text, limit.is_pause, || "paused".into());
    optional(&mut text, limit.is_pushed_back, || "pushed back".into());
    optional(&mut text, limit.is_broken, || "broken".into());
    optional(&mut text, limit.is_retry, || "retries".into());
    let (rate, per_ms) = limit.rate;
    let is_timed = !limit.is_full && !limit.is_pushed_back && !limit.is_broken && !limit.is_retry;
    optional(&mut text, rate > 0 && is_timed, || format!("rate {rate}/{}", say_ms(per_ms)));
    let most = limit.concurrency.filter(|_| limit.is_full && !limit.is_pause);
    optional(&mut text, most.is_some(), || format!("{} of {}", limit.in_use, most.unwrap_or_default()));
    optional(&mut text, !limit.why.is_empty(), || format!("'{}'", limit.why));
    optional(&mut text, limit.for_ms > 0, || format!("for {}", say_ms(limit.for_ms)));
    text
}
