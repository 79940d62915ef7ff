//! Resources: what was Put, as it is told again.

use windlass_engine::command::Scope;
use windlass_engine::limit::Limit;
use windlass_engine::policy::{Backoff, Ordering, Policy};
use windlass_engine::queue_conf::{Dispatch, QueueConf};
use windlass_engine::sink::Sink;
use windlass_proto::v1::{self, backoff::Shape};

/// A limit, with what it bounds.
pub(super) fn limit(limit: Limit, scope: Scope) -> v1::Limit {
    let Limit {
        queue: _,
        kind: _,
        key: _,
        per_key,
        concurrency,
        rate,
        per_ms,
        burst,
        until_at,
        why,
        breaker,
        retry_permille,
    } = limit;
    let Scope { queue, kind, key } = scope;
    v1::Limit {
        queue,
        kind,
        key,
        per_key,
        concurrency,
        rate,
        per_ms,
        burst,
        until_at_ms: until_at,
        why,
        breaker_failure_permille: breaker.map_or(0, |breaker| breaker.failure_permille),
        breaker_min_samples: breaker.map_or(0, |breaker| breaker.min_samples),
        breaker_open_ms: breaker.map_or(0, |breaker| breaker.open_ms),
        breaker_probes: breaker.map_or(0, |breaker| breaker.probes),
        retry_permille,
    }
}

/// A sink, without its secrets.
pub(super) fn sink(sink: Sink) -> v1::Sink {
    let Sink { url, secret: _, former: _, names, queue, kind, key } = sink;
    let is_of_all = [&queue, &kind, &key].into_iter().all(String::is_empty);
    let select = (!is_of_all).then(|| v1::Selector { queue, kind, key, ..v1::Selector::default() });
    v1::Sink { url, secret: String::new(), names, select }
}

/// The configuration of a queue.
pub(super) fn queue_conf(conf: &QueueConf) -> v1::QueueConf {
    let QueueConf { policy, dispatch, fair_every, keep_bytes, slo_ms } = conf;
    v1::QueueConf {
        policy: (*policy != Policy::default()).then(|| self::policy(policy)),
        dispatch: match dispatch {
            Dispatch::LongestIdle => v1::queue_conf::Dispatch::Unspecified,
            Dispatch::Random => v1::queue_conf::Dispatch::Random,
        }
        .into(),
        fair_every: *fair_every,
        keep_bytes: *keep_bytes,
        slo_ms: *slo_ms,
        ..v1::QueueConf::default()
    }
}

/// A policy.
pub(super) fn policy(policy: &Policy) -> v1::Policy {
    let Policy {
        priority,
        max_attempts,
        backoff,
        max_crashes,
        lease_ms,
        timeout_ms,
        stall_ms,
        ttl_ms,
        keep_done_ms,
        keep_dead_ms,
        keep_done_max,
        cost,
        ordering,
    } = policy.clone();
    v1::Policy {
        priority: priority.map(u32::from),
        max_attempts,
        backoff: backoff.map(self::backoff),
        max_crashes,
        lease_ms,
        timeout_ms,
        stall_ms,
        ttl_ms,
        keep_done_ms,
        keep_dead_ms,
        keep_done_max,
        cost,
        ordering: ordering.map(|ordering| self::ordering(ordering).into()),
    }
}

fn ordering(ordering: Ordering) -> v1::Ordering {
    match ordering {
        Ordering::Fair => v1::Ordering::Fair,
        Ordering::Serial => v1::Ordering::Serial,
        Ordering::SerialSkipFailed => v1::Ordering::SerialSkipFailed,
    }
}

fn backoff(backoff: Backoff) -> v1::Backoff {
    let Backoff { base_ms, factor_permille, max_ms, jitter_permille, list_ms } = backoff;
    let shape = match (list_ms.is_empty(), factor_permille) {
        (false, _) => Shape::List,
        (true, 1_000) => Shape::Fixed,
        (true, _) => Shape::Exponential,
    };
    v1::Backoff {
        shape: shape.into(),
        base_ms,
        factor_permille,
        max_ms,
        jitter_permille: Some(jitter_permille),
        list_ms,
    }
}
