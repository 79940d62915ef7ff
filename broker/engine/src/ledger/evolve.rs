//! `evolve`: the one way the ledger changes. Live commands and replay go through it alike.

use super::job::{Ended, Job, State, length};
use super::tables::{
    AfterRow, AuditRow, ClaimRow, FailuresRow, FalloutRow, GroupRow, OperationRow, ResourceRow, ScheduleRow,
    SessionRow, TotalsRow,
};
use super::{Ledger, REPLAYED};
use crate::fact::{DeadReason, Fact, NewJob, Record, Reshape, ResourceKey};
use crate::ids::{Seq, SessionId};
use crate::operation::Operation;
use crate::order::{DueOrder, Told};
use core::fmt;

/// What became of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The record changed.
    Yes,
    /// The store already held a later state of the record.
    Already,
}

/// A fact that fits nothing: the journal and the store do not belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvolveError {
    /// The batch of the fact.
    pub batch: u64,
    /// The record it names.
    pub record: Record,
}

impl fmt::Display for EvolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the journal's batch {} speaks of {:?}, which neither the journal nor the store holds",
            self.batch, self.record
        )
    }
}

impl core::error::Error for EvolveError {}

impl Ledger {
    /// Applies a decided fact. Never refuses: what may be refused was refused before.
    pub(crate) fn evolve(&mut self, batch: u64, fact: &Fact) {
        self.apply(batch, batch, fact);
    }

    /// Applies a fact from the journal, unless the store already holds what it did.
    pub(crate) fn replay(&mut self, batch: u64, fact: &Fact) -> Result<Applied, EvolveError> {
        let record = fact.record();
        match self.since(record) {
            Some(since) if since & REPLAYED == 0 && batch <= since => return Ok(Applied::Already),
            Some(_) => {}
            None if creates(fact) => {}
            None if batch <= self.folded_to => return Ok(Applied::Already),
            None => return Err(EvolveError { batch, record }),
        }
        self.apply(batch, batch | REPLAYED, fact);
        Ok(Applied::Yes)
    }

    fn since(&self, record: Record) -> Option<u64> {
        match record {
            Record::Job(seq) => self.jobs.get(seq).map(|job| job.since),
            Record::Name(id) => self.names.since(id),
            Record::Resource(key) => self.resources.get(&key).map(|row| row.since),
            Record::Session(id) => self.sessions.get(&id).map(|row| row.since),
            Record::Totals(queue) => self.totals.get(&queue).map(|row| row.since),
            Record::Failures(error) => self.failures.get(&error).map(|row| row.since),
            Record::Operation(id) => self.operations.get(&id).map(|row| row.since),
            Record::Audit(number) => self.audits.get(&number).map(|row| row.since),
            Record::Claim(holder) => self.claims.get(&holder).map(|row| row.since),
            Record::After(waiter, piece) => self.afters.get(&(waiter, piece)).map(|row| row.since),
            Record::Group(group) => self.groups.get(&group).map(|row| row.since),
            Record::Fallout(of) => self.fallouts.get(&of).map(|row| row.since),
            Record::Schedule(id) => self.schedules.get(&id).map(|row| row.since),
            // Its facts are absolute or rise only, so applying one twice is harmless.
            Record::Meta => Some(REPLAYED),
        }
    }

