//! How leases end: the rules shared by Settle, lost workers, timeouts and operators.

use crate::command::ErrorNote;
use crate::engine::{Engine, Turn};
use crate::fact::{AttemptEnd, Counts, DeadReason, End, Fact, Note, Overrun};
use crate::frame::Signal;
use crate::ids::{Ms, Seq};
use crate::ledger::job::{Job, State};
use crate::limits::{
    DELAY_MS_MAX, ERROR_KIND_BYTES_MAX, ERROR_MESSAGE_BYTES_MAX, ERROR_TRACE_BYTES_MAX, REDELIVERY_MS_MIN,
};
use crate::policy::{default, mix};
use crate::verbs::overrun::Said;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

impl Engine {
    /// When a job that ends now is removed.
    pub(crate) fn end(&self, job: &Job, state: State, now: Ms) -> End {
        let (keep_ms, countable) = match state {
            State::Dead => {
                let keep = self.ledger.effective(job, |policy| policy.keep_dead_ms);
                (keep.unwrap_or(default::KEEP_DEAD_MS), false)
            }
            State::Held
            | State::Scheduled
            | State::Blocked
            | State::Ready
            | State::Leased
            | State::Completed
            | State::Cancelled
            | State::Expired => {
                let own = self.ledger.names.policy(job.terms).and_then(|policy| policy.keep_done_ms);
                let keep = self.ledger.effective(job, |policy| policy.keep_done_ms);
                (keep.unwrap_or(default::KEEP_DONE_MS), state == State::Completed && own.is_none())
            }
        };
        End { at: now, remove_at: now.saturating_add(keep_ms.min(10 * DELAY_MS_MAX)), countable }
    }

    /// An attempt, dated, for the history.
    pub(crate) fn note(&self, job: &Job, end: AttemptEnd, error: ErrorNote, now: Ms) -> Box<Note> {
        let started_at = job.lease.as_ref().map_or(now, |lease| lease.leased_at);
        let worker = job.lease.as_ref().map(|lease| self.worker(lease.session)).unwrap_or_default();
        Box::new(Note {
            number: job.notes,
            attempt: job.attempt,
            end,
            kind: clipped(error.kind, ERROR_KIND_BYTES_MAX),
            message: clipped(error.message, ERROR_MESSAGE_BYTES_MAX),
            trace: clipped(error.trace, ERROR_TRACE_BYTES_MAX),
            worker,
            started_at,
            ended_at: now,
        })
    }

    /// Client, host and process of a session, for people.
    pub(crate) fn worker(&self, session: crate::ids::SessionId) -> String {
        match self.ledger.sessions.get(&session) {
            Some(row) => format!("{} {}:{}", row.session.client, row.session.host, row.session.pid),
            None => String::new(),
        }
    }

    /// Name of the token that a session came with; "" = none.
    pub(crate) fn token_of(&self, session: crate::ids::SessionId) -> String {
        self.ledger.sessions.get(&session).map(|row| row.session.token.clone()).unwrap_or_default()
    }

    /// The attempt failed: the job waits for its next one, or is dead.
    pub(crate) fn fail(&mut self, seq: Seq, failure: Failure, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let note = self.note(job, failure.end, failure.error, now);
        let error = self.blame(seq, &note, now, turn);
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let note = Some(note);
        let dead = if failure.fatal {
            Some(DeadReason::Fatal)
        } else if job.attempt >= self.ledger.policies(job).max_attempts() + u32::from(planted!(OneTooMany)) {
            Some(match failure.end {
                AttemptEnd::Expired | AttemptEnd::Overran(Overrun::TimedOut) => DeadReason::Timeout,
                AttemptEnd::Overran(Overrun::Stalled) => DeadReason::Stalled,
                AttemptEnd::Failed | AttemptEnd::Lost | AttemptEnd::Released | AttemptEnd::Cancelled => {
                    DeadReason::Failed
                }
            })
        } else {
            None
        };
        let (settled, counts) = (failure.settled, Counts::Attempt);
        let fact = match dead {
            Some(reason) => {
                let end = self.end(job, State::Dead, now);
                Fact::Died { seq, end, reason, counts, settled, note, error }
            }
            None => {
                let entropy = mix(self.seed ^ seq, u64::from(job.deliveries));
                let delay = failure
                    .delay_ms
                    .unwrap_or_else(|| self.ledger.policies(job).backoff().delay_ms(job.attempt, entropy));
                let run_at = now.saturating_add(delay.min(DELAY_MS_MAX));
                Fact::Returned { seq, run_at, now, counts, settled, note, error }
            }
        };
        self.decide(turn, fact);
    }

