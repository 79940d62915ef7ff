//! Overrun: runs that take too long, or that nobody hears of. They are asked to stop, have some grace,
//! and count as failed attempts.

use crate::command::ErrorNote;
use crate::engine::{Engine, Turn};
use crate::fact::{AttemptEnd, Fact, Overrun, RunLimits};
use crate::frame::Signal;
use crate::ids::{Ms, Seq};
use crate::ledger::Chain;
use crate::ledger::job::Lease;
use crate::limits::{OVERRUN_GRACE_MS, RUN_MS_MAX};
use crate::roster::Timer;
use crate::verbs::outcome::Failure;
use alloc::format;

impl Overrun {
    /// What broke, for people.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::TimedOut => "it ran longer than its timeout_ms",
            Self::Stalled => "it was not touched within its stall_ms",
        }
    }
}

impl Lease {
    /// Why it was asked to stop, as far as that is kept; "" = it was not, or somebody cancelled it.
    pub(crate) fn stop_reason(&self) -> &'static str {
        self.overran.map_or("", Overrun::what)
    }
}

impl Chain<'_> {
    /// What a run is held to.
    pub(crate) fn run_limits(&self) -> Option<RunLimits> {
        let bounded = |ms: Option<u64>| u32::try_from(ms.unwrap_or(0).min(RUN_MS_MAX)).unwrap_or(u32::MAX);
        let timeout_ms = bounded(self.ask(|policy| policy.timeout_ms));
        let stall_ms = bounded(self.ask(|policy| policy.stall_ms));
        (timeout_ms > 0 || stall_ms > 0).then_some(RunLimits { timeout_ms, stall_ms })
    }
}

impl Engine {
    /// The time of a run is up. One that is cancelled already is to end no later than others.
    pub(crate) fn time_up(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        if let Some(run) = self.roster.run_mut(job) {
            run.timeout_at = 0;
        }
        let Some(lease) = &job.lease else { return };
        if !lease.is_cancelled() {
            return self.overrun(seq, Overrun::TimedOut, now, turn);
        }
        let presence = self.roster.sessions.get(&lease.session);
        let revoke_at = presence.and_then(|presence| presence.leases.get(&seq)).map(|mark| mark.revoke_at);
        if revoke_at.is_some_and(|at| at > now.saturating_add(OVERRUN_GRACE_MS)) {
            self.cancel(seq, Overrun::TimedOut.what(), OVERRUN_GRACE_MS, now, turn);
        }
    }

    /// A run may have stalled: unless its handler touched it meanwhile, it has.
    pub(crate) fn stall(&mut self, seq: Seq, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq) else { return };
        let Some(run) = self.roster.run_mut(job) else { return };
        if run.stall_at > now {
            run.stall_timer_at = run.stall_at;
            let at = run.stall_at;
            return self.roster.timers.insert(at, Timer::Stall(seq));
        }
        (run.stall_at, run.stall_timer_at) = (0, 0);
        self.overrun(seq, Overrun::Stalled, now, turn);
    }

    fn overrun(&mut self, seq: Seq, how: Overrun, now: Ms, turn: &mut Turn) {
        let Some(job) = self.ledger.jobs.get(seq).cloned() else { return };
        let limits = job.lease.as_ref().map(|lease| lease.limits).unwrap_or_default();
        let ms = match how {
            Overrun::TimedOut => limits.timeout_ms,
            Overrun::Stalled => limits.stall_ms,
        };
        let reason = format!("{} of {ms}", how.what());
        let signal = Signal::Cancel { job: job.id, fence: job.fence, reason, ends_in_ms: OVERRUN_GRACE_MS };
        self.signal(&job, &signal, turn);
        let revoke_at = now.saturating_add(OVERRUN_GRACE_MS);
        self.decide(turn, Fact::Overran { seq, how, now, revoke_at });
    }

    /// A run that broke what it is held to is over, in whatever way: the attempt failed. What its worker
    /// says of it is kept.
    pub(crate) fn fail_overrun(&mut self, seq: Seq, how: Overrun, said: Said, now: Ms, turn: &mut Turn) {
        let Said { mut error, fatal, delay_ms, settled } = said;
        if error.message.is_empty() {
            error.message = how.what().into();
        }
        let end = AttemptEnd::Overran(how);
        self.fail(seq, Failure { end, error, fatal, delay_ms, settled }, now, turn);
    }
}

/// What the worker of an overrun said at its end.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) error: ErrorNote,
    pub(crate) fatal: bool,
    /// Instead of the policy's backoff.
    pub(crate) delay_ms: Option<u64>,
    /// It settled the lease.
    pub(crate) settled: bool,
}
