//! Rows: how each noun of the broker looks from outside.

use super::super::{cursor, passive};
use super::explain;
use super::log;
use super::measure;
use super::resource::{self, policy};
use super::schedule;
use super::work::{filled, name_tick};
use super::{bytes, state};
use bytes::Bytes;
use windlass_engine::command::Beat;
use windlass_engine::fact::{AttemptEnd, Audit, DeadReason, Note, Overrun, ResourceBody};
use windlass_engine::flow::Group;
use windlass_engine::frame::Rows;
use windlass_engine::ids::Ms;
use windlass_engine::ledger::job::State;
use windlass_engine::order::Told;
use windlass_engine::part::Slot;
use windlass_engine::policy::Policy;
use windlass_engine::view::{
    AuditView, ConfigView, DiskView, ErrorView, FlowView, JobView, LeaseView, LimitView, OperationView,
    QueueView, ServerView, SessionView,
};
use windlass_proto::limits::{KINDS_MAX, PROTO_VERSION, SOURCES_MAX};
use windlass_proto::v1::{self, attempt::Outcome, beat::Phase, resource::What};

/// A page.
pub(in crate::session) fn rows(rows: Rows) -> v1::Rows {
    let Rows {
        jobs,
        queues,
        sessions,
        kinds,
        scales,
        series,
        limits,
        schedules,
        explains,
        logs,
        configs,
        errors,
        operations,
        audits,
        export,
        server,
        cursor,
        total,
    } = rows;
    let (logs, cursor) = match logs {
        Some(logs) => log::lines(*logs),
        None => (Vec::new(), cursor),
    };
    v1::Rows {
        logs,
        cursor: cursor::encode(cursor.as_ref()),
        total: total.unwrap_or(0),
        total_exact: total.is_some(),
        jobs: jobs.into_iter().map(job).collect(),
        queues: queues.into_iter().map(queue).collect(),
        sessions: sessions.into_iter().map(session).collect(),
        kinds: kinds.into_iter().map(measure::kind).collect(),
        scales: scales.into_iter().map(measure::scale).collect(),
        series: series.into_iter().map(measure::series).collect(),
        configs: configs.into_iter().map(config).collect(),
        errors: errors.into_iter().map(error).collect(),
        operations: operations.into_iter().map(operation).collect(),
        audits: audits.into_iter().map(audit).collect(),
        limits: limits.into_iter().map(limit).collect(),
        schedules: schedules.into_iter().map(schedule::view).collect(),
        explains: explains.into_iter().map(explain::explain).collect(),
        exports: export
            .into_iter()
            .map(|row| v1::ExportView { piece: Bytes::copy_from_slice(&row.piece) })
            .collect(),
        server: server.into_iter().map(|view| self::server(*view)).collect(),
        ..v1::Rows::default()
    }
}

fn job(view: JobView) -> v1::JobView {
    let JobView {
        id,
        seq,
        queue,
        kind,
        key,
        state: now,
        level,
        policy: own,
        tags,
        expires_at,
        created_at,
        run_at,
        attempt,
        max_attempts,
        deliveries,
        crashes,
        max_crashes,
        snoozes,
        cost,
        lease,
        ended,
        dead,
        error,
        result_dropped,
        flow,
        dedup_key,
        schedule,
        tick,
        payload_len,
        payload,
        headers,
        result,
        history,
        progress,
        note,
    } = view;
    let end = end_of_job(ended, dead, error);
    v1::JobView {
        id: bytes(id),
        seq,
        queue,
        kind,
        key,
        state: state(now).into(),
        priority: level.into(),
        payload_bytes: payload_len.into(),
        tags,
        dedup_key,
        created_at_ms: created_at,
        expires_at_ms: expires_at,
        run_at_ms: if now == State::Scheduled { run_at } else { 0 },
        attempt,
        max_attempts,
        deliveries,
        crashes,
        snoozes,
        max_crashes,
        cancel_requested: lease.as_ref().is_some_and(|lease| lease.cancel_asked),
        lease: lease.map(self::lease),
        finished_at_ms: end.finished_at_ms,
        remove_at_ms: end.remove_at_ms,
        dead_reason: end.dead_reason,
        error_fingerprint: end.error_fingerprint,
        result_dropped,
        cost,
        policy: (own != Policy::default()).then(|| policy(&own)),
        schedule,
        ..bodies(payload, (headers, tick), result, history, (progress, note), flow)
    }
}

/// What is of variable size, and all else empty.
fn bodies(
    payload: Slot,
    (headers, tick): (Slot, Ms),
    result: Slot,
    history: Vec<Slot>,
    (progress, note): (u16, Slot),
    flow: FlowView,
) -> v1::JobView {
    let FlowView { after, group, counts } = flow;
    let said = || String::from_utf8_lossy(&filled(note)).into_owned();
    let passive::Passive { content_type, content_encoding, mut headers } =
        passive::unpack_job(&filled(headers));
    name_tick(&mut headers, tick);
    let v1::Complete { result, content_type: result_content_type } = passive::unpack_result(&filled(result));
    v1::JobView {
        after: after.into_iter().map(bytes).collect(),
        group: group.map(bytes).unwrap_or_default(),
        progress_permille: counts.as_ref().map_or(progress.into(), progress_of_group),
        note: counts.as_ref().map_or_else(said, note_of_group),
        payload: filled(payload),
        content_type,
        content_encoding,
        headers,
        result,
        result_content_type,
        history: history.into_iter().map(attempt).collect(),
        ..v1::JobView::default()
    }
}

