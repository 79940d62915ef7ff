//! Runs that are held to something, as naive as can be: when their time is up, and what that means.

use crate::reference::{Job, Lease, Model};
use crate::verdict::check_backoff;
use windlass_engine::Fact;
use windlass_engine::command::{How, JobSpec};
use windlass_engine::fact::Overrun;
use windlass_engine::ids::{JobId, Ms, Request, SessionId};

const GRACE: Ms = 30_000;
/// What whoever comes back after a restart has to say how it went.
const SPARED: Ms = 15_000;

impl Lease {
    pub(crate) fn new(
        spec: &JobSpec,
        session: SessionId,
        stream: Option<Request>,
        ends_at: Ms,
        now: Ms,
    ) -> Self {
        let policy = &crate::reference::wishes(spec).terms.policy;
        let (timeout_ms, stall_ms) = (policy.timeout_ms.unwrap_or(0), policy.stall_ms.unwrap_or(0));
        let at = |ms: u64| if ms > 0 { now + ms } else { 0 };
        let (up_at, timeout_at, stall_at) = (at(timeout_ms), at(timeout_ms), at(stall_ms));
        Self {
            session,
            leased_at: now,
            ends_at,
            revoke_at: 0,
            stream,
            overran: None,
            up_at,
            timeout_at,
            stall_ms,
            stall_at,
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.revoke_at > 0 && self.overran.is_none()
    }

    pub(crate) fn cancel(&mut self, revoke_at: Ms) {
        (self.revoke_at, self.overran, self.stall_at) = (revoke_at, None, 0);
    }

    pub(crate) fn touched(&mut self, now: Ms) {
        if self.stall_at > 0 {
            self.stall_at = self.stall_at.max(now + self.stall_ms);
        }
    }

    /// The broker was away.
    pub(crate) fn restart(&mut self, now: Ms) {
        if self.ends_at > 0 {
            self.ends_at = self.ends_at.max(now + SPARED);
        }
        if self.overran.is_some() {
            self.revoke_at = self.revoke_at.max(now + SPARED);
        } else if self.up_at > 0 {
            self.timeout_at = self.up_at.max(now + SPARED);
        }
        if self.stall_at > 0 {
            self.stall_at = now + self.stall_ms.max(SPARED);
        }
    }

    fn overrun(&mut self, how: Overrun, now: Ms) {
        (self.overran, self.revoke_at, self.timeout_at, self.stall_at) = (Some(how), now + GRACE, 0, 0);
    }
}

impl Job {
    pub(crate) fn overran(&self) -> Option<Overrun> {
        self.lease.as_ref()?.overran
    }
}

impl Model {
    /// Where retries were put.
    pub(crate) fn returned(&mut self, facts: &[Fact]) {
        let returned = facts.iter().filter_map(|fact| match fact {
            Fact::Returned { seq, run_at, .. } => Some((*seq, *run_at)),
            _ => None,
        });
        self.returns = returned.collect();
    }

    pub(crate) fn time_up(&mut self, id: JobId, now: Ms) {
        let Some(lease) = self.job(id).and_then(|job| job.lease.as_mut()) else { return };
        lease.timeout_at = 0;
        if lease.is_cancelled() {
            lease.revoke_at = lease.revoke_at.min(now + GRACE);
        } else {
            lease.overrun(Overrun::TimedOut, now);
        }
    }

    pub(crate) fn stall(&mut self, id: JobId, now: Ms) {
        let Some(lease) = self.job(id).and_then(|job| job.lease.as_mut()) else { return };
        lease.overrun(Overrun::Stalled, now);
    }

    /// The run is over, and its attempt has failed, whatever its worker says but "done".
    pub(crate) fn fail_overrun(&mut self, id: JobId, how: Option<&How>, now: Ms) {
        let Some(job) = self.job(id) else { return };
        let what = match job.overran() {
            Some(Overrun::Stalled) => "it was not touched within its stall_ms",
            _ => "it ran longer than its timeout_ms",
        };
        let (mut fatal, mut run_at) = (false, None);
        job.error = Some(what);
        if let Some(How::Fail { error, fatal: is_fatal, retry_after_ms }) = how {
            fatal = *is_fatal;
            run_at = retry_after_ms.map(|ms| now + ms);
            if !error.message.is_empty() {
                job.error = Some("boom #");
            }
        }
        let job = job.clone();
        let run_at = run_at.unwrap_or_else(|| match self.returns.get(&job.seq) {
            Some(&run_at) => {
                check_backoff(&job, run_at, now);
                run_at
            }
            None => now,
        });
        self.fail(id, fatal, how.is_some(), run_at, now);
    }
}
