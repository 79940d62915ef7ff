//! What people hear in a scenario: one frame becomes one short text.

use crate::why::say_explain;
use crate::world::{DAWN, World, name_of};
use windlass_engine::command::Refusal;
use windlass_engine::event::Event;
use windlass_engine::frame::{Body, EnqueuedOne, Frame, Outcome, Rows, SettleCode, Signal, Work};
use windlass_engine::ids::{JobId, Ms};
use windlass_engine::ledger::job::{Job, Pieces, State};
use windlass_engine::order::Told;
use windlass_engine::part::Slot;
use windlass_engine::view::{AuditView, JobView, KindView, QueueView, ScaleView, ScheduleView};

/// A duration in words: `1h30min`.
pub(crate) fn say_ms(ms: Ms) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let mut text = String::new();
    let mut rest = ms;
    for (unit, name) in units.into_iter().filter(|(unit, _)| ms >= *unit) {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// A moment of the scenario's clock.
pub(crate) fn say_at(at: Ms) -> String {
    if at < DAWN { format!("-{}", say_ms(DAWN - at)) } else { say_ms(at - DAWN) }
}

pub(crate) fn name(id: JobId) -> String {
    if id.0 == [0; 16] { "?".into() } else { name_of(id.0) }
}

pub(crate) fn optional(text: &mut String, holds: bool, what: impl FnOnce() -> String) {
    if holds {
        text.push(' ');
        text.push_str(&what());
    }
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

impl World {
    /// What a frame says, without whom it goes to.
    pub(crate) fn say(&self, frame: &Frame) -> String {
        let asked = self.asked.get(&frame.to).cloned().unwrap_or_default();
        match &frame.body {
            Body::Welcome(welcome) => {
                let mut text = format!("welcome {}", name_of(welcome.session.0));
                let kept = welcome.leases_kept.iter().map(|id| name(*id)).collect::<Vec<_>>();
                optional(&mut text, !kept.is_empty(), || format!("kept={}", kept.join(",")));
                text
            }
            Body::Enqueued(ones) => listed(ones.iter().map(say_enqueued)),
            Body::Deliver { works, end } => {
                let mut text = String::from("deliver");
                optional(&mut text, !asked.label.is_empty(), || format!("({})", asked.label));
                let works =
                    if works.is_empty() { "nothing".into() } else { listed(works.iter().map(say_work)) };
                optional(&mut text, true, || works);
                optional(&mut text, *end, || "end".into());
                text
            }
            Body::Settled(ones) => listed(asked.jobs.iter().zip(ones).map(|(id, one)| {
                let state = one.state.map_or("gone", State::name);
                if let Some(refusal) = one.error.as_ref().filter(|_| one.code == SettleCode::SpawnRejected) {
                    format!("{} {}, it is {state}", name(*id), say_refusal(refusal))
                } else if let Some(left) = &one.error {
                    format!("{} {state}, but {} {}", name(*id), left.code.name(), left.field)
                } else if one.code == SettleCode::Settled {
                    format!("{} {state}", name(*id))
                } else {
                    format!("{} {}, it is {state}", name(*id), say_code(one.code))
                }
            })),
            Body::Touched(ones) if ones.is_empty() => "touched".into(),
            Body::Touched(ones) => listed(asked.jobs.iter().zip(ones).map(|(id, one)| {
                let mut text = name(*id);
                optional(&mut text, one.code != SettleCode::Settled, || say_code(one.code).into());
                optional(&mut text, one.code == SettleCode::Settled, || "held".into());
                optional(&mut text, one.ends_in_ms > 0, || format!("for {}", say_ms(one.ends_in_ms)));
                optional(&mut text, one.cancel, || "stop".into());
                optional(&mut text, !one.reason.is_empty(), || format!("({})", one.reason));
                text
            })),
            Body::Changed { matched, changed, operation, .. } => {
                let mut text = format!("changed {changed} of {matched}");
                optional(&mut text, operation.is_some(), || "and goes on".into());
                text
            }
            Body::Rows(rows) => say_rows(rows, self.now),
            Body::Stored(versions) => format!(
                "stored {}",
                versions
                    .iter()
                    .map(|version| match version {
                        Ok(version) => format!("v{version}"),
                        Err(refusal) => say_refusal(refusal),
                    })
                    .collect::<Vec<_>>()
                    .join(" ")
            )
            .trim_end()
            .into(),
            Body::Event { event, data, lagged } => say_event(&asked.label, event.as_deref(), data, *lagged),
            Body::Closed => "closed".into(),
            Body::ClockAdvanced { .. } => "advanced".into(),
            Body::Signal(signal) => say_signal(signal),
            Body::Error(refusal) => say_refusal(refusal),
            Body::Cut => "cut".into(),
        }
    }

    /// A job as it stands, for a look at it.
    pub(crate) fn look(&self, id: JobId) -> String {
        let Some(job) = self.job(id) else { return format!("{} gone", name(id)) };
        let mut text = format!("{} {}", name(id), job.state.name());
        optional(&mut text, job.state == State::Scheduled, || format!("for {}", say_at(job.run_at)));
        let until = job.hold_until();
        let until =
            || if until == 0 { "for a person to decide".into() } else { format!("until {}", say_at(until)) };
        optional(&mut text, job.state == State::Held, until);
        if let Some(lease) = &job.lease {
            optional(&mut text, true, || format!("by {}", name_of(lease.session.0)));
        }
        optional(&mut text, job.pieces() != Pieces::default(), || format!("payload={}", job.payload_len));
        say_counts(&mut text, job);
        if let Some(ended) = &job.ended {
            let reason = ended.reason.map(|reason| format!("{reason:?}").to_uppercase());
            optional(&mut text, reason.is_some(), || reason.unwrap_or_default());
            optional(&mut text, ended.result_len > 0, || format!("result={}", ended.result_len));
            optional(&mut text, ended.result_dropped, || "result dropped".into());
            optional(&mut text, ended.emptied, || "emptied".into());
            optional(&mut text, true, || format!("until {}", say_at(ended.end.remove_at)));
        }
        text
    }
}

fn say_counts(text: &mut String, job: &Job) {
    optional(text, job.attempt > 0, || format!("attempt={}", job.attempt));
    optional(text, job.crashes > 0, || format!("crashes={}", job.crashes));
    optional(text, job.snoozes > 0, || format!("snoozes={}", job.snoozes));
}

fn say_enqueued(one: &EnqueuedOne) -> String {
    match &one.what {
        Ok(stored) if stored.seq == 0 => format!("{} duplicate, gone", name(one.id)),
        Ok(stored) => {
            let (name, state) = (name(one.id), stored.state.name());
            let mut text = match &stored.outcome {
                Outcome::Created => format!("{name} {state}"),
                Outcome::Duplicate => format!("{name} duplicate, {state}"),
                Outcome::Replaced => format!("{name} replaced, {state}"),
                Outcome::Appended => format!("{name} appended, {state}"),
                Outcome::QueuedAfter => format!("{name} queued, {state}"),
                Outcome::Rejected(refusal) => format!("{name} {state}, {}", say_refusal(refusal)),
            };
            optional(&mut text, one.result != Slot::Empty, || "with result".into());
            text
        }
        Err(refusal) => say_refusal(refusal),
    }
}

fn say_work(work: &Work) -> String {
    let mut text = format!("{} attempt={}", name(work.id), work.attempt);
    optional(&mut text, work.ends_at > 0, || {
        format!("for {}", say_ms(work.ends_at.saturating_sub(work.now)))
    });
    optional(&mut text, work.crashes > 0, || format!("crashes={}", work.crashes));
    optional(&mut text, work.snoozes > 0, || format!("snoozes={}", work.snoozes));
    optional(&mut text, work.suspect, || "alone".into());
    if let Some(Slot::Part(key)) = work.run.as_ref().map(|run| &run.checkpoint) {
        text.push_str(&format!(" checkpoint {}", key.version));
    }
    let after = work.run.as_ref().map(|run| &run.after[..]).unwrap_or_default();
    if !after.is_empty() {
        let after: Vec<String> = after.iter().map(|id| name(*id)).collect();
        text.push_str(&format!(" after={}", after.join(",")));
    }
    text
}

fn say_code(code: SettleCode) -> &'static str {
    match code {
        SettleCode::Settled => "SETTLED",
        SettleCode::LeaseLost => "LEASE_LOST",
        SettleCode::AlreadySettled => "ALREADY_SETTLED",
        SettleCode::UnknownJob => "UNKNOWN_JOB",
        SettleCode::SpawnRejected => "SPAWN_REJECTED",
    }
}

fn say_refusal(refusal: &Refusal) -> String {
    let mut text = format!("refused {}", refusal.code.name());
    optional(&mut text, !refusal.field.is_empty(), || refusal.field.clone());
    let again = refusal.retry_after_ms;
    optional(&mut text, again > 0, || format!("again in {}", say_ms(again)));
    text
}

fn say_event(label: &str, event: Option<&Event>, data: &Slot, lagged: bool) -> String {
    let mut text = if label.is_empty() { String::new() } else { format!("({label}) ") };
    match event {
        None => text.push_str("end"),
        Some(event) => text.push_str(event.name.name()),
    }
    if let Some(job) = event.and_then(|event| event.job.as_ref()) {
        text.push_str(&format!(" {}", name(job.id)));
    }
    let is_output = event.is_some_and(|event| event.name.name() == "job.output");
    if let Slot::Bytes(bytes) = data
        && is_output
    {
        text.push_str(&format!(" of {}", bytes.len()));
    }
    let is_progress = event.is_some_and(|event| event.name.name() == "job.progress");
    optional(&mut text, is_progress, || event.map(|event| event.note.clone()).unwrap_or_default());
    optional(&mut text, *data != Slot::Empty && !is_output, || "with result".into());
    optional(&mut text, lagged, || "lagged".into());
    text
}

fn say_signal(signal: &Signal) -> String {
    match signal {
        Signal::Cancel { job, reason, ends_in_ms, .. } => {
            format!("stop {} within {}: {reason}", name(*job), say_ms(*ends_in_ms))
        }
        Signal::LeaseLost { job, reason, .. } => format!("lost {}: {reason}", name(*job)),
        Signal::GoAway => "go away".into(),
        Signal::Order(order) => order.name().into(),
    }
}

fn say_rows(rows: &Rows, now: Ms) -> String {
    let jobs = rows.jobs.iter().map(say_job);
    let queues = rows.queues.iter().map(say_queue);
    let kinds = rows.kinds.iter().map(say_kind);
    let scales = rows.scales.iter().map(|row| {
        let ScaleView { name, ready, leased, slots, streams, .. } = row;
        format!("{name} ready={ready} leased={leased} slots={slots} streams={streams}")
    });
    let series = rows.series.iter().map(|row| {
        let queue = row.queue.as_ref().map_or("everywhere", |(_, name)| name);
        format!("{} of {queue}", row.metric.name())
    });
    let sessions = rows.sessions.iter().map(|row| {
        let mut text = format!("{} connections={} leases={}", name_of(row.id.0), row.connections, row.leases);
        optional(&mut text, row.slots > 0, || format!("slots={}", row.slots));
        optional(&mut text, !row.queues.is_empty(), || format!("queues={}", row.queues.join(",")));
        optional(&mut text, row.told != Told::Run, || format!("told={:?}", row.told).to_lowercase());
        optional(&mut text, row.silent_ms > 0, || format!("silent={}", say_ms(row.silent_ms)));
        text
    });
    let server = rows.server.iter().map(|row| {
        let mut text = format!("jobs={} sessions={} connections={}", row.jobs, row.sessions, row.connections);
        optional(&mut text, row.draining, || "draining".into());
        text
    });
    let configs = rows.configs.iter().map(|row| format!("{} v{}", row.name, row.version));
    let errors = rows.errors.iter().map(|row| {
        let mut text = format!("'{}' {} times", row.message, row.count);
        optional(&mut text, !row.kind.is_empty(), || format!("of {}", row.kind));
        optional(&mut text, row.dead > 0, || format!("dead={}", row.dead));
        optional(&mut text, true, || format!("like {} in {}", name(row.sample), row.queues.join(",")));
        text
    });
    let operations = rows.operations.iter().map(|row| {
        let mut text = format!("{} {} {} of {}", name_of(row.id.0), row.to, row.changed, row.matched);
        optional(&mut text, row.finished_at > 0, || format!("ended {}", say_at(row.finished_at)));
        optional(&mut text, !row.stopped_why.is_empty(), || format!("({})", row.stopped_why));
        text
    });
    let audits = rows.audits.iter().map(say_audit);
    let explains = rows.explains.iter().map(|row| say_explain(row, now));
    let mut text = listed(
        jobs.chain(explains)
            .chain(audits)
            .chain(queues)
            .chain(kinds)
            .chain(scales)
            .chain(series)
            .chain(sessions)
            .chain(configs)
            .chain(errors)
            .chain(operations)
            .chain(rows.schedules.iter().map(say_schedule))
            .chain(server),
    );
    if let Some(logs) = &rows.logs {
        let chunks = logs.chunks.iter().map(|(version, chunk)| match chunk {
            Slot::Bytes(_) => format!("{version} fresh"),
            _ => version.to_string(),
        });
        text = format!("chunks {}", listed(chunks)).trim_end().into();
        optional(&mut text, logs.next.is_some(), || "and more".into());
    }
    if text.is_empty() {
        text.push_str("no rows");
    }
    optional(&mut text, rows.cursor.is_some(), || "(more)".into());
    if let Some(total) = rows.total {
        optional(&mut text, true, || format!("of {total}"));
    }
    text
}

fn say_audit(row: &AuditView) -> String {
    let audit = &row.audit;
    let by = if audit.client.is_empty() { "the broker" } else { audit.client.as_str() };
    let mut text = format!("{} {} {} {}", row.number, audit.verb, audit.changed, audit.target);
    optional(&mut text, true, || format!("by {by} at {}", say_at(audit.at)));
    optional(&mut text, !audit.by.is_empty(), || format!("token={}", audit.by));
    optional(&mut text, !audit.reason.is_empty(), || format!("({})", audit.reason));
    text
}

fn say_job(row: &JobView) -> String {
    let mut text = format!("{} {}", name(row.id), row.state.name());
    optional(&mut text, !row.history.is_empty(), || format!("history={}", row.history.len()));
    let payload = row.payload != Slot::Empty;
    optional(&mut text, payload, || "with payload".into());
    optional(&mut text, row.progress > 0, || format!("progress={}", row.progress));
    match &row.note {
        Slot::Bytes(note) => optional(&mut text, true, || format!("'{}'", String::from_utf8_lossy(note))),
        note => optional(&mut text, *note != Slot::Empty, || "with note".into()),
    }
    let result = row.result != Slot::Empty;
    optional(&mut text, result, || "with result".into());
    let ids = |ids: &[JobId]| ids.iter().map(|id| name(*id)).collect::<Vec<_>>().join(",");
    optional(&mut text, !row.flow.after.is_empty(), || format!("after={}", ids(&row.flow.after)));
    if let Some(group) = row.flow.group {
        text.push_str(&format!(" in={}", name(group)));
    }
    if let Some(counts) = &row.flow.counts {
        text.push_str(&format!(
            " completed={} failed={} of {}",
            counts.completed,
            counts.failed(),
            counts.total
        ));
    }
    text
}

fn say_schedule(row: &ScheduleView) -> String {
    let progress = &row.progress;
    let mut text = format!("{} v{}", row.name, row.version);
    optional(&mut text, progress.next > 0, || format!("next {}", say_at(progress.next)));
    optional(&mut text, progress.last_at > 0, || format!("last {}", say_at(progress.last_at)));
    optional(&mut text, progress.runs > 0, || format!("runs={}", progress.runs));
    optional(&mut text, progress.skipped > 0, || format!("skipped={}", progress.skipped));
    optional(&mut text, progress.failures > 0, || format!("failures={}", progress.failures));
    optional(&mut text, !progress.waiting.is_empty(), || format!("waiting={}", progress.waiting.len()));
    optional(&mut text, row.schedule.paused, || "paused".into());
    text
}

fn say_kind(row: &KindView) -> String {
    let mut text = row.name.clone();
    for (state, count) in State::ALL.iter().zip(row.counts).filter(|(_, count)| *count > 0) {
        optional(&mut text, true, || format!("{}={count}", state.name()));
    }
    optional(&mut text, row.completed > 0, || format!("(ever completed {})", row.completed));
    optional(&mut text, row.failed > 0, || format!("(failed attempts {})", row.failed));
    optional(&mut text, row.streams > 0, || format!("streams={}", row.streams));
    text
}

fn say_queue(row: &QueueView) -> String {
    let mut text = row.name.clone();
    for (state, count) in State::ALL.iter().zip(row.counts).filter(|(_, count)| *count > 0) {
        optional(&mut text, true, || format!("{}={count}", state.name()));
    }
    let totals = row.totals;
    for (what, count) in [
        ("ever enqueued", totals.enqueued),
        ("ever completed", totals.completed),
        ("ever dead", totals.dead),
        ("ever cancelled", totals.cancelled),
        ("failed attempts", totals.failed_attempts),
        ("crashes", totals.crashes),
    ] {
        optional(&mut text, count > 0, || format!("({what} {count})"));
    }
    optional(&mut text, row.waiting_streams > 0, || format!("waiting={}", row.waiting_streams));
    optional(&mut text, row.oldest_ready_ms > 0, || format!("oldest={}", say_ms(row.oldest_ready_ms)));
    optional(&mut text, row.paused.is_some(), || {
        format!("paused: {}", row.paused.clone().unwrap_or_default())
    });
    text
}