/// The share of a group's members that have ended.
fn progress_of_group(group: &Group) -> u32 {
    let ended = group.total - group.open();
    u32::try_from(ended * 1_000 / group.total.max(1)).unwrap_or(1_000)
}

/// The counters of a group, in words.
fn note_of_group(group: &Group) -> String {
    let Group { total, completed, dead, cancelled, expired, .. } = group;
    let mut note = format!("{completed} of {total} completed");
    for (count, how) in [(dead, "dead"), (cancelled, "cancelled"), (expired, "expired")] {
        if *count > 0 {
            note.push_str(&format!(", {count} {how}"));
        }
    }
    note
}

/// How a job ended, or failed last; the rest is left open.
fn end_of_job(ended: Option<(Ms, Ms)>, dead: Option<DeadReason>, error: Option<u64>) -> v1::JobView {
    let (finished_at_ms, remove_at_ms) = ended.unwrap_or_default();
    v1::JobView {
        finished_at_ms,
        remove_at_ms,
        dead_reason: dead.map_or(v1::DeadReason::Unspecified, dead_reason).into(),
        error_fingerprint: error.map(fingerprint).unwrap_or_default(),
        ..v1::JobView::default()
    }
}

fn lease(view: LeaseView) -> v1::Lease {
    let LeaseView { fence, session, worker, leased_at, ends_at, cancel_asked: _ } = view;
    v1::Lease {
        fence,
        session: Bytes::copy_from_slice(&session.0),
        worker,
        leased_at_ms: leased_at,
        ends_at_ms: ends_at,
        ends_with_session: ends_at == 0,
    }
}

fn dead_reason(reason: DeadReason) -> v1::DeadReason {
    match reason {
        DeadReason::Failed => v1::DeadReason::Failed,
        DeadReason::Fatal => v1::DeadReason::Fatal,
        DeadReason::Poison => v1::DeadReason::Poison,
        DeadReason::Timeout => v1::DeadReason::Timeout,
        DeadReason::Operator => v1::DeadReason::Operator,
        DeadReason::Stalled => v1::DeadReason::Stalled,
        DeadReason::Dependency => v1::DeadReason::Dependency,
    }
}

fn attempt(slot: Slot) -> v1::Attempt {
    let note = match slot {
        Slot::Note(note) => *note,
        // Trimmed between the decision and the reading of it.
        Slot::Empty => return v1::Attempt::default(),
        Slot::Part(_) | Slot::Pieces(..) | Slot::Bytes(_) => {
            unreachable!("a frame was released with an open note")
        }
    };
    let Note { number: _, attempt, end, kind, message, trace, worker, started_at, ended_at } = note;
    let outcome = match end {
        AttemptEnd::Failed => Outcome::Failed,
        AttemptEnd::Lost => Outcome::Lost,
        AttemptEnd::Expired => Outcome::Expired,
        AttemptEnd::Released => Outcome::Released,
        AttemptEnd::Cancelled => Outcome::Cancelled,
        AttemptEnd::Overran(Overrun::TimedOut) => Outcome::Timeout,
        AttemptEnd::Overran(Overrun::Stalled) => Outcome::Stalled,
    };
    v1::Attempt {
        attempt,
        kind,
        message,
        trace,
        worker,
        started_at_ms: started_at,
        ended_at_ms: ended_at,
        outcome: outcome.into(),
    }
}

fn queue(view: QueueView) -> v1::QueueView {
    let QueueView { name, counts, totals, paused, oldest_ready_ms, waiting_streams, conf } = view;
    let count = |state: State| counts[state.index()];
    let (version, conf) = match conf {
        Some((version, body)) => (version, body.policy().map(policy)),
        None => (0, None),
    };
    v1::QueueView {
        name,
        ready: count(State::Ready),
        scheduled: count(State::Scheduled),
        blocked: count(State::Blocked),
        held: count(State::Held),
        leased: count(State::Leased),
        completed: count(State::Completed),
        dead: count(State::Dead),
        cancelled: count(State::Cancelled),
        expired: count(State::Expired),
        enqueued_total: totals.enqueued,
        completed_total: totals.completed,
        dead_total: totals.dead,
        cancelled_total: totals.cancelled,
        expired_total: totals.expired,
        failed_total: totals.failed_attempts,
        crashed_total: totals.crashes,
        paused: paused.is_some(),
        paused_why: paused.unwrap_or_default(),
        oldest_ready_ms,
        waiting_streams,
        policy: conf,
        version,
    }
}

