//! Schedules: what was Put, as it is told again, and how far they have come.

use super::super::passive::{self, Passive};
use super::super::words::Word;
use super::bytes;
use super::resource::policy;
use ::bytes::Bytes;
use windlass_engine::command::{Dedup, DedupUntil, JobSpec, OnConflict, Wishes};
use windlass_engine::policy::Policy;
use windlass_engine::schedule::{Calendar, Progress, Schedule};
use windlass_engine::terms::{Gate, Terms};
use windlass_engine::view::ScheduleView;
use windlass_proto::v1::{self, dedup};

/// A row.
pub(super) fn view(view: ScheduleView) -> v1::ScheduleView {
    let ScheduleView { name, schedule, version, progress } = view;
    let Progress { cursor: _, next, last_at, last_job, last_seq: _, runs, skipped, failures, waiting: _ } =
        progress;
    v1::ScheduleView {
        name,
        schedule: Some(self::schedule(schedule)),
        version,
        next_at_ms: next,
        last_at_ms: last_at,
        last_job: if last_at > 0 { bytes(last_job) } else { Bytes::new() },
        runs_total: runs,
        skipped_total: skipped,
        failures,
    }
}

/// A schedule, as Put takes it.
pub(super) fn schedule(schedule: Schedule) -> v1::Schedule {
    let Schedule {
        calendar,
        jitter_ms,
        job,
        overlap,
        catch_up,
        catch_up_window_ms,
        catch_up_max,
        max_runs,
        paused,
        pause_after_failures,
    } = schedule;
    let Calendar { cron, tz, every_ms, anchor_at, start_at, end_at } = calendar;
    v1::Schedule {
        cron,
        tz,
        every_ms,
        anchor_at_ms: anchor_at,
        jitter_ms,
        job: Some(template(job)),
        overlap: overlap.said().into(),
        catch_up: catch_up.said().into(),
        catch_up_window_ms,
        catch_up_max,
        start_at_ms: start_at,
        end_at_ms: end_at,
        max_runs,
        paused,
        pause_after_failures,
    }
}

/// The job that a tick enqueues, as Enqueue takes it.
fn template(spec: JobSpec) -> v1::JobSpec {
    let JobSpec { id: _, queue, kind, key, payload, headers, run_at: _, wishes } = spec;
    let Wishes { expires_at: _, terms, gate, dedup, hold: _, flow: _, tick: _ } =
        wishes.map(|it| *it).unwrap_or_default();
    let Passive { content_type, content_encoding, headers } =
        passive::unpack_job(&Bytes::from_owner(headers));
    let Terms { policy: own, weight, tags } = terms;
    let Gate { limits, need_labels } = gate;
    v1::JobSpec {
        queue,
        kind,
        key,
        payload: Bytes::from_owner(payload),
        policy: (own != Policy::default()).then(|| policy(&own)),
        weight,
        tags,
        limits,
        need_labels: need_labels.into_iter().collect(),
        dedup: dedup.map(|dedup| self::dedup(*dedup)),
        content_type,
        content_encoding,
        headers,
        ..v1::JobSpec::default()
    }
}

fn dedup(dedup: Dedup) -> v1::Dedup {
    let Dedup { key, whole_namespace, until, on_conflict, payload_bytes_max: _ } = dedup;
    let (until, window_ms) = match until {
        DedupUntil::Finish => (dedup::Until::Finish, 0),
        DedupUntil::Start => (dedup::Until::Start, 0),
        DedupUntil::Window(ms) => (dedup::Until::Window, ms),
    };
    let on_conflict = match on_conflict {
        OnConflict::KeepOld => dedup::OnConflict::KeepOld,
        OnConflict::Replace => dedup::OnConflict::Replace,
        OnConflict::RunAfter => dedup::OnConflict::RunAfter,
        OnConflict::CancelRunning => dedup::OnConflict::CancelRunning,
        OnConflict::Reject => dedup::OnConflict::Reject,
        OnConflict::Append => dedup::OnConflict::Append,
    };
    v1::Dedup { key, whole_namespace, until: until.into(), window_ms, on_conflict: on_conflict.into() }
}
