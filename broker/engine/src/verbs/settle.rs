//! Settle: a worker tells how its leases ended. The fence decides whether it still may.

use crate::blob::Blob;
use crate::command::{Code, ErrorNote, How, JobSpec, Refusal, Settlement, Spawn};
use crate::engine::{Asker, Engine, Turn};
use crate::fact::{AttemptEnd, Counts, Fact, Overrun};
use crate::frame::{Body, SettleCode, SettledOne};
use crate::ids::{Seq, SessionId};
use crate::ledger::job::{Job, State};
use crate::limits::{DELAY_MS_MAX, SMALL_RESULT_BYTES, SPAWN_MAX};
use crate::verbs::outcome::Failure;
use crate::verbs::overrun::Said;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

impl Engine {
    pub(crate) fn settle(&mut self, asker: Asker, results: Vec<Settlement>, turn: &mut Turn) {
        turn.facts.reserve(2 * results.len());
        let answers = results.into_iter().map(|result| self.settle_one(asker, result, turn)).collect();
        turn.say(asker.from, Body::Settled(answers));
    }

    fn settle_one(&mut self, asker: Asker, result: Settlement, turn: &mut Turn) -> SettledOne {
        let Some(job) = self.find(asker.namespace, result.id) else {
            let code = match self.roster.ended_ids.find(asker.now, asker.namespace, result.id) {
                Some(settled) if settled > 0 && settled == result.fence => SettleCode::AlreadySettled,
                Some(_) => SettleCode::LeaseLost,
                None => SettleCode::UnknownJob,
            };
            return SettledOne { code, state: None, error: None };
        };
        let (seq, code) = (job.seq, lease_code(job, asker.session, result.fence));
        let lease = job.lease.as_ref();
        let asked_to_stop = lease.is_some_and(|lease| lease.revoke_at > 0);
        let overran = lease.and_then(|lease| lease.overran);
        let state = |engine: &Self| engine.ledger.jobs.get(seq).map(|job| job.state);
        if code != SettleCode::Settled {
            return SettledOne { code, state: state(self), error: None };
        }
        let spawn = match result.spawn.map(|spawn| self.admit_spawn(asker, *spawn)).transpose() {
            Ok(jobs) => jobs,
            Err(refusal) => {
                let error = Some(Box::new(refusal));
                return SettledOne { code: SettleCode::SpawnRejected, state: state(self), error };
            }
        };
        if let Some(checkpoint) = result.checkpoint {
            self.save(seq, *checkpoint);
        }
        let mut error = None;
        let is_complete = matches!(result.how, How::Complete(_));
        match result.how {
            How::Fail { .. } | How::Release { .. } | How::Cancelled { .. } if overran.is_some() => {
                let how = overran.unwrap_or(Overrun::TimedOut);
                self.fail_overrun(seq, how, said(result.how), asker.now, turn);
            }
            How::Fail { error, .. } if asked_to_stop => self.cancelled(seq, asker, error.message, turn),
            How::Release { reason, .. } if asked_to_stop => self.cancelled(seq, asker, reason, turn),
            How::Complete(bytes) => self.complete(seq, asker, bytes, turn),
            How::Fail { error, fatal, retry_after_ms } => {
                let (end, error, delay_ms) = (AttemptEnd::Failed, *error, retry_after_ms);
                let failure = Failure { end, error, fatal, delay_ms, settled: true };
                self.fail(seq, failure, asker.now, turn);
            }
            How::Release { delay_ms, reason, throttle } => {
                // The run is over whether or not there is such a limit.
                error = throttle.and_then(|throttle| self.push_back(asker, seq, &throttle).err());
                self.release(seq, asker, delay_ms, reason, turn);
            }
            How::Cancelled { note } => self.cancelled(seq, asker, note, turn),
        }
        // The run is over before what follows from it is stored: a dedup key that it had is free.
        if let Some(jobs) = spawn {
            self.store_all(asker, jobs, turn);
        }
        if is_complete {
            self.trim(seq, asker.now, turn);
        }
        SettledOne { code, state: state(self), error: error.map(Box::new) }
    }

