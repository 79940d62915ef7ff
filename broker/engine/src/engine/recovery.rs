//! Recovery: what the store kept comes in, then facts from the journal, then a run begins.

use super::{Engine, Start, Turn, share};
use crate::fact::{Fact, ResourceKey};
use crate::ids::{Ms, NameId, OperationId, Seq, SessionId};
use crate::ledger::job::Job;
use crate::ledger::names::Name;
use crate::ledger::tables::{
    AfterRow, AuditRow, ClaimRow, FailuresRow, FalloutRow, GroupRow, OperationRow, ResourceRow, ScheduleRow,
    SessionRow, TotalsRow,
};
use crate::ledger::{Applied, EvolveError};
use crate::limits::{EPOCH_MINUTES_MAX, OPERATION_REST_MS, SESSION_TTL_MS_DEFAULT};
use crate::order::Told;
use crate::roster::{Presence, Timer};

impl Engine {
    /// Takes the store's own record: facts of missing records up to `to` are already folded.
    pub fn load_meta(&mut self, to: u64, epoch: u32, seq_next: Seq, stopped: bool) {
        self.ledger.folded_to = to;
        self.ledger.epoch = epoch;
        self.ledger.seq_next = seq_next.max(1);
        self.ledger.stopped = stopped;
    }

    /// Takes a name from the store; names come before jobs.
    pub fn load_name(&mut self, id: NameId, since: u64, name: Name) {
        self.ledger.names.insert(id, since, name);
    }

    /// Takes a job from the store.
    pub fn load_job(&mut self, job: Job) {
        self.ledger.adopt(job);
    }

    /// Takes a session from the store.
    pub fn load_session(&mut self, id: SessionId, row: SessionRow) {
        self.ledger.sessions.insert(id, row);
    }

    /// Takes a resource from the store.
    pub fn load_resource(&mut self, key: ResourceKey, row: ResourceRow) {
        row.counted_name().into_iter().for_each(|name| self.ledger.names.take(name));
        self.ledger.resources.insert(key, row);
    }

    /// Takes a queue's totals from the store.
    pub fn load_totals(&mut self, queue: NameId, row: TotalsRow) {
        self.ledger.totals.insert(queue, row);
    }

    /// Takes what happened in one way of failing from the store.
    pub fn load_failures(&mut self, error: NameId, row: FailuresRow) {
        self.ledger.failures.insert(error, row);
    }

    /// Takes a change from the store.
    pub fn load_operation(&mut self, id: OperationId, row: OperationRow) {
        self.ledger.operations.insert(id, row);
    }

    /// Takes an entry of the audit from the store.
    pub fn load_audit(&mut self, number: u64, row: AuditRow) {
        self.ledger.audits.insert(number, row);
    }

    /// Takes a dedup key from the store.
    pub fn load_claim(&mut self, holder: Seq, row: ClaimRow) {
        self.ledger.claims.insert(holder, row);
    }

    /// Takes what a job waits for from the store.
    pub fn load_after(&mut self, waiter: Seq, piece: u16, row: AfterRow) {
        self.ledger.afters.insert((waiter, piece), row);
    }

    /// Takes a group from the store.
    pub fn load_group(&mut self, group: Seq, row: GroupRow) {
        self.ledger.groups.insert(group, row);
    }

    /// Takes from the store that not all have been told of a job's end.
    pub fn load_fallout(&mut self, of: Seq, row: FalloutRow) {
        self.ledger.fallouts.insert(of, row);
    }

    /// Takes how far a schedule has come from the store.
    pub fn load_schedule(&mut self, schedule: NameId, row: ScheduleRow) {
        self.ledger.schedules.insert(schedule, row);
    }

    /// Takes a fact from the journal.
    ///
    /// # Errors
    /// When the journal and the store do not belong together.
    pub fn replay(&mut self, batch: u64, fact: &Fact) -> Result<Applied, EvolveError> {
        self.remember(fact);
        self.ledger.replay(batch, fact)
    }

    /// Takes from a fact too old to be replayed what the idempotency window needs of it.
    pub fn remember(&mut self, fact: &Fact) {
        if planted!(WindowForgotten) {
        } else if let Fact::Removed { id, namespace, settled, at, .. } = fact {
            self.roster.ended_ids.insert((*at, *namespace, *id, *settled));
        } else if let Fact::Replaced { merged: Some(merged), .. } | Fact::Appended { merged, .. } = fact {
            self.roster.ended_ids.insert((merged.at, merged.namespace, merged.id, 0));
        }
    }