    fn apply(&mut self, batch: u64, since: u64, fact: &Fact) {
        match fact {
            Fact::Started { epoch, .. } => {
                self.epoch = self.epoch.max(*epoch);
                self.fences = 0;
                self.stopped = false;
            }
            Fact::Stopped => self.stopped = true,
            Fact::Named { id, name } => self.names.insert(*id, since, (**name).clone()),
            Fact::NameDropped { id } => self.names.remove(*id),
            Fact::ResourceSet { .. } | Fact::ResourceRemoved { .. } => self.configured(batch, since, fact),
            Fact::SessionOpened { id, .. }
            | Fact::SessionClosed { id }
            | Fact::Told { id, .. }
            | Fact::Relabelled { id, .. } => self.attended(*id, since, fact),
            Fact::Counted { of, totals } => {
                self.totals.insert(*of, TotalsRow { since, totals: *totals });
            }
            Fact::FailuresCounted { .. }
            | Fact::FailuresDropped { .. }
            | Fact::OperationStarted { .. }
            | Fact::OperationMoved { .. }
            | Fact::OperationEnded { .. }
            | Fact::OperationRemoved { .. }
            | Fact::Audited { .. }
            | Fact::AuditDropped { .. }
            | Fact::Ticked { .. }
            | Fact::ScheduleDropped { .. } => self.operated(since, fact),
            Fact::Reshaped { seq, reshape } => self.reshaped(*seq, batch, since, reshape),
            Fact::Claimed { .. }
            | Fact::Unclaimed { .. }
            | Fact::AfterSet { .. }
            | Fact::AfterEnded { .. }
            | Fact::AfterRemoved { .. }
            | Fact::GroupSet { .. }
            | Fact::GroupRemoved { .. }
            | Fact::FalloutSet { .. }
            | Fact::FalloutRemoved { .. } => self.flowed(since, fact),
            Fact::Enqueued { seq, job } => self.enqueued(*seq, since, job),
            Fact::Removed { seq, .. } => self.removed(*seq, batch),
            Fact::Emptied { seq } => self.touch(*seq, since, Job::empty),
            Fact::Blocked { seq }
            | Fact::Held { seq, .. }
            | Fact::Freed { seq, .. }
            | Fact::Replaced { seq, .. }
            | Fact::Appended { seq, .. } => self.touch(*seq, since, |job| prepare(job, fact)),
            Fact::Readied { seq }
            | Fact::Leased { seq, .. }
            | Fact::Extended { seq, .. }
            | Fact::CancelAsked { seq, .. }
            | Fact::Overran { seq, .. }
            | Fact::Reported { seq, .. }
            | Fact::Completed { seq, .. }
            | Fact::Returned { seq, .. }
            | Fact::Died { seq, .. }
            | Fact::Cancelled { seq, .. }
            | Fact::Expired { seq, .. }
            | Fact::Buried { seq, .. }
            | Fact::Retried { seq, .. }
            | Fact::Rescheduled { seq, .. } => self.changed(*seq, batch, since, fact),
        }
    }

    /// Applies a fact about a job's runs, its time or its end.
    fn changed(&mut self, seq: Seq, batch: u64, since: u64, fact: &Fact) {
        if let Fact::Leased { lease, .. } = fact {
            let first = u64::from(self.epoch) << 40;
            self.fences = self.fences.max(lease.fence.saturating_sub(first));
        }
        self.touch(seq, since, |job| change(job, fact));
        if let Fact::Returned { error: 1.., .. } | Fact::Died { error: 1.., .. } = fact {
            self.blame(seq, batch, fact);
        }
    }

    /// Applies a fact about a resource.
    fn configured(&mut self, batch: u64, since: u64, fact: &Fact) {
        if let Fact::ResourceSet { key, version, body, at } = fact {
            let row = ResourceRow { since, version: *version, at: *at, body: (**body).clone() };
            self.set_resource(*key, Some(row), batch);
        } else if let Fact::ResourceRemoved { key } = fact {
            self.set_resource(*key, None, batch);
        }
    }

    /// Applies a fact about a session.
    fn attended(&mut self, id: SessionId, since: u64, fact: &Fact) {
        if let Fact::SessionOpened { session, .. } = fact {
            let (session, told, due) = ((**session).clone(), Told::default(), None);
            self.sessions.insert(id, SessionRow { since, session, told, due });
        } else if let Fact::SessionClosed { .. } = fact {
            self.sessions.remove(&id);
        } else if let Some(row) = self.sessions.get_mut(&id) {
            row.since = since;
            instruct(row, fact);
        }
    }

    /// Applies a fact about what operators ask for and ask about.
    fn operated(&mut self, since: u64, fact: &Fact) {
        if let Fact::Ticked { schedule, progress } = fact {
            self.schedules.insert(*schedule, ScheduleRow { since, progress: (**progress).clone() });
        }
        if let Fact::ScheduleDropped { schedule } = fact {
            self.schedules.remove(schedule);
        }
        if let Fact::FailuresCounted { error, failures } = fact {
            self.failures.insert(*error, FailuresRow { since, failures: (**failures).clone() });
        }
        if let Fact::FailuresDropped { error } = fact {
            self.failures.remove(error);
        }
        if let Fact::Audited { number, audit } = fact {
            self.audits.insert(*number, AuditRow { since, audit: (**audit).clone() });
        }
        if let Fact::AuditDropped { number } = fact {
            self.audits.remove(number);
        }
        if let Fact::OperationStarted { id, operation } = fact {
            self.operations.insert(*id, OperationRow { since, operation: (**operation).clone() });
        }
        if let Fact::OperationRemoved { id } = fact {
            self.operations.remove(id);
        }
        if let Fact::OperationMoved { id, .. } | Fact::OperationEnded { id, .. } = fact
            && let Some(row) = self.operations.get_mut(id)
        {
            row.since = since;
            follow(&mut row.operation, fact);
        }
    }

