//! Kinds, figures for scaling and courses over time on the wire.

use super::resource::policy;
use windlass_engine::ledger::job::State;
use windlass_engine::view::{KindView, ScaleView, SeriesView};
use windlass_proto::v1;

pub(super) fn kind(view: KindView) -> v1::KindView {
    let KindView { name, counts, completed, failed, streams, conf } = view;
    let count = |state: State| counts[state.index()];
    let (version, conf) = match conf {
        Some((version, body)) => (version, body.policy().map(policy)),
        None => (0, None),
    };
    v1::KindView {
        name,
        ready: count(State::Ready),
        leased: count(State::Leased),
        scheduled: count(State::Scheduled),
        dead: count(State::Dead),
        completed_total: completed,
        failed_total: failed,
        streams,
        policy: conf,
        version,
    }
}

pub(super) fn scale(view: ScaleView) -> v1::ScaleView {
    let ScaleView {
        id: _,
        name,
        ready,
        leased,
        slots,
        streams: _,
        window_ms: _,
        backlog_ms,
        desired_workers,
    } = view;
    let load_permille = (ready + leased).saturating_mul(1_000) / slots.max(1);
    v1::ScaleView { queue: name, ready, leased, slots, load_permille, backlog_ms, desired_workers }
}

pub(super) fn series(view: SeriesView) -> v1::SeriesView {
    let SeriesView { metric, queue, namespace: _, start_at, step_ms, window_ms: _, values } = view;
    v1::SeriesView {
        metric: metric.name().to_owned(),
        queue: queue.map(|(_, name)| name).unwrap_or_default(),
        start_at_ms: start_at,
        step_ms,
        values,
    }
}