    /// Ends recovery and begins a run: every session has its time to live to come back.
    pub fn start(&mut self, start: Start, turn: &mut Turn) {
        self.ledger.end_replay();
        self.unclean = !self.ledger.stopped;
        self.started_at = start.now;
        self.now = start.now;
        for (&id, row) in &self.ledger.sessions {
            let (ttl_ms, last_sign, quiet) = (row.session.ttl_ms, start.now, row.told != Told::Run);
            let presence = Presence { ttl_ms, last_sign, quiet, ..Presence::default() };
            if let Some(due) = row.due {
                self.roster.timers.insert(due.at, Timer::Tell(id));
            }
            self.roster.sessions.insert(id, presence);
            self.roster.rearm(id);
        }
        self.load_limits(start.now);
        self.load_queues();
        self.load_kinds();
        for job in self.ledger.jobs.iter() {
            let share = share(&self.ledger, &mut self.roster.limits, job);
            self.roster.join(job, share, false);
        }
        for (&id, row) in &self.ledger.operations {
            if row.operation.is_running() {
                let at = start.now.saturating_add(OPERATION_REST_MS);
                self.roster.operations.begin(id, &row.operation, at, &mut self.roster.timers);
            }
        }
        for (&holder, row) in &self.ledger.claims {
            self.roster.claims.join(holder, &row.claim, &mut self.roster.timers);
        }
        if !planted!(WaiterForgotten) {
            self.load_flows();
        }
        self.load_schedules();
        self.load_sinks();
        self.spare_leases(start.now);
        if planted!(TimerLost) {
            for job in self.ledger.jobs.iter() {
                self.roster.timers.remove(job.run_at, Timer::Due(job.seq));
            }
        }
        self.roster.hungry.clear();
        self.roster.stirred.clear();
        let next = self.ledger.epoch.saturating_add(u32::from(!planted!(FenceAgain)));
        let epoch = next.max(start.minutes.min(EPOCH_MINUTES_MAX));
        self.decide(turn, Fact::Started { epoch, at: start.now });
        self.roster.watches.start(epoch);
    }

    /// Who waits for whom, and who counts into which group.
    fn load_flows(&mut self) {
        let (ledger, flows) = (&self.ledger, &mut self.roster.flows);
        flows.edges = ledger.afters.values().map(|row| row.piece.edges.len()).sum();
        for (&group, row) in &ledger.groups {
            flows.found(group, &row.group);
        }
        for job in ledger.jobs.iter().filter(|job| job.plan.is_some()) {
            flows.join(job);
            if job.plan.as_ref().is_some_and(|plan| plan.after) {
                flows.follow(ledger, job.seq);
            }
        }
    }

    /// A visibility timeout that ran out while the broker was away ends no earlier than a session
    /// would: nobody could have lengthened it. Nor does a run that was asked to stop: nobody could have
    /// told how it went. And none lasts longer than it was given, though the clock was set back meanwhile.
    fn spare_leases(&mut self, now: Ms) {
        let jobs = &self.ledger.jobs;
        let lease_of = |seq| jobs.get(seq).and_then(|job| job.lease.as_ref());
        self.roster.spare_runs(now, |seq| lease_of(seq).map_or(0, |lease| lease.limits.timeout_ms.into()));
        for presence in self.roster.sessions.values_mut() {
            for (&seq, mark) in &mut presence.leases {
                let spared = now.saturating_add(SESSION_TTL_MS_DEFAULT);
                let Some(lease) = lease_of(seq) else { continue };
                let least = if lease.overran.is_some() { spared } else { 0 };
                for (at, span_ms, least, timer) in [
                    (&mut mark.revoke_at, lease.grace_ms, least, Timer::Revoke(seq)),
                    (&mut mark.ends_at, lease.lasts_ms, spared, Timer::LeaseEnd(seq)),
                ] {
                    if *at > 0 {
                        self.roster.timers.remove(*at, timer);
                        // What was put off by the clock of then lasts no longer by the clock of now.
                        *at = (*at).min(now.saturating_add(span_ms.into())).max(least);
                        self.roster.timers.insert(*at, timer);
                    }
                }
            }
        }
    }
}