    /// Applies a fact about what ties jobs together: dedup keys, and what flows are made of.
    fn flowed(&mut self, since: u64, fact: &Fact) {
        if let Fact::Claimed { holder, claim } = fact {
            self.claims.insert(*holder, ClaimRow { since, claim: (**claim).clone() });
        } else if let Fact::Unclaimed { holder } = fact {
            self.claims.remove(holder);
        } else if let Fact::AfterSet { waiter, piece, body } = fact {
            self.afters.insert((*waiter, *piece), AfterRow { since, piece: (**body).clone() });
        } else if let Fact::AfterEnded { waiter, piece, place, state } = fact {
            let Some(row) = self.afters.get_mut(&(*waiter, *piece)) else { return };
            row.since = since;
            row.piece.edges.get_mut(usize::from(*place)).into_iter().for_each(|edge| edge.state = *state);
        } else if let Fact::AfterRemoved { waiter, piece } = fact {
            self.afters.remove(&(*waiter, *piece));
        } else if let Fact::GroupSet { group, body } = fact {
            self.groups.insert(*group, GroupRow { since, group: (**body).clone() });
        } else if let Fact::GroupRemoved { group } = fact {
            self.groups.remove(group);
        } else if let Fact::FalloutSet { of, fallout } = fact {
            self.fallouts.insert(*of, FalloutRow { since, fallout: *fallout });
        } else if let Fact::FalloutRemoved { of } = fact {
            self.fallouts.remove(of);
        }
    }

    /// The job refers to the way it failed last.
    fn blame(&mut self, seq: Seq, batch: u64, fact: &Fact) {
        let (Fact::Returned { error, .. } | Fact::Died { error, .. }) = fact else { return };
        let Some(job) = self.jobs.get_mut(seq) else { return };
        let before = core::mem::replace(&mut job.error, *error);
        self.names.take(*error);
        self.names.give(before, batch);
    }

    fn touch(&mut self, seq: Seq, since: u64, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.jobs.get_mut(seq) {
            job.since = since;
            change(job);
        }
    }

    fn set_resource(&mut self, key: ResourceKey, row: Option<ResourceRow>, batch: u64) {
        let old = self.resources.remove(&key).and_then(|row| row.counted_name());
        if let Some(row) = row {
            row.counted_name().into_iter().for_each(|name| self.names.take(name));
            self.resources.insert(key, row);
        }
        old.into_iter().for_each(|name| self.names.give(name, batch));
    }

    fn enqueued(&mut self, seq: Seq, since: u64, new: &NewJob) {
        self.seq_next = self.seq_next.max(seq + 1);
        self.adopt(Job::new(seq, since, new));
    }

    /// Takes in a job: a new one, or one that the store kept.
    pub(crate) fn adopt(&mut self, job: Job) {
        job.counted_names().for_each(|name| self.names.take(name));
        self.jobs.insert(job);
    }

    fn reshaped(&mut self, seq: Seq, batch: u64, since: u64, reshape: &Reshape) {
        let Some(job) = self.jobs.get_mut(seq) else { return };
        let before = job.counted_names();
        job.since = since;
        job.reshape(reshape);
        job.counted_names().for_each(|name| self.names.take(name));
        before.for_each(|name| self.names.give(name, batch));
    }

    fn removed(&mut self, seq: Seq, batch: u64) {
        if let Some(job) = self.jobs.remove(seq) {
            job.counted_names().for_each(|name| self.names.give(name, batch));
        }
    }
}

/// A fact that brings its record into being.
fn creates(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Started { .. }
            | Fact::Stopped
            | Fact::Named { .. }
            | Fact::ResourceSet { .. }
            | Fact::SessionOpened { .. }
            | Fact::Counted { .. }
            | Fact::OperationStarted { .. }
            | Fact::FailuresCounted { .. }
            | Fact::Claimed { .. }
            | Fact::Audited { .. }
            | Fact::AfterSet { .. }
            | Fact::GroupSet { .. }
            | Fact::FalloutSet { .. }
            | Fact::Ticked { .. }
            | Fact::Enqueued { .. }
    )
}