    /// The worker is lost: the job runs again at once, at its old place, unless it has taken too
    /// many workers with it. `excused` = the broker itself may be to blame.
    pub(crate) fn lose(&mut self, seq: Seq, now: Ms, excused: bool, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        if let Some(how) = job.lease.as_ref().and_then(|lease| lease.overran) {
            return self.fail_overrun(seq, how, Said::default(), now, turn);
        }
        let error = ErrorNote { message: "the worker was lost".into(), ..ErrorNote::default() };
        let note = self.note(job, AttemptEnd::Lost, error, now);
        let asked_to_stop = job.lease.as_ref().is_some_and(|lease| lease.revoke_at > 0);
        let is_failure = !excused && !asked_to_stop;
        let error = if is_failure { self.blame(seq, &note, now, turn) } else { 0 };
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let note = Some(note);
        let counts = if excused { Counts::Nothing } else { Counts::Crash };
        let fact = if asked_to_stop {
            Fact::Cancelled { seq, end: self.end(job, State::Cancelled, now), settled: false, note }
        } else if !excused && job.crashes.saturating_add(1) >= self.ledger.policies(job).max_crashes() {
            let end = self.end(job, State::Dead, now);
            Fact::Died { seq, end, reason: DeadReason::Poison, counts, settled: false, note, error }
        } else {
            Fact::Returned { seq, run_at: now, now, counts, settled: false, note, error }
        };
        self.decide(turn, fact);
    }

    /// The visibility timeout ran out: the attempt counts, the job runs again at once, or a second after its
    /// delivery, unless it was to stop.
    pub(crate) fn expire_lease(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let lease = self.ledger.jobs.get(seq).and_then(|job| job.lease.as_ref());
        if lease.is_some_and(|lease| lease.revoke_at > 0) {
            return self.revoke(seq, now, turn);
        }
        let since = lease.map_or(0, |lease| now.saturating_sub(lease.leased_at));
        let delay_ms = Some(REDELIVERY_MS_MIN.saturating_sub(since));
        self.tell_lost(seq, "the visibility timeout ran out", turn);
        let error = ErrorNote { message: "the visibility timeout ran out".into(), ..ErrorNote::default() };
        let failure = Failure { end: AttemptEnd::Expired, error, fatal: false, delay_ms, settled: false };
        self.fail(seq, failure, now, turn);
    }

    /// The grace of a run that was asked to stop is over.
    pub(crate) fn revoke(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let lease = self.ledger.jobs.get(seq).and_then(|job| job.lease.as_ref());
        if let Some(how) = lease.and_then(|lease| lease.overran) {
            self.tell_lost(seq, &format!("{}, and its grace is over", how.what()), turn);
            return self.fail_overrun(seq, how, Said::default(), now, turn);
        }
        self.tell_lost(seq, "cancelled, and its grace is over", turn);
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let error = ErrorNote { message: "did not stop in time".into(), ..ErrorNote::default() };
        let note = Some(self.note(job, AttemptEnd::Cancelled, error, now));
        let end = self.end(job, State::Cancelled, now);
        self.decide(turn, Fact::Cancelled { seq, end, settled: false, note });
    }

    /// Tells the worker that what it does no longer counts.
    pub(crate) fn tell_lost(&mut self, seq: Seq, reason: &str, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq).filter(|job| job.lease.is_some()).cloned() else { return };
        let signal = Signal::LeaseLost { job: job.id, fence: job.fence, reason: reason.into() };
        self.signal(&job, &signal, turn);
    }

    pub(crate) fn remove(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let settled = if job.settled && job.lease.is_none() { job.fence } else { 0 };
        let fact = Fact::Removed { seq, id: job.id, namespace: job.namespace, settled, at: now };
        self.decide(turn, fact);
    }

    /// Removes the oldest completed jobs over the number their queue keeps.
    pub(crate) fn trim(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let queue = job.queue;
        let policies = self.ledger.policies_of(None, job.namespace, queue, job.kind);
        let most = policies.ask(|policy| policy.keep_done_max).unwrap_or(default::KEEP_DONE_MAX) as usize;
        // A lowered bound is reached in steps, so that no turn grows without end.
        for _ in 0..8 {
            let over = self.roster.queues.get(&queue).filter(|index| index.kept.len() > most);
            let Some(&(_, oldest)) = over.and_then(|index| index.kept.first()) else { return };
            self.remove(oldest, now, turn);
        }
    }
}

/// An attempt that ended badly.
pub(crate) struct Failure {
    pub(crate) end: AttemptEnd,
    pub(crate) error: ErrorNote,
    pub(crate) fatal: bool,
    /// Instead of the policy's backoff.
    pub(crate) delay_ms: Option<u64>,
    /// Its worker said so.
    pub(crate) settled: bool,
}

/// At most `most` bytes, cut between characters.
pub(crate) fn clipped(mut text: String, most: usize) -> String {
    if text.len() > most {
        let cut = (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
    }
    text
}
