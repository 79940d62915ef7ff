//! Words about jobs to enqueue and about their policies.

use super::{Words, bytes_of, duration, pairs};
use crate::world::DAWN;
use windlass_engine::command::{
    After, Code, Dedup, DedupUntil, Enqueue, Flow, Hold, JobSpec, OnConflict, Refusal, Wishes,
};
use windlass_engine::flow::{DepPolicy, On};
use windlass_engine::ids::{JobId, Ms};
use windlass_engine::policy::{Backoff, Ordering, Policy};
use windlass_engine::schedule::TickOf;
use windlass_engine::terms::{Gate, Terms};

pub(super) fn enqueue_words<'a>(now: Ms, rest: &'a str, outer: &mut Words<'a>) -> Enqueue {
    *outer = Words::default();
    let mut partial = false;
    let mut wait_ms = None;
    let mut jobs = Vec::new();
    for part in rest.split(" / ") {
        let mut words = Words::of(part);
        partial |= words.flag("partial");
        wait_ms = wait_ms.or(words.ms("wait"));
        if words.flag("bad") {
            jobs.push(Err(Refusal::new(Code::Invalid, "queue", "malformed")));
            continue;
        }
        let common = spec_words(now, &mut words);
        jobs.extend(words.ids().into_iter().map(|id| Ok(JobSpec { id, ..common.clone() })));
        words.finish(part);
    }
    Enqueue { jobs, partial, wait_ms }
}

pub(super) fn spec_words(now: Ms, words: &mut Words<'_>) -> JobSpec {
    let delay = words.ms("delay").map(|ms| ms.saturating_add(now));
    JobSpec {
        id: JobId([0; 16]),
        queue: words.text("queue", "mail"),
        kind: if words.flag("group") { String::new() } else { words.text("kind", "send") },
        key: words.text("key", ""),
        payload: vec![b'p'; words.number("payload").unwrap_or(0) as usize].into(),
        headers: windlass_engine::Blob::default(),
        run_at: words.ms("run_at").map(|ms| ms.saturating_add(DAWN)).or(delay).unwrap_or(0),
        wishes: Some(Box::new(wish_words(words))),
    }
}

fn wish_words(words: &mut Words<'_>) -> Wishes {
    Wishes {
        expires_at: words.ms("expires_at").map_or(0, |ms| ms.saturating_add(DAWN)),
        terms: Terms {
            tags: words.list("tags", ""),
            weight: words.number("weight").unwrap_or(0),
            policy: policy_words(words),
        },
        gate: Gate { limits: words.list("limits", ""), need_labels: pairs(&words.list("needs", "")) },
        hold: hold_words(words),
        dedup: dedup_words(words),
        flow: flow_words(words),
        tick: words
            .values
            .remove("tick_of")
            .and_then(|tick| tick.split_once('@'))
            .map(|(schedule, at)| TickOf { schedule: schedule.into(), at: DAWN + duration(at) }),
    }
}

/// `after=a,b:failure deps=run`, and `in=g` for a member of a group.
fn flow_words(words: &mut Words<'_>) -> Option<Box<Flow>> {
    let named = words.list("after", "");
    let after = named.iter().map(|word| {
        let (job, on) = word.split_once(':').unwrap_or((word, "success"));
        let on = match on {
            "success" => On::Success,
            "finish" => On::Finish,
            "failure" => On::Failure,
            other => panic!("{other} is no end"),
        };
        After { job: JobId(bytes_of(job)), on }
    });
    let after: Vec<After> = after.collect();
    let group = words.values.remove("in").map(|group| JobId(bytes_of(group)));
    let policy = words.values.remove("deps").map(|word| match word {
        "cancel" => DepPolicy::AllOrCancel,
        "hold" => DepPolicy::AllOrHold,
        "run" => DepPolicy::AllOrRun,
        "any" => DepPolicy::Any,
        other => panic!("{other} is no way to depend"),
    });
    let is_tied = !after.is_empty() || group.is_some() || policy.is_some();
    is_tied.then(|| Box::new(Flow { after, policy: policy.unwrap_or_default(), group }))
}

/// `hold=1h`, `hold=1h then_run`.
fn hold_words(words: &mut Words<'_>) -> Option<Hold> {
    let ttl_ms = words.ms("hold")?;
    Some(Hold { ttl_ms, then_run: words.flag("then_run") })
}

/// `dedup=x`, with `until=start` or `until=30s`, `conflict=replace`, and `whole` for the namespace.
fn dedup_words(words: &mut Words<'_>) -> Option<Box<Dedup>> {
    let key = words.values.remove("dedup")?.into();
    let until = match words.values.remove("until") {
        None => DedupUntil::Finish,
        Some("start") => DedupUntil::Start,
        Some(window) => DedupUntil::Window(duration(window)),
    };
    let on_conflict = match words.text("conflict", "keep").as_str() {
        "keep" => OnConflict::KeepOld,
        "replace" => OnConflict::Replace,
        "after" => OnConflict::RunAfter,
        "cancel" => OnConflict::CancelRunning,
        "reject" => OnConflict::Reject,
        "append" => OnConflict::Append,
        other => panic!("{other} is no way to solve a conflict"),
    };
    let (whole_namespace, payload_bytes_max) = (words.flag("whole"), 1_000);
    Some(Box::new(Dedup { key, whole_namespace, until, on_conflict, payload_bytes_max }))
}

pub(super) fn policy_words(words: &mut Words<'_>) -> Policy {
    Policy {
        priority: words.number("priority").map(|level| u8::try_from(level).expect("a small number")),
        max_attempts: words.number("attempts"),
        backoff: words.values.remove("backoff").map(|text| {
            // base, base*2, or base*2..max
            let (text, max) = text.split_once("..").unwrap_or((text, "366d"));
            let (base, factor) = text.split_once('*').unwrap_or((text, "1"));
            let factor: u32 = factor.parse().expect("a factor");
            let (base_ms, max_ms) = (duration(base), duration(max));
            let jitter_permille = words.number("jitter").unwrap_or(0);
            let list_ms = words.list("then", "").iter().map(|text| duration(text)).collect();
            Backoff { base_ms, factor_permille: factor * 1_000, max_ms, jitter_permille, list_ms }
        }),
        max_crashes: words.number("max_crashes"),
        lease_ms: words.ms("lease"),
        timeout_ms: words.ms("timeout"),
        stall_ms: words.ms("stall"),
        ttl_ms: words.ms("ttl"),
        keep_done_ms: words.ms("keep_done"),
        keep_dead_ms: words.ms("keep_dead"),
        keep_done_max: words.number("keep_done_max"),
        cost: words.number("cost"),
        ordering: words.values.remove("ordering").map(|word| match word {
            "serial" => Ordering::Serial,
            "skip" => Ordering::SerialSkipFailed,
            _ => Ordering::Fair,
        }),
    }
}