fn limit(view: LimitView) -> v1::LimitView {
    let LimitView { name, limit, scope, version, in_use, waiting_lanes, next_free_ms, open_until } = view;
    v1::LimitView {
        name,
        limit: Some(resource::limit(limit, scope)),
        version,
        in_use,
        waiting_lanes,
        next_free_ms,
        open_until_at_ms: open_until,
    }
}

/// The phase of who was told so, whatever it makes of it.
fn told_phase(told: Told) -> Phase {
    match told {
        Told::Run => Phase::Unspecified,
        Told::Quiet => Phase::Quiet,
        Told::Stop => Phase::Stopping,
    }
}

fn session(view: SessionView) -> v1::SessionView {
    let SessionView {
        id,
        client,
        host,
        pid,
        labels,
        since,
        silent_ms,
        leases,
        connections,
        streams,
        slots,
        mut queues,
        mut kinds,
        beat,
        told,
        token,
    } = view;
    let Beat { phase, busy, slots: _, rss_bytes, loop_lag_ms, labels: _ } = beat.unwrap_or_default();
    let phase = phase.max(told_phase(told).into());
    queues.truncate(SOURCES_MAX);
    kinds.truncate(KINDS_MAX);
    v1::SessionView {
        id: Bytes::copy_from_slice(&id.0),
        client,
        host,
        pid,
        labels: labels.into_iter().collect(),
        since_at_ms: since,
        last_sign_ms_ago: silent_ms,
        leases,
        slots,
        connections: u32::try_from(connections).unwrap_or(u32::MAX),
        streams: u32::try_from(streams).unwrap_or(u32::MAX),
        phase,
        queues,
        kinds,
        rss_bytes,
        loop_lag_ms,
        busy,
        token,
    }
}

/// A fingerprint as people write it.
fn fingerprint(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

/// A resource, as Put takes it.
fn config(view: ConfigView) -> v1::ConfigView {
    let ConfigView { name, version, changed_at, body, scope } = view;
    let what = match body {
        ResourceBody::Limit(limit) => What::Limit(resource::limit(limit, scope)),
        ResourceBody::Schedule(schedule) => What::Schedule(schedule::schedule(*schedule)),
        ResourceBody::Sink(sink) => What::Sink(resource::sink(*sink)),
        ResourceBody::Queue(conf) => What::Queue(resource::queue_conf(&conf)),
        ResourceBody::Policy(conf) if name.starts_with("kind/") => What::Kind(policy(&conf)),
        ResourceBody::Policy(conf) => What::Namespace(policy(&conf)),
    };
    let resource = v1::Resource { name, if_version: 0, what: Some(what) };
    v1::ConfigView { resource: Some(resource), version, changed_at_ms: changed_at }
}

fn error(view: ErrorView) -> v1::ErrorGroupView {
    let ErrorView { fingerprint, kind, message, count, dead, first_at, last_at, sample, queues, kinds } =
        view;
    v1::ErrorGroupView {
        fingerprint: self::fingerprint(fingerprint),
        kind,
        message,
        count,
        dead,
        first_at_ms: first_at,
        last_at_ms: last_at,
        sample: bytes(sample),
        queues,
        kinds,
    }
}

fn audit(view: AuditView) -> v1::AuditView {
    let AuditView { number, audit } = view;
    let Audit { namespace: _, at, by, client, verb, target, reason, changed } = audit;
    v1::AuditView { seq: number, at_ms: at, by, client, verb, target, reason, changed }
}

fn operation(view: OperationView) -> v1::OperationView {
    let OperationView { id, to, matched, changed, started_at, finished_at, reason, stopped_why, by } = view;
    v1::OperationView {
        id: Bytes::copy_from_slice(&id.0),
        to: to.to_owned(),
        matched,
        changed,
        started_at_ms: started_at,
        finished_at_ms: finished_at,
        reason,
        stopped_why,
        by,
    }
}

fn server(view: ServerView) -> v1::ServerView {
    let ServerView { epoch, started_at, now, jobs, sessions, connections, draining, disk } = view;
    let DiskView {
        facts,
        batches,
        sync_p50_us,
        sync_p99_us,
        journal_bytes,
        segments,
        folds,
        unfolded_bytes,
        store_bytes,
        free_bytes,
        filesystem,
        rss_bytes,
        cpu_us,
    } = disk;
    v1::ServerView {
        cpu_us,
        filesystem,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        proto: PROTO_VERSION,
        epoch: epoch.into(),
        started_at_ms: started_at,
        uptime_ms: now.saturating_sub(started_at),
        server_at_ms: now,
        jobs,
        sessions,
        connections,
        batches_total: batches,
        facts_total: facts,
        fsync_p50_us: sync_p50_us,
        fsync_p99_us: sync_p99_us,
        journal_bytes,
        journal_segments: segments,
        folds_total: folds,
        unfolded_bytes,
        store_bytes,
        rss_bytes,
        disk_free_bytes: free_bytes,
        draining,
        ..v1::ServerView::default()
    }
}