/// What a fact does to a job that has not started.
fn prepare(job: &mut Job, fact: &Fact) {
    if let Fact::Blocked { .. } = fact {
        job.state = State::Blocked;
    } else if let Fact::Held { until, .. } = fact {
        job.hold(*until);
    } else if let Fact::Freed { now, .. } = fact {
        job.wait(job.run_at, *now);
    } else if let Fact::Replaced { pieces, payload, headers, run_at, now, .. } = fact {
        let lens = (payload.len(), headers.as_ref().map(|headers| headers.len()));
        job.replace(*pieces, lens, *run_at, *now);
    } else if let Fact::Appended { version, item, .. } = fact {
        job.append(*version, item.len());
    }
}

/// What a fact does to a job that runs, or is about to.
fn change(job: &mut Job, fact: &Fact) {
    if let Fact::Readied { .. } = fact {
        job.state = State::Ready;
    } else if let Fact::Leased { lease, .. } = fact {
        job.lease(lease);
    } else if let Fact::Extended { now, ends_at, .. } = fact {
        job.lease.iter_mut().for_each(|lease| lease.extend(*now, *ends_at));
    } else if let Fact::CancelAsked { now, revoke_at, .. } = fact {
        // Who cancels a job does not want it again, however its run went so far.
        job.lease.iter_mut().for_each(|lease| lease.ask_to_stop(None, *now, *revoke_at));
    } else if let Fact::Overran { how, now, revoke_at, .. } = fact {
        job.lease.iter_mut().for_each(|lease| lease.ask_to_stop(Some(*how), *now, *revoke_at));
    } else if let Fact::Reported { report, .. } = fact {
        job.plan.get_or_insert_default().reports.get_or_insert_default().take(report);
    } else if let Fact::Returned { run_at, counts, note, settled, now, .. } = fact {
        job.notes += u32::from(note.is_some());
        job.unlease(*counts, *settled);
        job.wait(*run_at, *now);
    } else if let Fact::Retried { reset, run_at, now, .. } = fact {
        // Who runs it again wants it to run, however late it is.
        if let Some(plan) = &mut job.plan {
            plan.expires_at = 0;
        }
        if *reset {
            job.attempt = 0;
            job.crashes = 0;
        }
        job.wait(*run_at, *now);
    } else if let Fact::Rescheduled { run_at, now, .. } = fact {
        job.wait(*run_at, *now);
    } else {
        finish(job, fact);
    }
}

/// What a fact does to a job that ends.
fn finish(job: &mut Job, fact: &Fact) {
    if let Fact::Completed { end, result, result_dropped, .. } = fact {
        job.settled = true;
        job.drop_checkpoint();
        let (result_len, result_dropped) = (length(result.len()), *result_dropped);
        job.end(State::Completed, Ended { result_len, result_dropped, ..ended(*end, None) });
    } else if let Fact::Died { end, reason, counts, note, settled, .. } = fact {
        job.notes += u32::from(note.is_some());
        job.unlease(*counts, *settled);
        job.end(State::Dead, ended(*end, Some(*reason)));
    } else if let Fact::Cancelled { end, note, settled, .. } = fact {
        job.notes += u32::from(note.is_some());
        job.settled = *settled;
        job.end(State::Cancelled, ended(*end, None));
    } else if let Fact::Expired { end, .. } = fact {
        job.end(State::Expired, ended(*end, None));
    } else if let Fact::Buried { end, .. } = fact {
        job.settled = false;
        job.end(State::Dead, ended(*end, Some(DeadReason::Operator)));
    }
}

/// What a fact does to its session.
fn instruct(row: &mut SessionRow, fact: &Fact) {
    if let Fact::Told { order, at, now, .. } = fact {
        // The last word counts: what was to be told later is not told any more.
        row.due = (at > now).then_some(DueOrder { order: *order, at: *at });
        if row.due.is_none() {
            row.told = row.told.after(*order);
        }
    }
    if let Fact::Relabelled { labels, .. } = fact {
        row.session.labels.clone_from(labels);
    }
}

/// What a fact does to its operation.
fn follow(operation: &mut Operation, fact: &Fact) {
    if let Fact::OperationMoved { cursor, changed, .. } = fact {
        (operation.cursor, operation.changed) = (*cursor, *changed);
    }
    if let Fact::OperationEnded { at, why, .. } = fact {
        operation.finished_at = *at;
        operation.stopped_why.clone_from(why);
    }
}

fn ended(end: crate::fact::End, reason: Option<DeadReason>) -> Ended {
    Ended { end, reason, result_len: 0, result_dropped: false, emptied: false }
}