    /// The jobs that follow from a run, if all of them may be stored. A worker that ends its runs before
    /// the broker stops is heard to the end.
    fn admit_spawn(&self, asker: Asker, spawn: Spawn) -> Result<Vec<Result<JobSpec, Refusal>>, Refusal> {
        let mut jobs: Vec<Result<JobSpec, Refusal>> = spawn?.into_iter().map(Ok).collect();
        if jobs.len() > SPAWN_MAX {
            let message = format!("a run is followed by at most {SPAWN_MAX} jobs");
            return Err(Refusal::new(Code::TooLarge, "spawn", message));
        }
        let admitted = self
            .admit_jobs(asker, &mut jobs, false)
            .and_then(|()| self.admit_keys(asker, &jobs))
            .and_then(|()| self.admit_ticks(asker.namespace, &jobs));
        admitted.map_err(|mut refusal| {
            refusal.field = match refusal.field.strip_prefix("jobs") {
                Some(rest) => format!("spawn{rest}"),
                None => "spawn".into(),
            };
            refusal
        })?;
        Ok(jobs)
    }

    fn complete(&mut self, seq: Seq, asker: Asker, result: Blob, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let (end, delivery) = (self.end(job, State::Completed, asker.now), job.deliveries);
        let result_dropped = self.pressure.small_results && result.len() > SMALL_RESULT_BYTES;
        let result = if result_dropped { Blob::default() } else { result };
        self.decide(turn, Fact::Completed { seq, end, delivery, result, result_dropped });
    }

    /// With a delay it is a snooze; without, the job goes back to its old place.
    fn release(
        &mut self,
        seq: Seq,
        asker: Asker,
        delay_ms: u64,
        reason: alloc::string::String,
        turn: &mut Turn,
    ) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let note = (!reason.is_empty()).then(|| {
            let error = ErrorNote { message: reason, ..ErrorNote::default() };
            self.note(job, AttemptEnd::Released, error, asker.now)
        });
        let now = asker.now;
        let counts = if delay_ms > 0 { Counts::Snooze } else { Counts::Nothing };
        let run_at = now.saturating_add(delay_ms.min(DELAY_MS_MAX));
        self.decide(turn, Fact::Returned { seq, run_at, now, counts, settled: true, note, error: 0 });
    }

    fn cancelled(&mut self, seq: Seq, asker: Asker, text: alloc::string::String, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let error = ErrorNote { message: text, ..ErrorNote::default() };
        let note = Some(self.note(job, AttemptEnd::Cancelled, error, asker.now));
        let end = self.end(job, State::Cancelled, asker.now);
        self.decide(turn, Fact::Cancelled { seq, end, settled: true, note });
    }
}

/// What a worker says of a run that was asked to stop because it broke what it is held to.
fn said(how: How) -> Said {
    let (error, fatal, delay_ms) = match how {
        How::Fail { error, fatal, retry_after_ms } => (*error, fatal, retry_after_ms),
        How::Release { reason: message, .. } | How::Cancelled { note: message } => {
            (ErrorNote { message, ..ErrorNote::default() }, false, None)
        }
        How::Complete(_) => (ErrorNote::default(), false, None),
    };
    Said { error, fatal, delay_ms, settled: true }
}

/// Whether a session may still speak for a lease.
pub(crate) fn lease_code(job: &Job, session: SessionId, fence: u64) -> SettleCode {
    let is_latest = planted!(FenceUnchecked) || job.fence == fence;
    let is_theirs = |holder| planted!(SessionUnchecked) || holder == session;
    match &job.lease {
        Some(lease) if is_theirs(lease.session) && is_latest => SettleCode::Settled,
        None if job.fence == fence && job.settled => SettleCode::AlreadySettled,
        Some(_) | None => SettleCode::LeaseLost,
    }
}
