//! Runs as they go: the clocks of a lease whose run is held to something, and what its handler says.

use super::told::{Told, Unwritten};
use super::{Roster, Timer};
use crate::fact::RunLimits;
use crate::ids::{Ms, Seq};
use crate::ledger::job::Job;
use crate::limits::SESSION_TTL_MS_DEFAULT;
use alloc::boxed::Box;

/// What is derived about a run that more is known of than its lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// When its time is up; moved when the broker itself was away. 0 = never.
    pub(crate) timeout_at: Ms,
    /// How often its handler must touch it; 0 = it need not.
    pub(crate) stall_ms: u32,
    /// When it counts as stalled unless it is touched before; 0 = never.
    pub(crate) stall_at: Ms,
    /// Where the timer for that stands: a touch moves the end, and not the timer.
    pub(crate) stall_timer_at: Ms,
    /// What its handler has said.
    pub(crate) told: Told,
}

impl Run {
    fn new(limits: RunLimits, timeout_at: Ms, stall_at: Ms) -> Self {
        let (stall_ms, stall_timer_at) = (limits.stall_ms, stall_at);
        Self { timeout_at, stall_ms, stall_at, stall_timer_at, told: Told::default() }
    }

    /// Its handler was heard of. What it has after a restart is not taken back.
    pub(crate) fn touched(&mut self, now: Ms) {
        if self.stall_at > 0 {
            self.stall_at = self.stall_at.max(now.saturating_add(self.stall_ms.into()));
        }
    }

    fn timers(&self, seq: Seq) -> [(Ms, Timer); 3] {
        [
            (self.timeout_at, Timer::TimeUp(seq)),
            (self.stall_timer_at, Timer::Stall(seq)),
            (self.told.flush_at, Timer::Flush(seq)),
        ]
    }
}

impl Roster {
    /// The run of a new lease, if policies hold it to something.
    pub(super) fn begin_run(&mut self, job: &Job) -> Option<Box<Run>> {
        let lease = job.lease.as_ref()?;
        let limits = lease.held_to().filter(|_| lease.overran.is_none())?;
        let stall_ms = Ms::from(limits.stall_ms);
        let is_watched = stall_ms > 0 && lease.revoke_at == 0;
        let stall_at = if is_watched { lease.leased_at.saturating_add(stall_ms) } else { 0 };
        let run = Run::new(limits, lease.timeout_at(), stall_at);
        self.arm(job.seq, &run);
        Some(Box::new(run))
    }

    /// A run is over. What it said and is not written yet is to be written now.
    pub(super) fn end_run(&mut self, seq: Seq, mut run: Box<Run>) {
        self.disarm(seq, &run);
        self.runs_bytes -= run.told.weight();
        run.told.flush_at = 0;
        if run.told.has_unwritten() {
            self.ended_runs.push((seq, run));
        }
    }

    /// The run of a lease that stands, of which there is now something to remember.
    pub(crate) fn any_run(&mut self, job: &Job) -> Option<&mut Run> {
        let session = job.lease.as_ref()?.session;
        let mark = self.sessions.get_mut(&session)?.leases.get_mut(&job.seq)?;
        Some(mark.run.get_or_insert_default())
    }

    /// What the run has said is written then at the latest.
    pub(crate) fn flush_by(&mut self, job: &Job, at: Ms) {
        let Some(run) = self.run_mut(job) else { return };
        let before = core::mem::replace(&mut run.told.flush_at, at);
        if before > 0 {
            self.timers.remove(before, Timer::Flush(job.seq));
        }
        self.timers.insert(at, Timer::Flush(job.seq));
    }

    /// What the run has said and is not written yet.
    pub(crate) fn take_unwritten(&mut self, job: &Job, now: Ms) -> Option<Unwritten> {
        let run = self.run_mut(job)?;
        let (before, flush_at) = (run.told.weight(), core::mem::take(&mut run.told.flush_at));
        let unwritten = run.told.take(now);
        let after = run.told.weight();
        self.runs_bytes = self.runs_bytes + after - before;
        self.timers.remove(flush_at, Timer::Flush(job.seq));
        Some(unwritten)
    }

    pub(super) fn arm(&mut self, seq: Seq, run: &Run) {
        for (at, timer) in run.timers(seq).into_iter().filter(|&(at, _)| at > 0) {
            self.timers.insert(at, timer);
        }
    }

    pub(super) fn disarm(&mut self, seq: Seq, run: &Run) {
        for (at, timer) in run.timers(seq).into_iter().filter(|&(at, _)| at > 0) {
            self.timers.remove(at, timer);
        }
    }

    /// The run of a lease that stands.
    pub(crate) fn run_mut(&mut self, job: &Job) -> Option<&mut Run> {
        let session = job.lease.as_ref()?.session;
        self.sessions.get_mut(&session)?.leases.get_mut(&job.seq)?.run.as_deref_mut()
    }

    /// The run was asked to stop: its handler need not touch it any more. One that broke what it is held
    /// to will not do so again; one that is cancelled is still to end in time.
    pub(super) fn still(&mut self, job: &Job) {
        let overran = job.lease.as_ref().is_some_and(|lease| lease.overran.is_some());
        let Some(run) = self.run_mut(job) else { return };
        let stall_at = core::mem::take(&mut run.stall_timer_at);
        run.stall_at = 0;
        let timeout_at = if overran { core::mem::take(&mut run.timeout_at) } else { 0 };
        self.timers.remove(stall_at, Timer::Stall(job.seq));
        self.timers.remove(timeout_at, Timer::TimeUp(job.seq));
    }

    /// The clocks of all runs move.
    pub(super) fn shift_runs(&mut self, moved: impl Fn(Ms) -> Ms) {
        self.each_run(|_, run| {
            for at in [&mut run.timeout_at, &mut run.stall_at, &mut run.stall_timer_at] {
                *at = if *at > 0 { moved(*at) } else { 0 };
            }
            run.told.shift(&moved);
        });
    }

    /// While the broker was away nobody could tell it of a run: what it is held to begins anew, or has as
    /// long as a session has to come back. No clock that was set makes it last longer than that.
    pub(crate) fn spare_runs(&mut self, now: Ms, timeout_of: impl Fn(Seq) -> Ms) {
        let spared = now.saturating_add(SESSION_TTL_MS_DEFAULT);
        self.each_run(|seq, run| {
            if run.timeout_at > 0 {
                let latest = now.saturating_add(timeout_of(seq)).max(spared);
                run.timeout_at = run.timeout_at.clamp(spared, latest);
            }
            if run.stall_at > 0 {
                run.stall_at = now.saturating_add(run.stall_ms.into()).max(spared);
                run.stall_timer_at = run.stall_at;
            }
        });
    }

    fn each_run(&mut self, change: impl Fn(Seq, &mut Run)) {
        for presence in self.sessions.values_mut() {
            for (&seq, mark) in &mut presence.leases {
                let Some(run) = mark.run.as_deref_mut() else { continue };
                for (at, timer) in run.timers(seq).into_iter().filter(|&(at, _)| at > 0) {
                    self.timers.remove(at, timer);
                }
                change(seq, run);
                for (at, timer) in run.timers(seq).into_iter().filter(|&(at, _)| at > 0) {
                    self.timers.insert(at, timer);
                }
            }
        }
    }
}
